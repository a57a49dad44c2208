// `artifacts` (docs.gitlab.com/ee/ci/yaml/#artifacts, /artifactsreports).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr Word<ArtifactsWhen> when_words[] = {
    {"on_success", ArtifactsWhen::on_success},
    {"on_failure", ArtifactsWhen::on_failure},
    {"always", ArtifactsWhen::always},
};

// Reports are files for GitLab's merge request pages; all are kept, dotenv and junit mean something here too.
constexpr std::string_view report_kinds[] = {
    "accessibility",
    "annotations",
    "api_fuzzing",
    "browser_performance",
    "codequality",
    "container_scanning",
    "coverage_fuzzing",
    "coverage_report",
    "cyclonedx",
    "dast",
    "dependency_scanning",
    "dotenv",
    "junit",
    "license_scanning",
    "load_performance",
    "lsif",
    "metrics",
    "performance",
    "repository_xray",
    "requirements",
    "requirements_v2",
    "sarif",
    "sast",
    "scip",
    "secret_detection",
    "terraform",
};

struct CoverageReport {
  std::string format;
  std::string path;
};

constexpr Field<CoverageReport> coverage_report_fields[] = {
    {"coverage_format", member<&CoverageReport::format>},
    {"path", member<&CoverageReport::path>},
};

bool read_reports(Reader& reader, const Key& key, Yaml yaml, Artifacts& out) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of report kinds to paths",
                           "for example `reports: { junit: report.xml }`");
  }
  out.reports.clear();
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const std::string_view kind = yaml.key(i).text();
    if (std::ranges::find(report_kinds, kind) == std::end(report_kinds)) {
      reader.unknown(key.quoted(), yaml.key(i), {std::begin(report_kinds), std::end(report_kinds)});
      good = false;
      continue;
    }
    const Yaml value = yaml.value(i);
    if (value.is_null()) {
      continue;
    }
    Report& report = out.reports.emplace_back();
    report.kind = kind;
    const Key name{&key, kind};
    if (kind == "coverage_report") {
      CoverageReport coverage;
      good = reader.fields(name, value, coverage_report_fields, coverage) && good;
      report.paths.push_back(coverage.path);
    } else {
      good = read_string_or_list(reader, name, value, report.paths) && good;
    }
  }
  return good;
}

bool read_when(Reader& reader, const Key& key, Yaml yaml, Artifacts& out) {
  return reader.word(key, yaml, when_words, out.when);
}

bool read_expire_in(Reader& reader, const Key& key, Yaml yaml, Artifacts& out) {
  if (yaml.is_string() && yaml.text() == "never") {
    out.expire_in.reset();
    return true;
  }
  return read(reader, key, yaml, out.expire_in);
}

constexpr Field<Artifacts> artifacts_fields[] = {
    {"paths", member<&Artifacts::paths>},
    {"exclude", member<&Artifacts::exclude>},
    {"expire_in", read_expire_in},
    {"when", read_when},
    {"name", member<&Artifacts::name>},
    {"untracked", member<&Artifacts::untracked>},
    {"reports", read_reports},
    // Who may see them on GitLab's pages.
    {"expose_as", checked<std::string>},
    {"public", checked<bool>},
    {"access", checked<std::string>},
};

}  // namespace

bool read(Reader& reader, const Key& key, Yaml yaml, Artifacts& out) {
  out.mark = yaml.mark();
  return reader.fields(key, yaml, artifacts_fields, out);
}

}  // namespace pipelines
