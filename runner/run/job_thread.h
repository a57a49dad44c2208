// One attempt of one job on a thread of its own: prepare, wait for the turn, run, keep artifacts. Everything it has to
// say goes into the mailbox; the scheduler answers with go() or drop().
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "executors/executor.h"
#include "runner/run/events.h"
#include "runner/run/failure_help.h"
#include "runner/run/job_factory.h"
#include "runner/run/job_log.h"
#include "runner/run/scheduler.h"

namespace runner {

// What a job thread tells the scheduler.
struct Prepared {
  std::string handle;
};
struct Noticed {
  bool warning = false;
  std::string text;
};
// It has passed and its artifacts stand where later jobs read them, but are not stored yet.
struct Produced {
  JobInputs inputs;
};
struct AttemptEnded {
  executors::JobResult result;
  std::vector<std::pair<std::string, std::string>> dotenv;
  std::optional<double> coverage;
  std::vector<ReportSummary> reports;
  std::optional<KeptSandbox> kept;
  std::chrono::milliseconds with_person{0};  // what a shell in its sandbox took
  bool helped = false;                       // help with its failure was tried
  bool started = false;                      // the go was given
  bool dropped = false;                      // it was not needed
};
struct Dropped {};
struct Message {
  JobKey key;
  std::variant<Prepared, Noticed, Produced, AttemptEnded, Dropped> what;
};

// The one guarded queue. The scheduler's thread waits on it; job threads and stop callbacks put into it.
class Mailbox {
 public:
  void put(Message);
  void wake();
  // Waits until something is there, wake() was called or the time is reached; then takes everything.
  std::deque<Message> take(std::optional<std::chrono::steady_clock::time_point> until);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Message> messages_;
  bool woken_ = false;
};

class JobThread {
 public:
  struct Context {
    executors::Executor& executor;
    ArtifactKeeper& keeper;
    Downstreams& downstreams;
    const std::vector<Observer*>& observers;
    Mailbox& mailbox;
    Limits limits;
    FailureHelp* help = nullptr;
  };
  // Starts preparing at once; `adopted` continues the attempt of a runner that died.
  JobThread(Context, JobKey, JobFactory::Made, std::optional<Earlier::Running> adopted = {});
  const JobFactory::Made& made() const { return made_; }
  ~JobThread();  // drops and joins
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  void go();            // its turn has come; call once, after Prepared arrived
  void drop();          // not needed after all
  void request_stop();  // cancels it, whatever it does

 private:
  enum class Turn { waiting, go, drop };
  void main(const std::stop_token&);
  AttemptEnded work(const std::stop_token&);
  AttemptEnded refuse_to_begin();
  AttemptEnded work_downstream(const std::stop_token&);
  Turn wait_for_turn();
  std::unique_ptr<executors::Execution> prepare(executors::Notices&, const std::stop_token&);
  std::vector<std::string> restore_caches();
  std::vector<std::string> keep_caches(const std::vector<executors::CollectedCache>&, executors::Notices&);
  void find_restored();
  void remember_restored() const;
  std::vector<std::string> take_credentials(executors::Notices&, const std::stop_token&);
  void mask_as_before();
  std::filesystem::path masked_file() const;
  std::filesystem::path restored_file() const;
  void use_restored();
  void release(AttemptEnded&, JobLog&, executors::Notices&);
  static void refuse_dotenv(AttemptEnded&, const std::string& why, executors::Notices&);
  void keep_artifacts(AttemptEnded&, executors::Notices&);
  void help(AttemptEnded&, executors::Execution*, executors::Notices&, const std::stop_token&);

  Context context_;
  JobKey key_;
  JobFactory::Made made_;
  std::optional<Earlier::Running> adopted_;
  std::map<std::size_t, RestoredCache> restored_;  // by CacheSpec::number
  std::mutex mutex_;
  std::condition_variable turned_;
  Turn turn_ = Turn::waiting;
  std::jthread thread_;  // last: starts when everything else stands
};

}  // namespace runner
