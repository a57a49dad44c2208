// The text of `$[[ … ]]` blocks, for inputs.cpp.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/yaml_tree.h"

namespace pipelines {

struct Block {
  std::size_t begin = 0, end = 0;  // in the text searched
  std::string content;             // without the brackets and the space in them
};

// The first block, shielded (inputs.h) or not. One without content, or over a line's end, is none.
std::optional<Block> find_block(std::string_view text);

// `inputs.x | f | g` at its bars; never empty.
std::vector<std::string> split_block(std::string_view content);

// SEPARATOR of split('SEPARATOR'); absent when the function is another.
std::optional<std::string> split_separator(std::string_view function);

// GitLab's split: parts without space around them, empty ones dropped.
std::optional<Yaml> split_text(YamlTree&, Mark, std::string_view text, std::string_view separator);

// The names of `$NAME`, `${NAME}` and `%NAME%` in a text.
std::vector<std::string> references_in(std::string_view text);

}  // namespace pipelines
