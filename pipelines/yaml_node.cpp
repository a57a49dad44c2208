// The tree's nodes and their handles: everything but reading them from a text (yaml_tree.cpp).
#include <algorithm>
#include <limits>

#include "pipelines/yaml_tree.h"

namespace pipelines {

std::optional<Yaml> YamlTree::make_mapping(Mark mark, std::span<const Entry> entries) {
  Made made = begin(mark, Kind::mapping, entries.size());
  for (const Entry& entry : entries) {
    add_child(made, entry.key);
    add_child(made, entry.value);
  }
  return finish(made);
}

std::optional<Yaml> YamlTree::make_sequence(Mark mark, std::span<const NodeIndex> items, Kind kind) {
  Made made = begin(mark, kind, items.size());
  for (const NodeIndex item : items) {
    add_child(made, item);
  }
  return finish(made);
}

Yaml YamlTree::make_scalar(Mark mark, std::string_view text, bool is_plain) {
  Node node = begin(mark, Kind::scalar, text.size()).node;
  node.text = keep(text);
  node.extra = is_plain ? plain : 0;
  nodes_.push_back(node);
  return {*this, static_cast<NodeIndex>(nodes_.size() - 1)};
}

Yaml YamlTree::make_null(Mark mark) {
  nodes_.push_back(begin(mark, Kind::null, 0).node);
  return {*this, static_cast<NodeIndex>(nodes_.size() - 1)};
}

YamlTree::Made YamlTree::begin(Mark mark, Kind kind, std::size_t size) const {
  Made made;
  made.node.kind = kind;
  made.node.source = static_cast<std::uint16_t>(mark.source);
  made.node.line = mark.line;
  made.node.column = mark.column;
  made.node.size = static_cast<std::uint32_t>(size);
  made.first = static_cast<std::uint32_t>(edges_.size());
  return made;
}

void YamlTree::add_child(Made& made, NodeIndex child) {
  made.weight += weight_of(child);
  made.height = std::max(made.height, height_of(child));
  edges_.push_back(child);
}

std::optional<Yaml> YamlTree::finish(Made& made) {
  merged_entries_ += made.node.size + 1;
  if (merged_entries_ > Limits::merged_entries || made.height >= Limits::depth) {
    edges_.resize(made.first);
    return std::nullopt;
  }
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  made.node.edges = {made.first, static_cast<std::uint32_t>(std::min(made.weight, most))};
  made.node.extra = static_cast<std::uint8_t>(made.height + 1);
  nodes_.push_back(made.node);
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
    case Kind::reference:
      return node.edges.weight;
  }
  return node_weight;
}

unsigned YamlTree::height_of(NodeIndex index) const {
  const Node& node = nodes_[index];
  return is_container(node.kind) ? node.extra : 0U;
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

bool Yaml::is_plain() const {
  const YamlTree::Node& node = tree_->nodes_[index_];
  return node.kind == Kind::scalar && (node.extra & YamlTree::plain) != 0;
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
  return is_container(node.kind) ? node.size : 0;
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

unsigned Yaml::height() const { return tree_->height_of(index_); }

}  // namespace pipelines
