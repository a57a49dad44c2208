// The process above a shell job. It does what a container's bootstrap does, and more: as a subreaper it stays above
// whatever the job starts, so it can signal all of it, and it outlives the runner.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "executors/make.h"
#include "executors/shell/process.h"
#include "executors/unique_fd.h"

namespace executors {
namespace {

// From the runner to us, besides signal names: end now, with all that runs.
constexpr std::string_view kEnd = "END";

// Not every sh has pipefail, and one that has not ends at the attempt (gitlab-runner's shells/bash.go asks as well).
constexpr const char* kWithPipefail = "(set -o pipefail) 2>/dev/null && set -o pipefail\n. \"$0\"";

std::optional<int> signal_number(std::string_view name) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGKILL}) {
    if (name == ::sigabbrev_np(number)) return number;
  }
  return std::nullopt;
}

bool in_path(const std::string& program) {
  const char* path = ::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::string directory(rest.substr(0, rest.find(':')));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    if (::access((directory + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

class Supervisor {
 public:
  explicit Supervisor(const std::filesystem::path& job) : path_(job / ".job"), parent_(runner()) {}

  int run() {
    if (!set_up() || !wait_for_go()) return 1;
    const int code = run_script("script", "log", nullptr);
    write_file("exit", std::to_string(code) + "\n");
    if (const char* status = after_status(code)) {
      const int after = run_script("after", "after.log", status);
      write_file("after.exit", std::to_string(after) + "\n");
    }
    end_tree();
    write_file("ended", "");
    return 0;
  }

 private:
  // It may have died before we were there to ask for our parent, so it says who it is.
  static pid_t runner() {
    const char* told = ::getenv("RUNNER_SUPERVISED_BY");
    const pid_t pid = told != nullptr ? static_cast<pid_t>(std::atol(told)) : ::getppid();
    ::unsetenv("RUNNER_SUPERVISED_BY");
    return pid;
  }

  bool set_up() {
    ::setsid();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    // What ends us is the end of the job or a line in `sig`; a terminal or a session that goes away is neither.
    for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGPIPE}) ::signal(number, SIG_IGN);
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &child, nullptr);
    child_died_ = UniqueFd(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    directory_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_ || ::fchdir(directory_.get()) != 0 || ::chdir("..") != 0) return false;
    // For both directions: then neither an absent writer nor one that leaves is an event.
    go_ = UniqueFd(::openat(directory_.get(), "go", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    signals_ = UniqueFd(::openat(directory_.get(), "sig", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    return child_died_ && go_ && signals_;
  }

  bool wait_for_go() {
    std::array<pollfd, 2> fds = {{{go_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}}};
    for (;;) {
      ::poll(fds.data(), fds.size(), 1000);
      take_signals();
      if (end_) return false;
      std::array<char, 16> line = {};
      if (::read(go_.get(), line.data(), line.size()) > 0) return true;
      if (::getppid() != parent_) return false;  // the runner died before the job's turn came
    }
  }

  // Runs a script to its end and returns its code, as a shell would tell it.
  int run_script(const char* script, const char* log, const char* status) {
    child_status_.reset();
    child_ = ::fork();
    if (child_ < 0) return 126;
    if (child_ == 0) become_script(script, log, status);
    while (!child_status_) {
      std::array<pollfd, 2> fds = {{{child_died_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), 1000);
      take_signals();
      reap();
    }
    return WIFSIGNALED(*child_status_) ? 128 + WTERMSIG(*child_status_) : WEXITSTATUS(*child_status_);
  }

  [[noreturn]] void become_script(const char* script, const char* log, const char* status) const {
    ::setpgid(0, 0);  // `kill 0` is for the job, not for us
    const int in = ::open("/dev/null", O_RDONLY);
    const int out = ::openat(directory_.get(), log, O_WRONLY | O_APPEND | O_CREAT, 0666);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    if (in > 2) ::close(in);
    if (out > 2) ::close(out);
    for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGPIPE}) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (status != nullptr) ::setenv("CI_JOB_STATUS", status, 1);
    const std::string path = (path_ / script).string();
    const bool bash = in_path("bash");
    if (bash) {
      ::execlp("bash", "bash", "-o", "pipefail", path.c_str(), nullptr);
    } else {
      ::execlp("sh", "sh", "-c", kWithPipefail, path.c_str(), nullptr);
    }
    ::dprintf(2, "cannot run %s: %s\n", bash ? "bash" : "sh", std::strerror(errno));
    ::_exit(127);
  }

  // What after_script is told; null when it does not run.
  const char* after_status(int code) {
    struct stat info = {};
    if (end_ || ::fstatat(directory_.get(), "after", &info, AT_SYMLINK_NOFOLLOW) != 0) return nullptr;
    const UniqueFd fd(::openat(directory_.get(), "status", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    std::array<char, 16> text = {};
    const ssize_t got = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    if (got <= 0) return code == 0 ? "success" : "failed";
    const std::string_view status(text.data(), static_cast<std::size_t>(got));
    if (status.starts_with("timedout")) return "timedout";
    return status.starts_with("canceled") ? "canceled" : nullptr;
  }

  void take_signals() {
    std::array<char, 256> block;
    const ssize_t got = ::read(signals_.get(), block.data(), block.size());
    if (got <= 0) return;
    std::string_view lines(block.data(), static_cast<std::size_t>(got));
    while (!lines.empty()) {
      const auto line = lines.substr(0, lines.find('\n'));
      lines.remove_prefix(std::min(lines.size(), line.size() + 1));
      if (line == kEnd) end_ = true;
      const auto number = line == kEnd ? SIGKILL : signal_number(line);
      if (!number) continue;
      if (*number == SIGKILL) {
        kill_tree();
      } else {
        for (const pid_t pid : descendants(::getpid())) ::kill(pid, *number);
      }
    }
  }

  void reap() {
    std::array<signalfd_siginfo, 16> seen;
    while (::read(child_died_.get(), seen.data(), sizeof seen) > 0) {
    }
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == child_) child_status_ = status;
    }
  }

  void kill_tree() {
    kill_all([] { return descendants(::getpid()); }, [this] { reap(); });
  }

  // A subreaper without children has nothing of the job below it: no walk through the processes is needed.
  void end_tree() {
    reap();
    if (::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD) return;
    kill_tree();
  }

  void write_file(const char* name, const std::string& text) const {
    const UniqueFd fd(
        ::openat(directory_.get(), name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
    if (fd && !text.empty()) [[maybe_unused]]
      const auto done = ::write(fd.get(), text.data(), text.size());
  }

  const std::filesystem::path path_;
  const pid_t parent_;
  UniqueFd directory_, go_, signals_, child_died_;
  pid_t child_ = -1;
  std::optional<int> child_status_;
  bool end_ = false;
};

}  // namespace

int supervise_main(const std::filesystem::path& job_directory) { return Supervisor(job_directory).run(); }

}  // namespace executors
