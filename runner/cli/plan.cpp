// `runner lint`, `runner plan` and `runner preview`: understanding a pipeline without running it.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <filesystem>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runner/cli/commands.h"
#include "runner/cli/load.h"
#include "runner/cli/plan_flags.h"
#include "runner/cli/plan_text.h"
#include "runner/cli/setup.h"

namespace runner {
namespace {

struct LintWords {
  std::vector<std::string> words, inputs;
  std::string project;
  bool strict = false;
};

struct PlanWords {
  PlanFlags plan;
  std::string output = "text";
};

struct PreviewWords {
  PlanFlags plan;
  std::string output = "yaml";
};

// What `exec` would take for its sources and includes.
PlanOptions configured(PlanOptions options, const CommandLine& line) {
  const Config config = configuration(line);
  options.state = std::filesystem::absolute(config.database.value);
  options.includes = include_settings(config);
  return options;
}

int lint(const CommandLine& line, const LintWords& options) {
  Words words = find_pipeline(options.words, options.project);
  if (!words.jobs.empty()) throw UsageError(fmt::format("lint takes one file: what is {}?", words.jobs.front()));
  std::string text = read_pipeline_text(words.file);
  const std::string name = words.file.name;
  PlanOptions plan_options;
  for (const auto& input : options.inputs) plan_options.inputs.push_back(parse_assignment(input, "--input"));
  const auto loaded = load_only(std::move(words.file), std::move(text), configured(std::move(plan_options), line));
  pipelines::Parsed& parsed = loaded->parsed;
  if (options.strict) {
    for (auto& diagnostic : parsed.diagnostics) diagnostic.severity = pipelines::Severity::error;
  }
  if (print_diagnostics(parsed.diagnostics, parsed.sources)) return exit_code::usage;
  std::set<std::string> stages;
  for (const auto& job : parsed.pipeline.jobs) stages.insert(job.stage);
  const std::size_t jobs = parsed.pipeline.jobs.size();
  fmt::print("{}: {} job{} in {} stage{}, no errors\n", name, jobs, jobs == 1 ? "" : "s", stages.size(),
             stages.size() == 1 ? "" : "s");
  return exit_code::passed;
}

int preview(const CommandLine& line, const PreviewWords& options) {
  if (options.output != "yaml" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected yaml or json", options.output));
  }
  Words words = find_pipeline(options.plan.words, options.plan.project);
  if (!words.jobs.empty()) throw UsageError(fmt::format("preview takes one file: what is {}?", words.jobs.front()));
  const PlanOptions plan_options = configured(options.plan.options(words), line);
  std::string text = read_pipeline_text(words.file);
  const auto form = options.output == "json" ? pipelines::PreviewForm::json : pipelines::PreviewForm::yaml;
  const Shown shown = load_preview(std::move(words.file), std::move(text), plan_options, form);
  if (print_diagnostics(shown.loaded->parsed.diagnostics, shown.loaded->parsed.sources)) return exit_code::usage;
  std::cout << shown.text;
  return exit_code::passed;
}

int plan(const CommandLine& line, const PlanWords& options) {
  if (options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  Words words = find_pipeline(options.plan.words, options.plan.project);
  const PlanOptions plan_options = configured(options.plan.options(words), line);
  std::string text = read_pipeline_text(words.file);
  const auto loaded = load(std::move(words.file), std::move(text), plan_options);
  if (print_diagnostics(loaded->parsed.diagnostics, loaded->parsed.sources)) return exit_code::usage;
  if (print_diagnostics(loaded->plan.diagnostics, loaded->parsed.sources)) return exit_code::usage;
  std::cout << (options.output == "json" ? plan_json(*loaded) : plan_text(*loaded));
  return exit_code::passed;
}

void add_preview(CLI::App& app, CommandLine& line) {
  auto options = std::make_shared<PreviewWords>();
  CLI::App* command = app.add_subcommand(
      "preview",
      "Prints the pipeline file with all that it includes, its inputs put in, `extends` and `!reference` carried out.\n"
      "\n"
      "Examples:\n"
      "  runner preview\n"
      "  runner preview ci/build.yml --input stage=test\n"
      "  runner preview --output json | jq '.build'");
  options->plan.add_to(*command);
  command->add_option("--output", options->output, "yaml or json")->type_name("KIND");
  command->callback([&line, options] { line.chosen = [&line, options] { return preview(line, *options); }; });
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
  lint_command->add_option("--input", lint_options->inputs, "a value for one of the file's `spec:inputs`")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  lint_command->add_flag("--strict", lint_options->strict, "treat warnings as errors");
  lint_command->callback(
      [&line, lint_options] { line.chosen = [&line, lint_options] { return lint(line, *lint_options); }; });

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
  command->callback([&line, options] { line.chosen = [&line, options] { return plan(line, *options); }; });
  add_preview(app, line);
}

}  // namespace runner
