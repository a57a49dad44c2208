#include "executors/docker/attached_job.h"

#include <algorithm>
#include <charconv>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "executors/docker/tarball.h"

namespace executors::docker {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds tick{100};
constexpr std::chrono::seconds kill_helps_within{3};
constexpr std::size_t longest_code = 4;  // three digits and a newline

std::string marker(std::string_view edge, std::string_view name) {
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  return "section_" + std::string(edge) + ":" + std::to_string(now.count()) + ":" + std::string(name) + "\r\x1b[0K";
}

std::string without_root(std::string_view path) {
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  return std::string(path);
}

}  // namespace

// ---- marks

void MarkScanner::feed(std::string_view bytes) {
  held_.append(bytes);
  while (true) {
    const std::size_t at = held_.find(mark_);
    if (at == std::string::npos) {
      // Keep what may be a mark's beginning.
      std::size_t keep = std::min(held_.size(), mark_.size() - 1);
      while (keep > 0 && held_.compare(held_.size() - keep, keep, mark_, 0, keep) != 0) --keep;
      if (held_.size() > keep) text_(std::string_view(held_).substr(0, held_.size() - keep));
      held_.erase(0, held_.size() - keep);
      return;
    }
    const std::size_t digits = at + mark_.size();
    const std::size_t end = held_.find('\n', digits);
    if (end == std::string::npos && held_.size() - digits < longest_code) {
      if (at > 0) text_(std::string_view(held_).substr(0, at));
      held_.erase(0, at);
      return;
    }
    int code = -1;
    const char* last = held_.data() + std::min(end, held_.size());
    const auto [parsed, error] = std::from_chars(held_.data() + digits, last, code);
    if (at > 0) text_(std::string_view(held_).substr(0, at));
    if (end == std::string::npos || error != std::errc() || parsed != last) {
      text_(std::string_view(held_).substr(at, mark_.size()));  // the job's own word
      held_.erase(0, digits);
      continue;
    }
    code_(code);
    held_.erase(0, end + 1);
  }
}

void MarkScanner::finish() {
  if (!held_.empty()) text_(held_);
  held_.clear();
}

// ---- the job

// Shared by the thread that reads and the one that keeps the time.
struct AttachedJob::Progress {
  std::mutex mutex;  // guards all below
  std::condition_variable_any changed;
  bool after = false;  // the script is over
  bool over = false;   // the stream has ended
  JobDirectory::Followed followed;
};

std::string AttachedJob::random_mark() {
  std::random_device device;
  std::string mark = "runner-mark-";
  for (int i = 0; i < 24; ++i) mark += "0123456789abcdef"[device() % 16];
  return mark + ":";
}

void AttachedJob::put_sources(const std::string& container) {
  // One tree may replace another's file by a directory; the engine does that when it unpacks, in order.
  TarStream tar;
  const std::string root = without_root(spec_.project_dir);
  tar.add_directory(root);
  if (!spec_.sources.snapshot.empty()) tar.add_tree(root, spec_.sources.snapshot);
  for (const fs::path& input : spec_.inputs) tar.add_tree(root, input);
  engine_.put_archive(container, "/", [&tar] { return tar.next(); });
}

JobDirectory::Followed AttachedJob::run(const std::string& container, const Work& work, LogSink& sink,
                                        const JobDirectory::Hooks& hooks, std::stop_token stop) {
  TarStream tar;
  tar.add_directory(".job");
  tar.add_directory(".job/tmp");
  tar.add_file(".job/" + std::string(exported_file), "");
  tar.add_fifo(".job/sig");
  const bool hook = !work.pre_get_sources.empty();
  if (hook) tar.add_file(".job/hook", hook_script_text(work, spec_.project_dir));
  if (!work.after_script.empty()) tar.add_file(".job/after", after_script_text(work, spec_.project_dir));
  tar.add_file(".job/script", script_text(work, spec_.project_dir, mark_));
  engine_.put_archive(container, "/", [&tar] { return tar.next(); });

  Progress progress;
  bool in_hook = hook, in_script = true, in_after = false, lingers = false;
  const auto open_after = [&] {
    if (!in_after) sink.write(marker("start", "after_script"));
    in_after = true;
  };
  const auto close_script = [&] {
    if (in_script && in_hook) sink.write(marker("end", "get_sources"));
    if (in_script && !in_hook && !progress.followed.hook_failed) sink.write(marker("end", "step_script"));
    in_script = false;
  };
  const auto close_hook = [&](int code) {
    in_hook = false;
    progress.followed.hook_failed = code != 0;
    sink.write(marker("end", "get_sources"));
    if (code == 0) sink.write(marker("start", "step_script"));
  };
  MarkScanner scanner(
      mark_,
      [&](std::string_view text) {
        if (!in_script) open_after();
        sink.write(text);
      },
      [&](int code) {
        lingers = code == lingers_code;
        if (lingers) return;
        const std::scoped_lock lock(progress.mutex);
        if (in_hook) {
          close_hook(code);
        } else if (in_script) {
          progress.followed.exit_code = code;
          progress.after = true;
          close_script();
        } else {
          open_after();
          progress.followed.after_code = code;
        }
        progress.changed.notify_all();
      });

  sink.write(marker("start", hook ? "get_sources" : "step_script"));
  std::jthread warden([&] { keep_time(container, work, hooks, progress, stop); });
  const auto end = [&] {
    const std::scoped_lock lock(progress.mutex);
    progress.over = true;
    progress.changed.notify_all();
  };
  try {
    engine_.attach(
        container, [&] { engine_.start(container); },
        [&](std::string_view bytes) {
          scanner.feed(bytes);
          return !lingers;
        },
        {});
  } catch (...) {
    end();
    throw;
  }
  end();
  warden.join();
  scanner.finish();
  close_script();
  if (in_after) sink.write(marker("end", "after_script"));
  progress.followed.dead = !progress.followed.exit_code;
  return progress.followed;
}

// A word into a file of the job's directory, by a process of its own in the container.
void AttachedJob::tell(const std::string& container, const std::string& text, const std::string& file) {
  try {
    // Read and write: opening a FIFO that nobody reads must not wait.
    engine_.exec(container, {"sh", "-c", "echo " + text + " 1<>/.job/" + file});
  } catch (const WorldError&) {  // it has just ended, or there is no engine: the stream's end tells
  }
}

void AttachedJob::keep_time(const std::string& container, const Work& work, const JobDirectory::Hooks& hooks,
                            Progress& progress, const std::stop_token& stop) {
  enum class Push { none, term, kill, last } push = Push::none;
  const auto job_deadline = Clock::now() + work.timeout;
  auto deadline = work.script_timeout ? std::min(job_deadline, Clock::now() + *work.script_timeout) : job_deadline;
  const bool by_script_timeout = deadline < job_deadline;
  auto next = deadline;
  bool after = false;
  bool stop_seen = false;
  std::unique_lock lock(progress.mutex);
  while (!progress.over) {
    progress.changed.wait_for(lock, tick, [&] { return progress.over || progress.after != after; });
    if (progress.over) return;
    const auto now = Clock::now();
    const bool hurry = hooks.hurry && hooks.hurry();
    if (progress.after && !after) {
      after = true;
      push = Push::none;
      deadline = std::min(job_deadline, now + work.after_timeout);
    }
    std::string status;
    if (stop.stop_requested() && !stop_seen) {
      stop_seen = true;
      if (!progress.followed.timed_out) progress.followed.cancelled = true;
      if (push == Push::none) {
        status = "canceled";
        push = Push::term;
        next = now;
      }
    } else if (now >= deadline && push == Push::none) {
      if (!after) {
        progress.followed.timed_out = !progress.followed.cancelled;
        progress.followed.script_timed_out = progress.followed.timed_out && by_script_timeout;
        status = progress.followed.cancelled ? "canceled" : by_script_timeout ? "timedout" : "expired";
      }
      push = Push::term;
      next = now;
    }
    if (hurry && stop_seen && push != Push::last) {
      status = "killed";
      push = Push::last;
      next = now;
    }
    if (push == Push::none || now < next) continue;
    const Push doing = push;
    switch (doing) {
      case Push::none:
        break;
      case Push::term:
        push = Push::kill;
        next = now + work.grace;
        break;
      case Push::kill:
        push = Push::last;
        next = now + kill_helps_within;
        break;
      case Push::last:
        next = now + kill_helps_within;
        break;
    }
    lock.unlock();
    if (!status.empty()) tell(container, status, "status");
    if (doing == Push::term) tell(container, "TERM", "sig");
    if (doing == Push::kill) tell(container, "KILL", "sig");
    if (doing == Push::last && hooks.kill) hooks.kill();
    lock.lock();
  }
}

// ---- artifacts

std::string literal_prefix(std::string_view pattern) {
  const std::size_t wild = pattern.find_first_of("*?[{\\");
  std::string_view prefix = pattern.substr(0, wild);
  if (wild != std::string_view::npos) prefix = prefix.substr(0, std::min(prefix.rfind('/'), prefix.size()));
  if (wild != std::string_view::npos && pattern.substr(0, wild).find('/') == std::string_view::npos) prefix = {};
  while (prefix.starts_with("./")) prefix.remove_prefix(2);
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  return std::string(prefix == "." ? "" : prefix);
}

Layers AttachedJob::fetch(const std::string& container, const Work& work, const fs::path& to) {
  const ArtifactsSpec& artifacts = work.artifacts;
  std::set<std::string> prefixes;
  const auto add = [this, &prefixes](const std::vector<std::string>& patterns) {
    for (std::string_view pattern : patterns) {
      if (pattern.starts_with(spec_.project_dir + "/")) pattern.remove_prefix(spec_.project_dir.size() + 1);
      const std::string prefix = literal_prefix(pattern);
      const fs::path path = fs::path(prefix).lexically_normal();
      if (path.is_absolute() || (!path.empty() && *path.begin() == "..")) continue;  // outside: collect() says so
      prefixes.insert(path == "." ? "" : path.string());
    }
  };
  add(artifacts.paths);
  for (const ReportSpec& report : artifacts.reports) add(report.paths);
  bool everything = artifacts.untracked;
  for (const CacheSpec& cache : work.caches) {
    add(cache.paths);
    everything = everything || cache.untracked;
  }
  if (everything || prefixes.contains("")) prefixes = {""};
  std::error_code error;
  fs::create_directories(to, error);
  const fs::path staging = to / fs::path(spec_.project_dir).relative_path();
  if (prefixes.empty() || prefixes.contains("")) {
    if (!prefixes.empty()) fetch_tree(engine_, container, spec_.project_dir, staging.parent_path());
    fs::create_directories(staging, error);
    return {{staging}};
  }
  fs::create_directories(staging, error);
  for (const std::string& prefix : prefixes) {
    // Nothing below what was already fetched.
    const bool covered = std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& other) {
      return other != prefix && prefix.starts_with(other + "/");
    });
    if (!covered) fetch_tree(engine_, container, spec_.project_dir + "/" + prefix, (staging / prefix).parent_path());
  }
  return {{staging}};
}

}  // namespace executors::docker
