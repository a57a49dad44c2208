// The language end to end: each keyword does in a real run what GitLab's documentation says.
#include <gmock/gmock.h>

#include <regex>
#include <set>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// --- stages, default, variables, extends, YAML -------------------------------------------------------------------

TEST(Language, StagesRunInOrderWithPreAndPostAround) {
  Project project;
  project.pipeline(R"(
stages: [one, two]
last: {stage: .post, script: echo last}
second: {stage: two, script: echo second}
first: {stage: one, script: echo first}
zeroth: {stage: .pre, script: echo zeroth}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_LT(result.place("job_finished", "zeroth"), result.place("job_started", "first"));
  EXPECT_LT(result.place("job_finished", "first"), result.place("job_started", "second"));
  EXPECT_LT(result.place("job_finished", "second"), result.place("job_started", "last"));
}

TEST(Language, WithoutStagesThereAreBuildTestAndDeploy) {
  Project project;
  project.pipeline(R"(
ship: {stage: deploy, script: echo ship}
check: {script: echo check}
make: {stage: build, script: echo make}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_LT(result.place("job_finished", "make"), result.place("job_started", "check"));
  EXPECT_LT(result.place("job_finished", "check"), result.place("job_started", "ship"));
}

TEST(Language, OnlyPreAndPostDoNotRun) {
  Project project;
  project.pipeline("a: {stage: .pre, script: echo a}\nb: {stage: .post, script: echo b}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.count("job_started"), 0U);
}

TEST(Language, DefaultIsReplacedWholeByTheJob) {
  Project project;
  project.pipeline(R"(
default:
  before_script: [echo default before]
  after_script: [echo default after]
plain: {script: echo plain}
own: {before_script: [echo own before], after_script: [], script: echo own}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.printed("plain"), "default before\nplain\ndefault after\n") << result;
  EXPECT_EQ(result.printed("own"), "own before\nown\n");
}

TEST(Language, VariablesGlobalAndOfTheJob) {
  Project project;
  project.pipeline(R"(
variables:
  A: global
  B: {value: described, description: what it is for}
  DIR: build
  OUT: $DIR/out
test:
  variables: {A: job, NUMBER: 012, YES: "yes"}
  script: ['echo "$A $B $OUT $NUMBER $YES"']
)");
  const Result result = project.exec();
  // YAML 1.1 reads 012 as octal.
  EXPECT_EQ(result.printed("test"), "job described build/out 10 yes\n") << result;
}

TEST(Language, ExpansionHappensOnParsedValuesNeverOnTheText) {
  Project project;
  project.pipeline(R"(
variables:
  EVIL: "x\"]\nhacked: {script: echo hacked}\nmore: [\""
  HASH: "a # b: c"
test:
  variables: {COPY: "$HASH", PRICE: "5$$", RAW: {value: $HASH, expand: false}}
  script: ['printf "%s|" "$EVIL" "$COPY" "$PRICE" "$RAW"']
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_FALSE(result.finished_at_all("hacked"));
  EXPECT_THAT(result.log("test"), HasSubstr("x\"]\nhacked: {script: echo hacked}\nmore: [\"|a # b: c|5$|$HASH|"));
}

TEST(Language, ExtendsMergesMapsAndReplacesLists) {
  Project project;
  project.pipeline(R"(
.base:
  variables: {A: base, B: base}
  before_script: [echo base before]
  script: [echo base]
.more:
  variables: {B: more}
  script: [echo more]
both: {extends: [.base, .more], variables: {C: own}, after_script: ['echo "$A $B $C"']}
dropped: {extends: .base, before_script: null}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.printed("both"), "base before\nmore\nbase more own\n") << result;
  EXPECT_EQ(result.printed("dropped"), "base\n");
  EXPECT_FALSE(result.finished_at_all(".base"));
}

TEST(Language, AnchorsAndMergeKeys) {
  Project project;
  project.pipeline(R"(
.template: &template
  variables: &variables {A: one, B: two}
  script: &script [echo template]
a:
  <<: *template
  variables: {<<: *variables, B: mine}
  after_script: ['echo "$A $B"']
b: {script: [echo first, *script]}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.printed("a"), "template\none mine\n") << result;
  EXPECT_EQ(result.printed("b"), "first\ntemplate\n");
}

// --- scripts ------------------------------------------------------------------------------------------------------

TEST(LanguageScript, BeforeScriptAndScriptShareOneShellAfterScriptHasItsOwn) {
  Project project;
  project.pipeline(R"(
test:
  before_script: [SHARED=yes, cd /tmp]
  script: ['echo "$SHARED $PWD"']
  after_script: ['echo "after [$SHARED]"; test "$PWD" = "$CI_PROJECT_DIR" && echo at home; echo $CI_JOB_STATUS']
)");
  const Result result = project.exec();
  EXPECT_EQ(result.printed("test"), "yes /tmp\nafter []\nat home\nsuccess\n") << result;
}

TEST(LanguageScript, StopsAtTheFirstFailureAndAfterScriptRunsAllTheSame) {
  Project project;
  project.pipeline(R"(
test:
  script: [echo one, "false", echo never]
  after_script: ['echo "after $CI_JOB_STATUS"', exit 5]
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.exit_code("test"), 1);
  EXPECT_EQ(result.printed("test"), "one\nafter failed\n") << result;
}

TEST(LanguageScript, AFailingAfterScriptChangesNothing) {
  Project project;
  project.pipeline("test: {script: echo fine, after_script: [exit 5]}");
  EXPECT_EQ(project.exec().outcome("test"), "passed");
}

TEST(LanguageScript, PipefailWhereTheShellHasIt) {
  Project project;
  project.pipeline(R"(
bash: {image: "debian:bookworm", script: ["false | true", echo never]}
ash: {image: "busybox", script: ["false | true", echo never]}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.outcome("bash"), "failed") << result;
  EXPECT_EQ(result.outcome("ash"), "failed");  // busybox's ash has it too
}

TEST(LanguageScript, StandardInputIsClosed) {
  Project project;
  project.pipeline("test: {script: ['cat; echo end of input']}");
  Options options;
  options.input = "for nobody\n";
  EXPECT_EQ(project.exec({}, options).printed("test"), "end of input\n");
}

TEST(LanguageScript, EachItemIsAnnouncedOnItsOwnLine) {
  Project project;
  project.pipeline("test:\n  script:\n    - echo one\n    - |\n      echo two\n      echo three\n");
  EXPECT_EQ(project.exec().log("test"), "$ echo one\none\n$ echo two # collapsed multi-line command\ntwo\nthree\n");
}

TEST(LanguageScript, TheSameInDocker) {
  Project project;
  project.pipeline(R"(
default: {image: busybox}
good:
  before_script: [SHARED=yes]
  script: ['echo "$SHARED"; test "$PWD" = "$CI_PROJECT_DIR"', 'echo x | cat']
  after_script: ['echo "after [$SHARED] $CI_JOB_STATUS"']
bad:
  script: [echo one, exit 42, echo never]
  after_script: ['echo "after $CI_JOB_STATUS"']
)");
  const Result result = project.docker();
  EXPECT_EQ(result.printed("good"), "yes\nx\nafter [] success\n") << result;
  EXPECT_EQ(result.printed("bad"), "one\nafter failed\n");
  EXPECT_EQ(result.exit_code("bad"), 42);
}

// --- what waits for what ------------------------------------------------------------------------------------------

TEST(LanguageNeeds, StartAsSoonAsTheirJobsAreOver) {
  Project project;
  project.pipeline(R"(
stages: [build, test]
quick: {stage: build, script: echo quick}
slow: {stage: build, script: sleep 2}
dag: {stage: test, needs: [quick], script: echo dag}
staged: {stage: test, script: echo staged}
at-once: {stage: test, needs: [], script: echo at once}
)");
  const Result result = project.exec({"--parallel", "4"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_LT(result.place("job_finished", "dag"), result.place("job_finished", "slow"));
  EXPECT_LT(result.place("job_started", "at-once"), result.place("job_finished", "slow"));
  EXPECT_GT(result.place("job_started", "staged"), result.place("job_finished", "slow"));
}

TEST(LanguageNeeds, BringTheirArtifactsAndOnlyThose) {
  Project project;
  project.pipeline(R"(
stages: [build, test]
a: {stage: build, script: echo a >a.txt, artifacts: {paths: [a.txt]}}
b: {stage: build, script: echo b >b.txt, artifacts: {paths: [b.txt]}}
staged: {stage: test, script: [cat a.txt b.txt]}
only-a: {stage: test, needs: [a], script: ['cat a.txt; test ! -e b.txt']}
none: {stage: test, needs: [{job: a, artifacts: false}], script: ['test ! -e a.txt']}
mixed: {stage: test, needs: [{job: a, artifacts: false}, b], script: ['test ! -e a.txt; cat b.txt']}
depends: {stage: test, dependencies: [b], script: ['test ! -e a.txt; cat b.txt']}
independent: {stage: test, dependencies: [], script: ['test ! -e a.txt; test ! -e b.txt']}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("staged"), "a\nb\n");
  EXPECT_EQ(result.printed("only-a"), "a\n");
  EXPECT_EQ(result.printed("depends"), "b\n");
}

TEST(LanguageNeeds, AJobThatRulesLeftOutIsAnErrorUnlessOptional) {
  Project project;
  project.pipeline(R"(
absent: {stage: build, rules: [{when: never}], script: echo no}
test: {needs: [{job: absent, optional: true}], script: echo fine}
)");
  EXPECT_EQ(project.exec().outcome("test"), "passed");
  project.pipeline(R"(
absent: {stage: build, rules: [{when: never}], script: echo no}
test: {needs: [absent], script: echo fine}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err, AllOf(HasSubstr("test"), HasSubstr("absent")));
}

// --- rules --------------------------------------------------------------------------------------------------------

TEST(LanguageRules, TheWholeGrammarOfIf) {
  const std::vector<std::pair<std::string, bool>> table = {
      {"$SET", true},
      {"$EMPTY", false},
      {"$UNSET", false},
      {"$SET == 'value'", true},
      {"$SET == \"value\"", true},
      {"$SET != 'value'", false},
      {"'value' == $SET", true},
      {"$SET == $SAME", true},
      {"$UNSET == null", true},
      {"$EMPTY == null", false},
      {"$EMPTY == ''", true},
      {"$SET != null", true},
      {"$SET =~ /^val/", true},
      {"$SET =~ /^VAL/", false},
      {"$SET =~ /^VAL/i", true},
      {"$SET !~ /^other/", true},
      {"$SET !~ /^val/", false},
      {"$SET =~ $PATTERN", true},
      {"$BRANCH =~ /^feature\\/.*$/", true},
      {"$UNSET =~ /^x/", false},
      {"$SET && $EMPTY", false},
      {"$SET || $EMPTY", true},
      {"$SET || $EMPTY && $EMPTY", true},
      {"($SET || $EMPTY) && $EMPTY", false},
      {"($SET == 'no' || ($SAME == 'value' && $BRANCH)) && $EMPTY == ''", true},
  };
  Project project;
  std::string text =
      "variables: {SET: value, SAME: value, EMPTY: '', PATTERN: '/^v.l/', BRANCH: feature/x}\n"
      "always: {script: echo x}\n";
  for (std::size_t i = 0; i < table.size(); ++i) {
    text +=
        "job-" + std::to_string(i) + ":\n  script: echo x\n  rules:\n    - if: " + Json(table[i].first).dump() + "\n";
  }
  project.pipeline(text);
  const Result plan = project.run({"plan", "--output", "json"});
  ASSERT_EQ(plan.code, 0) << plan;
  const Json jobs = Json::parse(plan.out);
  for (std::size_t i = 0; i < table.size(); ++i) {
    bool found = false;
    for (const Json& job : jobs) {
      if (job["name"] != "job-" + std::to_string(i)) continue;
      found = true;
      EXPECT_EQ(job["included"].get<bool>(), table[i].second) << table[i].first << ": " << job["reason"];
    }
    EXPECT_TRUE(found) << table[i].first;
  }
}

TEST(LanguageRules, TheFirstThatMatchesDecides) {
  Project project;
  project.file("Dockerfile", "x").file("docs/deep/a.md", "x").pipeline(R"(
variables: {A: a}
exists: {script: echo x, rules: [{exists: [Dockerfile]}]}
exists-deep: {script: echo x, rules: [{exists: ["docs/**/*.md"]}]}
exists-not: {script: echo x, rules: [{exists: [nothing.txt]}]}
never-first: {script: echo x, rules: [{if: $A, when: never}, {when: always}]}
both: {script: echo x, rules: [{if: $A, exists: [nothing.txt]}]}
allowed: {script: exit 1, rules: [{if: $A, allow_failure: true}]}
told: {variables: {WHO: nobody}, script: 'echo "hello $WHO"', rules: [{if: $UNSET, variables: {WHO: no}}, {if: $A, variables: {WHO: rule}}]}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_TRUE(result.finished_at_all("exists"));
  EXPECT_TRUE(result.finished_at_all("exists-deep"));
  EXPECT_FALSE(result.finished_at_all("exists-not"));
  EXPECT_FALSE(result.finished_at_all("never-first"));
  EXPECT_FALSE(result.finished_at_all("both"));
  EXPECT_TRUE(result.allowed("allowed"));
  EXPECT_EQ(result.printed("told"), "hello rule\n");
}

TEST(LanguageRules, HostilePatternsAndVariablesCostNothing) {
  Project project;
  project.pipeline("variables: {LONG: '" + std::string(50000, 'a') + R"(', A: $B, B: $A, SELF: "x$SELF"}
pattern: {script: echo x, rules: [{if: '$LONG =~ /(a+)+$/'}]}
backtrack: {script: echo x, rules: [{if: '$LONG =~ /^(a|aa)+b$/'}]}
recursive: {variables: {LONG: short}, script: ['echo "done [${A:0:0}]" 2>/dev/null || echo done']}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(result.finished_at_all("pattern"));
  EXPECT_FALSE(result.finished_at_all("backtrack"));
  EXPECT_THAT(result.printed("recursive"), HasSubstr("done"));
  EXPECT_LT(result.seconds, 20);
}

TEST(LanguageRules, WorkflowDecidesAboutTheWholeRun) {
  Project project;
  project
      .pipeline(R"(
workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule"
      variables: {NIGHT: "yes"}
    - if: $CI_COMMIT_TAG
      when: never
    - when: always
test: {script: 'echo "night [$NIGHT]"'}
)")
      .commit();
  EXPECT_EQ(project.exec().printed("test"), "night []\n");
  EXPECT_EQ(project.exec({"--event", "schedule"}).printed("test"), "night [yes]\n");
  EXPECT_FALSE(project.exec({"--tag", "v1"}).finished_at_all("test"));
}

// --- when, failures, time -----------------------------------------------------------------------------------------

TEST(LanguageWhen, OnFailureAndAlways) {
  const std::string text = R"(
stages: [build, test]
build: {stage: build, script: $COMMAND}
mend: {stage: test, when: on_failure, script: echo mending}
report: {stage: test, when: always, script: echo reporting}
ship: {stage: test, script: echo shipping}
)";
  Project project;
  project.pipeline(text);
  const Result bad = project.exec({"--variable", "COMMAND=false"});
  EXPECT_EQ(bad.code, 1) << bad;
  EXPECT_EQ(bad.outcome("mend"), "passed");
  EXPECT_EQ(bad.outcome("report"), "passed");
  EXPECT_EQ(bad.outcome("ship"), "skipped");
  const Result good = project.exec({"--variable", "COMMAND=true"});
  EXPECT_EQ(good.code, 0) << good;
  EXPECT_EQ(good.outcome("mend"), "skipped");
  EXPECT_EQ(good.outcome("report"), "passed");
}

TEST(LanguageWhen, DelayedWaits) {
  Project project;
  project.pipeline("later: {when: delayed, start_in: 2 seconds, script: echo now}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_GE(result.seconds, 2);
}

TEST(LanguageWhen, AllowFailureForSomeExitCodesOnly) {
  Project project;
  project.pipeline(R"(
tolerated: {script: exit 77, allow_failure: {exit_codes: [77, 78]}}
also: {script: exit 78, allow_failure: {exit_codes: 78}}
)");
  const Result good = project.exec();
  EXPECT_EQ(good.code, 0) << good;
  EXPECT_TRUE(good.allowed("tolerated"));
  EXPECT_TRUE(good.allowed("also"));
  project.pipeline("not: {script: exit 1, allow_failure: {exit_codes: [77]}}");
  const Result bad = project.exec();
  EXPECT_EQ(bad.code, 1) << bad;
  EXPECT_FALSE(bad.allowed("not"));
}

TEST(LanguageWhen, TimeoutEndsTheJobWithoutAfterScript) {
  Project project;
  project.pipeline(R"(
slow:
  timeout: 2 seconds
  script: [echo started, sleep 100]
  after_script: [echo never]
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("slow"), "failed");
  EXPECT_EQ(result.reason("slow"), "job_execution_timeout");
  EXPECT_THAT(result.message("slow"), HasSubstr("2 s"));
  EXPECT_THAT(result.log("slow"), Not(HasSubstr("never")));
  EXPECT_LT(result.seconds, 30);
  EXPECT_THAT(project.processes(), testing::IsEmpty());
}

TEST(LanguageRetry, EachAttemptIsNewAndTheLastCounts) {
  Project project;
  project.pipeline(R"yml(
flaky:
  retry: 2
  script:
    - echo x >>"$MARKS"
    - test ! -e left.txt
    - touch left.txt
    - test "$(wc -l <"$MARKS")" = 3
)yml");
  const Result result = project.exec({"--variable", "MARKS=" + (project.home() / "marks").string()});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.count("job_started", "flaky"), 3U);
}

// docs.gitlab.com/ci/variables/job_scripts, "Pass an environment variable from the script section to artifacts or
// cache".
TEST(LanguagePredefined, GitlabEnvReachesWhatComesAfterTheScript) {
  constexpr const char* pipeline = R"yml(
stages: [build, test, deploy]
build:
  stage: build
  variables: {GITLAB_ENV: not this, ARCH: unknown}
  script:
    - echo "ARCH=$(echo amd)64" >>$GITLAB_ENV
    - for a in amd64 unknown; do echo $a >some-file-$a; echo $a >cached-$a; done
    - echo "RESULT=from $ARCH" >vars-amd64
  after_script: ['echo "after $ARCH"']
  artifacts: {paths: [some-file-$ARCH], reports: {dotenv: vars-$ARCH}}
  cache: {key: k, paths: [cached-$ARCH]}
use: {stage: test, cache: {key: k, paths: [cached-amd64], policy: pull}, script: ['echo $(ls some-file-* cached-*) "[$ARCH]" "[$RESULT]"']}
failing: {stage: deploy, script: ['echo NAME=x >>"$GITLAB_ENV"; touch f-x; exit 1'], artifacts: {when: always, paths: [f-$NAME]}, allow_failure: true}
)yml";
  for (const char* where : {"shell", "docker", "archive"}) {
    Project project;
    project.pipeline(pipeline);
    if (std::string(where) == "archive") project.configuration("[docker]\nworkspace = \"archive\"\n");
    const Result result = std::string(where) == "shell" ? project.exec() : project.docker({"--image", "busybox"});
    EXPECT_EQ(result.code, 0) << where << result;
    EXPECT_THAT(result.printed("build"), HasSubstr("after amd64\n")) << where;
    EXPECT_THAT(result.printed("use"), testing::EndsWith("\ncached-amd64 some-file-amd64 [] [from unknown]\n"))
        << where;
    EXPECT_THAT(project.run({"artifacts", "failing"}).out, HasSubstr("f-x")) << where;
  }
}

TEST(LanguagePredefined, CiJobIdIsAnotherForEachAttempt) {
  Project project;
  project.pipeline(R"yml(
flaky: {retry: 1, script: ['echo "id $CI_JOB_ID"', exit 1]}
other: {script: ['echo "id $CI_JOB_ID"']}
)yml");
  std::vector<std::string> ids;
  for (int run = 0; run < 2; ++run) {
    const Result result = project.exec({"--keep-going"});
    for (const Json& event : result.events) {
      if (event["event"] != "log") continue;
      const std::string text = event["text"];
      if (text.starts_with("id ")) ids.push_back(text.substr(3));
    }
  }
  ASSERT_EQ(ids.size(), 6U);
  for (const std::string& id : ids) EXPECT_THAT(id, testing::MatchesRegex("[1-9][0-9]+")) << "GitLab's are numbers";
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 6U) << testing::PrintToString(ids);
  EXPECT_THAT(ids, testing::Contains("100000102")) << "run 1, job 1, attempt 2";
}

TEST(LanguageRetry, WhenAndExitCodesChoose) {
  Project project;
  project.pipeline(R"(
by-code: {script: exit 42, retry: {max: 1, exit_codes: [42]}}
other-code: {script: exit 41, retry: {max: 2, exit_codes: [42]}}
by-reason: {script: exit 1, retry: {max: 1, when: script_failure}}
other-reason: {script: exit 1, retry: {max: 2, when: [runner_system_failure, job_execution_timeout]}}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.count("job_started", "by-code"), 2U) << result;
  EXPECT_EQ(result.count("job_started", "other-code"), 1U);
  EXPECT_EQ(result.count("job_started", "by-reason"), 2U);
  EXPECT_EQ(result.count("job_started", "other-reason"), 1U);
}

// --- predefined variables -----------------------------------------------------------------------------------------

TEST(LanguagePredefined, WhatGitKnows) {
  Project project;
  project.pipeline("test: {stage: build, script: ['env | grep ^CI | sort']}").commit("The title\n\nand a body");
  project.git("checkout -q -b Feature/Some_Thing");
  const std::string sha = project.git("rev-parse HEAD");
  const Result result = project.exec();
  const std::string log = "\n" + result.log("test");
  for (const std::string& line : std::vector<std::string>{
           "CI=true", "CI_COMMIT_SHA=" + sha, "CI_COMMIT_SHORT_SHA=" + sha.substr(0, 8),
           "CI_COMMIT_REF_NAME=Feature/Some_Thing", "CI_COMMIT_REF_SLUG=feature-some-thing",
           "CI_COMMIT_BRANCH=Feature/Some_Thing", "CI_COMMIT_TITLE=The title", "CI_COMMIT_DESCRIPTION=and a body",
           "CI_COMMIT_AUTHOR=A User <user@example.com>", "CI_PIPELINE_SOURCE=push", "CI_JOB_NAME=test",
           "CI_JOB_STAGE=build", "CI_CONFIG_PATH=pipeline.yml", "CI_SERVER=yes"}) {
    EXPECT_THAT(log, HasSubstr("\n" + line + "\n"));
  }
  for (const char* name : {"CI_PROJECT_DIR", "CI_PROJECT_NAME", "CI_PROJECT_PATH", "CI_JOB_ID", "CI_PIPELINE_ID",
                           "CI_COMMIT_TIMESTAMP", "CI_DEFAULT_BRANCH", "CI_COMMIT_BEFORE_SHA", "CI_BUILDS_DIR",
                           "CI_JOB_STARTED_AT", "CI_PIPELINE_CREATED_AT", "CI_RUNNER_VERSION", "CI_PIPELINE_IID"}) {
    EXPECT_THAT(log, testing::ContainsRegex("\n" + std::string(name) + "=[^\n]")) << name;
  }
  EXPECT_THAT(log, Not(HasSubstr("\nCI_COMMIT_TAG=")));
}

TEST(LanguagePredefined, ATagIsNoBranch) {
  Project project;
  project.pipeline("test: {script: ['echo \"[$CI_COMMIT_TAG] [$CI_COMMIT_BRANCH]\"']}").commit();
  project.git("tag v1.2");
  project.git("checkout -q v1.2");
  EXPECT_EQ(project.exec().printed("test"), "[v1.2] []\n");
}

TEST(LanguagePredefined, AFolderWithoutGitWorksToo) {
  Project project;
  project.pipeline("test: {script: ['echo \"sha [$CI_COMMIT_SHA]\"; ls']}").file("file.txt", "x");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), AllOf(HasSubstr("sha []"), HasSubstr("file.txt")));
}

TEST(LanguagePredefined, HostileNamesAreOnlyData) {
  Project project;
  project.pipeline("test: {script: ['printf \"%s\\n\" \"$CI_COMMIT_BRANCH\"', ls]}").commit();
  for (const char* name : {"$(touch hacked)", "`touch hacked`", "; touch hacked", "x' || touch hacked '"}) {
    const Result result = project.exec({"--branch", name});
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("test"), std::string(name) + "\npipeline.yml\n");
  }
  for (const char* ref : {"--upload-pack=touch hacked", "$(touch hacked)", "-h", "HEAD;touch hacked", ".."}) {
    const Result result = project.exec({std::string("--ref=") + ref});
    EXPECT_THAT(result.code, testing::AnyOf(2, 3)) << ref << result;
    EXPECT_EQ(result.count("job_started"), 0U);
  }
  EXPECT_FALSE(project.has("hacked"));
}

TEST(LanguagePredefined, AHostileCommitMessageIsOnlyData) {
  Project project;
  project.pipeline(R"(
test: {script: ['printf "%s\n" "$CI_COMMIT_MESSAGE"']}
deploy: {script: echo never, rules: [{if: '$CI_COMMIT_TITLE == "deploy"'}]}
)");
  project.git("init -q");
  project.git("add -A");
  project.git("commit -q -m '\"; touch '\\''hacked'\\''; $(touch hacked2) `touch hacked3` #'");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), HasSubstr("$(touch hacked2) `touch hacked3` #"));
}

// --- the sources --------------------------------------------------------------------------------------------------

TEST(LanguageSources, TrackedAndUntrackedFilesButNotIgnoredOnes) {
  Project project;
  project.file(".gitignore", "ignored/\n*.log\n")
      .file("tracked.txt", "committed")
      .pipeline("test: {script: [find . -type f -not -path './.git/*' | sort]}");
  project.commit();
  project.file("tracked.txt", "changed").file("untracked.txt", "x").file("ignored/a", "x").file("b.log", "x");
  project.file("sub dir/with space.txt", "x").file("run.sh", "#!/bin/sh\necho ran\n", 0755);
  const Result result = project.exec();
  EXPECT_EQ(result.printed("test"),
            "./.gitignore\n./pipeline.yml\n./run.sh\n./sub dir/with space.txt\n./tracked.txt\n./untracked.txt\n");
  project.pipeline("test: {script: [cat tracked.txt, ./run.sh]}");
  EXPECT_EQ(project.exec().log("test"), "$ cat tracked.txt\nchanged$ ./run.sh\nran\n");
}

TEST(LanguageSources, TheUsersTreeIsNeverWritten) {
  Project project;
  project.file("keep.txt", "keep\n").file("gone.txt", "gone\n").file("sub/deep.txt", "deep\n");
  project
      .pipeline(R"(
spoil:
  script:
    - echo spoilt >keep.txt
    - echo more >>sub/deep.txt
    - rm gone.txt
    - chmod 777 keep.txt
    - touch new.txt
    - rm -rf .git
clean:
  stage: deploy
  script: [cat keep.txt gone.txt sub/deep.txt, test ! -e new.txt, git log -1 --format=%s]
)")
      .commit("the commit");
  const auto fingerprint = [&] {
    return sh("cd '" + project.path().string() +
              "'; find . -printf '%p %y %m %s %T@\\n' | sort; find . -type f | sort | xargs -d '\\n' sha256sum");
  };
  const std::string before = fingerprint();
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker({"--image", "busybox", "spoil"}) : project.exec();
    EXPECT_EQ(result.outcome("spoil"), "passed") << result;
    if (!docker) {
      EXPECT_EQ(result.printed("clean"), "keep\ngone\ndeep\nthe commit\n") << result;
    }
    EXPECT_EQ(fingerprint(), before);
  }
}

// --- lint and plan --------------------------------------------------------------------------------------------------

TEST(Plan, SaysWhatRunsWhatNotAndWhy) {
  Project project;
  project.pipeline(R"(
stages: [build, test]
build: {stage: build, script: echo x}
test: {stage: test, needs: [build], script: echo x}
night: {stage: test, script: echo x, rules: [{if: '$CI_PIPELINE_SOURCE == "schedule"'}]}
hand: {stage: test, script: echo x, when: manual}
)");
  const Result json = project.run({"plan", "--output", "json"});
  ASSERT_EQ(json.code, 0) << json;
  const Json jobs = Json::parse(json.out);
  ASSERT_EQ(jobs.size(), 4U);
  for (const Json& job : jobs) {
    for (const char* key : {"name", "stage", "needs", "when", "included", "reason"})
      EXPECT_TRUE(job.contains(key)) << key;
  }
  EXPECT_EQ(jobs[1]["name"], "test");
  EXPECT_EQ(jobs[1]["needs"], Json::array({"build"}));
  EXPECT_EQ(jobs[2]["included"], false);
  EXPECT_THAT(jobs[2]["reason"].get<std::string>(), HasSubstr("rule"));
  EXPECT_EQ(jobs[3]["when"], "manual");
  const Result text = project.run({"plan"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, AllOf(HasSubstr("build"), HasSubstr("test"), HasSubstr("night"), HasSubstr("hand")));
  EXPECT_TRUE(project.runs().empty());
}

TEST(Lint, AGoodFileIs0) {
  Project project;
  project.pipeline("test: {script: echo x}");
  const Result result = project.run({"lint"});
  EXPECT_EQ(result.code, 0) << result;
  project.file("other.yml", "test: {script: echo x}");
  EXPECT_EQ(project.run({"lint", "other.yml"}).code, 0);
}

// --- resource_group ----------------------------------------------------------------------------------------------

TEST(LanguageResourceGroup, OneAtATimeAcrossProcesses) {
  Project project;
  project.pipeline(R"(
deploy:
  resource_group: production
  script:
    - test ! -e "$MARK" || exit 9
    - touch "$MARK"
    - sleep 1
    - rm "$MARK"
)");
  const std::string mark = "MARK=" + (project.home() / "busy").string();
  auto first = project.start_exec({"--variable", mark});
  auto second = project.start_exec({"--variable", mark});
  const Result one = read_result(first->wait());
  const Result two = read_result(second->wait());
  EXPECT_EQ(one.outcome("deploy"), "passed") << one;
  EXPECT_EQ(two.outcome("deploy"), "passed") << two;
}

TEST(LanguageResourceGroup, AnUnknownProcessModeIsRefused) {
  Project project;
  project.pipeline("deploy: {script: echo, resource_group: production}");
  project.configuration("[resource_groups]\nprocess_mode = { production = \"fastest\" }\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err,
              HasSubstr("expected unordered, oldest_first, newest_first, newest_ready_first or newest_wins"));
}

// --- trigger -----------------------------------------------------------------------------------------------------

TEST(LanguageTrigger, DependRunsAChildPipelineAndEndsAsItDid) {
  Project project;
  project.file("ci/child.yml", R"(
inner: {script: 'echo "$FROM_PARENT $CI_PIPELINE_SOURCE ${FROM_USER-unset}"; exit $CODE'}
)");
  project.pipeline(R"(
start:
  stage: build
  variables: {FROM_PARENT: "run $CI_PIPELINE_ID", CODE: "0"}
  trigger: {include: ci/child.yml, strategy: depend}
after: {script: echo after}
)");
  const Result passed = project.exec({"--variable", "FROM_USER=x"});
  EXPECT_EQ(passed.code, 0) << passed;
  EXPECT_EQ(passed.printed("inner"), "run 1 parent_pipeline unset\n");
  EXPECT_EQ(passed.outcome("start"), "passed");
  EXPECT_GT(passed.place("job_started", "after"), passed.place("job_finished", "inner"));
  const Json runs = project.runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].at("event"), "parent_pipeline");
  EXPECT_EQ(project.logs({"2", "inner"}).find("run 1 parent_pipeline") != std::string::npos, true);

  const Result failed = project.exec({"--variable", "CODE=3"});  // the user's is stronger in the parent; not handed on
  EXPECT_EQ(failed.code, 0) << failed;
  project.pipeline("start: {variables: {CODE: '4'}, trigger: {include: [{local: ci/child.yml}], strategy: depend}}");
  const Result four = project.exec();
  EXPECT_EQ(four.code, 1) << four;
  EXPECT_EQ(four.exit_code("inner"), 4);
  EXPECT_EQ(four.outcome("start"), "failed");
}

// gitlab-runner's Variables.Get() gives the path of a file.
TEST(LanguageVariables, AReferenceToAFileIsItsPath) {
  Project project;
  project.file("../home/.config/runner/projects/local/project.toml",
               "[variables]\nKC = { value = \"a $config\\n\", file = true }\n");
  project.file("child.yml", "kid: {script: 'cat \"$KUBECONFIG\"'}\n");
  project.pipeline(R"(
variables: {KUBECONFIG: $KC, MORE: "--config=${KUBECONFIG}"}
test: {script: ['cat "$KUBECONFIG"', '[ "$MORE" = "--config=$KC" ] && echo same']}
start: {trigger: {include: child.yml, strategy: depend}}
)");
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker({"--image", "busybox"}) : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("test"), "a $config\nsame\n");
    EXPECT_EQ(result.printed("kid"), "a $config\n");
  }
}

// lib/gitlab/ci/variables/downstream/generator.rb: only bridge.yaml_variables are handed on.
TEST(LanguageTrigger, TheProjectsVariablesAreTheChildsOwn) {
  Project project;
  project.file("../home/.config/runner/projects/local/project.toml",
               "[variables]\nKEY = [ { value = \"scoped\", environment_scope = \"review/*\" }, { value = \"base\" } ]\n"
               "[secrets]\nTOKEN = \"s3cr3t-of-the-project\"\n");
  project.file("child.yml",
               "there: {environment: review/1, script: ['echo \"[$KEY]\"']}\n"
               "here: {script: ['echo \"[$KEY]\" $TOKEN ${#TOKEN}']}\n");
  project.pipeline("start: {trigger: {include: child.yml, strategy: depend}}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("there"), "[scoped]\n");
  EXPECT_EQ(result.printed("here"), "[base] [MASKED] 21\n");
}

TEST(LanguageTrigger, WithoutAStrategyTheJobDoesNotWait) {
  Project project;
  project.file("child.yml", "slow: {script: [sleep 1, exit 1]}\n");
  project.pipeline("start: {stage: build, trigger: {include: child.yml}}\nafter: {script: echo after}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_LT(result.place("job_finished", "after"), result.place("job_finished", "slow"));
  EXPECT_EQ(result.outcome("slow"), "failed");
}

TEST(LanguageTrigger, IncludesArtifactsOfTheParent) {
  Project project;
  project.pipeline(R"(
generate:
  stage: build
  script: 'echo "made: {script: echo generated}" >child.yml'
  artifacts: {paths: [child.yml]}
start:
  needs: [generate]
  trigger: {include: [{artifact: child.yml, job: generate}], strategy: depend}
)");
  const Result result = project.docker({"--image", "busybox"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("made"), "generated\n");
}

TEST(LanguageTrigger, APipelineThatCannotBeMadeFailsTheJob) {
  Project project;
  project.file("bad.yml", "job: {scirpt: x}\n");
  project.pipeline("start: {trigger: {include: bad.yml}}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.reason("start"), "downstream_pipeline_creation_failed");
  EXPECT_THAT(result.message("start"), HasSubstr("bad.yml:1:7: unknown keyword \"scirpt\""));
}

TEST(LanguageTrigger, ChildrenHaveChildrenButNoGrandchildren) {
  Project project;
  project.file("one.yml", "two: {trigger: {include: two.yml, strategy: depend}}\n");
  project.file("two.yml", "three: {trigger: {include: one.yml, strategy: depend}}\nplain: {script: echo deep}\n");
  project.pipeline("one: {trigger: {include: one.yml, strategy: depend}}");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.reason("three"), "reached_max_descendant_pipelines_depth");
  EXPECT_EQ(result.printed("plain"), "deep\n");
}

TEST(LanguageTrigger, AnotherProjectsPipelineIsLeftOutInOneLine) {
  Project project;
  project.pipeline("start: {trigger: group/other}\nplain: {script: echo}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("start"), Contains(HasSubstr("the pipeline of group/other was not started")));
}

TEST(LanguageRules, ABadCompareToIsShownWhereItStands) {
  Project project;
  project.pipeline("a: {script: echo}\nb:\n  script: echo\n  rules:\n    - changes: {paths: [x], compare_to: nope}\n")
      .commit();
  for (const char* command : {"plan", "exec"}) {
    const Result result = project.run({command});
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_THAT(result.err, HasSubstr("pipeline.yml:5:41: error: `compare_to`: there is no commit nope in "));
    EXPECT_THAT(result.err, HasSubstr("hint: `git fetch` first, or name another"));
  }
}

TEST(LanguageTrigger, CtrlCStopsTheChildToo) {
  Project project;
  project.file("child.yml", "slow: {script: sleep 60}\n");
  project.pipeline("start: {trigger: {include: child.yml}}\n");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"job_started\",\"run\":2"));
  run->signal(SIGINT);
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.outcome("slow"), "cancelled");
  EXPECT_LT(result.seconds, 30);
}

// --- variables that the runner itself reads ------------------------------------------------------------------------

TEST(LanguageRunnerVariables, GitStrategyNoneHasNoSources) {
  Project project;
  project.file("tracked", "x");
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none}
with: {script: ls}
none: {variables: {GIT_STRATEGY: none}, script: 'ls; pwd'}
odd: {variables: {GIT_STRATEGY: deep}, script: ls}
)");
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_THAT(result.printed("with"), HasSubstr("tracked"));
    EXPECT_THAT(result.printed("none"), Not(HasSubstr("tracked")));
    EXPECT_THAT(result.warnings("odd"), Contains(HasSubstr("GIT_STRATEGY is clone, fetch, none or empty, not deep")));
  }
}

TEST(LanguageRunnerVariables, ScriptAndAfterScriptHaveTimeoutsOfTheirOwn) {
  Project project;
  project.pipeline(R"(
script: {variables: {RUNNER_SCRIPT_TIMEOUT: 1s}, script: sleep 30, after_script: [echo "after $CI_JOB_STATUS"]}
after: {variables: {RUNNER_AFTER_SCRIPT_TIMEOUT: 1s}, script: echo, after_script: [sleep 30]}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.reason("script"), "job_execution_timeout");
  EXPECT_THAT(result.printed("script"), HasSubstr("after timedout\n"));
  EXPECT_EQ(result.outcome("after"), "passed");
  EXPECT_LT(result.seconds, 25);
}

}  // namespace
}  // namespace e2e
