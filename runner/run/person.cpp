#include "runner/run/person.h"

#include <fmt/core.h>
#include <poll.h>
#include <pwd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <vector>

#include "runner/run/terminal.h"

namespace runner {
namespace {

constexpr int look_again_ms = 200;  // for a stop request, and for an answer by another process

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

bool is_yes(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  return line == "y" || line == "Y" || line == "yes" || line == "Yes" || line == "YES";
}

}  // namespace

Person::Word Person::ask(const std::string& text, const std::string& question, const std::function<bool()>& settled,
                         const std::stop_token& stop) {
  const Foreground::Turn turn = terminal_.take([] {}, stop);
  if (!turn || settled()) return Word::silent;
  {
    const std::lock_guard lock(mutex_);
    if (gone_) return Word::silent;
  }
  ::tcflush(settings_.in, TCIFLUSH);  // what was typed before the question is no answer to it
  write_all(settings_.out,
            fmt::format("{}{}{} [y/N] ", on_screen(text), text.empty() ? "" : "\n", on_screen(question)));
  return wait_for_line(settled, stop);
}

Person::Word Person::wait_for_line(const std::function<bool()>& settled, const std::stop_token& stop) {
  std::string line;
  while (!stop.stop_requested()) {
    pollfd input{settings_.in, POLLIN, 0};
    const int ready = ::poll(&input, 1, look_again_ms);
    if (ready == 0 && settled()) {
      write_all(settings_.out, "\n");
      return Word::silent;
    }
    if (ready <= 0) continue;
    std::array<char, 256> bytes{};
    const ssize_t count = ::read(settings_.in, bytes.data(), bytes.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) {  // Ctrl-D, or the terminal was closed
      write_all(settings_.out, "\n");
      const std::lock_guard lock(mutex_);
      gone_ = true;
      return Word::silent;
    }
    line.append(bytes.data(), static_cast<std::size_t>(count));
    if (line.find('\n') != std::string::npos) return is_yes(line) ? Word::yes : Word::no;
  }
  write_all(settings_.out, "\n");
  return Word::silent;
}

std::string this_person() {
  std::string name = std::to_string(::geteuid());
  std::vector<char> room(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, room.data(), room.size(), &found) == 0 && found != nullptr) {
    name = entry.pw_name;
  }
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) return name;
  return name + "@" + host.data();
}

}  // namespace runner
