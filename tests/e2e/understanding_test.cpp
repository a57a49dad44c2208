// What one asks before running: plan, lint, and the events that can be simulated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Json json_of(const Result& result) {
  EXPECT_EQ(result.code, 0) << result;
  return Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
}

// --- plan ---------------------------------------------------------------------------------------------------------

TEST(Plan, TellsWhatEveryRuleSaw) {
  Project project;
  project
      .pipeline(R"(
docs:
  script: make docs
  rules:
    - if: $CI_COMMIT_BRANCH == "main"
      changes: [docs/**/*]
    - if: $WHERE == "here"
in: {script: make, rules: [{if: '$CI_COMMIT_BRANCH == "main"'}]}
)")
      .file("file", "1")
      .commit();
  project.file("file", "2").commit();
  const Result text = project.run({"plan", "--variable", "WHERE=there"});
  EXPECT_THAT(text.out, HasSubstr("in  (rule 1: $CI_COMMIT_BRANCH (\"main\") == \"main\")\n")) << text;
  EXPECT_THAT(text.out,
              HasSubstr("⊘ docs  (no rule matched)\n"
                        "      rule 1: $CI_COMMIT_BRANCH (\"main\") == \"main\" is true, but no changes in docs/**/*\n"
                        "      rule 2: $WHERE (\"there\") == \"here\" is false\n"))
      << text;
  const Json plan = json_of(project.run({"plan", "--output", "json"}));
  EXPECT_EQ(plan.at(0).at("reason"),
            "no rule matched (rule 1: $CI_COMMIT_BRANCH (\"main\") == \"main\" is true, but no changes in docs/**/*; "
            "rule 2: $WHERE (null) == \"here\" is false)");
}

TEST(Plan, Graph) {
  Project project;
  project.pipeline(R"(
compile: {stage: build, script: make}
'a "quoted" name': {stage: build, script: make}
unit: {script: make, needs: [compile]}
style: {script: make}
ship: {stage: deploy, script: make, when: manual}
)");
  EXPECT_EQ(project.run({"plan", "--graph", "text"}).out,
            "build  ─┬─ compile\n"
            "        └─ a \"quoted\" name\n"
            "  │\n"
            "test   ─┬─ unit             ← compile\n"
            "        └─ style\n"
            "  │\n"
            "deploy ─── ship [manual]\n");
  EXPECT_EQ(project.run({"plan", "--graph", "dot"}).out, R"(digraph pipeline {
  rankdir=LR;
  node [shape=box, style=rounded];
  subgraph cluster_0 {
    label="build";
    "compile";
    "a \"quoted\" name";
  }
  point_1 [shape=point];
  subgraph cluster_1 {
    label="test";
    "unit";
    "style";
  }
  point_2 [shape=point];
  subgraph cluster_2 {
    label="deploy";
    "ship" [style="rounded,dashed"];
  }
  "compile" -> point_1;
  "a \"quoted\" name" -> point_1;
  "compile" -> "unit";
  "unit" -> point_2;
  point_1 -> "style";
  "style" -> point_2;
  point_1 -> point_2;
  point_2 -> "ship";
}
)");
  const Result mermaid = project.run({"plan", "--graph", "mermaid"});
  EXPECT_THAT(mermaid.out, AllOf(StartsWith("flowchart LR\n  subgraph s0[\"build\"]\n    j0[\"compile\"]\n"),
                                 HasSubstr("j1[\"a #34;quoted#34; name\"]"), HasSubstr("  j0 --> j2\n"),
                                 HasSubstr("j4[\"ship\"]:::manual")));
  EXPECT_EQ(project.run({"plan", "--graph", "svg"}).code, 2);
  EXPECT_EQ(project.run({"plan", "--graph", "dot", "--output", "json"}).code, 2);
}

TEST(Plan, DiffWithAnotherCommit) {
  Project project;
  project
      .pipeline(R"(
build: {stage: build, script: make}
test: {script: make}
lint: {script: make}
same: {script: make}
)")
      .commit();
  EXPECT_EQ(project.run({"plan", "--diff", "HEAD"}).out, "the plan is the same\n");
  project.pipeline(R"(
build: {stage: build, script: make}
test: {script: make, needs: [build], when: manual}
lint: {script: make, rules: [{if: $LINT}]}
new: {script: make}
same: {script: make}
)");
  const Result text = project.run({"plan", "--diff", "HEAD"});
  EXPECT_EQ(text.out,
            "  ~ test\n"
            "      when: on_success → manual\n"
            "      has needs: no → yes\n"
            "      needs: nothing → build\n"
            "  - lint\n"
            "      because: has no rules → no rule matched (rule 1: $LINT (null) is false)\n"
            "  + new  (has no rules)\n")
      << text;
  const Json changes = json_of(project.run({"plan", "--diff", "HEAD", "--output", "json"}));
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(changes.at(1).at("change"), "removed");
  EXPECT_EQ(changes.at(1).at("after").at("included"), false);
  EXPECT_TRUE(changes.at(2).at("before").is_null());
  EXPECT_THAT(project.run({"plan", "--diff", "nowhere"}).err, HasSubstr("there is no commit nowhere"));
  project.file("other.yml", "a: {script: make}\n");
  EXPECT_THAT(project.run({"plan", "other.yml", "--diff", "HEAD"}).err, HasSubstr("other.yml is not in that commit"));
}

// --- lint ---------------------------------------------------------------------------------------------------------

TEST(Lint, WarnsOfWhatWillNotDoWhatItSeemsTo) {
  Project project;
  project.pipeline("a:\n  script: make\n  rules:\n    - when: always\n    - if: $A\n");
  const Result result = project.run({"lint"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.err, HasSubstr("pipeline.yml:5:7: warning: this rule is never reached"));
  EXPECT_EQ(project.run({"lint", "--strict"}).code, 2);
  EXPECT_THAT(project.run({"exec", "--executor", "shell"}).err, Not(HasSubstr("never reached")));
}

TEST(Lint, Formats) {
  Project project;
  project.pipeline("ü: {scirpt: make}\nb:\n  script: make\n  stage: nowhere\n");
  const Result json_result = project.run({"lint", "--format", "json"});
  EXPECT_EQ(json_result.code, 2);
  const Json json = Json::parse(json_result.out);
  EXPECT_EQ(json.at("file"), "pipeline.yml");
  EXPECT_EQ(json.at("valid"), false);
  EXPECT_EQ(json.at("diagnostics").at(0).at("line"), 1);
  EXPECT_EQ(json.at("diagnostics").at(0).at("column"), 6) << "bytes";
  EXPECT_EQ(json.at("diagnostics").at(0).at("severity"), "error");
  EXPECT_EQ(json.at("diagnostics").at(0).at("hint"), "did you mean \"script\"?");

  const Json sarif = Json::parse(project.run({"lint", "--format", "sarif"}).out);
  EXPECT_EQ(sarif.at("version"), "2.1.0");
  const Json& first = sarif.at("runs").at(0).at("results").at(0);
  EXPECT_EQ(first.at("level"), "error");
  const Json& place = first.at("locations").at(0).at("physicalLocation");
  EXPECT_EQ(place.at("artifactLocation").at("uri"), "pipeline.yml");
  EXPECT_EQ(place.at("region").at("startColumn"), 5) << "characters";

  const Result github = project.run({"lint", "--format", "github"});
  EXPECT_EQ(github.code, 2);
  EXPECT_THAT(github.out, StartsWith("::error file=pipeline.yml,line=1,col=5::unknown keyword \"scirpt\" in job "
                                     "\"ü\"%0Ahint: did you mean \"script\"?\n"));
  EXPECT_EQ(project.run({"lint", "--format", "xml"}).code, 2);

  project.pipeline("a: {script: make}\n");
  const Json good = json_of(project.run({"lint", "--format", "json"}));
  EXPECT_EQ(good.at("valid"), true);
  EXPECT_EQ(good.at("jobs"), 1);
  EXPECT_EQ(project.run({"lint", "--format", "github"}).out, "");
}

TEST(Schema, IsTheCommittedOne) {
  Project project;
  const Result result = project.run({"schema"});
  EXPECT_EQ(result.code, 0);
  std::ifstream file(RUNNER_SOURCE_DIR "/docs/pipeline.schema.json");
  const std::string committed((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(result.out == committed);
}

// --- events -------------------------------------------------------------------------------------------------------

class Event : public ::testing::Test {
 protected:
  void SetUp() override {
    project
        .pipeline(R"(
mr: {script: make, rules: [{if: $CI_PIPELINE_SOURCE == "merge_request_event"}]}
branch: {script: make, rules: [{if: $CI_COMMIT_BRANCH}]}
tag: {script: make, rules: [{if: $CI_COMMIT_TAG}]}
docs: {script: make, rules: [{changes: [docs/*]}]}
code: {script: make, rules: [{changes: [code/*]}]}
labelled: {script: make, rules: [{if: '$CI_MERGE_REQUEST_LABELS =~ /(^|,)ci(,|$)/'}]}
protected: {script: make, rules: [{if: $CI_COMMIT_REF_PROTECTED == "true"}]}
nightly: {script: make, rules: [{if: $CI_PIPELINE_SCHEDULE_DESCRIPTION == "nightly"}]}
)")
        .commit();
    project.git("checkout -q -b feature");
    project.file("docs/a", "1").commit("docs");
    project.file("code/a", "1").commit("code");
  }

  // The names of the jobs that are in.
  std::string in(Arguments options) {
    options.insert(options.begin(), {"plan", "--output", "json"});
    std::string names;
    for (const Json& job : json_of(project.run(options))) {
      if (job.at("included")) names += (names.empty() ? "" : " ") + job.at("name").get<std::string>();
    }
    return names;
  }

  Project project;
};

TEST_F(Event, EachHasGitLabsVariablesAndChanges) {
  EXPECT_EQ(in({}), "branch code");
  EXPECT_EQ(in({"--protected"}), "branch code protected");
  EXPECT_EQ(in({"--event", "merge_request"}), "mr docs code") << "all that the branch changed";
  EXPECT_EQ(in({"--event", "merge_request", "--mr-labels", "docs,ci"}), "mr docs code labelled");
  EXPECT_EQ(in({"--event", "merge_request", "--since", "HEAD~1"}), "mr code");
  EXPECT_EQ(in({"--event", "schedule", "--schedule", "nightly"}), "branch docs code nightly");
  EXPECT_EQ(in({"--event", "web"}), "branch docs code");
  EXPECT_EQ(in({"--event", "api", "--since", "HEAD~1"}), "branch code");
  EXPECT_EQ(in({"--event", "trigger"}), "branch docs code");
  EXPECT_EQ(in({"--event", "parent_pipeline"}), "branch code");
  EXPECT_EQ(in({"--event", "tag", "--tag", "v1"}), "tag docs code");
  EXPECT_EQ(in({"--event", "pre_push"}), "branch docs code") << "a branch that is new there";
}

TEST_F(Event, TheTagOfTheCommit) {
  const Result none = project.run({"plan", "--event", "tag"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("there is no tag on this commit\nhint: say which it is to be with --tag NAME"));
  project.git("tag v1.0");
  EXPECT_EQ(in({"--event", "tag"}), "tag docs code");
  EXPECT_EQ(in({}), "branch code");
}

TEST_F(Event, PrePushComparesWithWhatTheRemoteHas) {
  project.git("remote add origin https://gitlab.example.com/a/b.git");
  project.git("update-ref refs/remotes/origin/feature HEAD~1");
  EXPECT_EQ(in({"--event", "pre_push"}), "branch code");
}

TEST_F(Event, WhatDoesNotFitIsRefused) {
  const std::map<std::string, Arguments> cases = {
      {"did you mean merge_request?", {"--event", "merge_requests"}},
      {"hint: push, merge_request, tag", {"--event", "full moon"}},
      {"add --event merge_request", {"--mr-title", "x"}},
      {"describe a merge request", {"--target-branch", "main"}},
      {"a merge request is made from a branch", {"--event", "merge_request", "--tag", "v1"}},
      {"add --event schedule", {"--schedule", "nightly"}},
      {"say --tag NAME", {"--event", "tag", "--branch", "main"}}};
  for (const auto& [text, options] : cases) {
    Arguments words = {"plan"};
    words.insert(words.end(), options.begin(), options.end());
    const Result result = project.run(words);
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_THAT(result.err, HasSubstr(text));
  }
}

// --- the project's file -------------------------------------------------------------------------------------------

TEST(ProjectFile, IsStrongerThanTheYamlAndWeakerThanTheCommandLine) {
  Project project;
  project
      .pipeline(R"(
variables: {A: yaml, B: yaml, C: yaml}
test: {script: ['echo "$A $B $C $TOKEN"'], variables: {B: job}}
live: {script: ['echo "$URL"'], environment: production}
)")
      .commit();
  const auto file = project.home() / ".config/runner/projects/local/" / (project.path().filename().string() + ".toml");
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << R"(
[variables]
A = "file"
B = "file"
C = "file"
URL = { value = "https://live.test", environment_scope = "production" }
SHIELDED = { value = "shielded", protected = true }
[secrets]
TOKEN = "hush hush hush"
)";
  std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const Result result = project.exec({"--variable", "C=command line"});
  EXPECT_EQ(result.printed("test"), "file file command line [MASKED]\n") << result;
  EXPECT_EQ(result.printed("live"), "https://live.test\n");
  EXPECT_EQ(result.err, "");
  std::ifstream database(project.database(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(database)), std::istreambuf_iterator<char>());
  EXPECT_THAT(bytes, Not(HasSubstr("hush hush hush")));

  std::ofstream(file) << "[variables]\nA = 1\n";
  const Result wrong = project.exec();
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr(":2:1: A: expected a string or a table\nhint: write it between quotes"));
}

}  // namespace
}  // namespace e2e
