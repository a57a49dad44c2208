// Moa expressions: the statements of docs.gitlab.com/ci/functions/moa.
#include "pipelines/moa.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <variant>

namespace pipelines {
namespace {

MoaValue object(std::vector<std::pair<std::string, MoaValue>> entries) {
  MoaValue value;
  value.type = MoaValue::Type::object;
  for (auto& [key, item] : entries) {
    value.keys.push_back(key);
    value.items.push_back(std::move(item));
  }
  return value;
}

std::optional<MoaValue> look_up(std::string_view name) {
  if (name != "inputs") return std::nullopt;
  MoaValue list;
  list.type = MoaValue::Type::list;
  list.items = {MoaValue::of(std::string("a")), MoaValue::of(2.0)};
  return object({{"name", MoaValue::of(std::string("runner"))},
                 {"n", MoaValue::of(3.0)},
                 {"off", MoaValue::of(false)},
                 {"empty", MoaValue::of(std::string())},
                 {"a-b", MoaValue::of(std::string("dashed"))},
                 {"list", list}});
}

std::string said(std::string_view text) {
  const auto result = interpolate(text, look_up);
  if (const auto* error = std::get_if<MoaError>(&result)) {
    return std::to_string(error->offset) + ": " + error->message + (error->hint.empty() ? "" : " | " + error->hint);
  }
  return std::get<MoaValue>(result).str();
}

std::string value(std::string_view expression) { return said("${{ " + std::string(expression) + " }}"); }

TEST(Moa, Literals) {
  EXPECT_EQ(value("null"), "<null>");
  EXPECT_EQ(value("true"), "true");
  EXPECT_EQ(value("42"), "42");
  EXPECT_EQ(value("1.5e3"), "1500");
  EXPECT_EQ(value("2E-4"), "0.0002");
  EXPECT_EQ(value(R"("Hello\n\"World\" ä \u00e4")"), "Hello\n\"World\" ä ä");
  EXPECT_EQ(value(R"('It\'s ${{ not evaluated }}')"), "It's ${{ not evaluated }}");
  EXPECT_EQ(value(R"("n is ${{ inputs.n }}, \${{ stays")"), "n is 3, ${{ stays");
  EXPECT_EQ(value(R"([1, "a", true, null,])"), R"([1,"a",true,null])");
  EXPECT_EQ(said(R"(${{ {name: "runner", "k-k": {v: 1}}}})"), R"({"name":"runner","k-k":{"v":1}})");
  EXPECT_EQ(value("{(inputs.name): 1}"), R"({"runner":1})");
  EXPECT_EQ(value("[]"), "[]");
}

TEST(Moa, Operators) {
  EXPECT_EQ(value("2 + 3 * 4"), "14");
  EXPECT_EQ(value("(2 + 3) * 4"), "20");
  EXPECT_EQ(value("10 - 4 - 3"), "3");
  EXPECT_EQ(value("10 % 3"), "1");
  EXPECT_EQ(value("10 / 4"), "2.5");
  EXPECT_EQ(value("\"a\" + \"b\""), "ab");
  EXPECT_EQ(value("-5 + +2"), "-3");
  EXPECT_EQ(value("!inputs.off"), "true");
  EXPECT_EQ(value("1 == 1"), "true");
  EXPECT_EQ(value("1 == \"1\""), "false");
  EXPECT_EQ(value("\"a\" < \"b\""), "true");
  EXPECT_EQ(value("false < true"), "true");
  EXPECT_EQ(value("[1, 2] < [1, 3]"), "true");
  EXPECT_EQ(value("{a: 1, b: 2} == {b: 2, a: 1}"), "true");
  EXPECT_EQ(value("3 >= 3"), "true");
  EXPECT_EQ(value("null == null"), "true");
}

TEST(Moa, LogicReturnsAnOperand) {
  EXPECT_EQ(value("inputs.empty || \"default\""), "default");
  EXPECT_EQ(value("inputs.name && \"yes\""), "yes");
  EXPECT_EQ(value("inputs.n == 3 && \"three\" || \"other\""), "three");
  EXPECT_EQ(value("inputs.n == 4 && \"four\" || \"other\""), "other");
  EXPECT_EQ(value("true || unknown.thing"), "true") << "what is left out is not looked up";
  EXPECT_EQ(value("false && 1 / 0"), "false");
}

TEST(Moa, Access) {
  EXPECT_EQ(value("inputs.name"), "runner");
  EXPECT_EQ(value("inputs[\"a-b\"]"), "dashed");
  EXPECT_EQ(value("inputs.list[1] + 1"), "3");
  EXPECT_EQ(value("inputs.list"), R"(["a",2])");
}

TEST(Moa, Functions) {
  EXPECT_EQ(value("str(42) + str(null)"), "42<null>");
  EXPECT_EQ(value("num(\"3.14\") + 1"), "4.140000000000001");
  EXPECT_EQ(value("bool(\"\")"), "false");
  EXPECT_EQ(value("bool([0])"), "true");
}

TEST(Moa, Texts) {
  EXPECT_EQ(said("a ${{ inputs.n }}b${{inputs.name}}"), "a 3brunner");
  EXPECT_EQ(said("Use \\${{ to begin, $ { and ${x}"), "Use ${{ to begin, $ { and ${x}");
  const auto alone = interpolate("${{ inputs.list }}", look_up);
  EXPECT_EQ(std::get<MoaValue>(alone).type, MoaValue::Type::list) << "alone it keeps its type";
  const auto mixed = interpolate("${{ inputs.n }} ", look_up);
  EXPECT_EQ(std::get<MoaValue>(mixed).type, MoaValue::Type::text);
  EXPECT_FALSE(has_moa("$[[ inputs.x ]] ${X}"));
}

TEST(Moa, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(said("${{ inputs.nam }}"), "11: `inputs` has no \"nam\" | it has name, n, off, empty, a-b, list");
  EXPECT_EQ(said("x ${{ other }}"), "6: `other` is not known here");
  EXPECT_EQ(said("${{ inputs.name"), "0: `${{` is not closed | add }}; write \\${{ for the text itself");
  EXPECT_EQ(said("${{ }}"), "4: `${{ }}` is empty");
  EXPECT_EQ(said("${{ \"a }}"), "4: the text is not closed | add \"");
  EXPECT_EQ(value("\"a\" + 1"),
            "8: \"+\" takes two numbers or two strings, not a string and a number | str(…) and num(…) convert");
  EXPECT_EQ(value("1 / 0"), "6: division by zero");
  EXPECT_EQ(value("upper(\"a\")"), "4: there is no function `upper` | there are str, num and bool");
  EXPECT_EQ(value("num(\"x\")"), "4: num() cannot read \"x\" as a number");
  EXPECT_EQ(value("inputs.list[2]"), "16: `inputs.list` has 2 items, and no [2]");
  EXPECT_EQ(value("inputs.n.x"), "13: `inputs.n` is a number and has no \"x\"");
  EXPECT_EQ(value("if"), "4: \"if\" is a reserved word");
  EXPECT_EQ(value("(1"), "7: \"(\" is not closed | add )");
  EXPECT_EQ(value("1 = 2"), "6: unexpected \"=\" in an expression | texts stand in quotes");
  EXPECT_FALSE(check_syntax("${{ anything.at.all + 1 }}"));
  EXPECT_EQ(check_syntax("${{ 1 + }}")->offset, 8U);
}

TEST(Moa, HostileTexts) {
  EXPECT_NE(said("${{ " + std::string(100'000, '(') + " }}").find("nested too deeply"), std::string::npos);
  EXPECT_NE(said("${{ " + std::string(100'000, '!') + "1 }}").find("nested too deeply"), std::string::npos);
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += "\"${{ ";
  EXPECT_FALSE(said("${{ " + nested).empty());
  const std::vector<std::string> pieces = {"${{", "}}", "\"", "'",  "(", ")",  "[",  "]", "{", "}", "inputs", ".",
                                           "n",   "1",  "+",  "\\", "!", "&&", "||", " ", ":", ",", "str(",   "\n"};
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = "${{";
    for (auto n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
    const auto result = interpolate(text, look_up);
    if (const auto* error = std::get_if<MoaError>(&result)) {
      EXPECT_LE(error->offset, text.size()) << text;
    } else {
      EXPECT_FALSE(check_syntax(text)) << text;
    }
  }
}

}  // namespace
}  // namespace pipelines
