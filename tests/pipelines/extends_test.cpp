#include <gtest/gtest.h>

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

std::string variables(const Job& job) {
  std::string all;
  for (const Variable& variable : job.variables) {
    all += variable.name + "=" + variable.value + " ";
  }
  return all;
}

TEST(Extends, MappingsMergeKeyByKey) {
  const Job job = read(
                      ".base: {variables: {A: 1, B: 2}, artifacts: {paths: [a], when: always}}\n"
                      "job: {extends: .base, script: x, variables: {B: 3, C: 4}, artifacts: {paths: [b]}}\n")
                      .jobs.at(0);
  EXPECT_EQ(variables(job), "A=1 B=3 C=4 ");
  EXPECT_EQ(job.artifacts.paths, Strings{"b"}) << "lists are replaced";
  EXPECT_EQ(job.artifacts.when, ArtifactsWhen::always);
}

TEST(Extends, OfSeveralBasesTheLaterWinsAndTheJobLast) {
  const Pipeline pipeline = read(
      ".a: {script: a, image: a, tags: [a], variables: {X: a, Y: a}}\n"
      ".b: {script: b, image: b, variables: {X: b}}\n"
      "job: {extends: [.a, .b], script: job}\nother: {extends: [.b, .a]}\n");
  const Job& job = pipeline.jobs.at(0);
  EXPECT_EQ(job.script.main, Strings{"job"});
  EXPECT_EQ(job.image->name, "b");
  EXPECT_EQ(job.tags, Strings{"a"});
  EXPECT_EQ(variables(job), "X=b Y=a ");
  EXPECT_EQ(pipeline.jobs.at(1).image->name, "a");
}

TEST(Extends, NullDropsAKeyAndAnEmptyMappingDoesNot) {
  const Pipeline pipeline = read(
      ".base: {script: x, image: a, variables: {A: 1}}\n"
      "dropped: {extends: .base, image: , variables: ~}\n"
      "kept: {extends: .base, variables: {}}\n");
  EXPECT_FALSE(pipeline.jobs.at(0).image);
  EXPECT_EQ(variables(pipeline.jobs.at(0)), "");
  EXPECT_EQ(variables(pipeline.jobs.at(1)), "A=1 ");
}

TEST(Extends, ComesBeforeDefault) {
  const Pipeline pipeline =
      read("default: {image: default, tags: [d]}\n.base: {image: base}\njob: {extends: .base, script: x}\n");
  EXPECT_EQ(pipeline.jobs.at(0).image->name, "base");
  EXPECT_EQ(pipeline.jobs.at(0).tags, Strings{"d"});
}

TEST(Extends, ReachesVisibleJobsAndThroughLevels) {
  const Pipeline pipeline = read(
      "one: {script: x, variables: {A: 1}}\ntwo: {extends: one, variables: {B: 2}}\n"
      "three: {extends: two, variables: {C: 3}}\n");
  EXPECT_EQ(variables(pipeline.jobs.at(2)), "A=1 B=2 C=3 ");
  EXPECT_EQ(variables(pipeline.jobs.at(0)), "A=1 ") << "a base is not changed";
}

TEST(Extends, ScalarsAndMappingsReplaceEachOther) {
  EXPECT_EQ(
      read(".b: {image: {name: a, entrypoint: [x]}}\njob: {extends: .b, script: x, image: c}\n").jobs.at(0).image->name,
      "c");
  EXPECT_EQ(read(".b: {image: c}\njob: {extends: .b, script: x, image: {name: a}}\n").jobs.at(0).image->name, "a");
}

TEST(Extends, MergesBigMappings) {
  std::string text = ".base:\n  script: x\n  variables:\n";
  for (int i = 0; i < 100; ++i) {
    text += "    V" + std::to_string(i) + ": base\n";
  }
  const Pipeline pipeline = read(text + "job: {extends: .base, variables: {V50: job, NEW: job}}\n");
  const Variables& all = pipeline.jobs.at(0).variables;
  ASSERT_EQ(all.size(), 101U);
  EXPECT_EQ(all[50].value, "job");
  EXPECT_EQ(all[49].value, "base");
  EXPECT_EQ(all[100].name, "NEW");
}

TEST(Extends, ElevenLevelsAreAllowed) {
  std::string text = ".l0: {script: x}\n";
  for (int i = 1; i <= 10; ++i) {
    text += ".l" + std::to_string(i) + ": {extends: .l" + std::to_string(i - 1) + "}\n";
  }
  EXPECT_EQ(read(text + "job: {extends: .l10}\n").jobs.at(0).script.main, Strings{"x"});
}

TEST(Extends, AWideFanCostsNoMoreThanItsEdges) {
  std::string text = ".l0: {script: x}\n";
  for (int i = 1; i <= 10; ++i) {
    const std::string base = ".l" + std::to_string(i - 1);
    text += ".l" + std::to_string(i) + ": {extends: [" + base;
    for (int j = 0; j < 50; ++j) {
      text += ", " + base;
    }
    text += "]}\n";
  }
  EXPECT_EQ(read(text + "job: {extends: .l10}\n").jobs.at(0).script.main, Strings{"x"});
}

}  // namespace
}  // namespace pipelines
