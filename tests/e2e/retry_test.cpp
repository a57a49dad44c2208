// `runner retry`: what failed of a run and what depends on it, with the artifacts of the rest.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Jobs note in the gate that they ran; a job fails as long as the gate has no file of its name.
class Retry : public testing::TestWithParam<bool> {
 protected:
  bool docker() const { return GetParam(); }
  void SetUp() override {
    std::filesystem::create_directories(gate());
    project_.configuration("image = \"busybox\"\n[docker]\nvolumes = [\"" + gate().string() + ":" + gate().string() +
                           "\"]\n");
  }
  std::filesystem::path gate() const { return project_.home() / "gate"; }
  Result exec(const Arguments& arguments = {}) {
    Arguments all{"--variable", "GATE=" + gate().string()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return docker() ? project_.docker(all) : project_.exec(all);
  }
  Result retry(const Arguments& arguments = {}) {
    Arguments all{"retry", "--output", "json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return project_.run(all);
  }
  void let_pass(const std::string& job) { sh("touch '" + (gate() / job).string() + "'"); }
  // Jobs by name, once for each time they ran.
  std::string ran() { return sh("sort '" + (gate() / "ran").string() + "' | tr '\\n' ' '"); }

  Project project_;
};

constexpr const char* pipeline = R"(
stages: [build, test, deploy]
.note: &note 'echo $CI_JOB_NAME >>"$GATE/ran"'
build:
  stage: build
  script:
    - *note
    - echo "made by $CI_PIPELINE_ID" >out.txt
    - echo "FROM_BUILD=of $CI_PIPELINE_ID" >vars
  artifacts: {paths: [out.txt], reports: {dotenv: vars}}
test: {stage: test, script: [*note, cat out.txt, 'echo "dotenv $FROM_BUILD"', '[ -e "$GATE/test" ]']}
other: {stage: test, script: [*note]}
deploy: {stage: deploy, script: [*note, cat out.txt]}
)";

TEST_P(Retry, RunsWhatFailedAndWhatNeverRanWithTheArtifactsOfTheRest) {
  project_.pipeline(pipeline);
  const Result first = exec();
  EXPECT_EQ(first.code, 1) << first;
  let_pass("test");
  const Result again = retry();
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(ran(), "build deploy other test test ");
  EXPECT_EQ(again.printed("test"), "made by 1\ndotenv of 1\n");
  EXPECT_EQ(again.printed("deploy"), "made by 1\n");
  EXPECT_EQ(again.outcome("build"), "passed");
  EXPECT_EQ(again.finished("build")["reused"], 1);
  EXPECT_EQ(again.finished("other")["reused"], 1);
  EXPECT_FALSE(again.finished("test").contains("reused"));
  EXPECT_EQ(again.events.at(0)["retry_of"], 1);
  const Json runs = project_.runs();
  EXPECT_EQ(runs.at(0)["id"], 2);
  EXPECT_EQ(runs.at(0)["retry_of"], 1);
  EXPECT_EQ(runs.at(0)["outcome"], "passed");
  EXPECT_EQ(runs.at(1)["retry_of"], nullptr);
  // The log of what did not run is that of the earlier run; its artifacts are the new one's too.
  EXPECT_EQ(project_.logs({"2", "build"}), project_.logs({"1", "build"}));
  EXPECT_THAT(project_.run({"artifacts", "2", "build"}).out, HasSubstr("out.txt"));
}

INSTANTIATE_TEST_SUITE_P(By, Retry, testing::Values(false, true),
                         [](const auto& which) { return which.param ? "Docker" : "Shell"; });

class RetryInShell : public Retry {};
INSTANTIATE_TEST_SUITE_P(By, RetryInShell, testing::Values(false), [](const auto&) { return "Shell"; });

TEST_P(RetryInShell, ARunThatPassedHasNothingToRetry) {
  project_.pipeline(pipeline);
  EXPECT_EQ(retry().code, 2);  // nothing has run
  let_pass("test");
  EXPECT_EQ(exec().code, 0);
  const Result nothing = retry();
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, AllOf(HasSubstr("nothing of run 1 failed"), HasSubstr("runner retry 1 JOB")));
  EXPECT_EQ(project_.runs().size(), 1U);
}

TEST_P(RetryInShell, JOBRunsThatJobAndLeavesWhatRanAfterIt) {
  project_.pipeline(pipeline);
  let_pass("test");
  EXPECT_EQ(exec().code, 0);
  const Result again = retry({"build"});
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(ran(), "build build deploy other test ");
  EXPECT_EQ(again.finished("deploy")["reused"], 1);
}

TEST_P(RetryInShell, JOBGoesOnWithWhatNeverRanBecauseOfIt) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 1);
  let_pass("test");
  EXPECT_EQ(retry({"1", "test"}).code, 0);
  EXPECT_EQ(ran(), "build deploy other test test ");
}

TEST_P(RetryInShell, FromRunsAllThatComesAfterTheJob) {
  project_.pipeline(pipeline);
  let_pass("test");
  EXPECT_EQ(exec().code, 0);
  const Result again = retry({"1", "test", "--from"});
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(ran(), "build deploy deploy other test test ");
  const Result all = retry({"1", "build", "--from"});
  EXPECT_EQ(all.printed("deploy"), "made by 3\n");
  const Result which = retry({"--from"});
  EXPECT_EQ(which.code, 2);
  EXPECT_THAT(which.err, HasSubstr("runner retry [RUN] JOB --from"));
}

TEST_P(RetryInShell, OfARetryTakesWhatBothLeft) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 1);
  EXPECT_EQ(retry().code, 1);
  let_pass("test");
  const Result third = retry();
  EXPECT_EQ(third.code, 0) << third;
  EXPECT_EQ(third.events.at(0)["retry_of"], 2);
  EXPECT_EQ(third.printed("deploy"), "made by 1\n");
  EXPECT_EQ(third.finished("build")["reused"], 1);  // where it ran, not a retry in between
  EXPECT_EQ(ran(), "build deploy other test test test ");
}

TEST_P(RetryInShell, StartsAManualJobThatTheRunStoppedBefore) {
  project_.pipeline(R"(
build: {stage: build, script: [echo built >out.txt], artifacts: {paths: [out.txt]}}
deploy: {stage: deploy, script: [cat out.txt], rules: [{when: manual}]}
after: {stage: .post, script: [echo after]}
)");
  const Result waits = exec();
  EXPECT_EQ(waits.code, 4) << waits;
  EXPECT_THAT(waits.events.back()["message"].get<std::string>(), HasSubstr("`runner approve 1 deploy`"));
  const Result nothing = retry();
  EXPECT_EQ(nothing.code, 2) << nothing;
  const Result played = retry({"1", "deploy"});
  EXPECT_EQ(played.code, 0) << played;
  EXPECT_EQ(played.printed("deploy"), "built\n");
  EXPECT_EQ(played.printed("after"), "after\n");
}

TEST_P(RetryInShell, TakesTheSourcesOfThenUnlessToldOtherwise) {
  project_.file("source.txt", "old\n");
  project_.pipeline("test: {script: [cat source.txt, grep new source.txt]}");
  EXPECT_EQ(exec().code, 1);
  project_.file("source.txt", "new\n");
  const Result same = retry();
  EXPECT_EQ(same.code, 1) << same;
  EXPECT_EQ(same.printed("test"), "old\n");
  EXPECT_THAT(same.err, AllOf(HasSubstr("the files have changed since run 1"), HasSubstr("--worktree")));
  const Result now = retry({"--worktree"});
  EXPECT_EQ(now.code, 0) << now;
  EXPECT_EQ(now.printed("test"), "new\nnew\n");
  EXPECT_THAT(now.err, Not(HasSubstr("have changed")));
}

TEST_P(RetryInShell, WorktreeReadsThePipelineFileAnew) {
  project_.pipeline(R"(
build: {stage: build, script: [echo built >out.txt, 'echo $CI_JOB_NAME >>"$GATE/ran"'], artifacts: {paths: [out.txt]}}
test: {script: ["false"]}
)");
  EXPECT_EQ(exec().code, 1);
  project_.pipeline(R"(
build: {stage: build, script: [echo built >out.txt, 'echo $CI_JOB_NAME >>"$GATE/ran"'], artifacts: {paths: [out.txt]}}
test: {script: [cat out.txt]}
more: {script: [echo more]}
)");
  const Result now = retry({"--worktree"});
  EXPECT_EQ(now.code, 0) << now;
  EXPECT_EQ(now.printed("test"), "built\n");
  EXPECT_EQ(now.printed("more"), "more\n");
  EXPECT_EQ(now.finished("build")["reused"], 1);
  EXPECT_EQ(ran(), "build ");
}

TEST_P(RetryInShell, OfACommitTakesThatCommit) {
  project_.file("source.txt", "old\n").pipeline("test: {script: [cat source.txt, '[ -e \"$GATE/test\" ]']}").commit();
  EXPECT_EQ(exec({"--ref", "main"}).code, 1);
  project_.file("source.txt", "new\n").commit();
  let_pass("test");
  const Result again = retry();
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(again.printed("test"), "old\n");
}

TEST_P(RetryInShell, WithoutTheSourcesOfThenSaysSo) {
  project_.pipeline("test: {script: ['false']}");
  EXPECT_EQ(exec().code, 1);
  for (int i = 0; i < 3; ++i) {
    project_.file("source.txt", std::to_string(i));
    EXPECT_EQ(exec().code, 1);
  }
  const Result gone = retry({"1"});
  EXPECT_EQ(gone.code, 2) << gone;
  EXPECT_THAT(gone.err,
              AllOf(HasSubstr("the sources of run 1 are not kept any more"), HasSubstr("runner retry 1 --worktree")));
  EXPECT_EQ(retry({"1", "--worktree"}).code, 1);
}

TEST_P(RetryInShell, ArtifactsThatExpiredAreAnErrorThatSaysWhoseAndWhatToDo) {
  project_.pipeline(R"(
build: {stage: build, script: [echo built >out.txt], artifacts: {paths: [out.txt], expire_in: 1 sec}}
test: {script: [cat out.txt, "false"]}
)");
  EXPECT_EQ(exec().code, 1);
  sh("sleep 1.2");
  EXPECT_EQ(project_.run({"gc"}).code, 0);
  const Result lost = retry();
  EXPECT_EQ(lost.code, 2) << lost;
  EXPECT_THAT(lost.err,
              AllOf(HasSubstr("test takes the artifacts of build"), HasSubstr("runner retry 1 build --from")));
  const Result again = retry({"1", "build", "--from"});
  EXPECT_EQ(again.printed("test"), "built\n");
}

TEST_P(RetryInShell, ArtifactsOutliveTheRunTheyWereMadeIn) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 1);
  let_pass("test");
  EXPECT_EQ(retry().code, 0);
  EXPECT_EQ(project_.run({"gc", "--keep-runs", "1"}).code, 0);
  EXPECT_EQ(project_.runs().size(), 1U);
  const Result again = retry({"deploy"});
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(again.printed("deploy"), "made by 1\n");
  const Result log = project_.run({"logs", "2", "build"});
  EXPECT_EQ(log.code, 1);
  EXPECT_THAT(log.err, HasSubstr("in run 1, which is not kept any more"));
}

TEST_P(RetryInShell, AJobBehindAnotherFailureIsRefused) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 1);
  const Result refused = retry({"deploy"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("deploy would not run"), HasSubstr("`runner retry 1`")));
  const Result unknown = retry({"tets"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("run 1 has no job tets"), HasSubstr("did you mean test?")));
  EXPECT_EQ(retry({"77"}).code, 2);
}

TEST_P(RetryInShell, OtherFailuresStandWhenAJobIsNamed) {
  project_.pipeline("a: {script: ['[ -e \"$GATE/a\" ]']}\nb: {script: ['exit 3']}\n");
  EXPECT_EQ(exec().code, 1);
  let_pass("a");
  const Result again = retry({"a"});
  EXPECT_EQ(again.code, 1) << again;
  EXPECT_EQ(again.outcome("a"), "passed");
  EXPECT_EQ(again.outcome("b"), "failed");
  EXPECT_EQ(again.finished("b")["reused"], 1);
  EXPECT_EQ(again.exit_code("b"), 3);
}

TEST_P(RetryInShell, InstancesOfAParallelJobOneByOneOrAll) {
  project_.pipeline("test: {parallel: 3, script: ['echo $CI_NODE_INDEX >>\"$GATE/ran\"', '[ $CI_NODE_INDEX != 2 ]']}");
  EXPECT_EQ(exec({"--parallel", "1"}).code, 1);
  EXPECT_EQ(retry().code, 1);
  EXPECT_EQ(ran(), "1 2 2 3 ");
  EXPECT_EQ(retry({"test 3/3", "--parallel", "1"}).code, 1);
  EXPECT_EQ(retry({"test", "--parallel", "1"}).code, 1);
  EXPECT_EQ(ran(), "1 1 2 2 2 3 3 3 ");
}

TEST_P(RetryInShell, AFailedTriggerRunsItsPipelineAnewAndAPassedOneStands) {
  project_.file("good.yml", "good: {script: ['echo good >>\"$GATE/ran\"']}");
  project_.file("bad.yml", "bad: {script: ['echo bad >>\"$GATE/ran\"', '[ -e \"$GATE/bad\" ]']}");
  project_.pipeline(R"(
one: {trigger: {include: good.yml, strategy: depend, forward: {pipeline_variables: true}}, needs: []}
two: {trigger: {include: bad.yml, strategy: depend, forward: {pipeline_variables: true}}, needs: [one]}
)");
  EXPECT_EQ(exec().code, 1);
  let_pass("bad");
  const Result again = retry();  // the newest run is a child: its parent is meant
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(again.events.at(0)["retry_of"], 1);
  EXPECT_EQ(ran(), "bad bad good ");
  EXPECT_EQ(again.finished("one")["reused"], 1);
  const Result child = retry({"3"});
  EXPECT_EQ(child.code, 2);
  EXPECT_THAT(child.err, HasSubstr("run 3 is a child pipeline of run 1"));
}

TEST_P(RetryInShell, AResourceGroupIsTakenByWhatRunsAlone) {
  project_.pipeline(
      "a: {script: echo, resource_group: live}\nb: {script: ['[ -e \"$GATE/b\" ]'], resource_group: live}");
  EXPECT_EQ(exec().code, 1);
  let_pass("b");
  EXPECT_EQ(retry().code, 0);
}

TEST_P(RetryInShell, SecretsAreGivenAgain) {
  project_.pipeline("test: {script: ['echo \"it is $TOKEN\"', '[ -e \"$GATE/test\" ]']}");
  EXPECT_EQ(exec({"--secret", "TOKEN=abcdef-secret-0123"}).code, 1);
  let_pass("test");
  EXPECT_EQ(retry().code, 2);
  const Result again = retry({"--secret", "TOKEN=abcdef-secret-0123"});
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(again.printed("test"), "it is [MASKED]\n");
}

TEST_P(RetryInShell, ARunThatIsNotOverIsLeftAlone) {
  project_.pipeline("wait: {script: [echo waiting, sleep 600]}");
  auto run = project_.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  const Result driven = retry();
  EXPECT_EQ(driven.code, 2);
  EXPECT_THAT(driven.err, HasSubstr("run 1 is not over"));
  run->kill();
  run->wait();
  EXPECT_THAT(retry().err, HasSubstr("`runner resume 1` takes it up"));
  EXPECT_EQ(project_.run({"doctor", "--clean"}).code, 0);
}

TEST_P(RetryInShell, ARunThatWasGivenUpRunsWhatWasLost) {
  project_.pipeline(R"(
build: {stage: build, script: [echo built >out.txt], artifacts: {paths: [out.txt]}}
wait: {script: [echo waiting, 'while [ ! -e "$GATE/wait" ]; do sleep 0.1; done', cat out.txt]}
)");
  auto run = project_.start_exec({"--variable", "GATE=" + gate().string()});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  EXPECT_EQ(project_.run({"doctor", "--clean"}).code, 0);
  let_pass("wait");
  const Result again = retry();
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(again.finished("build")["reused"], 1);
  EXPECT_EQ(again.printed("wait"), "waiting\nbuilt\n");
}

TEST_P(RetryInShell, ARetryThatDiedIsTakenUp) {
  project_.pipeline(R"(
build: {stage: build, script: [echo built >out.txt], artifacts: {paths: [out.txt]}}
wait: {script: ['[ -e "$GATE/again" ]', echo waiting, 'while [ ! -e "$GATE/wait" ]; do sleep 0.1; done', echo mine >mine.txt], artifacts: {paths: [mine.txt]}}
last: {stage: deploy, script: [cat out.txt]}
)");
  EXPECT_EQ(exec().code, 1);
  let_pass("again");
  auto run = project_.start({"retry", "--output", "json"});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  let_pass("wait");
  const Result taken_up = project_.run({"resume", "--output", "json"});
  EXPECT_EQ(taken_up.code, 0) << taken_up;
  EXPECT_EQ(taken_up.printed("last"), "built\n");
  EXPECT_EQ(taken_up.finished("build")["reused"], 1);
}

TEST_P(RetryInShell, TheConsoleSaysWhatDidNotRun) {
  project_.pipeline(pipeline);
  const Result failed =
      project_.run({"exec", "--executor", "shell", "--output", "plain", "--variable", "GATE=" + gate().string()});
  EXPECT_THAT(failed.out, HasSubstr("runner retry 1\n"));
  let_pass("test");
  const Result text = project_.run({"retry", "--output", "plain"});
  EXPECT_EQ(text.code, 0) << text;
  EXPECT_THAT(text.out, AllOf(HasSubstr("retry of run 1"), HasSubstr("✓ passed in run 1")));
  EXPECT_THAT(project_.run({"runs"}).out, HasSubstr("pipeline.yml (retry of run 1)"));
}

TEST(RetryHelp, HasExamples) {
  Project project;
  const Result help = project.run({"retry", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("[RUN] [JOB...]"), HasSubstr("--from"), HasSubstr("--worktree"),
                              HasSubstr("runner retry 12 test --from")));
  EXPECT_THAT(project.run({"completion", "bash"}).out, HasSubstr("retry"));
}

TEST(Retry, WithTheWorktreeKeepsWhatTheTriggerSent) {
  Project project;
  project.pipeline("a: {script: 'cat \"$TRIGGER_PAYLOAD\"; exit 1'}").commit();
  EXPECT_EQ(project.exec({"--event", "trigger", "--trigger-payload", "words"}).code, 1);
  const Result again = project.run({"retry", "--worktree", "--output", "plain"});
  EXPECT_THAT(again.out, testing::HasSubstr("│ words")) << again;
}

}  // namespace
}  // namespace e2e
