// What became of a deployment, from what DescribeServices shows look by look: each row of the rules.
#include "executors/steps/ecs_rollout.h"

#include <gmock/gmock.h>

namespace executors::steps {
namespace {

using aws::EcsDeployment;
using aws::EcsService;
using Fate = RolloutJudge::Fate;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string definition = "arn:aws:ecs:r:1:task-definition/app:2";
const std::string previous = "arn:aws:ecs:r:1:task-definition/app:1";
const std::string third = "arn:aws:ecs:r:1:task-definition/app:3";

EcsDeployment deployment(const std::string& id, const std::string& status, const std::string& task,
                         const std::string& state, int running = 0, int failed = 0) {
  return {id, status, task, state, state == "FAILED" ? "tasks failed to start" : "", 2, 0, running, failed};
}

EcsService service(std::vector<EcsDeployment> deployments, std::vector<aws::EcsEvent> events = {}) {
  EcsService result;
  result.name = "app";
  result.status = "ACTIVE";
  result.desired = 2;
  result.breaker = result.breaker_rolls_back = true;
  result.deployments = std::move(deployments);
  result.events = std::move(events);
  return result;
}

class EcsRollout : public testing::Test {
 protected:
  RolloutJudge judge{{"new", definition, previous, {}},
                     service({deployment("old", "PRIMARY", previous, "COMPLETED", 2)})};
  const EcsDeployment going = deployment("new", "PRIMARY", definition, "IN_PROGRESS", 2);
  const EcsDeployment old = deployment("old", "ACTIVE", previous, "COMPLETED", 1);
};

TEST_F(EcsRollout, IsOverWhenItsOwnDeploymentIsCompleted) {
  EXPECT_EQ(judge.look(service({going, old})), Fate::going_on);
  EXPECT_EQ(judge.look(service({going})), Fate::going_on) << "all tasks run, and yet it may fail";
  EXPECT_EQ(judge.look(service({deployment("new", "PRIMARY", definition, "COMPLETED", 2)})), Fate::completed);
}

TEST_F(EcsRollout, AFailedOneIsFollowedUntilTheBreakerIsBack) {
  const EcsDeployment failed = deployment("new", "ACTIVE", definition, "FAILED", 0, 3);
  EXPECT_EQ(judge.look(service({deployment("back", "PRIMARY", previous, "IN_PROGRESS"), failed})), Fate::going_on);
  EXPECT_THAT(judge.why(), HasSubstr("tasks failed to start"));
  EXPECT_EQ(judge.look(service({deployment("back", "PRIMARY", previous, "COMPLETED", 2)})), Fate::rolled_back);
}

TEST_F(EcsRollout, ARollbackThatFailsIsAFailureOfItsOwn) {
  const EcsDeployment failed = deployment("new", "ACTIVE", definition, "FAILED");
  EXPECT_EQ(judge.look(service({deployment("back", "PRIMARY", previous, "FAILED"), failed})), Fate::failed);
  EXPECT_THAT(judge.why(), HasSubstr("going back to app:1 failed too"));
}

TEST_F(EcsRollout, ABreakerThatOnlyStopsIsAFailureAtOnce) {
  EcsService seen = service({deployment("new", "PRIMARY", definition, "FAILED"), old});
  seen.breaker_rolls_back = false;
  EXPECT_EQ(judge.look(seen), Fate::failed);
}

TEST_F(EcsRollout, ABreakerThatIsAboutToGoBackIsGivenAMoment) {
  const EcsService seen = service({deployment("new", "PRIMARY", definition, "FAILED"), old});
  EXPECT_EQ(judge.look(seen), Fate::going_on);
  EXPECT_EQ(judge.look(seen), Fate::going_on);
  EXPECT_EQ(judge.look(seen), Fate::failed) << "there was nothing to go back to";
}

TEST_F(EcsRollout, GoneBetweenTwoLooksIsRolledBack) {
  EXPECT_EQ(judge.look(service({deployment("back", "PRIMARY", previous, "COMPLETED", 2)})), Fate::rolled_back);
  EXPECT_FALSE(judge.why().empty());
}

TEST_F(EcsRollout, AThirdDefinitionSupersedesIt) {
  EXPECT_EQ(judge.look(service({deployment("other", "PRIMARY", third, "IN_PROGRESS"), going})), Fate::superseded);
  EXPECT_EQ(judge.why(), "superseded by other (app:3)");
}

TEST(EcsRolloutOfTheSame, AnotherDeploymentOfTheSameDefinitionSupersedesAForcedOne) {
  RolloutJudge judge({"new", previous, previous, {}}, service({}));
  EXPECT_EQ(judge.look(service({deployment("other", "PRIMARY", previous, "IN_PROGRESS")})), Fate::superseded);
}

TEST_F(EcsRollout, WithoutARolloutStateItIsWholeAndAloneTwice) {
  const EcsDeployment plain = deployment("new", "PRIMARY", definition, "", 2);
  EXPECT_EQ(judge.look(service({plain})), Fate::going_on);
  EXPECT_EQ(judge.look(service({plain, deployment("old", "ACTIVE", previous, "", 1)})), Fate::going_on);
  EXPECT_EQ(judge.look(service({plain})), Fate::going_on) << "twice in a row";
  EXPECT_EQ(judge.look(service({plain})), Fate::completed);
}

TEST(EcsRolloutWithALimit, SoManyFailedTasksAreAFailure) {
  RolloutJudge judge({"new", definition, previous, 2}, service({}));
  EXPECT_EQ(judge.look(service({deployment("new", "PRIMARY", definition, "IN_PROGRESS", 0, 1)})), Fate::going_on);
  EXPECT_EQ(judge.look(service({deployment("new", "PRIMARY", definition, "IN_PROGRESS", 0, 2)})), Fate::failed);
  EXPECT_EQ(judge.why(), "2 tasks failed (max_failed_tasks: 2)");
}

TEST_F(EcsRollout, AServiceThatIsMissedTwiceMayComeBack) {
  EXPECT_EQ(judge.look(std::nullopt), Fate::going_on);
  EXPECT_EQ(judge.look(std::nullopt), Fate::going_on);
  EXPECT_EQ(judge.look(service({going})), Fate::going_on);
  EXPECT_EQ(judge.look(std::nullopt), Fate::going_on);
  EXPECT_EQ(judge.look(std::nullopt), Fate::going_on);
  EXPECT_EQ(judge.look(std::nullopt), Fate::gone);
}

TEST_F(EcsRollout, ADrainingServiceIsGone) {
  EcsService draining = service({going});
  draining.status = "DRAINING";
  EXPECT_EQ(judge.look(draining), Fate::going_on);
  EXPECT_EQ(judge.look(draining), Fate::going_on);
  EXPECT_EQ(judge.look(draining), Fate::gone);
  EXPECT_EQ(judge.why(), "the service is DRAINING");
}

TEST(EcsRolloutNews, AreToldOnceOldestFirst) {
  RolloutJudge judge({"new", definition, previous, {}}, service({}, {{"1", "an old event"}}));
  const EcsDeployment going = deployment("new", "PRIMARY", definition, "IN_PROGRESS", 1);
  judge.look(service({going}, {{"3", "then this"}, {"2", "first this"}, {"1", "an old event"}}));
  EXPECT_THAT(judge.news(), ElementsAre("first this", "then this", "app:2: 1 of 2 running (IN_PROGRESS)"));
  judge.look(service({going}, {{"3", "then this"}}));
  EXPECT_TRUE(judge.news().empty());
}

}  // namespace
}  // namespace executors::steps
