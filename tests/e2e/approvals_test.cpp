// Approvals: a run that stops before a manual job, `runner approve` and `reject`, and `runner resume` in another
// process; at a terminal the question itself.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* pipeline = R"(
stages: [build, deploy, verify]
build:
  stage: build
  script: [echo "made by $CI_PIPELINE_ID" >out.txt, echo "FROM=build" >vars]
  artifacts: {paths: [out.txt], reports: {dotenv: vars}}
deploy-prod:
  stage: deploy
  script: [cat out.txt source.txt, 'echo "$FROM $GREETING"']
  manual_confirmation: Really to production?
  rules: [{when: manual}]
verify: {stage: verify, script: [echo verified]}
alarm: {stage: verify, script: [echo alarmed], when: on_failure}
)";

class Approvals : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { project_.configuration("image = \"busybox\"\n").file("source.txt", "of then\n"); }
  Result exec(const Arguments& arguments = {}) {
    return GetParam() ? project_.docker(arguments) : project_.exec(arguments);
  }
  Result resume(const Arguments& arguments = {"1"}) {
    Arguments all{"resume", "--output", "json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return project_.run(all);
  }
  Project project_;
};

TEST_P(Approvals, AnApprovedRunGoesOnInAnotherProcessWithAllThatItHad) {
  project_.pipeline(pipeline);
  const Result stopped = exec({"--variable", "GREETING=hello"});
  EXPECT_EQ(stopped.code, 4) << stopped;
  EXPECT_EQ(stopped.outcome("deploy-prod"), "manual");
  EXPECT_EQ(stopped.outcome("verify"), "skipped");
  EXPECT_GT(stopped.place("job_waiting", "deploy-prod"), 0);
  EXPECT_THAT(stopped.events.back()["message"].get<std::string>(),
              HasSubstr("`runner approve 1 deploy-prod` and `runner resume 1` go on with it"));
  project_.file("source.txt", "of now\n").pipeline("other: {script: echo other}");

  const Result approved = project_.run({"approve", "1", "deploy-prod", "--comment", "agreed with Ann"});
  EXPECT_EQ(approved.code, 0) << approved;
  EXPECT_THAT(approved.out,
              AllOf(HasSubstr("deploy-prod of run 1 approved by "), HasSubstr("@"), HasSubstr("agreed with Ann")));
  EXPECT_THAT(approved.err, HasSubstr("`runner resume 1` runs it, and what comes after"));

  const Result on = resume();
  EXPECT_EQ(on.code, 0) << on;
  EXPECT_EQ(on.printed("deploy-prod"), "made by 1\nof then\nbuild hello\n");
  EXPECT_EQ(on.outcome("build"), "passed");
  EXPECT_EQ(on.count("job_started", "build"), 0U);  // it had ended
  EXPECT_EQ(on.outcome("verify"), "passed");
  EXPECT_EQ(on.outcome("alarm"), "skipped");
  EXPECT_THAT(on.finished("deploy-prod")["approved"].get<std::string>(), HasSubstr("agreed with Ann"));
  EXPECT_EQ(project_.runs().size(), 1U);
  EXPECT_EQ(project_.runs()[0]["outcome"], "passed");
  EXPECT_THAT(project_.run({"logs", "1", "deploy-prod"}).err, HasSubstr("agreed with Ann"));
  const Result over = resume();
  EXPECT_EQ(over.code, 2);
  EXPECT_THAT(over.err, HasSubstr("run 1 is over: passed"));
}

TEST_P(Approvals, ARejectedJobFailsAndWhatFollowsFromThatRuns) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 4);
  const Result rejected = project_.run({"reject", "1", "deploy-prod", "--comment", "not on a Friday"});
  EXPECT_EQ(rejected.code, 0) << rejected;
  const Result on = resume();
  EXPECT_EQ(on.code, 1) << on;
  EXPECT_EQ(on.outcome("deploy-prod"), "failed");
  EXPECT_EQ(on.reason("deploy-prod"), "rejected");
  EXPECT_THAT(on.message("deploy-prod"), AllOf(HasSubstr("rejected by "), HasSubstr(": not on a Friday")));
  EXPECT_EQ(on.outcome("verify"), "skipped");
  EXPECT_EQ(on.outcome("alarm"), "passed");
  EXPECT_EQ(on.run_outcome(), "failed");
}

INSTANTIATE_TEST_SUITE_P(By, Approvals, testing::Values(false, true),
                         [](const auto& which) { return which.param ? "Docker" : "Shell"; });

class ApprovalsInShell : public Approvals {};
INSTANTIATE_TEST_SUITE_P(By, ApprovalsInShell, testing::Values(false), [](const auto&) { return "Shell"; });

TEST_P(ApprovalsInShell, WithoutAWordResumeRunsNothing) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 4);
  const Result still = resume();
  EXPECT_EQ(still.code, 4) << still;
  EXPECT_TRUE(still.events.empty());
  EXPECT_THAT(still.err, AllOf(HasSubstr("run 1 waits for deploy-prod"), HasSubstr("`runner approve 1`")));
  EXPECT_EQ(project_.runs()[0]["outcome"], "waiting");
  const Result any = resume({});
  EXPECT_EQ(any.code, 2);
  EXPECT_THAT(any.err, HasSubstr("`runner approve` lists what waits"));
  // With a word it is the run that `resume` means.
  EXPECT_EQ(project_.run({"approve", "1", "deploy-prod"}).code, 0);
  EXPECT_EQ(resume({}).code, 0);
}

TEST_P(ApprovalsInShell, ApproveListsWhatWaits) {
  project_.pipeline(pipeline);
  EXPECT_THAT(project_.run({"approve"}).out, HasSubstr("nothing waits"));
  EXPECT_EQ(exec().code, 4);
  EXPECT_THAT(project_.run({"approve"}).out,
              AllOf(HasSubstr("deploy-prod"), HasSubstr("to be started: Really to production?")));
  const Json list = Json::parse(project_.run({"approve", "1", "--output", "json"}).out);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["run"], 1);
  EXPECT_EQ(list[0]["job"], "deploy-prod");
  EXPECT_EQ(list[0]["said"], nullptr);
  const Json said =
      Json::parse(project_.run({"reject", "1", "deploy-prod", "--comment", "no", "--output", "json"}).out);
  EXPECT_EQ(said[0]["said"]["decision"], "rejected");
  EXPECT_EQ(said[0]["said"]["comment"], "no");
  // The newest word counts.
  EXPECT_EQ(project_.run({"approve", "1", "deploy-prod"}).code, 0);
  EXPECT_EQ(resume().code, 0);
}

TEST_P(ApprovalsInShell, OnlyWhatWaitsCanBeApproved) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec().code, 4);
  const auto refused = [&](const Arguments& words, const std::string& why) {
    const Result result = project_.run(words);
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_THAT(result.err, HasSubstr(why));
  };
  refused({"approve", "1", "build"}, "build of run 1 does not wait for anybody: it ended: passed");
  refused({"approve", "1", "verify"}, "verify of run 1 does not wait for anybody: it ended: skipped");
  refused({"approve", "1", "deploy-prd"}, "did you mean deploy-prod?");
  refused({"approve", "9", "build"}, "there is no run 9");
  refused({"approve", "deploy-prod"}, "which run?");
  refused({"reject", "1"}, "which job?");
  refused({"reject"}, "which run?");
  refused({"approve", "1", "deploy-prod", "--output", "yaml"}, "expected text or json");
  EXPECT_EQ(Json::parse(project_.run({"approve", "1", "--output", "json"}).out)[0]["said"], nullptr);
}

TEST_P(ApprovalsInShell, ARunMayWaitSeveralTimes) {
  project_.pipeline(R"(
stages: [a, b, c]
one: {stage: a, script: [echo one], rules: [{when: manual}]}
two: {stage: b, script: [echo two], rules: [{when: manual}]}
also: {stage: b, script: [echo also]}
end: {stage: c, script: [echo end]}
)");
  EXPECT_EQ(exec().code, 4);
  EXPECT_EQ(project_.run({"approve", "1", "two"}).code, 2);  // its turn has not come
  EXPECT_EQ(project_.run({"approve", "1", "one"}).code, 0);
  const Result second = resume();
  EXPECT_EQ(second.code, 4) << second;
  EXPECT_EQ(second.outcome("one"), "passed");
  EXPECT_EQ(second.outcome("also"), "passed");
  EXPECT_EQ(second.outcome("two"), "manual");
  EXPECT_EQ(project_.run({"approve", "1", "one"}).code, 2);
  EXPECT_EQ(project_.run({"approve", "1", "two"}).code, 0);
  const Result third = resume();
  EXPECT_EQ(third.code, 0) << third;
  EXPECT_EQ(third.count("job_started"), 2U);  // two and end
  EXPECT_EQ(third.outcome("end"), "passed");
}

TEST_P(ApprovalsInShell, OfTwoResumesOneTakesIt) {
  project_.pipeline("gate: {script: [echo on, sleep 2], rules: [{when: manual}]}");
  EXPECT_EQ(exec().code, 4);
  EXPECT_EQ(project_.run({"approve", "1", "gate"}).code, 0);
  auto one = project_.start({"resume", "1"});
  auto two = project_.start({"resume", "1"});
  const int first = one->wait().code, second = two->wait().code;
  EXPECT_THAT((std::vector<int>{std::min(first, second), std::max(first, second)}), ElementsAre(0, 2));
  EXPECT_EQ(project_.logs({"1", "gate"}).find("\non\n"), project_.logs({"1", "gate"}).rfind("\non\n"));
}

TEST_P(ApprovalsInShell, AnOptionalManualJobOfARunThatIsOverCanBeStarted) {
  project_.pipeline(R"(
stages: [a, b]
tidy: {stage: a, script: [echo tidied], when: manual}
after: {stage: b, needs: [tidy], script: [echo after]}
main: {stage: b, script: [echo main]}
)");
  const Result first = exec();
  EXPECT_EQ(first.code, 0) << first;
  EXPECT_EQ(first.outcome("after"), "skipped");
  EXPECT_EQ(resume().code, 2);
  EXPECT_EQ(project_.run({"approve", "1", "tidy"}).code, 0);
  const Result on = resume();
  EXPECT_EQ(on.code, 0) << on;
  EXPECT_EQ(on.printed("tidy"), "tidied\n");
  EXPECT_EQ(on.printed("after"), "after\n");
  EXPECT_EQ(on.count("job_started", "main"), 0U);
}

TEST_P(ApprovalsInShell, AnApprovalWhileTheRunIsUnderWayNeedsNoResume) {
  project_.pipeline(R"(
stages: [a, b]
slow: {stage: a, script: ['until [ -e "$GATE" ]; do sleep 0.1; done']}
gate: {stage: a, script: [echo on], rules: [{when: manual}]}
end: {stage: b, script: [echo end]}
)");
  const std::string gate = (project_.home() / "gate").string();
  auto run = project_.start_exec({"--variable", "GATE=" + gate});
  ASSERT_TRUE(run->wait_for("job_waiting"));
  const Result approved = project_.run({"approve", "1", "gate"});
  EXPECT_EQ(approved.code, 0) << approved;
  EXPECT_THAT(approved.err, HasSubstr("run 1 is under way"));
  sh("touch '" + gate + "'");
  const Result over = read_result(run->wait());
  EXPECT_EQ(over.code, 0) << over;
  EXPECT_EQ(over.outcome("gate"), "passed");
  EXPECT_EQ(over.outcome("end"), "passed");
}

TEST_P(ApprovalsInShell, ARunThatDiesAfterItWasLetGoOnIsResumedAgain) {
  project_.pipeline(R"(
stages: [a, b]
gate: {stage: a, script: ['echo on >>"$GATE"', sleep 3], rules: [{when: manual}]}
end: {stage: b, script: [echo end]}
)");
  const std::string gate = (project_.home() / "gate").string();
  EXPECT_EQ(exec({"--variable", "GATE=" + gate}).code, 4);
  EXPECT_EQ(project_.run({"approve", "1", "gate"}).code, 0);
  auto run = project_.start({"resume", "1"});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(gate); }));
  run->kill();
  run->wait();
  const Result on = resume();
  EXPECT_EQ(on.code, 0) << on;
  EXPECT_EQ(on.outcome("gate"), "passed");
  EXPECT_EQ(on.outcome("end"), "passed");
  EXPECT_EQ(sh("cat '" + gate + "'"), "on\n");
}

TEST_P(ApprovalsInShell, TheSourcesOfAWaitingRunAreKept) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec({"--variable", "GREETING=hello"}).code, 4);
  project_.pipeline("quick: {script: echo quick}");
  for (int i = 0; i < 4; ++i) {
    project_.file("source.txt", "version " + std::to_string(i) + "\n");
    EXPECT_EQ(exec().code, 0);
  }
  EXPECT_EQ(project_.run({"approve", "1", "deploy-prod"}).code, 0);
  EXPECT_THAT(resume().printed("deploy-prod"), HasSubstr("of then\n"));
}

TEST_P(ApprovalsInShell, ArtifactsThatExpiredMeanwhileAreNamed) {
  project_.pipeline(R"(
stages: [a, b]
build: {stage: a, script: [echo x >out.txt], artifacts: {paths: [out.txt], expire_in: 1s}}
gate: {stage: b, script: [cat out.txt], rules: [{when: manual}]}
)");
  EXPECT_EQ(exec().code, 4);
  EXPECT_EQ(project_.run({"approve", "1", "gate"}).code, 0);
  sh("sleep 1.5");
  EXPECT_EQ(project_.run({"gc"}).code, 0);
  const Result on = resume();
  EXPECT_EQ(on.code, 2) << on;
  EXPECT_THAT(on.err, HasSubstr("gate takes the artifacts of build"));
  EXPECT_EQ(project_.runs()[0]["outcome"], "waiting");
}

TEST_P(ApprovalsInShell, SecretsAreGivenAgain) {
  project_.pipeline("gate: {script: ['echo \"${TOKEN%??}\"'], rules: [{when: manual}]}");
  EXPECT_EQ(exec({"--secret", "TOKEN=swordfish-42"}).code, 4);
  EXPECT_EQ(project_.run({"approve", "1", "gate"}).code, 0);
  EXPECT_EQ(resume().code, 2);  // nobody gives it
  EXPECT_EQ(project_.runs()[0]["outcome"], "waiting");
  const Result on = resume({"1", "--secret", "TOKEN=swordfish-42"});
  EXPECT_EQ(on.code, 0) << on;
  EXPECT_EQ(on.printed("gate"), "swordfish-\n");
}

TEST_P(ApprovalsInShell, AChildPipelineThatWaitsGoesOnWithItsParent) {
  project_.file("child.yml", "gate: {script: [echo child], rules: [{when: manual}]}\n");
  project_.pipeline(R"(
stages: [a, b]
child: {stage: a, trigger: {include: child.yml, strategy: depend}}
end: {stage: b, script: [echo end]}
)");
  EXPECT_EQ(exec().code, 4);
  EXPECT_THAT(project_.run({"approve", "1"}).out, HasSubstr("gate"));
  const Result own = project_.run({"approve", "1", "child"});
  EXPECT_EQ(own.code, 2);
  EXPECT_THAT(own.err, HasSubstr("waits for its pipeline, run 2"));
  const Result approved = project_.run({"approve", "2", "gate"});
  EXPECT_EQ(approved.code, 0) << approved;
  EXPECT_THAT(approved.err, HasSubstr("`runner resume 1`"));
  EXPECT_THAT(resume({"2"}).err, HasSubstr("`runner resume 1` goes on with both"));
  const Result on = resume();
  EXPECT_EQ(on.code, 0) << on;
  EXPECT_EQ(on.outcome("end"), "passed");
  EXPECT_THAT(project_.logs({"2", "gate"}), HasSubstr("child\n"));
}

TEST_P(ApprovalsInShell, RetryStillStartsAManualJob) {
  project_.pipeline(pipeline);
  EXPECT_EQ(exec({"--variable", "GREETING=hello"}).code, 4);
  const Result again = project_.run({"retry", "1", "deploy-prod", "--output", "json"});
  EXPECT_EQ(again.code, 0) << again;
  EXPECT_EQ(again.outcome("verify"), "passed");
}

// --- at a terminal ------------------------------------------------------------------------------------------------

class AskedAtATerminal : public Approvals {
 protected:
  std::unique_ptr<Process> at_terminal(const Arguments& arguments = {}) {
    Arguments all{"exec", "--executor", "shell"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Options options;
    options.terminal = true;
    return project_.start(all, options);
  }
};
INSTANTIATE_TEST_SUITE_P(By, AskedAtATerminal, testing::Values(false), [](const auto&) { return "Shell"; });

TEST_P(AskedAtATerminal, YesRunsTheJobAndWhatComesAfter) {
  project_.pipeline(pipeline);
  auto run = at_terminal({"--variable", "GREETING=hello"});
  ASSERT_TRUE(run->wait_for("Really to production?\r\nRun deploy-prod? [y/N]"));
  EXPECT_TRUE(run->echoes());
  run->type("y\n");
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("build hello"));
  EXPECT_THAT(ended.out, HasSubstr("approved by "));  // in the closing table
  EXPECT_EQ(project_.runs()[0]["outcome"], "passed");
}

TEST_P(AskedAtATerminal, NoStopsTheRunAsWithoutATerminal) {
  project_.pipeline(pipeline);
  for (const char* answer : {"n\n", "\n", "\x04"}) {
    auto run = at_terminal();
    ASSERT_TRUE(run->wait_for("Run deploy-prod? [y/N]"));
    run->type(answer);
    const Ended ended = run->wait();
    EXPECT_EQ(ended.code, 4) << ended.out;
    EXPECT_THAT(ended.out, HasSubstr("go on with it"));
  }
}

TEST_P(AskedAtATerminal, CtrlCAtTheQuestionCancelsTheRun) {
  project_.pipeline(pipeline);
  auto run = at_terminal();
  ASSERT_TRUE(run->wait_for("Run deploy-prod? [y/N]"));
  run->interrupt();
  EXPECT_EQ(run->wait().code, 130);
  EXPECT_EQ(project_.runs()[0]["outcome"], "cancelled");
}

TEST_P(AskedAtATerminal, EveryJobIsAskedForOnce) {
  project_.pipeline(R"(
one: {script: [echo first], rules: [{when: manual}]}
two: {script: [echo second], rules: [{when: manual}]}
)");
  auto run = at_terminal();
  ASSERT_TRUE(run->wait_for("Run one? [y/N]"));
  run->type("n\n");
  ASSERT_TRUE(run->wait_for("Run two? [y/N]"));
  run->type("yes\n");
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 4) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("second"));
  EXPECT_THAT(ended.out, HasSubstr("stopped before one;"));
  // The other one may be let go on later.
  EXPECT_EQ(project_.run({"approve", "1", "one"}).code, 0);
  EXPECT_EQ(resume().code, 0);
}

TEST_P(AskedAtATerminal, AnAnswerFromElsewhereWillDo) {
  project_.pipeline(pipeline);
  auto run = at_terminal({"--variable", "GREETING=hello"});
  ASSERT_TRUE(run->wait_for("Run deploy-prod? [y/N]"));
  EXPECT_EQ(project_.run({"approve", "1", "deploy-prod", "--comment", "from afar"}).code, 0);
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("from afar"));
}

}  // namespace
}  // namespace e2e
