#include "runner/run/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace runner {
namespace {

constexpr std::size_t far_behind = std::size_t{4} << 20;  // what may wait before log lines do
constexpr std::size_t enough = std::size_t{64} << 10;     // worth a write before the interval is over
constexpr std::size_t roomy = std::size_t{8} << 20;

}  // namespace

Output::Output(Options options)
    : options_(std::move(options)),
      progress_(std::chrono::steady_clock::now()),
      thread_([this] { write_until_stopped(); }) {}

Output::~Output() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Output::add(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (gone_) return;
  const bool wake = waiting_.empty() || (waiting_.size() < enough && waiting_.size() + bytes.size() >= enough);
  waiting_.append(bytes);
  if (wake) changed_.notify_one();
}

bool Output::add_or_drop(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  while (waiting_.size() >= far_behind && !gone_ && !stop_) {
    if (paused_) return false;
    const auto deadline = progress_ + options_.patience;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    taken_.wait_until(lock, deadline);
  }
  if (gone_) return true;
  const bool wake = waiting_.empty() || (waiting_.size() < enough && waiting_.size() + bytes.size() >= enough);
  waiting_.append(bytes);
  if (wake) changed_.notify_one();
  return true;
}

void Output::hurry() {
  const std::lock_guard lock(mutex_);
  hurry_ = true;
  changed_.notify_one();
}

void Output::pause() {
  std::unique_lock lock(mutex_);
  pausing_ = true;
  hurry_ = true;
  changed_.notify_one();
  taken_.wait(lock, [this] { return paused_; });
}

void Output::resume() {
  const std::lock_guard lock(mutex_);
  pausing_ = false;
  paused_ = false;
  hurry_ = true;
  progress_ = std::chrono::steady_clock::now();
  changed_.notify_one();
}

void Output::write_until_stopped() {
  std::string out;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !paused_ || stop_; });
    if (!options_.frame) changed_.wait(lock, [this] { return !waiting_.empty() || hurry_ || stop_; });
    changed_.wait_for(lock, options_.interval, [this] { return waiting_.size() >= enough || hurry_ || stop_; });
    hurry_ = false;
    const bool last = stop_, pausing = pausing_;
    out.swap(waiting_);
    progress_ = std::chrono::steady_clock::now();
    lock.unlock();
    taken_.notify_all();
    if (options_.frame) options_.frame(out);
    write_all(out);
    out.clear();
    if (out.capacity() > roomy) out.shrink_to_fit();
    lock.lock();
    if (last && waiting_.empty()) return;
    // Again, if something came meanwhile.
    if (pausing && pausing_) paused_ = waiting_.empty() || gone_;
    if (paused_) taken_.notify_all();
  }
}

void Output::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(options_.fd, bytes.data(), std::min(bytes.size(), enough));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // somebody made the descriptor non-blocking
      pollfd waiting{options_.fd, POLLOUT, 0};
      ::poll(&waiting, 1, -1);
      continue;
    }
    const bool wanted = n < 0 && errno != EPIPE && errno != EIO;  // EIO: a terminal that was closed
    const std::lock_guard lock(mutex_);
    if (n < 0) {
      if (wanted && options_.lost != nullptr) *options_.lost = true;
      gone_ = true;
      waiting_ = {};
      taken_.notify_all();
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
    progress_ = std::chrono::steady_clock::now();
  }
}

}  // namespace runner
