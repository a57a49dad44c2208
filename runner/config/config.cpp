#include "runner/config/config.h"

#include <toml++/toml.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <variant>

#include "pipelines/diagnostic.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

// Where a value stands: it becomes the setting's origin, and begins a complaint about it.
struct Place {
  std::string origin;  // "/etc/runner/config.toml:3", "RUNNER_IMAGE"
  std::string what;    // "/etc/runner/config.toml:3:1: image", "RUNNER_IMAGE"
};

using Values = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>, executors::Environment>;

[[noreturn]] void complain(const std::string& what, const std::string& wanted, const std::string& got = {}) {
  throw ConfigError(what + ": expected " + wanted + (got.empty() ? "" : ", not \"" + got + "\""));
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// --- A value of the file or the environment as the type a setting has -----------------------------------------------

void read(const Values& value, const std::string& what, std::string& out) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text) complain(what, "a string");
  out = *text;
}

void read(const Values& value, const std::string& what, fs::path& out) {
  std::string text;
  read(value, what, text);
  if (text.empty()) complain(what, "a path");
  out = text;
}

void read(const Values& value, const std::string& what, bool& out) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    out = *flag;
    return;
  }
  const auto* text = std::get_if<std::string>(&value);
  if (text && (*text == "true" || *text == "1" || *text == "yes")) {
    out = true;
  } else if (text && (*text == "false" || *text == "0" || *text == "no" || text->empty())) {
    out = false;
  } else {
    complain(what, "true or false", text ? *text : "");
  }
}

void read(const Values& value, const std::string& what, double& out) {
  std::optional<double> found;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) found = static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&value)) found = *real;
  if (const auto* text = std::get_if<std::string>(&value)) found = number<double>(*text);
  if (!found || !std::isfinite(*found) || *found < 0) complain(what, "a number that is not negative");
  out = *found;
}

void read(const Values& value, const std::string& what, std::int64_t& out) {
  std::optional<std::int64_t> found;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) found = *whole;
  if (const auto* text = std::get_if<std::string>(&value)) found = number<std::int64_t>(*text);
  if (!found) complain(what, "a whole number");
  out = *found;
}

void read(const Values& value, const std::string& what, unsigned& out) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    out = parse_parallel(*text, what);
    return;
  }
  std::int64_t whole = -1;
  read(value, what, whole);
  out = parse_parallel(std::to_string(whole), what);
}

void read(const Values& value, const std::string& what, std::uint64_t& out) {  // a size
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    if (*whole < 0) complain(what, "a number of bytes or a text like \"512m\"", std::to_string(*whole));
    out = static_cast<std::uint64_t>(*whole);
    return;
  }
  const auto* text = std::get_if<std::string>(&value);
  if (!text) complain(what, "a number of bytes or a text like \"512m\"");
  out = parse_size(*text, what);
}

void read(const Values& value, const std::string& what, std::vector<std::string>& out) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    out = *list;
    return;
  }
  const auto* text = std::get_if<std::string>(&value);  // an environment variable: separated by commas
  if (!text) complain(what, "a list of strings");
  out.clear();
  std::istringstream parts(*text);
  for (std::string part; std::getline(parts, part, ',');) {
    if (!part.empty()) out.push_back(part);
  }
}

void read(const Values& value, const std::string& what, executors::Environment& out) {
  if (const auto* table = std::get_if<executors::Environment>(&value)) {
    out = *table;
    return;
  }
  std::vector<std::string> list;
  if (!std::holds_alternative<std::vector<std::string>>(value) && !std::holds_alternative<std::string>(value)) {
    complain(what, "a table of strings or a list of \"NAME=VALUE\"");
  }
  read(value, what, list);
  out.clear();
  for (const std::string& item : list) {
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0) complain(what, "NAME=VALUE", item);
    out.emplace_back(item.substr(0, equals), item.substr(equals + 1));
  }
}

void read(const Values& value, const std::string& what, ExecutorKind& out) {
  std::string text;
  read(value, what, text);
  out = parse_executor(text, what);
}

void read(const Values& value, const std::string& what, executors::Network& out) {
  std::string text;
  read(value, what, text);
  out = parse_network(text, what);
}

void read(const Values& value, const std::string& what, executors::WorkspaceKind& out) {
  std::string text;
  read(value, what, text);
  if (text == "auto") {
    out = executors::WorkspaceKind::automatic;
  } else if (text == "overlay") {
    out = executors::WorkspaceKind::overlay;
  } else if (text == "copy") {
    out = executors::WorkspaceKind::copy;
  } else if (text == "archive") {
    out = executors::WorkspaceKind::archive;
  } else {
    complain(what, "auto, overlay, copy or archive", text);
  }
}

void read(const Values& value, const std::string& what, std::vector<pipelines::PullPolicy>& out) {
  std::vector<std::string> words;
  read(value, what, words);
  out.clear();
  for (const std::string& word : words) {
    if (word == "always") {
      out.push_back(pipelines::PullPolicy::always);
    } else if (word == "if-not-present" || word == "missing") {
      out.push_back(pipelines::PullPolicy::if_not_present);
    } else if (word == "never") {
      out.push_back(pipelines::PullPolicy::never);
    } else {
      complain(what, "always, if-not-present or never", word);
    }
  }
}

// --- And back, for `config show` -------------------------------------------------------------------------------------

std::string text_of(const std::string& value) { return value; }
std::string text_of(const fs::path& value) { return value.string(); }
std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}
std::string text_of(std::int64_t value) { return std::to_string(value); }
std::string text_of(std::uint64_t value) { return std::to_string(value); }
std::string text_of(unsigned value) { return std::to_string(value); }
std::string text_of(ExecutorKind value) { return value == ExecutorKind::docker ? "docker" : "shell"; }
std::string text_of(executors::Network value) { return value == executors::Network::bridge ? "bridge" : "none"; }
std::string text_of(executors::WorkspaceKind value) {
  switch (value) {
    case executors::WorkspaceKind::automatic:
      return "auto";
    case executors::WorkspaceKind::overlay:
      return "overlay";
    case executors::WorkspaceKind::copy:
      return "copy";
    case executors::WorkspaceKind::archive:
      return "archive";
  }
  return {};
}
std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ",") + part;
  return out;
}
std::string text_of(const std::vector<std::string>& value) { return joined(value); }
std::string text_of(const executors::Environment& value) {
  // Names alone: values may be secrets.
  std::vector<std::string> names;
  for (const auto& [name, _] : value) names.push_back(name + "=…");
  return joined(names);
}
std::string text_of(const std::vector<pipelines::PullPolicy>& value) {
  std::vector<std::string> words;
  words.reserve(value.size());
  for (const pipelines::PullPolicy policy : value) {
    words.emplace_back(policy == pipelines::PullPolicy::always           ? "always"
                       : policy == pipelines::PullPolicy::if_not_present ? "if-not-present"
                                                                         : "never");
  }
  return joined(words);
}

// --- The keys --------------------------------------------------------------------------------------------------------

// Calls `each(section, key, environment variable, setting)` for every key there is. The only list of them.
template <class AnyConfig, class Each>
void for_each_key(AnyConfig& c, const Each& each) {
  each("", "executor", "RUNNER_EXECUTOR", c.executor);
  each("", "parallel", "RUNNER_PARALLEL", c.parallel);
  each("", "image", "RUNNER_IMAGE", c.image);
  each("", "database", "RUNNER_DATABASE", c.database);
  each("docker", "host", "RUNNER_DOCKER_HOST", c.docker.host);
  each("docker", "cert_path", "RUNNER_DOCKER_CERT_PATH", c.docker.cert_path);
  each("docker", "tls_verify", "RUNNER_DOCKER_TLS_VERIFY", c.docker.tls_verify);
  each("docker", "network", "RUNNER_NETWORK", c.network);
  each("docker", "volumes", "RUNNER_VOLUMES", c.docker.volumes);
  each("docker", "environment", "RUNNER_ENVIRONMENT", c.docker.environment);
  each("docker", "cpus", "RUNNER_CPUS", c.docker.cpus);
  each("docker", "memory", "RUNNER_MEMORY", c.docker.memory);
  each("docker", "pids", "RUNNER_PIDS", c.docker.pids);
  each("docker", "privileged", "RUNNER_PRIVILEGED", c.docker.privileged);
  each("docker", "pull_policy", "RUNNER_PULL_POLICY", c.docker.pull_policy);
  each("docker", "workspace", "RUNNER_WORKSPACE", c.docker.workspace);
  each("shell", "environment", "RUNNER_SHELL_ENVIRONMENT", c.shell.environment);
  each("resource_groups", "process_mode", "RUNNER_PROCESS_MODE", c.process_modes);
  each("include", "allowed_hosts", "RUNNER_INCLUDE_ALLOWED_HOSTS", c.include.allowed_hosts);
  each("include", "templates", "RUNNER_INCLUDE_TEMPLATES", c.include.templates);
  each("include", "projects", "RUNNER_INCLUDE_PROJECTS", c.include.projects);
  each("cache", "limit", "RUNNER_CACHE_LIMIT", c.cache.limit);
  each("cache", "days", "RUNNER_CACHE_DAYS", c.cache.days);
  each("id_tokens", "issuer", "RUNNER_ID_TOKENS_ISSUER", c.id_tokens.issuer);
  each("id_tokens", "key", "RUNNER_ID_TOKENS_KEY", c.id_tokens.key);
  each("secrets", "ca_file", "RUNNER_SECRETS_CA_FILE", c.secrets.ca_file);
  each("logs", "limit", "RUNNER_LOG_LIMIT", c.log_limit);
}

std::string dotted(std::string_view section, std::string_view key) {
  return section.empty() ? std::string(key) : std::string(section) + "." + std::string(key);
}

template <class T>
void assign(Setting<T>& setting, const Values& value, const Place& place) {
  T read_value{};
  read(value, place.what, read_value);
  setting.set(std::move(read_value), place.origin);
}

// --- One file --------------------------------------------------------------------------------------------------------

class File {
 public:
  File(Config& config, std::string name, const std::string& text) : config_(config), name_(std::move(name)) {
    try {
      root_ = toml::parse(text, name_);
    } catch (const toml::parse_error& error) {
      throw ConfigError(at(error.source()) + ": " + std::string(error.description()));
    }
  }

  // Every complaint at once.
  void load() {
    for (const auto& [key, node] : root_) {
      if (const toml::table* table = node.as_table(); table && is_section(key.str())) {
        for (const auto& [inner, value] : *table) apply(key.str(), inner, value);
      } else {
        apply("", key, node);
      }
    }
    if (!complaints_.empty()) throw ConfigError(complaints_);
  }

 private:
  std::string at(const toml::source_region& source) const {
    return name_ + ":" + std::to_string(source.begin.line) + ":" + std::to_string(source.begin.column);
  }

  bool is_section(std::string_view name) {
    bool found = false;
    for_each_key(config_, [&](std::string_view section, std::string_view, const char*, auto&) {
      found = found || (!section.empty() && section == name);
    });
    return found;
  }

  void apply(std::string_view section, const toml::key& key, const toml::node& node) {
    const std::string name = dotted(section, key.str());
    const Place place{name_ + ":" + std::to_string(key.source().begin.line), at(key.source()) + ": " + name};
    bool known = false;
    try {
      for_each_key(config_, [&](std::string_view wanted_section, std::string_view wanted, const char*, auto& setting) {
        // The image for jobs without one may also stand where the other settings of containers do.
        const bool alias = wanted_section.empty() && wanted == "image" && section == "docker";
        if ((wanted_section != section && !alias) || wanted != key.str()) return;
        known = true;
        assign(setting, value_of(node, place.what), place);
      });
      if (!known) complain_of_unknown(section, key, node);
    } catch (const ConfigError& error) {
      complaints_ += (complaints_.empty() ? "" : "\n") + std::string(error.what());
    }
  }

  void complain_of_unknown(std::string_view section, const toml::key& key, const toml::node& node) {
    std::vector<std::string_view> names;
    std::string elsewhere;
    for_each_key(config_, [&](std::string_view in, std::string_view name, const char*, auto&) {
      if (in == section && !node.is_table()) names.push_back(name);
      if (section.empty() && !in.empty() && (names.empty() || names.back() != in)) names.push_back(in);
      if (in != section && name == key.str()) elsewhere = in;
    });
    const std::string what = node.is_table() && section.empty()
                                 ? "unknown table [" + std::string(key.str()) + "]"
                                 : "unknown key \"" + std::string(key.str()) + "\"" +
                                       (section.empty() ? "" : " in [" + std::string(section) + "]");
    std::string message = at(key.source()) + ": " + what;
    if (const std::string_view near = pipelines::nearest(key.str(), names); !near.empty()) {
      message += "; did you mean \"" + std::string(near) + "\"?";
    } else if (!elsewhere.empty()) {
      message += "; it belongs in [" + elsewhere + "]";
    }
    throw ConfigError(message);
  }

  static Values value_of(const toml::node& node, const std::string& what) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* whole = node.as_integer()) return whole->get();
    if (const auto* real = node.as_floating_point()) return real->get();
    if (const auto* flag = node.as_boolean()) return flag->get();
    if (const auto* array = node.as_array()) {
      std::vector<std::string> list;
      for (const toml::node& item : *array) {
        const auto* text = item.as_string();
        if (!text) complain(what, "a list of strings");
        list.push_back(text->get());
      }
      return list;
    }
    if (const auto* table = node.as_table()) {
      executors::Environment pairs;
      for (const auto& [key, value] : *table) {
        const auto* text = value.as_string();
        if (!text) complain(what + "." + std::string(key.str()), "a string");
        pairs.emplace_back(key.str(), text->get());
      }
      return pairs;
    }
    complain(what, "another kind of value");
  }

  Config& config_;
  std::string name_;
  toml::table root_;
  std::string complaints_;
};

// False: there is none.
bool load_file(Config& config, const fs::path& path, bool must_exist) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  const bool read_something = in && (in.peek() == std::ifstream::traits_type::eof() || text << in.rdbuf());
  if (!read_something || in.bad()) {
    const int error = errno;
    if (!must_exist && (error == ENOENT || error == ENOTDIR)) return false;
    throw ConfigError(path.string() + ": cannot read the configuration: " + std::strerror(error ? error : EIO));
  }
  File(config, path.string(), std::move(text).str()).load();
  return true;
}

std::optional<fs::path> home_directory(const EnvironmentLookup& environment, const char* variable,
                                       const char* below_home) {
  // The XDG specification has relative paths ignored.
  if (const auto named = environment(variable); named && named->starts_with('/')) return *named;
  if (const auto home = environment("HOME"); home && !home->empty()) return fs::path(*home) / below_home;
  return std::nullopt;
}

}  // namespace

EnvironmentLookup process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (!value) return std::nullopt;
    return value;
  };
}

fs::path default_state_directory(const EnvironmentLookup& environment) {
  if (const auto directory = home_directory(environment, "XDG_STATE_HOME", ".local/state"))
    return *directory / "runner";
  return "/var/lib/runner";
}

Config load_config(const ConfigSource& source) {
  Config config;
  config.database.value = default_state_directory(source.environment) / "runner.db";

  std::optional<fs::path> named = source.file;
  if (!named) {
    if (const auto variable = source.environment("RUNNER_CONFIG"); variable && !variable->empty()) named = *variable;
  }
  if (named) {
    load_file(config, *named, true);
  } else {
    load_file(config, source.system_file, false);
    if (const auto directory = home_directory(source.environment, "XDG_CONFIG_HOME", ".config")) {
      load_file(config, *directory / "runner" / "config.toml", false);
    }
  }
  for_each_key(config, [&](std::string_view, std::string_view, const char* variable, auto& setting) {
    const auto value = source.environment(variable);
    if (value && !value->empty()) assign(setting, *value, {variable, variable});
  });
  return config;
}

std::vector<ShownSetting> show(const Config& config) {
  std::vector<ShownSetting> all;
  for_each_key(config, [&](std::string_view section, std::string_view key, const char*, const auto& setting) {
    all.push_back({dotted(section, key), text_of(setting.value), setting.origin});
  });
  return all;
}

GcOptions Config::cache_limits() const {
  constexpr std::int64_t day = 24LL * 3600 * 1000;
  GcOptions limits;
  limits.caches_limit = cache.limit.value;
  if (cache.days.value > 0) limits.keep_caches = cache.days.value * day;
  return limits;
}

executors::DockerSettings Config::docker_settings(std::string owner, fs::path state) const {
  executors::DockerSettings settings;
  settings.host = docker.host.value;
  settings.cert_path = docker.cert_path.value;
  settings.tls_verify = docker.tls_verify.value;
  settings.volumes = docker.volumes.value;
  settings.environment = docker.environment.value;
  settings.cpus = docker.cpus.value;
  settings.memory = docker.memory.value;
  settings.pids = docker.pids.value;
  settings.privileged = docker.privileged.value;
  settings.pull_policy = docker.pull_policy.value;
  settings.workspace = docker.workspace.value;
  settings.owner = std::move(owner);
  settings.state = std::move(state);
  return settings;
}

executors::ShellSettings Config::shell_settings(fs::path state, std::string supervisor) const {
  return {shell.environment.value, std::move(state), std::move(supervisor)};
}

std::uint64_t parse_size(const std::string& text, const std::string& what) {
  const std::string wanted = "a size like 512m, 2g or 1048576";
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) complain(what, wanted, text);
  std::string unit(end, text.data() + text.size());
  for (char& c : unit) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  // All powers of 1024, as the docker CLI reads them.
  unsigned shift = 0;
  if (unit == "k" || unit == "kb" || unit == "kib") {
    shift = 10;
  } else if (unit == "m" || unit == "mb" || unit == "mib") {
    shift = 20;
  } else if (unit == "g" || unit == "gb" || unit == "gib") {
    shift = 30;
  } else if (unit == "t" || unit == "tb" || unit == "tib") {
    shift = 40;
  } else if (!unit.empty() && unit != "b") {
    complain(what, wanted, text);
  }
  if (value > (std::uint64_t{1} << 62U) >> shift) complain(what, "a smaller size", text);
  return value << shift;
}

ExecutorKind parse_executor(const std::string& text, const std::string& what) {
  if (text == "docker") return ExecutorKind::docker;
  if (text == "shell") return ExecutorKind::shell;
  complain(what, "docker or shell", text);
}

executors::Network parse_network(const std::string& text, const std::string& what) {
  if (text == "bridge") return executors::Network::bridge;
  if (text == "none") return executors::Network::none;
  complain(what, "bridge or none", text);
}

std::vector<pipelines::PullPolicy> parse_pull_policy(const std::string& text, const std::string& what) {
  std::vector<pipelines::PullPolicy> policies;
  read(text, what, policies);
  if (policies.empty()) complain(what, "always, if-not-present or never");
  return policies;
}

unsigned parse_parallel(const std::string& text, const std::string& what) {
  const auto value = number<unsigned>(text);
  if (!value || *value > 1000) complain(what, "a number of jobs from 0 (twice the processors) to 1000", text);
  return *value;
}

}  // namespace runner
