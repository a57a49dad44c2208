// `runner exec`: outcomes and exit codes, its arguments, and what it prints.
#include <gmock/gmock.h>

#include <regex>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// --- outcomes and exit codes -------------------------------------------------------------------------------------

TEST(ExecOutcome, PassedIs0) {
  Project project;
  project.pipeline("test: {script: echo fine}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("test"), "passed");
  EXPECT_EQ(result.exit_code("test"), 0);
  EXPECT_EQ(result.reason("test"), "");
  EXPECT_EQ(result.run_outcome(), "passed");
  EXPECT_EQ(result.printed("test"), "fine\n");
}

TEST(ExecOutcome, AFailedJobIs1) {
  Project project;
  project.pipeline(R"(
stages: [test, deploy]
unit: {stage: test, script: exit 7}
other: {stage: test, script: echo runs all the same}
deploy: {stage: deploy, script: echo never}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("unit"), "failed");
  EXPECT_EQ(result.exit_code("unit"), 7);
  EXPECT_EQ(result.reason("unit"), "script_failure");
  EXPECT_EQ(result.outcome("other"), "passed");
  EXPECT_EQ(result.outcome("deploy"), "skipped");
  EXPECT_EQ(result.exit_code("deploy"), -1);
  EXPECT_EQ(result.count("job_started", "deploy"), 0U);
  EXPECT_EQ(result.run_outcome(), "failed");
}

TEST(ExecOutcome, AnAllowedFailureIs0) {
  Project project;
  project.pipeline(R"(
lint: {stage: build, script: exit 1, allow_failure: true}
test: {script: echo goes on}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("lint"), "failed");
  EXPECT_TRUE(result.allowed("lint"));
  EXPECT_EQ(result.outcome("test"), "passed");
  EXPECT_FALSE(result.allowed("test"));
  EXPECT_EQ(result.run_outcome(), "passed");
}

TEST(ExecOutcome, StoppedBeforeABlockingManualJobIs4) {
  Project project;
  project.pipeline(R"(
stages: [build, approve, deploy]
build: {stage: build, script: echo built}
approve:
  stage: approve
  rules: [{when: manual}]
  script: echo approved
deploy: {stage: deploy, script: echo never}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 4) << result;
  EXPECT_EQ(result.outcome("build"), "passed");
  EXPECT_EQ(result.outcome("approve"), "manual");
  EXPECT_EQ(result.count("job_started", "deploy"), 0U);
  EXPECT_EQ(result.run_outcome(), "waiting");
  // A manual job runs when it is asked for by name.
  const Result asked = project.exec({"approve"});
  EXPECT_EQ(asked.code, 0) << asked;
  EXPECT_EQ(asked.printed("approve"), "approved\n");
}

TEST(ExecOutcome, AnOptionalManualJobDoesNotBlock) {
  Project project;
  project.pipeline(R"(
stages: [build, deploy]
by-hand: {stage: build, when: manual, script: echo never}
deploy: {stage: deploy, script: echo deployed}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("by-hand"), "manual");
  EXPECT_EQ(result.outcome("deploy"), "passed");
}

TEST(ExecOutcome, CtrlCIs130) {
  Project project;
  project.pipeline(R"(
stages: [test, deploy]
slow:
  stage: test
  script: ["echo started", sleep 300]
  after_script: ['echo "after: $CI_JOB_STATUS"']
deploy: {stage: deploy, script: echo never}
)");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  run->interrupt();
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_LT(result.seconds, 60);
  EXPECT_EQ(result.outcome("slow"), "cancelled");
  EXPECT_EQ(result.outcome("deploy"), "cancelled");
  EXPECT_EQ(result.run_outcome(), "cancelled");
  EXPECT_THAT(result.log("slow"), HasSubstr("after: canceled"));
  EXPECT_THAT(result.err, HasSubstr("scripts get 10 seconds to end, after_script still runs (again: stop at once)"));
  EXPECT_TRUE(project.processes().empty());
}

TEST(ExecOutcome, SigtermIsOrderlyToo) {
  Project project;
  project.pipeline("slow: {script: [echo started, sleep 300]}");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  run->signal(SIGTERM);
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.outcome("slow"), "cancelled");
}

TEST(ExecOutcome, AScriptThatIgnoresSigtermIsKilledAfterTenSeconds) {
  Project project;
  project.pipeline(R"(
stubborn:
  script:
    - trap '' TERM INT
    - echo started
    - for i in $(seq 600); do sleep 0.1 || true; done
)");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  const auto begin = std::chrono::steady_clock::now();
  run->interrupt();
  const Result result = read_result(run->wait());
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.outcome("stubborn"), "cancelled");
  EXPECT_GT(took, 9);
  EXPECT_LT(took, 25);
}

TEST(ExecOutcome, ASecondCtrlCEndsAtOnce) {
  Project project;
  project.pipeline(R"(
stubborn:
  script:
    - trap '' TERM INT
    - echo started
    - for i in $(seq 600); do sleep 0.1 || true; done
)");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  const auto begin = std::chrono::steady_clock::now();
  run->interrupt();
  ASSERT_TRUE(run->wait_for("cancelling"));
  std::this_thread::sleep_for(std::chrono::milliseconds(700));  // less counts as the same press
  run->interrupt();
  const Result result = read_result(run->wait());
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_LT(took, 7);
  EXPECT_EQ(result.outcome("stubborn"), "cancelled");
}

TEST(ExecOutcome, CtrlCEndsWhatWaitsForItsTurnOrItsTime) {
  Project project;
  std::string text = "later: {when: delayed, start_in: 1 hour, script: echo never}\n";
  for (int i = 0; i < 6; ++i) text += "job" + std::to_string(i) + ": {script: [echo started, sleep 300]}\n";
  project.pipeline(text);
  auto run = project.start_exec({"--parallel", "2"});
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  run->interrupt();
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.outcome("later"), "cancelled");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(result.outcome("job" + std::to_string(i)), "cancelled");
  EXPECT_EQ(project.runs().at(0)["outcome"], "cancelled");
}

TEST(ExecOutcome, NoJobLeftSaysWhyInOneLineAndIs0) {
  Project project;
  project.pipeline("test: {script: echo never, rules: [{if: $NOT_SET}]}");
  const Result result = project.run({"exec", "--executor", "shell"});
  EXPECT_EQ(result.code, 0) << result;
  const std::string said = result.out + result.err;
  EXPECT_FALSE(said.empty());
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << result;

  project.pipeline("workflow: {rules: [{if: $NOT_SET}]}\ntest: {script: echo never}");
  const Result refused = project.run({"exec", "--executor", "shell"});
  EXPECT_EQ(refused.code, 0) << refused;
  EXPECT_THAT(refused.out + refused.err, HasSubstr("workflow"));
}

TEST(ExecOutcome, NoJobLeftIsSaidInJsonToo) {
  Project project;
  project.pipeline("test: {script: echo never, rules: [{if: $NOT_SET}]}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.run_outcome(), "skipped") << result;
}

TEST(ExecOutcome, WithoutAnImageThePlanIsRefusedNamingTheJob) {
  Project project;
  project.pipeline("with: {image: busybox, script: echo no}\nwithout-image: {script: echo no}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err, HasSubstr("without-image"));
  EXPECT_THAT(result.err, HasSubstr("image"));
  EXPECT_EQ(result.count("job_started"), 0U);
}

// --- FILE and JOB ------------------------------------------------------------------------------------------------

constexpr const char* two_jobs = R"(
stages: [build, test]
build: {stage: build, script: echo building}
test: {stage: test, script: echo testing}
)";

TEST(ExecArguments, TheDefaultFileIsPipelineYmlThenGitlabCiYml) {
  Project project;
  project.file(".gitlab-ci.yml", "gitlab: {script: echo gitlab}");
  EXPECT_TRUE(project.exec().finished_at_all("gitlab"));
  project.pipeline("ours: {script: echo ours}");
  const Result result = project.exec();
  EXPECT_TRUE(result.finished_at_all("ours")) << result;
  EXPECT_FALSE(result.finished_at_all("gitlab"));
}

TEST(ExecArguments, NoFileAtAllIs2) {
  Project project;
  const Result result = project.exec();
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err, AllOf(HasSubstr("pipeline.yml"), HasSubstr(".gitlab-ci.yml")));
}

TEST(ExecArguments, AFileIsWhatExistsOrEndsInYml) {
  Project project;
  project.pipeline(two_jobs);
  project.file("other.yml", "other: {script: echo other}");
  project.file("plainname", "plain: {script: echo plain}");
  EXPECT_TRUE(project.exec({"other.yml"}).finished_at_all("other"));
  EXPECT_TRUE(project.exec({"plainname"}).finished_at_all("plain"));
  const Result missing = project.exec({"missing.yaml"});
  EXPECT_EQ(missing.code, 2) << missing;
  EXPECT_THAT(missing.err, HasSubstr("missing.yaml"));
}

TEST(ExecArguments, OtherWordsAreJobs) {
  Project project;
  project.pipeline(two_jobs);
  const Result one = project.exec({"test"});
  EXPECT_EQ(one.code, 0) << one;
  EXPECT_TRUE(one.finished_at_all("test"));
  EXPECT_FALSE(one.finished_at_all("build"));
  const Result both = project.exec({"pipeline.yml", "build", "test"});
  EXPECT_TRUE(both.finished_at_all("test"));
  EXPECT_TRUE(both.finished_at_all("build"));
}

TEST(ExecArguments, AnUnknownJobIs2AndSaysTheNearest) {
  Project project;
  project.pipeline(two_jobs);
  const Result result = project.exec({"biuld"});
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err, AllOf(HasSubstr("biuld"), HasSubstr("build")));
}

TEST(ExecArguments, AnUnknownOptionIs2AndSaysTheNearest) {
  Project project;
  project.pipeline(two_jobs);
  const Result result = project.run({"exec", "--varaible", "A=b"});
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err, HasSubstr("--variable"));
  EXPECT_EQ(project.run({}).code, 2);
  EXPECT_EQ(project.run({"frobnicate"}).code, 2);
  EXPECT_EQ(project.run({"exec", "--event", "nonsense"}).code, 2);
  EXPECT_EQ(project.run({"exec", "--executor", "nonsense"}).code, 2);
  EXPECT_EQ(project.run({"exec", "--output", "nonsense"}).code, 2);
  EXPECT_EQ(project.run({"exec", "--executor", "shell", "--variable", "novalue"}).code, 2);
}

TEST(ExecArguments, NeedsTakesAlsoWhatTheJobNeeds) {
  Project project;
  project.pipeline(R"(
stages: [build, test]
build: {stage: build, script: echo hello >out.txt, artifacts: {paths: [out.txt]}}
unrelated: {stage: build, script: echo no}
test: {stage: test, needs: [build], script: cat out.txt}
)");
  const Result result = project.exec({"--needs", "test"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "hello\n");
  EXPECT_FALSE(result.finished_at_all("unrelated"));
  EXPECT_FALSE(project.exec({"test"}).finished_at_all("build"));
}

TEST(ExecArguments, TheProjectIsTheFolderOfADefaultNamedFile) {
  Project project;
  project.file("sub/pipeline.yml", "test: {script: [cat here.txt]}").file("sub/here.txt", "found\n");
  const Result result = project.exec({"sub/pipeline.yml"});
  EXPECT_EQ(result.printed("test"), "found\n") << result;
}

// --- what a run is told ------------------------------------------------------------------------------------------

TEST(ExecOptions, VariablesBeatTheFiles) {
  Project project;
  project.pipeline(R"(
variables: {A: global, B: global, C: global}
test:
  variables: {A: job, B: job}
  script: ['echo "$A $B $C $D"']
)");
  const Result result = project.exec({"--variable", "A=mine", "--variable", "D=x=y z"});
  EXPECT_EQ(result.printed("test"), "mine job global x=y z\n") << result;
}

TEST(ExecOptions, VariablesAreSeenByRules) {
  Project project;
  project.pipeline(R"(
deploy: {script: echo deploying, rules: [{if: '$WHERE == "production"'}]}
test: {script: echo testing}
)");
  EXPECT_FALSE(project.exec().finished_at_all("deploy"));
  EXPECT_TRUE(project.exec({"--variable", "WHERE=production"}).finished_at_all("deploy"));
}

TEST(ExecOptions, BranchTagAndEventOnlySetWhatTheRunIsTold) {
  Project project;
  project
      .pipeline(R"(
test:
  only: [branches, tags, merge_requests]
  script: ['echo "[$CI_COMMIT_BRANCH] [$CI_COMMIT_TAG] [$CI_COMMIT_REF_NAME] [$CI_COMMIT_REF_SLUG] [$CI_PIPELINE_SOURCE]"; cat file']
)")
      .file("file", "of the working tree\n")
      .commit();
  project.file("file", "changed\n");
  const auto told = [&](const Arguments& options) { return project.exec(options).printed("test"); };
  EXPECT_EQ(told({}), "[main] [] [main] [main] [push]\nchanged\n");
  EXPECT_EQ(told({"--branch", "feature/Shiny_Thing"}),
            "[feature/Shiny_Thing] [] [feature/Shiny_Thing] [feature-shiny-thing] [push]\nchanged\n");
  EXPECT_EQ(told({"--tag", "v1.0"}), "[] [v1.0] [v1.0] [v1-0] [push]\nchanged\n");
  EXPECT_EQ(told({"--event", "schedule"}), "[main] [] [main] [main] [schedule]\nchanged\n");
  EXPECT_EQ(told({"--event", "web"}), "[main] [] [main] [main] [web]\nchanged\n");
  EXPECT_THAT(told({"--event", "merge_request"}), HasSubstr("[merge_request_event]"));
}

TEST(ExecOptions, ChangesCompareTheWorkingTreeWithSince) {
  Project project;
  project
      .pipeline(R"(
docs: {script: echo docs, rules: [{changes: [docs/**/*]}]}
code: {script: echo code, rules: [{changes: ["*.c"]}]}
all: {script: echo all}
)")
      .file("docs/a.md", "1")
      .file("main.c", "1")
      .commit("one");
  // No parent: nothing to compare with, changes is true.
  const Result first = project.exec();
  EXPECT_TRUE(first.finished_at_all("docs") && first.finished_at_all("code")) << first;
  // HEAD's parent is the default.
  project.file("main.c", "2").commit("two");
  const Result second = project.exec();
  EXPECT_FALSE(second.finished_at_all("docs")) << second;
  EXPECT_TRUE(second.finished_at_all("code"));
  // What is not committed counts.
  project.file("docs/new.md", "1");
  EXPECT_TRUE(project.exec().finished_at_all("docs"));
  const Result since = project.exec({"--since", "HEAD"});
  EXPECT_TRUE(since.finished_at_all("docs")) << since;
  EXPECT_FALSE(since.finished_at_all("code"));
  const Result unknown = project.exec({"--since", "no-such-ref"});
  EXPECT_THAT(unknown.code, testing::AnyOf(2, 3)) << unknown;
  EXPECT_THAT(unknown.err, HasSubstr("no-such-ref"));
}

TEST(ExecOptions, RefChecksOutACommit) {
  Project project;
  project.pipeline("test: {script: [cat file, git log -1 --format=%s, 'echo $CI_COMMIT_TITLE']}");
  project.file("file", "old\n")
      .commit("the old one")
      .file("file", "new\n")
      .commit("the new one")
      .file("file", "dirty\n");
  EXPECT_EQ(project.exec().printed("test"), "dirty\nthe new one\nthe new one\n");
  const Result result = project.exec({"--ref", "HEAD~1"});
  EXPECT_EQ(result.printed("test"), "old\nthe old one\nthe old one\n") << result;
  const Result unknown = project.exec({"--ref", "no-such-ref"});
  EXPECT_THAT(unknown.code, testing::AnyOf(2, 3)) << unknown;
  EXPECT_EQ(project.read("file"), "dirty\n");
}

TEST(ExecOptions, WorktreeIsTheDefault) {
  Project project;
  project.pipeline("test: {script: cat file}").file("file", "old\n").commit().file("file", "new\n");
  EXPECT_EQ(project.exec({"--worktree"}).printed("test"), "new\n");
}

TEST(ExecOptions, ArtifactsAreGivenToTheUser) {
  Project project;
  project.pipeline(R"(
one: {script: [mkdir out, echo 1 >out/one.txt], artifacts: {paths: [out/]}}
two: {script: [mkdir out, echo 2 >out/two.txt], artifacts: {paths: [out/]}}
)");
  const auto directory = project.home() / "taken";
  const Result result = project.exec({"--artifacts", directory.string()});
  EXPECT_EQ(result.code, 0) << result;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(files, testing::UnorderedElementsAre("one.txt", "two.txt"));
  EXPECT_FALSE(project.has("out"));
}

TEST(ExecOptions, DryRunRunsNothing) {
  Project project;
  project.pipeline(R"(
build: {stage: build, script: [touch /tmp/never-$$]}
nightly: {script: echo no, rules: [{if: '$CI_PIPELINE_SOURCE == "schedule"'}]}
)");
  const Result result = project.run({"exec", "--executor", "shell", "--dry-run"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.out, AllOf(HasSubstr("build"), HasSubstr("nightly")));
  EXPECT_THAT(result.out, Not(HasSubstr("passed")));
  EXPECT_EQ(project.runs().size(), 0U);
}

TEST(ExecOptions, ParallelLimitsHowManyRunAtOnce) {
  Project project;
  // Each job leaves its mark while it runs and counts the marks it sees.
  std::string text;
  for (const char* name : {"a", "b", "c", "d"}) {
    text += std::string(name) + R"(:
  script:
    - mkdir -p "$MARKS"; touch "$MARKS/$CI_JOB_NAME"
    - sleep 0.5
    - ls "$MARKS" | wc -l >"$MARKS.$CI_JOB_NAME"
    - rm "$MARKS/$CI_JOB_NAME"
)";
  }
  project.pipeline(text);
  const auto most = [&](const std::string& parallel) {
    const std::string marks = (project.home() / ("marks" + parallel)).string();
    const Result result = project.exec({"--parallel", parallel, "--variable", "MARKS=" + marks});
    EXPECT_EQ(result.code, 0) << result;
    return std::stoi(sh("cat " + marks + ".? | sort -n | tail -1"));
  };
  EXPECT_EQ(most("1"), 1);
  EXPECT_GE(most("4"), 2);
}

TEST(ExecOptions, KeepGoingRunsWhatDoesNotDependOnTheFailure) {
  Project project;
  project.pipeline(R"(
stages: [build, test, deploy]
broken: {stage: build, script: exit 1}
fine: {stage: build, script: echo fine}
after-broken: {stage: test, needs: [broken], script: echo never}
after-fine: {stage: test, needs: [fine], script: echo independent}
next-stage: {stage: test, script: echo stage}
)");
  const Result result = project.exec({"--keep-going"});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("fine"), "passed");
  EXPECT_EQ(result.outcome("after-fine"), "passed");
  EXPECT_EQ(result.outcome("after-broken"), "skipped");
}

TEST(ExecOptions, TheImageOfJobsWithoutOne) {
  Project project;
  project.pipeline("test: {script: 'echo \"image $CI_JOB_IMAGE\"; busybox | sed -n 1p'}");
  const Result option = project.docker({"--image", "busybox:latest"});
  EXPECT_EQ(option.code, 0) << option;
  EXPECT_THAT(option.log("test"), AllOf(HasSubstr("image busybox:latest"), HasSubstr("BusyBox")));
  Options environment;
  environment.env["RUNNER_IMAGE"] = "busybox:1";
  EXPECT_THAT(project.docker({}, environment).log("test"), HasSubstr("image busybox:1\n"));
  project.configuration("image = \"busybox\"\n");
  EXPECT_THAT(project.docker().log("test"), HasSubstr("image busybox\n"));
}

// --- what it prints ----------------------------------------------------------------------------------------------

TEST(ExecJson, EachLineIsAnObjectWithEventRunAndTime) {
  Project project;
  project
      .pipeline(R"(
stages: [a, b]
one: {stage: a, script: [echo x, 'printf "no newline"']}
two: {stage: b, script: 'false', allow_failure: true}
)")
      .commit("first");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(static_cast<std::size_t>(std::count(result.out.begin(), result.out.end(), '\n')), result.events.size());
  const std::regex time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)");
  std::string before;
  for (const Json& event : result.events) {
    EXPECT_TRUE(event.contains("event")) << event;
    EXPECT_EQ(event.value("run", 0), 1) << event;
    EXPECT_TRUE(std::regex_match(event.value("time", ""), time)) << event;
  }
  EXPECT_EQ(result.place("run_started"), 0);
  EXPECT_EQ(result.place("run_finished"), static_cast<int>(result.events.size()) - 1);
  EXPECT_LT(result.place("job_started", "one"), result.place("log", "one"));
  EXPECT_LT(result.place("log", "one"), result.place("job_finished", "one"));
  EXPECT_LT(result.place("job_finished", "one"), result.place("job_started", "two"));
  EXPECT_EQ(result.log("one"), "$ echo x\nx\n$ printf \"no newline\"\nno newline\n");
  for (const char* key : {"job", "outcome", "exit_code", "seconds", "allowed", "reason"}) {
    EXPECT_TRUE(result.finished("one").contains(key)) << key;
  }
  EXPECT_TRUE(result.finished("one")["seconds"].is_number());
  EXPECT_TRUE(result.allowed("two"));
}

TEST(ExecJson, AJobFinishesOnceAfterItsRetries) {
  Project project;
  project.pipeline("flaky: {script: [echo try, exit 3], retry: 2}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.count("job_started", "flaky"), 3U);
  EXPECT_EQ(result.count("job_finished", "flaky"), 1U);
  EXPECT_EQ(result.exit_code("flaky"), 3);
}

TEST(ExecPlain, IsWhatAPipeGets) {
  Project project;
  project.pipeline(R"(
stages: [build, test]
build: {stage: build, script: echo building}
unit: {stage: test, script: [echo about to fail, exit 9]}
)");
  const Result result = project.run({"exec", "--executor", "shell"});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));                         // no colours, no cursor movements
  EXPECT_THAT(result.out, testing::ContainsRegex("build[^\n]*building"));  // the line says whose it is
  // The closing table: job, outcome, why; then the failing job's last lines.
  const std::string closing = result.out.substr(result.out.find("building"));
  EXPECT_THAT(closing, testing::ContainsRegex("build[^\n]*passed"));
  EXPECT_THAT(closing, testing::ContainsRegex("unit[^\n]*failed[^\n]*9"));
  EXPECT_GE(result.out.size() - result.out.rfind("about to fail"), 1U);
  EXPECT_NE(result.out.find("about to fail"), result.out.rfind("about to fail"));
}

TEST(ExecPretty, IsWhatATerminalGets) {
  Project project;
  project.pipeline("build: {script: [echo building, sleep 1.5]}\nbad: {script: [echo oh no, exit 4]}");
  Options terminal;
  terminal.terminal = true;
  const Result result = project.run({"exec", "--executor", "shell"}, terminal);
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.out, HasSubstr("\x1b["));
  EXPECT_THAT(result.out, HasSubstr("building"));
  EXPECT_THAT(result.out, testing::ContainsRegex("[0-9]s|[0-9] s"));
  EXPECT_THAT(result.out, HasSubstr("passed"));
  EXPECT_THAT(result.out, HasSubstr("failed"));
}

TEST(ExecPretty, TellsHowFarTheCopyOfTheSourcesIs) {
  Project project;
  project.pipeline("build: {script: echo building}");
  sh("mkdir '" + (project / "many").string() + "'; cd '" + (project / "many").string() +
     "'; seq 30000 | split -l 1 -a 5 -d; cd ..; git init -q . && git add . && git -c user.name=a -c user.email=b "
     "commit "
     "-qm c");
  Options terminal;
  terminal.terminal = true;
  const Result result = project.run({"exec", "--executor", "shell"}, terminal);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, testing::ContainsRegex("copying the sources: [0-9]+ of 3000[0-9] files"));
}

TEST(ExecPretty, CiAndDumbTerminalsGetPlain) {
  Project project;
  project.pipeline("build: {script: echo building}");
  using Setting = std::pair<std::string, std::string>;
  for (const auto& [name, value] : {Setting{"CI", "true"}, Setting{"TERM", "dumb"}, Setting{"TERM", ""}}) {
    Options terminal;
    terminal.terminal = true;
    terminal.env[name] = value;
    const Result result = project.run({"exec", "--executor", "shell"}, terminal);
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_THAT(result.out, Not(HasSubstr("\x1b[?25l"))) << name;  // the cursor is not hidden, nothing is drawn again
    EXPECT_THAT(result.out, Not(HasSubstr("\x1b[A"))) << name;
  }
}

TEST(ExecOutput, NoColorIsHonoured) {
  Project project;
  project.pipeline("build: {script: echo building}");
  Options options;
  options.env["NO_COLOR"] = "1";
  EXPECT_THAT(project.run({"exec", "--executor", "shell", "--output", "pretty"}, options).out,
              Not(testing::ContainsRegex("\x1b\\[[0-9;]*m")));
}

TEST(ExecOutput, AReaderThatGoesAwayDoesNotEndTheRun) {
  Project project;
  project.pipeline("test: {script: [echo one, sleep 0.5, seq 20000, echo last]}");
  const Ended ended = run_program(
      {"bash", "-c",
       "cd '" + project.path().string() + "'; '" + binary() + "' exec --executor shell --output json | head -n 1"},
      [&] {
        Options options;
        options.env["RUNNER_DATABASE"] = project.database().string();
        options.env["CI"] = std::nullopt;
        return options;
      }());
  EXPECT_THAT(ended.out, HasSubstr("run_started"));
  ASSERT_TRUE(eventually([&] { return project.runs().at(0)["outcome"] == "passed"; }));
  EXPECT_THAT(project.logs({"test"}), HasSubstr("\nlast\n"));
}

TEST(ExecOutput, RunsTheProgramsOfThePath) {
  Project project;
  project.pipeline("test: {script: 'echo \"$MINE $PWD\"'}").environment("MINE", "from outside");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), HasSubstr("from outside "));
}

}  // namespace
}  // namespace e2e
