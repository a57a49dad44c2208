#include "pipelines/input_blocks.h"

#include <algorithm>

#include "pipelines/inputs.h"

namespace pipelines {
namespace {

constexpr std::string_view opening = "$[[";
constexpr std::string_view closing = "]]";
// As long as what they stand for; a private-use character, one that nobody has been assigned, and a backtick.
constexpr std::string_view shield = "\xEF\xA3\xB0";
constexpr std::string_view shield_end = "\xDF\xBF";
constexpr char shield_comma = '`';

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// What may be shielded: no quote, no bracket, nothing that ends a plain value but the comma.
bool may_be_shielded(std::string_view content) {
  return !trim(content).empty() && content.find_first_of("\n`\"[]{}#:") == std::string_view::npos;
}

}  // namespace

bool has_blocks(std::string_view text) {
  return text.find(opening) != std::string_view::npos && text.find("spec") != std::string_view::npos &&
         text.find("\n---") != std::string_view::npos;
}

std::string shield_blocks(std::string_view text) {
  std::string out(text);
  // The header keeps its blocks as they are.
  std::size_t at = out.find("\n---", out.find("spec"));
  std::size_t end = 0;  // searched for once, however many begin before it
  while ((at = out.find(opening, at)) != std::string::npos) {
    if (end < at + opening.size()) {
      end = out.find(closing, at + opening.size());
    }
    if (end == std::string::npos) {
      break;
    }
    const std::string_view content = std::string_view(out).substr(at + opening.size(), end - at - opening.size());
    if (may_be_shielded(content)) {
      std::replace(out.begin() + static_cast<std::ptrdiff_t>(at), out.begin() + static_cast<std::ptrdiff_t>(end), ',',
                   shield_comma);
      out.replace(at, shield.size(), shield);
      out.replace(end, shield_end.size(), shield_end);
    }
    at += opening.size();
  }
  return out;
}

// The end of a block of the kind that begins before `from`; absent: none begins there.
std::optional<std::size_t> BlockFinder::Ends::from(std::string_view text, std::size_t from) {
  if (from < fruitless_) {
    return std::nullopt;
  }
  if (end_ < from) {
    end_ = text.find(mark_, from);
  }
  if (end_ == std::string_view::npos) {
    return std::nullopt;
  }
  const std::size_t line_end = text.substr(from, end_ - from).find('\n');
  if (line_end != std::string_view::npos) {  // nor do those that begin before that have an end
    fruitless_ = from + line_end;
    return std::nullopt;
  }
  return end_;
}

BlockFinder::BlockFinder(std::string_view text) : text_(text), closings_(closing), shield_ends_(shield_end) {}

std::optional<Block> BlockFinder::next() {
  constexpr char begins[] = {opening.front(), shield.front(), '\0'};
  for (; (at_ = text_.find_first_of(begins, at_)) != std::string_view::npos; ++at_) {
    const bool shielded = text_.substr(at_, shield.size()) == shield;
    if (!shielded && text_.substr(at_, opening.size()) != opening) {
      continue;
    }
    const std::size_t inside = at_ + opening.size();
    const std::optional<std::size_t> end = (shielded ? shield_ends_ : closings_).from(text_, inside);
    if (!end) {
      continue;
    }
    const std::string_view content = trim(text_.substr(inside, *end - inside));
    if (content.empty()) {
      continue;
    }
    Block block{at_, *end + (shielded ? shield_end : closing).size(), std::string(content)};
    if (shielded) {
      std::ranges::replace(block.content, shield_comma, ',');
    }
    at_ = block.end;
    return block;
  }
  at_ = text_.size();
  return std::nullopt;
}

std::vector<std::string> split_block(std::string_view content) {
  std::vector<std::string> parts;
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= content.size(); ++i) {
    if (i < content.size() && content[i] == '\'') {
      quoted = !quoted;
    }
    if (i == content.size() || (content[i] == '|' && !quoted)) {
      parts.emplace_back(trim(content.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  return parts;
}

std::optional<std::string> split_separator(std::string_view function) {
  constexpr std::string_view head = "split('";
  constexpr std::string_view tail = "')";
  if (!function.starts_with(head) || !function.ends_with(tail) || function.size() <= head.size() + tail.size()) {
    return std::nullopt;
  }
  return std::string(function.substr(head.size(), function.size() - head.size() - tail.size()));
}

std::optional<Yaml> split_text(YamlTree& tree, Mark mark, std::string_view text, std::string_view separator) {
  std::vector<NodeIndex> items;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    const std::string_view part = trim(text.substr(0, end));
    if (!part.empty()) {
      items.push_back(tree.make_scalar(mark, part, false).index());
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + separator.size());
  }
  return tree.make_sequence(mark, items);
}

}  // namespace pipelines
