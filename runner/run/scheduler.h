// The scheduler drives a plan over an executor. It runs what Progress lets start, prepares ahead what is likely next,
// retries what the author asked to be retried, and tells observers. It knows neither SQLite nor the terminal.
//
// One thread per job that is being prepared or runs; their results return through one guarded queue. The plan, the
// progress and the events belong to the thread that calls run().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "executors/executor.h"
#include "executors/steps/host.h"
#include "pipelines/plan.h"
#include "pipelines/progress.h"
#include "runner/run/events.h"
#include "runner/run/failure_help.h"
#include "runner/run/job_factory.h"

namespace runner {

struct Limits {
  std::size_t parallel = 4;        // jobs whose go was given, at once
  std::size_t prepared_ahead = 2;  // sandboxes made before their turn; more only costs processor time (2 cores tried)
};

// A cache as a job gets it.
struct RestoredCache {
  std::string key;         // the one of the asked for that there was
  std::uint64_t tree = 0;  // Store's name of the content
  std::filesystem::path layer;
  std::uint64_t files = 0, bytes = 0;
};

struct KeptCache {
  bool stored = false;  // false: this very content was there already
  std::uint64_t files = 0, bytes = 0;
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

  // Caches: without a place for them there are none.
  // The cache of the first of `keys` that there is, standing as a read-only tree.
  virtual std::optional<RestoredCache> restore_cache(const std::vector<std::string>& keys) {
    (void)keys;
    return std::nullopt;
  }
  // Under `key`; `restored`: what it was before the job, if it was there.
  virtual KeptCache keep_cache(const std::string& key, const executors::CollectedCache&,
                               const std::optional<RestoredCache>& restored) {
    (void)key, (void)restored;
    return {};
  }
  // `release` of a job whose script has passed: what was done, a line each. The secrets are not to be kept. Throws what
  // GitLab would fail the job for.
  virtual std::vector<std::string> release(const JobKey&, const pipelines::Release&, const SecretSet&,
                                           executors::Notices&) {
    return {};
  }
  // The log of an attempt so far, for a job that is taken up in the middle.
  virtual void read_log(const JobKey&, const std::function<void(std::string_view)>& sink) { (void)sink; }
};

// Mutexes between jobs of all pipelines (`resource_group`, targets). Called on the scheduler's thread.
class ResourceKeeper {
 public:
  struct Wait {
    std::string says;         // who has it, in one line
    bool superseded = false;  // by a newer run: waiting is of no use, the job is cancelled
  };
  virtual ~ResourceKeeper() = default;
  // Takes it for the job, whose JobFinished lets go of it.
  virtual std::optional<Wait> acquire(pipelines::JobIndex, const Resource&) = 0;
};

// Says whether a blocking manual job may start. Called on the scheduler's thread.
class Approver {
 public:
  virtual ~Approver() = default;
  // When nothing else can go on; `text`: what is to be confirmed. Blocks while a person thinks. Word::none: nobody says
  // anything, the run stops before it.
  virtual executors::steps::Answer ask(pipelines::JobIndex, const std::string& text, const std::stop_token&) = 0;
  // Who let the job start or go on, when and why; empty: nobody had to.
  virtual std::string approved(pipelines::JobIndex) = 0;
};

// How a job ends that somebody refused to let start.
JobFinished rejected(pipelines::JobIndex, const pipelines::PlannedJob&, const std::string& who,
                     const std::string& comment);

// Runs the pipelines of `trigger` jobs.
class Downstreams {
 public:
  virtual ~Downstreams() = default;
  // Called from the job's thread; concurrently for different jobs. How the job ended: by its strategy, the other
  // pipeline's end or its beginning; Outcome::manual when that one waits for a person. A stop request cancels what is
  // waited for.
  virtual executors::JobResult run(const JobKey&, const DownstreamRequest&, executors::Notices&,
                                   const std::stop_token&) = 0;
};

// What an earlier process left of this run (`runner resume`), or an earlier run left for this one (`runner retry`).
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
  // Of another run, or from before this one stopped for a person: told first, whatever they wait for, and no failure
  // among them halts anything.
  std::map<pipelines::JobIndex, Finished> settled;
  std::map<pipelines::JobIndex, Running> running;
  std::map<pipelines::JobIndex, std::uint32_t> next_attempt;  // of jobs whose earlier attempts are over
};

// A newer run of the same sources may take this one's place.
struct Successor {
  std::stop_token wanted;  // asked for when there is one; what that cancels is decided then, once
  // Set when a job has started, in this run or a child pipeline of it, that lets nobody cancel the run as a whole.
  std::shared_ptr<std::atomic<bool>> held = std::make_shared<std::atomic<bool>>(false);
};

class Scheduler {
 public:
  // All must outlive the scheduler. Observers are told in this order.
  Scheduler(executors::Executor&, const JobFactory&, ArtifactKeeper&, ResourceKeeper&, Downstreams&,
            std::vector<Observer*>, Limits, FailureHelp* = nullptr, Approver* = nullptr);

  struct Result {
    pipelines::Verdict verdict = pipelines::Verdict::passed;
    std::vector<std::string> blocked;  // the manual jobs it waits for, by name
    bool replaced = false;             // it was cancelled, or jobs of it, for a newer run
  };
  // Blocks until the run is over. A stop request cancels it: running jobs are stopped, nothing new starts.
  // Throws what an observer throws (a database that cannot be written), after everything was stopped.
  Result run(pipelines::Progress&, const pipelines::Plan&, const std::stop_token&, Earlier = {}, Successor = {});

 private:
  executors::Executor& executor_;
  const JobFactory& factory_;
  ArtifactKeeper& keeper_;
  ResourceKeeper& resources_;
  Downstreams& downstreams_;
  std::vector<Observer*> observers_;
  Limits limits_;
  FailureHelp* help_;
  Approver* approver_;  // null: manual jobs end as manual when their turn comes
};

// Whether the author asked for another attempt after this result (docs.gitlab.com/ee/ci/yaml, "retry").
bool wants_retry(const pipelines::Retry&, const executors::JobResult&, std::uint32_t attempt);
// Whether the pipeline tolerates this result (allow_failure, allow_failure:exit_codes).
bool is_allowed(const pipelines::AllowFailure&, const executors::JobResult&);

}  // namespace runner
