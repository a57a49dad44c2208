#include "runner/run/report_summary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace runner {
namespace {

std::string plural(std::uint64_t count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string of_tests(const ReportSummary& report) {
  std::string text = plural(report.count("tests"), "test");
  const std::uint64_t failed = report.count("failures") + report.count("errors");
  if (failed > 0) text += fmt::format(", {} failed", failed);
  if (report.count("skipped") > 0) text += fmt::format(", {} skipped", report.count("skipped"));
  if (!report.names.empty()) {
    text += fmt::format(": {}", fmt::join(report.names, ", "));
    if (failed > report.names.size()) text += " …";
  }
  return text;
}

std::string of_findings(const ReportSummary& report) {
  std::string text = plural(report.count("findings"), "finding");
  std::vector<std::string> parts;
  for (const auto& [name, count] : report.counts) {
    if (name != "findings" && count > 0) parts.push_back(fmt::format("{} {}", count, name));
  }
  if (!parts.empty()) text += fmt::format(": {}", fmt::join(parts, ", "));
  return text;
}

}  // namespace

std::uint64_t ReportSummary::count(const std::string& name) const {
  const auto found = std::find_if(counts.begin(), counts.end(), [&](const auto& pair) { return pair.first == name; });
  return found == counts.end() ? 0 : found->second;
}

std::string describe(const ReportSummary& report) {
  if (report.kind == "junit") return of_tests(report);
  if (report.rate) return fmt::format("{:.1f} % of lines", *report.rate);
  if (report.kind == "dotenv") return plural(report.count("variables"), "variable");
  return of_findings(report);
}

}  // namespace runner
