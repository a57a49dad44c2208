#include "executors/job_directory.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "executors/job_follower.h"
#include "executors/unique_fd.h"
#include "pipelines/variables.h"

namespace executors {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(const std::string& what, const fs::path& path) {
  const int error = errno;
  throw WorldError("runner_system_failure", what + " " + path.string() + ": " + std::strerror(error),
                   error == ENOSPC ? "the disk is full: free some space (runner gc) and start again" : "");
}

// A regular file of the directory, whatever the job has put in its place.
UniqueFd open_regular(int directory, const char* name) {
  UniqueFd fd(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info = {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return fd;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

// One to three digits and a newline; anything else is not (yet) a code.
std::optional<int> read_code(int directory, const char* name) {
  const UniqueFd fd = open_regular(directory, name);
  if (!fd) return std::nullopt;
  std::array<char, 5> text = {};
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got < 2 || got > 4 || text[static_cast<std::size_t>(got) - 1] != '\n') return std::nullopt;
  int code = 0;
  for (std::size_t i = 0; i + 1 < static_cast<std::size_t>(got); ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    code = code * 10 + (text[i] - '0');
  }
  return code <= 255 ? std::optional(code) : std::nullopt;
}

constexpr std::size_t most_exported = std::size_t{1} << 20;  // bytes; nobody names paths by more

}  // namespace

Environment exported_of(std::string_view content) {
  Environment variables;
  while (!content.empty()) {
    std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    constexpr std::string_view space = " \t\r";  // as the shell's `read` drops it
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(space)));
    line = line.substr(0, line.find_last_not_of(space) + 1);
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos || !pipelines::is_variable_name(line.substr(0, equals))) continue;
    variables.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  return variables;
}

std::optional<Work> renamed(const Work& work, const Environment& exported) {
  if (!work.rename_paths || exported.empty()) return std::nullopt;
  Work late = work;
  late.rename_paths(late, exported);
  return late;
}

struct JobDirectory::Impl {
  fs::path path;
  UniqueFd directory, log, after_log, hook_log;
  // For follow(). Closed with the rest, behind the job's back: the kernel takes up to 30 ms for it.
  UniqueFd inotify{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};

  // Writes a line into one of the FIFOs if somebody reads it.
  bool tell(const char* name, std::string_view line) const {
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    const UniqueFd out(::openat(directory.get(), name, O_WRONLY | flags));
    struct stat info = {};
    if (!out || ::fstat(out.get(), &info) != 0 || !S_ISFIFO(info.st_mode)) return false;
    // Our own reading end: the reader may leave at any moment, and that must not be a SIGPIPE.
    const UniqueFd in(::openat(directory.get(), name, O_RDONLY | flags));
    return in && write_all(out.get(), std::string(line) + "\n");
  }

  // A file that any user of a container may add to.
  UniqueFd make_log(const char* name) const {
    UniqueFd fd(::openat(directory.get(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (!fd || ::fchmod(fd.get(), 0666) != 0) fail("cannot make", path / name);
    return fd;
  }

  void write_file(const char* name, std::string_view text) const {
    const UniqueFd fd(::openat(directory.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!fd || !write_all(fd.get(), text) || ::fchmod(fd.get(), 0644) != 0) fail("cannot write", path / name);
  }
};

JobDirectory::JobDirectory() : impl_(std::make_unique<Impl>()) {}
JobDirectory::JobDirectory(JobDirectory&&) noexcept = default;
JobDirectory& JobDirectory::operator=(JobDirectory&&) noexcept = default;
JobDirectory::~JobDirectory() = default;

JobDirectory JobDirectory::create(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  if (::mkdir(directory.c_str(), 0711) != 0 && errno != EEXIST) fail("cannot make", directory);
  if (::chmod(directory.c_str(), 0711) != 0) fail("cannot change the mode of", directory);

  JobDirectory made;
  Impl& impl = *made.impl_;
  impl.path = directory / ".job";
  if (::mkdir(impl.path.c_str(), 0700) != 0) fail("cannot make", impl.path);
  impl.directory = UniqueFd(::open(impl.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!impl.directory) fail("cannot open", impl.path);
  for (const char* name : {"go", "sig"}) {
    if (::mkfifoat(impl.directory.get(), name, 0666) != 0 || ::fchmodat(impl.directory.get(), name, 0666, 0) != 0) {
      fail("cannot make", impl.path / name);
    }
  }
  impl.log = impl.make_log("log");
  impl.after_log = impl.make_log("after.log");
  if (::mkdirat(impl.directory.get(), "tmp", 0777) != 0 || ::fchmodat(impl.directory.get(), "tmp", 0777, 0) != 0) {
    fail("cannot make", impl.path / "tmp");
  }
  impl.make_log(std::string(exported_file).c_str());
  // Last: from now on the job's user may write here.
  if (::fchmod(impl.directory.get(), 0777) != 0) fail("cannot change the mode of", impl.path);
  return made;
}

std::optional<JobDirectory> JobDirectory::open(const fs::path& directory) {
  JobDirectory found;
  Impl& impl = *found.impl_;
  impl.path = directory / ".job";
  impl.directory = UniqueFd(::open(impl.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!impl.directory) return std::nullopt;
  impl.log = open_regular(impl.directory.get(), "log");
  impl.after_log = open_regular(impl.directory.get(), "after.log");
  if (!impl.log || !impl.after_log) return std::nullopt;
  impl.hook_log = open_regular(impl.directory.get(), "hook.log");  // where there is one
  return found;
}

fs::path JobDirectory::path() const { return impl_->path; }

void JobDirectory::write_script(const Work& work, std::string_view project_dir) {
  // `script` last: it says that all are there (started()).
  if (!work.pre_get_sources.empty()) {
    impl_->hook_log = impl_->make_log("hook.log");
    impl_->write_file("hook", hook_script_text(work, project_dir));
  }
  if (!work.after_script.empty()) impl_->write_file("after", after_script_text(work, project_dir));
  impl_->write_file("script", script_text(work, project_dir));
}

void JobDirectory::write_shell(const Work& work, std::string_view project_dir) {
  const std::string name(shell_name);
  ::unlinkat(impl_->directory.get(), name.c_str(), 0);
  impl_->write_file(name.c_str(), shell_script_text(work, project_dir));
}

bool JobDirectory::started() const { return static_cast<bool>(open_regular(impl_->directory.get(), "script")); }

bool JobDirectory::go(const std::function<bool()>& dead, const std::stop_token& stop) {
  using namespace std::chrono_literals;
  auto pause = 1ms;
  while (!stop.stop_requested()) {
    if (impl_->tell("go", "go")) return true;
    if (dead && dead()) return false;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, 8ms);
  }
  return false;
}

bool JobDirectory::signal(std::string_view name) { return impl_->tell("sig", name); }

bool JobDirectory::listens() const {
  return static_cast<bool>(
      UniqueFd(::openat(impl_->directory.get(), "sig", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)));
}

void JobDirectory::set_status(std::string_view status) {
  // A job that spoils this spoils only its own CI_JOB_STATUS.
  const int directory = impl_->directory.get();
  ::unlinkat(directory, "status.t", 0);
  const UniqueFd fd(::openat(directory, "status.t", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd || !write_all(fd.get(), std::string(status) + "\n")) return;
  ::fchmod(fd.get(), 0644);
  ::renameat(directory, "status.t", directory, "status");
}

JobDirectory::Codes JobDirectory::codes() const {
  const int directory = impl_->directory.get();
  Codes codes;
  struct stat info = {};
  codes.ended = ::fstatat(directory, "ended", &info, AT_SYMLINK_NOFOLLOW) == 0;
  codes.hook = read_code(directory, "hook.exit");
  codes.script = read_code(directory, "exit");
  if (codes.script) codes.after = read_code(directory, "after.exit");
  return codes;
}

Environment JobDirectory::exported() const {
  const std::filesystem::path path(exported_file);
  const UniqueFd below(
      ::openat(impl_->directory.get(), path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const UniqueFd file = below ? open_regular(below.get(), path.filename().c_str()) : UniqueFd();
  if (!file) return {};
  std::string content(most_exported, '\0');
  std::size_t size = 0;
  for (ssize_t got = 0;
       size < content.size() && (got = ::read(file.get(), content.data() + size, content.size() - size)) > 0;) {
    size += static_cast<std::size_t>(got);
  }
  return exported_of(std::string_view(content).substr(0, size));
}

void JobDirectory::add_to_log(std::string_view lines) const {
  // By the descriptor, whatever the name stands for by now.
  const std::string log = "/proc/self/fd/" + std::to_string(impl_->log.get());
  const UniqueFd fd(::open(log.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (fd) write_all(fd.get(), lines);
}

JobDirectory::Followed JobDirectory::follow(const Work& work, LogSink& sink, const Hooks& hooks, std::uint64_t from,
                                            std::stop_token stop) {
  const JobFollower::Files files = {impl_->directory.get(), impl_->log.get(), impl_->after_log.get(),
                                    impl_->hook_log ? impl_->hook_log.get() : -1, impl_->inotify.get()};
  return JobFollower(*this, files, work, sink, hooks, from, std::move(stop)).run();
}

JobResult result_of(const JobDirectory::Followed& followed, const Work& work) {
  using pipelines::Outcome;
  JobResult result;
  result.exit_code = followed.exit_code.value_or(-1);
  if (followed.timed_out) {
    result.outcome = Outcome::failed;
    result.reason = "job_execution_timeout";
    result.message = followed.script_timed_out
                         ? "script stopped after " +
                               std::to_string(work.script_timeout.value_or(work.timeout).count()) +
                               " s, its RUNNER_SCRIPT_TIMEOUT"
                         : "stopped after " + std::to_string(work.timeout.count()) + " s, its timeout";
  } else if (followed.cancelled) {
    result.outcome = Outcome::cancelled;
    result.reason = "job_canceled";
    result.message = "cancelled";
  } else if (!followed.exit_code && followed.disk_full) {
    result.reason = "runner_system_failure";
    result.message =
        "the disk of the job's directory is full, so it could not go on; make room, or name a database elsewhere "
        "(--database)";
  } else if (!followed.exit_code) {
    result.reason = "lost";
    result.message = "ended without an exit code: it was killed from outside, or its machine went down";
  } else if (*followed.exit_code == 0 && work.after_script_counts && followed.after_code.value_or(0) != 0) {
    result.exit_code = *followed.after_code;
    result.outcome = Outcome::failed;
    result.reason = "script_failure";
    result.message = "after_script: exit code " + std::to_string(result.exit_code);
  } else if (*followed.exit_code == 0) {
    result.outcome = Outcome::passed;
  } else if (followed.hook_failed) {
    result.outcome = Outcome::failed;
    result.reason = "script_failure";
    result.message = "hooks:pre_get_sources_script: exit code " + std::to_string(*followed.exit_code);
  } else {
    result.outcome = Outcome::failed;
    result.reason = "script_failure";
    result.message = "exit code " + std::to_string(*followed.exit_code);
  }
  return result;
}

}  // namespace executors
