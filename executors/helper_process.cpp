#include "executors/helper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "executors/unique_fd.h"

extern char** environ;

namespace executors {
using std::chrono::steady_clock;

HelperResult run_helper(std::vector<std::string> arguments, std::string_view input, std::chrono::milliseconds patience,
                        std::size_t most_bytes) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const UniqueFd in_read(in[0]);
  UniqueFd in_write(in[1]);
  if (::pipe2(out.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const UniqueFd out_read(out[0]);
  UniqueFd out_write(out[1]);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // A group of its own: it is killed with whatever it started, and the terminal's Ctrl-C is not for it. The runner
  // ignores SIGPIPE and its threads block signals; the helper shall not.
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigaddset(&signals, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);

  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), arguments[0]);
  out_write.reset();

  // A helper that does not read it is no reason to die of SIGPIPE: main ignores it.
  [[maybe_unused]] const ssize_t written = ::write(in_write.get(), input.data(), input.size());
  in_write.reset();

  HelperResult result;
  const auto deadline = steady_clock::now() + patience;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd poll{.fd = out_read.get(), .events = POLLIN, .revents = 0};
    const int ready = left > 0 ? ::poll(&poll, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    result.timed_out = ready == 0;
    if (ready <= 0) break;
    const ssize_t size = ::read(out_read.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    result.output.append(buffer.data(), static_cast<std::size_t>(size));
    if (result.output.size() > most_bytes) break;
  }
  // After its output it has nothing to do; one that stays on is not waited for.
  int status = 0;
  for (int i = 0; !result.timed_out && i < 100; ++i) {
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
      return result;
    }
    ::poll(nullptr, 0, i < 20 ? 1 : 20);
  }
  ::kill(-child, SIGKILL);
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

}  // namespace executors
