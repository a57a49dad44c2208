// `runner preview`: the text it prints is the same pipeline.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

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
