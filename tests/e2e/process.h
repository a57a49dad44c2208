// Runs a program as a user would: arguments, environment, standard input, Ctrl-C; and sees what comes out of it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace e2e {

using Arguments = std::vector<std::string>;

struct Options {
  std::map<std::string, std::optional<std::string>> env;  // on top of the fixture's; absent value: unset
  std::optional<std::string> input;                       // standard input; absent: /dev/null
  std::chrono::seconds timeout{90};                       // then it is killed and the test fails
  std::filesystem::path directory;                        // where one stands; empty: the fixture decides
  Arguments before;                                       // words in front of the command: {"setpriv", …}
  bool terminal = false;                                  // it has a terminal (what that gets is `out`); type() types
  std::filesystem::path output;                           // standard output goes into this file
};

struct Ended {
  int code = -1;  // exit code, or 128 + the signal
  std::string out, err;
  double seconds = 0;
  std::uint64_t peak_kib = 0;  // the largest resident size it ever had
};

// A running program in a process group of its own. The destructor kills what still runs of it.
class Process {
 public:
  // `environment` is all it gets.
  Process(const Arguments& command, const std::map<std::string, std::string>& environment, const Options&);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  // To the program alone, and to its whole process group as a terminal does.
  void signal(int number);
  void interrupt();
  void kill() { signal(SIGKILL); }
  void kill_group();

  // On its terminal.
  void type(std::string_view text) const;
  void resize(unsigned short rows, unsigned short columns) const;
  bool echoes() const;  // what is typed there is shown by the terminal itself: it is not raw

  // Waits until `text` was printed (out or err); false and a failed test when the program ended or time is up.
  bool wait_for(std::string_view text, std::chrono::seconds patience = std::chrono::seconds(60));
  std::string out() const;
  std::string err() const;
  bool running();

  Ended wait();

 private:
  void read(int fd, std::string& into);
  bool reap(bool block);
  void watch_size();

  pid_t pid_ = -1;
  int out_ = -1, err_ = -1, in_ = -1;
  Options options_;
  std::string name_;
  std::chrono::steady_clock::time_point started_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_text_, err_text_;  // guarded by mutex_
  int open_ = 2;                     // guarded by mutex_: readers that are not at the end
  std::optional<int> status_;
  std::uint64_t peak_kib_ = 0;
  std::thread out_reader_, err_reader_, writer_;
};

// A small helper program, not the one under test: its output, an exception when it fails.
std::string sh(const std::string& script);
// The same without a judgement.
Ended run_program(const Arguments& command, const Options& = {});

// Asks again and again until it is true; false when time is up.
template <class Condition>
bool eventually(Condition&& condition, std::chrono::milliseconds patience = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace e2e
