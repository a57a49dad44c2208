#include "executors/terminal_relay.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>

#include "executors/unique_fd.h"

namespace executors {
namespace {

constexpr int look_every_ms = 200;
constexpr std::chrono::seconds ask_every{1};

class Relay {
 public:
  Relay(const Terminal& terminal, const FarEnd& far) : terminal_(terminal), far_(far) {}

  void run(const std::stop_token& stop) {
    const UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const std::stop_callback told(stop, [&wake] {
      const std::uint64_t one = 1;
      [[maybe_unused]] const auto done = ::write(wake.get(), &one, sizeof one);
    });
    auto ask = std::chrono::steady_clock::now() + ask_every;
    while (!stop.stop_requested()) {
      follow_size();
      const bool pending = far_.pending && far_.pending();
      std::array<pollfd, 3> ready = {
          {{far_.descriptor, POLLIN, 0}, {terminal_.in, POLLIN, 0}, {wake.get(), POLLIN, 0}}};
      if (::poll(ready.data(), ready.size(), pending ? 0 : look_every_ms) < 0 && errno != EINTR) return;
      if ((pending || ready[0].revents != 0) && !take_output()) return;
      if (ready[1].revents != 0 && !take_input()) return;
      if (std::chrono::steady_clock::now() < ask) continue;
      ask = std::chrono::steady_clock::now() + ask_every;
      if (far_.over && far_.over()) return drain();
    }
  }

 private:
  void follow_size() {
    winsize size{};
    if (::ioctl(terminal_.out, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return;
    if (size.ws_col == columns_ && size.ws_row == rows_) return;
    columns_ = size.ws_col;
    rows_ = size.ws_row;
    far_.resize(columns_, rows_);
  }

  bool take_output() {
    const std::size_t got = far_.read(block_.data(), block_.size());
    return got > 0 && write_whole(terminal_.out, {block_.data(), got});
  }

  bool take_input() {
    const ssize_t got = ::read(terminal_.in, block_.data(), block_.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    return got > 0 && far_.write({block_.data(), static_cast<std::size_t>(got)});
  }

  // What the shell wrote last.
  void drain() {
    pollfd ready{far_.descriptor, POLLIN, 0};
    while (((far_.pending && far_.pending()) || ::poll(&ready, 1, 0) > 0) && take_output()) {
    }
  }

  const Terminal& terminal_;
  const FarEnd& far_;
  int columns_ = 0, rows_ = 0;
  std::array<char, 16 * 1024> block_{};
};

}  // namespace

bool write_whole(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(descriptor, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) {
      pollfd waiting{descriptor, POLLOUT, 0};
      ::poll(&waiting, 1, look_every_ms);
      continue;
    }
    if (done <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

void relay(const Terminal& terminal, const FarEnd& far, const std::stop_token& stop) {
  write_whole(terminal.out, terminal.greeting);
  Relay(terminal, far).run(stop);
}

}  // namespace executors
