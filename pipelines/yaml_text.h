// Whether a text can be YAML at all, decided before the YAML library sees it: size, UTF-8, control characters.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pipelines {

struct TextFault {
  std::size_t offset = 0;
  std::string message;
  std::string hint;
};

// The first fault. Refuses what YAML 1.1 calls unprintable, as GitLab does (and yaml-cpp does not: it takes byte 4 for
// the end of the file).
std::optional<TextFault> find_text_fault(std::string_view text);

struct LineColumn {
  std::size_t line = 1;
  std::size_t column = 1;
};
LineColumn line_column(std::string_view text, std::size_t offset);

}  // namespace pipelines
