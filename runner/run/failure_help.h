// What a person asked for in case a job fails: a shell in its sandbox (`exec --shell-on-fail`), and that it stays
// (`--keep`). One for all runs of a process.
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "executors/executor.h"
#include "runner/run/events.h"
#include "runner/run/foreground.h"

namespace runner {

class FailureHelp {
 public:
  struct Settings {
    bool shell = false, keep = false;
    std::string remove;   // the command that removes what a run kept, but for the run's number
    int in = 0, out = 1;  // the terminal
    std::string terminal_type;
  };
  FailureHelp(Settings settings, Foreground& terminal) : settings_(std::move(settings)), terminal_(terminal) {}

  struct Job {
    const executors::JobSpec& spec;
    const executors::Work& work;
    const executors::JobResult& result;
  };
  struct Given {
    std::optional<KeptSandbox> kept;
    std::chrono::milliseconds with_person{0};  // no time of the job's
  };
  // On the thread of a job that has failed for good, when all of it is stored; returns when the person has left. One
  // shell after the other. What cannot be done is a warning. `execution` may be null: it is gone.
  Given give(const Job&, executors::Execution* execution, executors::Notices&, const std::stop_token&);
  // What an earlier process kept of the job, when this one takes its run up.
  std::optional<KeptSandbox> given_before(const std::filesystem::path& run_directory, RunId run,
                                          std::uint32_t job_number) const;
  // Why there is nothing for a job that never had a sandbox.
  std::string nothing_to_enter(const std::string& why) const;

 private:
  void open_shell(const Job&, executors::Execution&, executors::Notices&, const std::stop_token&);
  KeptSandbox keep(const Job&, executors::Execution&);
  KeptSandbox told(const executors::Kept&, RunId) const;

  const Settings settings_;
  Foreground& terminal_;
  std::mutex mutex_;  // held while kept.json is written
};

}  // namespace runner
