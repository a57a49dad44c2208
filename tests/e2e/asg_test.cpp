// deploy.asg by instance refresh, end to end against the double for AWS.
#include <gmock/gmock.h>

#include "tests/aws/double.h"
#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Asg : public testing::Test {
 protected:
  Asg() {
    for (const auto& [name, value] : std::map<std::string, std::string>{{"AWS_ACCESS_KEY_ID", aws_double::key},
                                                                        {"AWS_SECRET_ACCESS_KEY", aws_double::secret},
                                                                        {"AWS_REGION", aws_double::region},
                                                                        {"AWS_ENDPOINT_URL", double_.url()},
                                                                        {"AWS_EC2_METADATA_DISABLED", "true"}}) {
      project_.environment(name, value);
    }
    double_.order(Json::parse(R"({
      "ec2": {"images": [{"id": "ami-0000000000000001a", "name": "old"}, {"id": "ami-0000000000000002b", "name": "new"},
                         {"id": "ami-0000000000000003c", "name": "slow", "state": "pending", "looks": 2},
                         {"id": "ami-0000000000000004d", "name": "bad", "state": "failed"}],
              "launch_templates": [{"id": "lt-0000000000000000f", "name": "front",
                                    "versions": [{"ImageId": "ami-0000000000000001a"}]}]},
      "elbv2": {"load_balancers": [{"name": "front", "target_groups": ["tt-front"]}]},
      "autoscaling": {"groups": [{"name": "tt-front", "desired": 2, "min": 1, "max": 4, "target_groups": ["tt-front"],
                                  "launch_template": {"id": "lt-0000000000000000f", "version": "1"}}]}})"));
  }
  Result deploy(const std::string& keys, const Arguments& arguments = {}) {
    pipeline(keys);
    return project_.exec(arguments);
  }
  void pipeline(const std::string& keys) {
    project_.pipeline("variables: {RUNNER_POLL_INTERVAL: \"0.02\"}\ndeploy: {deploy: {asg: {group: tt-front, " + keys +
                      "}}}\nafter: {stage: .post, when: always, script: ['echo \"version "
                      "$LAUNCH_TEMPLATE_VERSION was $PREVIOUS_LAUNCH_TEMPLATE_VERSION\"']}\n");
  }
  void refresh(Json order) {
    order["group"] = "tt-front";
    double_.order({{"autoscaling", {{"refreshes", {order}}}}});
  }

  aws_double::Double double_;
  Project project_;
};

constexpr const char* renewal = "ami: ami-0000000000000002b, min_healthy: 50%";

TEST_F(Asg, AnotherImageIsRolledOutByARefresh) {
  const Result result = deploy(renewal);
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("CreateLaunchTemplateVersion"), 1U);
  EXPECT_EQ(double_.done("StartInstanceRefresh"), 1U);
  EXPECT_EQ(double_.done("UpdateAutoScalingGroup"), 0U) << "a rollback goes back to what the group holds";
  const Json asked = double_.last("StartInstanceRefresh");
  EXPECT_EQ(asked.at("DesiredConfiguration").at("LaunchTemplate").at("Version"), "2");
  EXPECT_EQ(asked.at("Preferences").at("MinHealthyPercentage"), 50);
  EXPECT_THAT(result.printed("after"), HasSubstr("version 2 was 1"));
  EXPECT_THAT(result.log("deploy"), AllOf(HasSubstr("version 1 (ami-0000000000000001a) → 2 (ami-0000000000000002b)"),
                                          HasSubstr("asg:tt-front: 2 of 2 instances in service")));
}

TEST_F(Asg, TheSameImageAgainIsNothingToDo) {
  ASSERT_EQ(deploy(renewal).code, 0);
  const Result again = deploy(renewal);
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_THAT(again.log("deploy"), HasSubstr("nothing to do"));
  EXPECT_EQ(double_.done("StartInstanceRefresh"), 1U);
}

TEST_F(Asg, WithoutAnImageTheInstancesAreRenewedAsTheyAre) {
  const Result result = deploy("min_healthy: 50%");
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("CreateLaunchTemplateVersion"), 0U);
  EXPECT_FALSE(double_.last("StartInstanceRefresh").contains("DesiredConfiguration"));
}

TEST_F(Asg, APendingImageIsWaitedFor) {
  const Result result = deploy("ami: ami-0000000000000003c, min_healthy: 50%");
  EXPECT_EQ(result.code, 0) << result;
}

TEST_F(Asg, AnImageThatFailedOrIsNotThereIsRefused) {
  EXPECT_THAT(deploy("ami: ami-0000000000000004d").message("deploy"), HasSubstr("is failed"));
  EXPECT_THAT(deploy("ami: ami-0000000000000009e").message("deploy"), HasSubstr("there is no image"));
  EXPECT_EQ(double_.done("CreateLaunchTemplateVersion"), 0U);
}

TEST_F(Asg, AFailedRefreshIsAFailure) {
  refresh({{"scenario", "failed"}});
  const Result result = deploy(renewal);
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("failed ("));
}

TEST_F(Asg, ARolledBackRefreshIsAFailureThatSaysSo) {
  refresh({{"scenario", "failed"}});
  const Result result = deploy(std::string(renewal) + ", auto_rollback: true");
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("failed and was rolled back"));
}

TEST_F(Asg, ARollbackThatFailsIsSaidLoudly) {
  refresh({{"scenario", "rollback_failed"}});
  const Result result = deploy(std::string(renewal) + ", auto_rollback: true");
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("so did its rollback"));
}

TEST_F(Asg, OneThatSomebodyCancelledIsAFailure) {
  refresh({{"scenario", "cancelled"}});
  EXPECT_THAT(deploy(renewal).message("deploy"), HasSubstr("was cancelled by somebody"));
}

TEST_F(Asg, AnotherRefreshIsWaitedForOrIsAFailure) {
  double_.order({{"autoscaling", {{"running", {{{"group", "tt-front"}, {"looks", 3}, {"ends", "Successful"}}}}}}});
  const Result result = deploy(renewal);
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("deploy"), HasSubstr("another refresh runs"));
  double_.order({{"autoscaling", {{"running", {{{"group", "tt-front"}, {"looks", 100000}, {"ends", "Successful"}}}}}}});
  EXPECT_THAT(deploy("in_progress: fail").message("deploy"), HasSubstr("another refresh runs"));
}

TEST_F(Asg, OneThatIsNotOverInTimeEndsByItsPolicy) {
  refresh({{"scenario", "stuck"}, {"patience", 100000}});
  const Result result = deploy(std::string(renewal) + ", wait: 1s, on_cancel: cancel");
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), AllOf(HasSubstr("not over within 1 s"), HasSubstr("it is Cancelled")));
}

TEST_F(Asg, ACancelledOneMayBeRolledBack) {
  refresh({{"scenario", "stuck"}, {"patience", 100000}});
  pipeline(std::string(renewal) + ", on_cancel: rollback");
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("InProgress"));
  process->interrupt();
  const Result result = read_result(process->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(double_.done("RollbackInstanceRefresh"), 1U);
}

TEST_F(Asg, AKilledRunnersRefreshIsTakenUp) {
  refresh({{"scenario", "stuck_in_checkpoint"}, {"checkpoint_looks", 40}});
  pipeline(std::string(renewal) + ", checkpoints: [50], checkpoint_delay: 1s");
  auto process = project_.start_exec();
  ASSERT_TRUE(process->wait_for("InProgress"));
  process->kill_group();
  process->wait();
  double_.order({{"autoscaling", {{"refreshes", Json::array()}}}});
  auto again = project_.start({"resume", "--output", "json"});
  EXPECT_TRUE(again->wait_for("taken up again"));
  EXPECT_TRUE(again->wait_for("InProgress"));
  again->interrupt();
  again->wait();
  EXPECT_EQ(double_.done("StartInstanceRefresh"), 1U);
  EXPECT_EQ(double_.done("CreateLaunchTemplateVersion"), 1U);
}

TEST_F(Asg, CapacityAloneScales) {
  const Result result = deploy("capacity: {desired: 3}");
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(double_.done("StartInstanceRefresh"), 0U);
  EXPECT_THAT(result.log("deploy"), HasSubstr("3 of 3 instances in service"));
}

TEST_F(Asg, AGroupThatIsNotThereIsSaid) {
  project_.pipeline("deploy: {deploy: {asg: {group: nobody}}}");
  const Result result = project_.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.message("deploy"), HasSubstr("there is no Auto Scaling group nobody"));
}

}  // namespace
}  // namespace e2e
