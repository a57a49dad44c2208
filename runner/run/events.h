// What happens in a run, as values. The scheduler makes them, observers (console, recorder, …) take them; nothing goes
// back up. Stored and printed from here alone, so that no two places spell an event differently.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipelines/plan.h"
#include "pipelines/progress.h"
#include "runner/run/report_summary.h"
#include "runner/secrets/redactor.h"

namespace runner {

using Clock = std::chrono::system_clock;
using RunId = std::uint64_t;  // from 1, counted in a database

struct JobKey {
  pipelines::JobIndex job = 0;  // index into the plan, from 0
  std::uint32_t attempt = 1;    // from 1
};

struct RunPreparing {  // passing, and before anything else: there is no run yet, and what is made for it takes its time
  std::string text;
};
struct RunStarted {
  RunId run = 0;
  Clock::time_point time;
  std::string file;  // the pipeline file as the user named it
  std::string ref, sha, event;
  struct Job {
    pipelines::JobIndex job = 0;
    std::string name, stage;
  };
  std::vector<Job> jobs;  // those of the plan that are included
  RunId parent = 0;       // a child pipeline: the run and the job that started it
  std::string parent_job;
  RunId retry_of = 0;  // another run whose jobs it takes where they need not run again; 0: none
};
// What a job's `environment` comes to, expanded.
struct EnvironmentUse {
  std::string name, tier, url;  // name: empty for a step that deploys without an environment
  bool starts = true;           // it deploys: the job is in the trail
  bool stops = false;           // it ends the environment
};
struct JobPreparing {  // its turn may still come later
  JobKey key;
  Clock::time_point time;
};
struct JobStarted {  // the go was given to an attempt
  JobKey key;
  Clock::time_point time;
  std::string handle;  // what Executor::adopt wants
  std::optional<EnvironmentUse> environment;
};
struct JobRetried {  // an attempt ended and another follows
  JobKey key;        // the one that ended
  Clock::time_point time;
  pipelines::Outcome outcome = pipelines::Outcome::failed;
  int exit_code = -1;
  std::string reason, message;
};
struct JobWaiting {  // for a person to start it; it starts, or its JobFinished says that nobody did
  JobKey key;
  Clock::time_point time;
  std::string text;  // what the person is to confirm; may be empty
};
struct JobStatus {  // passing: pull progress and the like
  JobKey key;
  std::string text;
};
struct JobWarning {
  JobKey key;
  Clock::time_point time;
  std::string text;
};
struct KeptSandbox {  // `--keep`: two command lines for a person's shell
  std::string enter, remove;
};
struct JobFinished {  // once per job, after its retries; also for jobs that never started
  JobKey key;         // the last attempt; attempt 0: none ever started
  Clock::time_point time;
  pipelines::Outcome outcome = pipelines::Outcome::skipped;
  bool allowed = false;         // a failure that the pipeline tolerates
  int exit_code = -1;           // -1: there is none
  std::string reason, message;  // see executors::JobResult; for skipped jobs why
  std::chrono::milliseconds duration{0};
  std::uint64_t artifact_files = 0, artifact_bytes = 0;
  std::optional<double> coverage;      // percent, by the job's `coverage`
  std::vector<ReportSummary> reports;  // those of its reports that can be read
  std::optional<KeptSandbox> kept;     // its sandbox is still there
  RunId reused = 0;                    // it did not run here: it stands as it ended in this run; 0: it is this run's
  std::optional<EnvironmentUse> environment;  // its url as the job left it
  std::string approved;                       // who let it start or go on, when and why; empty: nobody had to
};
struct RunFinished {
  RunId run = 0;
  Clock::time_point time;
  pipelines::Verdict verdict = pipelines::Verdict::passed;
  std::chrono::milliseconds duration{0};
  std::string message;                     // why there was nothing to do, what it waits for …; may be empty
  std::vector<std::string> critical_path;  // the jobs that its length comes from, see critical_path.h
};

using Event = std::variant<RunPreparing, RunStarted, JobPreparing, JobWaiting, JobStarted, JobRetried, JobStatus,
                           JobWarning, JobFinished, RunFinished>;

class Observer {
 public:
  virtual ~Observer() = default;
  // Scheduler thread, in order. Jobs are indices into RunStarted::jobs' `job`, which comes first. (But RunPreparing:
  // before that, one at a time, from the threads that copy the sources.)
  virtual void on(const Event&) = 0;
  // Output of one attempt, redacted, cut anywhere; from that job's own thread, between its JobStarted and its
  // JobFinished or JobRetried. Implementations guard themselves. `raw` counts the bytes of the executor's stream (see
  // executors::LogSink) that are covered so far.
  virtual void log(const JobKey& key, std::string_view bytes, std::uint64_t raw) {
    (void)key;
    (void)bytes;
    (void)raw;
  }
  // What must not be seen of an attempt's output, for who shows it in another way than it came: without its control
  // bytes the halves of a secret may come together. From the job's own thread, before its first log().
  virtual void conceal(const JobKey& key, const SecretSet& secrets) {
    (void)key;
    (void)secrets;
  }
};

}  // namespace runner
