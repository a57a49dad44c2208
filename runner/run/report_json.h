// A report's summary as JSON: the same in the store's events, in `--output json` and in `runner runs`.
#pragma once

#include <nlohmann/json.hpp>

#include "runner/run/report_summary.h"

namespace runner {

// kind, then its numbers by name ("tests", "failures", "findings", "critical" …), `line_rate` in percent for coverage,
// and `failed`, the first tests that did.
inline nlohmann::ordered_json to_json(const ReportSummary& report) {
  nlohmann::ordered_json json{{"kind", report.kind}};
  for (const auto& [name, count] : report.counts) json[name] = count;
  if (report.rate) json["line_rate"] = *report.rate;
  if (!report.names.empty()) json["failed"] = report.names;
  return json;
}

}  // namespace runner
