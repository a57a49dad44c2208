// One reader for each format of report; used by reports.cpp alone. Each adds what a file says to the summary of its
// kind and returns what is wrong with the file, or nothing. Bad input is ordinary here: nothing throws.
//
// JUnit: GitLab's lib/gitlab/ci/parsers/test/junit.rb. Coverage: Cobertura's coverage-04.dtd, JaCoCo's report.dtd.
// SARIF: OASIS SARIF 2.1.0. codequality: docs.gitlab.com/ci/testing/code_quality. The scanners': GitLab's
// security-report-schemas.
#pragma once

#include <string>
#include <string_view>

#include "runner/run/report_summary.h"

namespace runner {

// What is added up before it becomes a rate.
struct LineCoverage {
  double covered = 0, valid = 0;
};

std::string read_junit(std::string_view xml, ReportSummary&);
std::string read_coverage_report(std::string_view xml, ReportSummary&, LineCoverage&);
std::string read_sarif(std::string_view json, ReportSummary&);
std::string read_codequality(std::string_view json, ReportSummary&);
std::string read_security(std::string_view json, ReportSummary&);

}  // namespace runner
