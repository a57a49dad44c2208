#include "runner/cli/lint_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "runner/version.h"

namespace runner {
namespace {

using nlohmann::json;
using pipelines::Diagnostic;
using pipelines::Mark;

std::string dumped(const json& document) { return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

std::string_view severity(const Diagnostic& diagnostic) {
  return diagnostic.severity == pipelines::Severity::error ? "error" : "warning";
}

const std::string& file_of(const LintReport& report, const Mark& mark) {
  return mark.source < report.sources.size() ? report.sources[mark.source].name : report.file;
}

json place(const LintReport& report, const Mark& mark) {
  return {{"file", file_of(report, mark)}, {"line", mark.line}, {"column", mark.column}};
}

// The column in characters of the place whose column in bytes is known.
std::uint32_t characters(const LintReport& report, const Mark& mark) {
  if (mark.source >= report.sources.size()) return mark.column;
  const std::string_view text = report.sources[mark.source].text;
  std::size_t begin = 0;
  for (std::uint32_t line = 1; line < mark.line; ++line) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return mark.column;
    begin = end + 1;
  }
  std::uint32_t column = 1;
  for (const char c : text.substr(std::min(begin, text.size()), mark.column == 0 ? 0 : mark.column - 1)) {
    if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++column;
  }
  return column;
}

// RFC 3986: what a path may have as it is.
std::string uri(const std::string& path) {
  std::string result = path.starts_with('/') ? "file://" : "";
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

json location(const LintReport& report, const Mark& mark) {
  json physical{{"artifactLocation", {{"uri", uri(file_of(report, mark))}}}};
  if (mark.line > 0) {
    physical["region"] = {{"startLine", mark.line}};
    if (mark.column > 0) physical["region"]["startColumn"] = characters(report, mark);
  }
  return {{"physicalLocation", std::move(physical)}};
}

std::string escaped(std::string_view text, std::string_view special) {
  std::string result;
  for (const char c : text) {
    result += special.find(c) == std::string_view::npos ? std::string(1, c)
                                                        : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

}  // namespace

std::string lint_json(const LintReport& report) {
  json diagnostics = json::array();
  for (const Diagnostic& diagnostic : report.diagnostics) {
    json one = place(report, diagnostic.mark);
    one["severity"] = severity(diagnostic);
    one["message"] = diagnostic.message;
    one["hint"] = diagnostic.hint;
    one["others"] = json::array();
    for (const Mark& other : diagnostic.others) one["others"].push_back(place(report, other));
    diagnostics.push_back(std::move(one));
  }
  return dumped({{"file", report.file},
                 {"valid", !pipelines::has_errors(report.diagnostics)},
                 {"jobs", report.jobs},
                 {"diagnostics", std::move(diagnostics)}});
}

std::string lint_sarif(const LintReport& report) {
  json results = json::array();
  for (const Diagnostic& diagnostic : report.diagnostics) {
    json result{
        {"ruleId", fmt::format("pipeline-{}", severity(diagnostic))},
        {"level", severity(diagnostic)},
        {"message",
         {{"text", diagnostic.hint.empty() ? diagnostic.message
                                           : fmt::format("{}\nhint: {}", diagnostic.message, diagnostic.hint)}}},
        {"locations", json::array({location(report, diagnostic.mark)})}};
    for (const Mark& other : diagnostic.others) result["relatedLocations"].push_back(location(report, other));
    results.push_back(std::move(result));
  }
  const json rules = json::array(
      {{{"id", "pipeline-error"}, {"shortDescription", {{"text", "The pipeline file cannot be used"}}}},
       {{"id", "pipeline-warning"}, {"shortDescription", {{"text", "Something does not do what it seems to"}}}}});
  const json driver{{"name", "runner"}, {"version", RUNNER_VERSION}, {"rules", rules}};
  const json run{{"tool", {{"driver", driver}}}, {"columnKind", "unicodeCodePoints"}, {"results", std::move(results)}};
  return dumped({{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                 {"version", "2.1.0"},
                 {"runs", json::array({run})}});
}

std::string lint_github(const LintReport& report) {
  constexpr std::string_view in_message = "%\r\n";
  constexpr std::string_view in_property = "%\r\n:,";
  std::string text;
  for (const Diagnostic& diagnostic : report.diagnostics) {
    const std::string message =
        diagnostic.hint.empty() ? diagnostic.message : fmt::format("{}\nhint: {}", diagnostic.message, diagnostic.hint);
    text += fmt::format("::{} file={}", severity(diagnostic), escaped(file_of(report, diagnostic.mark), in_property));
    if (diagnostic.mark.line > 0) text += fmt::format(",line={}", diagnostic.mark.line);
    if (diagnostic.mark.column > 0) text += fmt::format(",col={}", characters(report, diagnostic.mark));
    text += fmt::format("::{}\n", escaped(message, in_message));
  }
  return text;
}

}  // namespace runner
