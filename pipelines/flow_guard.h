// Guards yaml-cpp's scanner, which holds every token of a `[` or `{` back until its end (what follows might be a `: `):
// ten megabytes of `[` took a gigabyte and ten seconds before the first event. What makes tokens is therefore counted
// as the scanner reads, from one event to the next.
#pragma once

#include <cstdint>
#include <string_view>

namespace pipelines {

class FlowGuard {
 public:
  // Far above Limits::depth: not every bracket in a string is known for one, and what is no nesting must pass.
  static constexpr std::int64_t most_open = 10'000;
  // A whole pipeline may be one `{`: 20,000 jobs written as JSON have about 700,000.
  static constexpr std::int64_t most_marks = 1'500'000;

  enum class Verdict : std::uint8_t { good, too_deep, too_many };

  void restart();                        // an event: what was held back is consumed
  Verdict read(std::string_view chunk);  // the text goes on

 private:
  void read(char c);
  bool begins_string() const;

  std::int64_t open_ = 0;   // brackets, but for those in strings and comments
  std::int64_t marks_ = 0;  // all that may begin a value, wherever it stands
  char quote_ = 0;          // of the string we are in
  bool escaped_ = false;
  bool comment_ = false;
  bool spaced_ = false;  // white space after last_
  char last_ = 0;        // the last two bytes that are no white space
  char before_last_ = 0;
};

}  // namespace pipelines
