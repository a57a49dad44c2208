#include "pipelines/diagnostic.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pipelines/findings.h"

namespace pipelines {
namespace {

const std::vector<Source> source = {{"ci/a.yml", "one: two\nthree: four\n"}};

std::string rendered(const Diagnostic& diagnostic, const std::vector<Source>& sources = source) {
  return render({diagnostic}, sources, false);
}

TEST(Render, HasThePlaceTheLineTheCaretAndTheHint) {
  EXPECT_EQ(rendered({Severity::error, {0, 2, 8}, "no such number", "count again", {}}),
            "ci/a.yml:2:8: error: no such number\n"
            "    2 | three: four\n"
            "      |        ^\n"
            "  hint: count again\n");
}

TEST(Render, WarningsAndFurtherPlaces) {
  EXPECT_EQ(rendered({Severity::warning, {0, 2, 1}, "twice", "", {{0, 1, 1}}}),
            "ci/a.yml:2:1: warning: twice\n"
            "    2 | three: four\n"
            "      | ^\n"
            "ci/a.yml:1:1: note: see also\n"
            "    1 | one: two\n"
            "      | ^\n");
}

TEST(Render, AWholeFileIsItsFirstByte) {
  EXPECT_EQ(rendered({Severity::error, {0, 0, 0}, "the file is empty", "", {}}),
            "ci/a.yml:1:1: error: the file is empty\n");
}

TEST(Render, PlacesBeyondTheTextShowNoLine) {
  EXPECT_EQ(rendered({Severity::error, {0, 99, 1}, "m", "", {}}), "ci/a.yml:99:1: error: m\n");
  EXPECT_EQ(rendered({Severity::error, {7, 1, 1}, "m", "", {}}), "?:1:1: error: m\n");
  EXPECT_EQ(rendered({Severity::error, {0, 1, 99}, "m", "", {}}),
            "ci/a.yml:1:99: error: m\n    1 | one: two\n      |         ^\n");
}

TEST(Render, TabsAndControlBytesAreMadePrintable) {
  EXPECT_EQ(rendered({Severity::error, {0, 1, 4}, "m", "", {}}, {{"f", "a\tb\x1b[31m\x01\x7f\xff\xc2\x9b\r\n"}}),
            "f:1:4: error: m\n"
            "    1 | a  b␛[31m␁␡��\n"
            "      |     ^\n");
}

TEST(Render, TheCaretStandsBelowWideCharacters) {
  EXPECT_EQ(rendered({Severity::error, {0, 1, 11}, "m", "", {}}, {{"f", "é中😀 x"}}),
            "f:1:11: error: m\n"
            "    1 | é中😀 x\n"
            "      |       ^\n");
}

TEST(Render, LongLinesAreCutAroundTheCaret) {
  const std::string line(300, 'x');
  EXPECT_EQ(rendered({Severity::error, {0, 1, 201}, "m", "", {}}, {{"f", line}}),
            "f:1:201: error: m\n    1 | …" + std::string(100, 'x') + "…\n      | " + std::string(51, ' ') + "^\n");
  EXPECT_EQ(rendered({Severity::error, {0, 1, 1}, "m", "", {}}, {{"f", line}}),
            "f:1:1: error: m\n    1 | " + std::string(100, 'x') + "…\n      | ^\n");
  EXPECT_EQ(rendered({Severity::error, {0, 1, 301}, "m", "", {}}, {{"f", line}}),
            "f:1:301: error: m\n    1 | …" + std::string(100, 'x') + "\n      | " + std::string(101, ' ') + "^\n");
}

TEST(Render, NeverCutsACharacterInTwo) {
  std::string line;
  for (int i = 0; i < 200; ++i) {
    line += "é";
  }
  for (std::uint32_t column = 1; column <= 400; ++column) {
    const std::string text = rendered({Severity::error, {0, 1, column}, "m", "", {}}, {{"f", line}});
    // The caret may be inside a character, the excerpt's ends not.
    EXPECT_EQ(text.find("\xEF\xBF\xBD"), std::string::npos) << column;
  }
}

TEST(Render, Colours) {
  EXPECT_EQ(render({{Severity::error, {0, 1, 1}, "m", "h", {}}}, source, true),
            "\x1b[1mci/a.yml:1:1:\x1b[0m \x1b[1;31merror:\x1b[0m \x1b[1mm\x1b[0m\n"
            "\x1b[2m    1 |\x1b[0m one: two\n"
            "\x1b[2m      |\x1b[0m \x1b[1;32m^\x1b[0m\n"
            "  \x1b[1;32mhint:\x1b[0m h\n");
}

TEST(HasErrors, WarningsAreNone) {
  EXPECT_FALSE(has_errors({}));
  EXPECT_FALSE(has_errors({{Severity::warning, {}, "w", "", {}}}));
  EXPECT_TRUE(has_errors({{Severity::warning, {}, "w", "", {}}, {Severity::error, {}, "e", "", {}}}));
}

TEST(Nearest, FindsSlipsOfTheFinger) {
  const std::vector<std::string_view> words = {"script", "stage", "stages", "services", "before_script", "if"};
  EXPECT_EQ(nearest("scirpt", words), "script");
  EXPECT_EQ(nearest("scrip", words), "script");
  EXPECT_EQ(nearest("stagee", words), "stage");
  EXPECT_EQ(nearest("stges", words), "stages");
  EXPECT_EQ(nearest("beforescript", words), "before_script");
  EXPECT_EQ(nearest("iff", words), "if");
}

TEST(Nearest, IsSilentWhenNothingIsMeant) {
  const std::vector<std::string_view> words = {"script", "stage"};
  EXPECT_EQ(nearest("xyz", words), "");
  EXPECT_EQ(nearest("deploy", words), "");
  EXPECT_EQ(nearest("a", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest(std::string(1000, 's'), words), "");
  EXPECT_EQ(nearest("script", {}), "");
}

TEST(Findings, AreSortedAndSaidOnce) {
  Findings findings;
  findings.error({0, 3, 1}, "later");
  findings.error({0, 1, 1}, "earlier");
  findings.error({0, 3, 1}, "later");
  findings.error({0, 4, 1}, "later");
  EXPECT_EQ(findings.errors(), 4U);
  const std::vector<Diagnostic> found = findings.take();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].message, "earlier");
  EXPECT_EQ(found[2].mark.line, 4U);
}

TEST(Findings, SomeWarningsAreSaidOnceForAllPlaces) {
  Findings findings;
  findings.warning_once({0, 1, 1}, "left out");
  findings.warning_once({0, 2, 1}, "left out");
  EXPECT_EQ(findings.take().size(), 1U);
}

TEST(Findings, AreBounded) {
  Findings findings;
  for (std::uint32_t i = 1; i <= 3000; ++i) {
    findings.warning({0, i, 1}, "again");
  }
  findings.error({0, 9999, 1}, "the error");
  const std::vector<Diagnostic> found = findings.take();
  ASSERT_EQ(found.size(), Findings::limit + 1);
  EXPECT_EQ(found.back().message, "2001 further messages are not shown");
  EXPECT_TRUE(has_errors(found)) << "an error among the hidden must not be lost";
}

TEST(Findings, SuggestOnlyAFewTimes) {
  Findings findings;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(findings.suggest("scirpt", {"script"}), "script");
  }
  EXPECT_FALSE(findings.suggests());
  EXPECT_EQ(findings.suggest("scirpt", {"script"}), "");
}

}  // namespace
}  // namespace pipelines
