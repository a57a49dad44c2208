#include "pipelines/variables.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace pipelines {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

VariableSet set_of(const Pairs& values) {
  VariableSet set;
  for (const auto& [name, value] : values) set.set(name, value, Precedence::job);
  return set;
}

std::string expanded(const Pairs& values, std::string_view name) { return set_of(values).expanded().find(name)->value; }

TEST(Variables, AStrongerOrEqualLayerReplaces) {
  VariableSet set;
  set.set("A", "job", Precedence::job);
  set.set("A", "global", Precedence::global);
  EXPECT_EQ(set.find("A")->value, "job");
  set.set("A", "job again", Precedence::job);
  EXPECT_EQ(set.find("A")->value, "job again");
  const std::vector<Precedence> layers = {Precedence::predefined, Precedence::global,  Precedence::workflow_rule,
                                          Precedence::job,        Precedence::rule,    Precedence::dotenv,
                                          Precedence::project,    Precedence::pipeline};
  for (const Precedence weaker : layers) {
    for (const Precedence stronger : layers) {
      if (weaker >= stronger) continue;
      VariableSet up, down;
      up.set("A", "weak", weaker);
      up.set("A", "strong", stronger);
      down.set("A", "strong", stronger);
      down.set("A", "weak", weaker);
      EXPECT_EQ(up.find("A")->value, "strong");
      EXPECT_EQ(down.find("A")->value, "strong");
    }
  }
  EXPECT_EQ(set.find("B"), nullptr);
}

TEST(Variables, ReplacesEveryFormOfReference) {
  const Pairs values = {{"v", "x"}, {"_a1", "y"}, {"empty", ""}};
  const auto in = [&](const std::string& text) {
    Pairs all = values;
    all.emplace_back("T", text);
    return expanded(all, "T");
  };
  EXPECT_EQ(in("$v ${v} %v%"), "x x x");
  EXPECT_EQ(in("a$v.b${v}c%v%d"), "ax.bxcxd");
  EXPECT_EQ(in("$_a1$v"), "yx");
  EXPECT_EQ(in("[$empty]"), "[]");
  EXPECT_EQ(in("$$v $$$v"), "$v $x");
  EXPECT_EQ(in("%%v% 100% %v"), "%%v% 100% %v");
  EXPECT_EQ(in("cost: 5$"), "cost: 5$");
}

// gitlab-runner's part: common/spec/variables.go, os.Expand.
TEST(Variables, WhatNobodyKnowsBecomesEmpty) {
  const auto in = [](const std::string& text) { return expanded({{"v", "x"}, {"T", text}}, "T"); };
  EXPECT_EQ(in("$unknown"), "");
  EXPECT_EQ(in("mr-$unknown-${unknown}"), "mr--");
  EXPECT_EQ(in("%unknown% %H%M%S"), "%unknown% %H%M%S");  // GitLab leaves it, the runner knows no such form
  EXPECT_EQ(in("$1 $? $@ $# ${1} $"), "     $");
  EXPECT_EQ(in("a${}b${v"), "abv");
  EXPECT_EQ(in("${v:-default}|$(v)"), "|$(v)");
  EXPECT_EQ(in("$$unknown $${v} $$1"), "$unknown ${v} $1");
  EXPECT_EQ(expanded({{"A", "<$unknown>"}, {"B", "[$A]"}}, "B"), "[<>]");
}

TEST(Variables, ExpandExistingLeavesWhatIsUnknown) {
  const VariableSet set = set_of({{"v", "x"}, {"nested", "$v"}});
  const auto in = [&](std::string_view text) {
    return expand_existing(text, [&](std::string_view name) -> std::optional<std::string> {
      const VariableSet::Entry* entry = set.find(name);
      return entry ? std::optional(entry->value) : std::nullopt;
    });
  };
  EXPECT_EQ(in("$v/${v}/%v%"), "x/x/x");
  EXPECT_EQ(in("$nested"), "$v");
  EXPECT_EQ(in("$unknown/${unknown}/%unknown%"), "$unknown/${unknown}/%unknown%");
  EXPECT_EQ(in("$1 $? ${v:-d} ${v $$ 5$ 100%"), "$1 $? ${v:-d} ${v $$ 5$ 100%");
  EXPECT_EQ(in("$$v"), "$x");
}

TEST(Variables, ManyUnclosedBracesTakeNoTime) {
  std::string value;
  for (int i = 0; i < 300'000; ++i) value += "${";
  EXPECT_EQ(expanded({{"A", value}}, "A"), "");
}

TEST(Variables, ExpandsNestedOnesWhateverTheirOrder) {
  EXPECT_EQ(expanded({{"A", "$B/a"}, {"B", "$C/b"}, {"C", "c"}}, "A"), "c/b/a");
  EXPECT_EQ(expanded({{"C", "$B/a"}, {"B", "$A/b"}, {"A", "c"}}, "C"), "c/b/a");
  // What has been expanded is text: it is not searched again.
  EXPECT_EQ(expanded({{"A", "$$B"}, {"B", "b"}, {"C", "[$A]"}}, "C"), "[$B]");
  EXPECT_EQ(expanded({{"A", "$"}, {"B", "b"}, {"C", "${A}B"}}, "C"), "$B");
}

TEST(Variables, CyclesStayAsWritten) {
  EXPECT_EQ(expanded({{"A", "$B"}, {"B", "$A"}}, "A"), "$B");
  EXPECT_EQ(expanded({{"A", "$B"}, {"B", "$A"}}, "B"), "$A");
  EXPECT_EQ(expanded({{"A", "$A:/x"}}, "A"), "$A:/x");
  EXPECT_EQ(expanded({{"A", "$B$D"}, {"B", "$C"}, {"C", "$A"}, {"D", "d"}}, "A"), "$Bd");
  EXPECT_EQ(expanded({{"A", "$B"}, {"B", "$A"}, {"C", "<$A>"}}, "C"), "<$B>");
}

TEST(Variables, LiteralOnesAndFilesAreLeftAlone) {
  VariableSet set;
  set.set("A", "a", Precedence::job);
  set.set("RAW", "$A", Precedence::job, false);
  set.set("FILE", "$A content", Precedence::job, true, false, true);
  set.set("USES", "$RAW $FILE", Precedence::job);
  set.put_files_at("/dir/file.");
  const VariableSet result = set.expanded();
  EXPECT_EQ(result.find("RAW")->value, "$A");
  EXPECT_EQ(result.find("FILE")->value, "$A content");
  EXPECT_EQ(result.find("USES")->value, "$A /dir/file.FILE");
  EXPECT_FALSE(result.find("USES")->expand);
  EXPECT_TRUE(result.find("FILE")->file);
  EXPECT_EQ(result.expanded().find("USES")->value, "$A /dir/file.FILE");
  EXPECT_EQ(result.expand("${FILE}.bak"), "/dir/file.FILE.bak");
}

// GitLab's server has no file: expand_file_refs.
TEST(Variables, AFileIsItsContentWhereNoJobIs) {
  VariableSet set;
  set.set("FILE", "$A content", Precedence::job, true, false, true);
  set.set("USES", "<$FILE>", Precedence::job);
  EXPECT_EQ(set.expanded().find("USES")->value, "<$A content>");
  EXPECT_EQ(set.expanded().expand("$FILE"), "$A content");
}

TEST(Variables, GrowthIsBounded) {
  Pairs values = {{"V0", std::string(100, 'x')}};
  for (int i = 1; i < 100; ++i) {
    std::string value;
    for (int n = 0; n < 10; ++n) value += "$V" + std::to_string(i - 1);
    values.emplace_back("V" + std::to_string(i), value);
  }
  std::size_t total = 0;
  const VariableSet result = set_of(values).expanded();
  for (const auto& [name, entry] : result.entries()) {
    EXPECT_LE(entry.value.size(), std::size_t{1} << 20U) << name;
    total += entry.value.size();
  }
  EXPECT_LE(total, std::size_t{17} << 20U);
}

TEST(Variables, LongChainsNeedNoStack) {
  Pairs values;
  for (int i = 0; i < 100'000; ++i) values.emplace_back("V" + std::to_string(i), "$V" + std::to_string(i + 1));
  values.emplace_back("V100000", "end");
  const VariableSet result = set_of(values).expanded();
  EXPECT_EQ(result.find("V0")->value, "end");
  values.back().second = "$V0";
  EXPECT_EQ(set_of(values).expanded().find("V7")->value, "$V8");
}

// A naive oracle for sets without cycles: replaces until nothing is left to replace.
TEST(Variables, AgreesWithSubstitutionOneByOne) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const std::size_t count = 2 + random() % 8;
    std::vector<std::string> naive(count);
    Pairs values(count);
    for (std::size_t i = 0; i < count; ++i) {  // V_i refers to earlier ones only
      std::string written, meant;
      for (auto n = random() % 4; n > 0; --n) {
        const std::size_t other = random() % count;
        const std::string name = "V" + std::to_string(other);
        const bool known = other < i;
        const std::string reference = random() % 2 == 0 ? "${" + name + "}" : "%" + name + "%";
        written += known ? reference : "-";
        meant += known ? naive[other] : "-";
      }
      written += "$$";
      meant += "$";
      naive[i] = meant;
      values[i] = {"V" + std::to_string(i), written};
    }
    const VariableSet result = set_of(values).expanded();
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(result.find(values[i].first)->value, naive[i]);
  }
}

TEST(Variables, ExpandIsGosOsExpand) {
  const VariableSet set = set_of({{"v", "x"}, {"v1", "y"}, {"raw", "$v"}});
  EXPECT_EQ(set.expand("$v/${v1}"), "x/y");
  EXPECT_EQ(set.expand("$v1-$v_"), "y-");
  EXPECT_EQ(set.expand("image:$unknown"), "image:");
  EXPECT_EQ(set.expand("image:${unknown}!"), "image:!");
  EXPECT_EQ(set.expand("$raw"), "$v");
  EXPECT_EQ(set.expand("$$v"), "$v");
  EXPECT_EQ(set.expand("%v%"), "%v%");
  EXPECT_EQ(set.expand("$1a $* $?"), "a  ");
  EXPECT_EQ(set.expand("$ $/ 5$"), "$ $/ 5$");
  EXPECT_EQ(set.expand("a${}b${v"), "abv");
  EXPECT_EQ(set.expand("no references"), "no references");
}

TEST(Dotenv, ReadsKeysAndValues) {
  const Dotenv dotenv = parse_dotenv(
      "\xEF\xBB\xBF"
      "A=1\n# comment\n\n  B = two words \r\nQUOTED=\"a b\"\nSINGLE='c'\nHALF=\"x\nEMPTY=\nEQUALS=a=b#c\n"
      "REF=$A\nA=2",
      5120);
  const Pairs expected = {{"A", "1"},    {"B", "two words"},  {"QUOTED", "a b"}, {"SINGLE", "c"}, {"HALF", "\"x"},
                          {"EMPTY", ""}, {"EQUALS", "a=b#c"}, {"REF", "$A"},     {"A", "2"}};
  EXPECT_EQ(dotenv.variables, expected);
  EXPECT_TRUE(dotenv.warnings.empty());
}

TEST(Dotenv, WarnsOfWhatItCannotRead) {
  const Dotenv dotenv = parse_dotenv(std::string_view("A=1\nnonsense\n=x\nA-B=y\nC=\0\nD=4\n", 30), 5120);
  EXPECT_EQ(dotenv.variables, (Pairs{{"A", "1"}, {"D", "4"}}));
  EXPECT_EQ(dotenv.warnings,
            (std::vector<std::string>{
                "line 2: not of the form KEY=value", "line 3: the key may hold only letters, digits and '_'",
                "line 4: the key may hold only letters, digits and '_'", "line 5: the value holds a NUL byte"}));
}

TEST(Dotenv, ReadsWholeLinesUpToItsLimit) {
  const Dotenv dotenv = parse_dotenv("A=1\nB=2\nC=3\n", 9);
  EXPECT_EQ(dotenv.variables, (Pairs{{"A", "1"}, {"B", "2"}}));
  EXPECT_EQ(dotenv.warnings, std::vector<std::string>{"only the first 9 of 12 bytes are read"});
  EXPECT_EQ(parse_dotenv("A=1\nB=2", 7).variables.size(), 2U);
  EXPECT_TRUE(parse_dotenv(std::string(100, 'x'), 10).variables.empty());
}

TEST(Slug, IsGitLabs) {
  EXPECT_EQ(slug("main"), "main");
  EXPECT_EQ(slug("Feature/ABC_123"), "feature-abc-123");
  EXPECT_EQ(slug("-x-"), "x");
  EXPECT_EQ(slug("é/x"), "x");
  EXPECT_EQ(slug("aéb"), "a-b");
  EXPECT_EQ(slug("---"), "");
  EXPECT_EQ(slug(std::string(80, 'a')), std::string(63, 'a'));
  EXPECT_EQ(slug(std::string(62, 'a') + "/b"), std::string(62, 'a'));
  EXPECT_EQ(slug("abcdef", 3), "abc");
}

}  // namespace
}  // namespace pipelines
