#include "runner/cli/interrupt.h"

#include <unistd.h>
#include <chrono>
#include <csignal>

#include "runner/cli/commands.h"
#include "runner/cli/say.h"
#include "runner/run/console.h"

namespace runner {
namespace {

// One press reaches us twice where a wrapper passes it on to a program that the terminal has told already
// (`timeout -s INT`, some IDEs); no person is this quick.
constexpr std::chrono::milliseconds same_press{200};

sigset_t our_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Interrupt::Interrupt(std::function<void()> second) : second_(std::move(second)) {
  const sigset_t set = our_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::jthread([this](const std::stop_token& stop) { main(stop); });
}

Interrupt::~Interrupt() {
  thread_.request_stop();
  pthread_kill(thread_.native_handle(), SIGHUP);  // wakes sigwaitinfo; the loop sees the stop first
  thread_.join();
}

void Interrupt::main(const std::stop_token& stop) {
  const sigset_t set = our_signals();
  int count = 0;
  std::chrono::steady_clock::time_point last{};
  while (true) {
    siginfo_t info{};
    if (sigwaitinfo(&set, &info) < 0) continue;
    if (stop.stop_requested()) return;
    const auto now = std::chrono::steady_clock::now();
    if (count > 0 && now - last < same_press) continue;
    last = now;
    switch (++count) {
      case 1:
        source_.request_stop();
        say("{}", idle_ ? "\n"
                        : "\nrunner: cancelling: scripts get 10 seconds to end, after_script still runs (again: stop "
                          "at once)\n");
        break;
      case 2:
        if (second_) second_();
        say("\nrunner: stopping at once\n");
        break;
      default:
        restore_terminal();
        _exit(exit_code::cancelled);
    }
  }
}

}  // namespace runner
