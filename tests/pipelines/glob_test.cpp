#include "pipelines/glob.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pipelines {
namespace {

constexpr auto doublestar = GlobDialect::doublestar;
constexpr auto fnmatch = GlobDialect::fnmatch;

struct Case {
  std::string pattern, path;
  bool expected;
};

void expect_all(const std::vector<Case>& cases, GlobDialect dialect) {
  for (const auto& [pattern, path, expected] : cases) {
    EXPECT_EQ(Glob(pattern, dialect).matches(path), expected) << pattern << " on " << path;
  }
}

TEST(Glob, BothDialectsAgree) {
  const std::vector<Case> cases = {
      {"dist", "dist", true},
      {"dist", "dist/a", false},
      {"dist/", "dist", true},
      {"./dist//x", "dist/x", true},
      {"*", "a", true},
      {"*", ".hidden", true},
      {"*", "a/b", false},
      {"*", "", false},
      {"*.c", "a.c", true},
      {"*.c", ".c", true},
      {"*.c", "a.cc", false},
      {"a*b*c", "a--b--b-c", true},
      {"a*b*c", "a--c--b", false},
      {"a**c", "abbc", true},
      {"a**c", "a/c", false},
      {"?", "a", true},
      {"?", "é", true},
      {"?", "\xFF", true},
      {"??", "é", false},
      {"a?c", "a/c", false},
      {"[a-c]x", "bx", true},
      {"[a-c]x", "dx", false},
      {"[!a-c]x", "dx", true},
      {"[^a-c]x", "ax", false},
      {"[a-]x", "-x", true},
      {"[é]x", "éx", true},
      {"[\\]]x", "]x", true},
      {"a[/]b", "a/b", false},
      {"\\*", "*", true},
      {"\\*", "a", false},
      {"{a,b}.c", "b.c", true},
      {"{a,b}.c", "c.c", false},
      {"{a,b/{c,d*}}/e", "b/dx/e", true},
      {"{a,}x", "x", true},
      {"{src,lib/**}/x", "lib/y/z/x", true},
      {"\\{a,b}", "{a,b}", true},
      {"[{]a", "{a", true},
      {"a,b", "a,b", true},
      {"**/x", "x", true},
      {"**/x", "a/b/x", true},
      {"**/*", "x", true},
      {"**/*", "a/.b/c", true},
      {"a/**/b", "a/b", true},
      {"a/**/b", "a/x/y/b", true},
      {"a/**/b", "a/x/y/c", false},
      {"a/**/**/b", "a/b", true},
      {"a/**/*", "a/x/y", true},
      {"a/**/*", "a", false},
      {"a/**/x/**/b", "a/1/x/2/x/b", true},
      {"src/**/*.{c,h}", "src/a/b.h", true},
      {"src/**/*.{c,h}", "srcs/a/b.h", false},
      // Malformed: their own text.
      {"a[b", "a[b", true},
      {"a[]b", "a[]b", true},
      {"*{a", "*{a", true},
      {"*{a", "xa", false},
      {"a\\", "a\\", true},
      {"", "", true},
      {"", "a", false},
  };
  expect_all(cases, doublestar);
  expect_all(cases, fnmatch);
}

TEST(Glob, DialectsDifferInATrailingDoubleStar) {
  expect_all({{"a/**", "a/b/c", true}, {"a/**", "a/b", true}, {"a/**", "a", true}, {"**", "a/b", true}}, doublestar);
  expect_all({{"a/**/**", "a/b/c", true},
              {"a/**/**", "a", false},
              {"a/**", "a/b/c", false},
              {"a/**", "a/b", true},
              {"a/**", "a", false},
              {"**", "a/b", false}},
             fnmatch);
}

TEST(Glob, KnowsItsFixedPrefix) {
  EXPECT_EQ(Glob("src/gen/**/*.c").fixed_prefix(), "src/gen");
  EXPECT_EQ(Glob("./src//x").fixed_prefix(), "src/x");
  EXPECT_EQ(Glob("*.c").fixed_prefix(), "");
  EXPECT_EQ(Glob("a/{b/c,d}/e").fixed_prefix(), "a");
  EXPECT_EQ(Glob("a/\\*").fixed_prefix(), "a");
  EXPECT_EQ(Glob("a/[b").fixed_prefix(), "a/[b");
  EXPECT_EQ(Glob("x/*/").text(), "x/*/");
}

TEST(Glob, TellsWhichTreesAWalkMaySkip) {
  const auto below = [](std::string_view pattern, std::string_view dir) { return Glob(pattern).may_match_below(dir); };
  EXPECT_TRUE(below("src/gen/*.c", ""));
  EXPECT_TRUE(below("src/gen/*.c", "src"));
  EXPECT_TRUE(below("src/gen/*.c", "src/gen"));
  EXPECT_FALSE(below("src/gen/*.c", "src/gen/x"));
  EXPECT_FALSE(below("src/gen/*.c", "src/other"));
  EXPECT_FALSE(below("src/gen/*.c", "sr"));
  EXPECT_FALSE(below("dist", "dist"));
  EXPECT_TRUE(below("dist/**", "dist/a/b"));
  EXPECT_TRUE(below("**/x", "a/b"));
  EXPECT_TRUE(below("*/x", "a"));
  EXPECT_FALSE(below("*/x", "a/x"));
  EXPECT_TRUE(below("{a,b/c}/d", "b"));
  EXPECT_FALSE(below("{a,b/c}/d", "c"));
  EXPECT_FALSE(below("", "a"));
}

TEST(Glob, HostilePatternsAreQuick) {
  std::string braces, stars, classes;
  for (int i = 0; i < 100; ++i) {
    braces += "{a,b}";
    stars += "*a";
    classes += "**/*a*/";
  }
  EXPECT_TRUE(Glob(braces).matches(braces));  // too many alternatives: its own text
  EXPECT_FALSE(Glob(stars + "b").matches(std::string(10'000, 'a')));
  std::string path = "x";
  for (int i = 0; i < 2'000; ++i) path += "/a";
  EXPECT_FALSE(Glob(classes + "b").matches(path));
  EXPECT_FALSE(Glob(std::string(1'000'000, '{')).matches("a"));
  for (const std::size_t size : {std::size_t{16'000}, std::size_t{1'000'000}}) {
    EXPECT_FALSE(Glob(std::string(size, '[')).matches("a"));
    EXPECT_FALSE(Glob(std::string(size, '*')).matches("a/b"));
    std::string empties;
    while (empties.size() < size) empties += "{}";
    EXPECT_FALSE(Glob(empties).matches("a"));
  }
}

// The oracle: plain recursion over pattern and path, without braces and classes.
bool naive(std::string_view pattern, std::string_view path, bool start, GlobDialect dialect) {
  if (start && pattern.substr(0, 3) == "**/") {
    if (naive(pattern.substr(3), path, true, dialect)) return true;
    const std::size_t slash = path.find('/');
    return slash != std::string_view::npos && slash > 0 && naive(pattern, path.substr(slash + 1), true, dialect);
  }
  if (start && pattern == "**" && dialect == GlobDialect::doublestar) return true;
  if (dialect == GlobDialect::doublestar && pattern == "/**" && path.empty()) return true;
  if (pattern.empty()) return path.empty();
  if (pattern[0] == '*') {
    return naive(pattern.substr(1), path, false, dialect) ||
           (!path.empty() && path[0] != '/' && naive(pattern, path.substr(1), false, dialect));
  }
  if (path.empty() || (pattern[0] == '?' ? path[0] == '/' : pattern[0] != path[0])) return false;
  return naive(pattern.substr(1), path.substr(1), pattern[0] == '/', dialect);
}

std::string random_path(std::mt19937& random, const std::vector<std::string>& parts) {
  std::string path;
  for (auto n = 1 + random() % 4; n > 0; --n) path += (path.empty() ? "" : "/") + parts[random() % parts.size()];
  return path;
}

TEST(Glob, AgreesWithANaiveOracleAndNeverPrunesAMatch) {
  std::mt19937 random(3);
  std::size_t matched = 0;
  for (int round = 0; round < 40'000; ++round) {
    const std::string pattern = random_path(random, {"a", "b", "ab", "*", "?", "a*", "*b", "**", "*a*", "?b"});
    const std::string path = random_path(random, {"a", "b", "ab", "aab", "ba"});
    for (const GlobDialect dialect : {doublestar, fnmatch}) {
      const Glob glob(pattern, dialect);
      std::string once = pattern;  // several `**` in a row are one, which the oracle does not know
      while (dialect == doublestar && once.find("**/**") != std::string::npos) once.erase(once.find("**/**"), 3);
      const bool expected = naive(once, path, true, dialect);
      ASSERT_EQ(glob.matches(path), expected) << pattern << " on " << path;
      if (!expected) continue;
      ++matched;
      ASSERT_TRUE(path.substr(0, glob.fixed_prefix().size()) == glob.fixed_prefix()) << pattern;
      ASSERT_TRUE(glob.may_match_below(""));
      for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        ASSERT_TRUE(glob.may_match_below(path.substr(0, slash))) << pattern << " below " << path.substr(0, slash);
      }
    }
  }
  EXPECT_GT(matched, 5'000U);
}

}  // namespace
}  // namespace pipelines
