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

// The blocks of a text, shielded (inputs.h) or not, one after the other. One without content, or over a line's end, is
// none. Linear in the text, whatever it is.
class BlockFinder {
 public:
  explicit BlockFinder(std::string_view text);  // must outlive this object
  std::optional<Block> next();

 private:
  // Of one kind. Asked for ever later places.
  class Ends {
   public:
    explicit Ends(std::string_view mark) : mark_(mark) {}
    std::optional<std::size_t> from(std::string_view text, std::size_t from);

   private:
    std::string_view mark_;
    std::size_t end_ = 0;        // the last that was found
    std::size_t fruitless_ = 0;  // what begins before this has no end on its line
  };

  std::string_view text_;
  std::size_t at_ = 0;
  Ends closings_, shield_ends_;
};

// `inputs.x | f | g` at its bars; never empty.
std::vector<std::string> split_block(std::string_view content);

// SEPARATOR of split('SEPARATOR'); absent when the function is another.
std::optional<std::string> split_separator(std::string_view function);

// GitLab's split: parts without space around them, empty ones dropped.
std::optional<Yaml> split_text(YamlTree&, Mark, std::string_view text, std::string_view separator);

}  // namespace pipelines
