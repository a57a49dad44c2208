// `runner doctor` and `completion`, and the hidden commands that the program calls itself by.
#include <fmt/core.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "executors/make.h"
#include "pipelines/job_names.h"
#include "runner/cli/commands.h"
#include "runner/cli/completion.h"
#include "runner/cli/doctor.h"
#include "runner/cli/load.h"
#include "runner/cli/setup.h"
#include "runner/run/console.h"

namespace runner {
namespace {

struct DoctorOptions {
  std::string output = "text";
  bool clean = false;
  std::vector<std::uint64_t> remove;
};

int doctor(const CommandLine& line, const DoctorOptions& options) {
  if (options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  if (options.clean && !options.remove.empty()) throw UsageError("--clean and --remove exclude each other");
  const std::vector<Check> checks = options.remove.empty() ? examine(configuration(line), options.clean)
                                                           : remove_kept(configuration(line), options.remove);
  const bool colour = choose_console({}, isatty(STDOUT_FILENO) != 0, process_environment()).colour;
  std::cout << (options.output == "json" ? checks_json(checks) : checks_text(checks, colour));
  return any_bad(checks) ? exit_code::broken : exit_code::passed;
}

// The names of a file's jobs, one a line, for completion: silent when there is no usable file.
int job_names(const CommandLine& line, const std::vector<std::string>& words) {
  try {
    Words found = find_pipeline(words, {});
    std::string text = read_pipeline_text(found.file);
    PlanOptions options;
    options.includes = include_settings(configuration(line));
    const auto loaded = load_only(std::move(found.file), std::move(text), options);
    for (const auto name : pipelines::known_names(loaded->parsed.pipeline)) std::cout << name << '\n';
  } catch (const std::runtime_error&) {
    return exit_code::usage;
  }
  return exit_code::passed;
}

}  // namespace

void add_upkeep(CLI::App& app, CommandLine& line) {
  auto doctor_options = std::make_shared<DoctorOptions>();
  CLI::App* doctor_command =
      app.add_subcommand("doctor",
                         "Looks whether everything is there that a run needs, and says what to do.\n"
                         "\n"
                         "Examples:\n"
                         "  runner doctor\n"
                         "  runner doctor --clean     gives up runs that died, and removes what they left\n"
                         "  runner doctor --remove 12 removes what `exec --keep` left of run 12");
  doctor_command->add_flag("--clean", doctor_options->clean, "give up unfinished runs that nobody drives");
  doctor_command->add_option("--remove", doctor_options->remove, "remove what `exec --keep` left of these runs")
      ->type_name("RUN");
  doctor_command->add_option("--output", doctor_options->output, "text or json")->type_name("KIND");
  doctor_command->callback(
      [&line, doctor_options] { line.chosen = [&line, doctor_options] { return doctor(line, *doctor_options); }; });

  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app.add_subcommand("completion",
                                            "Prints a completion script.\n"
                                            "\n"
                                            "Examples:\n"
                                            "  source <(runner completion bash)\n"
                                            "  runner completion zsh > \"${fpath[1]}/_runner\"\n"
                                            "  runner completion fish > ~/.config/fish/completions/runner.fish");
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  completion->callback([&app, &line, shell] {
    line.chosen = [&app, shell] {
      std::cout << completion_script(app, *shell);
      return exit_code::passed;
    };
  });

  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* jobs = app.add_subcommand("__jobs", "")->group("");
  jobs->add_option("file", *words);
  jobs->callback([&line, words] { line.chosen = [&line, words] { return job_names(line, *words); }; });

  auto directory = std::make_shared<std::string>();
  CLI::App* supervise = app.add_subcommand("__supervise", "")->group("");
  supervise->add_option("directory", *directory)->required();
  supervise->callback(
      [&line, directory] { line.chosen = [directory] { return executors::supervise_main(*directory); }; });
}

}  // namespace runner
