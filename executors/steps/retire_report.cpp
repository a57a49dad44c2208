#include "executors/steps/retire_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <pugixml.hpp>
#include <set>
#include <sstream>
#include <utility>

namespace executors::steps {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> words{"none", "low", "medium", "high", "critical"};

std::string text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const json& list(const json& object, const char* key) {
  static const json none = json::array();
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_array() ? *found : none;
}

Severity severity_of(const std::string& word) {
  const auto found = std::find(words.begin(), words.end(), word);
  return found == words.end() ? Severity::medium : static_cast<Severity>(found - words.begin());
}

std::string id_of(const json& identifiers) {
  if (const json& numbers = list(identifiers, "CVE"); !numbers.empty() && numbers.front().is_string()) {
    return numbers.front().get<std::string>();
  }
  for (const char* key : {"githubID", "retid", "osvdb", "bug", "issue"}) {
    const auto found = identifiers.is_object() ? identifiers.find(key) : identifiers.end();
    if (found == identifiers.end()) continue;
    if (found->is_string()) return found->get<std::string>();
    if (found->is_array() && !found->empty() && found->front().is_string()) return found->front().get<std::string>();
  }
  return {};
}

Vulnerability vulnerability_of(const json& entry) {
  const json identifiers = entry.value("identifiers", json::object());
  Vulnerability result;
  result.severity = severity_of(text(entry, "severity"));
  result.id = id_of(identifiers);
  result.summary = identifiers.is_object() ? text(identifiers, "summary") : std::string();
  result.below = text(entry, "below");
  if (const json& urls = list(entry, "info"); !urls.empty() && urls.front().is_string()) {
    result.url = urls.front().get<std::string>();
  }
  return result;
}

std::string relative_to(const std::string& file, std::string_view project) {
  if (project.empty()) return file;
  const std::filesystem::path relative = std::filesystem::path(file).lexically_relative(project);
  return relative.empty() || *relative.begin() == ".." ? file : relative.string();
}

// Of one line, whatever a report says.
std::string line_of(std::string text, std::size_t most) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
  if (text.size() > most) {
    std::size_t end = most - 1;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text = text.substr(0, end) + "…";
  }
  return text;
}

struct Row {
  const VulnerableComponent* component;
  const Vulnerability* vulnerability;
};

std::vector<Row> rows_of(const RetireReport& report) {
  std::vector<Row> rows;
  for (const auto& component : report.components) {
    for (const auto& each : component.vulnerabilities) rows.push_back({&component, &each});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.vulnerability->severity > b.vulnerability->severity; });
  return rows;
}

const char* sarif_level(Severity severity) {
  switch (severity) {
    case Severity::critical:
    case Severity::high:
      return "error";
    case Severity::medium:
      return "warning";
    default:
      return "note";
  }
}

std::string rule_of(const Row& row) {
  return row.vulnerability->id.empty() ? row.component->name : row.vulnerability->id;
}

}  // namespace

std::size_t RetireReport::total() const { return std::accumulate(counts.begin(), counts.end(), std::size_t{0}); }

std::string_view to_string(Severity severity) { return words[static_cast<std::size_t>(severity)]; }

RetireReport parse_retire(std::string_view report, std::string_view project) {
  const json root = json::parse(report, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() && !root.is_array()) throw RetireError("retire's report is no JSON");
  if (root.is_object() && !root.contains("data")) throw RetireError("retire's report has no `data`");
  RetireReport result;
  for (const json& error : list(root, "errors")) {
    result.errors.push_back(error.is_string() ? error.get<std::string>() : error.dump());
  }
  for (const json& file : root.is_array() ? root : list(root, "data")) {
    for (const json& found : list(file, "results")) {
      VulnerableComponent component{
          relative_to(text(file, "file"), project), text(found, "component"), text(found, "version"), {}};
      for (const json& each : list(found, "vulnerabilities")) {
        component.vulnerabilities.push_back(vulnerability_of(each));
        ++result.counts[static_cast<std::size_t>(component.vulnerabilities.back().severity)];
      }
      if (!component.vulnerabilities.empty()) result.components.push_back(std::move(component));
    }
  }
  return result;
}

bool reaches(const RetireReport& report, Severity threshold) {
  for (auto each = static_cast<std::size_t>(threshold); each < report.counts.size(); ++each) {
    if (report.counts[each] != 0) return true;
  }
  return false;
}

std::string table_of(const RetireReport& report) {
  constexpr std::size_t summary_width = 60;
  std::array<std::size_t, 3> widths{8, 9, 2};
  const std::vector<Row> rows = rows_of(report);
  const auto package = [](const Row& row) { return row.component->name + " " + row.component->version; };
  for (const Row& row : rows) {
    widths[1] = std::max(widths[1], package(row).size());
    widths[2] = std::max(widths[2], row.vulnerability->id.size());
  }
  std::string out;
  if (!rows.empty()) {
    out += fmt::format("{:<{}}  {:<{}}  {:<{}}  {}\n", "SEVERITY", widths[0], "COMPONENT", widths[1], "ID", widths[2],
                       "WHAT AND WHERE");
  }
  for (const Row& row : rows) {
    std::string what = line_of(row.vulnerability->summary, summary_width);
    if (!row.vulnerability->below.empty()) what += fmt::format(" (before {})", row.vulnerability->below);
    out += fmt::format("{:<{}}  {:<{}}  {:<{}}  {}{}{}\n", to_string(row.vulnerability->severity), widths[0],
                       line_of(package(row), 200), widths[1], row.vulnerability->id, widths[2], what,
                       what.empty() ? "" : ": ", line_of(row.component->file, 300));
  }
  std::string counts;
  for (std::size_t each = report.counts.size(); each-- > 0;) {
    if (report.counts[each] == 0) continue;
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", report.counts[each], words[each]);
  }
  return out + (counts.empty() ? "no vulnerable component was found\n"
                               : fmt::format("{} vulnerabilit{} in {} component{}: {}\n", report.total(),
                                             report.total() == 1 ? "y" : "ies", report.components.size(),
                                             report.components.size() == 1 ? "" : "s", counts));
}

std::string sarif_of(const RetireReport& report, std::string_view tool_version) {
  json rules = json::array();
  json results = json::array();
  std::set<std::string> known;
  for (const Row& row : rows_of(report)) {
    const std::string rule = rule_of(row);
    if (known.insert(rule).second) {
      json description{{"id", rule}, {"shortDescription", {{"text", row.vulnerability->summary}}}};
      if (!row.vulnerability->url.empty()) description["helpUri"] = row.vulnerability->url;
      rules.push_back(std::move(description));
    }
    results.push_back(
        {{"ruleId", rule},
         {"level", sarif_level(row.vulnerability->severity)},
         {"message",
          {{"text",
            fmt::format("{} {}: {}", row.component->name, row.component->version, row.vulnerability->summary)}}},
         {"properties", {{"severity", to_string(row.vulnerability->severity)}}},
         {"locations", json::array({{{"physicalLocation", {{"artifactLocation", {{"uri", row.component->file}}}}}}})}});
  }
  json driver{{"name", "retire.js"}, {"informationUri", "https://retirejs.github.io/retire.js/"}, {"rules", rules}};
  if (!tool_version.empty()) driver["version"] = tool_version;
  const json root{{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                  {"version", "2.1.0"},
                  {"runs", json::array({{{"tool", {{"driver", driver}}}, {"results", results}}})}};
  return root.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string junit_of(const RetireReport& report, Severity threshold) {
  pugi::xml_document document;
  pugi::xml_node suite = document.append_child("testsuites").append_child("testsuite");
  std::size_t failures = 0;
  for (const auto& component : report.components) {
    pugi::xml_node test = suite.append_child("testcase");
    test.append_attribute("classname").set_value(component.file.c_str());
    test.append_attribute("name").set_value(fmt::format("{} {}", component.name, component.version).c_str());
    std::string message;
    for (const auto& each : component.vulnerabilities) {
      if (each.severity < threshold) continue;
      message += fmt::format("{}{} {}: {}", message.empty() ? "" : "\n", to_string(each.severity), each.id,
                             line_of(each.summary, 500));
    }
    if (message.empty()) continue;
    ++failures;
    pugi::xml_node failure = test.append_child("failure");
    failure.append_attribute("message").set_value(message.substr(0, message.find('\n')).c_str());
    failure.text().set(message.c_str());
  }
  suite.append_attribute("name").set_value("retire.js");
  suite.append_attribute("tests").set_value(static_cast<unsigned long long>(report.components.size()));
  suite.append_attribute("failures").set_value(static_cast<unsigned long long>(failures));
  std::ostringstream out;
  document.save(out, " ");
  return out.str();
}

}  // namespace executors::steps
