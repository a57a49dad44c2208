// The trail: rows of attempts and of targets, and what a rollback finds in them.
#include <gmock/gmock.h>

#include "runner/run/rollback.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using pipelines::Outcome;
using pipelines::Verdict;
using State = DeploymentRow::State;
using testing::ElementsAre;
using testing::HasSubstr;

class Trail : public ::testing::Test {
 protected:
  RunId begin_run(const std::string& sha = "1111", std::uint64_t rollback_of = 0) {
    NewRun made = new_run();
    made.project = "example.com/shop";
    made.sha = sha;
    made.rollback_of = rollback_of;
    return store.create_run(made);
  }
  // A run whose first job deploys to production.
  RunId deploy(Outcome outcome, const std::string& sha = "1111", std::uint64_t rollback_of = 0) {
    const RunId run = begin_run(sha, rollback_of);
    const AttemptKey key{run, 1, 1};
    store.begin_deployment(key, {"production", "production", "https://shop.example.com"}, 10);
    store.end_deployments(key, outcome, {}, outcome == Outcome::failed ? "exit code 1" : "", 20);
    store.finish_run(run, Verdict::passed, 30);
    return run;
  }
  std::vector<DeploymentRow> rows() const { return store.deployments({}); }
  RollbackTarget back(std::uint64_t to = 0, const std::string& environment = "production") const {
    return find_rollback(store, "example.com/shop", environment, to);
  }

  TemporaryDirectory dir;
  fs::path file = dir / "runner.db";
  Store store{file};
};

TEST_F(Trail, AJobsDeploymentIsTheCommitAndWhatWasThereBefore) {
  deploy(Outcome::passed, "1111");
  deploy(Outcome::failed, "2222");
  deploy(Outcome::passed, "3333");
  const auto all = rows();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[2].what, "1111");
  EXPECT_EQ(all[2].previous, "");
  EXPECT_EQ(all[2].state, State::succeeded);
  EXPECT_EQ(all[2].project, "example.com/shop");
  EXPECT_EQ(all[2].job_name, "job 1");
  EXPECT_EQ(all[2].started, 10);
  EXPECT_EQ(all[2].finished, 20);
  EXPECT_EQ(all[1].state, State::failed);
  EXPECT_EQ(all[1].message, "exit code 1");
  EXPECT_EQ(all[0].previous, "1111");  // what failed was never there
}

TEST_F(Trail, BeginningTwiceIsOneDeployment) {
  const RunId run = begin_run();
  store.begin_deployment({run, 1, 1}, {"a", "other", ""}, 10);
  store.begin_deployment({run, 1, 1}, {"a", "other", ""}, 11);
  EXPECT_EQ(rows().size(), 1U);
  store.begin_deployment({run, 1, 2}, {"a", "other", ""}, 12);
  EXPECT_EQ(rows().size(), 2U);
}

TEST_F(Trail, EachTargetIsADeploymentAndTheFirstStandsForTheEnvironment) {
  const RunId run = begin_run();
  const AttemptKey key{run, 1, 1};
  store.begin_deployment(key, {"production", "production", ""}, 10);
  store.record_target(key, {"ecs:prod/app", "app:8", "app:7", State::running, ""}, 11);
  store.record_target(key, {"ecs:prod/queue", "queue:3", "queue:2", State::running, ""}, 12);
  store.record_target(key, {"ecs:prod/app", "", "", State::succeeded, "steady"}, 13);
  store.record_target(key, {"ecs:prod/queue", "queue:2", "", State::rolled_back, "tasks died"}, 14);
  store.end_deployments(key, Outcome::failed, "https://x", "queue failed", 15);
  const auto all = rows();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].target, "ecs:prod/app");
  EXPECT_EQ(all[1].what, "app:8");
  EXPECT_EQ(all[1].previous, "app:7");
  EXPECT_EQ(all[1].state, State::succeeded);  // as the step said, however the job ended
  EXPECT_EQ(all[1].message, "steady");
  EXPECT_EQ(all[1].finished, 13);
  EXPECT_EQ(all[1].url, "https://x");
  EXPECT_EQ(all[0].state, State::rolled_back);
  EXPECT_EQ(all[0].what, "queue:2");
  EXPECT_EQ(all[0].environment, "production");
}

TEST_F(Trail, AStepWithoutAnEnvironmentIsThereWithItsTargetsOnly) {
  const RunId run = begin_run();
  store.begin_deployment({run, 1, 1}, {}, 10);
  store.end_deployments({run, 1, 1}, Outcome::failed, {}, "no credentials", 11);
  EXPECT_TRUE(rows().empty());
  store.record_target({run, 2, 1}, {"cfn:web", "t1", "", State::succeeded, ""}, 12);
  ASSERT_EQ(rows().size(), 1U);
  EXPECT_EQ(rows()[0].environment, "");
  EXPECT_EQ(rows()[0].target, "cfn:web");
  EXPECT_EQ(rows()[0].ref, "main");
}

TEST_F(Trail, AnAttemptThatAsksHasNotDeployed) {
  const RunId run = begin_run();
  store.begin_deployment({run, 1, 1}, {"production", "production", ""}, 10);
  store.end_deployments({run, 1, 1}, Outcome::manual, {}, "waits", 11);
  EXPECT_TRUE(rows().empty());
}

TEST_F(Trail, WhatEndsWithItsRunWasInterrupted) {
  const RunId run = begin_run();
  store.begin_deployment({run, 1, 1}, {"production", "production", ""}, 10);
  store.finish_run(run, Verdict::broken, 20);
  EXPECT_EQ(rows()[0].state, State::interrupted);
  EXPECT_EQ(rows()[0].finished, 20);
}

TEST_F(Trail, SaysWhoApproved) {
  const RunId run = begin_run();
  store.end_job(run, 1, Outcome::manual);
  ASSERT_TRUE(store.add_approval({run, 1, "", Approval::Decision::approved, "ann@here", "agreed", 5}));
  store.begin_deployment({run, 1, 1}, {"production", "production", ""}, 10);
  store.end_deployments({run, 1, 1}, Outcome::passed, {}, {}, 20);
  EXPECT_EQ(rows()[0].approved_by, "ann@here");
  EXPECT_EQ(rows()[0].comment, "agreed");
  EXPECT_EQ(rows()[0].approved, 5);
}

TEST_F(Trail, AStoppedEnvironmentHasNothing) {
  const RunId run = deploy(Outcome::passed);
  store.stop_environment(run, "production", 40);
  EXPECT_EQ(rows()[0].stopped, 40);
  deploy(Outcome::passed, "2222");
  EXPECT_EQ(rows()[0].previous, "");
  EXPECT_FALSE(rows()[0].stopped);
}

TEST_F(Trail, OutlivesItsRuns) {
  deploy(Outcome::passed);
  EXPECT_FALSE(rows()[0].run_is_gone);
  GcOptions how;
  how.now = unix_now();
  how.keep_runs = 0;
  store.gc(how);
  ASSERT_EQ(rows().size(), 1U);
  EXPECT_TRUE(rows()[0].run_is_gone);
}

TEST_F(Trail, IsListedByProjectAndEnvironment) {
  const RunId run = deploy(Outcome::passed);
  store.begin_deployment({run, 2, 1}, {"staging", "staging", ""}, 10);
  EXPECT_EQ(store.deployments({"example.com/shop", {}, 0}).size(), 2U);
  EXPECT_EQ(store.deployments({"example.com/shop", "staging", 0}).size(), 1U);
  EXPECT_EQ(store.deployments({"example.com/shop", {}, 1})[0].environment, "staging");
  EXPECT_TRUE(store.deployments({"example.com/other", {}, 0}).empty());
}

// --- what a rollback makes again ------------------------------------------------------------------------------------

TEST_F(Trail, RollbackGoesToTheGoodOneBeforeWhatIsThere) {
  const RunId first = deploy(Outcome::passed, "1111");
  deploy(Outcome::failed, "2222");
  deploy(Outcome::passed, "3333");
  const RollbackTarget target = back();
  EXPECT_EQ(target.refused, "");
  EXPECT_EQ(target.deployment.key.run, first);
  EXPECT_THAT(target.jobs, ElementsAre(1U));
}

TEST_F(Trail, RollbackAfterAFailureGoesToTheNewestGoodOne) {
  deploy(Outcome::passed, "1111");
  const RunId second = deploy(Outcome::passed, "2222");
  deploy(Outcome::failed, "3333");
  EXPECT_EQ(back().deployment.key.run, second);
}

TEST_F(Trail, TwoRollbacksGoBackTwoDeployments) {
  const RunId first = deploy(Outcome::passed, "1111");
  deploy(Outcome::passed, "2222");
  deploy(Outcome::passed, "3333");
  const std::uint64_t second = back().deployment.id;
  deploy(Outcome::passed, "2222", second);
  EXPECT_EQ(rows()[0].rollback_of, second);
  EXPECT_EQ(back().deployment.key.run, first);
}

TEST_F(Trail, RollbackToANumber) {
  const RunId first = deploy(Outcome::passed);
  deploy(Outcome::failed);
  EXPECT_EQ(back(rows()[1].id).deployment.key.run, first);
  EXPECT_THAT(back(rows()[0].id).refused, HasSubstr("no good one to go back to: it failed"));
  EXPECT_THAT(back(99).refused, HasSubstr("production has no deployment 99"));
}

TEST_F(Trail, RollbackWithNothingToGoBackTo) {
  EXPECT_THAT(back().refused, HasSubstr("nothing of this project was deployed to production yet"));
  deploy(Outcome::passed);
  EXPECT_THAT(back().refused, HasSubstr("no earlier good deployment of production"));
  EXPECT_THAT(back(0, "staging").refused, HasSubstr("deployed to staging yet"));
  deploy(Outcome::passed);
  GcOptions how;
  how.now = unix_now();
  how.keep_runs = 1;
  store.gc(how);
  EXPECT_THAT(back().refused, HasSubstr("its run 1 was removed by `runner gc`"));
}

}  // namespace
}  // namespace runner
