#include "pipelines/expression.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace pipelines {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

Expression::Lookup lookup_in(const Values& values) {
  return [&values](std::string_view name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

// "true", "false", or the error's text.
std::string result(std::string_view text, const Values& values) {
  const auto compiled = Expression::compile(text);
  if (const auto* error = std::get_if<Expression::Error>(&compiled)) return error->message;
  return std::get<Expression>(compiled).evaluate(lookup_in(values)) ? "true" : "false";
}

struct Case {
  std::string text;
  bool expected;
};

// GitLab's spec/lib/gitlab/ci/pipeline/expression/statement_spec.rb says the same of each, as true or false.
TEST(Expression, AgreesWithGitLab) {
  const Values values = {{"PRESENT", "my variable"},
                         {"PATH_VARIABLE", "a/path/variable/value"},
                         {"FULL_PATH", "/a/full/path/variable/value"},
                         {"EMPTY", ""},
                         {"TRUE", "true"}};
  const std::vector<Case> cases = {
      {R"($PRESENT == "my variable")", true},
      {R"("my variable" == $PRESENT)", true},
      {R"($PRESENT == 'no match')", false},
      {R"($PRESENT == null)", false},
      {R"($EMPTY == null)", false},
      {R"("" == $EMPTY)", true},
      {R"($EMPTY)", false},
      {R"($UNDEFINED == null)", true},
      {R"(null == $UNDEFINED)", true},
      {R"($UNDEFINED == "")", false},
      {R"($PRESENT)", true},
      {R"($UNDEFINED)", false},
      {R"($PRESENT =~ /var.*e$/)", true},
      {R"($PRESENT =~ /va\r.*e$/)", false},
      {R"($PRESENT =~ /va\/r.*e$/)", false},
      {R"($PRESENT =~ /^var.*/)", false},
      {R"($EMPTY =~ /var.*/)", false},
      {R"($UNDEFINED =~ /var.*/)", false},
      {R"($PRESENT =~ /VAR.*/)", false},
      {R"($PRESENT =~ /VAR.*/i)", true},
      {R"($PATH_VARIABLE =~ /path\/variable/)", true},
      {R"($FULL_PATH =~ /^\/a\/full\/path\/variable\/value$/)", true},
      {R"($PRESENT != "my variable")", false},
      {R"($PRESENT != null)", true},
      {R"($EMPTY != null)", true},
      {R"("" != $EMPTY)", false},
      {R"($UNDEFINED != null)", false},
      {R"($PRESENT !~ /var.*e$/)", false},
      {R"($PRESENT !~ /^var.*/)", true},
      {R"($EMPTY !~ /var.*/)", true},
      {R"($UNDEFINED !~ /var.*/)", true},
      {R"($PRESENT && "string")", true},
      {R"($PRESENT && $EMPTY)", false},
      {R"($EMPTY && $PRESENT)", true},
      {R"($EMPTY && "string")", true},
      {R"($EMPTY && $EMPTY)", false},
      {R"($EMPTY || $PRESENT)", false},
      {R"($EMPTY || $UNDEFINED)", false},
      {R"($UNDEFINED || $PRESENT)", true},
      {R"("  ")", false},
      {R"(!$PRESENT)", false},
      {R"(!$EMPTY)", true},
      {R"(! $UNDEFINED)", true},
      {R"(!null)", true},
      {R"(!"  ")", true},
      {R"(!!$PRESENT)", true},
      {R"(!$UNDEFINED && $PRESENT)", true},
      {R"(!$PRESENT && $PRESENT)", false},
      {R"(!($PRESENT && $EMPTY))", true},
      {R"(!($PRESENT == "my variable" || $UNDEFINED) && $PRESENT)", false},
      {R"(!$PRESENT == "my variable")", false},  // it binds tighter than ==
      {R"(!$PRESENT == "false")", true},
      {R"("true" == !$UNDEFINED)", true},
      {R"(!$UNDEFINED != false)", true},
      {R"(!$PRESENT =~ /^fal/)", true},
      {R"(true)", true},
      {R"(false || $UNDEFINED)", false},
      {R"($TRUE == true)", true},
      {R"($TRUE == false)", false},
      {R"(null == false)", false},
      {R"(($PRESENT == "my variable") == $TRUE)", true},
      {R"($PRESENT && null)", false},
      {R"(null && $PRESENT)", false},
      {R"("string" && null)", false},
      {R"($PRESENT =~ /my var/ && $EMPTY =~ /nope/)", false},
      {R"($EMPTY == "" && $PRESENT)", true},
      {R"($FULL_PATH =~ /^\/a\/bad\/value$/ || $PATH_VARIABLE =~ /path\/variable/)", true},
      {R"($PRESENT && null || $EMPTY == "")", true},
      {R"($UNDEFINED || $PRESENT)", true},
      {R"((($PRESENT)))", true},
      {R"((($PRESENT && null) || $EMPTY == ""))", true},
      {R"(($PRESENT) && (null || $EMPTY == ""))", true},
      {R"(("string" || "test") == "string")", true},
      {R"((null || ("test" == "string")))", false},
      {R"(("string" == ("test" && "string")))", true},
      {R"(("string" == ("test" || "string")))", false},
      {R"(("string" == ("string" || (("1" == "1") && ("2" == "3")))))", true},
  };
  for (const Case& each : cases) EXPECT_EQ(result(each.text, values), each.expected ? "true" : "false") << each.text;
}

TEST(Expression, AndBindsTighterThanOr) {
  const Values values = {{"A", "1"}};
  EXPECT_EQ(result("$A || $B && $C", values), "true");
  EXPECT_EQ(result("($A || $B) && $C", values), "false");
  EXPECT_EQ(result("$B && $C || $A", values), "true");
  EXPECT_EQ(result("$B && ($C || $A)", values), "false");
}

TEST(Expression, ReadsARegularExpressionFromAVariable) {
  const Values values = {{"text", "abcde"},  {"yes", "/^ab.*/"},     {"no", "/^at.*/"},    {"upper", "/^AB/i"},
                         {"slash", "/\\//"}, {"broken", "/[/"},      {"plain", "xabcdex"}, {"empty", ""},
                         {"path", "a/b"},    {"unclosed", "/abcde"}, {"flags", "/abcde/z"}};
  EXPECT_EQ(result("$text =~ $yes", values), "true");
  EXPECT_EQ(result("$text =~ $no", values), "false");
  EXPECT_EQ(result("$text =~ $upper", values), "true");
  EXPECT_EQ(result("$path =~ $slash", values), "true");
  EXPECT_EQ(result("$text =~ $broken", values), "false");
  EXPECT_EQ(result("$text !~ $broken", values), "true");
  EXPECT_EQ(result("$text =~ $undefined", values), "false");
  EXPECT_EQ(result("$text !~ $undefined", values), "true");
  EXPECT_EQ(result("$text =~ $text", values), "true");
  // What is no regular expression contains the left side, not the other way round.
  EXPECT_EQ(result("$text =~ $plain", values), "true");
  EXPECT_EQ(result("$plain =~ $text", values), "false");
  EXPECT_EQ(result("$text =~ $unclosed", values), "true");
  EXPECT_EQ(result("$text =~ $flags", values), "true");
  EXPECT_EQ(result("$text =~ \"abcdef\"", values), "true");
  EXPECT_EQ(result("$text =~ $empty", values), "false");
}

TEST(Expression, KnowsTheFlagsOfRe2) {
  const Values values = {{"A", "one\nTWO"}};
  EXPECT_EQ(result("$A =~ /^two$/im", values), "true");
  EXPECT_EQ(result("$A =~ /^two$/i", values), "false");
  EXPECT_EQ(result("$A =~ /one.TWO/s", values), "true");
  EXPECT_EQ(result("$A =~ /one.TWO/", values), "false");
  EXPECT_EQ(result("$A == /one/", values), "false");
  EXPECT_EQ(result("/one/", values), "true");
}

TEST(Expression, VariablesInsideAPatternAreNotExpanded) {
  EXPECT_EQ(result("$A =~ /$B/", {{"A", "main"}, {"B", "main"}}), "false");
}

TEST(Expression, SpaceAndLineEndsSeparateNothing) {
  EXPECT_EQ(result(" \n$A==\"x\"\t&&\r\n( $B!~/^y/ )  ", {{"A", "x"}, {"B", "z"}}), "true");
}

struct Wrong {
  std::string text;
  std::size_t offset;
  std::string message;
  std::string hint;
};

TEST(Expression, SaysWhereAndHowToMend) {
  const std::vector<Wrong> cases = {
      {"", 0, "the expression is empty", "write $NAME, or $NAME == \"text\""},
      {"  ", 0, "the expression is empty", "write $NAME, or $NAME == \"text\""},
      {"${CI_COMMIT_BRANCH} == \"x\"", 0, "${CI_COMMIT_BRANCH} is not valid in an expression",
       "write $CI_COMMIT_BRANCH"},
      {"$A == ${B", 6, "${B} is not valid in an expression", "write $B"},
      {"$A == \"x", 6, "the text is not closed", "add \""},
      {"$A == 'x", 6, "the text is not closed", "add '"},
      {"$A =~ /x", 6, "the regular expression is not closed", "add /; write \\/ for a slash inside it"},
      {"$A =~ /x\\", 6, "the regular expression is not closed", "add /; write \\/ for a slash inside it"},
      {"$A =~ //", 6, "the regular expression is empty", "write == \"\" for an empty value"},
      {"$A =~ /aa/b/", 10, "unknown flag \"b\" after the regular expression",
       "the flags are i, m, s and U; write \\/ for a slash inside the expression"},
      {"$A =~ /a[/", 6, "invalid regular expression: missing ]: [",
       "the syntax is RE2's: no look-around, no back-references"},
      {"$A =~ /(?=x)/", 6, "invalid regular expression: invalid perl operator: (?=",
       "the syntax is RE2's: no look-around, no back-references"},
      {"$A =~ /x/", 6, "a regular expression of one character, which GitLab does not take",
       "write /(?:x)/, or compare with \"x\""},
      {"$A =~ /é/i", 6, "a regular expression of one character, which GitLab does not take",
       "write /(?:é)/, or compare with \"é\""},
      {"$A =~ /ab\\\\/", 6, "the regular expression ends with a backslash, which GitLab does not take",
       "write [\\\\] for a backslash at the end"},
      {"/ab/ =~ $A", 0, "a regular expression on the left side", "write $NAME =~ /regular expression/"},
      {"$A = \"x\"", 3, "unexpected \"=\"", "write == to compare, =~ to match a regular expression"},
      {"$A & $B", 3, "unexpected \"&\"", "write &&"},
      {"$A | $B", 3, "unexpected \"|\"", "write ||"},
      {"!", 1, "the expression ends where a value is expected", ""},
      {"$A ! $B", 3, "expected && or ||", ""},
      {"$A == main", 6, "unexpected word \"main\"", "text stands in quotes, a variable begins with $"},
      {"$A == 1", 6, "unexpected word \"1\"", "text stands in quotes, a variable begins with $"},
      {"$A and $B", 3, "expected && or ||", "text stands in quotes, a variable begins with $"},
      {"$A $B", 3, "expected && or ||", ""},
      {"$A == \"x\" == \"y\"", 10, "expected && or ||", ""},
      {"$A ==", 5, "the expression ends where a value is expected", ""},
      {"$A &&", 5, "the expression ends where a value is expected", ""},
      {"&& $A", 0, "expected a value, got \"&&\"",
       "values are $NAME, \"text\", 'text', /regular expression/, null, true and false"},
      {"($A", 0, "\"(\" is not closed", "add )"},
      {"$A)", 2, "\")\" without \"(\"", ""},
      {"()", 1, "expected a value, got \")\"",
       "values are $NAME, \"text\", 'text', /regular expression/, null, true and false"},
      {"$ == 1", 0, "\"$\" without a variable's name", "write $NAME"},
      {"$A == @", 6, "unexpected character", "operands are $NAME, \"text\", 'text', /regular expression/ and null"},
  };
  for (const Wrong& each : cases) {
    const auto compiled = Expression::compile(each.text);
    const auto* error = std::get_if<Expression::Error>(&compiled);
    ASSERT_NE(error, nullptr) << each.text;
    EXPECT_EQ(error->offset, each.offset) << each.text;
    EXPECT_EQ(error->message, each.message) << each.text;
    EXPECT_EQ(error->hint, each.hint) << each.text;
  }
}

TEST(Expression, HostileNestingIsRefusedAndLongChainsAreNot) {
  const std::string deep = std::string(1'000'000, '(') + "$A" + std::string(1'000'000, ')');
  EXPECT_EQ(result(deep, {}), "it is nested too deeply");
  EXPECT_EQ(result(std::string(1'000'000, '!') + "$A", {}), "it is nested too deeply");
  EXPECT_EQ(result(std::string(100, '(') + "$A" + std::string(100, ')'), {{"A", "x"}}), "true");
  std::string chain = "$A";
  for (int i = 0; i < 100'000; ++i) chain += i % 2 == 0 ? " || $A" : " && $A";
  EXPECT_EQ(result(chain, {}), "false");
}

TEST(Expression, ExplainsWithTheValuesInPlace) {
  const Values values = {{"CI_COMMIT_BRANCH", "main"}, {"EMPTY", ""}, {"LONG", std::string(100, 'x')}, {"NL", "a\nb"}};
  const auto explained = [&](std::string_view text) {
    return std::get<Expression>(Expression::compile(text)).explain(lookup_in(values));
  };
  EXPECT_EQ(explained("$CI_COMMIT_BRANCH == \"dev\""), "$CI_COMMIT_BRANCH (\"main\") == \"dev\"");
  EXPECT_EQ(explained("!$UNKNOWN && true"), "!$UNKNOWN (null) && true");
  EXPECT_EQ(explained("$UNKNOWN || ($EMPTY != null)"), "$UNKNOWN (null) || ($EMPTY (\"\") != null)");
  EXPECT_EQ(explained("\"$EMPTY\" =~ /$EMPTY\\/x/i"), "\"$EMPTY\" =~ /$EMPTY\\/x/i");
  EXPECT_EQ(explained("$LONG"), "$LONG (\"" + std::string(60, 'x') + "…\")");
  EXPECT_EQ(explained("$NL\n&& $NL"), "$NL (\"a b\") && $NL (\"a b\")");
}

// Whatever the bytes: an answer, no crash, and an offset within the text.
TEST(Expression, SurvivesNoise) {
  const std::vector<std::string> pieces = {"$A",
                                           "\"x\"",
                                           "'",
                                           "/^a/i",
                                           "(",
                                           ")",
                                           "&&",
                                           "||",
                                           "==",
                                           "=~",
                                           "!~",
                                           "!=",
                                           "null",
                                           "!",
                                           "true",
                                           " ",
                                           "${A}",
                                           "\\",
                                           "/",
                                           "\"",
                                           "x",
                                           "\n",
                                           std::string(1, '\0'),
                                           "\xFF"};
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
    const auto compiled = Expression::compile(text);
    if (const auto* error = std::get_if<Expression::Error>(&compiled)) {
      EXPECT_LE(error->offset, text.size()) << text;
      EXPECT_FALSE(error->message.empty());
    } else {
      const auto& expression = std::get<Expression>(compiled);
      expression.evaluate(lookup_in({}));
      EXPECT_FALSE(expression.explain(lookup_in({})).empty());
    }
  }
}

}  // namespace
}  // namespace pipelines
