#include "runner/run/source_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "runner/run/feature_flags.h"

namespace runner {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

pipelines::VariableSet variables(const std::vector<std::pair<std::string, std::string>>& values) {
  pipelines::VariableSet set;
  for (const auto& [name, value] : values) {
    set.set(name, value, pipelines::Precedence::job, /*expand=*/false);
  }
  return set;
}

TEST(SourceChoice, WithoutVariablesIsGitLabsDefault) {
  VariableFindings findings;
  const ChosenSources chosen = chosen_sources(variables({}), findings);
  EXPECT_TRUE(chosen.any);
  EXPECT_EQ(to_text(chosen.choice), to_text(SourceChoice{}));
  EXPECT_THAT(findings.warnings, IsEmpty());
}

TEST(SourceChoice, EachVariableHasItsPart) {
  VariableFindings findings;
  const ChosenSources chosen = chosen_sources(variables({{"GIT_SUBMODULE_STRATEGY", "recursive"},
                                                         {"GIT_SUBMODULE_PATHS", "a  :(exclude)b"},
                                                         {"GIT_DEPTH", "20"},
                                                         {"GIT_CHECKOUT", "false"},
                                                         {"GIT_LFS_SKIP_SMUDGE", "1"}}),
                                              findings);
  EXPECT_EQ(chosen.choice.submodules, Submodules::recursive);
  EXPECT_THAT(chosen.choice.submodule_paths, ElementsAre("a", ":(exclude)b"));
  EXPECT_EQ(chosen.choice.depth, 20U);
  EXPECT_EQ(chosen.choice.submodule_depth, 20U) << "GIT_DEPTH is its default";
  EXPECT_FALSE(chosen.choice.checkout);
  EXPECT_FALSE(chosen.choice.lfs);
  EXPECT_THAT(findings.warnings, IsEmpty());
}

TEST(SourceChoice, WithoutSourcesThereAreNoSubmodules) {
  VariableFindings findings;
  EXPECT_FALSE(chosen_sources(variables({{"GIT_STRATEGY", "empty"}, {"GIT_SUBMODULE_STRATEGY", "x"}}), findings).any);
  EXPECT_EQ(findings.refused, "");
}

TEST(SourceChoice, AnUnknownSubmoduleStrategyFailsTheJob) {
  VariableFindings findings;
  chosen_sources(variables({{"GIT_SUBMODULE_STRATEGY", "all"}}), findings);
  EXPECT_EQ(findings.refused, "GIT_SUBMODULE_STRATEGY is none, normal or recursive, not all");
}

TEST(SourceChoice, WhatIsNoNumberOrFlagIsTold) {
  VariableFindings findings;
  chosen_sources(variables({{"GIT_DEPTH", "deep"}, {"GIT_CHECKOUT", "perhaps"}}), findings);
  EXPECT_THAT(findings.warnings, ElementsAre("GIT_CHECKOUT is true or false, not perhaps; true is taken",
                                             "GIT_DEPTH is a number of commits, not deep; the whole history is taken"));
}

TEST(Attempts, AreFromOneToTen) {
  VariableFindings findings;
  const Attempts found = attempts(variables({{"GET_SOURCES_ATTEMPTS", "3"},
                                             {"ARTIFACT_DOWNLOAD_ATTEMPTS", "0"},
                                             {"RESTORE_CACHE_ATTEMPTS", "11"},
                                             {"EXECUTOR_JOB_SECTION_ATTEMPTS", "many"}}),
                                  findings);
  EXPECT_EQ(found.get_sources, 3U);
  EXPECT_EQ(found.artifact_download, 1U);
  EXPECT_EQ(found.restore_cache, 10U);
  EXPECT_EQ(found.job_section, 1U);
  EXPECT_THAT(findings.warnings,
              ElementsAre("ARTIFACT_DOWNLOAD_ATTEMPTS is from 1 to 10, not 0; 1 is taken",
                          "RESTORE_CACHE_ATTEMPTS is from 1 to 10, not 11; 10 is taken",
                          "EXECUTOR_JOB_SECTION_ATTEMPTS is a number from 1 to 10, not many; 1 is taken"));
}

TEST(FeatureFlags, AreAllThereAndTrueOrFalse) {
  pipelines::VariableSet set = variables({{"FF_SCRIPT_SECTIONS", "1"}, {"FF_NETWORK_PER_BUILD", "maybe"}});
  add_feature_flags(set);
  std::vector<std::string> warnings;
  settle_feature_flags(set, warnings);
  EXPECT_EQ(set.find("FF_SCRIPT_SECTIONS")->value, "true");
  EXPECT_EQ(set.find("FF_NETWORK_PER_BUILD")->value, "false");
  EXPECT_EQ(set.find("FF_TIMESTAMPS")->value, "true");
  EXPECT_THAT(warnings, ElementsAre("FF_NETWORK_PER_BUILD is true or false, not maybe; false is taken"));
}

}  // namespace
}  // namespace runner
