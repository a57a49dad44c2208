#include "runner/cli/setup.h"

#include <fmt/chrono.h>

#include <chrono>
#include <filesystem>

namespace runner {

Config configuration(const CommandLine& line) {
  ConfigSource source;
  if (!line.config.empty()) source.file = line.config;
  Config config = load_config(source);
  if (!line.database.empty()) config.database.set(line.database, "--database");
  return config;
}

std::unique_ptr<Store> open_store(const Config& config, bool read_only) {
  Store::Options options;
  options.file = config.database.value;
  options.log_limit = config.log_limit.value;
  options.read_only = read_only;
  return std::make_unique<Store>(std::move(options));
}

IncludeSettings include_settings(const Config& config) {
  IncludeSettings settings;
  settings.projects = config.include.projects.value;
  settings.templates = config.include.templates.value;
  settings.allowed_hosts = config.include.allowed_hosts.value;
  settings.cache = std::filesystem::absolute(config.database.value).string() + ".includes";
  return settings;
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms);
}

}  // namespace runner
