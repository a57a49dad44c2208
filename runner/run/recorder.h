// Writes what happens in a run into the store: the only place where events meet SQLite.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "runner/run/caches.h"
#include "runner/run/events.h"
#include "runner/run/releases.h"
#include "runner/run/scheduler.h"
#include "runner/store/store.h"

namespace runner {

class Recorder : public Observer, public ArtifactKeeper, public ResourceKeeper {
 public:
  // `run` was made by Store::create_run or adopted by Store::adopt_run. The store must outlive the recorder.
  // `project` is whose resource groups they are, `modes` how they choose.
  Recorder(Store&, RunId run, std::string project = {}, std::map<std::string, ProcessMode> modes = {});
  // What its project has besides; without, jobs have no caches and make no releases. Before the first job.
  void set_project(Caches* caches, ReleaseScene scene);
  // Throws StoreError: what cannot be recorded must not go on.
  void on(const Event&) override;
  void log(const JobKey&, std::string_view bytes, std::uint64_t raw) override;
  void keep(const Request&, const std::vector<executors::Collected>&) override;
  void expect(pipelines::JobIndex, const Resource&);  // before the run's first job
  std::optional<Wait> acquire(pipelines::JobIndex, const Resource&) override;
  std::optional<RestoredCache> restore_cache(const std::vector<std::string>& keys) override;
  KeptCache keep_cache(const std::string& key, const executors::CollectedCache&,
                       const std::optional<RestoredCache>&) override;
  std::vector<std::string> release(const JobKey&, const pipelines::Release&, const SecretSet&,
                                   executors::Notices&) override;
  void read_log(const JobKey&, const std::function<void(std::string_view)>& sink) override;

 private:
  AttemptKey key(const JobKey& key) const { return {run_, key.job + 1, key.attempt}; }
  void close_log(const JobKey&);
  void end(const JobFinished&);
  void begin_deployment(const JobStarted&);
  void end_deployment(const JobKey&, const EnvironmentUse*, pipelines::Outcome, const std::string& message, UnixMs);
  ResourceGroup group_of(const Resource&) const;

  Store& store_;
  const RunId run_;
  const std::string project_;
  const std::map<std::string, ProcessMode> modes_;
  std::set<pipelines::JobIndex> queued_;  // who holds a resource group, waits for one or will; scheduler's thread only
  std::set<pipelines::JobIndex> deploying_;  // scheduler's thread only
  std::set<pipelines::JobIndex> begun_;      // jobs with an attempt that has not ended; scheduler's thread only
  Caches* caches_ = nullptr;
  std::optional<ReleaseScene> scene_;
  std::map<pipelines::JobIndex, std::uint32_t> attempts_;
  std::mutex mutex_;
  std::map<std::pair<pipelines::JobIndex, std::uint32_t>, LogWriter> logs_;  // guarded by mutex_
};

}  // namespace runner
