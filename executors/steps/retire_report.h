// What retire.js found (github.com/RetireJS/retire.js, the reporter `json` of version 5), and how it is told: a table
// for people, SARIF 2.1.0 (docs.oasis-open.org/sarif) and JUnit for tools. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/steps.h"

namespace executors::steps {

using Severity = pipelines::RetireScan::Severity;

struct Vulnerability {
  Severity severity = Severity::medium;  // what retire does not rate counts as medium
  std::string id;                        // CVE-…, GHSA-… or retire's own
  std::string summary, url;
  std::string below;  // versions under this one are affected; empty: not said
};

struct VulnerableComponent {
  std::string file;  // relative to the project where it lies in it
  std::string name, version;
  std::vector<Vulnerability> vulnerabilities;
};

struct RetireReport {
  std::vector<VulnerableComponent> components;  // with at least one vulnerability; in the report's order
  std::vector<std::string> errors;              // the tool's own: then nothing can be said of the project
  std::array<std::size_t, 5> counts{};  // of vulnerabilities, by Severity; a component in two files counts twice
  std::size_t total() const;
};

class RetireError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// `project`: the folder that absolute paths are made relative to. Throws RetireError when it is no such report.
RetireReport parse_retire(std::string_view json, std::string_view project);

std::string_view to_string(Severity);
// Whether something is at or above it; `none`: whether there is anything.
bool reaches(const RetireReport&, Severity threshold);

// One line for each vulnerability, in columns, the worst first; then the counts.
std::string table_of(const RetireReport&);
std::string sarif_of(const RetireReport&, std::string_view tool_version);
// One test case per component, failed by what is at or above the threshold.
std::string junit_of(const RetireReport&, Severity threshold);

}  // namespace executors::steps
