// Ctrl-C and its kin: the first cancels in an orderly way, the second at once.
#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <thread>

namespace runner {

// While it lives, SIGINT, SIGTERM and SIGHUP are taken by a thread of its own. Make it before any other thread, so that
// they inherit the blocked signals. A third signal ends the program on the spot (exit code 130).
class Interrupt {
 public:
  explicit Interrupt(std::function<void()> second);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  std::stop_token token() const { return source_.get_token(); }
  bool interrupted() const { return source_.stop_requested(); }
  void set_idle(bool idle) { idle_ = idle; }  // nothing runs: there is nothing to say of it

 private:
  void main(const std::stop_token&);
  std::stop_source source_;
  std::function<void()> second_;
  std::atomic<bool> idle_ = false;
  std::jthread thread_;
};

}  // namespace runner
