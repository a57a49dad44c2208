// `runner rollback`: an earlier deployment of an environment, made again with all that it was made of.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/cli/again.h"
#include "runner/cli/running.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"
#include "runner/hosts/commits.h"
#include "runner/run/rollback.h"

namespace runner {
namespace {

struct RollbackOptions {
  ExecOptions exec;
  std::string environment, project = ".";
  std::uint64_t to = 0;
};

int rollback(const CommandLine& line, RollbackOptions options) {
  ExecOptions& exec = options.exec;
  Config config = configure(line, exec);
  const auto store = open_recorded_store(config);
  const std::string project = project_identity(std::filesystem::absolute(options.project));
  const RollbackTarget target = find_rollback(*store, project, options.environment, options.to);
  if (!target.refused.empty()) throw UsageError(target.refused);
  const auto run = store->run(target.deployment.key.run);
  if (!run) throw UsageError(fmt::format("there is no run {}", target.deployment.key.run));
  if (run->parent != 0) {
    throw UsageError(
        fmt::format("run {} is a child pipeline of run {}\nhint: `runner retry {}` runs it anew with the "
                    "job that started it",
                    run->id, run->parent, run->parent));
  }
  const auto [loaded, masked] = load_recorded(*run, exec, config);
  if (print_diagnostics(*loaded)) return exit_code::usage;
  const RolledBack back = make_again(*store, *run, *loaded, target);
  SessionSettings::Retry how;
  how.of = run->id;
  how.rollback_of = target.deployment.id;
  how.reused = back.reused;
  SourcesOfThen sources;
  if (exec.plan.revision.empty()) {
    how.same_sources = true;
    sources = sources_of(*store, *run);
    if (sources.snapshots.empty()) {
      throw UsageError(fmt::format("deployment {} cannot be made again: the sources of run {} are not kept any more",
                                   target.deployment.id, run->id));
    }
  } else {
    exec.plan.revision = run->sha;
  }
  say("runner: rolling {} back to deployment {}, {} of run {}\n", options.environment, target.deployment.id,
      fmt::join(back.jobs, ", "), run->id);
  std::string recorded = record_again(run->options, back.jobs, exec.plan.revision, back.only);
  Start begun{*loaded, config, exec, masked, std::move(recorded), std::nullopt, std::move(how)};
  begun.database = line.database;
  return start(*store, begun);
}

}  // namespace

void add_rollback(CLI::App& app, CommandLine& line) {
  auto options = std::make_shared<RollbackOptions>();
  CLI::App* command =
      app.add_subcommand("rollback",
                         "Makes the previous good deployment of an environment again, with the files, variables and "
                         "artifacts of then.\n"
                         "\n"
                         "Examples:\n"
                         "  runner rollback production             the one before what is there now\n"
                         "  runner rollback production --to 17     number 17 of `runner deployments`");
  command->add_option("environment", options->environment, "the environment")->type_name("ENV")->required();
  command->add_option("--to", options->to, "the deployment's number")->type_name("N");
  command->add_option("--project", options->project, "the project's folder (default: this one)")->type_name("DIR");
  add_output(*command, options->exec);
  PlanFlags::add_secrets(*command, options->exec.plan);
  command->callback([&line, options] { line.chosen = [&line, options] { return rollback(line, *options); }; });
}

}  // namespace runner
