// Bytes on their way to a file descriptor, by a thread of their own: whoever adds does not wait for whoever reads.
//
// Consoles own one each. Bytes leave within `interval` of being added, in few large writes, in order; the destructor
// writes what is left. A reader that is gone (EPIPE) makes everything vanish quietly: the run goes on.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace runner {

class Output {
 public:
  struct Options {
    int fd = 1;
    std::chrono::milliseconds interval{30};
    std::chrono::milliseconds patience{10'000};
    // When set, called on the writer's thread before each write and at every interval: may change the bytes that go
    // out. Must not call add.
    std::function<void(std::string& bytes)> frame;
    // Set, until the destructor is over, when bytes could not be written though somebody wants them: a full disk.
    std::atomic<bool>* lost = nullptr;
  };
  explicit Output(Options);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Never waits.
  void add(std::string_view bytes);
  // Waits while the reader is far behind; false, and nothing is taken, when it takes nothing at all for `patience`.
  bool add_or_drop(std::string_view bytes);
  // Writes all that was added so far without waiting for the interval.
  void hurry();
  // When pause() returns all that was added before is written, and nothing is until resume(): meanwhile `add` gathers,
  // `add_or_drop` too, up to the amount that it waits at otherwise.
  void pause();
  void resume();

 private:
  void write_until_stopped();
  void write_all(std::string_view bytes);

  Options options_;
  std::mutex mutex_;
  std::condition_variable changed_, taken_;
  std::string waiting_;                             // guarded by mutex_, as are the next ones
  std::chrono::steady_clock::time_point progress_;  // when the reader last took something
  bool hurry_ = false;
  bool pausing_ = false, paused_ = false;
  bool stop_ = false;
  bool gone_ = false;  // the reader
  std::thread thread_;
};

}  // namespace runner
