// `runner lint`, `runner plan` and `runner preview`: understanding a pipeline without running it.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "pipelines/advice.h"
#include "pipelines/schema.h"
#include "runner/cli/commands.h"
#include "runner/cli/lint_report.h"
#include "runner/cli/load.h"
#include "runner/cli/plan_flags.h"
#include "runner/cli/plan_text.h"
#include "runner/cli/setup.h"

namespace runner {
namespace {

struct LintWords {
  std::vector<std::string> words, inputs;
  std::string project, format = "text";
  bool strict = false;
};

struct PlanWords {
  PlanFlags plan;
  std::string output = "text", graph, diff;
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

// The advice takes its places among the mistakes.
void add_advice(pipelines::Parsed& parsed) {
  if (pipelines::has_errors(parsed.diagnostics)) return;
  auto advice = pipelines::advise(parsed.pipeline);
  parsed.diagnostics.insert(parsed.diagnostics.end(), std::make_move_iterator(advice.begin()),
                            std::make_move_iterator(advice.end()));
  std::stable_sort(parsed.diagnostics.begin(), parsed.diagnostics.end(), [](const auto& a, const auto& b) {
    return std::tie(a.mark.source, a.mark.line, a.mark.column) < std::tie(b.mark.source, b.mark.line, b.mark.column);
  });
}

int lint(const CommandLine& line, const LintWords& options) {
  using Format = std::string (*)(const LintReport&);
  const std::map<std::string, Format> formats = {
      {"text", nullptr}, {"json", lint_json}, {"sarif", lint_sarif}, {"github", lint_github}};
  const auto format = formats.find(options.format);
  if (format == formats.end()) {
    throw UsageError(fmt::format("--format {}: expected text, json, sarif or github", options.format));
  }
  Words words = find_pipeline(options.words, options.project);
  if (!words.jobs.empty()) throw UsageError(fmt::format("lint takes one file: what is {}?", words.jobs.front()));
  std::string text = read_pipeline_text(words.file);
  const std::string name = words.file.name;
  PlanOptions plan_options;
  for (const auto& input : options.inputs) plan_options.inputs.push_back(parse_assignment(input, "--input"));
  const auto loaded = load_only(std::move(words.file), std::move(text), configured(std::move(plan_options), line));
  pipelines::Parsed& parsed = loaded->parsed;
  add_advice(parsed);
  if (options.strict) {
    for (auto& diagnostic : parsed.diagnostics) diagnostic.severity = pipelines::Severity::error;
  }
  const bool wrong = pipelines::has_errors(parsed.diagnostics);
  const std::size_t jobs = wrong ? 0 : parsed.pipeline.jobs.size();
  if (format->second != nullptr) {
    std::cout << redact(secrets_of(*loaded), format->second({name, jobs, parsed.diagnostics, parsed.sources}));
    return wrong ? exit_code::usage : exit_code::passed;
  }
  if (print_diagnostics(*loaded)) return exit_code::usage;
  std::set<std::string> stages;
  for (const auto& job : parsed.pipeline.jobs) stages.insert(job.stage);
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
  PlanOptions plan_options = configured(options.plan.options(words), line);
  plan_options.masked = options.plan.masked();
  std::string text = read_pipeline_text(words.file, plan_options.revision);
  const auto form = options.output == "json" ? pipelines::PreviewForm::json : pipelines::PreviewForm::yaml;
  const Shown shown = load_preview(std::move(words.file), std::move(text), plan_options, form);
  if (print_diagnostics(*shown.loaded)) return exit_code::usage;
  std::cout << shown.text;
  return exit_code::passed;
}

// The same file at another commit, planned as if it stood here now: what differs is the file's doing, not the times'.
std::unique_ptr<Loaded> load_at(const std::string& revision, const PipelineFile& now, PlanOptions options) {
  const std::filesystem::path relative = std::filesystem::weakly_canonical(now.path).lexically_relative(now.project);
  if (relative.empty() || *relative.begin() == "..") {
    throw UsageError(fmt::format("--diff {}: {} is not a file of the project", revision, now.name));
  }
  std::optional<std::string> text = file_at(now.project, revision, relative);
  if (!text) throw UsageError(fmt::format("--diff {}: {} is not in that commit", revision, relative.string()));
  PipelineFile then = now;
  then.name = fmt::format("{}:{}", revision, relative.string());
  options.include_revision = revision;
  return load(std::move(then), std::move(*text), options);
}

void refuse_wrong_words(const PlanWords& options) {
  if (options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  if (!options.graph.empty() && options.graph != "text" && options.graph != "dot" && options.graph != "mermaid") {
    throw UsageError(fmt::format("--graph {}: expected text, dot or mermaid", options.graph));
  }
  if (!options.graph.empty() && (options.output != "text" || !options.diff.empty())) {
    throw UsageError("--graph stands alone: neither --output json nor --diff goes with it");
  }
}

int plan(const CommandLine& line, const PlanWords& options) {
  refuse_wrong_words(options);
  Words words = find_pipeline(options.plan.words, options.plan.project);
  PlanOptions plan_options = configured(options.plan.options(words), line);
  plan_options.masked = options.plan.masked();
  if (!options.diff.empty() && !plan_options.jobs.empty()) throw UsageError("--diff compares whole plans: name no job");
  const PipelineFile file = words.file;
  std::string text = read_pipeline_text(words.file, plan_options.revision);
  const auto loaded = load(std::move(words.file), std::move(text), plan_options);
  if (print_diagnostics(*loaded)) return exit_code::usage;
  const bool json = options.output == "json";
  if (!options.diff.empty()) {
    const auto before = load_at(options.diff, file, plan_options);
    if (print_diagnostics(*before)) return exit_code::usage;
    std::cout << (json ? plan_diff_json(*before, *loaded) : plan_diff_text(*before, *loaded));
  } else if (!options.graph.empty()) {
    std::cout << (options.graph == "dot"       ? plan_dot(*loaded)
                  : options.graph == "mermaid" ? plan_mermaid(*loaded)
                                               : plan_spine(*loaded));
  } else {
    std::cout << (json ? plan_json(*loaded) : plan_text(*loaded));
  }
  return exit_code::passed;
}

int print_schema() {
  std::cout << nlohmann::ordered_json::parse(pipelines::schema()).dump(2) << "\n";
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
                         "Finds every mistake of a pipeline file at once, and warns of what will not do what it seems\n"
                         "to. Exit code 2 when there is a mistake.\n"
                         "\n"
                         "Examples:\n"
                         "  runner lint\n"
                         "  runner lint --strict ci/build.yml     warnings are errors too\n"
                         "  runner lint --format sarif >lint.sarif");
  lint_command->add_option("file", lint_options->words, "the pipeline file")->type_name("[FILE]");
  lint_command->add_option("--project", lint_options->project, "the project's folder")->type_name("DIR");
  lint_command->add_option("--input", lint_options->inputs, "a value for one of the file's `spec:inputs`")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  lint_command->add_option("--format", lint_options->format, "text, json, sarif or github")->type_name("KIND");
  lint_command->add_flag("--strict", lint_options->strict, "treat warnings as errors");
  lint_command->callback(
      [&line, lint_options] { line.chosen = [&line, lint_options] { return lint(line, *lint_options); }; });

  app.add_subcommand("schema",
                     "Prints the JSON schema of pipeline files, for editors.\n"
                     "\n"
                     "Examples:\n"
                     "  runner schema >pipeline.schema.json")
      ->callback([&line] { line.chosen = print_schema; });

  auto options = std::make_shared<PlanWords>();
  CLI::App* command = app.add_subcommand(
      "plan",
      "Says which jobs would run and which would not, the rule that decided, and what waits for what.\n"
      "\n"
      "Examples:\n"
      "  runner plan\n"
      "  runner plan --event merge_request --target-branch main --mr-labels ci,docs\n"
      "  runner plan --graph dot | dot -Tsvg >plan.svg\n"
      "  runner plan --diff main                 what this working tree's file changes in the plan\n"
      "  runner plan --output json | jq '.[] | select(.included) | .name'");
  options->plan.add_to(*command);
  command->add_option("--output", options->output, "text or json (an array of jobs)")->type_name("KIND");
  command->add_option("--graph", options->graph, "what waits for what: text, dot (Graphviz) or mermaid")
      ->type_name("KIND");
  command->add_option("--diff", options->diff, "what the file changes against the file of that commit")
      ->type_name("REF");
  command->callback([&line, options] { line.chosen = [&line, options] { return plan(line, *options); }; });
  add_preview(app, line);
}

}  // namespace runner
