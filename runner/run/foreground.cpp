#include "runner/run/foreground.h"

namespace runner {

Foreground::Turn Foreground::take(const std::function<void()>& waits, const std::stop_token& stop) {
  {
    std::unique_lock lock(mutex_);
    if (taken_) waits();
    if (!changed_.wait(lock, stop, [this] { return !taken_; })) return nullptr;
    taken_ = true;
  }
  console_.pause();
  return Turn(this);
}

void Foreground::GiveBack::operator()(Foreground* terminal) const {
  terminal->console_.resume();
  const std::lock_guard lock(terminal->mutex_);
  terminal->taken_ = false;
  terminal->changed_.notify_all();
}

}  // namespace runner
