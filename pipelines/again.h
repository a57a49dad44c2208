// Which jobs of an earlier run are done again (`runner retry`), and what a newer run makes of one that is still under
// way (`workflow:auto_cancel:on_new_commit`). Decisions only: no clock, no store.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipelines/plan.h"
#include "pipelines/progress.h"

namespace pipelines {

// What became of a job in the earlier run. Without an outcome it did not end there, or was not part of it.
struct Before {
  std::optional<Outcome> outcome;
  bool allowed = false;  // its failure was tolerated
  bool ran = false;      // an attempt began, there or in a run before it
};

// What is asked to be done again.
struct Again {
  std::vector<JobIndex> jobs;  // these; empty: all that failed, broke or was cancelled
  bool from = false;           // with `jobs`: also what ran after them
};

// By job of the plan: whether it is decided anew. The others stand as they were: see settled().
//
// Without `jobs`: what failed (also where that was allowed), broke or was cancelled, and all that depends on it,
// whether it ran or not. With `jobs`: these, and what never ran because of them; with `from` all that depends on them.
// Depends: needs it, takes its artifacts, or comes in a later stage without `needs`, however indirectly; a mere later
// stage does not count where all that goes on is an allowed failure: nothing waited for how that ended.
// Jobs that never ran are decided anew as well, but for those that were cancelled: with `jobs` they only are when they
// depend on one of these.
std::vector<bool> jobs_to_do_again(const Plan&, const std::vector<Before>&, const Again&);

// What stands as it was, for Progress::begin().
std::vector<Settled> settled(const Plan&, const std::vector<Before>&, const std::vector<bool>& again);

// Of `jobs`, those that would not run, though all that runs passed: what they wait for stands as it was and keeps them
// from it. `manual`: as Progress has it.
std::vector<JobIndex> kept_from_running(const Plan&, const std::vector<Settled>&, const std::vector<JobIndex>& manual,
                                        const std::vector<JobIndex>& jobs);

// A run that a newer one of the same branch makes superfluous (docs.gitlab.com/ci/yaml, workflow:auto_cancel:
// on_new_commit and interruptible; app/services/ci/pipeline_creation/cancel_redundant_pipelines_service.rb and
// cancel_pipeline_service.rb).
enum class Redundant : std::uint8_t {
  let_finish,           // nothing of it is cancelled
  cancel,               // the run as a whole
  cancel_interruptible  // those of its jobs that are `interruptible: true` and have not ended, started or not
};

// `started`: jobs that run or ran to their end, those that were cancelled not counted. `conservative` cancels the run
// as long as none of them is `interruptible: false`, which is the default; trigger jobs do not count.
Redundant when_redundant(const Pipeline&, const Plan&, const std::vector<JobIndex>& started);
// The same for one job: whether, once started, it lets no newer run cancel this one as a whole.
bool holds_run(const Pipeline&, const PlannedJob&);

}  // namespace pipelines
