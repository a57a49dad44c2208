// `runner preview`: the text it prints is the same pipeline.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/plan.h"
#include "tests/pipelines/fake_includes.h"

namespace pipelines {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Everything of a pipeline that preview() has to keep, as text: its own preview in the other form.
std::string essence(std::string_view text) { return preview(text, "essence.yml", Context{}, PreviewForm::json).text; }

TEST(Preview, PrintsTheMergedFile) {
  Composed fake;
  fake.includes.files = {{"a.yml",
                          "spec: {inputs: {stage: {default: build}}}\n---\n.base: {image: alpine, script: [make]}\n"
                          "included: {extends: .base, stage: $[[ inputs.stage ]]}\n"}};
  const Preview shown = preview(
      "include: a.yml\nvariables: {A: '012', B: 012, C: \"yes\", D: '', E: \"a: b\"}\n"
      "job:\n  extends: .base\n  before_script: [!reference [.base, script]]\n  script: |\n    if x; then\n      y\n   "
      " fi\n",
      "pipeline.yml", fake.context(), PreviewForm::yaml);
  EXPECT_EQ(render(shown.parsed.diagnostics, shown.parsed.sources, false).find("error"), std::string::npos);
  EXPECT_EQ(shown.text,
            "included:\n  image: alpine\n  script:\n    - make\n  stage: build\n"
            "variables:\n  A: \"012\"\n  B: 012\n  C: \"yes\"\n  D: \"\"\n  E: \"a: b\"\n"
            "job:\n  image: alpine\n  script: |\n    if x; then\n      y\n    fi\n"
            "  before_script:\n    -\n      - make\n");
}

TEST(Preview, AsJson) {
  const Preview shown =
      preview("job: {script: [a], retry: 2, allow_failure: yes, variables: {N: 012, F: 1.50, S: \"q\\\"\\n\"}}\n",
              "pipeline.yml", Context{}, PreviewForm::json);
  EXPECT_EQ(shown.text,
            "{\n  \"job\": {\n    \"script\": [\n      \"a\"\n    ],\n    \"retry\": 2,\n    \"allow_failure\": true,\n"
            "    \"variables\": {\n      \"N\": 10,\n      \"F\": 1.5,\n      \"S\": \"q\\\"\\n\"\n    }\n  }\n}\n");
}

TEST(Preview, WritesParallelJobsOut) {
  const Preview shown = preview(
      "build: {stage: build, script: [make], parallel: {matrix: [{OS: [linux, mac], ARCH: arm}]}, variables: {OS: x, "
      "A: "
      "b}}\n"
      "test: {script: [t], parallel: 2, needs: [build]}\n"
      "last:\n  stage: deploy\n  script: [l]\n  needs: ['test 2/2', {job: build, artifacts: false}]\n"
      "  rules: [{if: $A, needs: [{job: build, optional: true}]}]\n",
      "pipeline.yml", Context{}, PreviewForm::yaml);
  EXPECT_EQ(shown.text,
            "\"build: [linux, arm]\":\n  stage: build\n  script:\n    - make\n  variables:\n    A: b\n    OS: linux\n"
            "    ARCH: arm\n    CI_NODE_INDEX: \"1\"\n    CI_NODE_TOTAL: \"2\"\n"
            "\"build: [mac, arm]\":\n  stage: build\n  script:\n    - make\n  variables:\n    A: b\n    OS: mac\n"
            "    ARCH: arm\n    CI_NODE_INDEX: \"2\"\n    CI_NODE_TOTAL: \"2\"\n"
            "test 1/2:\n  script:\n    - t\n  needs:\n    - \"build: [linux, arm]\"\n    - \"build: [mac, arm]\"\n"
            "  variables:\n    CI_NODE_INDEX: \"1\"\n    CI_NODE_TOTAL: \"2\"\n"
            "test 2/2:\n  script:\n    - t\n  needs:\n    - \"build: [linux, arm]\"\n    - \"build: [mac, arm]\"\n"
            "  variables:\n    CI_NODE_INDEX: \"2\"\n    CI_NODE_TOTAL: \"2\"\n"
            "last:\n  stage: deploy\n  script:\n    - l\n  needs:\n    - test 2/2\n"
            "    - job: \"build: [linux, arm]\"\n      artifacts: false\n"
            "    - job: \"build: [mac, arm]\"\n      artifacts: false\n"
            "  rules:\n    - if: $A\n      needs:\n        - job: \"build: [linux, arm]\"\n          optional: true\n"
            "        - job: \"build: [mac, arm]\"\n          optional: true\n");
}

// What the plan decides, as text.
std::string planned(const Pipeline& pipeline) {
  Trigger trigger;
  for (const auto& [name, value] : {std::pair("CI_COMMIT_BRANCH", "main"), {"CI_PIPELINE_SOURCE", "push"}}) {
    trigger.variables.set(name, value, Precedence::predefined, false);
  }
  Facts facts;
  facts.changed_paths = [](std::string_view) { return std::vector<std::string>{"Dockerfile"}; };
  facts.source_paths = [] { return std::vector<std::string>{"Dockerfile", "src/a.c"}; };
  const Plan plan = make_plan(pipeline, trigger, facts);
  std::string all = plan.name + plan.empty_reason + "\n";
  for (const PlannedJob& job : plan.jobs) {
    all += pipeline.jobs[job.job].name + " " + pipeline.stages[job.stage] + " " + std::to_string(job.included) + " " +
           std::to_string(static_cast<int>(job.when)) + " " + plan.reason(pipeline, job.job);
    for (const PlannedNeed& need : job.needs) {
      all += ", " + pipeline.jobs[need.job].name + (need.artifacts ? "" : " without artifacts");
    }
    for (const JobIndex from : plan.artifacts_from(job.job)) all += "; " + pipeline.jobs[from].name;
    const VariableSet variables = plan.variables(pipeline, job.job);
    for (const auto& [name, entry] : variables.entries()) all += "\n  " + name + "=" + entry.value;
    all += "\n";
  }
  return all;
}

TEST(Preview, HasTheSamePlan) {
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(std::filesystem::path(RUNNER_SOURCE_DIR) / "tests/corpus")) {
    if (entry.path().extension() != ".yml") continue;
    const std::string text = read_file(entry.path());
    const Preview shown = preview(text, "pipeline.yml", Context{}, PreviewForm::yaml);
    if (has_errors(shown.parsed.diagnostics)) continue;  // of those that include others: what they lack is not here
    SCOPED_TRACE(entry.path());
    const Parsed again = parse(shown.text, "again.yml");
    ASSERT_FALSE(has_errors(again.diagnostics)) << shown.text << render(again.diagnostics, again.sources, false);
    EXPECT_EQ(planned(again.pipeline), planned(shown.parsed.pipeline)) << shown.text;
    ++files;
  }
  EXPECT_GT(files, 100U);
}

// Every file of the corpus that is a pipeline, there and back.
TEST(Preview, ParsesToTheSamePipelineAgain) {
  std::size_t files = 0;
  for (const char* folder : {"tests/golden/diagnostics", "tests/fuzz/corpus/parse"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(RUNNER_SOURCE_DIR) / folder)) {
      const std::string text = read_file(entry.path());
      const Preview shown = preview(text, "pipeline.yml", Context{}, PreviewForm::yaml);
      if (has_errors(shown.parsed.diagnostics)) {
        EXPECT_EQ(shown.text, "");
        continue;
      }
      SCOPED_TRACE(entry.path());
      ++files;
      const std::string before = essence(text);
      EXPECT_NE(before, "");
      EXPECT_EQ(essence(shown.text), before);
      EXPECT_EQ(preview(shown.text, "again.yml", Context{}, PreviewForm::yaml).text, shown.text);
      const Parsed from_json = parse(before, "again.json");
      EXPECT_FALSE(has_errors(from_json.diagnostics)) << render(from_json.diagnostics, from_json.sources, false);
    }
  }
  EXPECT_GT(files, 5U);
}

TEST(Preview, KeepsEveryScalar) {
  for (const std::string value :
       {"'a'",         "\"a b\"",        "\"- a\"",         "\"a: b\"", "\"# a\"",    "\"a #b\"",
        "\"012\"",     "\"null\"",       "\"~\"",           "\"\"",     "\" a\"",     "\"a \"",
        "\"a\\nb\"",   "\"a\\nb\\n\"",   "\"a\\nb\\n\\n\"", "\"\\na\"", "\" a\\nb\"", "\"a\\tb\"",
        "\"\\u0001\"", "\"\\u0085\"",    "\"ä\\nö\"",       "\"'\"",    "'\"'",       "\"*a\"",
        "\"&a\"",      "\"!a\"",         "\"[a\"",          "\"{a\"",   "\"%a\"",     "\"@a\"",
        "\"`a\"",      "\"|\"",          "\">\"",           "\"?\"",    "\"? a\"",    "\"---\"",
        "\"---\\nb\"", "\"...\"",        "\"=\"",           "\"<<\"",   "\"1e3\"",    "\"0x10\"",
        "\"1:30\"",    "\"2001-01-01\"", "\"yes\"",         "\"a,b\"",  "\"a \\nb\"", "\"$A\"",
        "\"\\\\\"",    "\"a\\r\\nb\"",   "\"\\u2028\\n\"",  "\"-\"",    "\"a:\""}) {
    const std::string text = "job: {script: [x, " + value + "]}\n";
    const Parsed first = parse(text, "first.yml");
    if (has_errors(first.diagnostics)) {
      continue;
    }
    for (const PreviewForm form : {PreviewForm::yaml, PreviewForm::json}) {
      const std::string shown = preview(text, "first.yml", Context{}, form).text;
      const Parsed again = parse(shown, "again.yml");
      ASSERT_FALSE(has_errors(again.diagnostics)) << shown << render(again.diagnostics, again.sources, false);
      EXPECT_EQ(again.pipeline.jobs.at(0).script.main, first.pipeline.jobs.at(0).script.main) << shown;
    }
  }
}

}  // namespace
}  // namespace pipelines
