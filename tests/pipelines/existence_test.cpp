// Which jobs exist and what they wait for: `parallel`, `only`, `except`, `needs`, `rules`, `workflow`, from the text to
// the plan. Where GitLab's documentation gives an example, it is that one.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pipelines/parse.h"
#include "pipelines/plan.h"

namespace pipelines {
namespace {

using Strings = std::vector<std::string>;

// A file, parsed and planned as a push to the branch main unless told otherwise.
struct Made {
  explicit Made(std::string text) : parsed(parse(text, "f")) {
    set("CI_PIPELINE_SOURCE", "push");
    set("CI_COMMIT_REF_NAME", "main");
    set("CI_COMMIT_BRANCH", "main");
    set("CI_PROJECT_PATH", "group/project");
  }

  Made& set(std::string_view name, std::string value) {
    trigger.variables.set(name, std::move(value), Precedence::predefined);
    return *this;
  }
  Made& merge_request() {
    trigger.variables = {};
    return set("CI_PIPELINE_SOURCE", "merge_request_event").set("CI_COMMIT_REF_NAME", "feature");
  }
  Made& tag(std::string name) {
    trigger.variables = {};
    return set("CI_PIPELINE_SOURCE", "push").set("CI_COMMIT_REF_NAME", name).set("CI_COMMIT_TAG", name);
  }
  Made& changes(Strings paths) {
    facts.changed_paths = [paths = std::move(paths)](std::string_view) { return std::optional(paths); };
    return *this;
  }
  Made& only(Strings names, bool with_needs = false) {
    trigger.only = std::move(names);
    trigger.with_needs = with_needs;
    return *this;
  }
  Made& make() {
    EXPECT_FALSE(has_errors(parsed.diagnostics)) << render(parsed.diagnostics, parsed.sources, false);
    plan = make_plan(parsed.pipeline, trigger, facts);
    return *this;
  }

  JobIndex index(std::string_view name) const {
    for (JobIndex i = 0; i < parsed.pipeline.jobs.size(); ++i) {
      if (parsed.pipeline.jobs[i].name == name) return i;
    }
    ADD_FAILURE() << "no job " << name;
    return 0;
  }
  Strings all() const {
    Strings names;
    for (const Job& job : parsed.pipeline.jobs) names.push_back(job.name);
    return names;
  }
  Strings in() const {
    Strings names;
    for (const PlannedJob& job : plan.jobs) {
      if (job.included) names.push_back(parsed.pipeline.jobs[job.job].name);
    }
    return names;
  }
  Strings needs(std::string_view name) const {
    Strings names;
    for (const PlannedNeed& need : plan.jobs[index(name)].needs) names.push_back(parsed.pipeline.jobs[need.job].name);
    return names;
  }
  Strings artifacts_from(std::string_view name) const {
    Strings names;
    for (const JobIndex from : plan.artifacts_from(index(name))) names.push_back(parsed.pipeline.jobs[from].name);
    return names;
  }
  std::string value(std::string_view job, std::string_view name) const {
    const VariableSet set = plan.variables(parsed.pipeline, index(job));
    const VariableSet::Entry* entry = set.find(name);
    return entry ? entry->value : "(none)";
  }
  std::string reason(std::string_view name) const { return plan.reason(parsed.pipeline, index(name)); }
  std::string errors() const {
    std::string text;
    for (const Diagnostic& d : plan.diagnostics) {
      text += (d.severity == Severity::error ? "error: " : "warning: ") + d.message + '\n';
    }
    return text;
  }

  Parsed parsed;
  Trigger trigger;
  Facts facts;
  Plan plan;
};

// What is said of a file: `LINE:COLUMN severity: message | hint`, a line each.
std::string said(std::string_view text) {
  std::string all;
  for (const Diagnostic& d : parse(text, "f").diagnostics) {
    all += std::to_string(d.mark.line) + ':' + std::to_string(d.mark.column) +
           (d.severity == Severity::error ? " error: " : " warning: ") + d.message +
           (d.hint.empty() ? "" : " | " + d.hint) + '\n';
  }
  return all;
}

// --- parallel --------------------------------------------------------------------------------------------------------

TEST(Parallel, NumberMakesThatManyJobs) {
  Made run("test: {script: x, parallel: 3, variables: {A: b}}\nlast: {script: x}\n");
  run.make();
  EXPECT_EQ(run.all(), (Strings{"test 1/3", "test 2/3", "test 3/3", "last"}));
  EXPECT_EQ(run.value("test 2/3", "CI_NODE_INDEX"), "2");
  EXPECT_EQ(run.value("test 2/3", "CI_NODE_TOTAL"), "3");
  EXPECT_EQ(run.value("test 2/3", "CI_JOB_NAME"), "test 2/3");
  EXPECT_EQ(run.value("test 2/3", "CI_JOB_NAME_SLUG"), "test-2-3");
  EXPECT_EQ(run.value("test 2/3", "A"), "b");
  EXPECT_EQ(run.value("last", "CI_NODE_TOTAL"), "1");
  EXPECT_EQ(run.value("last", "CI_NODE_INDEX"), "(none)");
  EXPECT_EQ(run.parsed.pipeline.jobs[1].origin, "test");
  EXPECT_EQ(run.parsed.pipeline.jobs[3].origin, "");
}

TEST(Parallel, OfOneHasANumberToo) {
  EXPECT_EQ(Made("a: {script: x, parallel: 1}\n").all(), Strings{"a 1/1"});
  EXPECT_EQ(Made("a: {script: x, parallel: 200}\n").all().size(), 200U);
}

TEST(Parallel, WrongNumbers) {
  const std::string wrong = " error: `parallel` must be a number from 1 to 200, or a `matrix`\n";
  for (const char* value : {"0", "201", "-1", "1.5", "many", "[2]", "99999999999999999999"}) {
    EXPECT_EQ(said(std::string("a: {script: x, parallel: ") + value + "}\n"), "1:26" + wrong) << value;
  }
}

constexpr const char* deploy_stacks =
    "deploystacks:\n  stage: deploy\n  script: [bin/deploy]\n  parallel:\n    matrix:\n"
    "      - PROVIDER: aws\n        STACK: [monitoring, app1, app2]\n"
    "      - PROVIDER: [gcp, vultr]\n        STACK: [data, processing]\n"
    "  environment: $PROVIDER/$STACK\n";

TEST(ParallelMatrix, MakesAJobOfEachCombination) {
  Made run(deploy_stacks);
  run.make();
  EXPECT_EQ(run.all(),
            (Strings{"deploystacks: [aws, monitoring]", "deploystacks: [aws, app1]", "deploystacks: [aws, app2]",
                     "deploystacks: [gcp, data]", "deploystacks: [gcp, processing]", "deploystacks: [vultr, data]",
                     "deploystacks: [vultr, processing]"}));
  EXPECT_EQ(run.value("deploystacks: [gcp, processing]", "PROVIDER"), "gcp");
  EXPECT_EQ(run.value("deploystacks: [gcp, processing]", "STACK"), "processing");
  EXPECT_EQ(run.value("deploystacks: [gcp, processing]", "CI_ENVIRONMENT_NAME"), "gcp/processing");
  EXPECT_EQ(run.value("deploystacks: [gcp, processing]", "CI_NODE_INDEX"), "5");
  EXPECT_EQ(run.value("deploystacks: [gcp, processing]", "CI_NODE_TOTAL"), "7");
}

TEST(ParallelMatrix, ValuesReplaceTheJobsVariablesAndAreSeenByRules) {
  Made run(
      "t:\n  script: x\n  variables: {OS: none, B: kept}\n  parallel: {matrix: [{OS: [linux, mac], N: [1, true]}]}\n"
      "  rules: [{if: $OS == \"mac\", variables: {N: ruled}}]\n");
  run.make();
  EXPECT_EQ(run.in(), (Strings{"t: [mac, 1]", "t: [mac, true]"}));
  EXPECT_EQ(run.value("t: [mac, 1]", "OS"), "mac");
  EXPECT_EQ(run.value("t: [mac, 1]", "B"), "kept");
  EXPECT_EQ(run.value("t: [mac, 1]", "N"), "ruled");
  EXPECT_EQ(run.reason("t: [linux, 1]"), "no rule matched");
}

TEST(ParallelMatrix, TooManyAreCountedNotMade) {
  std::string fifty = "[";
  for (int i = 0; i < 50; ++i) fifty += std::to_string(i) + (i == 49 ? "]" : ", ");
  const std::string four = "{A: &l " + fifty + ", B: *l, C: *l, D: *l}";
  EXPECT_EQ(said("a: {script: x, parallel: {matrix: [" + four + "]}}\n"),
            "1:35 error: `parallel:matrix` makes 6250000 jobs; at most 200 are allowed\n");
  std::string deep = "{A0: &l " + fifty;
  for (int i = 1; i < 20; ++i) deep += ", A" + std::to_string(i) + ": *l";
  EXPECT_EQ(said("a: {script: x, parallel: {matrix: [" + deep + "}]}}\n"),
            "1:35 error: `parallel:matrix` makes 18446744073709551615 jobs; at most 200 are allowed\n");
}

TEST(ParallelMatrix, WrongShapes) {
  const auto matrix = [](const std::string& value) {
    return said("a: {script: x, parallel: {matrix: " + value + "}}\n");
  };
  EXPECT_EQ(matrix("x"),
            "1:35 error: `parallel:matrix` must be a list of mappings, not a string | "
            "for example `matrix: [{ OS: [linux, macos] }]`\n");
  EXPECT_EQ(matrix("[]"),
            "1:35 error: `parallel:matrix` makes no job: it is empty | "
            "for example `matrix: [{ OS: [linux, macos] }]`\n");
  EXPECT_EQ(matrix("[x]"),
            "1:36 error: `parallel:matrix` must be a list of mappings, not a string | "
            "for example `matrix: [{ OS: [linux, macos] }]`\n");
  EXPECT_EQ(matrix("[{}]"), "1:36 error: `parallel:matrix` has a mapping without a variable | remove it\n");
  EXPECT_EQ(matrix("[{A: []}]"), "1:40 error: `parallel:matrix:A` has no value | give it one, or remove it\n");
  EXPECT_EQ(matrix("[{A: [[b]]}]"),
            "1:41 error: `parallel:matrix:A` must be a list of values without lists or "
            "mappings in it, not a list\n");
  EXPECT_EQ(said("a: {script: x, parallel: {}}\n"),
            "1:26 error: `parallel` needs a `matrix` | or write how many: `parallel: 3`\n");
}

TEST(ParallelMatrix, EqualNamesReplaceEachOtherAsInGitLab) {
  const std::string text =
      "test:\n  script: x\n  parallel:\n    matrix:\n      - OS: [ubuntu]\n        PROVIDER: [aws, gcp]\n"
      "      - OS2: [ubuntu]\n        PROVIDER: [aws, gcp]\n";
  Made run(text);
  run.make();
  EXPECT_EQ(run.all(), (Strings{"test: [ubuntu, aws]", "test: [ubuntu, gcp]"}));
  EXPECT_EQ(run.value("test: [ubuntu, aws]", "OS2"), "ubuntu");
  EXPECT_EQ(run.value("test: [ubuntu, aws]", "OS"), "(none)");
  EXPECT_EQ(said(text),
            "4:5 warning: two jobs are called \"test: [ubuntu, aws]\"; the later one takes the earlier one's place | "
            "names are made of the matrix's values alone: give each instance values of its own\n"
            "4:5 warning: two jobs are called \"test: [ubuntu, gcp]\"; the later one takes the earlier one's place | "
            "names are made of the matrix's values alone: give each instance values of its own\n");
  EXPECT_EQ(Made("\"t 1/2\": {script: x}\nt: {script: y, parallel: 2}\n").parsed.pipeline.jobs[0].script.main,
            Strings{"y"});
}

TEST(ParallelMatrix, NamesMayNotBeTooLong) {
  EXPECT_EQ(said("a: {script: x, parallel: {matrix: [{A: " + std::string(260, 'v') + "}]}}\n"),
            "1:1 error: the job's name has 265 bytes; at most 255 are allowed\n");
}

TEST(Parallel, AFewBytesDoNotFillTheMemory) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "a" + std::to_string(i) + ": {script: x, parallel: 200}\n";
  EXPECT_EQ(said(text), "252:29 error: the `parallel` of this file make far too many jobs | at most 50000 in all\n");
}

TEST(Parallel, OneMistakeIsToldOnce) {
  EXPECT_EQ(
      said("a: {parallel: 5, stage: nowhere, needs: [gone], dependencies: [none]}\n"),
      "1:1 error: job \"a\" has no `script` | add `script: make`, or hide it with a name that begins with a dot\n"
      "1:25 error: job \"a\" is in the stage \"nowhere\", which is not defined | the stages are .pre, build, test, "
      "deploy and .post\n"
      "1:42 error: job \"a\" needs \"gone\", which is not defined\n"
      "1:64 error: `dependencies` of job \"a\" names \"none\", which is not defined\n");
}

TEST(Parallel, IsAskedForByItsOwnNameOrAnInstances) {
  const std::string text = "build: {stage: build, script: x, parallel: 2}\ntest: {script: x, needs: [build]}\n";
  EXPECT_EQ(Made(text).only({"build"}).make().in(), (Strings{"build 1/2", "build 2/2"}));
  EXPECT_EQ(Made(text).only({"build 2/2"}).make().in(), Strings{"build 2/2"});
  EXPECT_EQ(Made(text).only({"test"}, true).make().in(), (Strings{"build 1/2", "build 2/2", "test"}));
  EXPECT_EQ(Made(text).only({"build 3/2"}).make().errors(), "error: no job is called \"build 3/2\"\n");
}

// --- needs -----------------------------------------------------------------------------------------------------------

TEST(Needs, OfAParallelJobAreAllItsInstances) {
  Made run(
      "a: {stage: build, script: x, parallel: 2, artifacts: {paths: [o]}}\nb: {script: x, needs: [{job: a}]}\n"
      "c: {script: x, needs: [a 2/2]}\nd: {script: x, parallel: 2, needs: [a]}\n"
      "e: {script: x, dependencies: [a]}\nf: {script: x, needs: [{job: a, artifacts: false}]}\n"
      "g: {script: x, needs: [a], dependencies: [a 1/2]}\n");
  run.make();
  EXPECT_EQ(run.needs("b"), (Strings{"a 1/2", "a 2/2"}));
  EXPECT_EQ(run.needs("c"), Strings{"a 2/2"});
  EXPECT_EQ(run.needs("d 2/2"), (Strings{"a 1/2", "a 2/2"}));
  EXPECT_EQ(run.artifacts_from("e"), (Strings{"a 1/2", "a 2/2"}));
  EXPECT_EQ(run.artifacts_from("b"), (Strings{"a 1/2", "a 2/2"}));
  EXPECT_EQ(run.artifacts_from("f"), Strings{});
  EXPECT_EQ(run.artifacts_from("g"), Strings{"a 1/2"});
}

TEST(Needs, AtMostFiftyInstancesIncluded) {
  EXPECT_EQ(said("a: {stage: build, script: x, parallel: 51}\nb: {script: x, needs: [a]}\n"),
            "2:24 error: job \"b\" needs 51 jobs; at most 50 are allowed\n");
  EXPECT_EQ(said("a: {stage: build, script: x, parallel: 50}\nb: {script: x, needs: [a]}\n"), "");
}

TEST(Needs, TwiceIsAMistake) {
  EXPECT_EQ(said("a: {stage: build, script: x}\nb: {script: x, needs: [a, {job: a}]}\n"),
            "2:33 error: job \"b\" needs \"a\" twice | remove one of them\n");
  EXPECT_EQ(said("a: {stage: build, script: x, parallel: 2}\nb: {script: x, needs: [a, a 2/2]}\n"),
            "2:27 error: job \"b\" needs \"a 2/2\" twice | remove one of them\n");
}

TEST(Needs, ItselfAmongItsInstances) {
  EXPECT_EQ(said("a: {script: x, parallel: 2, needs: [a]}\n"),
            "1:37 error: job \"a\" needs itself | remove it from `needs`\n");
}

TEST(Needs, CirclesOfInstances) {
  EXPECT_EQ(said("a: {script: x, parallel: 2, needs: [b]}\nb: {script: x, needs: [a 2/2]}\n"),
            "2:24 error: jobs need each other in a circle: b -> a 2/2 -> b | remove one of these needs\n");
}

TEST(NeedsParallelMatrix, TakesThoseInstances) {
  Made run(
      "linux:build:\n  stage: build\n  script: x\n  parallel:\n    matrix:\n      - PROVIDER: aws\n"
      "        STACK: [monitoring, app1, app2]\n"
      "linux:rspec:\n  stage: test\n  script: x\n  needs:\n    - job: linux:build\n      parallel:\n        matrix:\n"
      "          - PROVIDER: aws\n            STACK: [app1, app2]\n");
  run.make();
  EXPECT_EQ(run.needs("linux:rspec"), (Strings{"linux:build: [aws, app1]", "linux:build: [aws, app2]"}));
}

TEST(NeedsParallelMatrix, TheOrderOfItsKeysMatters) {
  const std::string build = "b: {stage: build, script: x, parallel: {matrix: [{PROVIDER: aws, STACK: [m, app]}]}}\n";
  EXPECT_EQ(said(build + "t: {script: x, needs: [{job: b, parallel: {matrix: [{STACK: app, PROVIDER: aws}]}}]}\n"),
            "2:30 error: job \"t\" needs \"b: [app, aws]\", which is not defined | did you mean \"b: [aws, app]\"?\n");
  EXPECT_EQ(said(build + "t: {script: x, needs: [{job: b, parallel: {matrix: [{PROVIDER: aws}]}}]}\n"),
            "2:30 error: job \"t\" needs \"b: [aws]\", which is not defined | name all its values, in the order of its "
            "`parallel:matrix`: \"b: [aws, m]\" is one\n");
}

TEST(NeedsParallelMatrix, OfAJobThatIsNotParallelIsThatJob) {
  Made run("b: {stage: build, script: x}\nt: {script: x, needs: [{job: b, parallel: {matrix: [{A: c}]}}]}\n");
  EXPECT_EQ(run.make().needs("t"), Strings{"b"});
}

TEST(NeedsParallelMatrix, Expressions) {
  const std::string matrix = "parallel: {matrix: [{PLATFORM: [linux, mac], VERSION: [16, 18]}]}";
  Made run("prepare: {stage: build, script: x, " + matrix + "}\n" +
           "build:\n  script: x\n  parallel: {matrix: [{PLATFORM: [linux, mac]}]}\n  needs:\n    - job: prepare\n"
           "      parallel:\n        matrix:\n          - PLATFORM: ['$[[ matrix.PLATFORM ]]']\n"
           "            VERSION: [\"18\"]\n");
  run.make();
  EXPECT_EQ(run.needs("build: [linux]"), Strings{"prepare: [linux, 18]"});
  EXPECT_EQ(run.needs("build: [mac]"), Strings{"prepare: [mac, 18]"});
}

TEST(NeedsParallelMatrix, WrongExpressions) {
  const std::string producer = "p: {stage: build, script: x, parallel: {matrix: [{A: [1, 2]}]}}\n";
  const std::string need = "needs: [{job: p, parallel: {matrix: [{A: '$[[ matrix.B ]]'}]}}]}\n";
  EXPECT_EQ(
      said(producer + "t: {script: x, parallel: {matrix: [{A: [1, 2], C: d}]}, " + need).substr(0, 109),
      "2:71 error: `$[[ matrix.B ]]` in the `needs` of job \"t\": its `parallel:matrix` has no B | it has A and C\n"
      "2:71");
  EXPECT_EQ(
      said(producer + "t: {script: x, " + need).substr(0, 110),
      "2:30 error: `$[[ matrix. ]]` in the `needs` of job \"t\", which has no `parallel:matrix` | write the values "
      "out\n");
}

TEST(Needs, OfOtherProjectsAreLeftOutWithOneWarning) {
  const std::string text =
      "a:\n  script: x\n  needs:\n    - {project: g/p, job: b, ref: main, artifacts: true}\n"
      "    - {pipeline: $PARENT_PIPELINE_ID, job: c}\n    - d\nd: {stage: build, script: x}\n"
      "mirror: {needs: {pipeline: other/project}}\n";
  EXPECT_EQ(said(text),
            "4:8 warning: `needs` of other projects are left out | they are on GitLab's server; the job runs without "
            "them\n");
  Made run(text);
  run.make();
  EXPECT_EQ(run.needs("a"), Strings{"d"});
  const std::vector<UpstreamNeed>& upstream = run.parsed.pipeline.jobs.at(0).upstream_needs;
  ASSERT_EQ(upstream.size(), 1U);
  EXPECT_EQ(upstream[0].pipeline, "$PARENT_PIPELINE_ID");
  EXPECT_EQ(upstream[0].job, "c");
  EXPECT_TRUE(upstream[0].artifacts);
  EXPECT_FALSE(run.plan.jobs[run.index("mirror")].dag) << "stages hold it back";
  EXPECT_EQ(said("a: {script: x, needs: [{project: g/p, job: b}]}\n"),
            "1:24 error: `needs` with a `project` needs `job` and `ref` too | "
            "for example `needs: [{ project: group/name, job: build, ref: main, artifacts: true }]`\n");
}

TEST(Needs, OfMoreThanFiveProjects) {
  std::string text = "a:\n  script: x\n  needs:\n";
  for (int i = 0; i < 6; ++i) text += "    - {project: g/p, job: b, ref: main, artifacts: true}\n";
  EXPECT_NE(said(text).find("9:7 error: `needs` can name jobs of at most 5 other pipelines\n"), std::string::npos);
}

TEST(Needs, OfOtherPipelinesThatAreWrong) {
  EXPECT_EQ(
      said("a: {script: x, needs: [{pipeline: '1', job: b, optional: true}]}\n"),
      "1:48 error: `needs` with a `pipeline` cannot have `optional` | it has `pipeline`, `job` and `artifacts`\n");
  EXPECT_EQ(said("a: {script: x, rules: [{needs: [{pipeline: '1', job: b}]}]}\n"),
            "1:34 error: `rules:needs` can name jobs of this pipeline only | write it into the job's own `needs`\n");
}

TEST(Needs, OptionalOnesMayBeMissing) {
  Made run(
      "b: {stage: build, script: x, rules: [{if: $NEVER}]}\nt: {script: x, needs: [{job: b, optional: true}, "
      "{job: gone, optional: true}]}\n");
  run.make();
  EXPECT_EQ(run.errors(), "");
  EXPECT_EQ(run.needs("t"), Strings{});
  EXPECT_TRUE(run.plan.jobs[run.index("t")].dag);
}

TEST(RulesNeeds, ReplaceTheJobsOwn) {
  Made run(
      "a: {stage: build, script: x, parallel: 2}\nb: {stage: build, script: x}\n"
      "t: {script: x, needs: [b], rules: [{if: $NEVER, needs: []}, {needs: [a]}]}\n");
  EXPECT_EQ(run.make().needs("t"), (Strings{"a 1/2", "a 2/2"}));
}

TEST(RulesNeeds, ACircleThatOnlyTheyMakeIsNamedByThePlan) {
  const std::string text =
      "a: {script: x, needs: [b]}\nb: {script: x, needs: [c]}\nc: {script: x, rules: [{if: $LOOP, needs: [a]}, {when: "
      "always}]}\n";
  EXPECT_EQ(Made(text).make().errors(), "");
  Made run(text);
  run.set("LOOP", "yes").make();
  EXPECT_EQ(run.errors(), "error: jobs need each other in a circle by `rules:needs`: a -> b -> c -> a\n");
}

// --- only and except -------------------------------------------------------------------------------------------------

Strings in(const std::string& body) { return Made("job: {script: x, " + body + "}\nother: {script: x}\n").make().in(); }
const Strings both{"job", "other"};
const Strings none{"other"};

TEST(Only, NamesPatternsAndKeywordsOfRefs) {
  EXPECT_EQ(in("only: [main]"), both);
  EXPECT_EQ(in("only: [dev]"), none);
  EXPECT_EQ(in("only: [dev, branches]"), both);
  EXPECT_EQ(in("only: [tags]"), none);
  EXPECT_EQ(in("only: [pushes]"), both);
  EXPECT_EQ(in("only: [push]"), both);
  EXPECT_EQ(in("only: [schedules, web, api, triggers, pipelines, external, chat, external_pull_requests]"), none);
  EXPECT_EQ(in("only: [/^ma.*$/]"), both);
  EXPECT_EQ(in("only: [/ain/]"), both) << "not anchored";
  EXPECT_EQ(in("only: [/^MAIN$/]"), none);
  EXPECT_EQ(in("only: [/^MAIN$/i]"), both);
  EXPECT_EQ(in("only: {refs: [main]}"), both);
  EXPECT_EQ(in("only: []"), none);
}

TEST(Only, PatternsMayHoldSlashes) {
  for (const char* pattern : {"/^feature/.*$/", "/^feature\\/.*$/"}) {
    Made run(std::string("job: {script: x, only: ['") + pattern + "']}\n");
    EXPECT_EQ(run.set("CI_COMMIT_REF_NAME", "feature/one").make().in(), Strings{"job"}) << pattern;
  }
  EXPECT_EQ(in("only: ['/^feature/.*$/']"), none);
}

TEST(Only, OfAProject) {
  EXPECT_EQ(in("only: [main@group/project]"), both);
  EXPECT_EQ(in("only: [main@group/fork]"), none);
  EXPECT_EQ(in("only: [branches@group/project]"), both);
  EXPECT_EQ(in("except: [/ma/@group/project]"), none);
}

TEST(Only, KindsOfRuns) {
  const std::string text =
      "mr: {script: x, only: [merge_requests]}\ntag: {script: x, only: [tags]}\nnight: {script: x, only: [schedules]}\n"
      "version: {script: x, only: [/^v\\d/]}\nplain: {script: x}\nday: {script: x, except: [schedules]}\n";
  EXPECT_EQ(Made(text).make().in(), (Strings{"plain", "day"}));
  EXPECT_EQ(Made(text).merge_request().make().in(), Strings{"mr"});
  EXPECT_EQ(Made(text).tag("v1").make().in(), (Strings{"tag", "version", "plain", "day"}));
  EXPECT_EQ(Made(text).set("CI_PIPELINE_SOURCE", "schedule").make().in(), (Strings{"night", "plain"}));
}

TEST(Only, AMergeRequestsBranchIsNoRefOfIts) {
  EXPECT_EQ(Made("job: {script: x, only: [feature, /fea/]}\n").merge_request().make().in(), Strings{});
}

TEST(Only, PartsAreJoinedByAndWithinAPartByOr) {
  EXPECT_EQ(in("only: {refs: [main], variables: [$NO, $CI_COMMIT_BRANCH]}"), both);
  EXPECT_EQ(in("only: {refs: [main], variables: [$NO]}"), none);
  EXPECT_EQ(in("only: {refs: [dev], variables: [$CI_COMMIT_BRANCH]}"), none);
  EXPECT_EQ(in("only: {kubernetes: active}"), none);
  const std::string text = "job: {script: x, only: {refs: [main], changes: [docs/**/*]}}\n";
  EXPECT_EQ(Made(text).make().in(), Strings{"job"}) << "nothing to compare with";
  EXPECT_EQ(Made(text).changes({"docs/a/b.md"}).make().in(), Strings{"job"});
  EXPECT_EQ(Made(text).changes({"src/a.c"}).make().in(), Strings{});
}

TEST(Only, WithoutRefsIsForBranchesAndTags) {
  const std::string text = "job: {script: x, only: {variables: [$CI_PIPELINE_SOURCE]}}\n";
  EXPECT_EQ(Made(text).make().in(), Strings{"job"});
  EXPECT_EQ(Made(text).merge_request().make().in(), Strings{});
}

TEST(Except, AnyPartKeepsTheJobOut) {
  EXPECT_EQ(in("except: [main]"), none);
  EXPECT_EQ(in("except: [dev]"), both);
  EXPECT_EQ(in("except: []"), both);
  EXPECT_EQ(in("except: {refs: [dev], variables: [$CI_COMMIT_BRANCH == \"main\"]}"), none);
  EXPECT_EQ(in("except: {kubernetes: active}"), both);
  EXPECT_EQ(in("except: {changes: [a]}"), none) << "nothing to compare with: taken as changed";
  EXPECT_EQ(in("only: [branches], except: [main]"), none);
  EXPECT_EQ(in("only: [branches], except: [dev]"), both);
}

TEST(Only, WithoutAnyAJobIsForBranchesAndTags) {
  const std::string jobs =
      "plain: {script: x}\nexcept: {script: x, except: [dev]}\nruled: {script: x, rules: [{when: always}]}\n";
  EXPECT_EQ(Made(jobs).merge_request().make().in(), Strings{"ruled"});
  EXPECT_EQ(Made(jobs).tag("v1").make().in(), (Strings{"plain", "except", "ruled"}));
  // workflow:rules take that away (GitLab's Entry::Processable).
  Made run("workflow: {rules: [{when: always}]}\n" + jobs);
  EXPECT_EQ(run.merge_request().make().in(), (Strings{"plain", "except", "ruled"}));
}

TEST(Only, ThePlanSaysWhichPartDecided) {
  Made run(
      "a: {script: x, only: [dev, tags]}\nb: {script: x, only: {variables: [$A == \"1\"]}}\n"
      "c: {script: x, only: {refs: [main], changes: [x/*]}}\nd: {script: x, except: [/^m/]}\n"
      "e: {script: x, only: [branches], except: [tags]}\nf: {script: x, except: {variables: [$CI_COMMIT_BRANCH]}}\n"
      "g: {script: x, only: {kubernetes: active}}\n");
  run.changes({"y"}).make();
  EXPECT_EQ(run.reason("a"), "only refs dev, tags; this is the branch \"main\"");
  EXPECT_EQ(run.reason("b"), "only variables $A (null) == \"1\"; none is true");
  EXPECT_EQ(run.reason("c"), "only changes x/*; nothing there changed");
  EXPECT_EQ(run.reason("d"), "except refs /^m/; this is the branch \"main\"");
  EXPECT_EQ(run.reason("e"), "only refs branches; not except refs tags");
  EXPECT_EQ(run.reason("f"), "except variables $CI_COMMIT_BRANCH (\"main\")");
  EXPECT_EQ(run.reason("g"), "only kubernetes active; there is none here");
  Made mr("a: {script: x}\nb: {script: x, only: [merge_requests]}\n");
  mr.merge_request().make();
  EXPECT_EQ(mr.reason("a"), "has no rules, so it is for branches and tags; this is a merge request");
  EXPECT_EQ(mr.reason("b"), "only refs merge_requests");
}

TEST(Only, WrongShapes) {
  EXPECT_EQ(said("a: {script: x, only: main}\n"),
            "1:22 error: `only` must be a list of refs or a mapping, not a string | write `only: [main]`\n");
  EXPECT_EQ(said("a: {script: x, only: {}}\n"),
            "1:22 error: `only` must be a list of refs or a mapping, not a mapping\n");
  EXPECT_EQ(said("a: {script: x, except: {ref: [main]}}\n"),
            "1:25 error: unknown keyword \"ref\" in `except` | did you mean \"refs\"?\n");
  EXPECT_EQ(said("a: {script: x, only: ['/(/']}\n").substr(0, 61),
            "1:23 error: `only` has a wrong regular expression, /(/: inval");
  EXPECT_EQ(said("a: {script: x, only: {kubernetes: yes}}\n").substr(0, 44),
            "1:35 error: `only:kubernetes` must be active");
  EXPECT_EQ(said("a: {script: x, only: {variables: [$A == =]}}\n").substr(0, 12), "1:41 error: ");
}

TEST(Only, BesideRulesIsAMistake) {
  EXPECT_EQ(said("a: {script: x, rules: [{when: always}], only: [main], except: [tags]}\n"),
            "1:41 error: job \"a\" has both `rules` and `only` | say it in `rules`, or write `only: null`\n"
            "1:55 error: job \"a\" has both `rules` and `except` | say it in `rules`, or write `except: null`\n");
  EXPECT_EQ(said(".b: {only: [main]}\na: {extends: .b, script: x, rules: [{when: always}], only: null}\n"), "");
}

// --- rules -----------------------------------------------------------------------------------------------------------

TEST(Rules, AnEmptyListIsAnError) {
  const std::string says = "is empty | remove it, or write `rules: [{ when: never }]`\n";
  EXPECT_EQ(said("a: {script: x, rules: []}\nb: {script: x}\n"), "1:23 error: `rules` " + says);
  EXPECT_EQ(said("workflow: {rules: []}\nb: {script: x}\n"), "1:19 error: `workflow:rules` " + says);
}

TEST(RulesExists, OfAnotherProject) {
  const std::string text =
      "a: {script: x, rules: [{exists: {paths: [Dockerfile], project: $GROUP/images, ref: $REF_NAME}}]}\nb: {script: "
      "x}\n";
  Made known(text);
  known.set("GROUP", "g").set("REF_NAME", "v1");
  known.facts.project_paths = [](std::string_view project, std::string_view ref) {
    EXPECT_EQ(project, "g/images");
    EXPECT_EQ(ref, "v1");
    return std::optional(Strings{"Dockerfile"});
  };
  EXPECT_EQ(known.make().in(), (Strings{"a", "b"}));
  EXPECT_EQ(known.reason("a"), "rule 1: exists Dockerfile in $GROUP/images");
  Made unknown(text);
  unknown.set("GROUP", "g").make();
  EXPECT_EQ(unknown.in(), Strings{"b"});
  EXPECT_EQ(unknown.errors(), "warning: `exists:project`: the files of g/images are not known here\n");
  EXPECT_EQ(said("a: {script: x, rules: [{exists: {paths: [a], ref: main}}]}\n"),
            "1:33 error: `rules:exists` has a `ref` without a `project` | name the project too\n");
}

TEST(RulesChanges, BeyondFiftyThousandComparisonsAMatchIsTakenForGranted) {
  const std::string text = "a: {script: x, rules: [{changes: [no/*, none/*]}]}\nb: {script: x}\n";
  EXPECT_EQ(Made(text).changes(Strings(25'000, "src/a")).make().in(), Strings{"b"});
  EXPECT_EQ(Made(text).changes(Strings(25'001, "src/a")).make().in(), (Strings{"a", "b"}));
}

TEST(RulesExists, BeyondFiftyThousandComparisonsAMatchIsTakenForGranted) {
  const auto in = [](const std::string& patterns, std::size_t files) {
    Made run("a: {script: x, rules: [{exists: [" + patterns + "]}]}\nb: {script: x}\n");
    run.facts.source_paths = [files] { return Strings(files, "src/a"); };
    return run.make().in();
  };
  EXPECT_EQ(in("no/*", 50'000), Strings{"b"});
  EXPECT_EQ(in("no/*", 50'001), (Strings{"a", "b"}));
  EXPECT_EQ(in("no/file, '**/*.none'", 50'001), Strings{"b"}) << "names and extensions are looked up, not compared";
}

TEST(Rules, InterruptibleIsRead) {
  const Parsed parsed = parse("a: {script: x, interruptible: true, rules: [{interruptible: false}]}\n", "f");
  EXPECT_EQ(parsed.pipeline.jobs[0].interruptible, true);
  EXPECT_EQ(parsed.pipeline.jobs[0].rules->at(0).interruptible, false);
}

// --- workflow --------------------------------------------------------------------------------------------------------

TEST(WorkflowName, BecomesAVariable) {
  Made run(
      "workflow: {name: 'Run of $WHAT for $CI_COMMIT_BRANCH', rules: [{variables: {WHAT: all}}]}\n"
      "variables: {WHAT: nothing}\na: {script: x, rules: [{if: $CI_PIPELINE_NAME =~ /^Run of all/}]}\n");
  run.make();
  EXPECT_EQ(run.plan.name, "Run of all for main");
  EXPECT_EQ(run.value("a", "CI_PIPELINE_NAME"), "Run of all for main");
  EXPECT_EQ(run.in(), Strings{"a"});
  EXPECT_EQ(Made("a: {script: x}\n").make().value("a", "CI_PIPELINE_NAME"), "(none)");
}

TEST(WorkflowName, ShowsNoSecret) {
  Made run("workflow: {name: for $OF}\nvariables: {OF: $SECRET}\na: {script: x}\n");
  run.trigger.variables.set("SECRET", "hunter22", Precedence::pipeline, false, /*masked=*/true);
  EXPECT_EQ(run.make().plan.name, "for [MASKED]");
}

TEST(WorkflowAutoCancel, IsReadAndChecked) {
  const Workflow workflow =
      parse("workflow: {auto_cancel: {on_new_commit: interruptible, on_job_failure: all}}\na: {script: x}\n", "f")
          .pipeline.workflow;
  EXPECT_EQ(workflow.auto_cancel.on_new_commit, OnNewCommit::interruptible);
  EXPECT_EQ(workflow.auto_cancel.on_job_failure, true);
  EXPECT_EQ(
      said("workflow: {auto_cancel: {on_new_commit: all, on_job_failure: some, x: 1}}\na: {script: x}\n"),
      "1:41 error: `workflow:auto_cancel:on_new_commit` must be conservative, interruptible or none, not \"all\"\n"
      "1:62 error: `workflow:auto_cancel:on_job_failure` must be all or none, not \"some\"\n"
      "1:68 error: unknown keyword \"x\" in `workflow:auto_cancel` | known here: on_new_commit and on_job_failure\n");
}

TEST(WorkflowRulesAutoCancel, OverridesTheWorkflows) {
  const std::string text =
      "workflow:\n  auto_cancel: {on_job_failure: all}\n  rules:\n    - if: $KEEP\n      auto_cancel: {on_job_failure: "
      "none}\n    - if: $OTHER\n      auto_cancel: {on_new_commit: none}\n    - when: always\na: {script: x}\n";
  EXPECT_TRUE(Made(text).make().plan.cancel_on_failure);
  EXPECT_FALSE(Made(text).set("KEEP", "1").make().plan.cancel_on_failure);
  EXPECT_TRUE(Made(text).set("OTHER", "1").make().plan.cancel_on_failure);
  EXPECT_FALSE(Made("a: {script: x}\n").make().plan.cancel_on_failure);
}

// --- stages, inherit, when -------------------------------------------------------------------------------------------

TEST(Stages, AloneInPreAndPostNothingRuns) {
  Made run("a: {script: x, stage: .pre}\nb: {script: x, stage: .post}\nc: {script: x, only: [tags]}\n");
  run.make();
  EXPECT_EQ(run.in(), Strings{});
  EXPECT_EQ(run.plan.empty_reason, "only jobs in .pre and .post are left, which do not run alone");
}

TEST(Inherit, DefaultsAndVariables) {
  const Parsed parsed = parse(
      "default: {image: i, retry: 1, tags: [t]}\nvariables: {A: a, B: b}\n"
      "none: {script: x, inherit: {default: false, variables: false}}\n"
      "some: {script: x, inherit: {default: [image], variables: [A]}}\n"
      "empty: {script: x, inherit: {default: [], variables: []}}\nall: {script: x, inherit: {default: true}}\n",
      "f");
  ASSERT_TRUE(parsed.diagnostics.empty());
  const std::vector<Job>& jobs = parsed.pipeline.jobs;
  EXPECT_FALSE(jobs[0].image);
  EXPECT_FALSE(jobs[0].inherit_all_variables);
  EXPECT_EQ(jobs[1].image->name, "i");
  EXPECT_EQ(jobs[1].retry.max, 0);
  EXPECT_EQ(jobs[1].inherited_variables, Strings{"A"});
  EXPECT_FALSE(jobs[2].image);
  EXPECT_FALSE(jobs[2].inherit_all_variables);
  EXPECT_EQ(jobs[3].retry.max, 1);
  EXPECT_EQ(jobs[3].tags, Strings{"t"});
}

TEST(ManualConfirmation, IsReadAndOnlyForManualJobs) {
  EXPECT_EQ(
      parse("a: {script: x, when: manual, manual_confirmation: Sure}\n", "f").pipeline.jobs[0].manual_confirmation,
      "Sure");
  EXPECT_EQ(said("a: {script: x, manual_confirmation: Sure, rules: [{when: manual}]}\n"), "");
  EXPECT_EQ(said("a: {script: x, manual_confirmation: Sure}\n"),
            "1:16 warning: `manual_confirmation` of job \"a\", which is never manual, has no effect | add `when: "
            "manual`, or remove it\n");
}

}  // namespace
}  // namespace pipelines
