// The groups of commands. Each adds its subcommands to the program and sets `chosen` when one was given; main runs it.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace runner {

struct CommandLine {
  std::function<int()> chosen;  // what the words asked for; returns the exit code
  std::string database;         // --database, for every command that keeps or reads runs
  std::string config;           // --config
};

// Exit codes (docs/manual.md): stable, scripts rely on them.
namespace exit_code {
inline constexpr int passed = 0, failed = 1, usage = 2, broken = 3, waiting = 4, cancelled = 130;
}

void add_exec(CLI::App&, CommandLine&);         // exec, resume
void add_retry(CLI::App&, CommandLine&);        // retry
void add_approve(CLI::App&, CommandLine&);      // approve, reject
void add_deployments(CLI::App&, CommandLine&);  // deployments
void add_rollback(CLI::App&, CommandLine&);     // rollback
void add_plan(CLI::App&, CommandLine&);         // lint, plan, preview, schema
void add_records(CLI::App&, CommandLine&);      // runs, logs, artifacts, gc
void add_cache(CLI::App&, CommandLine&);        // cache list, cache clear
void add_issuer(CLI::App&, CommandLine&);       // issuer keys, configuration, write, rotate
void add_upkeep(CLI::App&, CommandLine&);       // doctor, completion, __jobs, __supervise

}  // namespace runner
