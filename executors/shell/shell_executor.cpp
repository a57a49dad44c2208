// Jobs on this very machine: the job directory without a container, each under a supervisor process of its own.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "executors/job_directory.h"
#include "executors/make.h"
#include "executors/shell/on_terminal.h"
#include "executors/shell/process.h"
#include "executors/workspace/tree.h"

extern char** environ;

namespace executors {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Closes and removes directories behind the jobs' backs.
class Removals {
 public:
  Removals() : thread_([this](const std::stop_token& stop) { work(stop); }) {}
  void add(fs::path path, std::optional<JobDirectory> open) {
    const std::lock_guard lock(mutex_);
    removals_.push_back({std::move(path), std::move(open)});
    changed_.notify_all();
  }
  void settle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return removals_.empty(); });
  }

 private:
  struct Removal {
    fs::path path;
    std::optional<JobDirectory> open;
  };

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !removals_.empty(); })) {
      Removal& removal = removals_.front();  // stays where it is while others are added
      lock.unlock();
      removal.open.reset();
      remove_tree(removal.path);
      lock.lock();
      removals_.pop_front();  // only now: settle() waits for what is under way, too
      changed_.notify_all();
    }
  }

  std::mutex mutex_;  // guards the next two
  std::condition_variable_any changed_;
  std::deque<Removal> removals_;
  std::jthread thread_;
};

struct Shared {
  ShellSettings settings;
  std::atomic<bool> hurry = false;
  Removals removals;
};

// Ours, without what is meant for the runner alone.
std::vector<std::string> job_environment(const Environment& extra, const std::string& marker) {
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const auto name = text.substr(0, text.find('='));
    const bool replaced = std::ranges::any_of(extra, [&](const auto& pair) { return pair.first == name; });
    if (!name.starts_with("RUNNER_") && !replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : extra) all.push_back(name + "=" + value);
  all.push_back(marker);
  return all;
}

class ShellExecution : public Execution {
 public:
  ShellExecution(std::shared_ptr<Shared> shared, JobSpec spec) : shared_(std::move(shared)), spec_(std::move(spec)) {
    if (spec_.project_dir.empty()) spec_.project_dir = (spec_.directory / "ws").string();
  }
  ~ShellExecution() override;

  void prepare(const std::stop_token&);
  void clear_predecessor() const;
  // False when nothing is left of it.
  bool adopt(std::string_view handle, std::uint64_t log_bytes_kept);

  std::string handle() const override {
    return "shell:" + std::to_string(supervisor_.pid) + ":" + std::to_string(supervisor_.start);
  }
  JobResult run(const Work&, LogSink&, Notices&, std::stop_token) override;
  void enter(const Work&, const Terminal&, const std::stop_token&) override;
  Kept keep(const Work&) override;

 private:
  fs::path workspace_to_take_from(bool passed) const;
  std::string put_shell(const Work&);
  // In the environment of every process of the job that has not cleared it.
  std::string marker() const { return "RUNNER_JOB_DIRECTORY=" + spec_.directory.string(); }
  bool supervisor_lives() const { return supervisor_.pid > 0 && is_alive(supervisor_); }
  static bool await(std::chrono::milliseconds limit, const std::function<bool()>& condition);
  bool await_supervisor(std::chrono::milliseconds limit) const;
  void kill_everything() const;
  void end();

  const std::shared_ptr<Shared> shared_;
  JobSpec spec_;
  std::optional<JobDirectory> directory_;
  ProcessName supervisor_;
  bool adopted_ = false;  // then the supervisor is not our child
  bool ended_ = false, kept_ = false;
  std::uint64_t log_bytes_kept_ = 0;
};

void ShellExecution::prepare(const std::stop_token& stop) {
  if (!spec_.services.empty()) {
    throw WorldError("runner_system_failure",
                     "job " + spec_.id.name + " needs the service " + spec_.services.front().image +
                         ", which the shell executor cannot start",
                     "run it with --executor docker");
  }
  std::error_code error;
  if (fs::exists(spec_.directory, error)) clear_predecessor();
  directory_.emplace(JobDirectory::create(spec_.directory));
  const fs::path project = spec_.project_dir;
  fs::create_directories(project.parent_path(), error);
  if (!spec_.sources.snapshot.empty()) {
    copy_tree(spec_.sources.snapshot, project);
  } else if (!fs::create_directory(project, error) && error) {
    throw WorldError("runner_system_failure", "cannot make " + project.string() + ": " + error.message());
  }
  if (!stop.stop_requested()) overlay_copy(spec_.inputs, project);
  std::vector<std::string> environment = job_environment(shared_->settings.environment, marker());
  environment.push_back("RUNNER_SUPERVISED_BY=" + std::to_string(::getpid()));
  try {
    supervisor_ = start_detached({shared_->settings.supervisor, "__supervise", spec_.directory.string()}, environment);
  } catch (const std::system_error& failure) {
    throw WorldError("runner_system_failure", std::string("cannot start the job's supervisor: ") + failure.what());
  }
}

// What a runner that died had made ready of this very attempt. It never began: one that did is adopted, not prepared.
void ShellExecution::clear_predecessor() const {
  if (const auto before = JobDirectory::open(spec_.directory); before && before->started()) {
    throw WorldError("runner_system_failure", "another runner runs the job in " + spec_.directory.string() + " already",
                     "wait for it or stop it");
  }
  shared_->removals.settle();  // or it is our own, of an attempt to make it ready
  kill_all([this] { return processes_with(marker()); }, {});
  remove_tree(spec_.directory);
}

bool ShellExecution::adopt(std::string_view handle, std::uint64_t log_bytes_kept) {
  adopted_ = true;
  log_bytes_kept_ = log_bytes_kept;
  const auto number = [&](auto& value) {
    const auto colon = handle.find(':');
    if (colon == std::string_view::npos) return false;
    handle.remove_prefix(colon + 1);
    return std::from_chars(handle.data(), handle.data() + handle.size(), value).ec == std::errc();
  };
  if (!handle.starts_with("shell:") || !number(supervisor_.pid) || !number(supervisor_.start)) return false;
  directory_ = JobDirectory::open(spec_.directory);
  return directory_ && directory_->started() && (supervisor_lives() || directory_->codes().script);
}

JobResult ShellExecution::run(const Work& given, LogSink& log, Notices& notices, std::stop_token stop) {
  const JobDirectory::Hooks hooks = {.dead = [this] { return !supervisor_lives(); },
                                     .kill = [this] { kill_everything(); },
                                     .hurry = [this] { return shared_->hurry.load(); }};
  std::chrono::system_clock::time_point begun;  // of an adopted job: not known, so nothing is older
  if (!adopted_) {
    directory_->write_script(given, spec_.project_dir);
    begun = std::chrono::system_clock::now();
    if (!directory_->go(hooks.dead, stop)) {
      if (stop.stop_requested()) return result_of({.cancelled = true}, given);
      throw WorldError("runner_system_failure",
                       "the job's supervisor (" + shared_->settings.supervisor + ") ended at once");
    }
  }
  const auto followed = directory_->follow(given, log, hooks, log_bytes_kept_, stop);
  // What the job left running would still write into its workspace. The supervisor itself may take its time.
  if (followed.dead || !await(1s, [this] { return directory_->codes().ended; })) end();
  const std::optional<Work> late = renamed(given, directory_->exported());
  const Work& work = late ? *late : given;
  JobResult result = result_of(followed, work);
  if (result.outcome != pipelines::Outcome::passed && result.outcome != pipelines::Outcome::failed) return result;
  const bool passed = result.outcome == pipelines::Outcome::passed;
  const bool more = takes_archive(work.artifacts, passed);
  const bool any = more || !work.artifacts.reports.empty() || takes_caches(work.caches, passed);
  const Layers workspace{{any ? workspace_to_take_from(passed) : fs::path(spec_.project_dir)}};
  result.caches = collect_caches(workspace, spec_.project_dir, spec_.sources.tracked_list, work.caches, passed, more,
                                 spec_.layer, begun, notices);
  try {
    result.collected =
        collect(workspace, spec_.project_dir, spec_.sources.tracked_list, work.artifacts, passed, spec_.layer, notices);
  } catch (const WorldError& error) {
    if (passed) throw;
    notices.warning(error.what());  // the script's own failure is the news
  }
  return result;
}

// Taking artifacts uses a workspace up; one that is to stay is copied first.
fs::path ShellExecution::workspace_to_take_from(bool passed) const {
  if (passed || !spec_.linger) return spec_.project_dir;
  fs::path copy = spec_.directory / "got";
  copy_tree(spec_.project_dir, copy);
  return copy;
}

std::string ShellExecution::put_shell(const Work& work) {
  if (!directory_) throw WorldError("runner_system_failure", "its directory is gone");
  directory_->write_shell(work, spec_.project_dir);
  return (directory_->path() / shell_name).string();
}

void ShellExecution::enter(const Work& work, const Terminal& terminal, const std::stop_token& stop) {
  const std::string script = put_shell(work);
  Environment extra = shared_->settings.environment;
  if (!terminal.type.empty()) extra.emplace_back("TERM", terminal.type);
  run_on_terminal({"/bin/sh", script}, job_environment(extra, marker()), terminal, stop);
}

Kept ShellExecution::keep(const Work& work) {
  Kept kept;
  kept.enter = "sh " + shell_word(put_shell(work));
  kept_ = true;
  return kept;
}

bool ShellExecution::await(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (auto pause = 200us; !condition(); pause = std::min(pause * 2, std::chrono::microseconds(10ms))) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(pause);
  }
  return true;
}

bool ShellExecution::await_supervisor(std::chrono::milliseconds limit) const {
  return await(limit, [this] { return !supervisor_lives(); });
}

void ShellExecution::kill_everything() const {
  if (supervisor_lives()) {
    kill_all([this] { return descendants(supervisor_.pid); }, {});
    ::kill(supervisor_.pid, SIGKILL);
  }
}

// Ends the supervisor and all of the job. After it has said `ended` it goes by itself.
void ShellExecution::end() {
  if (std::exchange(ended_, true) || supervisor_.pid <= 0) return;
  if (!directory_ || !directory_->started()) {
    if (supervisor_lives()) ::kill(supervisor_.pid, SIGKILL);  // nothing runs below it yet
    await_supervisor(5s);
  } else if (!await_supervisor(directory_->codes().script ? 1s : 0s) || !directory_->codes().ended) {
    // Told again and again: it may just have been started.
    for (int i = 0; i < 50 && (directory_->signal("END"), !await_supervisor(100ms)); ++i) {
    }
    kill_everything();
    // Killed by the job or from outside, it has left the rest without anybody above it.
    if (!directory_->codes().ended) kill_all([this] { return processes_with(marker()); }, {});
  }
  if (!adopted_) ::waitpid(supervisor_.pid, nullptr, await_supervisor(1s) ? 0 : WNOHANG);
}

ShellExecution::~ShellExecution() {
  try {
    end();
    if (!kept_) shared_->removals.add(spec_.directory, std::move(directory_));
  } catch (...) {  // no memory: the directory stays for `doctor`
  }
}

class ShellExecutor : public Executor {
 public:
  explicit ShellExecutor(ShellSettings settings) : shared_(std::make_shared<Shared>()) {
    shared_->settings = std::move(settings);
  }
  ~ShellExecutor() override { settle(); }
  ShellExecutor(const ShellExecutor&) = delete;
  ShellExecutor& operator=(const ShellExecutor&) = delete;

  std::unique_ptr<Execution> prepare(const JobSpec& spec, Notices&, std::stop_token stop) override {
    auto execution = std::make_unique<ShellExecution>(shared_, spec);
    execution->prepare(stop);
    return execution;
  }
  std::unique_ptr<Execution> adopt(const JobSpec& spec, std::string_view handle, std::uint64_t kept) override {
    auto execution = std::make_unique<ShellExecution>(shared_, spec);
    if (!execution->adopt(handle, kept)) return nullptr;
    return execution;
  }
  void hurry() override { shared_->hurry = true; }
  void settle() override { shared_->removals.settle(); }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

std::unique_ptr<Executor> make_shell_executor(ShellSettings settings) {
  return std::make_unique<ShellExecutor>(std::move(settings));
}

}  // namespace executors
