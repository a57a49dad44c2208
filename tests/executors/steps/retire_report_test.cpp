// What retire.js says, and how it is told.
#include "executors/steps/retire_report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace executors::steps {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* found = R"({"version":"5.7.0","data":[
  {"file":"/builds/me/app/public/jquery.js","results":[
    {"component":"jquery","version":"1.8.1","vulnerabilities":[
      {"severity":"medium","below":"1.9.0b1","identifiers":{"summary":"Selector\nis HTML","CVE":["CVE-2012-6708"]},
       "info":["https://example.com/1"]},
      {"severity":"high","identifiers":{"summary":"XSS","githubID":"GHSA-1"}}]}]},
  {"file":"/elsewhere/x.js","results":[{"component":"fine","version":"1"},
    {"component":"odd","version":"2","vulnerabilities":[{"identifiers":{"issue":"7"}}]}]}],
  "messages":[],"errors":[]})";

RetireReport report() { return parse_retire(found, "/builds/me/app"); }

TEST(RetireReport, IsReadWithPathsOfTheProject) {
  const RetireReport read = report();
  ASSERT_EQ(read.components.size(), 2U);
  EXPECT_EQ(read.components[0].file, "public/jquery.js");
  EXPECT_EQ(read.components[1].file, "/elsewhere/x.js");
  EXPECT_EQ(read.components[0].vulnerabilities[0].id, "CVE-2012-6708");
  EXPECT_EQ(read.components[1].vulnerabilities[0].id, "7");
  EXPECT_EQ(read.total(), 3U);
  EXPECT_EQ(read.counts[static_cast<std::size_t>(Severity::high)], 1U);
  EXPECT_EQ(read.counts[static_cast<std::size_t>(Severity::medium)], 2U) << "what is not rated is medium";
}

TEST(RetireReport, ReachesItsWorst) {
  EXPECT_TRUE(reaches(report(), Severity::none));
  EXPECT_TRUE(reaches(report(), Severity::high));
  EXPECT_FALSE(reaches(report(), Severity::critical));
  EXPECT_FALSE(reaches(parse_retire(R"({"data":[]})", ""), Severity::none));
}

TEST(RetireReport, IsATableTheWorstFirst) {
  const std::string table = table_of(report());
  EXPECT_LT(table.find("high"), table.find("medium"));
  EXPECT_THAT(table, AllOf(HasSubstr("jquery 1.8.1"), HasSubstr("Selector is HTML (before 1.9.0b1): public/jquery.js"),
                           HasSubstr("3 vulnerabilities in 2 components: 1 high, 2 medium")));
  EXPECT_EQ(table_of(parse_retire(R"({"data":[]})", "")), "no vulnerable component was found\n");
}

TEST(RetireReport, IsSarif) {
  const auto sarif = nlohmann::json::parse(sarif_of(report(), "5.7.0"));
  EXPECT_EQ(sarif.at("version"), "2.1.0");
  const auto& run = sarif.at("runs").at(0);
  EXPECT_EQ(run.at("tool").at("driver").at("rules").size(), 3U);
  ASSERT_EQ(run.at("results").size(), 3U);
  EXPECT_EQ(run.at("results").at(0).at("level"), "error");
  EXPECT_EQ(run.at("results").at(0).at("ruleId"), "GHSA-1");
  EXPECT_EQ(run.at("results").at(1).at("locations").at(0).at("physicalLocation").at("artifactLocation").at("uri"),
            "public/jquery.js");
}

TEST(RetireReport, IsJUnitWithFailuresFromTheThresholdOn) {
  EXPECT_THAT(junit_of(report(), Severity::high),
              AllOf(HasSubstr("tests=\"2\""), HasSubstr("failures=\"1\""), HasSubstr("high GHSA-1: XSS"),
                    Not(HasSubstr("CVE-2012-6708"))));
  EXPECT_THAT(junit_of(report(), Severity::none), HasSubstr("failures=\"2\""));
}

TEST(RetireReport, TheToolsErrorsAreKept) {
  const RetireReport read = parse_retire(R"({"data":[],"errors":["Error downloading: x"]})", "");
  EXPECT_THAT(read.errors, testing::ElementsAre("Error downloading: x"));
}

TEST(RetireReport, AnythingElseIsRefused) {
  EXPECT_THROW(parse_retire("", ""), RetireError);
  EXPECT_THROW(parse_retire("Error: no such file", ""), RetireError);
  EXPECT_THROW(parse_retire("{}", ""), RetireError);
}

}  // namespace
}  // namespace executors::steps
