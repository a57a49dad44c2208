// Built-in steps as they are read, and what can be said of them. What is wrong with them stands in
// tests/golden/diagnostics/steps_*.yml; every keyword stands in tests/corpus.
#include "pipelines/steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "pipelines/advice.h"
#include "pipelines/parse.h"
#include "pipelines/plan.h"
#include "tests/pipelines/fake_includes.h"

namespace pipelines {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using namespace std::chrono_literals;

Pipeline pipeline_of(const std::string& text) {
  Parsed parsed = parse(text, "f");
  EXPECT_FALSE(has_errors(parsed.diagnostics)) << render(parsed.diagnostics, parsed.sources, false);
  return std::move(parsed.pipeline);
}

Job job_of(const std::string& text) {
  Pipeline pipeline = pipeline_of(text);
  return pipeline.jobs.empty() ? Job() : pipeline.jobs.back();
}

template <class T>
T step_of(const std::string& work) {
  const Job job = job_of("a: { " + work + " }");
  EXPECT_TRUE(job.step.has_value());
  return job.step ? std::get<T>(*job.step) : T();
}

std::string corpus(const std::string& name) {
  std::ifstream file(RUNNER_SOURCE_DIR "/tests/corpus/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const Job& named(const Pipeline& pipeline, std::string_view name) {
  for (const Job& job : pipeline.jobs) {
    if (job.name == name) return job;
  }
  throw std::runtime_error("no job " + std::string(name));
}

// --- values ----------------------------------------------------------------------------------------------------------

TEST(Steps, ScanRetireHasTheToolsDefaults) {
  const auto plain = step_of<RetireScan>("scan: { retire: {} }");
  EXPECT_EQ(plain.path, ".");
  EXPECT_EQ(plain.severity, RetireScan::Severity::none);
  const auto set = step_of<RetireScan>("scan: { retire: { severity: critical, database: $DATABASE } }");
  EXPECT_EQ(set.severity, RetireScan::Severity::critical);
  EXPECT_EQ(set.database, "$DATABASE");
}

TEST(Steps, ImageBuildTagsByCommitAndBranchAndPushesNothingUnlessAsked) {
  const auto plain = step_of<ImageBuild>("image_build: { repository: app }");
  EXPECT_THAT(plain.tags, ElementsAre("$CI_COMMIT_SHA", "$CI_COMMIT_REF_SLUG"));
  EXPECT_FALSE(plain.push);
  EXPECT_FALSE(plain.create_repository);
  const Pipeline all = pipeline_of(corpus("image_build/all_keywords.yml"));
  const auto& full = std::get<ImageBuild>(*all.jobs[0].step);
  EXPECT_EQ(full.repository, "registry.example.com:5000/group/app");
  EXPECT_THAT(full.build_args,
              ElementsAre(Pair("VERSION", "$CI_COMMIT_SHORT_SHA"), Pair("DEBUG", "false"), Pair("JOBS", "2")));
  ASSERT_EQ(full.secrets.size(), 2U);
  EXPECT_EQ(full.secrets[0].value, "$NPM_TOKEN");
  EXPECT_EQ(full.secrets[1].file, ".npmrc");
  ASSERT_TRUE(full.create_repository);
  EXPECT_TRUE(full.create_repository->immutable);
  EXPECT_FALSE(
      step_of<ImageBuild>("image_build: { repository: app, push: true, create_repository: false }").create_repository);
}

TEST(Steps, BakePackerReadsListsOrOneOfThem) {
  const Pipeline all = pipeline_of(corpus("bake/packer.yml"));
  const auto& base = std::get<PackerBake>(*named(all, "base").step);
  EXPECT_THAT(base.vars, ElementsAre(Pair("region", "us-east-1"), Pair("size", "8")));
  EXPECT_THAT(base.when_changed, ElementsAre("packer/base.json", "packer/scripts/**"));
  EXPECT_EQ(base.on_error, PackerBake::OnError::run_cleanup_provisioner);
  EXPECT_EQ(base.parallel_builds, 1);
  const auto& other = std::get<PackerBake>(*named(all, "other").step);
  EXPECT_THAT(other.except, ElementsAre("docker"));
  EXPECT_EQ(other.manifest, "packer-manifest.json");
  EXPECT_FALSE(other.on_error);
}

TEST(Steps, DeployEcsIsReadWhole) {
  const Pipeline all = pipeline_of(corpus("deploy/ecs.yml"));
  const auto& backend = std::get<EcsDeploy>(*named(all, "backend").step);
  EXPECT_THAT(backend.services, ElementsAre("backend"));
  EXPECT_THAT(backend.images, ElementsAre(Pair("backend", "$IMAGE")));
  ASSERT_EQ(backend.environment.size(), 1U);
  EXPECT_EQ(backend.environment[0].container, "backend");
  EXPECT_THAT(backend.environment[0].values, ElementsAre(Pair("LOG_LEVEL", "debug"), Pair("WORKERS", "4")));
  EXPECT_EQ(backend.cpu, "256");
  EXPECT_EQ(backend.memory, "$MEMORY");
  EXPECT_EQ(backend.desired_count, "3");
  EXPECT_EQ(backend.wait, 20min);
  EXPECT_EQ(backend.rollback_wait, 10min);
  EXPECT_EQ(backend.poll, 5s);
  EXPECT_TRUE(backend.rollback);
  EXPECT_EQ(backend.on_cancel, OnCancel::rollback);
  EXPECT_TRUE(backend.superseded_is_success);
  EXPECT_EQ(backend.max_failed_tasks, 3);
  ASSERT_TRUE(backend.deployment_configuration);
  EXPECT_EQ(backend.deployment_configuration->min_healthy, 50);
  EXPECT_EQ(backend.deployment_configuration->max_healthy, 200);
  EXPECT_TRUE(backend.deployment_configuration->circuit_breaker->rollback);
  const auto& workers = std::get<EcsDeploy>(*named(all, "workers").step);
  EXPECT_THAT(workers.services, ElementsAre("backend", "queue-worker"));
  EXPECT_EQ(workers.wait, usual_wait);
  EXPECT_FALSE(workers.rollback);
  EXPECT_EQ(workers.on_cancel, OnCancel::leave);
  EXPECT_FALSE(workers.superseded_is_success);
  EXPECT_EQ(workers.log_lines, 20);
  EXPECT_FALSE(workers.deployment_configuration->circuit_breaker->rollback);
}

TEST(Steps, DeployEcsTaskIsReadWhole) {
  const Pipeline all = pipeline_of(corpus("deploy/ecs_task.yml"));
  const auto& migrate = std::get<EcsTask>(*named(all, "migrate").step);
  EXPECT_THAT(migrate.command, ElementsAre("php", "artisan", "migrate", "--force"));
  EXPECT_THAT(migrate.watch, ElementsAre("backend"));
  EXPECT_EQ(migrate.memory, "512");
  EXPECT_EQ(migrate.capacity_timeout, 5min);
  const auto& seed = std::get<EcsTask>(*named(all, "seed").step);
  EXPECT_THAT(seed.command, ElementsAre("seed"));
  EXPECT_THAT(seed.subnets, ElementsAre("subnet-0123456789abcdef0", "$SUBNET"));
  EXPECT_EQ(seed.assign_public_ip, true);
  EXPECT_EQ(seed.launch_type, "FARGATE");
  const auto& spread = std::get<EcsTask>(*named(all, "spread").step);
  ASSERT_EQ(spread.capacity_provider_strategy.size(), 2U);
  EXPECT_EQ(spread.capacity_provider_strategy[0].weight, 3);
  EXPECT_EQ(spread.capacity_provider_strategy[1].base, 1);
}

TEST(Steps, DeployEcsTaskAsksForCapacityNoLongerThanItWaits) {
  const auto task = step_of<EcsTask>("deploy: { ecs_task: { cluster: a, task_definition: b, wait: 2m } }");
  EXPECT_EQ(task.capacity_timeout, 2min);
}

TEST(Steps, DeployAsgIsReadWhole) {
  const Pipeline all = pipeline_of(corpus("deploy/asg.yml"));
  const auto& refresh = std::get<AsgDeploy>(*named(all, "refresh").step);
  EXPECT_FALSE(refresh.blue_green());
  EXPECT_EQ(refresh.min_healthy, 90);
  EXPECT_EQ(refresh.max_healthy, 110);
  EXPECT_THAT(refresh.checkpoints, ElementsAre(20, 50));
  EXPECT_EQ(refresh.checkpoint_delay, 5min);
  EXPECT_EQ(refresh.scale_in_protected, AsgDeploy::ScaleInProtected::refresh);
  EXPECT_EQ(refresh.standby, AsgDeploy::Standby::terminate);
  EXPECT_EQ(refresh.in_progress, AsgDeploy::InProgress::cancel);
  EXPECT_EQ(refresh.on_cancel, OnCancel::rollback);
  const auto& green = std::get<AsgDeploy>(*named(all, "blue_green").step);
  EXPECT_TRUE(green.blue_green());
  EXPECT_EQ(green.mode, AsgDeploy::Mode::switch_over);
  EXPECT_EQ(green.keep_blue, 10min);
}

TEST(Steps, DeployAsgTakesAwssWordsForVersionsForNoVariables) {
  const auto version = [](const std::string& text) {
    return step_of<AsgDeploy>("deploy: { asg: { group: a, launch_template_version: " + text + " } }")
        .launch_template_version;
  };
  EXPECT_EQ(version("$Latest"), "latest");
  EXPECT_EQ(version("$Default"), "default");
  EXPECT_EQ(version("latest"), "latest");
  EXPECT_EQ(version("7"), "7");
  EXPECT_EQ(version("'7'"), "7");
  EXPECT_EQ(version("$LT_VERSION"), "$LT_VERSION");
}

TEST(Steps, DeployAsgRenewsUnlessItOnlyScales) {
  const auto renews = [](const std::string& more) {
    return step_of<AsgDeploy>("deploy: { asg: { group: a" + more + " } }").renews();
  };
  EXPECT_TRUE(renews(""));
  EXPECT_FALSE(renews(", capacity: { desired: 0 }"));
  EXPECT_TRUE(renews(", capacity: { desired: 3 }, ami: $AMI_ID"));
  EXPECT_TRUE(renews(", capacity: { desired: 3 }, strategy: refresh"));
}

TEST(Steps, DeployCloudformationIsReadWhole) {
  const Pipeline all = pipeline_of(corpus("deploy/cloudformation.yml"));
  const auto& stack = std::get<CloudFormation>(*named(all, "stack").step);
  EXPECT_THAT(stack.parameters,
              ElementsAre(Pair("AmiId", "$AMI_ID"), Pair("Count", "3"), Pair("Subnets", "subnet-1,$SUBNET")));
  EXPECT_THAT(stack.capabilities, ElementsAre("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"));
  EXPECT_TRUE(stack.protect_replacement);
  EXPECT_TRUE(stack.protect_remove);
  EXPECT_EQ(stack.record->file, "stack.parameters.json");
  EXPECT_TRUE(stack.record->template_defaults);
  EXPECT_THAT(stack.rehearse->verify, ElementsAre("./verify.sh"));
  EXPECT_EQ(stack.monitoring_time, 10min);
  EXPECT_EQ(stack.on_cancel, OnCancel::leave);
  EXPECT_EQ(std::get<CloudFormation>(*named(all, "roll").step).approve, CloudFormation::Approve::replacements);
  EXPECT_TRUE(std::get<CloudFormation>(*named(all, "remove").step).delete_stack);
}

TEST(Steps, DeployCloudformationAsksForNothingThatItCannotKnow) {
  const auto direct = step_of<CloudFormation>("deploy: { cloudformation: { stack: a, template: b, mode: direct } }");
  EXPECT_EQ(direct.approve, CloudFormation::Approve::never);
}

TEST(Steps, DeployTerraformTakesListsAsJson) {
  const Pipeline all = pipeline_of(corpus("deploy/terraform.yml"));
  const auto& infra = std::get<Terraform>(*named(all, "infra").step);
  ASSERT_EQ(infra.variables.size(), 3U);
  EXPECT_THAT(infra.variables[0], Pair("source_ami", "$AMI_ID"));
  std::string zones = infra.variables[1].second;
  std::erase_if(zones, [](char c) { return c == ' ' || c == '\n'; });
  EXPECT_EQ(zones, R"(["a","b"])");
  EXPECT_THAT(infra.variables[2], Pair("count", "2"));
  EXPECT_THAT(infra.backend_config, ElementsAre("bucket=state", "key=app"));
  EXPECT_EQ(infra.binary, Terraform::Binary::terragrunt);
  EXPECT_EQ(infra.lock_timeout, 2min);
  EXPECT_THAT(std::get<Terraform>(*named(all, "away").step).backend_config, ElementsAre("backend.hcl"));
}

TEST(Steps, RollbackNamesAnEnvironment) {
  const Pipeline all = pipeline_of(corpus("rollback/environment.yml"));
  EXPECT_EQ(std::get<RollbackStep>(*named(all, "back").step).to, "12");
  EXPECT_EQ(std::get<RollbackStep>(*named(all, "in_short").step).environment, "production");
}

TEST(Steps, WhatStandsBesideThemComesFromDefaultToo) {
  const Pipeline all = pipeline_of(corpus("beside_steps/all_keywords.yml"));
  const Job& build = named(all, "build");
  ASSERT_TRUE(build.aws && build.s3_artifacts && build.cloudwatch_logs);
  EXPECT_EQ(build.aws->role_arn, "$DEPLOY_ROLE");
  EXPECT_EQ(build.aws->duration, 1h);
  EXPECT_TRUE(build.aws->pass);
  EXPECT_EQ(build.s3_artifacts->encryption, "aws:kms");
  EXPECT_EQ(build.cloudwatch_logs->retention_days, 30);
  ASSERT_EQ(build.notify.size(), 1U);
  EXPECT_EQ(build.notify[0].channel, Notify::Channel::slack);
  EXPECT_THAT(build.notify[0].on, ElementsAre(Notify::Event::failed, Notify::Event::fixed));
  const Job& deploy = named(all, "deploy");
  ASSERT_TRUE(deploy.monitor);
  EXPECT_EQ(deploy.monitor->duration, 10min);
  EXPECT_EQ(deploy.monitor->every, 30s);
  EXPECT_EQ(deploy.monitor->rollback, true);
  ASSERT_EQ(deploy.notify.size(), 2U) << "the default's are replaced whole";
  EXPECT_EQ(deploy.notify[0].secret, "$HOOK_SECRET");
  EXPECT_THAT(deploy.notify[1].to, ElementsAre("ops@example.com", "dev@example.com"));
  EXPECT_THAT(deploy.notify[1].on, ElementsAre(Notify::Event::started));
}

TEST(Steps, MonitorLooksNoSeldomerThanItLasts) {
  const Job job = job_of("a: { script: x, monitor: { cloudwatch_alarms: b, for: 5 } }");
  EXPECT_EQ(job.monitor->every, 5s);
  EXPECT_EQ(job_of("a: { script: x, monitor: { cloudwatch_alarms: b } }").monitor->duration, 5min);
}

// --- with the rest of the language -----------------------------------------------------------------------------------

TEST(Steps, OfARunnerTakeNothingOfAScriptsSandboxFromDefault) {
  const Pipeline pipeline = pipeline_of(R"(
default: { image: busybox, before_script: [echo], services: [redis], cache: { paths: [a] }, timeout: 5m }
runner: { deploy: { asg: { group: web } } }
tool: { scan: { retire: {} } }
)");
  const Job& runner = named(pipeline, "runner");
  EXPECT_FALSE(runner.image);
  EXPECT_THAT(runner.script.before, IsEmpty());
  EXPECT_THAT(runner.services, IsEmpty());
  EXPECT_THAT(runner.caches, IsEmpty());
  EXPECT_EQ(runner.timeout, 5min);
  const Job& tool = named(pipeline, "tool");
  EXPECT_TRUE(tool.image);
  EXPECT_THAT(tool.script.before, ElementsAre("echo"));
}

TEST(Steps, AreExtendedReferredToAndGivenInputs) {
  const Pipeline pipeline = pipeline_of(R"(
spec: { inputs: { cluster: { default: staging } } }
---
.ecs: { deploy: { ecs: { cluster: $[[ inputs.cluster ]], wait: 5m } } }
.images: { backend: $IMAGE }
one:
  extends: .ecs
  deploy: { ecs: { service: web, images: !reference [.images] } }
two:
  inputs: { count: { type: number, default: 2 } }
  deploy: { ecs: { cluster: a, service: web, desired_count: "${{ job.inputs.count }}" } }
)");
  const auto& one = std::get<EcsDeploy>(*named(pipeline, "one").step);
  EXPECT_EQ(one.cluster, "staging");
  EXPECT_EQ(one.wait, 5min);
  EXPECT_THAT(one.services, ElementsAre("web"));
  EXPECT_THAT(one.images, ElementsAre(Pair("backend", "$IMAGE")));
  EXPECT_EQ(std::get<EcsDeploy>(*named(pipeline, "two").step).desired_count, "2");
}

TEST(Steps, StandInWhatPreviewShows) {
  const std::string text = corpus("deploy/ecs.yml");
  const Preview shown = preview(text, "f", Context{}, PreviewForm::yaml);
  const Pipeline again = pipeline_of(shown.text);
  EXPECT_EQ(describe(*named(again, "workers").step), "deploy.ecs prod/backend,queue-worker");
  EXPECT_EQ(std::get<EcsDeploy>(*named(again, "backend").step).wait, 20min);
}

TEST(Steps, LeaveOutputsForLaterJobs) {
  const Pipeline pipeline =
      pipeline_of("app: { stage: build, image_build: { repository: a } }\nlater: { script: x, dependencies: [app] }\n");
  const Plan plan = make_plan(pipeline, Trigger{}, Facts{});
  EXPECT_TRUE(plan.jobs.at(0).leaves_artifacts);
  EXPECT_THAT(plan.artifacts_from(1), ElementsAre(0));
  EXPECT_THAT(advise(pipeline), IsEmpty());
}

TEST(Steps, WithASecretInPlainTextAreWarnedOf) {
  const Pipeline pipeline = pipeline_of(
      "a: { image_build: { repository: app, build_args: { KEY: AKIAIOSFODNN7ABCDEFG } } }\n"
      "b: { script: x, notify: { webhook: 'https://a.example', secret: glpat-aBcDeFgHiJkLmNoPqRsT } }\n");
  const std::vector<Diagnostic> said = advise(pipeline);
  ASSERT_EQ(said.size(), 2U);
  EXPECT_THAT(said[0].message, testing::StartsWith("`image_build` of job \"a\" has what looks like"));
  EXPECT_THAT(said[1].message, testing::StartsWith("`notify` of job \"b\" has what looks like"));
}

TEST(Steps, ThatWaitForLongerThanTheirJobMayLastAreWarnedOf) {
  const std::string text = "a: { timeout: 10m, deploy: { asg: { group: b, wait: ";
  EXPECT_THAT(advise(pipeline_of(text + "10m } } }")), IsEmpty());
  const std::vector<Diagnostic> said = advise(pipeline_of(text + "11m } } }"));
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].message, "`wait` of job \"a\" is longer than its `timeout`, which ends it first");
}

// --- functions -------------------------------------------------------------------------------------------------------

// Every text of the corpus with a variable in it, so that none is forgotten.
TEST(ForEachText, ReachesEveryVariableThatAnAuthorMayWrite) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(RUNNER_SOURCE_DIR "/tests/corpus")) {
    const std::string folder = entry.path().parent_path().filename();
    static const std::set<std::string> ours = {"scan", "image_build", "bake", "deploy", "rollback", "beside_steps"};
    if (entry.path().extension() != ".yml" || !ours.contains(folder)) continue;
    const std::string text = corpus(folder + "/" + entry.path().filename().string());
    if (text.find("expect: valid") == std::string::npos) continue;
    const Pipeline pipeline = pipeline_of(text);
    std::string seen;
    const auto look = [&](const std::string& value) { seen += value + "\n"; };
    for (Job job : pipeline.jobs) {
      if (job.step) for_each_text(*job.step, look);
      if (job.aws) for_each_text(*job.aws, look);
      if (job.monitor) for_each_text(*job.monitor, look);
      for_each_text(job.notify, look);
      if (job.s3_artifacts) for_each_text(*job.s3_artifacts, look);
      if (job.cloudwatch_logs) for_each_text(*job.cloudwatch_logs, look);
    }
    for (std::size_t at = text.find('$'); at != std::string::npos; at = text.find('$', at + 1)) {
      const std::string name = text.substr(at, text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", at + 1) - at);
      if (name.size() > 2) {
        EXPECT_THAT(seen, testing::HasSubstr(name)) << entry.path();
      }
    }
  }
}

TEST(ForEachText, ChangesWhatItIsGivenAndNoNames) {
  Step step = step_of<EcsDeploy>(
      "deploy: { ecs: { cluster: $A, services: [$A, b], images: { $A: $A }, environment: { $A: { $A: $A } }, "
      "deployment_configuration: { alarms: $A }, desired_count: $A } }");
  for_each_text(step, [](std::string& text) {
    if (text == "$A") text = "new";
  });
  const auto& ecs = std::get<EcsDeploy>(step);
  EXPECT_EQ(ecs.cluster, "new");
  EXPECT_THAT(ecs.services, ElementsAre("new", "b"));
  EXPECT_THAT(ecs.images, ElementsAre(Pair("$A", "new")));
  EXPECT_EQ(ecs.environment[0].container, "$A");
  EXPECT_THAT(ecs.environment[0].values, ElementsAre(Pair("$A", "new")));
  EXPECT_THAT(ecs.deployment_configuration->alarms, ElementsAre("new"));
  EXPECT_EQ(ecs.desired_count, "new");
}

TEST(ForEachText, LeavesAVerifysVariablesToItsShell) {
  Step step = step_of<CloudFormation>(
      "image: a, deploy: { cloudformation: { stack: a, template: b, rehearse: { stack: $S, verify: 'curl $URL' } } }");
  for_each_text(step, [](std::string& text) { text = "new"; });
  EXPECT_THAT(std::get<CloudFormation>(step).rehearse->verify, ElementsAre("curl $URL"));
  EXPECT_EQ(std::get<CloudFormation>(step).rehearse->stack, "new");
}

struct Said {
  const char* work;
  const char* description;
  std::vector<std::string> targets;
};

TEST(StepFunctions, NameTargetsAndDescribe) {
  const Said all[] = {
      {"scan: { retire: {} }", "scan.retire .", {}},
      {"image_build: { repository: r/app, tags: [v1, v2] }", "image_build r/app:v1", {}},
      {"bake: { packer: { template: a.json } }", "bake.packer a.json", {}},
      {"deploy: { ecs: { cluster: prod, services: [web, api] } }",
       "deploy.ecs prod/web,api",
       {"ecs:prod/api", "ecs:prod/web"}},
      {"deploy: { ecs: { cluster: 'arn:aws:ecs:eu-west-1:123456789012:cluster/prod', service: "
       "'arn:aws:ecs:eu-west-1:123456789012:service/prod/web' } }",
       "deploy.ecs prod/arn:aws:ecs:eu-west-1:123456789012:service/prod/web",
       {"ecs:prod/web"}},
      {"deploy: { ecs_task: { cluster: prod, task_definition: 'backend:7', command: [a, b] } }",
       "deploy.ecs_task prod/backend: a b",
       {"ecs-task:prod/backend"}},
      {"deploy: { ecs_task: { cluster: prod, task_definition: "
       "'arn:aws:ecs:eu-west-1:123456789012:task-definition/backend:7' } }",
       "deploy.ecs_task prod/backend",
       {"ecs-task:prod/backend"}},
      {"deploy: { ecs_task: { cluster: prod, task_definition: ci/task.json } }",
       "deploy.ecs_task prod/ci/task.json",
       {"ecs-task:prod/ci/task.json"}},
      {"deploy: { asg: { group: web, capacity: { desired: 0 } } }", "deploy.asg web (capacity)", {"asg:web"}},
      {"deploy: { asg: { service: web, strategy: blue_green } }", "deploy.asg web (blue/green)", {"asg:web"}},
      {"deploy: { cloudformation: { stack: 'arn:aws:cloudformation:eu-west-1:123456789012:stack/hello/0a1b', delete: "
       "true } }",
       "deploy.cloudformation arn:aws:cloudformation:eu-west-1:123456789012:stack/hello/0a1b (delete)",
       {"cfn:hello"}},
      {"image: a, deploy: { cloudformation: { stack: prod, template: b, rehearse: { stack: alpha, verify: c } } }",
       "deploy.cloudformation prod",
       {"cfn:alpha", "cfn:prod"}},
      {"deploy: { terraform: { directory: './infra//app/', destroy: true } }",
       "deploy.terraform ./infra//app/ (destroy)",
       {"tf:infra/app+default"}},
      {"deploy: { terraform: { workspace: prod } }", "deploy.terraform . (prod)", {"tf:.+prod"}},
      {"rollback: { environment: production, to: 3 }", "rollback production to 3", {}},
  };
  for (const Said& each : all) {
    const Job job = job_of(std::string("a: { ") + each.work + " }");
    ASSERT_TRUE(job.step) << each.work;
    EXPECT_EQ(describe(*job.step), each.description);
    EXPECT_EQ(targets_of(*job.step), each.targets) << each.work;
    EXPECT_TRUE(describe(*job.step).starts_with(key_of(*job.step)));
  }
}

TEST(StepFunctions, KnowWhereAStepRunsAndWhatItChanges) {
  const auto facts = [](const std::string& work) {
    const Job job = job_of("a: { " + work + " }");
    return std::vector<bool>{runs_a_tool(*job.step), needs_sandbox(*job.step), deploys(*job.step),
                             can_roll_back(*job.step)};
  };
  EXPECT_THAT(facts("scan: { retire: {} }"), ElementsAre(true, true, false, false));
  EXPECT_THAT(facts("bake: { packer: { template: a } }"), ElementsAre(true, true, false, false));
  EXPECT_THAT(facts("image_build: { repository: a }"), ElementsAre(false, false, false, false));
  EXPECT_THAT(facts("deploy: { ecs: { cluster: a, service: b } }"), ElementsAre(false, false, true, true));
  EXPECT_THAT(facts("deploy: { ecs_task: { cluster: a, task_definition: b } }"),
              ElementsAre(false, false, true, false));
  EXPECT_THAT(facts("deploy: { asg: { group: a } }"), ElementsAre(false, false, true, true));
  EXPECT_THAT(facts("deploy: { terraform: {} }"), ElementsAre(true, true, true, false));
  EXPECT_THAT(facts("deploy: { cloudformation: { stack: a, template: b } }"), ElementsAre(false, false, true, true));
  EXPECT_THAT(
      facts("image: i, deploy: { cloudformation: { stack: a, template: b, rehearse: { stack: c, verify: d } } }"),
      ElementsAre(false, true, true, true));
  EXPECT_THAT(facts("rollback: production"), ElementsAre(false, false, true, false));
}

}  // namespace
}  // namespace pipelines
