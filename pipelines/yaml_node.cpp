// The tree's nodes and their handles: everything but reading them from a text (yaml_tree.cpp).
#include <algorithm>
#include <limits>

#include "pipelines/yaml_tree.h"

namespace pipelines {

std::optional<Yaml> YamlTree::make_mapping(Mark mark, std::span<const Entry> entries) {
  merged_entries_ += entries.size() + 1;
  if (merged_entries_ > Limits::merged_entries) {
    return std::nullopt;
  }
  Node node;
  node.kind = Kind::mapping;
  node.source = static_cast<std::uint16_t>(mark.source);
  node.line = mark.line;
  node.column = mark.column;
  node.size = static_cast<std::uint32_t>(entries.size());
  std::uint64_t weight = node_weight;
  unsigned height = 0;
  const auto first = static_cast<std::uint32_t>(edges_.size());
  for (const Entry& entry : entries) {
    weight += weight_of(entry.key) + weight_of(entry.value);
    height = std::max(height, height_of(entry.value));
    edges_.push_back(entry.key);
    edges_.push_back(entry.value);
  }
  node.edges = {first,
                static_cast<std::uint32_t>(std::min<std::uint64_t>(weight, std::numeric_limits<std::uint32_t>::max()))};
  node.extra = static_cast<std::uint8_t>(height + 1);
  nodes_.push_back(node);
  return Yaml(*this, static_cast<NodeIndex>(nodes_.size() - 1));
}

const char* YamlTree::keep(std::string_view text) {
  constexpr std::size_t block = 64 * 1024;
  // A block never grows beyond its capacity, so what points into it stays.
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < text.size()) {
    blocks_.emplace_back().reserve(std::max(block, text.size()));
  }
  std::string& last = blocks_.back();
  const std::size_t begin = last.size();
  last.append(text);
  return last.data() + begin;
}

std::uint64_t YamlTree::weight_of(NodeIndex index) const {
  const Node& node = nodes_[index];
  switch (node.kind) {
    case Kind::null:
      return node_weight;
    case Kind::scalar:
      return node_weight + node.size;
    case Kind::sequence:
    case Kind::mapping:
      return node.edges.weight;
  }
  return node_weight;
}

unsigned YamlTree::height_of(NodeIndex index) const {
  const Node& node = nodes_[index];
  return node.kind == Kind::sequence || node.kind == Kind::mapping ? node.extra : 0U;
}

Kind Yaml::kind() const { return tree_->nodes_[index_].kind; }

Mark Yaml::mark() const {
  const YamlTree::Node& node = tree_->nodes_[index_];
  return {node.source, node.line, node.column};
}

std::string_view Yaml::text() const {
  const YamlTree::Node& node = tree_->nodes_[index_];
  return node.kind == Kind::scalar ? std::string_view(node.text, node.size) : std::string_view();
}

ScalarType Yaml::type() const {
  const YamlTree::Node& node = tree_->nodes_[index_];
  if (node.kind != Kind::scalar) {
    return ScalarType::null;
  }
  return (node.extra & YamlTree::plain) != 0 ? scalar_type({node.text, node.size}) : ScalarType::string;
}

Mark Yaml::mark_at(std::size_t offset) const {
  const YamlTree::Node& node = tree_->nodes_[index_];
  if (node.kind != Kind::scalar || (node.extra & YamlTree::in_place) == 0) {
    return mark();
  }
  const std::string_view source = tree_->texts_[node.source];
  const auto begin = static_cast<std::size_t>(node.text - source.data());
  const std::size_t line_start = source.substr(0, begin).rfind('\n') + 1;  // npos + 1 is 0
  return {node.source, node.line,
          static_cast<std::uint32_t>(begin - line_start + std::min<std::size_t>(offset, node.size)) + 1};
}

std::size_t Yaml::size() const {
  const YamlTree::Node& node = tree_->nodes_[index_];
  return node.kind == Kind::sequence || node.kind == Kind::mapping ? node.size : 0;
}

Yaml Yaml::item(std::size_t i) const { return {*tree_, tree_->edges_[tree_->nodes_[index_].edges.first + i]}; }

Yaml Yaml::key(std::size_t i) const { return item(2 * i); }

Yaml Yaml::value(std::size_t i) const { return item(2 * i + 1); }

Yaml Yaml::find(std::string_view key) const {
  for (std::size_t i = 0; is_mapping() && i < size(); ++i) {
    if (this->key(i).text() == key) {
      return value(i);
    }
  }
  return {};
}

Yaml Yaml::find_key(std::string_view key) const {
  for (std::size_t i = 0; is_mapping() && i < size(); ++i) {
    if (this->key(i).text() == key) {
      return this->key(i);
    }
  }
  return {};
}

std::uint64_t Yaml::weight() const { return tree_->weight_of(index_); }

}  // namespace pipelines
