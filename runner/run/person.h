// The person at the terminal, who can be asked.
#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>

#include "runner/run/foreground.h"

namespace runner {

class Person {
 public:
  enum class Word { yes, no, silent };
  struct Settings {
    int in = 0, out = 1;  // the terminal
  };
  Person(Settings settings, Foreground& terminal) : settings_(settings), terminal_(terminal) {}

  // Shows `text` (if any) and `question`, and waits for a line: `y` or `yes` is one, all else is none. Silent: the
  // input has ended (and from then on), the run is cancelled, or `settled` said that the question has been answered in
  // another way; it is asked now and then. One question at a time. Any thread.
  Word ask(const std::string& text, const std::string& question, const std::function<bool()>& settled,
           const std::stop_token&);

 private:
  Word wait_for_line(const std::function<bool()>& settled, const std::stop_token&);

  const Settings settings_;
  Foreground& terminal_;
  std::mutex mutex_;   // guards the next
  bool gone_ = false;  // the input has ended
};

// Who runs this program, as approvals record it: user@host.
std::string this_person();

}  // namespace runner
