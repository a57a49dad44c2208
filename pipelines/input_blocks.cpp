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

bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

}  // namespace

bool has_blocks(std::string_view text) {
  return text.find(opening) != std::string_view::npos && text.find("spec") != std::string_view::npos &&
         text.find("\n---") != std::string_view::npos;
}

std::string shield_blocks(std::string_view text) {
  std::string out(text);
  // The header keeps its blocks as they are.
  std::size_t at = out.find("\n---", out.find("spec"));
  while ((at = out.find(opening, at)) != std::string::npos) {
    const std::size_t end = out.find(closing, at + opening.size());
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

std::optional<Block> find_block(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = text.find(opening, at);
    const std::size_t shielded = text.find(shield, at);
    const std::size_t begin = std::min(open, shielded);
    if (begin == std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view end_mark = begin == shielded ? shield_end : closing;
    const std::size_t end = text.find(end_mark, begin + opening.size());
    if (end == std::string_view::npos) {
      at = begin + opening.size();
      continue;
    }
    Block block;
    block.begin = begin;
    block.end = end + end_mark.size();
    const std::string_view inside = text.substr(begin + opening.size(), end - begin - opening.size());
    block.content = trim(inside);
    if (begin == shielded) {
      std::ranges::replace(block.content, shield_comma, ',');
    }
    if (!block.content.empty() && inside.find('\n') == std::string_view::npos) {
      return block;
    }
    at = begin + opening.size();
  }
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

std::vector<std::string> references_in(std::string_view text) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' && text[i] != '%') {
      continue;
    }
    const std::size_t begin = i + (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{' ? 2 : 1);
    std::size_t end = begin;
    while (end < text.size() && is_name(text[end])) {
      ++end;
    }
    if (end > begin) {
      names.emplace_back(text.substr(begin, end - begin));
    }
  }
  return names;
}

}  // namespace pipelines
