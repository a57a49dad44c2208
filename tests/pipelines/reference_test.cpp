// `!reference`, from docs.gitlab.com/ee/ci/yaml/yaml_optimization ("!reference tags").
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "pipelines/parse.h"

namespace pipelines {
namespace {

using Strings = std::vector<std::string>;

Pipeline read(std::string_view text) {
  const Parsed parsed = parse(text, "pipeline.yml");
  EXPECT_EQ(render(parsed.diagnostics, parsed.sources, false), "");
  return parsed.pipeline;
}

std::string said(std::string_view text) {
  std::string all;
  for (const Diagnostic& d : parse(text, "pipeline.yml").diagnostics) {
    all += std::to_string(d.mark.line) + ":" + std::to_string(d.mark.column) + ": " + d.message +
           (d.hint.empty() ? "" : " | " + d.hint) + "\n";
  }
  return all;
}

TEST(Reference, ScriptsAreFlattened) {
  const Pipeline pipeline = read(
      ".setup:\n  script:\n    - echo creating environment\n"
      ".teardown:\n  after_script:\n    - echo deleting environment\n"
      "test:\n  before_script: [!reference [.setup, script], more]\n"
      "  script:\n    - !reference [.setup, script]\n    - echo running my own command\n"
      "  after_script:\n    - !reference [.teardown, after_script]\n");
  const Script& script = pipeline.jobs.at(0).script;
  EXPECT_EQ(script.before, (Strings{"echo creating environment", "more"}));
  EXPECT_EQ(script.main, (Strings{"echo creating environment", "echo running my own command"}));
  EXPECT_EQ(script.after, Strings{"echo deleting environment"});
}

TEST(Reference, OneVariableAndAllOfThem) {
  const Pipeline pipeline = read(
      ".vars:\n  variables:\n    URL: http://my-url.internal\n    IMPORTANT_VAR: the details\n"
      "one:\n  variables:\n    MY_URL: !reference [.vars, variables, URL]\n  script: [x]\n"
      "all:\n  variables: !reference [.vars, variables]\n  script: [x]\n");
  EXPECT_EQ(pipeline.jobs.at(0).variables.at(0).value, "http://my-url.internal");
  EXPECT_EQ(pipeline.jobs.at(1).variables.size(), 2U);
}

TEST(Reference, RulesAreFlattened) {
  const Pipeline pipeline = read(
      ".rules:\n  rules:\n    - if: $A\n    - if: $B\n"
      "job:\n  script: x\n  rules:\n    - !reference [.rules, rules]\n    - when: never\n"
      "other:\n  script: x\n  rules: !reference [.rules, rules]\n");
  EXPECT_EQ(pipeline.jobs.at(0).rules->size(), 3U);
  EXPECT_EQ(pipeline.jobs.at(1).rules->size(), 2U);
}

TEST(Reference, GlobalKeywordsAndWholeJobs) {
  const Pipeline pipeline = read(
      ".a:\n  image: alpine\n  stages: [one, two]\n  script: x\n  stage: two\n"
      "stages: !reference [.a, stages]\n"
      "default:\n  image: !reference [.a, image]\n"
      "workflow:\n  rules: [!reference [.w, rules]]\n.w: {rules: [{if: $A}]}\n"
      "job:\n  stage: one\n  script: x\n"
      "whole: !reference [.b]\n.b: {script: b, stage: one}\n");
  EXPECT_EQ(pipeline.stages, (Strings{".pre", "one", "two", ".post"}));
  EXPECT_EQ(pipeline.jobs.at(0).image->name, "alpine");
  EXPECT_EQ(pipeline.jobs.at(1).script.main, Strings{"b"});
  EXPECT_EQ(pipeline.workflow.rules->size(), 1U);
}

TEST(Reference, ComesAfterExtends) {
  const Pipeline pipeline = read(
      ".base:\n  script: [base]\n  variables: {A: a}\n"
      ".derived:\n  extends: .base\n  variables: {B: b}\n"
      "job:\n  extends: .shared\n  script: !reference [.derived, script]\n"
      ".shared:\n  variables: !reference [.derived, variables]\n");
  EXPECT_EQ(pipeline.jobs.at(0).script.main, Strings{"base"});
  EXPECT_EQ(pipeline.jobs.at(0).variables.size(), 2U);
}

TEST(Reference, OfReferencesToTenLevels) {
  std::string text = ".l1: {script: [deepest]}\n";
  for (int level = 2; level <= 10; ++level) {
    text += ".l" + std::to_string(level) + ": {script: [!reference [.l" + std::to_string(level - 1) + ", script]]}\n";
  }
  EXPECT_EQ(read(text + "job: {script: !reference [.l10, script]}\n").jobs.at(0).script.main, Strings{"deepest"});
  EXPECT_EQ(said(text + "job: {script: [!reference [.l10, script]]}\n"),
            "1:15: `script` is nested too deeply: at most 10 lists in each other\n");
}

TEST(Reference, CirclesAreNamedInFull) {
  EXPECT_EQ(said(".a: {script: [!reference [.b, script]]}\n.b: {script: [!reference [.c, script]]}\n"
                 ".c: {script: [!reference [.a, script]]}\njob: {script: [!reference [.a, script], x]}\n"),
            "1:15: `!reference` goes in a circle: [.b, script] -> [.c, script] -> [.a, script] -> [.b, script] | "
            "take one of them out of the circle\n");
  EXPECT_EQ(said("job: {script: [!reference [job, script]]}\n"),
            "1:16: `!reference` goes in a circle: [job, script] -> [job, script] | "
            "take one of them out of the circle\n");
}

TEST(Reference, WhatItDoesNotFind) {
  EXPECT_EQ(said(".setup: {script: [x], n: }\n"
                 "a: {script: !reference [.setpu, script]}\n"
                 "b: {script: !reference [.setup, scirpt]}\n"
                 "c: {script: !reference [.setup, script, x]}\n"
                 "d: {script: !reference [.setup, n]}\n"
                 "e: {script: !reference []}\n"
                 "f: {script: !reference [.setup, 1]}\n"
                 ".hidden: {anything: [!reference [nowhere]]}\n"),
            "2:25: `!reference [.setpu, script]` finds nothing: there is no \".setpu\" | did you mean \".setup\"?\n"
            "3:33: `!reference [.setup, scirpt]` finds nothing: \".setup\" has no \"scirpt\" | "
            "did you mean \"script\"?\n"
            "4:41: `!reference [.setup, script, x]` finds nothing: \"script\" is a list\n"
            "5:33: `!reference [.setup, n]` finds nothing: \"n\" is empty\n"
            "6:13: `!reference` is empty | for example `!reference [.job, script]`\n"
            "7:33: item 2 of `!reference` must be a name, not a number | for example `!reference [.job, script]`\n"
            "8:34: `!reference [nowhere]` finds nothing: there is no \"nowhere\"\n");
}

TEST(Reference, StandsBeforeAList) {
  EXPECT_EQ(said("job: {script: !reference x}\n"),
            "1:15: `!reference` must stand before a list of names | for example `!reference [.job, script]`\n");
  EXPECT_EQ(said("job: {script: !refrence [x]}\n"),
            "1:15: unknown tag `!refrence` | quote a value that begins with `!`\n");
}

TEST(Reference, ABombIsRefusedAtOnce) {
  std::string text = ".l0: {s: [x, x, x, x, x, x, x, x, x, x]}\n";
  for (int level = 1; level <= 12; ++level) {
    const std::string below = "!reference [.l" + std::to_string(level - 1) + ", s]";
    text += ".l" + std::to_string(level) + ": {s: [" + below;
    for (int i = 1; i < 10; ++i) {
      text += ", " + below;
    }
    text += "]}\n";
  }
  std::string chain;
  for (int i = 0; i < 20'000; ++i) {
    chain += ".c" + std::to_string(i) + ": !reference [.c" + std::to_string(i + 1) + "]\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(said(text + "job: {script: x}\n").find("of this file expand to far too much"), std::string::npos);
  EXPECT_NE(said(chain + "job: {script: x}\n").find("goes through too many others"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

}  // namespace
}  // namespace pipelines
