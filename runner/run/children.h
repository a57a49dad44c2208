// Child pipelines: what `trigger` jobs run. Each is a run of its own in the store, driven by a session of its own in
// this process, over the same sources and executor, and shown by the same console.
#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "pipelines/parse.h"
#include "pipelines/plan.h"
#include "runner/run/scheduler.h"
#include "runner/store/store.h"

namespace runner {

// docs.gitlab.com/ee/ci/pipelines/downstream_pipelines: a child's child is the last.
inline constexpr unsigned deepest_child = 2;

// What the child pipeline is made of.
struct ChildRequest {
  const DownstreamRequest& asked;
  std::filesystem::path sources;        // the run's snapshot
  const RunDetail* taken_up = nullptr;  // begun by an earlier process: what is recorded of it, to be made again
};

struct ChildPipeline {
  std::string file;                               // how messages call it
  std::string text;                               // what makes it again: a pipeline file
  std::string options;                            // JSON for whoever resumes it
  std::map<std::string, std::string> predefined;  // its predefined variables, for ID tokens
  // A rollback's: jobs of an earlier run, over the sources of then.
  struct Again {
    RunId of = 0;
    std::map<pipelines::JobIndex, std::uint32_t> reused;  // jobs that stand as they ended there, by its job, from 1
    std::uint64_t rollback_of = 0;                        // the deployment
  };
  std::optional<Again> again;
  std::string complaint;  // why it cannot be made, in one line; then there is nothing else
  pipelines::Parsed parsed;
  pipelines::Plan plan;
};
// Called from job threads, concurrently. Problems are in `complaint`.
using ChildLoader = std::function<std::unique_ptr<ChildPipeline>(const ChildRequest&)>;

// Lets one console watch several runs: a child's jobs get numbers behind those that are there. Observers of children
// come from here and live as long as it.
class Relay : public Observer {
 public:
  explicit Relay(Observer& console) : console_(console) {}
  void on(const Event&) override;
  void log(const JobKey&, std::string_view bytes, std::uint64_t raw) override;
  void conceal(const JobKey&, const SecretSet&) override;
  Observer& child();

 private:
  class Child;
  // `first`: what a child's own numbers begin at.
  void pass(Event, pipelines::JobIndex first);
  void pass_log(JobKey, std::string_view bytes, std::uint64_t raw, pipelines::JobIndex first);
  void pass_secrets(JobKey, const SecretSet&, pipelines::JobIndex first);
  pipelines::JobIndex make_room(pipelines::JobIndex jobs);

  Observer& console_;
  std::mutex order_;         // one event at a time
  std::shared_mutex shown_;  // exclusively for what makes jobs known, shared by their output
  std::mutex numbers_;       // guards the two below
  pipelines::JobIndex next_ = 0;
  std::list<std::unique_ptr<Observer>> children_;
};

// How a child's session is run: blocks until it is over. `created` is called when its run is in the store and shown.
struct ChildStart {
  const ChildPipeline& pipeline;
  JobKey parent;
  std::optional<RunId> taken_up;  // of an earlier process
  std::function<void(RunId)> created;
};
struct ChildEnd {
  RunId run = 0;
  pipelines::Verdict verdict = pipelines::Verdict::passed;
};
using ChildRunner = std::function<ChildEnd(const ChildStart&, const std::stop_token&)>;

class Children : public Downstreams {
 public:
  // `run`: the parent. `depth`: its own, 0 for one that nobody triggered.
  Children(Store&, RunId run, unsigned depth, std::filesystem::path sources, ChildLoader, ChildRunner);
  ~Children() override;  // waits for those that nobody waits for
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  executors::JobResult run(const JobKey&, const DownstreamRequest&, executors::Notices&,
                           const std::stop_token&) override;
  // Returns when every child is over; a stop request cancels them.
  void wait(const std::stop_token&);

 private:
  executors::JobResult roll_back(const JobKey&, const DownstreamRequest&, executors::Notices&, const std::stop_token&);
  std::optional<RunDetail> take_up(const std::optional<RunRow>& before);
  executors::JobResult start(const JobKey&, const DownstreamRequest&, std::shared_ptr<const ChildPipeline>,
                             std::optional<RunId> taken_up, executors::Notices&, const std::stop_token&);

  Store& store_;
  const RunId run_;
  const unsigned depth_;
  const std::filesystem::path sources_;
  const ChildLoader load_;
  const ChildRunner runner_;
  std::mutex mutex_;
  std::list<std::jthread> loose_;  // whose job has ended; guarded by mutex_
};

}  // namespace runner
