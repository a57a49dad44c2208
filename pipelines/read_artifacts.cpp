// `artifacts` (docs.gitlab.com/ee/ci/yaml/#artifacts, /artifactsreports).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "pipelines/duration.h"
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
    "cluster_image_scanning",
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
  std::string_view format;
  std::string path;
};

constexpr Word<std::string_view> coverage_formats[] = {{"cobertura", "cobertura"}, {"jacoco", "jacoco"}};

bool read_coverage_format(Reader& reader, const Key& key, Yaml yaml, CoverageReport& out) {
  return reader.word(key, yaml, coverage_formats, out.format);
}

constexpr Field<CoverageReport> coverage_report_fields[] = {
    {"coverage_format", read_coverage_format, words<coverage_formats>},
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
      for (const std::string_view part : {"coverage_format", "path"}) {
        if (value.is_mapping() && !value.find(part)) {
          good = reader.wrong(name, value, fmt::format("needs `{}`", part));
        }
      }
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
  if (yaml.is_string() && is_never(yaml.text())) {
    out.expire_in.reset();
    return true;
  }
  return read(reader, key, yaml, out.expire_in);
}

constexpr Word<int> access_words[] = {{"none", 0}, {"developer", 1}, {"maintainer", 2}, {"all", 3}};

// Who may see them on GitLab's pages: checked, nothing more.
bool read_access(Reader& reader, const Key& key, Yaml yaml, Artifacts&) {
  int word = 0;
  return reader.word(key, yaml, access_words, word);
}

bool read_expose_as(Reader& reader, const Key& key, Yaml yaml, Artifacts&) {
  constexpr std::size_t longest = 100;
  std::string text;
  if (!read(reader, key, yaml, text)) {
    return false;
  }
  const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == ' '; };
  if (text.empty() || text.front() == '-' || text.front() == ' ' || !std::ranges::all_of(text, fits)) {
    return reader.wrong(key, yaml, "can contain only letters, digits, '-', '_' and spaces");
  }
  return text.size() <= longest || reader.wrong(key, yaml, fmt::format("can have at most {} characters", longest));
}

std::string reports_shape() {
  std::string properties;
  for (const std::string_view kind : report_kinds) {
    const Shape shape = kind == "coverage_report" ? Shape{[] { return mapping_shape(coverage_report_fields); }}
                                                  : Shape{shapes::string_or_list};
    properties += (properties.empty() ? "" : ",") + property_shape(kind, Support::done, {}, shape);
  }
  return R"({"type":"object","properties":{)" + properties + R"(},"additionalProperties":false})";
}

constexpr Field<Artifacts> artifacts_fields[] = {
    {"paths", member<&Artifacts::paths>},
    {"exclude", member<&Artifacts::exclude>},
    {"expire_in", read_expire_in, shape_for<std::chrono::seconds>},
    {"when", read_when, words<when_words>},
    {"name", member<&Artifacts::name>},
    {"untracked", member<&Artifacts::untracked>},
    {"reports", read_reports, Shape{reports_shape}},
    {"expose_as", read_expose_as, shape_for<std::string>},
    {"public", checked<bool>},
    {"access", read_access, words<access_words>},
};

// What `expose_as` and the two ways to say who may see artifacts ask of each other.
bool check_together(Reader& reader, const Key& key, Yaml yaml, const Artifacts& artifacts) {
  if (yaml.find("public") && yaml.find("access")) {
    return reader.wrong(key, yaml, "cannot have both `public` and `access`", "keep `access`");
  }
  if (const Yaml shown = yaml.find("expose_as"); shown && !shown.is_null()) {
    const Key expose_as{&key, "expose_as"};
    if (artifacts.paths.empty()) {
      return reader.wrong(expose_as, shown, "needs `artifacts:paths`");
    }
    if (std::ranges::any_of(artifacts.paths, [](const std::string& path) { return path.find('*') != path.npos; })) {
      return reader.wrong(expose_as, shown, "cannot stand beside a path with '*'", "name the file or the folder");
    }
  }
  return true;
}

}  // namespace

std::string shape_of(const Artifacts*) { return mapping_shape(artifacts_fields); }

bool read(Reader& reader, const Key& key, Yaml yaml, Artifacts& out) {
  out.mark = yaml.mark();
  return reader.fields(key, yaml, artifacts_fields, out) && check_together(reader, key, yaml, out);
}

}  // namespace pipelines
