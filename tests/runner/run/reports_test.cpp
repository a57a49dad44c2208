// What a log and reports say: coverage, dotenv, JUnit, coverage reports, SARIF, Code Quality, security scanners.
#include "runner/run/reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/run/coverage.h"
#include "runner/run/report_json.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::optional<double> coverage(const std::string& expression, const std::string& log) {
  CoverageFinder whole(expression);
  whole.feed(log);
  CoverageFinder cut(expression);
  for (const char c : log) cut.feed({&c, 1});
  const auto found = whole.finish();
  EXPECT_EQ(found, cut.finish()) << "cut anywhere";
  return found;
}

TEST(Coverage, TheLastLineThatMatches) {
  EXPECT_EQ(coverage(R"(Total: \d+%)", "Total: 10%\nTotal: 20%\nnothing\n"), 20);
  EXPECT_EQ(coverage(R"(Total: \d+%)", "nothing\n"), std::nullopt);
  EXPECT_EQ(coverage(R"(\d+\.\d+%)", "without a newline 98.29%"), 98.29);
}

TEST(Coverage, TheLastMatchOfTheLineAndItsFirstNumber) {
  EXPECT_EQ(coverage(R"(\d+%)", "10% 20% 30%\n"), 30);
  EXPECT_EQ(coverage(R"(lines: .*)", "lines: 87.5 of 100\n"), 87.5);
  EXPECT_EQ(coverage(R"(a: (\d+)%, b: (\d+)%)", "a: 1%, b: 2%\n"), 2) << "the last group";
  EXPECT_EQ(coverage(R"(Lines\s*:\s*(\d+.?\d*)%)", "\x1b[32mLines   : 66.67%\x1b[0m\n"), 66.67);
  // A match without a number is none.
  EXPECT_EQ(coverage(R"(Total: .*)", "Total: 5%\nTotal: unknown\n"), 5);
  EXPECT_EQ(coverage(R"(x*)", "12\n"), std::nullopt);
}

class ReportsTest : public testing::Test {
 protected:
  ReadReports read(const std::string& kind, const std::vector<std::string>& files) {
    const auto root = directory_ / (kind + std::to_string(++count_));
    for (std::size_t i = 0; i < files.size(); ++i) test::write(root / ("report" + std::to_string(i)), files[i]);
    return read_reports({{kind, root, files.size(), 0}});
  }
  std::string text(const std::string& kind, const std::vector<std::string>& files) {
    const ReadReports reports = read(kind, files);
    EXPECT_THAT(reports.warnings, IsEmpty());
    return reports.summaries.empty() ? "" : describe(reports.summaries[0]);
  }
  test::TemporaryDirectory directory_;
  int count_ = 0;
};

TEST_F(ReportsTest, Junit) {
  const std::string xml = R"(<?xml version="1.0"?><testsuites><testsuite name="s">
    <testcase classname="math" name="adds"/>
    <testcase classname="math" name="divides"><failure message="no">trace</failure></testcase>
    <testcase name="crashes"><error/></testcase>
    <testsuite><testcase classname="a" name="later"><skipped/></testcase></testsuite>
    </testsuite></testsuites>)";
  EXPECT_EQ(text("junit", {xml}), "4 tests, 2 failed, 1 skipped: math.divides, crashes");
  EXPECT_EQ(text("junit", {xml, R"(<testsuite><testcase name="b"/></testsuite>)"}),
            "5 tests, 2 failed, 1 skipped: math.divides, crashes");
  EXPECT_EQ(text("junit", {"<testsuites/>"}), "0 tests");
  const auto json = to_json(read("junit", {xml}).summaries.at(0));
  EXPECT_EQ(json.dump(),
            R"({"kind":"junit","tests":4,"failures":1,"errors":1,"skipped":1,"failed":["math.divides","crashes"]})");
}

TEST_F(ReportsTest, JunitNamesTheFirstFewAlone) {
  std::string xml = "<testsuite>";
  for (int i = 0; i < 9; ++i) xml += "<testcase name='t" + std::to_string(i) + "'><failure/></testcase>";
  EXPECT_EQ(text("junit", {xml + "</testsuite>"}), "9 tests, 9 failed: t0, t1, t2, t3, t4 …");
}

TEST_F(ReportsTest, CoverageReport) {
  EXPECT_EQ(text("coverage_report", {R"(<coverage line-rate="0.5" lines-covered="3" lines-valid="4"/>)"}),
            "75.0 % of lines");
  EXPECT_EQ(text("coverage_report", {R"(<coverage line-rate="0.875"/>)"}), "87.5 % of lines");
  EXPECT_EQ(text("coverage_report", {R"(<coverage><packages><package><classes><class><methods><method><lines>
      <line number="1" hits="1"/></lines></method></methods><lines><line number="1" hits="1"/><line number="2" hits="0"/>
      </lines></class></classes></package></packages></coverage>)"}),
            "50.0 % of lines");
  EXPECT_EQ(
      text("coverage_report", {R"(<report name="x"><package><counter type="LINE" missed="9" covered="0"/></package>
      <counter type="BRANCH" missed="1" covered="0"/><counter type="LINE" missed="1" covered="9"/></report>)"}),
      "90.0 % of lines");
}

TEST_F(ReportsTest, Sarif) {
  EXPECT_EQ(text("sarif", {R"({"version": "2.1.0", "runs": [{"results": [{"level": "error"}, {"level": "note"}, {}]},
      {"results": [{"level": "error"}]}, {}]})"}),
            "4 findings: 2 error, 1 warning, 1 note");
  EXPECT_EQ(text("sarif", {R"({"runs": []})"}), "0 findings");
}

TEST_F(ReportsTest, Codequality) {
  EXPECT_EQ(text("codequality", {R"([{"severity": "minor"}, {"severity": "blocker"}, {"severity": "minor"}, {}])"}),
            "4 findings: 1 blocker, 2 minor, 1 unknown");
}

TEST_F(ReportsTest, SecurityScanners) {
  const std::string json = R"({"version": "15.0.0", "vulnerabilities": [{"severity": "Critical"}, {"severity": "Low"},
      {"severity": "Low"}, {"severity": "Odd"}]})";
  for (const char* kind : {"sast", "dependency_scanning", "secret_detection", "container_scanning", "dast"}) {
    EXPECT_EQ(text(kind, {json}), "4 findings: 1 critical, 2 low, 1 unknown") << kind;
  }
}

TEST_F(ReportsTest, BrokenOnesAreOneWarningEach) {
  const std::vector<std::pair<std::string, std::string>> broken = {{"junit", "<testsuite>"},
                                                                   {"junit", "<html/>"},
                                                                   {"junit", ""},
                                                                   {"coverage_report", "<x/>"},
                                                                   {"sarif", "{"},
                                                                   {"sarif", "[]"},
                                                                   {"codequality", "{}"},
                                                                   {"codequality", "nonsense"},
                                                                   {"sast", R"({"version": 1})"},
                                                                   {"secret_detection", "null"}};
  for (const auto& [kind, content] : broken) {
    const ReadReports reports = read(kind, {content});
    EXPECT_EQ(reports.warnings.size(), 1U) << kind << ": " << content;
    EXPECT_THAT(reports.summaries, IsEmpty()) << kind << ": " << content;
    EXPECT_THAT(reports.warnings, ElementsAre(HasSubstr(kind + " report report0 cannot be read")));
  }
  // The others of its kind count all the same.
  const ReadReports mixed = read("junit", {"<testsuite><testcase name='a'/></testsuite>", "<"});
  ASSERT_EQ(mixed.summaries.size(), 1U);
  EXPECT_EQ(mixed.summaries[0].count("tests"), 1U);
  EXPECT_EQ(mixed.warnings.size(), 1U);
}

TEST_F(ReportsTest, DeepOnesDoNotOverflow) {
  std::string xml, json;
  for (int i = 0; i < 200'000; ++i) {
    xml += "<testsuite>";
    json += "[";
  }
  read("junit", {xml});
  std::string closed = xml;
  for (int i = 0; i < 200'000; ++i) closed += "</testsuite>";
  EXPECT_EQ(text("junit", {closed}), "0 tests");
  EXPECT_EQ(read("sarif", {json}).warnings.size(), 1U);
}

TEST_F(ReportsTest, OtherKindsAreOnlyKept) {
  const ReadReports reports = read("terraform", {"anything"});
  EXPECT_THAT(reports.summaries, IsEmpty());
  EXPECT_THAT(reports.warnings, IsEmpty());
}

TEST_F(ReportsTest, Dotenv) {
  test::write(directory_ / "d/build.env", "A=1\nQUOTED=\"a b\"\nREF=$A\n");
  const ReadDotenv read = read_dotenv({{"dotenv", directory_ / "d", 1, 0}});
  EXPECT_THAT(read.variables, ElementsAre(std::pair<std::string, std::string>{"A", "1"},
                                          std::pair<std::string, std::string>{"QUOTED", "\"a b\""},
                                          std::pair<std::string, std::string>{"REF", "$A"}));
  EXPECT_THAT(read.warnings, IsEmpty());
}

TEST_F(ReportsTest, DotenvLimits) {
  test::write(directory_ / "large/build.env", "A=" + std::string(5 * 1024 - 2, 'x'));
  EXPECT_THAT(read_dotenv({{"dotenv", directory_ / "large", 1, 0}}).refused, HasSubstr("smaller than 5 KiB"));
  test::write(directory_ / "fits/build.env", "A=" + std::string(5 * 1024 - 3, 'x'));
  EXPECT_EQ(read_dotenv({{"dotenv", directory_ / "fits", 1, 0}}).variables.size(), 1U);
  std::string many;
  for (int i = 0; i < 21; ++i) many += "V" + std::to_string(i) + "=x\n";
  test::write(directory_ / "many/build.env", many);
  const ReadDotenv read = read_dotenv({{"dotenv", directory_ / "many", 1, 0}});
  EXPECT_EQ(read.variables.size(), 21U);
  EXPECT_THAT(read.warnings, ElementsAre(HasSubstr("has 21 variables; GitLab's own limit is 20")));
}

TEST_F(ReportsTest, ADotenvLineThatIsNoVariableSpoilsAllOfThem) {
  const auto refused = [&](const std::string& text) {
    test::write(directory_ / "bad/build.env", text);
    const ReadDotenv read = read_dotenv({{"dotenv", directory_ / "bad", 1, 0}});
    EXPECT_THAT(read.variables, IsEmpty()) << text;
    return read.refused;
  };
  EXPECT_EQ(refused("# a\nA=1\n"), "dotenv report build.env: line 1: comments and blank lines are not allowed");
  EXPECT_EQ(refused("A=1\n\nB=1\n"), "dotenv report build.env: line 2: comments and blank lines are not allowed");
  EXPECT_EQ(refused("A=1\nnonsense\n"), "dotenv report build.env: line 2: not of the form KEY=value");
  EXPECT_EQ(refused("A-B=1\n"), "dotenv report build.env: line 1: the key may hold only letters, digits and '_'");
}

}  // namespace
}  // namespace runner
