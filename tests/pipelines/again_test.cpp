// `runner retry` and `workflow:auto_cancel:on_new_commit`, decided.
#include "pipelines/again.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "pipelines/parse.h"

namespace pipelines {
namespace {

using Names = std::vector<std::string>;

struct World {
  Parsed parsed;
  Plan plan;
  std::vector<Before> before;

  explicit World(const std::string& yaml, const VariableSet& variables = {}) {
    parsed = parse(yaml, "pipeline.yml");
    EXPECT_TRUE(parsed.diagnostics.empty()) << render(parsed.diagnostics, parsed.sources, false);
    Trigger trigger;
    trigger.variables = variables;
    plan = make_plan(parsed.pipeline, trigger, {});
    before.assign(plan.jobs.size(), Before{Outcome::passed, false, true});
  }
  JobIndex job(const std::string& name) const {
    for (JobIndex i = 0; i < parsed.pipeline.jobs.size(); ++i) {
      if (parsed.pipeline.jobs[i].name == name) return i;
    }
    ADD_FAILURE() << "no job " << name;
    return 0;
  }
  std::vector<JobIndex> jobs(const Names& names) const {
    std::vector<JobIndex> found;
    for (const std::string& name : names) found.push_back(job(name));
    return found;
  }
  World& was(const std::string& name, Outcome outcome, bool allowed = false, bool ran = true) {
    before[job(name)] = {outcome, allowed, ran};
    return *this;
  }
  World& never_ran(const std::string& name, Outcome outcome = Outcome::skipped) {
    return was(name, outcome, false, false);
  }
  World& was_not_there(const std::string& name) {
    before[job(name)] = {};
    return *this;
  }
  Names names(const std::vector<JobIndex>& jobs) const {
    Names result;
    for (const JobIndex each : jobs) result.push_back(parsed.pipeline.jobs[each].name);
    return result;
  }
  Names again(const Names& asked = {}, bool from = false) const {
    const std::vector<bool> chosen = jobs_to_do_again(plan, before, {jobs(asked), from});
    std::vector<JobIndex> result;
    for (JobIndex i = 0; i < chosen.size(); ++i) {
      if (chosen[i]) result.push_back(i);
    }
    return names(result);
  }
};

constexpr const char* stages = R"(
stages: [build, test, deploy]
build: {stage: build, script: x, artifacts: {paths: [out]}}
lint: {stage: build, script: x}
unit: {stage: test, script: x}
slow: {stage: test, script: x}
deploy: {stage: deploy, script: x}
)";

TEST(JobsToDoAgain, WhatFailedAndWhatComesAfterIt) {
  World world(stages);
  world.was("unit", Outcome::failed).never_ran("deploy");
  EXPECT_EQ(world.again(), (Names{"unit", "deploy"}));
}

TEST(JobsToDoAgain, NothingOfARunThatPassed) { EXPECT_EQ(World(stages).again(), Names{}); }

TEST(JobsToDoAgain, WhatBrokeWasCancelledOrLost) {
  World world(stages);
  world.was("build", Outcome::broken).was("lint", Outcome::cancelled);
  for (const char* job : {"unit", "slow", "deploy"}) world.never_ran(job, Outcome::cancelled);
  EXPECT_EQ(world.again(), (Names{"build", "lint", "unit", "slow", "deploy"}));
  World lost(stages);
  lost.before[lost.job("slow")] = {std::nullopt, false, true};
  EXPECT_EQ(lost.again(), (Names{"slow", "deploy"}));
}

TEST(JobsToDoAgain, WhatRanAfterAFailureIsDoneAgainToo) {
  World world(std::string(stages) + "cleanup: {stage: .post, script: x, when: always}\n");
  world.was("unit", Outcome::failed).never_ran("deploy");
  EXPECT_EQ(world.again(), (Names{"unit", "deploy", "cleanup"}));
}

TEST(JobsToDoAgain, AMereStageAfterAnAllowedFailureIsNot) {
  World world(stages);
  world.was("lint", Outcome::failed, true);
  EXPECT_EQ(world.again(), Names{"lint"});
  // But who takes its files is.
  World maker(stages);
  maker.was("build", Outcome::failed, true);
  EXPECT_EQ(maker.again(), (Names{"build", "unit", "slow", "deploy"}));
}

TEST(JobsToDoAgain, ByNeedsHoweverIndirect) {
  World world(R"(
a: {script: x}
b: {script: x, needs: [a]}
c: {script: x, needs: [b]}
d: {script: x, needs: []}
)");
  world.was("a", Outcome::failed).never_ran("b").never_ran("c");
  EXPECT_EQ(world.again(), (Names{"a", "b", "c"}));
  World allowed("a: {script: x, allow_failure: true}\nb: {script: x, needs: [a]}\nc: {script: x}\n");
  allowed.was("a", Outcome::failed, true);
  EXPECT_EQ(allowed.again(), (Names{"a", "b"}));
}

TEST(JobsToDoAgain, AJobThatIsNewRunsAndHoldsNobodyBack) {
  World world(stages);
  world.was_not_there("lint").was("slow", Outcome::failed).never_ran("deploy");
  EXPECT_EQ(world.again(), (Names{"lint", "slow", "deploy"}));
}

TEST(JobsToDoAgain, ANamedJobAndWhatNeverRanBecauseOfIt) {
  World world(stages);
  world.was("unit", Outcome::failed).was("slow", Outcome::failed).never_ran("deploy");
  EXPECT_EQ(world.again({"unit"}), (Names{"unit", "deploy"}));
  EXPECT_EQ(World(stages).again({"build"}), Names{"build"});
}

TEST(JobsToDoAgain, FromANamedJobAllThatCameAfterIt) {
  EXPECT_EQ(World(stages).again({"unit"}, true), (Names{"unit", "deploy"}));
  EXPECT_EQ(World(stages).again({"lint"}, true), (Names{"lint", "unit", "slow", "deploy"}));
}

TEST(JobsToDoAgain, ANamedJobLeavesWhatWasCancelledElsewhere) {
  World world("a: {script: x, needs: []}\nb: {script: x, needs: []}\nc: {script: x, needs: [b]}\n");
  world.was("a", Outcome::failed).was("b", Outcome::cancelled).never_ran("c", Outcome::cancelled);
  EXPECT_EQ(world.again({"a"}), Names{"a"});
  EXPECT_EQ(world.again({"b"}), (Names{"b", "c"}));
  EXPECT_EQ(world.again(), (Names{"a", "b", "c"}));
}

TEST(JobsToDoAgain, WhatIsNotInThePlanIsNot) {
  World world("a: {script: x}\nb: {script: x, rules: [{when: never}]}\n");
  world.was("a", Outcome::failed).was_not_there("b");
  EXPECT_EQ(world.again(), Names{"a"});
}

TEST(SettledJobs, StandAsTheyWere) {
  World world(stages);
  world.was("lint", Outcome::failed, true).was("unit", Outcome::failed).never_ran("deploy");
  const std::vector<Settled> all = settled(world.plan, world.before, {false, false, true, false, true});
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1].job, world.job("lint"));
  EXPECT_EQ(all[1].outcome, Outcome::failed);
  EXPECT_TRUE(all[1].allowed);
}

TEST(KeptFromRunning, AJobBehindAFailureThatStands) {
  World world(stages);
  world.was("unit", Outcome::failed).never_ran("deploy");
  const std::vector<JobIndex> deploy = world.jobs({"deploy"});
  std::vector<bool> again = jobs_to_do_again(world.plan, world.before, {deploy, false});
  EXPECT_EQ(kept_from_running(world.plan, settled(world.plan, world.before, again), {}, deploy), deploy);
  again = jobs_to_do_again(world.plan, world.before, {world.jobs({"unit", "deploy"}), false});
  EXPECT_TRUE(kept_from_running(world.plan, settled(world.plan, world.before, again), {}, deploy).empty());
}

TEST(KeptFromRunning, AManualJobThatNobodyStarts) {
  World world("a: {script: x}\nb: {script: x, when: manual}\n");
  const std::vector<JobIndex> b = world.jobs({"b"});
  EXPECT_EQ(kept_from_running(world.plan, {}, {}, b), b);
  EXPECT_TRUE(kept_from_running(world.plan, {}, b, b).empty());
}

// ---- workflow:auto_cancel:on_new_commit and interruptible

constexpr const char* mixed = R"(
test: {script: x, interruptible: true}
deploy: {script: x}
start: {trigger: {include: child.yml}}
)";

Redundant redundant(const World& world, const Names& started) {
  return when_redundant(world.parsed.pipeline, world.plan, world.jobs(started));
}

// docs.gitlab.com/ci/yaml/#workflowauto_cancelon_new_commit: "conservative: Cancel the pipeline, but only if no jobs
// with interruptible: false have started yet. Default when not defined."
TEST(OnNewCommit, ConservativeIsTheDefault) {
  const World world(mixed);
  EXPECT_EQ(redundant(world, {}), Redundant::cancel);
  EXPECT_EQ(redundant(world, {"test"}), Redundant::cancel);
  EXPECT_EQ(redundant(world, {"test", "deploy"}), Redundant::let_finish);
  EXPECT_EQ(redundant(world, {"start"}), Redundant::cancel);  // Ci::Build alone is looked at there
  const World said("workflow: {auto_cancel: {on_new_commit: conservative}}\n" + std::string(mixed));
  EXPECT_EQ(redundant(said, {"deploy"}), Redundant::let_finish);
}

// "interruptible: Cancel only jobs with interruptible: true."
TEST(OnNewCommit, InterruptibleCancelsSuchJobsAlone) {
  const World world("workflow: {auto_cancel: {on_new_commit: interruptible}}\n" + std::string(mixed));
  EXPECT_EQ(redundant(world, {}), Redundant::cancel_interruptible);
  EXPECT_EQ(redundant(world, {"deploy"}), Redundant::cancel_interruptible);
}

// "none: Do not auto-cancel any jobs."
TEST(OnNewCommit, NoneCancelsNothing) {
  const World world("workflow: {auto_cancel: {on_new_commit: none}}\n" + std::string(mixed));
  EXPECT_EQ(redundant(world, {}), Redundant::let_finish);
}

TEST(OnNewCommit, AMatchingWorkflowRuleIsStronger) {
  const std::string yaml = R"(
workflow:
  auto_cancel: {on_new_commit: none, on_job_failure: all}
  rules: [{if: $FAST, auto_cancel: {on_new_commit: interruptible}}, {when: always}]
test: {script: x}
)";
  EXPECT_EQ(World(yaml).plan.on_new_commit, OnNewCommit::none);
  VariableSet fast;
  fast.set("FAST", "1", Precedence::pipeline);
  EXPECT_EQ(World(yaml, fast).plan.on_new_commit, OnNewCommit::interruptible);
  EXPECT_TRUE(World(yaml, fast).plan.cancel_on_failure);
}

TEST(Interruptible, ByDefaultByJobAndByRule) {
  const World world(R"(
default: {interruptible: true}
a: {script: x}
b: {script: x, interruptible: false}
c: {script: x, rules: [{when: always, interruptible: false}]}
d: {script: x, interruptible: false, rules: [{when: always, interruptible: true}]}
)");
  EXPECT_TRUE(world.plan.jobs[world.job("a")].interruptible);
  EXPECT_FALSE(world.plan.jobs[world.job("b")].interruptible);
  EXPECT_FALSE(world.plan.jobs[world.job("c")].interruptible);
  EXPECT_TRUE(world.plan.jobs[world.job("d")].interruptible);
  EXPECT_EQ(redundant(world, {"a", "d"}), Redundant::cancel);
  EXPECT_EQ(redundant(world, {"a", "c"}), Redundant::let_finish);
}

}  // namespace
}  // namespace pipelines
