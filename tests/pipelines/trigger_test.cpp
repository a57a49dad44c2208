// `trigger`, as it is read; what it does is in tests/e2e/language_test.cpp and tests/corpus/trigger.
#include <gtest/gtest.h>

#include "pipelines/parse.h"

namespace pipelines {
namespace {

// The errors' messages, one a line.
std::string said(const std::string& yaml) {
  std::string messages;
  for (const Diagnostic& diagnostic : parse(yaml, "pipeline.yml").diagnostics) messages += diagnostic.message + '\n';
  return messages;
}

Downstream read(const std::string& value) {
  const Parsed parsed = parse("job: {trigger: " + value + "}\n", "pipeline.yml");
  EXPECT_FALSE(has_errors(parsed.diagnostics)) << render(parsed.diagnostics, parsed.sources, false);
  return parsed.pipeline.jobs.at(0).trigger.value_or(Downstream{});
}

TEST(Trigger, IncludeIsKeptAsATextThatSaysTheSame) {
  EXPECT_EQ(read("{include: ci/child.yml}").config, "include: \"ci/child.yml\"\n");
  EXPECT_EQ(read("{include: [{local: 'a \"b\".yml', inputs: {n: 3, on: true, s: '3', none: null}}]}").config,
            "include: [{\"local\": \"a \\\"b\\\".yml\", \"inputs\": {\"n\": 3, \"on\": true, \"s\": \"3\", "
            "\"none\": null}}]\n");
}

TEST(Trigger, StrategyAndForward) {
  EXPECT_EQ(read("{include: a.yml}").strategy, Downstream::Strategy::none);
  EXPECT_EQ(read("{include: a.yml, strategy: depend}").strategy, Downstream::Strategy::depend);
  EXPECT_EQ(read("{include: a.yml, strategy: mirror}").strategy, Downstream::Strategy::mirror);
  EXPECT_TRUE(read("{include: a.yml}").yaml_variables);
  EXPECT_FALSE(read("{include: a.yml}").pipeline_variables);
  const Downstream forward = read("{include: a.yml, forward: {yaml_variables: false, pipeline_variables: true}}");
  EXPECT_FALSE(forward.yaml_variables);
  EXPECT_TRUE(forward.pipeline_variables);
}

TEST(Trigger, Project) {
  EXPECT_EQ(read("group/other").project, "group/other");
  EXPECT_EQ(read("{project: group/other, branch: main}").branch, "main");
}

TEST(Trigger, InputsBesideIncludeAreThoseOfEveryFile) {
  EXPECT_EQ(read("{include: a.yml, inputs: {n: 3, s: '3'}}").config,
            "include: [{\"local\": \"a.yml\", \"inputs\": {\"n\": 3, \"s\": \"3\"}}]\n");
  EXPECT_EQ(read("{inputs: {n: 3}, include: [{artifact: b.yml, job: make}, a.yml]}").config,
            "include: [{\"artifact\": \"b.yml\", \"job\": \"make\", \"inputs\": {\"n\": 3}}, {\"local\": \"a.yml\", "
            "\"inputs\": {\"n\": 3}}]\n");
  EXPECT_EQ(said("job: {trigger: {include: [{local: a.yml, inputs: {n: 1}}], inputs: {n: 3}}}\n"),
            "`trigger` has `inputs` both beside `include` and in it\n");
}

TEST(Trigger, WhatIsWrongIsSaidOnce) {
  EXPECT_EQ(said("job: {trigger: {project: a, include: b}}\n"), "`trigger` has both `include` and `project`\n");
  EXPECT_EQ(said("job: {trigger: {strategy: depend}}\n"), "`trigger` needs `include` or `project`\n");
  EXPECT_EQ(said("job: {trigger: {include: a.yml, branch: main}}\n"),
            "`trigger` has `branch`, which goes with `project` only\n");
  EXPECT_EQ(said("job: {trigger: {include: a.yml}, script: x}\n"),
            "job \"job\" has `trigger` and `script`, which exclude each other\n");
}

}  // namespace
}  // namespace pipelines
