// Writes what happens in a run into the store: the only place where events meet SQLite.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "runner/run/events.h"
#include "runner/run/scheduler.h"
#include "runner/store/store.h"

namespace runner {

class Recorder : public Observer, public ArtifactKeeper {
 public:
  // `run` was made by Store::create_run or adopted by Store::adopt_run. The store must outlive the recorder.
  Recorder(Store&, RunId run);
  // Throws StoreError: what cannot be recorded must not go on.
  void on(const Event&) override;
  void log(const JobKey&, std::string_view bytes, std::uint64_t raw) override;
  void keep(const Request&, const std::vector<executors::Collected>&) override;

 private:
  AttemptKey key(const JobKey& key) const { return {run_, key.job + 1, key.attempt}; }
  void close_log(const JobKey&);
  void end(const JobFinished&);

  Store& store_;
  const RunId run_;
  std::set<pipelines::JobIndex> begun_;  // jobs with an attempt that has not ended; scheduler's thread only
  std::map<pipelines::JobIndex, std::uint32_t> attempts_;
  std::mutex mutex_;
  std::map<std::pair<pipelines::JobIndex, std::uint32_t>, LogWriter> logs_;  // guarded by mutex_
};

}  // namespace runner
