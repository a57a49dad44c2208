#include "pipelines/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pipelines {
namespace {

using Jobs = std::vector<JobIndex>;
using Outcomes = std::map<JobIndex, Outcome>;

struct Builder {
  Plan plan;

  // Stage, when, and (for a job with `needs`) what it needs. Returns the job's index.
  JobIndex add(std::uint32_t stage, When when = When::on_success, std::optional<Jobs> needs = std::nullopt) {
    PlannedJob job;
    job.job = static_cast<JobIndex>(plan.jobs.size());
    job.stage = stage;
    job.included = true;
    job.when = when;
    job.dag = needs.has_value();
    if (needs) {
      for (const JobIndex need : *needs) job.needs.push_back({need, true});
    }
    plan.jobs.push_back(job);
    return job.job;
  }
  JobIndex optional_manual(std::uint32_t stage) {
    const JobIndex job = add(stage, When::manual);
    plan.jobs[job].allow_failure.any = true;
    return job;
  }
};

// Drives a Progress and notes how every job ended, each at most once.
struct Drive {
  Progress progress;
  Outcomes outcomes;
  Jobs running;

  explicit Drive(const Plan& plan, const Jobs& manual = {}, bool keep_going = false)
      : progress(plan, manual, keep_going) {
    note(progress.begin());
    start();
  }
  void note(const std::vector<Ended>& ended) {
    for (const Ended& each : ended) {
      EXPECT_TRUE(outcomes.emplace(each.job, each.outcome).second) << "job " << each.job << " ended twice";
    }
  }
  void start() {
    while (const std::optional<JobIndex> job = progress.next()) running.push_back(*job);
  }
  void finish(JobIndex job, Outcome outcome = Outcome::passed, bool allowed = false) {
    const auto found = std::find(running.begin(), running.end(), job);
    ASSERT_NE(found, running.end()) << "job " << job << " does not run";
    running.erase(found);
    note({{job, outcome}});
    note(progress.finish(job, outcome, allowed));
    start();
  }
};

TEST(Progress, StagesFollowOneAnother) {
  Builder builder;
  const JobIndex last = builder.add(2), a = builder.add(0), b = builder.add(0), c = builder.add(1);
  Drive run(builder.plan);
  EXPECT_EQ(run.running, (Jobs{a, b}));
  run.finish(a);
  EXPECT_EQ(run.running, Jobs{b});
  run.finish(b);
  EXPECT_EQ(run.running, Jobs{c});
  EXPECT_FALSE(run.progress.done());
  run.finish(c);
  run.finish(last);
  EXPECT_TRUE(run.progress.done());
  EXPECT_EQ(run.progress.verdict(), Verdict::passed);
}

TEST(Progress, WhatIsSettledHasEndedWhateverItWaitsFor) {
  Builder builder;
  const JobIndex a = builder.add(0), b = builder.add(0), c = builder.add(1), d = builder.add(2);
  const JobIndex needs_c = builder.add(1, When::on_success, Jobs{c});
  Progress progress(builder.plan);
  EXPECT_TRUE(progress.begin({{a, Outcome::passed, false}, {c, Outcome::passed, false}}).empty());
  EXPECT_EQ(progress.next(), b);
  EXPECT_EQ(progress.next(), needs_c);
  EXPECT_EQ(progress.next(), std::nullopt);
  EXPECT_TRUE(progress.finish(needs_c, Outcome::passed, false).empty());
  // c stays passed although what it waits for fails now; what is decided anew is skipped.
  const std::vector<Ended> ended = progress.finish(b, Outcome::failed, false);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].job, d);
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(progress.verdict(), Verdict::failed);
}

TEST(Progress, ASettledFailureHoldsBackAndHaltsNothing) {
  Builder builder;
  builder.plan.cancel_on_failure = true;
  const JobIndex failed = builder.add(0), again = builder.add(0), later = builder.add(1);
  Progress progress(builder.plan);
  EXPECT_TRUE(progress.begin({{failed, Outcome::failed, false}}).empty());
  EXPECT_FALSE(progress.halted());
  EXPECT_EQ(progress.next(), again);
  const std::vector<Ended> ended = progress.finish(again, Outcome::passed, false);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].job, later);
  EXPECT_EQ(ended[0].outcome, Outcome::skipped);
  EXPECT_EQ(progress.verdict(), Verdict::failed);
}

TEST(Progress, WhatIsSettledIsNotPreparedAhead) {
  Builder builder;
  const JobIndex a = builder.add(0), settled = builder.add(1), next = builder.add(1);
  Progress progress(builder.plan);
  progress.begin({{settled, Outcome::passed, false}});
  EXPECT_EQ(progress.next(), a);
  EXPECT_EQ(progress.likely_next(3), Jobs{next});
}

TEST(Progress, AllSettledIsDoneAtOnce) {
  Builder builder;
  builder.add(0);
  builder.add(1);
  Progress progress(builder.plan);
  EXPECT_TRUE(progress.begin({{0, Outcome::passed, false}, {1, Outcome::passed, false}}).empty());
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(progress.verdict(), Verdict::passed);
}

TEST(Progress, WithPatienceABlockingManualJobWaitsUntilItIsStarted) {
  Builder builder;
  const JobIndex first = builder.add(0), other = builder.add(1), hand = builder.add(1, When::manual);
  const JobIndex later = builder.add(2);
  Progress progress(builder.plan, {}, false, /*patient=*/true);
  EXPECT_TRUE(progress.begin().empty());
  EXPECT_EQ(progress.next(), first);
  EXPECT_TRUE(progress.finish(first, Outcome::passed, false).empty());
  EXPECT_EQ(progress.waiting(), Jobs{hand});
  EXPECT_EQ(progress.next(), other);
  EXPECT_FALSE(progress.stands_still());  // something runs
  EXPECT_TRUE(progress.give_up().empty());
  EXPECT_TRUE(progress.finish(other, Outcome::passed, false).empty());
  EXPECT_TRUE(progress.stands_still());
  EXPECT_FALSE(progress.done());
  progress.start_by_hand(hand);
  EXPECT_FALSE(progress.stands_still());
  EXPECT_TRUE(progress.waiting().empty());
  EXPECT_EQ(progress.next(), hand);
  EXPECT_TRUE(progress.finish(hand, Outcome::passed, false).empty());
  EXPECT_EQ(progress.next(), later);
  EXPECT_TRUE(progress.finish(later, Outcome::passed, false).empty());
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(progress.verdict(), Verdict::passed);
}

TEST(Progress, GivingUpEndsWhatWaitsAsItWouldWithoutPatience) {
  Builder builder;
  const JobIndex hand = builder.add(0, When::manual), also = builder.add(0, When::manual), later = builder.add(1);
  const JobIndex optional = builder.optional_manual(0);
  Drive impatient(builder.plan);
  Progress progress(builder.plan, {}, false, /*patient=*/true);
  Outcomes ended;
  const auto note = [&](const std::vector<Ended>& some) {
    for (const Ended& each : some) EXPECT_TRUE(ended.emplace(each.job, each.outcome).second);
  };
  note(progress.begin());
  EXPECT_EQ(ended, (Outcomes{{optional, Outcome::manual}}));
  EXPECT_EQ(progress.waiting(), (Jobs{hand, also}));
  progress.start_by_hand(hand);
  EXPECT_EQ(progress.next(), hand);
  note(progress.finish(hand, Outcome::passed, false));
  EXPECT_TRUE(progress.stands_still());
  note(progress.give_up());
  EXPECT_EQ(ended, (Outcomes{{optional, Outcome::manual}, {also, Outcome::manual}, {later, Outcome::skipped}}));
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(progress.verdict(), Verdict::waiting);
  EXPECT_EQ(impatient.progress.verdict(), Verdict::waiting);
}

TEST(Progress, ACancelledRunHasPatienceWithNobody) {
  Builder builder;
  const JobIndex hand = builder.add(0, When::manual), later = builder.add(1);
  Progress progress(builder.plan, {}, false, /*patient=*/true);
  progress.begin();
  Outcomes ended;
  for (const Ended& each : progress.cancel()) ended.emplace(each.job, each.outcome);
  EXPECT_EQ(ended, (Outcomes{{hand, Outcome::manual}, {later, Outcome::cancelled}}));
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(progress.verdict(), Verdict::cancelled);
}

TEST(Progress, CancellingSomeSkipsWhoWaitsForThem) {
  Builder builder;
  const JobIndex runs = builder.add(0), a = builder.add(1), b = builder.add(1);
  const JobIndex needs_a = builder.add(2, When::on_success, Jobs{a}),
                 needs_b = builder.add(2, When::on_success, Jobs{b});
  Drive run(builder.plan);
  EXPECT_EQ(run.running, Jobs{runs});
  run.note(run.progress.cancel(Jobs{runs, a}));
  EXPECT_EQ(run.outcomes, (Outcomes{{a, Outcome::cancelled}, {needs_a, Outcome::skipped}}));
  run.finish(runs);  // it ran: the caller's to stop
  run.finish(b);
  run.finish(needs_b);
  EXPECT_TRUE(run.progress.done());
  EXPECT_EQ(run.progress.verdict(), Verdict::cancelled);
}

TEST(Progress, CancellingAReadyJobTakesItBack) {
  Builder builder;
  const JobIndex a = builder.add(0), b = builder.add(0);
  Progress progress(builder.plan);
  progress.begin();
  EXPECT_EQ(progress.cancel(Jobs{a}).size(), 1U);
  EXPECT_EQ(progress.next(), b);
  EXPECT_EQ(progress.next(), std::nullopt);
  progress.finish(b, Outcome::passed, false);
  EXPECT_TRUE(progress.done());
}

TEST(Progress, JobsStartByStageThenByFile) {
  Builder builder;
  builder.add(1, When::on_success, Jobs{});
  builder.add(0);
  builder.add(0, When::on_success, Jobs{});
  EXPECT_EQ(Drive(builder.plan).running, (Jobs{1, 2, 0}));
}

TEST(Progress, NeedsIgnoreStages) {
  Builder builder;
  const JobIndex a = builder.add(0), slow = builder.add(0);
  const JobIndex now = builder.add(2, When::on_success, Jobs{});
  const JobIndex after_a = builder.add(1, When::on_success, Jobs{a});
  const JobIndex staged = builder.add(1);
  Drive run(builder.plan);
  EXPECT_EQ(run.running, (Jobs{a, slow, now}));
  run.finish(a);
  EXPECT_EQ(run.running, (Jobs{slow, now, after_a}));
  run.finish(slow);
  EXPECT_EQ(run.running, (Jobs{now, after_a, staged}));
}

// workflow:auto_cancel:on_job_failure: all.
TEST(Progress, AFailureMayCancelTheRest) {
  Builder builder;
  const JobIndex a = builder.add(0), slow = builder.add(0), next = builder.add(1);
  const JobIndex rescue = builder.add(1, When::on_failure), always = builder.add(2, When::always);
  builder.plan.cancel_on_failure = true;
  Drive run(builder.plan);
  EXPECT_FALSE(run.progress.halted());
  run.finish(a, Outcome::failed);
  EXPECT_TRUE(run.progress.halted());
  EXPECT_EQ(run.running, Jobs{slow});
  for (const JobIndex job : {next, rescue, always}) EXPECT_EQ(run.outcomes.at(job), Outcome::cancelled) << job;
  EXPECT_FALSE(run.progress.done()) << "what runs is still to be stopped";
  run.finish(slow, Outcome::cancelled);
  EXPECT_TRUE(run.progress.done());
  EXPECT_EQ(run.progress.verdict(), Verdict::failed);
}

TEST(Progress, AnAllowedFailureCancelsNothing) {
  Builder builder;
  const JobIndex a = builder.add(0), next = builder.add(1);
  builder.plan.cancel_on_failure = true;
  Drive run(builder.plan);
  run.finish(a, Outcome::failed, true);
  EXPECT_FALSE(run.progress.halted());
  EXPECT_EQ(run.running, Jobs{next});
}

TEST(Progress, KeepGoingIsStrongerThanCancellingOnFailure) {
  Builder builder;
  const JobIndex a = builder.add(0), next = builder.add(1);
  builder.plan.cancel_on_failure = true;
  Drive run(builder.plan, {}, /*keep_going=*/true);
  run.finish(a, Outcome::failed);
  EXPECT_EQ(run.running, Jobs{next});
}

// What becomes of a job of the next stage (or one that needs the first) by its `when` and by how the first ended.
struct Follow {
  Outcome first;
  bool allowed;
  When when;
  bool runs;
};

TEST(Progress, WhenDecidesByWhatWentBefore) {
  const std::vector<Follow> cases = {
      {Outcome::passed, false, When::on_success, true},     {Outcome::passed, false, When::on_failure, false},
      {Outcome::passed, false, When::always, true},         {Outcome::passed, false, When::delayed, true},
      {Outcome::failed, false, When::on_success, false},    {Outcome::failed, false, When::on_failure, true},
      {Outcome::failed, false, When::always, true},         {Outcome::failed, false, When::delayed, false},
      {Outcome::failed, true, When::on_success, true},      {Outcome::failed, true, When::on_failure, false},
      {Outcome::broken, false, When::on_success, false},    {Outcome::broken, false, When::on_failure, true},
      {Outcome::broken, true, When::on_success, true},      {Outcome::cancelled, false, When::on_success, false},
      {Outcome::cancelled, false, When::on_failure, false}, {Outcome::cancelled, false, When::always, false},
      {Outcome::cancelled, true, When::on_success, true},
  };
  for (const Follow& each : cases) {
    for (const bool dag : {false, true}) {
      Builder builder;
      const JobIndex first = builder.add(0);
      const JobIndex second = dag ? builder.add(1, each.when, Jobs{first}) : builder.add(1, each.when);
      Drive run(builder.plan);
      run.finish(first, each.first, each.allowed);
      const std::string what = std::string(to_string(each.first)) + (each.allowed ? " (allowed), " : ", ") +
                               std::to_string(static_cast<int>(each.when)) + (dag ? ", needs" : "");
      EXPECT_EQ(run.running.size(), each.runs ? 1U : 0U) << what;
      EXPECT_EQ(run.outcomes.count(second), each.runs ? 0U : 1U) << what;
    }
  }
}

TEST(Progress, AnEarlierFailureIsRememberedByAllLaterStages) {
  Builder builder;
  const JobIndex bad = builder.add(0), mid = builder.add(1), clean = builder.add(2, When::always),
                 late = builder.add(3), rescue = builder.add(3, When::on_failure);
  Drive run(builder.plan);
  run.finish(bad, Outcome::failed);
  EXPECT_EQ(run.outcomes.at(mid), Outcome::skipped);
  run.finish(clean);
  EXPECT_EQ(run.outcomes.at(late), Outcome::skipped);
  run.finish(rescue);
  EXPECT_EQ(run.progress.verdict(), Verdict::failed);
}

TEST(Progress, KeepGoingRunsLaterStagesButNotWhatNeedsTheFailedJob) {
  Builder builder;
  const JobIndex a = builder.add(0), b = builder.add(1), needing = builder.add(1, When::on_success, Jobs{a}),
                 c = builder.add(2), reacting = builder.add(2, When::on_failure);
  Drive run(builder.plan, {}, /*keep_going=*/true);
  run.finish(a, Outcome::failed);
  EXPECT_EQ(run.running, Jobs{b});
  EXPECT_EQ(run.outcomes.at(needing), Outcome::skipped);
  run.finish(b);
  EXPECT_EQ(run.running, (Jobs{c, reacting}));
  run.finish(c);
  run.finish(reacting);
  EXPECT_EQ(run.progress.verdict(), Verdict::failed);
}

TEST(Progress, SkippedCountsAsSuccessForStagesButNotForNeeds) {
  Builder builder;
  const JobIndex a = builder.add(0);
  const JobIndex skipped = builder.add(1, When::on_failure);
  const JobIndex staged = builder.add(2);
  const JobIndex needing = builder.add(2, When::on_success, Jobs{skipped});
  const JobIndex always = builder.add(2, When::always, Jobs{skipped});
  const JobIndex on_failure = builder.add(2, When::on_failure, Jobs{skipped});
  Drive run(builder.plan);
  run.finish(a);
  EXPECT_EQ(run.outcomes.at(skipped), Outcome::skipped);
  EXPECT_EQ(run.running, (Jobs{staged, always}));
  EXPECT_EQ(run.outcomes.at(needing), Outcome::skipped);
  EXPECT_EQ(run.outcomes.at(on_failure), Outcome::skipped);
}

TEST(Progress, OnFailureHasNothingToReactToInTheFirstStage) {
  Builder builder;
  const JobIndex a = builder.add(0, When::on_failure), b = builder.add(3, When::on_failure, Jobs{});
  Drive run(builder.plan);
  EXPECT_EQ(run.outcomes, (Outcomes{{a, Outcome::skipped}, {b, Outcome::skipped}}));
  EXPECT_TRUE(run.progress.done());
  EXPECT_EQ(run.progress.verdict(), Verdict::skipped);
}

TEST(Progress, AnOptionalManualJobBlocksNobodyButWhoNeedsIt) {
  Builder builder;
  const JobIndex manual = builder.optional_manual(0);
  const JobIndex staged = builder.add(1);
  const JobIndex needing = builder.add(1, When::on_success, Jobs{manual});
  const JobIndex after = builder.add(2, When::on_success, Jobs{needing});
  Drive run(builder.plan);
  EXPECT_EQ(run.outcomes,
            (Outcomes{{manual, Outcome::manual}, {needing, Outcome::skipped}, {after, Outcome::skipped}}));
  EXPECT_EQ(run.running, Jobs{staged});
  run.finish(staged);
  EXPECT_EQ(run.progress.verdict(), Verdict::passed);
}

TEST(Progress, ABlockingManualJobHoldsLaterStages) {
  Builder builder;
  const JobIndex other = builder.add(0), manual = builder.add(0, When::manual), later = builder.add(1, When::always);
  const JobIndex needing = builder.add(1, When::on_success, Jobs{manual});
  const JobIndex free = builder.add(1, When::on_success, Jobs{other});
  Drive run(builder.plan);
  EXPECT_EQ(run.outcomes, (Outcomes{{manual, Outcome::manual}}));
  run.finish(other);
  EXPECT_EQ(run.running, Jobs{free});
  EXPECT_FALSE(run.progress.done());
  run.finish(free);
  EXPECT_TRUE(run.progress.done());
  EXPECT_EQ(run.outcomes.at(later), Outcome::skipped);
  EXPECT_EQ(run.outcomes.at(needing), Outcome::skipped);
  EXPECT_EQ(run.progress.verdict(), Verdict::waiting);
}

TEST(Progress, FailedBeatsWaitingAndBrokenBeatsFailed) {
  Builder builder;
  const JobIndex manual = builder.add(0, When::manual), a = builder.add(0), b = builder.add(0);
  Drive run(builder.plan);
  EXPECT_EQ(run.outcomes.at(manual), Outcome::manual);
  run.finish(a, Outcome::failed);
  EXPECT_EQ(run.progress.verdict(), Verdict::failed);
  run.finish(b, Outcome::broken);
  EXPECT_EQ(run.progress.verdict(), Verdict::broken);
}

TEST(Progress, ManualJobsThatWereAskedForRun) {
  Builder builder;
  const JobIndex a = builder.add(0), asked = builder.add(1, When::manual), other = builder.add(1, When::manual);
  builder.plan.jobs[other].allow_failure.any = true;
  Drive run(builder.plan, {asked, a});
  run.finish(a);
  EXPECT_EQ(run.running, Jobs{asked});
  run.finish(asked);
  EXPECT_EQ(run.progress.verdict(), Verdict::passed);
  Drive failing(builder.plan, {asked});
  failing.finish(a, Outcome::failed);
  EXPECT_EQ(failing.outcomes.at(asked), Outcome::skipped);
  EXPECT_EQ(failing.outcomes.at(other), Outcome::skipped);
}

TEST(Progress, Verdicts) {
  const auto verdict = [](Outcome outcome, bool allowed) {
    Builder builder;
    Drive run((builder.add(0), builder.plan));
    run.finish(0, outcome, allowed);
    EXPECT_TRUE(run.progress.done());
    return run.progress.verdict();
  };
  EXPECT_EQ(verdict(Outcome::passed, false), Verdict::passed);
  EXPECT_EQ(verdict(Outcome::failed, false), Verdict::failed);
  EXPECT_EQ(verdict(Outcome::failed, true), Verdict::passed);
  EXPECT_EQ(verdict(Outcome::broken, false), Verdict::broken);
  EXPECT_EQ(verdict(Outcome::broken, true), Verdict::passed);
  EXPECT_EQ(verdict(Outcome::cancelled, false), Verdict::cancelled);
  Builder optional, nothing;
  optional.optional_manual(0);
  EXPECT_EQ(Drive(optional.plan).progress.verdict(), Verdict::skipped);
  Drive empty(nothing.plan);
  EXPECT_TRUE(empty.progress.done());
  EXPECT_EQ(empty.progress.verdict(), Verdict::skipped);
}

TEST(Progress, CancelEndsWhatHasNotStarted) {
  Builder builder;
  const JobIndex a = builder.add(0), b = builder.add(0), later = builder.add(1),
                 needing = builder.add(1, When::always, Jobs{a});
  Progress progress(builder.plan);
  EXPECT_TRUE(progress.begin().empty());
  EXPECT_EQ(progress.next(), std::optional(a));
  Outcomes ended;
  for (const Ended& each : progress.cancel()) ended.emplace(each.job, each.outcome);
  EXPECT_EQ(ended, (Outcomes{{b, Outcome::cancelled}, {later, Outcome::cancelled}, {needing, Outcome::cancelled}}));
  EXPECT_EQ(progress.next(), std::nullopt);
  EXPECT_FALSE(progress.done());
  EXPECT_TRUE(progress.likely_next(5).empty());
  EXPECT_TRUE(progress.finish(a, Outcome::cancelled, false).empty());
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(progress.verdict(), Verdict::cancelled);
  EXPECT_TRUE(progress.cancel().empty());
}

TEST(Progress, CancellingWhatIsOverChangesNothing) {
  Builder builder;
  builder.add(0);
  Drive run(builder.plan);
  run.finish(0);
  EXPECT_TRUE(run.progress.cancel().empty());
  EXPECT_EQ(run.progress.verdict(), Verdict::passed);
}

TEST(Progress, LikelyNextNamesWhatTheRunningJobsRelease) {
  Builder builder;
  const JobIndex a = builder.add(0), b = builder.add(0);
  const JobIndex staged = builder.add(1), staged2 = builder.add(1), rescue = builder.add(1, When::on_failure);
  const JobIndex needs_a = builder.add(2, When::on_success, Jobs{a});
  builder.add(2, When::on_success, Jobs{needs_a});
  builder.add(2, When::on_failure, Jobs{a});
  builder.add(1, When::manual);
  Progress progress(builder.plan);
  progress.begin();
  EXPECT_EQ(progress.likely_next(9), (Jobs{a, b}));
  EXPECT_EQ(progress.likely_next(1), Jobs{a});
  EXPECT_EQ(progress.next(), std::optional(a));
  EXPECT_EQ(progress.likely_next(9), (Jobs{b, needs_a}));
  EXPECT_EQ(progress.next(), std::optional(b));
  EXPECT_EQ(progress.likely_next(9), (Jobs{staged, staged2, needs_a}));
  EXPECT_EQ(progress.likely_next(2), (Jobs{staged, staged2}));
  EXPECT_TRUE(progress.likely_next(0).empty());
  progress.finish(b, Outcome::failed, false);
  EXPECT_EQ(progress.likely_next(9), (Jobs{rescue, needs_a}));
}

TEST(Progress, LikelyNextLooksPastAStageWithoutJobsOfItsOwn) {
  Builder builder;
  const JobIndex a = builder.add(0);
  const JobIndex far = builder.add(4);
  Progress progress(builder.plan);
  progress.begin();
  progress.next();
  EXPECT_EQ(progress.likely_next(1), Jobs{far});
  progress.finish(a, Outcome::passed, false);
  EXPECT_EQ(progress.next(), std::optional(far));
}

TEST(Progress, NeedsOnJobsThatAreOutAreNotWaitedFor) {
  Builder builder;
  const JobIndex out = builder.add(0), a = builder.add(1, When::on_success, Jobs{out}), b = builder.add(1);
  builder.plan.jobs[out].included = false;
  EXPECT_EQ(Drive(builder.plan).running, (Jobs{a, b}));
}

TEST(Progress, EveryNameIsATestedWord) {
  EXPECT_EQ(to_string(Outcome::manual), "manual");
  EXPECT_EQ(to_string(Outcome::broken), "broken");
  EXPECT_EQ(to_string(Verdict::waiting), "waiting");
  EXPECT_EQ(to_string(Verdict::cancelled), "cancelled");
}

// The same rules, looked up for every job against every other again and again.
class Oracle {
 public:
  enum class State { pending, startable, running, ended, waiting };
  struct Job {
    State state = State::pending;
    Outcome outcome = Outcome::skipped;
    bool allowed = false;
  };

  explicit Oracle(const Plan& plan) : plan_(plan), jobs(plan.jobs.size()) {}

  void settle() {
    for (bool changed = true; changed;) {
      changed = false;
      for (JobIndex job = 0; job < jobs.size(); ++job) changed = step(job) || changed;
    }
  }

 private:
  bool step(JobIndex index) {
    const PlannedJob& planned = plan_.jobs[index];
    if (!planned.included || jobs[index].state != State::pending) return false;
    bool failed = false, cancelled = false, skipped = false;
    for (JobIndex other = 0; other < jobs.size(); ++other) {
      const bool needed = std::any_of(planned.needs.begin(), planned.needs.end(),
                                      [&](const PlannedNeed& need) { return need.job == other; });
      if (!plan_.jobs[other].included || !(planned.dag ? needed : plan_.jobs[other].stage < planned.stage)) continue;
      const Job& waited = jobs[other];
      if (waited.state != State::ended) return false;
      const bool bad = waited.outcome == Outcome::failed || waited.outcome == Outcome::broken;
      failed = failed || (bad && !waited.allowed);
      cancelled = cancelled || (waited.outcome == Outcome::cancelled && !waited.allowed);
      skipped = skipped || waited.outcome == Outcome::skipped || waited.outcome == Outcome::manual;
    }
    const std::string status = planned.dag && skipped ? "skipped"
                               : failed               ? "failed"
                               : cancelled            ? "canceled"
                                                      : "success";
    Job& job = jobs[index];
    bool runs = status == "success";
    if (planned.when == When::on_failure) runs = status == "failed";
    if (planned.when == When::always) runs = status != "canceled";
    if (!runs) {
      job.state = State::ended;
    } else if (planned.when == When::manual) {
      job.outcome = Outcome::manual;
      job.state = planned.allow_failure.any ? State::ended : State::waiting;
    } else {
      job.state = State::startable;
    }
    return true;
  }

  const Plan& plan_;

 public:
  std::vector<Job> jobs;
};

Plan random_plan(std::mt19937& random) {
  Builder builder;
  const std::size_t count = 1 + random() % 14;
  const std::vector<When> whens = {When::on_success, When::on_success, When::on_success, When::on_failure,
                                   When::always,     When::manual,     When::delayed};
  for (std::size_t i = 0; i < count; ++i) {
    std::optional<Jobs> needs;
    if (random() % 2 == 0) {
      needs.emplace();
      for (JobIndex other = 0; other < i; ++other) {
        if (random() % 4 == 0) needs->push_back(other);
      }
    }
    const JobIndex job = builder.add(random() % 4, whens[random() % whens.size()], needs);
    builder.plan.jobs[job].allow_failure.any = random() % 2 == 0;
    builder.plan.jobs[job].included = random() % 8 != 0;
    // Needs may point up and down the stages, but a stage's job waits for all before it: no cycle through both.
    for (const PlannedNeed& need : builder.plan.jobs[job].needs) {
      builder.plan.jobs[job].stage = std::max(builder.plan.jobs[job].stage, builder.plan.jobs[need.job].stage);
    }
  }
  return builder.plan;
}

TEST(Progress, AgreesWithANaiveOracleOnRandomPlans) {
  std::mt19937 random(17);
  const std::vector<Outcome> ways = {Outcome::passed, Outcome::passed, Outcome::passed,
                                     Outcome::failed, Outcome::broken, Outcome::cancelled};
  std::map<Outcome, std::size_t> seen;
  for (int round = 0; round < 5'000; ++round) {
    const Plan plan = random_plan(random);
    Oracle oracle(plan);
    Drive run(plan);
    for (;;) {
      oracle.settle();
      for (JobIndex job = 0; job < plan.jobs.size(); ++job) {
        Oracle::Job& expected = oracle.jobs[job];
        const bool runs = std::find(run.running.begin(), run.running.end(), job) != run.running.end();
        if (expected.state == Oracle::State::startable) {
          ASSERT_TRUE(runs) << "round " << round << " job " << job;
          expected.state = Oracle::State::running;
        } else if (expected.state == Oracle::State::ended || expected.state == Oracle::State::waiting) {
          ASSERT_EQ(run.outcomes.at(job), expected.outcome) << "round " << round << " job " << job;
        } else if (expected.state == Oracle::State::pending) {
          ASSERT_FALSE(runs) << "round " << round << " job " << job;
        }
      }
      ASSERT_EQ(run.progress.done(), run.running.empty());
      if (run.running.empty()) break;
      const JobIndex job = run.running[random() % run.running.size()];
      const Outcome outcome = ways[random() % ways.size()];
      const bool allowed = plan.jobs[job].allow_failure.any;
      run.finish(job, outcome, allowed);
      oracle.jobs[job] = {Oracle::State::ended, outcome, allowed};
    }
    std::size_t included = 0;
    for (const PlannedJob& job : plan.jobs) included += job.included ? 1U : 0U;
    ASSERT_EQ(run.outcomes.size(), included) << "every included job ends exactly once";
    for (const auto& [job, outcome] : run.outcomes) ++seen[outcome];
  }
  EXPECT_EQ(seen.size(), 6U);
}

// Whatever is likely is pending, would be started if all that runs passed, and is named in order.
TEST(Progress, LikelyNextIsSoundOnRandomPlans) {
  std::mt19937 random(23);
  std::size_t named = 0;
  for (int round = 0; round < 3'000; ++round) {
    const Plan plan = random_plan(random);
    Drive run(plan);
    while (!run.running.empty()) {
      const Jobs likely = run.progress.likely_next(100);
      EXPECT_EQ(std::set<JobIndex>(likely.begin(), likely.end()).size(), likely.size());
      for (const JobIndex job : likely) EXPECT_EQ(run.outcomes.count(job), 0U);
      Jobs now = run.running;
      const bool complete = random() % 2 == 0;
      if (!complete) now.resize(1);
      for (const JobIndex job : now) run.finish(job);
      if (!complete) continue;
      named += likely.size();
      Jobs missing;
      for (const JobIndex job : likely) {
        const bool runs = std::find(run.running.begin(), run.running.end(), job) != run.running.end();
        if (!runs) missing.push_back(job);
      }
      EXPECT_EQ(missing, Jobs{}) << "round " << round;
    }
  }
  EXPECT_GT(named, 500U);
}

// 20,000 jobs in three stages, and a chain of 20,000: each step costs about as much as any other.
TEST(Progress, ManyJobs) {
  Builder staged, chain;
  for (std::uint32_t i = 0; i < 20'000; ++i) staged.add(i % 3);
  for (JobIndex i = 0; i < 20'000; ++i) {
    chain.add(0, When::on_success, i == 0 ? Jobs{} : Jobs{i - 1});
  }
  for (const Plan& plan : {staged.plan, chain.plan}) {
    Progress progress(plan);
    progress.begin();
    std::size_t ran = 0;
    while (const std::optional<JobIndex> job = progress.next()) {
      ++ran;
      EXPECT_LE(progress.likely_next(2).size(), 2U);
      progress.finish(*job, Outcome::passed, false);
    }
    EXPECT_EQ(ran, 20'000U);
    EXPECT_EQ(progress.verdict(), Verdict::passed);
  }
  Drive failing(chain.plan);  // 19,999 skips in one call, without recursion
  failing.finish(0, Outcome::failed);
  EXPECT_EQ(failing.outcomes.size(), 20'000U);
}

}  // namespace
}  // namespace pipelines
