// `runner deployments`: the trail of what was deployed where.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runner/cli/load.h"
#include "runner/cli/setup.h"
#include "runner/hosts/commits.h"
#include "runner/run/terminal.h"

namespace runner {
namespace {

using nlohmann::json;
using State = DeploymentRow::State;

struct DeploymentOptions {
  std::string environment, output, project = ".";
  std::size_t limit = 20;
  bool all = false;
};

// Nobody drives the run that is at it.
bool is_interrupted(const DeploymentRow& row, const std::vector<RunId>& driven) {
  return row.state == State::running && std::find(driven.begin(), driven.end(), row.key.run) == driven.end();
}

std::string state_word(const DeploymentRow& row, const std::vector<RunId>& driven) {
  return std::string(to_string(is_interrupted(row, driven) ? State::interrupted : row.state));
}

json json_of(const DeploymentRow& row, const std::vector<RunId>& driven) {
  const auto time = [](const std::optional<UnixMs>& when) { return when ? json(utc_text(*when)) : json(nullptr); };
  const auto text = [](const std::string& word) { return word.empty() ? json(nullptr) : json(word); };
  json approved = nullptr;
  if (!row.approved_by.empty()) {
    approved = {{"who", row.approved_by}, {"comment", row.comment}, {"time", time(row.approved)}};
  }
  return {{"id", row.id},
          {"project", row.project},
          {"environment", text(row.environment)},
          {"tier", text(row.tier)},
          {"url", text(row.url)},
          {"target", text(row.target)},
          {"what", row.what},
          {"previous", text(row.previous)},
          {"ref", row.ref},
          {"sha", row.sha},
          {"run", row.key.run},
          {"run_is_gone", row.run_is_gone},
          {"job", row.job_name},
          {"attempt", row.key.attempt},
          {"approved", approved},
          {"started", time(row.started)},
          {"finished", time(row.finished)},
          {"stopped", time(row.stopped)},
          {"state", state_word(row, driven)},
          {"message", row.message},
          {"rollback_of", row.rollback_of == 0 ? json(nullptr) : json(row.rollback_of)}};
}

std::string short_what(const std::string& what) {
  const bool is_sha = what.size() == 40 && what.find_first_not_of("0123456789abcdef") == std::string::npos;
  return what.empty() ? "-" : is_sha ? what.substr(0, 8) : on_screen(what);
}

// What does not fit into a column of its own.
std::string notes_of(const DeploymentRow& row) {
  std::vector<std::string> notes;
  if (row.rollback_of != 0) notes.push_back(fmt::format("rollback to {}", row.rollback_of));
  if (row.stopped) notes.push_back("stopped " + local_text(*row.stopped));
  if (!row.approved_by.empty()) {
    notes.push_back(fmt::format("approved by {}{}{}", row.approved_by, row.comment.empty() ? "" : ": ", row.comment));
  }
  if (!row.message.empty()) notes.push_back(row.message);
  if (row.run_is_gone) notes.emplace_back("its run is gone");
  std::string all;
  for (const std::string& note : notes) all += (all.empty() ? "" : "; ") + on_screen(note);
  return all;
}

constexpr std::size_t columns = 9;
using Line = std::array<std::string, columns>;

Line line_of(const DeploymentRow& row, const std::vector<RunId>& driven) {
  return {std::to_string(row.id),
          state_word(row, driven),
          row.environment.empty() ? "-" : on_screen(row.environment),
          short_what(row.what),
          row.target.empty() ? "-" : on_screen(row.target),
          row.ref.empty() ? "-" : on_screen(row.ref),
          fmt::format("{} {}", row.key.run, on_screen(row.job_name)),
          local_text(row.started),
          notes_of(row)};
}

void print_table(const std::vector<Line>& lines) {
  std::array<std::size_t, columns> widths{};
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < columns; ++i) {
      widths.at(i) = std::max(widths.at(i), std::min<std::size_t>(40, display_width(line.at(i))));
    }
  }
  for (const Line& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < columns; ++i) {
      const std::string cell = i + 1 < columns ? cut(line.at(i), 40) : line.at(i);
      text += cell + std::string(widths.at(i) - std::min(widths.at(i), display_width(cell)) + 2, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    fmt::print("{}\n", text);
  }
}

int deployments(const CommandLine& line, const DeploymentOptions& options) {
  if (!options.output.empty() && options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  const auto store = open_existing_store(configuration(line));
  DeploymentFilter filter;
  if (!options.all) filter.project = project_identity(std::filesystem::absolute(options.project));
  if (!options.environment.empty()) filter.environment = options.environment;
  filter.limit = options.limit;
  const std::vector<RunId> driven = store ? store->driven_runs() : std::vector<RunId>();
  const std::vector<DeploymentRow> rows = store ? store->deployments(filter) : std::vector<DeploymentRow>();
  if (options.output == "json") {
    json array = json::array();
    for (const DeploymentRow& row : rows) array.push_back(json_of(row, driven));
    std::cout << array.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
    return exit_code::passed;
  }
  if (rows.empty()) {
    fmt::print("nothing was deployed {}yet\n",
               options.environment.empty() ? std::string() : "to " + on_screen(options.environment) + " ");
    return exit_code::passed;
  }
  std::vector<Line> lines{{"NR", "STATE", "ENVIRONMENT", "WHAT", "TARGET", "REF", "RUN", "STARTED", ""}};
  for (const DeploymentRow& row : rows) lines.push_back(line_of(row, driven));
  print_table(lines);
  return exit_code::passed;
}

}  // namespace

void add_deployments(CLI::App& app, CommandLine& line) {
  auto options = std::make_shared<DeploymentOptions>();
  CLI::App* command = app.add_subcommand("deployments",
                                         "Lists what was deployed where, newest first.\n"
                                         "\n"
                                         "Examples:\n"
                                         "  runner deployments                 of this folder's project\n"
                                         "  runner deployments production\n"
                                         "  runner deployments --output json | jq '.[0].state'");
  command->add_option("environment", options->environment, "only this environment's")->type_name("ENV");
  command->add_option("--limit", options->limit, "how many; 0: all")->type_name("N");
  command->add_flag("--all", options->all, "of all projects");
  command->add_option("--project", options->project, "the project's folder (default: this one)")->type_name("DIR");
  command->add_option("--output", options->output, "text or json")->type_name("KIND");
  command->callback([&line, options] { line.chosen = [&line, options] { return deployments(line, *options); }; });
}

}  // namespace runner
