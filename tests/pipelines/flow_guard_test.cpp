#include "pipelines/flow_guard.h"

#include <gtest/gtest.h>

#include <string>

namespace pipelines {
namespace {

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) {
    out += text;
  }
  return out;
}

FlowGuard::Verdict verdict(const std::string& text) { return FlowGuard().read(text); }

TEST(FlowGuard, CountsOpenBrackets) {
  EXPECT_EQ(verdict(repeat("[", 10'001)), FlowGuard::Verdict::too_deep);
  EXPECT_EQ(verdict(repeat("{", 10'001)), FlowGuard::Verdict::too_deep);
  EXPECT_EQ(verdict(repeat("[", 10'000)), FlowGuard::Verdict::good);
  EXPECT_EQ(verdict(repeat("[]", 100'000)), FlowGuard::Verdict::good);
}

TEST(FlowGuard, BracketsInStringsAndCommentsDoNotNest) {
  EXPECT_EQ(verdict("{" + repeat(R"("a": "\u001b[31m \" [", )", 20'000)), FlowGuard::Verdict::good);
  EXPECT_EQ(verdict("{" + repeat(R"("a":"[",)", 20'000)), FlowGuard::Verdict::good) << "minified JSON";
  EXPECT_EQ(verdict("[" + repeat("'[', ", 20'000)), FlowGuard::Verdict::good);
  EXPECT_EQ(verdict("[" + repeat("a, # [\n", 20'000)), FlowGuard::Verdict::good);
}

TEST(FlowGuard, WhatIsNoStringHidesNothing) {
  const std::string brackets = repeat("[", 10'001);
  EXPECT_EQ(verdict("[don't " + brackets), FlowGuard::Verdict::too_deep);
  EXPECT_EQ(verdict("[a:\"b " + brackets), FlowGuard::Verdict::too_deep);
  EXPECT_EQ(verdict("[ # \"\n" + brackets), FlowGuard::Verdict::too_deep);
  EXPECT_EQ(verdict("[\"\\\"\", " + brackets), FlowGuard::Verdict::too_deep);
}

TEST(FlowGuard, CountsValuesWhereverTheyStand) {
  EXPECT_EQ(verdict(repeat(",", 1'500'001)), FlowGuard::Verdict::too_many);
  EXPECT_EQ(verdict("[\"" + repeat(",", 1'500'001)), FlowGuard::Verdict::too_many);
}

TEST(FlowGuard, AnEventStartsAnew) {
  FlowGuard guard;
  guard.read("[\"" + repeat("[", 9'000));
  guard.restart();
  EXPECT_EQ(guard.read(repeat("[", 9'000)), FlowGuard::Verdict::good);
  EXPECT_EQ(guard.read(repeat("[", 2'000)), FlowGuard::Verdict::too_deep) << "chunks add up";
}

}  // namespace
}  // namespace pipelines
