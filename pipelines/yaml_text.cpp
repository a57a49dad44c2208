#include "pipelines/yaml_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace pipelines {
namespace {

unsigned byte_at(std::string_view text, std::size_t i) {
  return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
}

// The length of the well-formed character at `i` (Unicode, table 3-7), or 0.
std::size_t utf8_length(std::string_view text, std::size_t i) {
  const unsigned lead = byte_at(text, i);
  const unsigned second = byte_at(text, i + 1);
  const auto tail = [&](std::size_t at) { return (byte_at(text, at) & 0xC0U) == 0x80U; };
  if (lead >= 0xC2 && lead <= 0xDF) {
    return tail(i + 1) ? 2 : 0;
  }
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool good = lead == 0xE0   ? second >= 0xA0 && second <= 0xBF
                      : lead == 0xED ? second >= 0x80 && second <= 0x9F
                                     : tail(i + 1);
    return good && tail(i + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool good = lead == 0xF0   ? second >= 0x90 && second <= 0xBF
                      : lead == 0xF4 ? second >= 0x80 && second <= 0x8F
                                     : tail(i + 1);
    return good && tail(i + 2) && tail(i + 3) ? 4 : 0;
  }
  return 0;
}

std::string describe_control(unsigned byte) {
  return byte == 0 ? "a NUL byte is not allowed in YAML"
                   : fmt::format("the control character 0x{:02X} is not allowed in YAML", byte);
}

}  // namespace

std::optional<TextFault> find_text_fault(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const unsigned byte = byte_at(text, i);
    if (byte >= 0x20 && byte < 0x7F) {
      ++i;
    } else if (byte < 0x80) {
      if (byte != '\n' && byte != '\t' && byte != '\r') {
        return TextFault{i, describe_control(byte),
                         byte == 0 ? "is this a text file?" : R"(in a double-quoted string it can be written "\xNN")"};
      }
      ++i;
    } else {
      const std::size_t length = utf8_length(text, i);
      if (length == 0) {
        return TextFault{i, fmt::format("invalid UTF-8: byte 0x{:02X}", byte), "save the file as UTF-8"};
      }
      // C1 controls; NEL is a line break of YAML 1.1.
      if (length == 2 && byte == 0xC2 && byte_at(text, i + 1) < 0xA0 && byte_at(text, i + 1) != 0x85) {
        return TextFault{i, describe_control(byte_at(text, i + 1)), "save the file as UTF-8"};
      }
      i += length;
    }
  }
  return std::nullopt;
}

LineColumn line_column(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t newline = before.rfind('\n');
  return {1 + static_cast<std::size_t>(std::ranges::count(before, '\n')),
          newline == std::string_view::npos ? before.size() + 1 : before.size() - newline};
}

}  // namespace pipelines
