#include "runner/run/reports.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "pipelines/variables.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t dotenv_limit = 5 * 1024;

std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_symlink() && entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

ReadDotenv read_dotenv(const std::vector<executors::Collected>& collected) {
  ReadDotenv result;
  for (const auto& report : collected) {
    if (report.kind != "dotenv") continue;
    for (const auto& path : files_below(report.directory)) {
      const std::string where = path.lexically_relative(report.directory).string();
      if (fs::file_size(path) > dotenv_limit) {
        result.warnings.push_back(
            fmt::format("dotenv report {} is larger than 5 KiB: the rest of it is ignored", where));
      }
      std::ifstream file(path, std::ios::binary);
      std::string text(dotenv_limit, '\0');
      file.read(text.data(), static_cast<std::streamsize>(text.size()));
      text.resize(static_cast<std::size_t>(file.gcount()));
      pipelines::Dotenv parsed = pipelines::parse_dotenv(text, dotenv_limit);
      for (const auto& warning : parsed.warnings) {
        result.warnings.push_back(fmt::format("dotenv report {}: {}", where, warning));
      }
      for (auto& variable : parsed.variables) result.variables.push_back(std::move(variable));
    }
  }
  return result;
}

}  // namespace runner
