// The trail of deployments, and going back in it: `environment`, `runner deployments`, `runner rollback`.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Deployments : public testing::Test {
 protected:
  Json list(const Arguments& arguments = {}) {
    Arguments all{"deployments", "--output", "json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Result result = project_.run(all);
    EXPECT_EQ(result.code, 0) << result;
    return Json::parse(result.out);
  }
  Result rollback(const Arguments& arguments) {
    Arguments all{"rollback", "--output", "json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return project_.run(all);
  }
  Project project_;
};

TEST_F(Deployments, AJobWithAnEnvironmentIsInTheTrailWithTheUrlThatItLeft) {
  project_
      .pipeline(R"(
deploy:
  script: ['echo "HOST=shop-$CI_PIPELINE_ID.example.com" >vars']
  artifacts: {reports: {dotenv: vars}}
  environment: {name: review/$CI_COMMIT_REF_SLUG, url: 'https://$HOST/$CI_ENVIRONMENT_SLUG', deployment_tier: testing}
other: {script: [echo other]}
)")
      .commit();
  const Result run = project_.exec();
  EXPECT_EQ(run.code, 0) << run;
  const Json all = list();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0]["environment"].get<std::string>(), HasSubstr("review/"));
  EXPECT_EQ(all[0]["tier"], "testing");
  EXPECT_THAT(all[0]["url"].get<std::string>(), HasSubstr("https://shop-1.example.com/review-"));
  EXPECT_EQ(all[0]["state"], "succeeded");
  EXPECT_EQ(all[0]["job"], "deploy");
  EXPECT_EQ(all[0]["run"], 1);
  EXPECT_EQ(all[0]["what"], all[0]["sha"]);
  EXPECT_EQ(all[0]["what"].get<std::string>().size(), 40U);
  EXPECT_EQ(all[0]["previous"], nullptr);
  EXPECT_EQ(all[0]["target"], nullptr);
  EXPECT_EQ(all[0]["approved"], nullptr);
}

TEST_F(Deployments, FailedAndRetriedAttemptsAreTold) {
  project_.pipeline(R"(
deploy: {retry: 1, script: ['[ -e "$GATE" ] || { touch "$GATE"; exit 3; }'], environment: production}
)");
  EXPECT_EQ(project_.exec({"--variable", "GATE=" + (project_.home() / "gate").string()}).code, 0);
  const Json all = list({"production"});
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0]["state"], "succeeded");
  EXPECT_EQ(all[0]["tier"], "production");
  EXPECT_EQ(all[1]["state"], "failed");
  EXPECT_EQ(all[0]["attempt"], 2);
}

TEST_F(Deployments, OnlyStartingAnEnvironmentDeploysAndStopEndsIt) {
  project_.pipeline(R"(
stages: [a, b, c]
start: {stage: a, script: [echo a], environment: {name: review, on_stop: stop}}
prepare: {stage: b, script: [echo b], environment: {name: review, action: prepare}}
verify: {stage: b, script: [echo b], environment: {name: review, action: verify}}
access: {stage: b, script: [echo b], environment: {name: review, action: access}}
stop: {stage: c, script: [echo c], environment: {name: review, action: stop}, when: manual}
)");
  EXPECT_EQ(project_.exec().code, 0);
  ASSERT_EQ(list().size(), 1U);
  EXPECT_EQ(list()[0]["stopped"], nullptr);
  EXPECT_EQ(project_.run({"approve", "1", "stop"}).code, 0);
  EXPECT_EQ(project_.run({"resume", "1"}).code, 0);
  ASSERT_EQ(list().size(), 1U);
  EXPECT_NE(list()[0]["stopped"], nullptr);
  EXPECT_THAT(project_.run({"deployments"}).out, HasSubstr("stopped "));
}

TEST_F(Deployments, ApprovalsAreInTheTrail) {
  project_.pipeline("deploy: {script: [echo on], environment: production, rules: [{when: manual}]}");
  EXPECT_EQ(project_.exec().code, 4);
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(project_.run({"approve", "1", "deploy", "--comment", "agreed"}).code, 0);
  EXPECT_EQ(project_.run({"resume", "1"}).code, 0);
  ASSERT_EQ(list().size(), 1U);
  EXPECT_EQ(list()[0]["approved"]["comment"], "agreed");
  EXPECT_THAT(project_.run({"deployments", "production"}).out,
              AllOf(HasSubstr("succeeded"), HasSubstr("approved by "), HasSubstr(": agreed")));
}

TEST_F(Deployments, SecretsAreNotInTheTrail) {
  project_.pipeline("deploy: {script: [echo on], environment: {name: production, url: 'https://x/$TOKEN'}}");
  EXPECT_EQ(project_.exec({"--secret", "TOKEN=swordfish-42"}).code, 0);
  EXPECT_EQ(list().dump().find("swordfish"), std::string::npos);
}

TEST_F(Deployments, OfARunThatDiedSaysSoAndIsFinishedByResume) {
  project_.pipeline("deploy: {script: ['until [ -e \"$GATE\" ]; do sleep 0.1; done'], environment: production}");
  const std::string gate = (project_.home() / "gate").string();
  auto run = project_.start_exec({"--variable", "GATE=" + gate});
  ASSERT_TRUE(run->wait_for("job_started"));
  ASSERT_TRUE(eventually([&] { return list().size() == 1; }));
  EXPECT_EQ(list()[0]["state"], "running");
  run->kill();
  run->wait();
  EXPECT_EQ(list()[0]["state"], "interrupted");
  sh("touch '" + gate + "'");
  EXPECT_EQ(project_.run({"resume"}).code, 0);
  ASSERT_EQ(list().size(), 1U);
  EXPECT_EQ(list()[0]["state"], "succeeded");
}

TEST_F(Deployments, AreThoseOfThisProject) {
  project_.pipeline("deploy: {script: [echo on], environment: production}");
  EXPECT_EQ(project_.exec().code, 0);
  sh("mkdir -p '" + (project_.home() / "elsewhere").string() + "'");
  const std::string elsewhere = (project_.home() / "elsewhere").string();
  EXPECT_TRUE(list({"--project", elsewhere}).empty());
  EXPECT_EQ(list({"--project", elsewhere, "--all"}).size(), 1U);
  EXPECT_THAT(project_.run({"deployments", "staging"}).out, HasSubstr("nothing was deployed to staging yet"));
  EXPECT_EQ(project_.run({"deployments", "--output", "yaml"}).code, 2);
}

// --- rollback -------------------------------------------------------------------------------------------------------

constexpr const char* pipeline = R"(
stages: [build, deploy, verify]
build: {stage: build, script: ['echo "built by $CI_PIPELINE_ID" >out.txt'], artifacts: {paths: [out.txt]}}
unit: {stage: build, script: [echo tested]}
deploy:
  stage: deploy
  script: ['cat out.txt source.txt >"$LIVE"', '[ ! -e broken ]']
  environment: production
verify: {stage: verify, script: [echo verified]}
hand: {stage: verify, script: [echo by hand], rules: [{when: manual}]}
)";

class Rollback : public Deployments {
 protected:
  // Stops before `hand` every time: that is nothing to a rollback.
  void deploy(const std::string& source, int code = 4) {
    project_.file("source.txt", source + "\n").pipeline(pipeline);
    const Result run = project_.exec({"--variable", "LIVE=" + live()});
    EXPECT_EQ(run.code, code) << run;
  }
  std::string live() const { return (project_.home() / "live").string(); }
  std::string what_is_live() const { return sh("cat '" + live() + "'"); }
};

TEST_F(Rollback, MakesThePreviousGoodDeploymentAgain) {
  deploy("one");
  deploy("two");
  EXPECT_EQ(what_is_live(), "built by 2\ntwo\n");
  const Result back = rollback({"production"});
  EXPECT_EQ(back.code, 0) << back;
  EXPECT_EQ(what_is_live(), "built by 1\none\n");
  EXPECT_EQ(back.outcome("deploy"), "passed");
  EXPECT_EQ(back.finished("build")["reused"], 1);
  EXPECT_FALSE(back.finished_at_all("unit"));
  EXPECT_FALSE(back.finished_at_all("verify"));
  EXPECT_EQ(back.events.at(0)["retry_of"], 1);
  const Json all = list();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["rollback_of"], all[2]["id"]);
  EXPECT_EQ(all[0]["run"], 3);
  EXPECT_EQ(all[0]["state"], "succeeded");
  EXPECT_THAT(project_.run({"deployments"}).out, HasSubstr("rollback to 1"));
  const Result no_more = rollback({"production"});
  EXPECT_EQ(no_more.code, 2);
  EXPECT_THAT(no_more.err, HasSubstr("no earlier good deployment of production"));
}

TEST_F(Rollback, AfterAFailureIsTheNewestGoodOne) {
  deploy("one");
  deploy("two");
  project_.file("broken", "");
  deploy("three", 1);
  EXPECT_EQ(rollback({"production"}).code, 0);
  EXPECT_EQ(what_is_live(), "built by 2\ntwo\n");
}

TEST_F(Rollback, ToANumberOfTheTrail) {
  deploy("one");
  deploy("two");
  deploy("three");
  EXPECT_EQ(rollback({"production", "--to", "1"}).code, 0);
  EXPECT_EQ(what_is_live(), "built by 1\none\n");
  const Result unknown = rollback({"production", "--to", "99"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("`runner deployments production` lists them"));
  EXPECT_EQ(rollback({"staging"}).code, 2);
  EXPECT_NE(project_.run({"rollback"}).code, 0);
}

TEST_F(Rollback, OfARunThatIsGoneSaysSo) {
  deploy("one");
  deploy("two");
  EXPECT_EQ(project_.run({"gc", "--keep-runs", "1"}).code, 0);
  EXPECT_EQ(list().size(), 2U);
  EXPECT_THAT(project_.run({"deployments"}).out, HasSubstr("its run is gone"));
  const Result back = rollback({"production"});
  EXPECT_EQ(back.code, 2);
  EXPECT_THAT(back.err, HasSubstr("its run 1 was removed by `runner gc`"));
}

TEST_F(Rollback, WithoutTheArtifactsOfThenSaysSo) {
  project_.pipeline(R"(
stages: [build, deploy]
build: {stage: build, script: [echo x >out.txt], artifacts: {paths: [out.txt], expire_in: 1s}}
deploy: {stage: deploy, script: [cat out.txt], environment: production}
)");
  EXPECT_EQ(project_.exec().code, 0);
  EXPECT_EQ(project_.exec().code, 0);
  sh("sleep 1.5");
  EXPECT_EQ(project_.run({"gc"}).code, 0);
  const Result back = rollback({"production"});
  EXPECT_EQ(back.code, 2);
  EXPECT_THAT(back.err, AllOf(HasSubstr("deploy takes the artifacts of build"), HasSubstr("they expired")));
}

TEST_F(Rollback, StartsAManualDeployAndTakesSecretsAgain) {
  project_.pipeline(R"(
deploy: {script: ['echo "$CI_PIPELINE_ID ${TOKEN%??}" >"$LIVE"'], environment: production, rules: [{when: manual}]}
)");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(project_.exec({"deploy", "--secret", "TOKEN=swordfish-42", "--variable", "LIVE=" + live()}).code, 0);
  }
  EXPECT_EQ(rollback({"production"}).code, 2);  // nobody gives the secret
  EXPECT_EQ(rollback({"production", "--secret", "TOKEN=swordfish-42"}).code, 0);
  EXPECT_EQ(what_is_live(), "3 swordfish-\n");
}

TEST_F(Rollback, WithinARunIsAPipelineBelowTheJob) {
  deploy("one");
  deploy("two");
  project_.pipeline(R"(
stages: [back, after]
back: {stage: back, resource_group: production, rollback: {environment: production}}
after: {stage: after, script: ['cat "$LIVE"']}
)");
  const Result run = project_.exec({"--variable", "LIVE=" + live()});
  EXPECT_EQ(run.code, 0) << run;
  EXPECT_EQ(run.outcome("back"), "passed");
  EXPECT_EQ(run.printed("after"), "built by 1\none\n");
  const Json all = list();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["rollback_of"], 1);
  EXPECT_EQ(all[0]["run"], 4);
  project_.pipeline("back: {rollback: {environment: production, to: 99}}");
  const Result unknown = project_.exec();
  EXPECT_EQ(unknown.code, 1) << unknown;
  EXPECT_THAT(unknown.message("back"), HasSubstr("production has no deployment 99"));
}

TEST_F(Rollback, ThatDiedIsResumedAsWhatItIs) {
  project_.pipeline(R"(
stages: [deploy, verify]
deploy: {stage: deploy, script: ['echo $CI_PIPELINE_ID >>"$LIVE"', '[ $CI_PIPELINE_ID != 3 ] || sleep 3'], environment: production}
verify: {stage: verify, script: [echo verified]}
)");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(project_.exec({"--variable", "LIVE=" + live()}).code, 0);
  auto back = project_.start({"rollback", "production"});
  ASSERT_TRUE(eventually([&] { return what_is_live() == "1\n2\n3\n"; }));
  back->kill();
  back->wait();
  const Result on = project_.run({"resume", "--output", "json"});
  EXPECT_EQ(on.code, 0) << on;
  EXPECT_FALSE(on.finished_at_all("verify"));
  EXPECT_EQ(list()[0]["state"], "succeeded");
  EXPECT_EQ(list()[0]["rollback_of"], 1);
}

}  // namespace
}  // namespace e2e
