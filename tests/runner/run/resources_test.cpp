// What a job takes for itself before it starts: its resource group, and the targets of its step.
#include <gmock/gmock.h>

#include "pipelines/parse.h"
#include "runner/run/job_factory.h"
#include "runner/run/recorder.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class JobResources : public ::testing::Test {
 protected:
  // `step`: of the first job.
  void plan(const std::string& text, pipelines::Step step) {
    parsed = pipelines::parse(text, "pipeline.yml");
    for (const auto& diagnostic : parsed.diagnostics)
      EXPECT_NE(diagnostic.severity, pipelines::Severity::error) << diagnostic.message;
    parsed.pipeline.jobs.at(0).step = std::move(step);
    made = pipelines::make_plan(parsed.pipeline, {}, {});
    factory.emplace(parsed.pipeline, made, RunSettings{});
  }
  pipelines::Parsed parsed;
  pipelines::Plan made;
  std::optional<JobFactory> factory;
};

TEST_F(JobResources, AreTheGroupAndTheTargetsInOneOrder) {
  pipelines::EcsDeploy step;
  step.cluster = "$WHERE";
  step.services = {"queue", "app"};
  plan("variables: {WHERE: prod}\ndeploy: {resource_group: $WHERE, script: x}", step);
  EXPECT_THAT(factory->resources(0),
              ElementsAre(Resource{false, "prod"}, Resource{true, "ecs:prod/app"}, Resource{true, "ecs:prod/queue"}));
}

TEST_F(JobResources, KnowWhatEarlierJobsLeft) {
  pipelines::EcsDeploy step;
  step.cluster = "$CLUSTER";
  step.services = {"app"};
  plan("deploy: {script: x}", step);
  JobInputs inputs;
  inputs.dotenv = {{"CLUSTER", "blue"}};
  EXPECT_THAT(factory->resources(0, inputs), ElementsAre(Resource{true, "ecs:blue/app"}));
}

TEST_F(JobResources, OfARollbackAreThoseOfTheJobsThatItMakesAgain) {
  plan("back: {resource_group: prod, script: x}", pipelines::RollbackStep{"prod", ""});
  EXPECT_THAT(factory->resources(0), IsEmpty());
}

TEST_F(JobResources, ATargetIsTheSameInEveryProject) {
  TemporaryDirectory dir;
  Store store{dir / "runner.db"};
  Recorder one(store, store.create_run(new_run()), "group/one");
  Recorder two(store, store.create_run(new_run()), "group/two");
  const Resource group{false, "production"}, target{true, "ecs:prod/app"};
  EXPECT_FALSE(one.acquire(0, group));
  EXPECT_FALSE(two.acquire(0, group));
  EXPECT_FALSE(one.acquire(0, target));
  const auto wait = two.acquire(0, target);
  ASSERT_TRUE(wait);
  EXPECT_FALSE(wait->superseded);
  EXPECT_THAT(wait->says, HasSubstr("waits for the target ecs:prod/app: job 1 of run 1 has it"));
}

TEST_F(JobResources, WithNewestWinsAnOlderRunIsSuperseded) {
  TemporaryDirectory dir;
  Store store{dir / "runner.db"};
  const std::map<std::string, ProcessMode> modes{{"ecs:prod/app", ProcessMode::newest_wins}};
  const Resource target{true, "ecs:prod/app"};
  Recorder first(store, store.create_run(new_run()), "p", modes);
  Recorder second(store, store.create_run(new_run()), "p", modes);
  Recorder third(store, store.create_run(new_run()), "p", modes);
  EXPECT_FALSE(first.acquire(0, target));
  EXPECT_FALSE(second.acquire(0, target)->superseded);
  EXPECT_FALSE(third.acquire(0, target)->superseded);
  const auto wait = second.acquire(0, target);
  ASSERT_TRUE(wait);
  EXPECT_TRUE(wait->superseded);
  EXPECT_THAT(wait->says, HasSubstr("superseded: job 1 of run 3, a newer one"));
  EXPECT_FALSE(first.acquire(0, target)) << "who has it keeps it";
  store.release_resource(1, 1);
  EXPECT_FALSE(third.acquire(0, target));
}

}  // namespace
}  // namespace runner
