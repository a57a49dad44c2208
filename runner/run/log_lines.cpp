#include "runner/run/log_lines.h"

#include <algorithm>
#include <cstring>

namespace runner {
namespace {

constexpr std::size_t longest_marker = 512;          // a marker cut by two writes must survive the cutting of its line
constexpr std::size_t roomy = std::size_t{1} << 20;  // what a line may leave allocated behind

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
}

// `\e[0K` or `\e[K` at the end or the beginning of `text`: its length, or 0.
std::size_t erase_before(std::string_view text) {
  if (text.ends_with("\x1b[0K")) return 4;
  return text.ends_with("\x1b[K") ? 3 : 0;
}
std::size_t erase_after(std::string_view text) {
  if (text.starts_with("\x1b[0K")) return 4;
  return text.starts_with("\x1b[K") ? 3 : 0;
}

struct Found {
  std::size_t begin = std::string_view::npos, end = 0;
};

// The length of a marker that `text` begins with ("section_…"), or 0.
std::size_t marker_length(std::string_view text) {
  std::size_t at = 0;
  if (text.starts_with("section_start:")) {
    at = 14;
  } else if (text.starts_with("section_end:")) {
    at = 12;
  } else {
    return 0;
  }
  const std::size_t digits = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at == digits || at >= text.size() || text[at] != ':') return 0;
  const std::size_t name = ++at;
  while (at < text.size() && is_name(text[at])) ++at;
  if (at == name || at >= text.size()) return 0;
  if (text[at] == '[') {
    const std::size_t close = text.substr(0, longest_marker).find(']', at);
    if (close == std::string_view::npos) return 0;
    at = close + 1;
  }
  if (at >= text.size() || text[at] != '\r') return 0;
  ++at;
  return at + erase_after(text.substr(at));
}

Found find_marker(std::string_view text) {
  for (std::size_t at = 0; (at = text.find("section_", at)) != std::string_view::npos; at += 8) {
    if (const std::size_t length = marker_length(text.substr(at))) {
      return {at - erase_before(text.substr(0, at)), at + length};
    }
  }
  return {};
}

// What stands on the screen after the carriage returns of `text`; a \r at the end has nothing after it yet.
std::string_view after_returns(std::string_view text) {
  while (text.ends_with('\r')) text.remove_suffix(1);
  const std::size_t last = text.rfind('\r');
  return last == std::string_view::npos ? text : text.substr(last + 1);
}

}  // namespace

void LogLines::feed(std::string_view bytes, const Take& take) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    if (newline == std::string_view::npos) return hold(bytes, take);
    if (held_.empty() && newline <= limit_) {
      end_line(bytes.substr(0, newline), take);
    } else {
      hold(bytes.substr(0, newline), take);
      end_line(held_, take);
      held_.clear();
      if (held_.capacity() > roomy) held_.shrink_to_fit();
    }
    bytes.remove_prefix(newline + 1);
  }
}

void LogLines::finish(const Take& take) {
  if (!held_.empty()) end_line(held_, take);
  held_ = {};
  cut_ = 0;
  marked_ = false;
}

std::string_view LogLines::pending() const {
  std::string_view text = held_;
  for (Found marker; (marker = find_marker(text)).end != 0;) text.remove_prefix(marker.end);
  return after_returns(text).substr(0, limit_);
}

void LogLines::hold(std::string_view bytes, const Take& take) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, limit_);
    held_.append(piece);
    bytes.remove_prefix(piece.size());
    // On a screen only at twice the limit, so that a long line in small writes costs no more than its bytes.
    const std::size_t slack = mode_ == Mode::screen ? limit_ : 0;
    if (held_.size() > limit_ + slack + longest_marker) squeeze(take);
  }
}

// Brings what is held back to the limit and a few bytes more.
void LogLines::squeeze(const Take& take) {
  if (held_.find('\r') != std::string::npos) {
    const std::size_t before = held_.size();
    const std::size_t rest = without_markers(held_, take).size();
    held_.erase(0, before - rest);
  }
  if (mode_ == Mode::exact) {
    if (held_.size() <= limit_ + longest_marker) return;
    const std::size_t whole = held_.size() - held_.size() % limit_;
    give(std::string_view(held_).substr(0, whole), take);
    held_.erase(0, whole);
    marked_ = true;  // what follows is no line of its own: nothing left is nothing to give
    return;
  }
  const std::size_t last = held_.find_last_of('\r', held_.size() - std::min<std::size_t>(held_.size(), 2));
  if (last != std::string::npos) {
    held_.erase(0, last + 1);
    cut_ = 0;
  }
  if (held_.size() > limit_ + longest_marker) {
    const std::size_t gone = held_.size() - limit_ - longest_marker;
    held_.erase(limit_, gone);
    cut_ += gone;
  }
}

void LogLines::end_line(std::string_view line, const Take& take) {
  if (line.find('\r') == std::string_view::npos) {
    if (!line.empty() || !marked_) give(line, take);
  } else {
    const std::string_view rest = without_markers(line, take);
    const bool nothing = rest.find_first_not_of('\r') == std::string_view::npos;
    if (!nothing || !marked_) give(rest, take);
  }
  cut_ = 0;
  marked_ = false;
}

// Gives what stands before each marker and returns what follows the last one.
std::string_view LogLines::without_markers(std::string_view line, const Take& take) {
  for (Found marker; (marker = find_marker(line)).end != 0;) {
    const std::string_view before = line.substr(0, marker.begin);
    if (before.find_first_not_of('\r') != std::string_view::npos) give(before, take);
    line.remove_prefix(marker.end);
    marked_ = true;
    cut_ = 0;
  }
  return line;
}

void LogLines::give(std::string_view text, const Take& take) {
  if (mode_ == Mode::exact) {
    for (; text.size() > limit_; text.remove_prefix(limit_)) take(text.substr(0, limit_), 0);
    return take(text, 0);
  }
  const std::string_view shown = after_returns(text);
  // After a \r among the last bytes nothing is missing.
  const std::uint64_t missing = shown.data() == text.data() ? cut_ : 0;
  take(shown.substr(0, limit_), missing + (shown.size() > limit_ ? shown.size() - limit_ : 0));
}

}  // namespace runner
