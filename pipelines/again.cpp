#include "pipelines/again.h"

#include <algorithm>
#include <iterator>

namespace pipelines {
namespace {

bool went_wrong(const Before& before) {
  return !before.outcome || *before.outcome == Outcome::failed || *before.outcome == Outcome::broken ||
         *before.outcome == Outcome::cancelled;
}

// Spreads from the jobs that are done again to those that depend on them.
class Spreading {
 public:
  Spreading(const Plan& plan, const std::vector<Before>& before)
      : plan_(plan), before_(before), again_(plan.jobs.size()), holds_back_(plan.jobs.size()) {}

  void begin_with(JobIndex job, bool holds_back) {
    again_[job] = true;
    holds_back_[job] = holds_back;
  }

  // `ran_too`: also to jobs that ran; else only to those that never did.
  std::vector<bool> spread(bool ran_too) {
    bool changed = true;
    while (changed) {
      changed = false;
      find_first_stage();
      for (const PlannedJob& job : plan_.jobs) {
        if (!job.included || again_[job.job] || (!ran_too && before_[job.job].ran) || !depends(job)) continue;
        begin_with(job.job, true);
        changed = true;
      }
    }
    return again_;
  }

 private:
  // A job of a later stage than this waits for one that is done again.
  void find_first_stage() {
    first_stage_.reset();
    for (const PlannedJob& job : plan_.jobs) {
      if (!again_[job.job] || !holds_back_[job.job]) continue;
      if (!first_stage_ || job.stage < *first_stage_) first_stage_ = job.stage;
    }
  }

  bool depends(const PlannedJob& job) const {
    if (job.dag) {
      return std::any_of(job.needs.begin(), job.needs.end(),
                         [this](const PlannedNeed& need) { return again_[need.job]; });
    }
    if (first_stage_ && *first_stage_ < job.stage) return true;
    const std::vector<JobIndex> from = plan_.artifacts_from(job.job);
    return std::any_of(from.begin(), from.end(), [this](JobIndex producer) { return again_[producer]; });
  }

  const Plan& plan_;
  const std::vector<Before>& before_;
  std::vector<bool> again_;
  std::vector<bool> holds_back_;  // later stages waited for how it ended
  std::optional<std::uint32_t> first_stage_;
};

}  // namespace

std::vector<bool> jobs_to_do_again(const Plan& plan, const std::vector<Before>& before, const Again& what) {
  Spreading spreading(plan, before);
  for (const JobIndex job : what.jobs) spreading.begin_with(job, true);
  if (what.jobs.empty()) {
    for (const PlannedJob& job : plan.jobs) {
      const Before& was = before[job.job];
      // Nothing of that run waited for a job that was not in it.
      const bool waited_for = !was.allowed && (was.outcome || was.ran);
      if (job.included && went_wrong(was)) spreading.begin_with(job.job, waited_for);
    }
  }
  std::vector<bool> again = spreading.spread(what.jobs.empty() || what.from);
  for (const PlannedJob& job : plan.jobs) {
    const Before& was = before[job.job];
    const bool stays_cancelled = was.outcome == Outcome::cancelled;
    if (job.included && !was.ran && !stays_cancelled) again[job.job] = true;
  }
  return again;
}

std::vector<Settled> settled(const Plan& plan, const std::vector<Before>& before, const std::vector<bool>& again) {
  std::vector<Settled> result;
  for (const PlannedJob& job : plan.jobs) {
    if (!job.included || again[job.job]) continue;
    const Before& was = before[job.job];
    if (was.outcome) result.push_back({job.job, *was.outcome, was.allowed});
  }
  return result;
}

std::vector<JobIndex> kept_from_running(const Plan& plan, const std::vector<Settled>& standing,
                                        const std::vector<JobIndex>& manual, const std::vector<JobIndex>& jobs) {
  Progress progress(plan, manual);
  std::vector<bool> runs(plan.jobs.size());
  progress.begin(standing);
  while (const std::optional<JobIndex> job = progress.next()) {
    runs[*job] = true;
    progress.finish(*job, Outcome::passed, false);
  }
  std::vector<JobIndex> kept;
  std::copy_if(jobs.begin(), jobs.end(), std::back_inserter(kept), [&](JobIndex job) { return !runs[job]; });
  return kept;
}

bool holds_run(const Pipeline& pipeline, const PlannedJob& job) {
  return !job.interruptible && !pipeline.jobs[job.job].trigger;
}

Redundant when_redundant(const Pipeline& pipeline, const Plan& plan, const std::vector<JobIndex>& started) {
  switch (plan.on_new_commit) {
    case OnNewCommit::none:
      return Redundant::let_finish;
    case OnNewCommit::interruptible:
      return Redundant::cancel_interruptible;
    case OnNewCommit::conservative:
      break;
  }
  const bool held =
      std::any_of(started.begin(), started.end(), [&](JobIndex job) { return holds_run(pipeline, plan.jobs[job]); });
  return held ? Redundant::let_finish : Redundant::cancel;
}

}  // namespace pipelines
