// deploy.ecs and deploy.ecs_task, end to end against the double for AWS.
#include <gmock/gmock.h>

#include <set>

#include "tests/aws/double.h"
#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class Ecs : public testing::Test {
 protected:
  Ecs() {
    for (const auto& [name, value] : access()) project_.environment(name, value);
    double_.order(
        {{"ecs",
          {{"clusters", {"prod"}},
           {"services", {{{"cluster", "prod"}, {"name", "app"}, {"desired", 2}, {"task_definition", app}}}}}}});
    project_.pipeline(rollout);
  }
  std::map<std::string, std::string> access() const {
    return {{"AWS_ACCESS_KEY_ID", aws_double::key},
            {"AWS_SECRET_ACCESS_KEY", aws_double::secret},
            {"AWS_REGION", aws_double::region},
            {"AWS_ENDPOINT_URL", double_.url()},
            {"AWS_EC2_METADATA_DISABLED", "true"}};
  }
  void scenario(const std::string& name) {
    double_.order({{"ecs", {{"deployments", {{{"service", "app"}, {"scenario", name}}}}}}});
  }
  void task(Json order) {
    order["family"] = "app";
    double_.order({{"ecs", {{"tasks", {order}}}}});
  }
  void fault(Json order) { double_.order({{"faults", {order}}}); }
  Result exec(const Arguments& arguments = {}) { return project_.exec(arguments); }
  std::string definition_now() { return double_.last("UpdateService").value("taskDefinition", ""); }

  const Json app = Json::parse(R"({"family": "app", "containerDefinitions": [
      {"name": "app", "image": "repo/app:1", "essential": true,
       "environment": [{"name": "PASSWORD", "value": "hunter2hunter2"}]},
      {"name": "sidecar", "image": "repo/sidecar", "essential": false}]})");
  static constexpr const char* rollout = R"(
variables: {RUNNER_POLL_INTERVAL: "0.02"}
deploy:
  deploy: {ecs: {cluster: prod, service: app, images: {app: repo/app:2}}}
)";
  aws_double::Double double_;
  Project project_;
};

TEST_F(Ecs, ARolloutIsFollowedToItsEnd) {
  project_.pipeline(std::string(rollout) +
                    "\nafter: {stage: .post, script: ['echo \"is $TASK_DEFINITION was "
                    "$PREVIOUS_TASK_DEFINITION\"']}\n");
  const Result result = exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("deploy"), AllOf(HasSubstr("~ containerDefinitions[app].image: repo/app:1 → repo/app:2"),
                                          HasSubstr("registered app:2"), HasSubstr("has reached a steady state"),
                                          HasSubstr("ecs:prod/app serves app:2"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(result.printed("after"), AllOf(HasSubstr("task-definition/app:2"), HasSubstr("task-definition/app:1")));
  EXPECT_EQ(double_.done("RegisterTaskDefinition"), 1U);
  EXPECT_EQ(double_.done("UpdateService"), 1U);
}

TEST_F(Ecs, TheSameAgainRegistersAndUpdatesNothing) {
  ASSERT_EQ(exec().code, 0);
  const Result again = exec();
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_THAT(again.log("deploy"), HasSubstr("nothing to do"));
  EXPECT_EQ(double_.done("RegisterTaskDefinition"), 1U);
  EXPECT_EQ(double_.done("UpdateService"), 1U);
}

TEST_F(Ecs, ForceBeginsADeploymentOfTheSameDefinition) {
  project_.pipeline(R"(
variables: {RUNNER_POLL_INTERVAL: "0.02"}
deploy: {deploy: {ecs: {cluster: prod, service: app, force: true}}}
)");
  const Result result = exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("RegisterTaskDefinition"), 0U);
  EXPECT_EQ(double_.last("UpdateService").value("forceNewDeployment", false), true);
}

TEST_F(Ecs, ABreakersRollbackIsAFailureThatSaysWhy) {
  scenario("rollback");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), AllOf(HasSubstr("circuit breaker"), HasSubstr("rolled back to app:1")));
  EXPECT_THAT(result.log("deploy"), HasSubstr("stopped:"));
  EXPECT_EQ(double_.done("UpdateService"), 1U) << "ECS goes back by itself";
}

TEST_F(Ecs, ARollbackBetweenTwoLooksIsSeen) {
  scenario("rollback_between_polls");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("rolled back to app:1"));
}

TEST_F(Ecs, AnotherDeploymentSupersedesIt) {
  scenario("superseded");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("superseded by"));
}

TEST_F(Ecs, BeingSupersededMayBeASuccess) {
  scenario("superseded");
  project_.pipeline(R"(
variables: {RUNNER_POLL_INTERVAL: "0.02"}
deploy: {deploy: {ecs: {cluster: prod, service: app, images: {app: repo/app:2}, on_superseded: success}}}
)");
  EXPECT_EQ(exec().code, 0);
}

TEST_F(Ecs, WhatDoesNotGetDoneInTimeIsRolledBack) {
  scenario("stuck");
  project_.pipeline(R"(
variables: {RUNNER_POLL_INTERVAL: "0.05"}
deploy: {deploy: {ecs: {cluster: prod, service: app, images: {app: repo/app:2}, wait: 1s, rollback: true}}}
)");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"),
              AllOf(HasSubstr("not rolled out within 1 s"), HasSubstr("rolled back to app:1")));
  EXPECT_THAT(definition_now(), HasSubstr("app:1"));
}

TEST_F(Ecs, SoManyFailedTasksAreEnough) {
  scenario("crashing");
  project_.pipeline(R"(
variables: {RUNNER_POLL_INTERVAL: "0.02"}
deploy: {deploy: {ecs: {cluster: prod, service: app, images: {app: repo/app:2}, max_failed_tasks: 2, rollback: true}}}
)");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), AllOf(HasSubstr("2 tasks failed"), HasSubstr("rolled back to app:1")));
}

TEST_F(Ecs, AnOlderBalancersServiceHasNoRolloutState) {
  scenario("no_rollout_state");
  EXPECT_EQ(exec().code, 0);
}

TEST_F(Ecs, AServiceThatIsNotThereIsRefusedBeforeAnythingHappens) {
  project_.pipeline("deploy: {deploy: {ecs: {cluster: prod, services: [app, web], image: repo/app:2}}}");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("has no service web"));
  EXPECT_EQ(double_.done("RegisterTaskDefinition"), 0U);
}

TEST_F(Ecs, APollThatIsThrottledFailsNothing) {
  fault({{"service", "ecs"},
         {"operation", "DescribeServices"},
         {"times", 3},
         {"status", 400},
         {"code", "ThrottlingException"},
         {"message", "slow down"},
         {"after", false}});
  EXPECT_EQ(exec().code, 0);
}

TEST_F(Ecs, AnUpdateWhoseAnswerIsLostIsNotMadeTwice) {
  fault({{"service", "ecs"}, {"operation", "RegisterTaskDefinition"}, {"times", 1}, {"after", true}, {"cut", true}});
  const Result result = exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("RegisterTaskDefinition"), 1U) << result.log("deploy");
}

TEST_F(Ecs, WrongCredentialsAreSaidOnce) {
  project_.environment("AWS_SECRET_ACCESS_KEY", "wrong");
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), AllOf(HasSubstr("SignatureDoesNotMatch"), HasSubstr("request id")));
}

TEST_F(Ecs, WithoutARegionNothingIsCalled) {
  project_.environment("AWS_REGION", "");
  const Result result = exec();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("no AWS region"));
  EXPECT_TRUE(double_.calls().empty());
}

TEST_F(Ecs, NothingAnswersAtTheEndpoint) {
  project_.environment("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
  project_.environment("AWS_MAX_ATTEMPTS", "2");
  const Result result = exec();
  EXPECT_EQ(result.code, 3) << result;
}

TEST_F(Ecs, ACancelledRolloutGoesOnAndSaysSo) {
  scenario("stuck");
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("IN_PROGRESS"));
  process->interrupt();
  const Result result = read_result(process->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_THAT(result.log("deploy"), HasSubstr("goes on without us"));
  EXPECT_EQ(double_.done("UpdateService"), 1U);
}

TEST_F(Ecs, ACancelledRolloutMayBeRolledBack) {
  scenario("stuck");
  project_.pipeline(R"(
variables: {RUNNER_POLL_INTERVAL: "0.02"}
deploy: {deploy: {ecs: {cluster: prod, service: app, images: {app: repo/app:2}, on_cancel: rollback}}}
)");
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("IN_PROGRESS"));
  process->interrupt();
  const Result result = read_result(process->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(double_.done("UpdateService"), 2U);
  EXPECT_THAT(definition_now(), HasSubstr("app:1"));
}

TEST_F(Ecs, AKilledRunnersRolloutIsTakenUp) {
  scenario("stuck");
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("IN_PROGRESS"));
  process->kill_group();
  process->wait();
  scenario("ok");
  double_.order({{"ecs", {{"finish", {{{"service", "app"}}}}}}});
  const Result result = project_.run({"resume", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("RegisterTaskDefinition"), 1U);
  EXPECT_EQ(double_.done("UpdateService"), 1U);
}

// --- one-off tasks
// ----------------------------------------------------------------------------------------------------

class EcsTask : public Ecs {
 protected:
  EcsTask() { project_.pipeline(migration); }
  static constexpr const char* migration = R"(
variables: {RUNNER_POLL_INTERVAL: "0.02"}
migrate:
  deploy:
    ecs_task:
      cluster: prod
      task_definition: app
      container: app
      image: repo/app:2
      command: [migrate, --force]
      environment: {MODE: once}
      network_from_service: app
      poll: 1s
)";
};

TEST_F(EcsTask, ItsExitCodeIsTheJobs) {
  task({{"exit", {{"app", 0}, {"sidecar", 1}}}});
  const Result result = exec();
  EXPECT_EQ(result.code, 0) << result << "the sidecar is not essential";
  const Json asked = double_.last("RunTask");
  EXPECT_EQ(asked.at("overrides").at("containerOverrides").at(0).at("command"), Json({"migrate", "--force"}));
  EXPECT_EQ(asked.at("networkConfiguration").at("awsvpcConfiguration").at("subnets"), Json({"subnet-1"}));
  EXPECT_THAT(asked.at("taskDefinition").get<std::string>(), HasSubstr("app:2"));
}

TEST_F(EcsTask, AnotherExitCodeFailsWithIt) {
  task({{"exit", {{"app", 3}, {"sidecar", 0}}}});
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.exit_code("migrate"), 3);
  EXPECT_THAT(result.message("migrate"), HasSubstr("app: exit code 3"));
}

TEST_F(EcsTask, NoExitCodeIsAFailure) {
  task({{"exit", {{"app", nullptr}, {"sidecar", 0}}}, {"stopped_reason", "CannotPullContainerError: not found"}});
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("migrate"), AllOf(HasSubstr("no exit code"), HasSubstr("CannotPullContainerError")));
}

TEST_F(EcsTask, WaitsForRoom) {
  task({{"failures", {{{"arn", "x"}, {"reason", "RESOURCE:MEMORY"}}}}});
  task({{"failures", {{{"arn", "x"}, {"reason", "RESOURCE:MEMORY"}}}}});
  task({{"exit", {{"app", 0}, {"sidecar", 0}}}});
  const Result result = exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("migrate"), HasSubstr("no room for the task yet: RESOURCE:MEMORY"));
}

TEST_F(EcsTask, AnotherRefusalIsFinal) {
  task({{"failures", {{{"arn", "x"}, {"reason", "MISSING"}, {"detail", "no such thing"}}}}});
  const Result result = exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("migrate"), HasSubstr("MISSING: no such thing"));
}

TEST_F(EcsTask, AStartWhoseAnswerIsLostIsNotMadeTwice) {
  fault({{"service", "ecs"}, {"operation", "RunTask"}, {"times", 1}, {"after", true}, {"cut", true}});
  task({{"exit", {{"app", 0}, {"sidecar", 0}}}});
  const Result result = exec();
  EXPECT_EQ(result.code, 0) << result;
  std::set<std::string> tokens;
  for (const Json& note : double_.journal()) {
    if (note.value("operation", "") == "RunTask") tokens.insert(note.at("params").at("clientToken"));
  }
  EXPECT_EQ(tokens.size(), 1U) << "by which ECS knows it again";
}

TEST_F(EcsTask, ACancelledOneIsStopped) {
  task({{"exit", {{"app", 0}, {"sidecar", 0}}}, {"polls", 100000}});
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("RUNNING"));
  process->interrupt();
  const Result result = read_result(process->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(double_.done("StopTask"), 1U);
  EXPECT_THAT(result.log("migrate"), HasSubstr("the task is stopped"));
}

TEST_F(EcsTask, AKilledRunnerStartsNoSecondTask) {
  task({{"exit", {{"app", 0}, {"sidecar", 0}}}, {"polls", 60}});
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("RUNNING"));
  process->kill_group();
  process->wait();
  const Result result = project_.run({"resume", "--output", "json"}, {.timeout = std::chrono::seconds(120)});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("RunTask"), 1U);
}

}  // namespace
}  // namespace e2e
