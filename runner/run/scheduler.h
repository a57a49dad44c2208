// The scheduler drives a plan over an executor. It runs what Progress lets start, prepares ahead what is likely next,
// retries what the author asked to be retried, and tells observers. It knows neither SQLite nor the terminal.
//
// One thread per job that is being prepared or runs; their results return through one guarded queue. The plan, the
// progress and the events belong to the thread that calls run().
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "executors/executor.h"
#include "pipelines/plan.h"
#include "pipelines/progress.h"
#include "runner/run/events.h"
#include "runner/run/job_factory.h"

namespace runner {

struct Limits {
  std::size_t parallel = 4;        // jobs whose go was given, at once
  std::size_t prepared_ahead = 2;  // sandboxes made before their turn; more only costs processor time (2 cores tried)
};

// Takes the artifacts of a job before the next job sees them. Called from the job's thread, concurrently for different
// jobs. Throws executors::WorldError (or what the store throws): the job then ends as `artifacts_failed`.
class ArtifactKeeper {
 public:
  struct Request {
    JobKey key;
    std::string name;  // artifacts:name, expanded
    std::optional<std::chrono::seconds> expire_in;
  };
  virtual ~ArtifactKeeper() = default;
  virtual void keep(const Request&, const std::vector<executors::Collected>&) = 0;
};

// What an earlier process left of this run (`runner resume`).
struct Earlier {
  struct Finished {
    JobFinished end;                              // told again, so that what the run came to is whole
    std::vector<executors::Collected> collected;  // brought back from the store
  };
  struct Running {
    std::uint32_t attempt = 1;
    std::string handle;
    std::uint64_t raw = 0;  // bytes of the executor's stream that are stored
    Clock::time_point started{};
  };
  std::map<pipelines::JobIndex, Finished> finished;
  std::map<pipelines::JobIndex, Running> running;
};

class Scheduler {
 public:
  // All must outlive the scheduler. Observers are told in this order.
  Scheduler(executors::Executor&, const JobFactory&, ArtifactKeeper&, std::vector<Observer*>, Limits);

  struct Result {
    pipelines::Verdict verdict = pipelines::Verdict::passed;
    std::vector<std::string> blocked;  // the manual jobs it waits for, by name
  };
  // Blocks until the run is over. A stop request cancels it: running jobs are stopped, nothing new starts.
  // Throws what an observer throws (a database that cannot be written), after everything was stopped.
  Result run(pipelines::Progress&, const pipelines::Plan&, const std::stop_token&, Earlier = {});

 private:
  executors::Executor& executor_;
  const JobFactory& factory_;
  ArtifactKeeper& keeper_;
  std::vector<Observer*> observers_;
  Limits limits_;
};

// Whether the author asked for another attempt after this result (docs.gitlab.com/ee/ci/yaml, "retry").
bool wants_retry(const pipelines::Retry&, const executors::JobResult&, std::uint32_t attempt);
// Whether the pipeline tolerates this result (allow_failure, allow_failure:exit_codes).
bool is_allowed(const pipelines::AllowFailure&, const executors::JobResult&);

}  // namespace runner
