#include "pipelines/progress.h"

#include <algorithm>
#include <set>
#include <utility>

namespace pipelines {
namespace {

// What a job's waits have come to so far: all that decides whether it runs.
struct Waits {
  bool failed = false;     // one failed or broke, and that was not allowed
  bool cancelled = false;  // one was cancelled, and that was not allowed
  bool skipped = false;    // one did not run: skipped, or an optional manual job

  void add(const Waits& other) {
    failed |= other.failed;
    cancelled |= other.cancelled;
    skipped |= other.skipped;
  }
};

// GitLab's ProcessBuildService over its composite status.
bool lets_run(When when, bool dag, const Waits& waits) {
  switch (when) {
    case When::on_success:
    case When::delayed:
    case When::manual:
      return !waits.failed && !waits.cancelled && !(dag && waits.skipped);
    case When::on_failure:
      return waits.failed && !(dag && waits.skipped);
    case When::always:
      return !waits.cancelled || waits.failed || (dag && waits.skipped);
    case When::never:
      break;
  }
  return false;
}

enum class State : std::uint8_t { out, pending, waiting, ready, running, ended };

struct Stage {
  std::vector<JobIndex> jobs;  // that wait for the stage's turn: included, without needs
  std::size_t open = 0;        // included jobs, with needs or without, that have not ended
  std::size_t running = 0;     // of those, the ones that run
  Waits waits;                 // what its ended jobs mean to later stages
};

struct Tracked {
  State state = State::out;
  std::uint32_t waiting = 0;    // needs that have not ended
  std::uint32_t unstarted = 0;  // needs that neither run nor have ended
  Waits waits;                  // of its needs
};

}  // namespace

struct Progress::Impl {
  using Place = std::pair<std::uint32_t, JobIndex>;  // stage, job: the order of starting

  const Plan& plan;
  std::vector<Tracked> jobs;
  std::vector<bool> started_manually;
  // Who needs a job: those at dependents[first_dependent[job]] up to first_dependent[job + 1].
  std::vector<std::size_t> first_dependent;
  std::vector<JobIndex> dependents;
  std::vector<Stage> stages;
  std::size_t current = 0;  // the first stage with an open job; stages up to it have had their turn
  Waits before_current;     // of all earlier stages

  std::set<Place> ready;
  std::set<Place> promising;                       // pending jobs with needs, all of which run or have ended
  std::vector<std::pair<JobIndex, bool>> decided;  // to be started (true) or skipped: a work list, never a recursion
  std::vector<Ended> ended;                        // by the call in progress
  std::size_t running = 0;
  std::size_t pending = 0;
  std::vector<JobIndex> waiting;  // for a person
  const bool keep_going;
  const bool patient;
  bool cancelled = false;
  bool halted = false;   // by a failure: cancelled too, but not by a person
  bool blocked = false;  // a manual job that is not optional waits
  bool any_ran = false, any_failed = false, any_broken = false, any_cancelled = false;

  Impl(const Plan& a_plan, const std::vector<JobIndex>& manual, bool goes_on, bool has_patience)
      : plan(a_plan),
        jobs(plan.jobs.size()),
        started_manually(plan.jobs.size()),
        first_dependent(jobs.size() + 1),
        keep_going(goes_on),
        patient(has_patience) {
    for (const JobIndex job : manual) started_manually[job] = true;
    for (const PlannedJob& job : plan.jobs) {
      if (!job.included) continue;
      jobs[job.job].state = State::pending;
      ++pending;
      if (stages.size() <= job.stage) stages.resize(job.stage + std::size_t{1});
      ++stages[job.stage].open;
      if (!job.dag) stages[job.stage].jobs.push_back(job.job);
      for (const JobIndex need : needs(job)) ++first_dependent[need + std::size_t{1}];
    }
    for (std::size_t i = 1; i < first_dependent.size(); ++i) first_dependent[i] += first_dependent[i - 1];
    dependents.resize(first_dependent.back());
    std::vector<std::size_t> end(first_dependent.begin(), first_dependent.end() - 1);
    for (const PlannedJob& job : plan.jobs) {
      if (!job.included) continue;
      for (const JobIndex need : needs(job)) {
        dependents[end[need]++] = job.job;
        ++jobs[job.job].waiting;
        ++jobs[job.job].unstarted;
      }
    }
  }

  // Included ones: what is out cannot be waited for.
  std::vector<JobIndex> needs(const PlannedJob& job) const {
    std::vector<JobIndex> result;
    if (!job.dag) return result;
    for (const PlannedNeed& need : job.needs) {
      if (plan.jobs[need.job].included) result.push_back(need.job);
    }
    return result;
  }

  Place place(JobIndex job) const { return {plan.jobs[job].stage, job}; }

  template <typename Function>
  void each_dependent(JobIndex job, Function function) {
    for (std::size_t i = first_dependent[job]; i < first_dependent[job + std::size_t{1}]; ++i) function(dependents[i]);
  }

  // A job's waits are over: it starts, is skipped, or is left to a person.
  void decide(JobIndex job, const Waits& waits) {
    if (jobs[job].state != State::pending) return;
    decided.emplace_back(job, may_run(job, waits));
  }

  bool may_run(JobIndex job, Waits waits) const {
    const PlannedJob& planned = plan.jobs[job];
    if (keep_going && !planned.dag && planned.when != When::on_failure) waits.failed = false;
    return lets_run(planned.when, planned.dag, waits);
  }

  void settle() {
    release_stages();
    for (std::size_t i = 0; i < decided.size(); ++i) {
      const auto [job, runs] = decided[i];
      if (jobs[job].state != State::pending) continue;
      if (runs && !waits_for_person(job)) {
        jobs[job].state = State::ready;
        --pending;
        promising.erase(place(job));
        ready.insert(place(job));
      } else {
        ended_early(job, runs ? Outcome::manual : Outcome::skipped);
      }
      release_stages();
    }
    decided.clear();
    if (running == 0 && ready.empty() && waiting.empty() && pending != 0) give_up_rest();
  }

  // Only what waits behind a blocking manual job is left.
  void give_up_rest() {
    for (JobIndex job = 0; job < jobs.size(); ++job) {
      if (jobs[job].state == State::pending) give_up(job, Outcome::skipped);
    }
  }

  bool waits_for_person(JobIndex job) const { return plan.jobs[job].when == When::manual && !started_manually[job]; }

  void ended_early(JobIndex job, Outcome outcome) {
    const bool blocks = outcome == Outcome::manual && !plan.jobs[job].allow_failure.any;
    if (blocks && patient) {
      jobs[job].state = State::waiting;
      --pending;
      promising.erase(place(job));
      waiting.push_back(job);
      return;
    }
    give_up(job, outcome);
    if (blocks) {
      blocked = true;  // for those who wait for it, it has not ended
      return;
    }
    each_dependent(job, [&](JobIndex dependent) { --jobs[dependent].unstarted; });
    tell(job, Waits{false, false, true});
  }

  void give_up(JobIndex job, Outcome outcome) {
    jobs[job].state = State::ended;
    --pending;
    promising.erase(place(job));
    ended.push_back({job, outcome});
  }

  // The job runs from now on, whatever it waited for.
  void start(JobIndex job) {
    if (jobs[job].state == State::pending) --pending;
    jobs[job].state = State::running;
    promising.erase(place(job));
    any_ran = true;
    ++running;
    ++stages[plan.jobs[job].stage].running;
    each_dependent(job, [&](JobIndex dependent) {
      --jobs[dependent].unstarted;
      note_promising(dependent);
    });
  }

  // A running job has ended. Returns what that means to those who wait for it.
  Waits end(JobIndex job, Outcome outcome, bool allowed) {
    jobs[job].state = State::ended;
    --running;
    --stages[plan.jobs[job].stage].running;
    Waits meaning;
    if (outcome == Outcome::manual && !allowed) {
      blocked = true;  // for those who wait for it, it has not ended
      return meaning;
    }
    if (outcome == Outcome::skipped || outcome == Outcome::manual) {
      meaning.skipped = true;
    } else if (outcome != Outcome::passed && !allowed) {
      meaning.cancelled = outcome == Outcome::cancelled;
      meaning.failed = !meaning.cancelled;
      any_cancelled |= meaning.cancelled;
      any_failed |= outcome == Outcome::failed;
      any_broken |= outcome == Outcome::broken;
    }
    tell(job, meaning);
    return meaning;
  }

  // Those who waited for the job learn that it has ended. Its `unstarted` was counted down when it started.
  void tell(JobIndex job, const Waits& meaning) {
    Stage& stage = stages[plan.jobs[job].stage];
    --stage.open;
    stage.waits.add(meaning);
    each_dependent(job, [&](JobIndex dependent) {
      Tracked& waits_on = jobs[dependent];
      waits_on.waits.add(meaning);
      if (--waits_on.waiting == 0) {
        decide(dependent, waits_on.waits);
      } else {
        note_promising(dependent);
      }
    });
  }

  void note_promising(JobIndex job) {
    const Tracked& tracked = jobs[job];
    if (tracked.state != State::pending || tracked.unstarted != 0) return;
    if (!waits_for_person(job) && lets_run(plan.jobs[job].when, true, tracked.waits)) {
      promising.insert(place(job));
    } else {
      promising.erase(place(job));
    }
  }

  void release_stages() {
    while (current < stages.size() && stages[current].open == 0) {
      before_current.add(stages[current].waits);
      ++current;
      release_current();
    }
  }

  void release_current() {
    if (current >= stages.size()) return;
    for (const JobIndex job : stages[current].jobs) decide(job, before_current);
  }

  void give_up_waiting() {
    for (const JobIndex job : std::exchange(waiting, {})) {
      jobs[job].state = State::ended;
      ended.push_back({job, Outcome::manual});
      blocked = true;
    }
  }

  // Nothing more is to start.
  void cancel_rest() {
    cancelled = true;
    ready.clear();
    promising.clear();
    decided.clear();
    for (JobIndex job = 0; job < jobs.size(); ++job) {
      State& state = jobs[job].state;
      if (state != State::pending && state != State::ready) continue;
      state = State::ended;
      ended.push_back({job, Outcome::cancelled});
    }
    pending = 0;
    give_up_waiting();
  }

  std::vector<Ended> take_ended() { return std::exchange(ended, {}); }
};

Progress::Progress(const Plan& plan, const std::vector<JobIndex>& started_manually, bool keep_going, bool patient)
    : impl_(std::make_unique<Impl>(plan, started_manually, keep_going, patient)) {}
Progress::~Progress() = default;

std::vector<Ended> Progress::begin(const std::vector<Settled>& settled) {
  Impl& self = *impl_;
  for (const Settled& each : settled) self.start(each.job);
  for (const Settled& each : settled) self.end(each.job, each.outcome, each.allowed);
  self.release_current();
  for (const PlannedJob& job : self.plan.jobs) {
    if (job.included && job.dag && self.jobs[job.job].waiting == 0) self.decide(job.job, {});
  }
  self.settle();
  return self.take_ended();
}

std::optional<JobIndex> Progress::next() {
  Impl& self = *impl_;
  if (self.ready.empty()) return std::nullopt;
  const JobIndex job = self.ready.begin()->second;
  self.ready.erase(self.ready.begin());
  self.start(job);
  return job;
}

std::vector<JobIndex> Progress::likely_next(std::size_t limit) const {
  const Impl& self = *impl_;
  std::vector<JobIndex> likely;
  for (auto place = self.ready.begin(); place != self.ready.end() && likely.size() < limit; ++place) {
    likely.push_back(place->second);
  }
  const std::size_t sure = likely.size();
  if (sure == limit || self.cancelled) return likely;
  for (auto place = self.promising.begin(); place != self.promising.end() && likely.size() < limit; ++place) {
    likely.push_back(place->second);
  }
  // The next stages, as long as all that is left of those before them runs.
  Waits waits = self.before_current;
  std::size_t found = 0;
  std::size_t looked_at = 0;  // bounds the cost where thousands of jobs wait for a person
  for (std::size_t i = self.current; i + 1 < self.stages.size() && found == 0; ++i) {
    if (self.stages[i].open != self.stages[i].running) break;
    waits.add(self.stages[i].waits);
    for (const JobIndex job : self.stages[i + 1].jobs) {
      if (found + sure == limit || ++looked_at > 8 * limit + 64) break;
      if (self.jobs[job].state != State::pending) continue;  // settled or cancelled before its stage's turn
      if (self.waits_for_person(job) || !self.may_run(job, waits)) continue;
      likely.push_back(job);
      ++found;
    }
  }
  const auto first = likely.begin() + static_cast<std::ptrdiff_t>(sure);
  std::sort(first, likely.end(), [&](JobIndex a, JobIndex b) { return self.place(a) < self.place(b); });
  likely.resize(std::min(likely.size(), limit));
  return likely;
}

std::vector<Ended> Progress::finish(JobIndex job, Outcome outcome, bool allowed) {
  Impl& self = *impl_;
  if (self.jobs[job].state != State::running) return {};
  const Waits meaning = self.end(job, outcome, allowed);
  if (meaning.failed && self.plan.cancel_on_failure && !self.keep_going && !self.cancelled) {
    self.halted = true;
    self.cancel_rest();
  }
  if (!self.cancelled) self.settle();
  return self.take_ended();
}

const std::vector<JobIndex>& Progress::waiting() const { return impl_->waiting; }

bool Progress::stands_still() const { return impl_->running == 0 && impl_->ready.empty() && !impl_->waiting.empty(); }

void Progress::start_by_hand(JobIndex job) {
  Impl& self = *impl_;
  if (std::erase(self.waiting, job) == 0) return;
  self.jobs[job].state = State::ready;
  self.ready.insert(self.place(job));
}

std::vector<Ended> Progress::give_up() {
  Impl& self = *impl_;
  if (!stands_still()) return {};
  self.give_up_waiting();
  self.give_up_rest();
  return self.take_ended();
}

std::vector<Ended> Progress::cancel() {
  Impl& self = *impl_;
  if (done()) return {};
  self.halted = false;
  self.cancel_rest();
  return self.take_ended();
}

std::vector<Ended> Progress::cancel(const std::vector<JobIndex>& jobs) {
  Impl& self = *impl_;
  for (const JobIndex job : jobs) {
    State& state = self.jobs[job].state;
    if (state != State::pending && state != State::ready) continue;
    if (state == State::pending) --self.pending;
    state = State::ended;
    self.ready.erase(self.place(job));
    self.promising.erase(self.place(job));
    self.ended.push_back({job, Outcome::cancelled});
    self.any_cancelled = true;
    self.each_dependent(job, [&](JobIndex dependent) { --self.jobs[dependent].unstarted; });
    self.tell(job, Waits{false, true, false});
  }
  if (!self.cancelled) self.settle();
  return self.take_ended();
}

bool Progress::halted() const { return impl_->halted; }

bool Progress::done() const {
  return impl_->running == 0 && impl_->ready.empty() && impl_->pending == 0 && impl_->waiting.empty();
}

Verdict Progress::verdict() const {
  const Impl& self = *impl_;
  if (self.cancelled && !self.halted) return Verdict::cancelled;
  if (self.any_broken) return Verdict::broken;
  if (self.any_failed) return Verdict::failed;
  if (self.any_cancelled) return Verdict::cancelled;
  if (self.blocked) return Verdict::waiting;
  return self.any_ran ? Verdict::passed : Verdict::skipped;
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::passed:
      return "passed";
    case Outcome::failed:
      return "failed";
    case Outcome::skipped:
      return "skipped";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::broken:
      return "broken";
    case Outcome::manual:
      return "manual";
  }
  return "unknown";
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return "passed";
    case Verdict::failed:
      return "failed";
    case Verdict::cancelled:
      return "cancelled";
    case Verdict::broken:
      return "broken";
    case Verdict::waiting:
      return "waiting";
    case Verdict::skipped:
      return "skipped";
  }
  return "unknown";
}

}  // namespace pipelines
