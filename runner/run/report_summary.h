// What a report of a job comes to, for the end of the run: `artifacts:reports` in a few numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runner {

struct ReportSummary {
  std::string kind;  // as in artifacts:reports: "junit", "coverage_report", "sast", …
  // By name, in the order to show: {"tests", 12}, {"failures", 2} …; for findings {"findings", 5}, then by severity.
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  std::optional<double> rate;                          // coverage_report: lines covered, percent
  std::vector<std::string> names;                      // junit: the first tests that failed
  std::uint64_t count(const std::string& name) const;  // 0: there is none of that name
};

// One line: "12 tests, 2 failed: a.b, c.d", "87.5 % of lines", "5 findings: 1 critical, 4 minor".
std::string describe(const ReportSummary&);

}  // namespace runner
