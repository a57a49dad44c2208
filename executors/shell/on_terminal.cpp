#include "executors/shell/on_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

#include "executors/shell/process.h"
#include "executors/terminal_relay.h"
#include "executors/unique_fd.h"

namespace executors {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void fail(const std::string& why) {
  throw WorldError("runner_system_failure", "cannot open a shell: " + why);
}

// The child, waited for; KILL when it does not go although its terminal has.
void reap(pid_t pid) {
  const auto end = std::chrono::steady_clock::now() + 1s;
  while (::waitpid(pid, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      ::kill(-pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
      return;
    }
    std::this_thread::sleep_for(5ms);
  }
}

}  // namespace

void run_on_terminal(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                     const Terminal& terminal, const std::stop_token& stop) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::array<char, 128> name{};
  if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
      ::ptsname_r(master.get(), name.data(), name.size()) != 0) {
    fail(std::string("no pseudo-terminal: ") + std::strerror(errno));
  }
  ProcessName shell;
  try {
    shell = start_detached(words, environment, name.data());
  } catch (const std::system_error& error) {
    fail(error.what());
  }
  const FarEnd far{
      .descriptor = master.get(),
      .pending = {},
      .read =
          [&](char* to, std::size_t size) {
            ssize_t got = 0;
            while ((got = ::read(master.get(), to, size)) < 0 && errno == EINTR) {
            }
            return got > 0 ? static_cast<std::size_t>(got) : 0;  // EIO: nobody has the terminal any more
          },
      .write = [&](std::string_view bytes) { return write_whole(master.get(), bytes); },
      .resize =
          [&](int columns, int rows) {
            const winsize size{static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0, 0};
            ::ioctl(master.get(), TIOCSWINSZ, &size);
          },
      .over = [&] { return !is_alive(shell); },
  };
  relay(terminal, far, stop);
  master.reset();  // hangs up
  reap(shell.pid);
}

}  // namespace executors
