#include "runner/run/reports.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "pipelines/variables.h"
#include "runner/run/report_readers.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t dotenv_limit = 5 * 1024;
constexpr std::size_t dotenv_variables = 20;
// A report of 500,000 tests has about 100 MB; nobody reads the summary of one.
constexpr std::uintmax_t report_limit = 32'000'000, reports_limit = 128'000'000;

std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_symlink() && entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string read_text(const fs::path& path, std::uintmax_t size) {
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// Adds what one file says; what is wrong with it, or nothing.
std::string read_one(const std::string& text, ReportSummary& report, LineCoverage& lines) {
  if (report.kind == "junit") return read_junit(text, report);
  if (report.kind == "coverage_report") return read_coverage_report(text, report, lines);
  if (report.kind == "sarif") return read_sarif(text, report);
  if (report.kind == "codequality") return read_codequality(text, report);
  return read_security(text, report);
}

bool can_be_read(const std::string& kind) {
  static constexpr std::string_view kinds[] = {"junit",
                                               "coverage_report",
                                               "sarif",
                                               "codequality",
                                               "sast",
                                               "dependency_scanning",
                                               "secret_detection",
                                               "container_scanning",
                                               "dast",
                                               "api_fuzzing",
                                               "coverage_fuzzing"};
  return std::find(std::begin(kinds), std::end(kinds), kind) != std::end(kinds);
}

void read_kind(const executors::Collected& part, ReadReports& result) {
  ReportSummary report;
  report.kind = part.kind;
  LineCoverage lines;
  std::uintmax_t read = 0;
  for (const auto& path : files_below(part.directory)) {
    const std::string where = path.lexically_relative(part.directory).string();
    const std::uintmax_t size = fs::file_size(path);
    if (size > report_limit || read + size > reports_limit) {
      result.warnings.push_back(fmt::format("{} report {} is too large to be read; it is kept", part.kind, where));
      continue;
    }
    read += size;
    if (const std::string wrong = read_one(read_text(path, size), report, lines); !wrong.empty()) {
      result.warnings.push_back(fmt::format("{} report {} cannot be read: {}", part.kind, where, wrong));
    }
  }
  if (!report.counts.empty() || report.rate) result.summaries.push_back(std::move(report));
}

}  // namespace

ReadDotenv read_dotenv(const std::vector<executors::Collected>& collected) {
  ReadDotenv result;
  for (const auto& report : collected) {
    if (report.kind != "dotenv") continue;
    for (const auto& path : files_below(report.directory)) {
      const std::string where = path.lexically_relative(report.directory).string();
      const std::uintmax_t size = fs::file_size(path);
      if (size >= dotenv_limit) {
        return {{}, {}, fmt::format("dotenv report {} has {} bytes; it must be smaller than 5 KiB", where, size)};
      }
      pipelines::Dotenv parsed = pipelines::parse_dotenv(read_text(path, size), dotenv_limit, /*report=*/true);
      if (!parsed.refused.empty()) return {{}, {}, fmt::format("dotenv report {}: {}", where, parsed.refused)};
      if (parsed.variables.size() > dotenv_variables) {
        result.warnings.push_back(
            fmt::format("dotenv report {} has {} variables; GitLab's own limit is {}, GitLab.com's 50 to 150", where,
                        parsed.variables.size(), dotenv_variables));
      }
      for (auto& variable : parsed.variables) result.variables.push_back(std::move(variable));
    }
  }
  return result;
}

ReadReports read_reports(const std::vector<executors::Collected>& collected) {
  ReadReports result;
  for (const auto& part : collected) {
    if (!can_be_read(part.kind)) continue;
    try {
      read_kind(part, result);
    } catch (const std::exception& error) {
      result.warnings.push_back(fmt::format("{} report cannot be read: {}", part.kind, error.what()));
    }
  }
  return result;
}

}  // namespace runner
