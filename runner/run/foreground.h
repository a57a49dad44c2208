// The terminal, for one at a time: a shell where a job failed, a question. While somebody has it, the console stands
// back. One for all runs of a process: there is one terminal.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include "runner/run/console.h"

namespace runner {

class Foreground {
 public:
  // The console must outlive it.
  explicit Foreground(Console& console) : console_(console) {}

  struct GiveBack {
    void operator()(Foreground*) const;
  };
  using Turn = std::unique_ptr<Foreground, GiveBack>;
  // Waits until the terminal is free (`waits` is told when it is not); null at a stop request. Any thread.
  Turn take(const std::function<void()>& waits, const std::stop_token&);

 private:
  Console& console_;
  std::mutex mutex_;
  bool taken_ = false;  // guarded by mutex_
  std::condition_variable_any changed_;
};

}  // namespace runner
