// `runner lint` and `runner plan`: understanding a pipeline without running it.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runner/cli/commands.h"
#include "runner/cli/load.h"
#include "runner/cli/plan_flags.h"
#include "runner/cli/plan_text.h"

namespace runner {
namespace {

struct LintWords {
  std::vector<std::string> words;
  std::string project;
  bool strict = false;
};

struct PlanWords {
  PlanFlags plan;
  std::string output = "text";
};

int lint(const LintWords& options) {
  Words words = find_pipeline(options.words, options.project);
  if (!words.jobs.empty()) throw UsageError(fmt::format("lint takes one file: what is {}?", words.jobs.front()));
  const std::string text = read_pipeline_text(words.file);
  pipelines::Parsed parsed = pipelines::parse(text, words.file.name);
  if (options.strict) {
    for (auto& diagnostic : parsed.diagnostics) diagnostic.severity = pipelines::Severity::error;
  }
  if (print_diagnostics(parsed.diagnostics, parsed.sources)) return exit_code::usage;
  std::set<std::string> stages;
  for (const auto& job : parsed.pipeline.jobs) stages.insert(job.stage);
  const std::size_t jobs = parsed.pipeline.jobs.size();
  fmt::print("{}: {} job{} in {} stage{}, no errors\n", words.file.name, jobs, jobs == 1 ? "" : "s", stages.size(),
             stages.size() == 1 ? "" : "s");
  return exit_code::passed;
}

int plan(const PlanWords& options) {
  if (options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  Words words = find_pipeline(options.plan.words, options.plan.project);
  const PlanOptions plan_options = options.plan.options(words);
  std::string text = read_pipeline_text(words.file);
  const auto loaded = load(std::move(words.file), std::move(text), plan_options);
  if (print_diagnostics(loaded->parsed.diagnostics, loaded->parsed.sources)) return exit_code::usage;
  if (print_diagnostics(loaded->plan.diagnostics, loaded->parsed.sources)) return exit_code::usage;
  std::cout << (options.output == "json" ? plan_json(*loaded) : plan_text(*loaded));
  return exit_code::passed;
}

}  // namespace

void add_plan(CLI::App& app, CommandLine& line) {
  auto lint_options = std::make_shared<LintWords>();
  CLI::App* lint_command =
      app.add_subcommand("lint",
                         "Finds every mistake of a pipeline file at once. Exit code 2 when there is any.\n"
                         "\n"
                         "Examples:\n"
                         "  runner lint\n"
                         "  runner lint --strict ci/build.yml     warnings are errors too");
  lint_command->add_option("file", lint_options->words, "the pipeline file")->type_name("[FILE]");
  lint_command->add_option("--project", lint_options->project, "the project's folder")->type_name("DIR");
  lint_command->add_flag("--strict", lint_options->strict, "treat warnings as errors");
  lint_command->callback([&line, lint_options] { line.chosen = [lint_options] { return lint(*lint_options); }; });

  auto options = std::make_shared<PlanWords>();
  CLI::App* command = app.add_subcommand(
      "plan",
      "Says which jobs would run and which would not, the rule that decided, and what waits for what.\n"
      "\n"
      "Examples:\n"
      "  runner plan\n"
      "  runner plan --branch main --event merge_request\n"
      "  runner plan --output json | jq '.[] | select(.included) | .name'");
  options->plan.add_to(*command);
  command->add_option("--output", options->output, "text or json (an array of jobs)")->type_name("KIND");
  command->callback([&line, options] { line.chosen = [options] { return plan(*options); }; });
}

}  // namespace runner
