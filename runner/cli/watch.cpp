// `runner exec --watch`: a run, and another whenever the project changes. A newer one takes the place of what is under
// way as `workflow:auto_cancel:on_new_commit` and `interruptible` say (pipelines/again.h); there is one run at a time.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runner/cli/running.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"
#include "runner/hosts/tree_watch.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Our own output may go into a file of the project: that is no change.
std::vector<fs::path> outputs(const ExecOptions& options) {
  std::vector<fs::path> paths;
  if (!options.artifacts.empty()) paths.emplace_back(options.artifacts);
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat status {};
    std::error_code error;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) continue;
    const fs::path target = fs::read_symlink(fmt::format("/proc/self/fd/{}", descriptor), error);
    if (!error) paths.push_back(target);
  }
  return paths;
}

class Watching {
 public:
  Watching(const ExecOptions& options, const Config& config, const std::vector<NamedValue>& masked)
      : options_(options), config_(config), masked_(masked), json_(options.output == "json"), interrupt_([this] {
          hurried_.hurry();
        }) {}

  int walk() {
    Words words = find_pipeline(options_.plan.words, options_.plan.project);
    TreeWatch::Options how;
    how.project = words.file.project;
    how.files = {words.file.path};
    how.except = fs::absolute(config_.database.value);
    how.outputs = outputs(options_);
    project_ = how.project.string();
    TreeWatch tree(std::move(how));
    store_ = open_store(config_);
    std::vector<std::string> changed;
    for (bool first = true; !interrupt_.interrupted(); first = false) {
      if (!first) tell_changed(changed);
      auto next = run(tree, first);
      if (!next) next = idle(tree);
      if (!next) break;
      changed = std::move(*next);
    }
    return cancelled_ ? exit_code::cancelled : last_;
  }

 private:
  // One run. What changed meanwhile, if something did.
  std::optional<std::vector<std::string>> run(TreeWatch& tree, bool first) {
    std::unique_ptr<Loaded> loaded;
    if (!attempt([&] { loaded = load_asked(options_, config_, masked_); }, first)) return std::nullopt;
    if (!loaded) {
      last_ = exit_code::usage;
      return std::nullopt;
    }
    if (loaded->plan.included_count() == 0) {
      last_ = say_nothing_to_do(*loaded, options_.output);
      return std::nullopt;
    }
    std::stop_source newer;
    std::stop_source over;
    const std::stop_callback leave(interrupt_.token(), [&over] { over.request_stop(); });
    Start what{*loaded, config_, options_, masked_, record(*loaded, options_, config_)};
    what.successor.wanted = newer.get_token();
    std::exception_ptr trouble;
    std::optional<std::vector<std::string>> changed;
    interrupt_.set_idle(false);
    {
      const std::jthread thread([&] {
        try {
          last_ = start(*store_, what, interrupt_.token(), hurried_);
        } catch (...) {
          trouble = std::current_exception();
        }
        over.request_stop();
      });
      while (auto paths = tree.wait(over.get_token())) {
        if (!changed) changed.emplace();
        changed->insert(changed->end(), paths->begin(), paths->end());
        newer.request_stop();
      }
    }
    cancelled_ = interrupt_.interrupted();
    attempt(
        [&] {
          if (trouble) std::rethrow_exception(trouble);
        },
        first);
    return changed;
  }

  std::optional<std::vector<std::string>> idle(TreeWatch& tree) {
    interrupt_.set_idle(true);
    tell_watching(tree);
    return tree.wait(interrupt_.token());
  }

  // What goes wrong before the first run is over ends it all, as it would without --watch; later it is said, and the
  // next change is another chance.
  template <class Step>
  bool attempt(Step&& step, bool first) {
    try {
      step();
      return true;
    } catch (const UsageError& error) {
      if (first) throw;
      runner::say("runner: {}\n", error.what());
      last_ = exit_code::usage;
    } catch (const ConfigError& error) {
      if (first) throw;
      runner::say("{}\n", error.what());
      last_ = exit_code::usage;
    } catch (const executors::WorldError& error) {
      if (first) throw;
      runner::say("runner: {}\n", error.what());
      if (!error.hint.empty()) runner::say("hint: {}\n", error.hint);
      last_ = exit_code::broken;
    }
    return false;
  }

  void tell_watching(const TreeWatch& tree) {
    if (!tree.trouble().empty() && !told_trouble_) {
      told_trouble_ = true;
      runner::say("warning: {}\nwarning: until then the files are looked at every second\n", tree.trouble());
    }
    if (json_) {
      say({{"event", "watching"}, {"project", project_}});
    } else {
      runner::say("watching {} (Ctrl-C leaves)\n", project_);
    }
  }

  void tell_changed(std::vector<std::string> paths) {
    std::ranges::sort(paths);
    const auto twice = std::ranges::unique(paths);
    paths.erase(twice.begin(), twice.end());
    if (json_) {
      say({{"event", "changed"}, {"paths", paths}});
      return;
    }
    constexpr std::size_t most = 3;
    const std::vector<std::string> shown(paths.begin(),
                                         paths.begin() + static_cast<std::ptrdiff_t>(std::min(most, paths.size())));
    const std::string more = paths.size() > most ? fmt::format(" and {} more", paths.size() - most) : std::string();
    runner::say("\nchanged: {}{}\n", fmt::join(shown, ", "), more);
  }

  static void say(json line) {
    line["time"] = now_text();
    line["run"] = nullptr;
    std::cout << line.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }

  const ExecOptions& options_;
  const Config& config_;
  const std::vector<NamedValue>& masked_;
  const bool json_;
  Hurried hurried_;
  Interrupt interrupt_;  // before any other thread
  std::unique_ptr<Store> store_;
  std::string project_;
  int last_ = exit_code::passed;
  bool cancelled_ = false;
  bool told_trouble_ = false;
};

}  // namespace

int watch(const ExecOptions& options, const Config& config, const std::vector<NamedValue>& masked) {
  return Watching(options, config, masked).walk();
}

}  // namespace runner
