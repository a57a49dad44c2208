// Removal goes on behind: threads that let go of things whose destructors take their time (a DELETE is 40–90 ms of the
// engine's work). They wait a moment first: the job whose turn comes then starts undisturbed on a machine of few cores.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace executors::docker {

// Tasks must not throw. The destructor finishes all of them first. Threads start with the first task.
class Reaper {
 public:
  explicit Reaper(unsigned threads) : wanted_(threads) {}
  ~Reaper();
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  void later(std::function<void()> task);
  // Destroys `thing` on one of the threads.
  template <typename T>
  void destroy(T thing) {
    later([held = std::make_shared<T>(std::move(thing))]() mutable { held.reset(); });
  }
  void settle();  // until nothing is left to do, without waiting for that moment

 private:
  struct Task {
    std::function<void()> run;
    std::chrono::steady_clock::time_point from;
  };
  void work();

  const unsigned wanted_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  unsigned busy_ = 0;
  unsigned settling_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace executors::docker
