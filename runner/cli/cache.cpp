// `runner cache`: what is kept between runs of a project.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/diagnostic.h"
#include "runner/cli/commands.h"
#include "runner/cli/load.h"
#include "runner/cli/setup.h"
#include "runner/hosts/commits.h"
#include "runner/run/caches.h"
#include "runner/run/console_report.h"
#include "runner/run/session.h"
#include "runner/run/terminal.h"
#include "runner/store/store.h"

namespace runner {
namespace {

struct CacheOptions {
  std::string project = ".", key, output = "text";
  bool all = false;
};

nlohmann::ordered_json to_json(const CacheRow& row) {
  return {{"project", row.project}, {"key", row.key},     {"files", row.files},
          {"bytes", row.bytes},     {"saved", row.saved}, {"used", row.used}};
}

int list(const CommandLine& line, const CacheOptions& options) {
  if (options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  const auto store = open_existing_store(configuration(line));
  const auto project = options.all ? std::nullopt : std::optional(project_identity(options.project));
  const auto rows = store ? store->list_caches(project) : std::vector<CacheRow>();
  if (options.output == "json") {
    nlohmann::ordered_json array = nlohmann::ordered_json::array();
    for (const CacheRow& row : rows) array.push_back(to_json(row));
    std::cout << array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return exit_code::passed;
  }
  for (const CacheRow& row : rows) {
    fmt::print("{}{}: {} file{}, {}, used {}\n", options.all ? on_screen(row.project) + "  " : "", on_screen(row.key),
               row.files, row.files == 1 ? "" : "s", describe_bytes(row.bytes), local_text(row.used));
  }
  if (rows.empty()) fmt::print("no caches\n");
  return exit_code::passed;
}

int clear(const CommandLine& line, const CacheOptions& options) {
  const auto store = open_existing_store(configuration(line), /*make_room=*/true);
  const std::string project = project_identity(options.project);
  const auto key = options.key.empty() ? std::nullopt : std::optional(options.key);
  const std::vector<CacheRow> rows = store ? store->list_caches(project) : std::vector<CacheRow>();
  const std::uint64_t gone = store ? store->clear_caches(project, key) : 0;
  if (key && gone == 0) {
    std::vector<std::string_view> keys;
    keys.reserve(rows.size());
    for (const CacheRow& row : rows) keys.push_back(row.key);
    const std::string_view near = pipelines::nearest(*key, keys);
    throw UsageError(
        fmt::format("there is no cache {}\nhint: {}", *key,
                    near.empty() ? "`runner cache list` shows what there is" : fmt::format("did you mean {}?", near)));
  }
  const GcResult given_back = store ? store->prune_caches({}) : GcResult();
  if (store) prune_standing(*store, make_work_directory(*store) / "c");
  fmt::print("removed {} cache{}, {}\n", gone, gone == 1 ? "" : "s", describe_bytes(given_back.bytes));
  return exit_code::passed;
}

}  // namespace

void add_cache(CLI::App& app, CommandLine& line) {
  CLI::App* cache = app.add_subcommand("cache",
                                       "Lists or removes what `cache` keeps between runs of a project.\n"
                                       "\n"
                                       "Examples:\n"
                                       "  runner cache list            of this folder's project\n"
                                       "  runner cache list --all      of every project\n"
                                       "  runner cache clear           all of this project's\n"
                                       "  runner cache clear default-protected");
  cache->require_subcommand(1);
  auto options = std::make_shared<CacheOptions>();
  const auto add = [&](const char* name, const char* description,
                       int (*function)(const CommandLine&, const CacheOptions&)) {
    CLI::App* command = cache->add_subcommand(name, description);
    command->add_option("--project", options->project, "the project's folder (default: this one)")->type_name("DIR");
    command->callback(
        [&line, options, function] { line.chosen = [&line, options, function] { return function(line, *options); }; });
    return command;
  };
  CLI::App* list_command = add("list", "Lists the caches, the last used first.", list);
  list_command->add_flag("--all", options->all, "of every project");
  list_command->add_option("--output", options->output, "text or json")->type_name("KIND");
  add("clear", "Removes one cache, or all of the project.", clear)
      ->add_option("key", options->key, "the cache's key; without: all")
      ->type_name("[KEY]");
}

}  // namespace runner
