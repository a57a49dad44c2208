#include "runner/cli/setup.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <filesystem>

#include "runner/cli/load.h"

namespace runner {

Config configuration(const CommandLine& line) {
  ConfigSource source;
  if (!line.config.empty()) source.file = line.config;
  Config config = load_config(source);
  if (!line.database.empty()) config.database.set(line.database, "--database");
  return config;
}

namespace {

Store::Options store_options(const Config& config) {
  Store::Options options;
  options.file = config.database.value;
  options.log_limit = config.log_limit.value;
  return options;
}

}  // namespace

std::unique_ptr<Store> open_store(const Config& config) { return std::make_unique<Store>(store_options(config)); }

std::unique_ptr<Store> open_existing_store(const Config& config, bool make_room) {
  std::error_code ignored;  // what cannot be looked at is told when it is opened
  if (std::filesystem::status(config.database.value, ignored).type() == std::filesystem::file_type::not_found) {
    return nullptr;
  }
  Store::Options options = store_options(config);
  options.make_room = make_room;
  return std::make_unique<Store>(options);
}

std::unique_ptr<Store> open_recorded_store(const Config& config) {
  auto store = open_existing_store(config);
  if (!store) {
    throw UsageError(fmt::format("nothing has run yet: there is no {}\nhint: `runner exec` runs a pipeline",
                                 config.database.value.string()));
  }
  return store;
}

IncludeSettings include_settings(const Config& config) {
  IncludeSettings settings;
  settings.projects = config.include.projects.value;
  settings.templates = config.include.templates.value;
  settings.allowed_hosts = config.include.allowed_hosts.value;
  settings.cache = std::filesystem::absolute(config.database.value).string() + ".includes";
  return settings;
}

CredentialSettings credential_settings(const Config& config, const EnvironmentLookup& environment) {
  CredentialSettings settings;
  const Setting<std::string>& issuer = config.id_tokens.issuer;
  settings.issuer = issuer.value;
  while (settings.issuer.ends_with('/')) settings.issuer.pop_back();
  const bool has_scheme = settings.issuer.starts_with("https://") || settings.issuer.starts_with("http://");
  if (!has_scheme || settings.issuer.ends_with(':') || settings.issuer.find_first_of("?# ") != std::string::npos) {
    throw ConfigError(issuer.origin + ": id_tokens.issuer: expected an address like https://ci.example.com, not \"" +
                      issuer.value + "\"");
  }
  settings.key =
      config.id_tokens.key.value.empty()
          ? std::filesystem::path(std::filesystem::absolute(config.database.value).string() + ".id_token_key")
          : std::filesystem::absolute(config.id_tokens.key.value);
  // The names that Vault's and Azure's own clients look for.
  settings.ca_file = config.secrets.ca_file.value.string();
  if (settings.ca_file.empty()) settings.ca_file = environment("VAULT_CACERT").value_or("");
  settings.ca_path = environment("VAULT_CAPATH").value_or("");
  if (const auto authority = environment("AZURE_AUTHORITY_HOST"); authority && !authority->empty()) {
    settings.azure_authority = *authority;
  }
  return settings;
}

RunId resumed_with(const Store& store, const std::vector<RunId>& orphans, RunId run) {
  for (auto row = store.run(run); row && row->parent != 0; row = store.run(row->parent)) {
    if (std::find(orphans.begin(), orphans.end(), row->parent) == orphans.end()) break;
    run = row->parent;
  }
  return run;
}

std::string utc_text(UnixMs time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(time / 1000)), time % 1000);
}

std::string local_text(UnixMs time) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(static_cast<std::time_t>(time / 1000)));
}

std::string now_text() { return utc_text(unix_now()); }

}  // namespace runner
