// What a text console says when jobs and the run are over: one line per job, the table, the failures.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "runner/run/events.h"

namespace runner {

// The last lines of a job, and the command it was at.
class Tail {
 public:
  static constexpr std::size_t length = 20;
  void add(std::string_view line);              // as it may be shown
  void script_over() { script_over_ = true; }   // what follows is after_script's: not where the job failed
  std::vector<std::string_view> lines() const;  // oldest first
  const std::string& command() const { return command_; }

 private:
  std::array<std::string, length> ring_;
  std::size_t count_ = 0;
  std::string command_;  // the script's last line of the form `$ …`, without colours
  bool script_over_ = false;
};

struct ReportedJob {
  std::string_view name, stage;
  RunId run = 0;                     // its own: a child pipeline's is another
  std::string_view own_name;         // without its parent's
  const JobFinished* end = nullptr;  // null: it has not ended
  const Tail* tail = nullptr;        // null: nothing is known
};

struct Report {
  RunId run = 0;
  std::string_view file;
  std::vector<ReportedJob> jobs;  // in the order of the plan
  const RunFinished* end = nullptr;
  bool colour = false;
  std::size_t width = 0;  // columns; 0: as many as it takes
};

std::string closing_report(const Report&);

std::string describe(std::chrono::milliseconds);  // "0.4 s", "2 min 05 s", "1 h 02 min"
std::string describe_bytes(std::uint64_t);        // "3.4 MB"
std::string why(const JobFinished&);              // "exit code 1", "timed out …"; empty when there is nothing to say
std::string mark_and_word(const JobFinished&, bool colour);  // "✓ passed"
std::string finished_line(const JobFinished&, bool colour);  // "✗ failed in 2.1 s: exit code 1"

}  // namespace runner
