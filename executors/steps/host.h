// What a built-in step asks of the program around it: a memory that survives the runner, somebody's word, and a place
// in the trail. The executor of steps (make_step_executor, make.h) is given one; the runner answers from its store.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "executors/executor.h"

namespace executors::steps {

// What one step was about to do, and what came of it. Each entry is safe on the disk before the call that writes it
// returns. An attempt that goes on after somebody's approval, or after a runner's death, finds what it wrote before; a
// retry begins with an empty one. From the job's thread alone; throws WorldError.
class Journal {
 public:
  struct Entry {
    std::string intent;                              // JSON, as it was given to intend()
    std::chrono::system_clock::time_point intended;  // when
    std::optional<std::string> answer;               // JSON; absent: the runner died between the two, or the call did
  };
  Journal() = default;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  virtual ~Journal() = default;
  virtual std::optional<Entry> find(std::string_view name) const = 0;
  // `name`: which of the step's calls; one entry each. A second intend() of a name replaces the first with its answer.
  virtual void intend(std::string_view name, std::string_view json) = 0;
  virtual void answer(std::string_view name, std::string_view json) = 0;
};

// A question that holds the step up (docs: "Approvals").
struct Question {
  std::string subject;  // what exactly is approved, as a digest: an answer to another subject is none
  std::string text;     // one line for people: "apply 3 changes to terraform/services/app"
};

struct Answer {
  enum class Word : std::uint8_t { none, approved, rejected };
  Word word = Word::none;  // none: nobody is there; the step ends as Outcome::manual and is asked again by `resume`
  std::string who, comment;
};

// One change of a target, as it is kept in the trail.
struct Deployment {
  enum class State : std::uint8_t { running, succeeded, failed, rolled_back, superseded, cancelled };
  std::string target;    // "ecs:prod/backend" (pipelines::targets_of)
  std::string what;      // what it is now: a task definition, an AMI, a template's digest
  std::string previous;  // what it was
  State state = State::running;
  std::string message;  // one line
};

// From the jobs' threads, concurrently.
class Host {
 public:
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  virtual ~Host() = default;
  virtual std::unique_ptr<Journal> journal(const JobId&) = 0;
  // Blocks while a person at a terminal thinks; else answers at once. Throws http::Cancelled at a stop request.
  virtual Answer ask(const JobId&, const Question&, const std::stop_token&) = 0;
  // Told once when the target begins to change and once, with the same target, when that is over.
  virtual void deployed(const JobId&, const Deployment&) = 0;
};

}  // namespace executors::steps
