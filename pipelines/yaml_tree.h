// YAML as a tree of ours, with what yaml-cpp's own nodes do not keep: marks, duplicate keys, merge keys, quotes.
//
// yaml_tree.cpp is the only file that includes yaml-cpp, and uses its event interface alone. The tree is an arena:
// nodes live as long as it does, an alias shares its anchor's node, and a scalar that stands in the text as it is
// (most do) is a view into that text. Whatever the text is, building and walking the tree is bounded: see Limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/findings.h"
#include "pipelines/yaml_scalar.h"

namespace pipelines {

struct Limits {
  static constexpr std::size_t text_bytes = 10 * 1024 * 1024;
  // Of all files of one pipeline together (`include`).
  static constexpr std::size_t all_text_bytes = 32 * 1024 * 1024;
  // GitLab's depth limit. Every walk of the tree recurses at most this deep, through aliases as well.
  static constexpr unsigned depth = 100;
  // What the documents weigh when every alias is written out: a node counts 32, a scalar its bytes besides. An honest
  // file of 20,000 jobs weighs about 30 million; an alias bomb is stopped here, before anybody walks it.
  static constexpr std::uint64_t weight = 64 * 1024 * 1024;
  // Entries that `<<` copies into mappings, `extends` into jobs, `include`, inputs and `!reference` into the rest.
  static constexpr std::uint64_t merged_entries = 4 * 1000 * 1000;
};

using NodeIndex = std::uint32_t;
// A reference is GitLab's `!reference [job, key, …]`: a list of names that stands for what is found there
// (reference.h). No reader takes one for a list.
enum class Kind : std::uint8_t { null, scalar, sequence, mapping, reference };

inline bool is_container(Kind kind) { return kind >= Kind::sequence; }

class YamlTree;

// One node: a handle, cheap to copy. Valid while its tree lives.
class Yaml {
 public:
  Yaml() = default;  // no node; only operator bool may be called
  Yaml(const YamlTree& tree, NodeIndex index) : tree_(&tree), index_(index) {}

  explicit operator bool() const { return tree_ != nullptr; }
  NodeIndex index() const { return index_; }
  Kind kind() const;
  bool is_null() const { return kind() == Kind::null; }
  bool is_scalar() const { return kind() == Kind::scalar; }
  bool is_sequence() const { return kind() == Kind::sequence; }
  bool is_mapping() const { return kind() == Kind::mapping; }
  bool is_reference() const { return kind() == Kind::reference; }
  Mark mark() const;

  // Scalars: the text without its quotes (null: empty), and what YAML 1.1 takes it for.
  std::string_view text() const;
  ScalarType type() const;
  bool is_string() const { return is_scalar() && type() == ScalarType::string; }
  // The place of one byte of the text; the scalar's own mark where the text does not stand in the file as it is
  // (block scalars, escapes, folded lines).
  Mark mark_at(std::size_t offset) const;

  bool is_plain() const;  // not quoted, no tag: YAML 1.1 decides the type

  // Sequences and references: items. Mappings: entries in the file's order, merge keys applied, of duplicate keys the
  // last.
  std::size_t size() const;
  Yaml item(std::size_t) const;
  Yaml key(std::size_t) const;
  Yaml value(std::size_t) const;
  Yaml find(std::string_view key) const;      // the value; no node when absent. Linear: for small mappings
  Yaml find_key(std::string_view key) const;  // the key's own node

  // The node's share of Limits::weight, aliases written out.
  std::uint64_t weight() const;
  // 1 + the deepest child's height; a scalar has none.
  unsigned height() const;

 private:
  const YamlTree* tree_ = nullptr;
  NodeIndex index_ = 0;
};

class YamlTree {
 public:
  struct Entry {
    NodeIndex key = 0;
    NodeIndex value = 0;
  };

  static constexpr std::uint64_t node_weight = 32;  // see Limits::weight

  YamlTree() = default;
  YamlTree(const YamlTree&) = delete;  // handles point here
  YamlTree& operator=(const YamlTree&) = delete;

  // Reads one text, which must outlive the tree; its marks get `source`. May be called for several texts.
  // Absent after exactly one error; duplicate keys are warnings. An empty document is an error here as well.
  //
  // With `header`, the text may be two documents, of which the first has the keyword `spec`: that one is put there,
  // and the second returned.
  std::optional<Yaml> load(std::string_view text, std::uint32_t source, Findings&, Yaml* header = nullptr);

  // New nodes that share the entries' or items' nodes (`extends` makes these). Absent when Limits::merged_entries is
  // used up or Limits::depth exceeded. The weight may be beyond Limits::weight: who makes trees for others to walk
  // looks.
  std::optional<Yaml> make_mapping(Mark, std::span<const Entry>);
  std::optional<Yaml> make_sequence(Mark, std::span<const NodeIndex>, Kind = Kind::sequence);  // or a reference
  // A scalar; `plain`: YAML 1.1 decides its type. The text is copied.
  Yaml make_scalar(Mark, std::string_view text, bool plain);
  Yaml make_null(Mark);

  bool has_references() const { return has_references_; }  // any node is a reference
  std::size_t size() const { return nodes_.size(); }       // nodes; an index is below it

 private:
  friend class Yaml;
  friend class TreeBuilder;  // yaml_tree.cpp

  struct Edges {
    std::uint32_t first = 0;   // index into edges_
    std::uint32_t weight = 0;  // saturates
  };
  struct Node {
    union {
      const char* text;  // scalar
      Edges edges;       // sequence, mapping
    };
    std::uint32_t size = 0;  // bytes, items or entries
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    std::uint16_t source = 0;
    Kind kind = Kind::null;
    // Scalars: flags. Containers: 1 + the deepest child's height, aliases included; at most Limits::depth.
    std::uint8_t extra = 0;
    Node() : text(nullptr) {}
  };
  static constexpr std::uint8_t plain = 1;     // not quoted, no tag: YAML 1.1 decides the type
  static constexpr std::uint8_t in_place = 2;  // stands in the source as it is, on the node's own line

  // A node under construction, whose children stand in edges_ from `first` on.
  struct Made {
    Node node;
    std::uint32_t first = 0;
    std::uint64_t weight = node_weight;
    unsigned height = 0;
  };
  Made begin(Mark, Kind, std::size_t size) const;
  void add_child(Made&, NodeIndex);
  std::optional<Yaml> finish(Made&);

  const char* keep(std::string_view text);  // copies into the arena
  std::uint64_t weight_of(NodeIndex) const;
  unsigned height_of(NodeIndex) const;

  std::vector<Node> nodes_;
  std::vector<NodeIndex> edges_;         // items; or key, value, key, value, …
  std::vector<std::string_view> texts_;  // by source
  std::vector<std::string> blocks_;      // the arena for scalars that had to be copied
  std::uint64_t merged_entries_ = 0;
  std::uint64_t written_ = 0;  // the weight of what the texts themselves hold
  bool has_references_ = false;
};

}  // namespace pipelines
