// A job's bytes, cut anywhere, as whole lines.
//
// GitLab's section markers (section_start:TIME:NAME[options]\r\e[0K, section_end…) are taken out; a line that was
// nothing else vanishes, and text before a marker is a line of its own. What a line costs to hold is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace runner {

class LogLines {
 public:
  enum class Mode : std::uint8_t {
    exact,   // every byte but the newline and the markers; a line longer than the limit comes in pieces of that size
    screen,  // what a terminal would show of it: after the last \r; of a longer line its beginning
  };
  // `cut`: bytes of the line that were left out at its end (screen only). The view lives until the callback returns.
  using Take = std::function<void(std::string_view line, std::uint64_t cut)>;

  LogLines(Mode mode, std::size_t limit) : mode_(mode), limit_(limit) {}

  void feed(std::string_view bytes, const Take& take);
  void finish(const Take& take);  // the attempt is over: gives the line that has no newline
  // Of the line that is not over: what a terminal would show now.
  std::string_view pending() const;

 private:
  void hold(std::string_view bytes, const Take& take);
  void squeeze(const Take& take);
  void end_line(std::string_view line, const Take& take);
  std::string_view without_markers(std::string_view line, const Take& take);
  void give(std::string_view text, const Take& take);

  Mode mode_;
  std::size_t limit_;
  std::string held_;       // the beginning of a line; when cut_ > 0: limit_ bytes of it, then its last few
  std::uint64_t cut_ = 0;  // bytes missing between those two
  bool marked_ = false;    // the line had a marker
};

}  // namespace runner
