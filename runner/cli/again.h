// What `retry` and `rollback` share: an earlier run, what became of its jobs, and what is needed to do some of them
// again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/again.h"
#include "runner/cli/load.h"
#include "runner/hosts/checkout.h"
#include "runner/run/rollback.h"
#include "runner/store/store.h"

namespace runner {

// The earlier run and the plan that is to be walked again. All must outlive it.
struct Scene {
  const Store& store;
  const RunDetail& run;
  const Loaded& loaded;
  std::vector<const JobRow*> rows;  // by job of the plan; null: it was not in that run
  std::vector<pipelines::Before> before;

  const std::string& name(pipelines::JobIndex job) const { return loaded.parsed.pipeline.jobs[job].name; }
};
Scene make_scene(const Store&, const RunDetail&, const std::vector<JobRow>&, const Loaded&);

// Of the jobs that are done again, those whose inputs are not kept any more: whose artifacts they take, by job. A job
// that stands and whose files somebody takes must still have them.
struct LostInput {
  pipelines::JobIndex job = 0, producer = 0;
};
std::optional<LostInput> lost_input(const Scene&, const std::vector<bool>& again);

// The snapshots of that run; kept from going while they live. Empty: they are not kept any more. `outdated`: the
// project's files have changed since.
struct SourcesOfThen {
  std::vector<Snapshot> snapshots;
  bool outdated = false;
};
SourcesOfThen sources_of(const Store&, const RunDetail&);

// What was recorded of the run, for one that does some of it again: `manual` jobs are started, and of all jobs only
// `only` are there (empty: all).
std::string record_again(const std::string& recorded, const std::vector<std::string>& manual,
                         const std::string& revision, const std::vector<std::string>& only = {});
// Leaves only these jobs in the plan.
void keep_only(Loaded&, const std::vector<std::string>& jobs);

// A rollback: what it leaves of the plan.
struct RolledBack {
  std::vector<std::string> jobs;                        // that deploy again
  std::vector<std::string> only;                        // these, and those whose artifacts they take
  std::map<pipelines::JobIndex, std::uint32_t> reused;  // the latter: as SessionSettings::Retry has them
};
// `loaded` is the earlier run's plan; what has no part in it goes. Throws UsageError where artifacts have expired.
RolledBack make_again(const Store&, const RunDetail&, Loaded&, const RollbackTarget&);

std::string quoted(const std::string& word);  // for a shell, where it has to be

}  // namespace runner
