// Why a text is no tree: the one error that YamlTree::load reports, and the mending of yaml-cpp's own messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/diagnostic.h"

namespace pipelines {

// Thrown through yaml-cpp's parser, which has no other way to be stopped; caught in YamlTree::load.
struct Refusal {
  Mark mark;
  std::string message;
  std::string hint;
  std::vector<Mark> others;
};

Refusal tab_refusal(Mark);

// From what yaml-cpp said of the byte `pos` of the text to what the author should do, at the place that is meant.
Refusal mend_syntax_error(std::string_view theirs, Mark, std::size_t pos, std::string_view text);

}  // namespace pipelines
