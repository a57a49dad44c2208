#include "runner/cli/doctor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "executors/doctor.h"
#include "executors/job_directory.h"
#include "executors/workspace/tree.h"
#include "runner/cli/last_words.h"
#include "runner/cli/load.h"
#include "runner/hosts/git.h"
#include "runner/run/console_report.h"
#include "runner/run/kept.h"
#include "runner/run/session.h"
#include "runner/run/terminal.h"
#include "runner/store/store.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using State = Check::State;

constexpr std::uint64_t little_space = std::uint64_t{2} << 30;  // an image and a few artifacts fill it
constexpr std::uint64_t no_space = std::uint64_t{200} << 20;

// The nearest directory that is there.
fs::path existing(fs::path path) {
  std::error_code error;
  while (!path.empty() && !fs::is_directory(path, error) && path != path.parent_path()) path = path.parent_path();
  return path.empty() ? fs::path(".") : path;
}

Check disk(const std::string& name, const fs::path& path) {
  struct statvfs found {};
  if (::statvfs(path.c_str(), &found) != 0) {
    return {
        State::doubtful, name, fmt::format("cannot ask how full {} is: {}", path.string(), std::strerror(errno)), {}};
  }
  const std::uint64_t bytes = std::uint64_t{found.f_bavail} * found.f_frsize;
  const std::uint64_t files = found.f_favail;
  std::string message = fmt::format("{} free at {}", describe_bytes(bytes), path.string());
  if (found.f_files > 0 && files < 10'000) {
    return {State::bad, name, message + fmt::format(", but room for only {} more files", files),
            "remove files there, or keep the state elsewhere (--database)"};
  }
  if (bytes >= little_space) return {State::good, name, std::move(message), {}};
  return {bytes < no_space ? State::bad : State::doubtful, name, std::move(message),
          "`runner gc` and `docker system prune` give space back"};
}

// Whether a thing on the engine is part of what was kept. A volume says only whose it is.
bool belongs_to(const KeptJob& kept, RunId run, const executors::Leftover& found) {
  if (found.run != run) return false;
  switch (found.kind) {
    case executors::Leftover::Kind::container:
      return found.id == kept.what.container || found.id == kept.what.pause ||
             std::find(kept.what.services.begin(), kept.what.services.end(), found.id) != kept.what.services.end();
    case executors::Leftover::Kind::network:
      return found.id == kept.what.network || found.name == kept.resource;
    case executors::Leftover::Kind::volume:
      return found.job == kept.job;
  }
  return false;
}

bool is_kept(const std::map<RunId, std::vector<KeptJob>>& kept, const executors::Leftover& found) {
  const auto run = kept.find(found.run);
  return run != kept.end() && std::any_of(run->second.begin(), run->second.end(),
                                          [&](const KeptJob& job) { return belongs_to(job, run->first, found); });
}

bool needs_engine(const std::vector<KeptJob>& kept) {
  return std::any_of(kept.begin(), kept.end(), [](const KeptJob& job) { return !job.what.container.empty(); });
}

class Doctor {
 public:
  Doctor(const Config& config, bool clean) : config_(config), clean_(clean) {}

  std::vector<Check> examine() {
    guarded("database", [&] { database(); });
    guarded("engine", [&] { engine(); });
    const fs::path state = existing(fs::absolute(config_.database.value).parent_path());
    add(disk("disk", state));
    // Where the engine keeps its things is known only by habit, and only on this host.
    const fs::path docker = "/var/lib/docker";
    std::error_code error;
    if (local_engine_ && fs::is_directory(docker, error)) add(disk("docker disk", docker));
    guarded("git", [&] { add({State::good, "git", "libgit2 " + git_library_version(), {}}); });
    guarded("clock", [&] { clock(); });
    if (store_) guarded("caches", [&] { caches(); });
    if (store_) guarded("kept", [&] { find_kept(); });
    if (store_) guarded("leftovers", [&] { leftovers(); });
    return std::move(checks_);
  }

  std::vector<Check> remove(const std::vector<RunId>& runs) {
    std::error_code ignored;
    if (!fs::exists(config_.database.value, ignored)) {
      throw UsageError(fmt::format("nothing is kept: there is no {}", config_.database.value.string()));
    }
    making_room_ = true;
    open_store();
    const fs::path work = make_work_directory(*store_);
    const std::vector<RunId> driven = store_->driven_runs();
    for (const RunId run : runs) {
      if (!has_kept(work / std::to_string(run))) {
        throw UsageError(fmt::format("nothing is kept of run {}\nhint: `runner doctor` names what is", run));
      }
      if (std::find(driven.begin(), driven.end(), run) != driven.end()) {
        throw UsageError(fmt::format("run {} still goes on\nhint: remove it when it is over", run));
      }
    }
    doctor_ = std::make_unique<executors::EngineDoctor>(config_.docker_settings(store_->owner(), work));
    for (const RunId run : runs) guarded("kept", [&] { remove_kept_of(run, work / std::to_string(run)); });
    return std::move(checks_);
  }

 private:
  void add(Check check) { checks_.push_back(std::move(check)); }

  template <class Look>
  void guarded(const std::string& name, const Look& look) {
    try {
      look();
    } catch (const executors::WorldError& error) {
      add({State::bad, name, error.what(), error.hint});
    } catch (const std::exception& error) {
      add({State::bad, name, error.what(), {}});
    }
  }

  void open_store() {
    Store::Options options;
    options.file = config_.database.value;
    options.log_limit = config_.log_limit.value;
    options.patience = std::chrono::seconds(5);
    options.make_room = making_room_ || clean_;
    store_ = std::make_unique<Store>(std::move(options));  // opened for writing: it is writable
  }

  void database() {
    const fs::path& file = config_.database.value;
    std::error_code error;
    if (!fs::exists(file, error)) {
      const fs::path directory = existing(fs::absolute(file).parent_path());
      if (::access(directory.c_str(), W_OK | X_OK) != 0) {
        add({State::bad, "database",
             fmt::format("{} cannot be made: {} is not writable", file.string(), directory.string()),
             "give --database a path that you may write"});
      } else {
        add({State::good, "database", fmt::format("none yet; the first run makes {}", file.string()), {}});
      }
      return;
    }
    open_store();
    const std::string verdict = store_->check();
    const auto newest = store_->newest_run();
    if (verdict != "ok") {
      add({State::bad, "database", fmt::format("{} is damaged: {}", file.string(), verdict),
           "move it away and let a new one be made, or restore a copy of it"});
    } else {
      add({State::good,
           "database",
           fmt::format("{}, {}", file.string(), newest ? fmt::format("newest run {}", *newest) : "no runs yet"),
           {}});
    }
  }

  void engine() {
    if (config_.executor.value == ExecutorKind::shell) {
      add({State::good, "engine", "not needed: the executor is the shell", {}});
    }
    try {
      doctor_ = std::make_unique<executors::EngineDoctor>(config_.docker_settings(store_ ? store_->owner() : "", {}));
      look_at_engine(doctor_->report());
    } catch (const executors::WorldError& error) {
      engine_answers_ = false;
      if (config_.executor.value == ExecutorKind::shell) return;
      add({State::bad, "engine", error.what(),
           error.hint.empty() ? "start Docker, or run jobs without it: --executor shell" : error.hint});
    }
  }

  void look_at_engine(const executors::EngineReport& report) {
    local_engine_ = report.local;
    engine_answers_ = true;
    add({State::good,
         "engine",
         fmt::format("Docker {} at {}, API {}", report.version, report.endpoint, report.api_version),
         {}});
    if (report.storage_driver == "vfs" || report.storage_driver == "devicemapper") {
      add({State::doubtful, "storage", report.storage_driver + ": every container copies its whole image",
           "have the engine use overlay2"});
    } else {
      add({State::good, "storage", report.storage_driver, {}});
    }
    add({State::good, "cgroup", "version " + (report.cgroup_version.empty() ? "1" : report.cgroup_version), {}});
    if (report.live_restore) {
      add({State::good, "live-restore", "on: jobs outlive a restart of the engine", {}});
    } else {
      add({State::doubtful, "live-restore", "off: a restart of the engine ends all jobs",
           R"(set "live-restore": true in /etc/docker/daemon.json)"});
    }
  }

  void caches() {
    const std::vector<CacheRow> rows = store_->list_caches();
    std::uint64_t bytes = 0;
    for (const CacheRow& row : rows) bytes += row.bytes;
    std::string message = rows.empty() ? "none" : fmt::format("{}, {}", rows.size(), describe_bytes(bytes));
    if (bytes > config_.cache.limit.value) {
      return add({State::doubtful, "caches",
                  fmt::format("{}: more than the limit of {}", message, describe_bytes(config_.cache.limit.value)),
                  "`runner gc` removes those not used for longest; [cache] limit raises it"});
    }
    add({State::good, "caches", std::move(message), {}});
  }

  void clock() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const UnixMs ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    const UnixMs built = 1'704'067'200'000;  // 2024: this program is younger
    if (ms < built)
      return add({State::bad, "clock", "stands before this program was made", "set the time (timedatectl)"});
    if (store_) {
      const std::vector<RunRow> newest = store_->list_runs(1);
      if (!newest.empty() && newest[0].started > ms + 60'000) {
        return add({State::doubtful, "clock",
                    fmt::format("run {} began in the future: the clock was set back", newest[0].id),
                    "set the time (timedatectl)"});
      }
    }
    add({State::good, "clock", "plausible", {}});
  }

  void remove_kept_of(RunId run, const fs::path& directory) {
    const std::vector<KeptJob> kept = kept_jobs(directory);
    if (needs_engine(kept)) {
      for (const executors::Leftover& found : doctor_->leftovers()) {
        const bool ours =
            std::any_of(kept.begin(), kept.end(), [&](const KeptJob& job) { return belongs_to(job, run, found); });
        if (ours) doctor_->remove(found);
      }
      for (const KeptJob& job : kept) {
        const fs::path attempt = directory / fmt::format("j{}-{}", job.number, job.attempt);
        doctor_->remove_tree(attempt, {store_->owner(), run, job.number, job.attempt, job.job}, job.image);
      }
    }
    std::error_code error;
    if (!executors::remove_tree(directory) && fs::exists(directory, error)) {
      return add({State::doubtful, "kept", fmt::format("some of {} cannot be removed", directory.string()),
                  fmt::format("sudo rm -rf {}", directory.string())});
    }
    add({State::good, "kept", fmt::format("removed what was kept of {}: {}", of_run(run), names_of(kept)), {}});
  }

  static std::string names_of(const std::vector<KeptJob>& kept) {
    std::vector<std::string> names;
    names.reserve(kept.size());
    for (const KeptJob& job : kept) names.push_back(job.job);
    return fmt::format("{}", fmt::join(names, ", "));
  }

  // What a person asked to be kept: no fault, but theirs to remove.
  void find_kept() {
    kept_ = all_kept_jobs(make_work_directory(*store_));
    for (const auto& [run, jobs] : kept_) {
      for (const KeptJob& job : jobs) {
        add({State::good, "kept", fmt::format("{} of {} (--keep): {}", job.job, of_run(run), job.what.enter),
             fmt::format("`runner doctor --remove {}` removes it", run)});
      }
    }
  }

  // What dead runs left. Listed before the store is asked who is alive: a run that begins now is not in the list.
  void leftovers() {
    if (!engine_answers_ || !doctor_) {
      if (config_.executor.value != ExecutorKind::shell) {
        add({State::doubtful, "leftovers", "cannot be listed without the engine", {}});
      }
      return runs_without_engine();
    }
    std::vector<executors::Leftover> all = doctor_->leftovers();
    std::erase_if(all, [this](const executors::Leftover& found) { return is_kept(kept_, found); });
    const std::vector<RunId> driven = store_->driven_runs();
    std::erase_if(all, [&](const executors::Leftover& found) {
      return found.run != 0 && std::find(driven.begin(), driven.end(), found.run) != driven.end();
    });
    // What does not say its run is nobody's while anybody works.
    if (!driven.empty()) std::erase_if(all, [](const executors::Leftover& found) { return found.run == 0; });
    std::map<RunId, std::vector<executors::Leftover>> by_run;
    for (executors::Leftover& found : all) by_run[found.run].push_back(std::move(found));
    const std::vector<RunId> orphans = store_->orphaned_runs();
    for (const RunId run : orphans) by_run.try_emplace(run);
    if (by_run.empty()) return add({State::good, "leftovers", "none", {}});
    const std::set<RunId> unfinished(orphans.begin(), orphans.end());
    for (const auto& entry : by_run) {  // no structured binding: clang 14 does not let a lambda see one
      const RunId run = entry.first;
      const auto& found = entry.second;
      if (clean_) {
        guarded("leftovers", [&] { clean(run, found, unfinished.contains(run)); });
      } else {
        tell(run, found, unfinished.contains(run));
      }
    }
  }

  // The shell executor leaves no containers, but unfinished runs too.
  void runs_without_engine() {
    if (config_.executor.value != ExecutorKind::shell) return;
    for (const RunId run : store_->orphaned_runs()) {
      if (clean_) {
        guarded("leftovers", [&] { clean(run, {}, true); });
      } else {
        tell(run, {}, true);
      }
    }
  }

  static std::string summary(const std::vector<executors::Leftover>& found) {
    std::size_t counts[3] = {};
    for (const executors::Leftover& leftover : found) ++counts[static_cast<std::size_t>(leftover.kind)];
    std::vector<std::string> parts;
    const char* names[3] = {"container", "network", "volume"};
    for (std::size_t i = 0; i < 3; ++i) {
      if (counts[i] > 0) parts.push_back(fmt::format("{} {}{}", counts[i], names[i], counts[i] == 1 ? "" : "s"));
    }
    return fmt::format("{}", fmt::join(parts, ", "));
  }

  static std::string of_run(RunId run) { return run == 0 ? "an unknown run" : fmt::format("run {}", run); }

  void tell(RunId run, const std::vector<executors::Leftover>& found, bool unfinished) {
    if (unfinished) {
      add({State::doubtful, "leftovers",
           fmt::format("run {} did not finish and nobody drives it{}{}", run, found.empty() ? "" : "; it left ",
                       summary(found)),
           fmt::format("`runner resume {}` takes it up, `runner doctor --clean` gives it up", run)});
    } else {
      add({State::doubtful, "leftovers", fmt::format("{} left {}", of_run(run), summary(found)),
           "`runner doctor --clean` removes it"});
    }
  }

  void clean(RunId run, const std::vector<executors::Leftover>& found, bool unfinished) {
    // The lease first: whoever resumes the run at this moment either has it before us or not at all.
    if (unfinished && !store_->adopt_run(run)) {
      return add({State::good, "leftovers", fmt::format("run {} has just been taken up; left alone", run), {}});
    }
    LastWords last_words(*store_, run);
    if (unfinished) end_shell_jobs(run, last_words);
    for (const executors::Leftover& leftover : found) doctor_->remove(leftover);
    if (unfinished) keep_logs(run, last_words);
    bool all_gone = true;
    if (run != 0) {
      fs::path directory = make_work_directory(*store_) / std::to_string(run);
      std::error_code error;
      if (fs::exists(directory, error) && !has_kept(directory))
        all_gone = executors::remove_tree(directory) && !fs::exists(directory, error);
      if (!all_gone) {
        add({State::doubtful, "leftovers", fmt::format("some of {} belongs to root and stays", directory.string()),
             fmt::format("sudo rm -rf {}", directory.string())});
      }
    }
    if (unfinished) give_up(run);
    if (last_words.withheld()) {
      add({State::doubtful,
           "leftovers",
           fmt::format("what jobs of run {} said after their runner died is not kept: it had secrets to be masked",
                       run),
           {}});
    }
    add({State::good,
         "leftovers",
         unfinished ? fmt::format("gave up run {}{}{}", run, found.empty() ? "" : " and removed ", summary(found))
                    : fmt::format("removed {} of {}", summary(found), of_run(run)),
         {}});
  }

  // A shell job has no container: it lives in a process of its own, which its executor knows to end.
  void end_shell_jobs(RunId run, LastWords& last_words) {
    const auto executor = executors::make_shell_executor(config_.shell_settings({}, {}));
    executor->hurry();
    std::stop_source stop;
    stop.request_stop();
    for_open_attempts(run, [&](const JobRow& job, const AttemptRow& attempt, const fs::path& directory) {
      if (!attempt.handle.starts_with("shell:")) return;
      executors::JobSpec spec;
      spec.id = {store_->owner(), run, job.job, attempt.key.attempt, job.name};
      spec.directory = directory;
      spec.project_dir = (directory / "ws").string();
      const auto execution = executor->adopt(spec, attempt.handle, attempt.log_cursor);
      if (execution) last_words.keep(attempt, *execution, stop.get_token());
    });  // the execution's destructor ends what still runs
    executor->settle();
  }

  // A job in a container: its directory still has what nobody read. The container is gone.
  void keep_logs(RunId run, LastWords& last_words) {
    for_open_attempts(run, [&](const JobRow&, const AttemptRow& attempt, const fs::path& path) {
      auto directory = executors::JobDirectory::open(path);
      if (directory && directory->started()) last_words.keep(attempt, *directory);
    });
  }

  template <class Function>
  void for_open_attempts(RunId run, const Function& function) {
    const fs::path directory = make_work_directory(*store_) / std::to_string(run);
    for (const JobRow& job : store_->jobs(run)) {
      const auto attempt = store_->last_attempt(run, job.job);
      if (!attempt || attempt->state == JobState::final) continue;
      function(job, *attempt, directory / fmt::format("j{}-{}", job.job, attempt->key.attempt));
    }
  }

  void give_up(RunId run) {
    const UnixMs now = unix_now();
    const std::string message = "given up by `runner doctor --clean`";
    for (const JobRow& job : store_->jobs(run)) {
      if (job.state == JobState::final) continue;
      const auto attempt = store_->last_attempt(run, job.job);
      if (attempt && attempt->state != JobState::final) {
        AttemptEnd end;
        end.outcome = pipelines::Outcome::cancelled;
        end.reason = "lost";
        end.message = message;
        end.finished = now;
        store_->finish_attempt(attempt->key, end);
      } else {
        store_->end_job(run, job.job, pipelines::Outcome::cancelled, "lost", message);
      }
    }
    store_->finish_run(run, pipelines::Verdict::cancelled, now);
  }

  const Config& config_;
  const bool clean_;
  bool making_room_ = false;
  std::vector<Check> checks_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<executors::EngineDoctor> doctor_;
  bool engine_answers_ = false, local_engine_ = false;
  std::map<RunId, std::vector<KeptJob>> kept_;
};

}  // namespace

std::vector<Check> examine(const Config& config, bool clean) { return Doctor(config, clean).examine(); }

std::vector<Check> remove_kept(const Config& config, const std::vector<std::uint64_t>& runs) {
  return Doctor(config, false).remove(runs);
}

void clear_after_predecessor(const Store& store, const executors::DockerSettings& settings, RunId run) {
  std::set<RunId> family{run};
  const std::vector<RunRow> rows = store.list_runs();
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {  // a child's number is higher than its parent's
    if (family.contains(row->parent)) family.insert(row->id);
  }
  const auto kept = all_kept_jobs(make_work_directory(store));
  executors::EngineDoctor doctor(settings);
  for (const executors::Leftover& leftover : doctor.leftovers()) {
    if (family.contains(leftover.run) && !is_kept(kept, leftover)) doctor.remove(leftover);
  }
}

std::string checks_text(const std::vector<Check>& checks, bool colour) {
  std::size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  std::string out;
  for (const Check& check : checks) {
    const std::string_view mark = check.state == State::good ? "✓" : check.state == State::doubtful ? "!" : "✗";
    const std::string_view sgr = check.state == State::good ? "32" : check.state == State::doubtful ? "33" : "31;1";
    out += fmt::format("{} {:<{}}  {}\n", paint(mark, sgr, colour), check.name, width, on_screen(check.message));
    if (!check.hint.empty()) out += fmt::format("  {:<{}}  {}\n", "", width, on_screen(check.hint));
  }
  return out;
}

std::string checks_json(const std::vector<Check>& checks) {
  using Json = nlohmann::ordered_json;
  Json all = Json::array();
  for (const Check& check : checks) {
    const char* state = check.state == State::good ? "ok" : check.state == State::doubtful ? "warning" : "error";
    all.push_back({{"name", check.name}, {"state", state}, {"message", check.message}, {"hint", check.hint}});
  }
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool any_bad(const std::vector<Check>& checks) {
  return std::any_of(checks.begin(), checks.end(), [](const Check& check) { return check.state == State::bad; });
}

}  // namespace runner
