#include "runner/run/report_readers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <utility>
#include <vector>

namespace runner {
namespace {

using nlohmann::json;

constexpr std::size_t most_names = 5;  // of tests that failed
constexpr std::size_t longest_name = 200;

void add(ReportSummary& report, const std::string& name, std::uint64_t count) {
  for (auto& [known, value] : report.counts) {
    if (known == name) {
      value += count;
      return;
    }
  }
  report.counts.emplace_back(name, count);
}

std::string cut(std::string text) {
  if (text.size() <= longest_name) return text;
  std::size_t end = longest_name;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// The document; its error as text.
std::string load(std::string_view xml, pugi::xml_document& document) {
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  return parsed ? std::string() : fmt::format("{} at byte {}", parsed.description(), parsed.offset);
}

class TestCases : public pugi::xml_tree_walker {
 public:
  explicit TestCases(ReportSummary& report) : report_(report) {}
  bool for_each(pugi::xml_node& node) override {
    if (std::strcmp(node.name(), "testcase") != 0) return true;
    add(report_, "tests", 1);
    if (node.child("failure")) {
      failed("failures", node);
    } else if (node.child("error")) {
      failed("errors", node);
    } else if (node.child("skipped")) {
      add(report_, "skipped", 1);
    }
    return true;
  }

 private:
  void failed(const char* how, const pugi::xml_node& node) {
    add(report_, how, 1);
    if (report_.names.size() >= most_names) return;
    const std::string suite = node.attribute("classname").value();
    const std::string name = node.attribute("name").value();
    report_.names.push_back(cut(suite.empty() || suite == name ? name : suite + "." + name));
  }
  ReportSummary& report_;
};

// <line hits="…"> of a Cobertura file without totals.
class Lines : public pugi::xml_tree_walker {
 public:
  explicit Lines(LineCoverage& lines) : lines_(lines) {}
  bool for_each(pugi::xml_node& node) override {
    // A method's lines are its class's, too.
    if (std::strcmp(node.name(), "line") != 0 || std::strcmp(node.parent().parent().name(), "method") == 0) return true;
    lines_.valid += 1;
    if (node.attribute("hits").as_llong() > 0) lines_.covered += 1;
    return true;
  }

 private:
  LineCoverage& lines_;
};

void read_cobertura(pugi::xml_node root, LineCoverage& lines) {
  const pugi::xml_attribute valid = root.attribute("lines-valid");
  if (valid && root.attribute("lines-covered")) {
    lines.valid += valid.as_double();
    lines.covered += root.attribute("lines-covered").as_double();
    return;
  }
  LineCoverage counted;
  Lines walker(counted);
  root.traverse(walker);
  if (counted.valid == 0 && root.attribute("line-rate")) counted = {root.attribute("line-rate").as_double(), 1};
  lines.valid += counted.valid;
  lines.covered += counted.covered;
}

void read_jacoco(pugi::xml_node root, LineCoverage& lines) {
  for (const pugi::xml_node counter : root.children("counter")) {
    if (std::strcmp(counter.attribute("type").value(), "LINE") != 0) continue;
    lines.covered += counter.attribute("covered").as_double();
    lines.valid += counter.attribute("covered").as_double() + counter.attribute("missed").as_double();
  }
}

// Findings by severity, in a fixed order; unknown words count as the last.
template <std::size_t N>
void add_findings(ReportSummary& report, const std::array<const char*, N>& order,
                  const std::vector<std::string>& found) {
  add(report, "findings", found.size());
  for (const char* word : order) add(report, word, 0);
  for (const auto& severity : found) {
    const bool known = std::find(order.begin(), order.end(), severity) != order.end();
    add(report, known ? severity : order.back(), 1);
  }
}

std::string text_of(const json& object, const char* name, const char* otherwise) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->template get<std::string>() : otherwise;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

const json* list_in(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found != object.end() && found->is_array() ? &*found : nullptr;
}

constexpr const char* no_json = "no valid JSON";

}  // namespace

std::string read_junit(std::string_view xml, ReportSummary& report) {
  pugi::xml_document document;
  if (std::string error = load(xml, document); !error.empty()) return error;
  const std::string root = document.document_element().name();
  if (root != "testsuites" && root != "testsuite") return "no JUnit report: its root is <" + cut(root) + ">";
  add(report, "tests", 0);
  TestCases cases(report);
  document.traverse(cases);
  return {};
}

std::string read_coverage_report(std::string_view xml, ReportSummary& report, LineCoverage& lines) {
  pugi::xml_document document;
  if (std::string error = load(xml, document); !error.empty()) return error;
  const pugi::xml_node root = document.document_element();
  const std::string name = root.name();
  if (name == "coverage") {
    read_cobertura(root, lines);
  } else if (name == "report") {
    read_jacoco(root, lines);
  } else {
    return "neither Cobertura's nor JaCoCo's: its root is <" + cut(name) + ">";
  }
  if (lines.valid > 0) report.rate = 100 * lines.covered / lines.valid;
  return {};
}

std::string read_sarif(std::string_view text, ReportSummary& report) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return no_json;
  const json* runs = list_in(document, "runs");
  if (!runs) return "no SARIF: it has no list `runs`";
  std::vector<std::string> levels;
  for (const json& run : *runs) {
    const json* results = list_in(run, "results");
    if (!results) continue;
    for (const json& result : *results) levels.push_back(text_of(result, "level", "warning"));
  }
  add_findings(report, std::array{"error", "warning", "note", "none"}, levels);
  return {};
}

std::string read_codequality(std::string_view text, ReportSummary& report) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return no_json;
  if (!document.is_array()) return "no Code Quality report: it is not a list";
  std::vector<std::string> severities;
  for (const json& issue : document) severities.push_back(lower(text_of(issue, "severity", "unknown")));
  add_findings(report, std::array{"blocker", "critical", "major", "minor", "info", "unknown"}, severities);
  return {};
}

std::string read_security(std::string_view text, ReportSummary& report) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return no_json;
  const json* vulnerabilities = list_in(document, "vulnerabilities");
  if (!vulnerabilities) return "no security report: it has no list `vulnerabilities`";
  std::vector<std::string> severities;
  for (const json& one : *vulnerabilities) severities.push_back(lower(text_of(one, "severity", "unknown")));
  add_findings(report, std::array{"critical", "high", "medium", "low", "info", "unknown"}, severities);
  return {};
}

}  // namespace runner
