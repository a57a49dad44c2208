#include "executors/docker/frames.h"

#include <algorithm>

namespace executors::docker {

bool Frames::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      const std::string_view piece = bytes.substr(0, left_);
      left_ -= static_cast<std::uint32_t>(piece.size());
      bytes.remove_prefix(piece.size());
      if (!sink_(static_cast<Stream>(header_[0]), piece)) return false;
      continue;
    }
    const std::size_t wanted = std::min(header_.size() - have_, bytes.size());
    std::copy_n(bytes.begin(), wanted, header_.begin() + static_cast<std::ptrdiff_t>(have_));
    have_ += wanted;
    bytes.remove_prefix(wanted);
    if (have_ < header_.size()) return true;
    have_ = 0;
    if (header_[0] > 3 || header_[1] != 0 || header_[2] != 0 || header_[3] != 0) {
      broken_ = true;
      return false;
    }
    ++frames_;
    left_ = static_cast<std::uint32_t>(header_[4]) << 24U | static_cast<std::uint32_t>(header_[5]) << 16U |
            static_cast<std::uint32_t>(header_[6]) << 8U | static_cast<std::uint32_t>(header_[7]);
  }
  return true;
}

bool Lines::give(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line.empty() || sink_(line);
}

bool Lines::feed(std::string_view bytes) {
  while (true) {
    const auto end = bytes.find('\n');
    if (end == std::string_view::npos) {
      if (rest_.size() + bytes.size() > limit) return false;
      rest_ += bytes;
      return true;
    }
    bool go_on = false;
    if (rest_.empty()) {
      go_on = give(bytes.substr(0, end));
    } else {
      rest_ += bytes.substr(0, end);
      go_on = give(rest_);
      rest_.clear();
    }
    if (!go_on) return false;
    bytes.remove_prefix(end + 1);
  }
}

bool Lines::finish() {
  const std::string line = std::move(rest_);
  rest_.clear();
  return give(line);
}

}  // namespace executors::docker
