// What the engine sends over one connection, taken apart again: output frames of a container without a terminal, and
// JSON documents one a line. Bytes may come cut anywhere; both are fed by Engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace executors::docker {

// [stream, 0, 0, 0, length as 4 bytes, most significant first] payload, again and again. A payload is handed on as it
// comes, in pieces: a frame may be as long as 4 GiB.
class Frames {
 public:
  enum class Stream : std::uint8_t { input = 0, output = 1, error = 2, system = 3 };  // system: the engine's own words
  using Sink = std::function<bool(Stream, std::string_view)>;                         // false: wants no more

  explicit Frames(Sink sink) : sink_(std::move(sink)) {}
  // False when the sink wanted no more, or when these are no frames (see broken()); nothing is to be fed after that.
  bool feed(std::string_view bytes);
  bool broken() const { return broken_; }
  // Between two frames: where a stream that was not cut off ends.
  bool at_boundary() const { return have_ == 0 && left_ == 0; }
  std::uint64_t frames() const { return frames_; }  // headers seen

 private:
  Sink sink_;
  std::array<unsigned char, 8> header_{};
  std::size_t have_ = 0;    // bytes of the header
  std::uint32_t left_ = 0;  // bytes of the payload still to come
  std::uint64_t frames_ = 0;
  bool broken_ = false;
};

// Cuts a stream at its newlines; empty lines are dropped, and "\r\n" ends a line too. A last line without a newline
// comes with finish(). A line over the limit (no engine sends one) ends it.
class Lines {
 public:
  using Sink = std::function<bool(std::string_view)>;
  static constexpr std::size_t limit = 4 * 1024 * 1024;

  explicit Lines(Sink sink) : sink_(std::move(sink)) {}
  bool feed(std::string_view bytes);  // false when the sink wants no more, or over the limit
  bool finish();

 private:
  bool give(std::string_view line);
  Sink sink_;
  std::string rest_;
};

}  // namespace executors::docker
