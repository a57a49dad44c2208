// Which jobs exist and what they wait for, end to end: `parallel`, `only`, `except`, `changes`, `workflow`.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* parallel_pipeline = R"(
build:
  stage: build
  parallel:
    matrix:
      - OS: [linux, mac]
        ARCH: [arm, amd]
  script: echo "$OS/$ARCH" > "$OS-$ARCH.txt"
  artifacts: {paths: ["*.txt"]}
test:
  parallel: 3
  needs: []
  script: echo "$CI_JOB_NAME is $CI_NODE_INDEX of $CI_NODE_TOTAL"
pack:
  parallel: {matrix: [{OS: [linux, mac]}]}
  needs: [{job: build, parallel: {matrix: [{OS: "$[[ matrix.OS ]]", ARCH: [amd]}]}}]
  script: cat *.txt
)";

TEST(LanguageParallel, MakesJobsWithNamesVariablesAndNeedsOfTheirOwn) {
  Project project;
  project.pipeline(parallel_pipeline);
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.count("job_finished"), 9U);
  EXPECT_EQ(result.printed("test 2/3"), "test 2/3 is 2 of 3\n");
  EXPECT_EQ(result.printed("pack: [linux]"), "linux/amd\n");
  EXPECT_EQ(result.printed("pack: [mac]"), "mac/amd\n");
  EXPECT_EQ(project.logs({"test 1/3"}), project.logs({"1", "test 1/3"}));
  EXPECT_THAT(project.logs({"test 1/3"}), HasSubstr("test 1/3 is 1 of 3"));
  EXPECT_THAT(project.logs({"build: [linux, arm]"}), HasSubstr("echo"));
  EXPECT_THAT(project.run({"artifacts", "build: [mac, arm]"}).out, HasSubstr("mac-arm.txt"));
}

TEST(LanguageParallel, IsNamedWholeOrByInstance) {
  Project project;
  project.pipeline(parallel_pipeline);
  EXPECT_EQ(project.exec({"test"}).count("job_finished"), 3U);
  const Result one = project.exec({"test 3/3"});
  EXPECT_EQ(one.count("job_finished"), 1U);
  EXPECT_EQ(one.outcome("test 3/3"), "passed") << one;
  const Result needed = project.exec({"pack: [mac]", "--needs"});
  EXPECT_EQ(needed.count("job_finished"), 2U) << needed;
  EXPECT_EQ(needed.outcome("build: [mac, amd]"), "passed");
  const Result none = project.exec({"test 4/3"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("did you mean test 1/3?"));
  EXPECT_THAT(project.run({"__jobs"}).out, AllOf(HasSubstr("test\ntest 1/3\n"), HasSubstr("pack: [linux]\n")));
}

TEST(LanguageParallel, ABlockingInstanceIsNamedForTheShell) {
  Project project;
  project.pipeline("deploy: {script: x, parallel: {matrix: [{TO: [us east]}]}, rules: [{when: manual}]}");
  const Result result = project.run({"exec", "--executor", "shell", "--output", "plain"});
  EXPECT_EQ(result.code, 4) << result;
  EXPECT_THAT(result.out + result.err, HasSubstr("`runner approve 1 'deploy: [us east]'`"));
}

TEST(LanguageOnly, DecidesByTheKindOfRun) {
  Project project;
  project
      .pipeline(R"(
plain: {script: echo plain}
request: {script: echo request, only: [merge_requests]}
version: {script: echo version, only: ['/^v\d+$/'], except: [branches]}
night: {script: echo night, only: {refs: [schedules], variables: [$DEEP]}}
)")
      .commit();
  const auto ran = [&](const Arguments& options) {
    const Result result = project.exec(options);
    std::string names;
    for (const char* job : {"plain", "request", "version", "night"}) {
      if (result.finished_at_all(job)) names += std::string(job) + ' ';
    }
    return names;
  };
  EXPECT_EQ(ran({}), "plain ");
  EXPECT_EQ(ran({"--event", "merge_request"}), "request ");
  EXPECT_EQ(ran({"--tag", "v12"}), "plain version ");
  EXPECT_EQ(ran({"--branch", "v12"}), "plain ");
  EXPECT_EQ(ran({"--event", "schedule"}), "plain ");
  EXPECT_EQ(ran({"--event", "schedule", "--variable", "DEEP=1"}), "plain night ");
  const Result plan = project.run({"plan", "--event", "merge_request"});
  EXPECT_THAT(plan.out, AllOf(HasSubstr("(only refs merge_requests)"),
                              HasSubstr("(has no rules, so it is for branches and tags; this is a merge request)"),
                              HasSubstr("(only refs /^v\\d+$/; this is a merge request)")));
}

TEST(LanguageOnly, NothingForAMergeRequestSaysWhy) {
  Project project;
  project.pipeline("test: {script: echo x}").commit();
  const Result result = project.run({"exec", "--executor", "shell", "--event", "merge_request"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("nothing to run: without rules jobs are for branches and tags; this is a merge "
                                    "request"));
}

TEST(LanguageChanges, ComparesAMergeRequestWithItsTargetAndOthersWithNothing) {
  Project project;
  project.pipeline("docs: {script: echo, rules: [{changes: [docs/*]}]}\nall: {script: echo, rules: [{when: always}]}\n")
      .file("docs/a", "1")
      .commit("one");
  project.git("checkout -q -b feature");
  project.file("docs/b", "1").commit("two");
  project.file("code", "1").commit("three");
  const auto docs = [&](const Arguments& options) { return project.exec(options).finished_at_all("docs"); };
  EXPECT_FALSE(docs({})) << "a push compares with the commit before";
  EXPECT_TRUE(docs({"--event", "merge_request", "--target-branch", "main"}));
  EXPECT_TRUE(docs({"--event", "schedule"}));
  EXPECT_FALSE(docs({"--event", "schedule", "--since", "HEAD"}));
  EXPECT_FALSE(docs({"--event", "merge_request", "--target-branch", "feature"}));
}

TEST(LanguageExists, LooksIntoTheClonesOfOtherProjects) {
  Project other;
  other.file("Dockerfile", "FROM x").commit();
  other.git("tag v1");
  other.git("rm -q Dockerfile");
  other.file("rest", "x").commit();
  Project project;
  project.pipeline(R"(
then: {script: echo, rules: [{exists: {paths: [Dockerfile], project: group/other, ref: v1}}]}
now: {script: echo, rules: [{exists: {paths: [Dockerfile], project: group/other}}]}
all: {script: echo}
)");
  project.configuration("[include.projects]\n\"group/other\" = \"" + other.path().string() + "\"\n");
  const Result result = project.exec();
  EXPECT_TRUE(result.finished_at_all("then")) << result;
  EXPECT_FALSE(result.finished_at_all("now"));
  project.configuration("");
  const Result unknown = project.exec();
  EXPECT_EQ(unknown.code, 0);
  EXPECT_FALSE(unknown.finished_at_all("then"));
  EXPECT_THAT(unknown.err, HasSubstr("warning: `exists:project`: the files of group/other are not known here"));
}

TEST(LanguageWorkflow, NameIsAVariableAndShownByRuns) {
  Project project;
  project.pipeline(R"(
workflow: {name: "Nightly of $CI_COMMIT_BRANCH"}
test: {script: 'echo "<$CI_PIPELINE_NAME>"'}
)");
  project.commit();
  EXPECT_EQ(project.exec().printed("test"), "<Nightly of main>\n");
  EXPECT_EQ(project.runs().at(0)["pipeline"], "Nightly of main");
  EXPECT_THAT(project.run({"runs"}).out, HasSubstr("Nightly of main"));
  project.pipeline("test: {script: echo}").exec();
  EXPECT_EQ(project.runs().at(0)["pipeline"], "pipeline.yml");
}

TEST(LanguageWorkflow, AutoCancelOnJobFailure) {
  Project project;
  project.pipeline(R"(
workflow: {auto_cancel: {on_job_failure: all}}
bad: {stage: build, script: [sleep 0.3, exit 3]}
slow: {stage: build, script: sleep 60}
cleanup: {script: echo x, when: always}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.run_outcome(), "failed");
  EXPECT_EQ(result.outcome("slow"), "cancelled");
  EXPECT_EQ(result.outcome("cleanup"), "cancelled");
  EXPECT_EQ(result.message("cleanup"), "bad failed, and auto_cancel:on_job_failure is all");
  const Result going = project.exec({"--keep-going", "bad", "cleanup"});
  EXPECT_EQ(going.outcome("cleanup"), "passed") << going;
}

}  // namespace
}  // namespace e2e
