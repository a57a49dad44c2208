#include "executors/job_follower.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <thread>

namespace executors {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBlock = std::size_t{256} << 10;
// After so much of a log that grows faster than it is read, look at the clocks and the exit file.
constexpr std::uint64_t kPass = std::uint64_t{8} << 20;
// A log that grows is read this often: a write per line would else be a wake-up per line.
constexpr auto kReadEvery = 10ms;
constexpr auto kDeadCheck = 250ms;
constexpr auto kKillAgain = 200ms;
constexpr auto kKillHelpsWithin = 3s;  // then Hooks::kill
constexpr auto kGiveUpAfter = 15s;     // after that: the sandbox counts as gone
// A shell needs so much disk to write its exit code into a file.
constexpr std::uint64_t kRoomToSay = 16384;

std::string marker(std::string_view edge, std::int64_t time, std::string_view name) {
  // Ten digits whatever the job did to its files' times: a byte count must name a place in the stream.
  time = std::clamp<std::int64_t>(time, 1'000'000'000, 9'999'999'999);
  return "section_" + std::string(edge) + ":" + std::to_string(time) + ":" + std::string(name) + "\r\x1b[0K";
}

// The section's name in the log, and the file that is written when it is over.
struct SectionNames {
  std::string_view name;
  const char* ends_with;
};
constexpr std::array<SectionNames, 3> kSections = {
    {{"get_sources", "hook.exit"}, {"step_script", "exit"}, {"after_script", "after.exit"}}};

std::string watchable(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool disk_full(int directory) {
  struct statvfs disk {};
  return fstatvfs(directory, &disk) == 0 && disk.f_bavail * disk.f_frsize < kRoomToSay;
}

}  // namespace

JobFollower::JobFollower(JobDirectory& directory, Files files, const Work& work, LogSink& sink,
                         const JobDirectory::Hooks& hooks, std::uint64_t from, std::stop_token stop)
    : directory_(directory),
      files_(files),
      work_(work),
      sink_(sink),
      hooks_(hooks),
      stop_(std::move(stop)),
      skip_(from),
      buffer_(kBlock),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // Without inotify (its instances are limited per user) wait() polls.
  if (files_.inotify >= 0 && ::inotify_add_watch(files_.inotify, watchable(files_.directory).c_str(),
                                                 IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
    files_.inotify = -1;
  }
}

JobDirectory::Followed JobFollower::run() {
  const std::stop_callback wake_up(stop_, [this] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
  });
  if (const auto before = status()) {  // what a former runner had begun
    result_.script_timed_out = *before == "timedout";
    result_.timed_out = result_.script_timed_out || *before == "expired";
    result_.cancelled = *before == "canceled" || *before == "killed";
  }

  const auto remaining = [](std::chrono::seconds limit, std::int64_t began) {
    const auto spent = std::chrono::seconds(std::max<std::int64_t>(0, now_seconds() - began));
    return Clock::now() + std::max<Clock::duration>(0s, std::min<std::chrono::seconds>(limit, 100'000h) - spent);
  };
  const auto job_deadline = remaining(work_.timeout, file_time("script"));
  deadline_ = job_deadline;
  if (follow_hook()) {
    if (work_.script_timeout) {
      deadline_ = std::min(job_deadline, remaining(*work_.script_timeout, file_time("script")));
      by_script_timeout_ = deadline_ < job_deadline;
    }
    open_section(Section::script);
  }
  follow(Section::script);
  if (open_) close_section(Section::script);

  if (!result_.dead && !work_.after_script.empty()) {
    pushed_ = Push::none;
    deadline_ = std::min(job_deadline, remaining(work_.after_timeout, file_time("exit")));
    follow(Section::after);
    if (open_) close_section(Section::after);
  }
  return result_;
}

// False when there is one and it did not succeed: then nothing of the script is to be seen.
bool JobFollower::follow_hook() {
  if (files_.hook_log < 0) return true;
  open_section(Section::hook);
  follow(Section::hook);
  close_section(Section::hook);
  const std::optional<int> code = directory_.codes().hook;
  result_.hook_failed = code.value_or(-1) != 0;
  return !result_.hook_failed;
}

bool JobFollower::over(Section section, const JobDirectory::Codes& codes) const {
  switch (section) {
    case Section::hook:
      return codes.hook.has_value() || codes.script.has_value();
    case Section::script:
      return codes.script.has_value();
    case Section::after:
      break;
  }
  return codes.after.has_value() || codes.ended;
}

void JobFollower::follow(Section section) {
  for (;;) {
    // In this order: what was written before the code is below the size that is read after it.
    JobDirectory::Codes codes = directory_.codes();
    if (!over(section, codes) && is_dead()) {
      codes = directory_.codes();  // it may have ended in between
      result_.dead = !over(section, codes);
    }
    const bool last = over(section, codes) || result_.dead;
    if (section == Section::after && !open_) {
      log_ = files_.after_log;
      if (codes.after || log_size() > 0) open_section(section);
    }
    if (last) {
      // No further than now: a process left behind may go on writing for ever.
      if (open_) {
        const auto size = log_size();
        while (offset_ < size && read_log(size - offset_) > 0 && !(hooks_.hurry && hooks_.hurry())) {
        }
      }
      result_.exit_code = codes.script;
      result_.after_code = codes.after;
      result_.disk_full = result_.dead && disk_full(files_.directory);
      return;
    }
    const std::uint64_t got = open_ ? read_log(kPass) : 0;
    keep_time(section);
    if (got >= kPass) continue;
    if (got > 0) {
      wait(Clock::now() + kReadEvery, false);
    } else {
      auto until = std::min({deadline_, next_dead_check_, Clock::now() + Clock::duration(1s)});
      if (pushed_ != Push::none) until = std::min({next_push_, next_dead_check_, Clock::now() + Clock::duration(50ms)});
      wait(until, true);
    }
  }
}

// ---- the log

const char* JobFollower::begins_with(Section section) const {
  if (section == Section::after) return "exit";
  return section == Section::script && files_.hook_log >= 0 ? "hook.exit" : "script";
}

void JobFollower::open_section(Section section) {
  open_ = true;
  log_ = section == Section::hook ? files_.hook_log : section == Section::script ? files_.log : files_.after_log;
  log_watch_ = -1;
  emit(marker("start", file_time(begins_with(section)), kSections[static_cast<std::size_t>(section)].name));
  offset_ = std::min(skip_, log_size());
  skip_ -= offset_;
  // More was kept than there is: kept end markers, or else the job has cut its log.
  if (skip_ > 0 && !over(section, directory_.codes())) skip_ = 0;
}

void JobFollower::close_section(Section section) {
  const SectionNames& names = kSections[static_cast<std::size_t>(section)];
  emit(marker("end", file_time(names.ends_with), names.name));
  open_ = false;
}

void JobFollower::emit(std::string_view text) {
  const auto dropped = std::min<std::uint64_t>(skip_, text.size());
  skip_ -= dropped;
  if (dropped < text.size()) sink_.write(text.substr(dropped));
}

std::uint64_t JobFollower::log_size() const {
  struct stat info = {};
  return ::fstat(log_, &info) == 0 && info.st_size > 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

std::uint64_t JobFollower::read_log(std::uint64_t limit) {
  std::uint64_t total = 0;
  while (total < limit) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), limit - total));
    const ssize_t got = ::pread(log_, buffer_.data(), want, static_cast<off_t>(offset_));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      // The job has emptied its log: what it writes now begins at the front.
      if (got == 0 && total == 0 && log_size() < offset_) {
        offset_ = 0;
        continue;
      }
      break;
    }
    offset_ += static_cast<std::uint64_t>(got);
    total += static_cast<std::uint64_t>(got);
    sink_.write({buffer_.data(), static_cast<std::size_t>(got)});
  }
  return total;
}

// ---- waiting

// Waits until something happens in the directory, the log grows (if asked for), a stop is requested or the time comes.
void JobFollower::wait(Clock::time_point until, bool for_log) {
  const bool watch_log = for_log && log_ >= 0;
  if (files_.inotify >= 0 && watch_log) {
    // One shot: while the log is read at intervals, the job's writes cost neither side an event.
    log_watch_ = ::inotify_add_watch(files_.inotify, watchable(log_).c_str(), IN_MODIFY | IN_ONESHOT);
    const std::uint64_t size = log_size();  // it may have grown before the watch
    if (size != offset_ && (open_ || size > 0)) return;
  }
  if (files_.inotify < 0 || (watch_log && log_watch_ < 0)) until = std::min(until, Clock::now() + Clock::duration(5ms));
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  std::array<pollfd, 2> fds = {{{files_.inotify, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  const int timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
  if (::poll(fds.data(), fds.size(), timeout) <= 0) return;
  alignas(inotify_event) std::array<char, 4096> events;
  if ((fds[0].revents & POLLIN) != 0) {
    while (::read(files_.inotify, events.data(), events.size()) > 0) {
    }
  }
  if ((fds[1].revents & POLLIN) != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
  }
}

bool JobFollower::is_dead() {
  const auto now = Clock::now();
  if (result_.dead || !hooks_.dead || now < next_dead_check_) return result_.dead;
  next_dead_check_ = now + kDeadCheck;
  return hooks_.dead();
}

// ---- clocks and signals

void JobFollower::keep_time(Section section) {
  const auto now = Clock::now();
  const bool hurry = hooks_.hurry && hooks_.hurry();
  if (stop_.stop_requested() && !stop_seen_) {
    stop_seen_ = true;
    if (!result_.timed_out) result_.cancelled = true;
    if (pushed_ == Push::none) {
      if (!result_.timed_out) directory_.set_status(hurry ? "killed" : "canceled");
      push(hurry ? Push::kill : Push::term);
    }
  }
  if (now >= deadline_ && pushed_ == Push::none) {
    if (section != Section::after) {
      result_.timed_out = !result_.cancelled;
      result_.script_timed_out = result_.timed_out && by_script_timeout_;
      directory_.set_status(result_.cancelled ? "canceled" : by_script_timeout_ ? "timedout" : "expired");
    }
    push(Push::term);
  }
  if (hurry && stop_seen_ && pushed_ <= Push::term) {
    directory_.set_status("killed");
    push(Push::kill);
  }
  if (pushed_ == Push::term && !term_sent_) term_sent_ = directory_.signal("TERM");
  if (pushed_ == Push::none || now < next_push_) return;
  switch (pushed_) {
    case Push::none:
      break;
    case Push::term:
      push(Push::kill);
      break;
    case Push::kill:
      if (now >= deadline_) {
        if (hooks_.kill) hooks_.kill();
        push(Push::last_resort);
      } else {
        directory_.signal("KILL");  // again: a process may have been made while the others were killed
        next_push_ = now + kKillAgain;
      }
      break;
    case Push::last_resort:
      result_.dead = true;
      break;
  }
}

void JobFollower::push(Push how) {
  const auto now = Clock::now();
  pushed_ = how;
  switch (how) {
    case Push::none:
      break;
    case Push::term:
      term_sent_ = directory_.signal("TERM");
      next_push_ = now + work_.grace;
      break;
    case Push::kill:
      directory_.signal("KILL");
      next_push_ = now + kKillAgain;
      deadline_ = now + kKillHelpsWithin;
      break;
    case Push::last_resort:
      next_push_ = now + kGiveUpAfter;
      break;
  }
}

// ---- the directory's files

std::optional<std::string> JobFollower::status() const {
  const UniqueFd fd(::openat(files_.directory, "status", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info = {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  std::array<char, 16> text = {};
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got <= 0) return std::nullopt;
  const std::string_view line(text.data(), static_cast<std::size_t>(got));
  return std::string(line.substr(0, line.find('\n')));
}

std::int64_t JobFollower::file_time(const char* name) const {
  struct stat info = {};
  if (::fstatat(files_.directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return now_seconds();
  return info.st_mtim.tv_sec;
}

}  // namespace executors
