// Arguments -> command; exceptions -> exit code. `main` wires and does nothing itself.
#include <poll.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"
#include "pipelines/diagnostic.h"
#include "runner/cli/commands.h"
#include "runner/cli/load.h"
#include "runner/cli/say.h"
#include "runner/config/config.h"
#include "runner/hosts/git.h"
#include "runner/version.h"

namespace runner {
namespace {

constexpr const char* description =
    "Runs CI/CD pipelines written in GitLab CI's language, each job in its own container.\n"
    "\n"
    "Examples:\n"
    "  runner exec                          run pipeline.yml (or .gitlab-ci.yml) of this folder\n"
    "  runner exec pipeline.yml test        run the job `test` alone\n"
    "  runner lint                          every mistake in the file at once\n"
    "  runner plan                          which jobs would run, and why\n"
    "  runner logs build                    what the newest run's job `build` printed";

// The words of the program that `word` could have been meant to be.
void collect_names(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_name().empty() && !command->get_name().starts_with("__")) names.push_back(command->get_name());
  }
}

int explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
  // Without a command CLI11 only says that one is missing, not which word it did not take for one.
  const bool unknown_command = command == &app && !extras.empty() && !extras.front().starts_with('-');
  if (unknown_command)
    say("runner: there is no command {}\n", extras.front());
  else
    say("runner: {}\n", error.what());
  if (!extras.empty()) {
    std::vector<std::string> names;
    collect_names(*command, names);
    const std::vector<std::string_view> candidates(names.begin(), names.end());
    const std::string_view word = std::string_view(extras.front()).substr(0, extras.front().find('='));
    const std::string_view near = pipelines::nearest(word, candidates);
    if (!near.empty()) say("hint: did you mean {}?\n", near);
  }
  say("hint: `runner {}{}--help` shows what there is\n", command == &app ? "" : command->get_name(),
      command == &app ? "" : " ");
  return exit_code::usage;
}

// A description's first paragraph is shown in lists, the rest only by the command's own --help.
void move_examples_to_footer(CLI::App& command) {
  const std::string text = command.get_description();
  const std::size_t end = text.find("\n\n");
  if (end == std::string::npos) return;
  command.description(text.substr(0, end));
  command.footer(text.substr(end + 1));
}

int run(int argc, char** argv) {
  CLI::App app(description, "runner");
  app.set_version_flag("--version", RUNNER_VERSION);
  app.require_subcommand(1);
  CommandLine line;
  app.add_option("--database", line.database, "the database of runs, logs and artifacts")->envname("RUNNER_DATABASE");
  app.add_option("--config", line.config, "the configuration file, in place of the usual ones");
  app.fallthrough();
  add_exec(app, line);
  add_retry(app, line);
  add_approve(app, line);
  add_deployments(app, line);
  add_rollback(app, line);
  add_plan(app, line);
  add_records(app, line);
  add_cache(app, line);
  add_issuer(app, line);
  add_upkeep(app, line);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) move_examples_to_footer(*command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return explain(app, error);
  }
  return line.chosen();
}

int told(const executors::WorldError& error, int code) {
  say("runner: {}\n", error.what());
  if (!error.hint.empty()) say("hint: {}\n", error.hint);
  return code;
}

int guarded(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const UsageError& error) {
    say("runner: {}\n", error.what());
    return exit_code::usage;
  } catch (const ConfigError& error) {
    say("{}\n", error.what());
    return exit_code::usage;
  } catch (const NoSuchCommit& error) {
    return told(error, exit_code::usage);
  } catch (const executors::WorldError& error) {
    return told(error, exit_code::broken);
  } catch (const std::exception& error) {
    say("runner: {}\n", error.what());
    return exit_code::broken;
  }
}

bool reader_went_away() {
  pollfd output{STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0;
}

// Output that did not get to where it was sent (a full disk) is a failure; a reader that has seen enough is none.
int flushed(int code) {
  std::cout.flush();
  const bool lost = std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout;
  if (!lost || reader_went_away()) return code;
  say("runner: not all of the output could be written; is the disk full?\n");
  return code == exit_code::passed ? exit_code::broken : code;
}

}  // namespace
}  // namespace runner

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of that write, not the end of the program
  return runner::flushed(runner::guarded(argc, argv));
}
