// The administrator's and the user's settings: what no pipeline may say.
//
// Precedence: flag > RUNNER_* > $XDG_CONFIG_HOME/runner/config.toml > /etc/runner/config.toml. Flags are the command
// line's business: it calls Setting::set with the flag's name. `--config FILE` or RUNNER_CONFIG replaces both files.
// The keys are listed once, in config.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "executors/make.h"
#include "runner/secrets/id_token.h"
#include "runner/store/store.h"

namespace runner {

// A configuration that cannot be used. One line per fault, those in a file beginning FILE:LINE:COLUMN.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A value that remembers who set it: "default", "RUNNER_IMAGE", "--image", "/etc/runner/config.toml:3".
template <class T>
struct Setting {
  T value{};
  std::string origin = "default";
  void set(T new_value, std::string from) {
    value = std::move(new_value);
    origin = std::move(from);
  }
};

enum class ExecutorKind : std::uint8_t { docker, shell };

struct Config {
  Setting<ExecutorKind> executor;
  Setting<unsigned> parallel;               // jobs at a time; 0: twice as many as this machine has processors
  Setting<std::string> image;               // for jobs without one; empty: such a plan is refused
  Setting<std::filesystem::path> database;  // never empty
  Setting<executors::Network> network;      // of jobs that do not say RUNNER_NETWORK themselves

  struct Docker {
    Setting<std::string> host, cert_path;
    Setting<bool> tls_verify;
    Setting<std::vector<std::string>> volumes;  // "host:container[:ro]"
    Setting<executors::Environment> environment;
    Setting<double> cpus;           // 0: no limit
    Setting<std::uint64_t> memory;  // bytes; 0: no limit
    Setting<std::int64_t> pids{4096};
    Setting<bool> privileged;
    Setting<std::vector<pipelines::PullPolicy>> pull_policy;  // empty: if-not-present
    Setting<executors::WorkspaceKind> workspace;
  } docker;

  struct Shell {
    Setting<executors::Environment> environment;
  } shell;

  // Group = unordered, oldest_first, newest_first or newest_ready_first (GitLab sets it by its API).
  Setting<executors::Environment> process_modes;

  struct Include {
    Setting<std::vector<std::string>> allowed_hosts;  // HOST or HOST:PORT that `remote` may ask whatever its address is
    Setting<std::filesystem::path> templates;         // a directory; empty: `template` has none
    Setting<executors::Environment> projects;         // "group/project" to its clone
  } include;
  struct Cache {
    Setting<std::uint64_t> limit{std::uint64_t{20} << 30};  // bytes of all caches together
    Setting<std::int64_t> days{30};                         // without a use; 0: for ever
  } cache;

  struct IdTokens {
    Setting<std::string> issuer{default_issuer};  // a URL, without a slash at the end
    Setting<std::filesystem::path> key;           // PEM; empty: beside the database
  } id_tokens;
  struct Secrets {
    Setting<std::filesystem::path> ca_file;  // PEM: whom servers that have secrets may be certified by
  } secrets;

  Setting<std::uint64_t> log_limit{100'000'000};  // [logs] limit: bytes kept of one job's log

  GcOptions cache_limits() const;  // as the store wants them; `now` is not set

  // The settings that make.h wants. `state` is the directory all job directories are below.
  executors::DockerSettings docker_settings(std::string owner, std::filesystem::path state) const;
  executors::ShellSettings shell_settings(std::filesystem::path state, std::string supervisor) const;
};

using EnvironmentLookup = std::function<std::optional<std::string>(const std::string&)>;
EnvironmentLookup process_environment();  // getenv

struct ConfigSource {
  std::optional<std::filesystem::path> file;  // --config
  EnvironmentLookup environment = process_environment();
  std::filesystem::path system_file = "/etc/runner/config.toml";
};

// Throws ConfigError: a file that was named and is not there, a syntax error, an unknown key, a value of the wrong
// kind.
Config load_config(const ConfigSource& = {});

// Every key with its value as text and its origin, in the order of the manual: for `runner config show --origin`.
struct ShownSetting {
  std::string key, value, origin;
};
std::vector<ShownSetting> show(const Config&);

// Values as people write them, also for flags. Throw ConfigError, naming `what`.
std::uint64_t parse_size(const std::string& text, const std::string& what);  // "512m", "2GiB", "1048576"
ExecutorKind parse_executor(const std::string& text, const std::string& what);
executors::Network parse_network(const std::string& text, const std::string& what);
std::vector<pipelines::PullPolicy> parse_pull_policy(const std::string& text,
                                                     const std::string& what);  // "always,never"
unsigned parse_parallel(const std::string& text, const std::string& what);

// Where state is kept unless a database is named: $XDG_STATE_HOME/runner, else ~/.local/state/runner, else
// /var/lib/runner.
std::filesystem::path default_state_directory(const EnvironmentLookup&);

}  // namespace runner
