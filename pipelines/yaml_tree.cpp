#include "pipelines/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstring>
#include <istream>
#include <limits>
#include <streambuf>
#include <unordered_map>
#include <utility>

#include "pipelines/flow_guard.h"
#include "pipelines/yaml_entries.h"
#include "pipelines/yaml_refusal.h"
#include "pipelines/yaml_text.h"

namespace pipelines {
namespace {

// yaml-cpp reads from a stream; this one reads the caller's text where it lies, and guards yaml-cpp's scanner.
class ViewBuffer : public std::streambuf {
 public:
  ViewBuffer(std::string_view text, std::uint32_t source) : source_(source) {
    char* begin = const_cast<char*>(text.data());  // never written: a streambuf has no const get area
    setg(begin, begin, begin + text.size());
  }

  void event() { guard_.restart(); }

 protected:
  std::streamsize xsgetn(char* to, std::streamsize wanted) override {
    const std::streamsize given = std::min(wanted, static_cast<std::streamsize>(egptr() - gptr()));
    const std::string_view chunk(gptr(), static_cast<std::size_t>(given));
    if (const FlowGuard::Verdict verdict = guard_.read(chunk); verdict != FlowGuard::Verdict::good) {
      const bool deep = verdict == FlowGuard::Verdict::too_deep;
      const LineColumn where = line_column({eback(), gptr()}, static_cast<std::size_t>(gptr() - eback()));
      throw Refusal{{source_, static_cast<std::uint32_t>(where.line), static_cast<std::uint32_t>(where.column)},
                    deep ? "the document is nested too deeply" : "this `[` or `{` has too many values",
                    deep ? fmt::format("at most {} levels are read", Limits::depth)
                         : fmt::format("at most {} are read", FlowGuard::most_marks),
                    {}};
    }
    std::memcpy(to, gptr(), chunk.size());
    setg(eback(), gptr() + given, egptr());
    return given;
  }

 private:
  std::uint32_t source_;
  FlowGuard guard_;
};

}  // namespace

// Builds the nodes of one text from yaml-cpp's events. Throws Refusal.
class TreeBuilder : public YAML::EventHandler {
 public:
  // `split`: a first document with `spec` is a header, and the second is the root.
  TreeBuilder(YamlTree& tree, ViewBuffer& buffer, std::string_view text, std::uint32_t source, bool split,
              Findings& findings)
      : tree_(tree), buffer_(buffer), text_(text), source_(source), split_(split), findings_(findings) {}

  std::optional<NodeIndex> root() const { return root_; }
  std::optional<NodeIndex> header() const { return header_; }

  // yaml-cpp takes the end of the file for the end of a quoted string.
  void check_last_quote() const {
    std::size_t at_quote = content_of(last_scalar_);
    const char quote = at_quote < text_.size() ? text_[at_quote] : '\0';
    if (quote != '"' && quote != '\'') {
      return;
    }
    for (++at_quote; at_quote < text_.size(); ++at_quote) {
      if (text_[at_quote] == '\\' && quote == '"') {
        ++at_quote;
      } else if (text_[at_quote] == quote) {
        if (quote == '"' || at_quote + 1 >= text_.size() || text_[at_quote + 1] != quote) {
          return;
        }
        ++at_quote;
      }
    }
    throw Refusal{at(last_scalar_), "a quoted string is not closed", "close the quotes", {}};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (further_document_) {
      refuse_further_document();
    }
    if (!root_) {
      return;
    }
    const bool marked = text_.substr(static_cast<std::size_t>(std::max(mark.pos, 0))).starts_with("---");
    if (split_ && marked && !header_ && Yaml(tree_, *root_).find_key("spec")) {
      header_ = std::exchange(root_, std::nullopt);
      pending_.clear();
      anchors_.clear();  // yaml-cpp counts anew
      return;
    }
    further_document_ = at(mark);
    marked_document_ = marked;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlTree::Node node;
    place(node, null_mark(mark));
    add(node, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const NodeIndex target = anchor < anchors_.size() ? anchors_[anchor] : no_node;
    if (target == no_node) {
      throw Refusal{at(mark), "this alias has no anchor above it", "", {}};
    }
    const YamlTree::Node& node = tree_.nodes_[target];
    if (is_container(node) && node.extra == 0) {  // still open: the alias stands inside
      throw Refusal{at(mark),
                    "this alias stands inside the very value it names",
                    "a value cannot contain itself",
                    {mark_of(node)}};
    }
    pending_.push_back(target);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlTree::Node node;
    node.kind = Kind::scalar;
    node.size = static_cast<std::uint32_t>(value.size());
    check_indentation(mark);
    place(node, at(mark));
    last_scalar_ = mark;
    if (tag == "?") {
      node.extra = YamlTree::plain;
    } else if (tag != "!") {
      check_tag(mark, tag);
      node.extra = tag == "tag:yaml.org,2002:str" ? 0 : YamlTree::plain;
    }
    if (const char* in_place = find_in_place(mark, value)) {
      node.text = in_place;
      node.extra |= YamlTree::in_place;
    } else {
      node.text = tree_.keep(value);
    }
    add(node, anchor, value.size());
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(mark, tag, anchor, Kind::sequence, style);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(mark, tag, anchor, Kind::mapping, style);
  }
  void OnSequenceEnd() override {
    const Open container = close();
    const std::span<const NodeIndex> items = std::span(pending_).subspan(container.first_pending);
    finish(container, items, items.size());
  }
  void OnMapEnd() override {
    const Open container = close();
    const std::span<const NodeIndex> items = std::span(pending_).subspan(container.first_pending);
    if (is_simple(items)) {
      finish(container, items, items.size() / 2);
      return;
    }
    merge(items);
    std::vector<NodeIndex> merged;
    merged.reserve(table_.slots().size() * 2);
    for (const EntryTable::Slot& slot : table_.slots()) {
      merged.push_back(slot.entry.key);
      merged.push_back(slot.entry.value);
    }
    finish(container, merged, table_.slots().size());
  }

 private:
  static constexpr NodeIndex no_node = std::numeric_limits<NodeIndex>::max();

  struct Open {
    NodeIndex node = 0;
    std::size_t first_pending = 0;
  };

  static bool is_container(const YamlTree::Node& node) { return pipelines::is_container(node.kind); }
  Mark at(const YAML::Mark& mark) const {
    return {source_, static_cast<std::uint32_t>(mark.line) + 1, static_cast<std::uint32_t>(mark.column) + 1};
  }
  Mark mark_of(const YamlTree::Node& node) const { return {node.source, node.line, node.column}; }
  Mark mark_of(NodeIndex index) const { return mark_of(tree_.nodes_[index]); }
  std::string_view text_of(NodeIndex index) const {
    const YamlTree::Node& node = tree_.nodes_[index];
    return {node.text, node.size};
  }
  void place(YamlTree::Node& node, Mark mark) const {
    node.source = static_cast<std::uint16_t>(mark.source);
    node.line = mark.line;
    node.column = mark.column;
  }

  // yaml-cpp marks an absent value where the next token stands, maybe lines below. Better: its key, or its `-`.
  Mark null_mark(const YAML::Mark& mark) const {
    const Mark theirs = at(mark);
    if (open_.empty()) {
      return theirs;
    }
    const Open& parent = open_.back();
    if (tree_.nodes_[parent.node].kind == Kind::mapping) {
      const bool is_value = (pending_.size() - parent.first_pending) % 2 == 1;
      const Mark key = is_value ? mark_of(pending_.back()) : theirs;
      return key.line != theirs.line ? key : theirs;
    }
    const auto pos = std::min(static_cast<std::size_t>(std::max(mark.pos, 0)), text_.size());
    const std::size_t before = text_.substr(0, pos).find_last_not_of(" \r\n");
    if (before == std::string_view::npos || text_[before] != '-') {
      return theirs;
    }
    const auto newlines = std::ranges::count(text_.substr(before, pos - before), '\n');
    const std::size_t line_start = text_.substr(0, before).rfind('\n') + 1;  // npos + 1 is 0
    return {source_, theirs.line - static_cast<std::uint32_t>(newlines),
            static_cast<std::uint32_t>(before - line_start) + 1};
  }

  // Where a scalar's text or quote begins: the mark is that of its anchor or tag, where it has one.
  std::size_t content_of(const YAML::Mark& mark) const {
    auto pos = static_cast<std::size_t>(std::max(mark.pos, 0));
    while (pos < text_.size() && (text_[pos] == '&' || text_[pos] == '!')) {
      pos = std::min(text_.find_first_of(" \t\n", pos), text_.size());
      pos = std::min(text_.find_first_not_of(" \t", pos), text_.size());
    }
    return pos;
  }

  // Where the value stands in the text byte for byte, on the line of its mark. Most scalars do.
  const char* find_in_place(const YAML::Mark& mark, const std::string& value) const {
    std::size_t pos = content_of(mark);
    if (pos < text_.size() && (text_[pos] == '"' || text_[pos] == '\'')) {
      ++pos;
    }
    if (pos > text_.size() || text_.size() - pos < value.size()) {
      return nullptr;
    }
    // Equal bytes mean equal lines too: where a scalar goes over a line's end, YAML folds it.
    return std::memcmp(text_.data() + pos, value.data(), value.size()) == 0 ? text_.data() + pos : nullptr;
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:")) {
      return;
    }
    if (tag == "!reference") {
      throw Refusal{
          at(mark), "`!reference` must stand before a list of names", "for example `!reference [.job, script]`", {}};
    }
    throw Refusal{at(mark), fmt::format("unknown tag `{}`", tag), "quote a value that begins with `!`", {}};
  }

  void add(const YamlTree::Node& node, YAML::anchor_t anchor, std::size_t bytes = 0) {
    tree_.written_ += YamlTree::node_weight + bytes;
    if (tree_.written_ > Limits::weight) {
      throw Refusal{mark_of(node),
                    "the file has too many values",
                    fmt::format("at most {} million are read", Limits::weight / YamlTree::node_weight / 1'000'000),
                    {}};
    }
    const auto index = static_cast<NodeIndex>(tree_.nodes_.size());
    tree_.nodes_.push_back(node);
    if (anchor != YAML::NullAnchor) {
      anchors_.resize(std::max(anchors_.size(), anchor + 1), no_node);
      anchors_[anchor] = index;
    }
    if (!root_) {
      root_ = index;
    }
    if (further_document_ && node.kind != Kind::null) {  // an empty one, made by a `---` at the end, is let pass
      refuse_further_document();
    }
    buffer_.event();
    pending_.push_back(index);
  }

  // yaml-cpp lets some tabs pass where GitLab does not.
  void check_indentation(const YAML::Mark& mark) const {
    if (flow_depth_ > 0 || mark.column == 0 || mark.column > mark.pos) {
      return;
    }
    const auto pos = static_cast<std::size_t>(mark.pos);
    const std::size_t line_start = pos - static_cast<std::size_t>(mark.column);
    const std::size_t first = text_.find_first_not_of(' ', line_start);
    if (first < pos && text_[first] == '\t' && text_.find_first_not_of(" \t", first) == pos) {
      throw tab_refusal(
          {source_, static_cast<std::uint32_t>(mark.line) + 1, static_cast<std::uint32_t>(first - line_start) + 1});
    }
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Kind kind,
            YAML::EmitterStyle::value style) {
    check_indentation(mark);
    flow_depth_ += style == YAML::EmitterStyle::Flow || flow_depth_ > 0 ? 1U : 0U;
    if (open_.size() >= Limits::depth) {
      throw too_deep(at(mark));
    }
    if (kind == Kind::sequence && tag == "!reference") {
      kind = Kind::reference;
      tree_.has_references_ = true;
    } else {
      check_tag(mark, tag);
    }
    YamlTree::Node node;
    node.kind = kind;
    node.edges = {};
    place(node, at(mark));
    const auto index = static_cast<NodeIndex>(tree_.nodes_.size());
    add(node, anchor);
    open_.push_back({index, pending_.size()});
  }

  [[noreturn]] void refuse_further_document() const {
    if (!marked_document_) {  // a list's item below a mapping, or the other way round
      throw Refusal{*further_document_, "this line does not fit what stands above it", "check its indentation", {}};
    }
    throw Refusal{*further_document_,
                  "a second YAML document begins here",
                  "a pipeline file is one document, after a header with `spec` if it has one; remove the `---`",
                  {}};
  }

  Open close() {
    const Open container = open_.back();
    open_.pop_back();
    flow_depth_ -= flow_depth_ > 0 ? 1U : 0U;
    return container;
  }

  static Refusal too_deep(Mark mark) {
    return {mark, "the document is nested too deeply", fmt::format("at most {} levels are read", Limits::depth), {}};
  }

  // Writes the container's edges and what it weighs.
  void finish(const Open& container, std::span<const NodeIndex> items, std::size_t size) {
    std::uint64_t weight = YamlTree::node_weight;
    unsigned height = 0;
    for (const NodeIndex item : items) {
      weight += tree_.weight_of(item);
      height = std::max(height, tree_.height_of(item));
    }
    YamlTree::Node& node = tree_.nodes_[container.node];
    if (weight > Limits::weight) {
      throw Refusal{mark_of(node),
                    "the aliases in this value expand to far too much",
                    "written out it would have millions of values",
                    {}};
    }
    if (height >= Limits::depth) {
      throw too_deep(mark_of(node));
    }
    node.edges = {static_cast<std::uint32_t>(tree_.edges_.size()), static_cast<std::uint32_t>(weight)};
    node.size = static_cast<std::uint32_t>(size);
    node.extra = static_cast<std::uint8_t>(height + 1);
    tree_.edges_.insert(tree_.edges_.end(), items.begin(), items.end());
    pending_.resize(container.first_pending);
  }

  // Whether the entries can stand as they are: every key a scalar, none twice, no `<<`. Throws when a key is no scalar.
  bool is_simple(std::span<const NodeIndex> items) {
    constexpr std::size_t few = 24;  // entries; more are looked up by hash
    bool simple = true;
    names_.clear();
    for (std::size_t i = 0; i < items.size(); i += 2) {
      const YamlTree::Node& key = tree_.nodes_[items[i]];
      if (is_container(key)) {
        throw Refusal{mark_of(key),
                      fmt::format("a {} cannot be a key", key.kind == Kind::mapping ? "mapping" : "list"),
                      "quote a value that begins with `{` or `[`",
                      {}};
      }
      if (key.kind == Kind::null) {
        throw Refusal{mark_of(key), "a key is missing before `:`", "quote the key if it is to be the word null", {}};
      }
      names_.emplace_back(key.text, key.size);
    }
    if (names_.size() > few) {
      std::unordered_map<std::string_view, char> seen(names_.size() * 2);
      for (const std::string_view name : names_) {
        simple = seen.emplace(name, 0).second && name != "<<" && simple;
      }
      return simple;
    }
    for (std::size_t i = 0; simple && i < names_.size(); ++i) {
      simple = names_[i] != "<<";
      for (std::size_t j = 0; simple && j < i; ++j) {
        simple = names_[i] != names_[j];
      }
    }
    return simple;
  }

  // Applies `<<` and duplicate keys as Psych does (visitors/to_ruby.rb, revive_hash): entry by entry, and a later one
  // wins, also `<<` over a key that stands above it.
  void merge(std::span<const NodeIndex> items) {
    table_.clear();
    for (std::size_t i = 0; i < items.size(); i += 2) {
      const std::string_view key = text_of(items[i]);
      if (key == "<<") {
        merge_value(items[i], items[i + 1]);
        continue;
      }
      put({items[i], items[i + 1]}, std::nullopt);
    }
  }

  void merge_value(NodeIndex key, NodeIndex value) {
    const YamlTree::Node node = tree_.nodes_[value];
    if (node.kind == Kind::mapping) {
      merge_mapping(key, value);
      return;
    }
    if (node.kind == Kind::sequence) {
      // The first of a list wins, so the list is merged from its end.
      for (std::uint32_t i = node.size; i-- > 0;) {
        const NodeIndex item = tree_.edges_[node.edges.first + i];
        if (tree_.nodes_[item].kind != Kind::mapping) {
          throw Refusal{mark_of(item), "`<<` can only merge mappings", "name anchored mappings: `<<: [*a, *b]`", {}};
        }
        merge_mapping(key, item);
      }
      return;
    }
    throw Refusal{mark_of(node), "`<<` can only merge mappings", "name an anchored mapping: `<<: *name`", {}};
  }

  void merge_mapping(NodeIndex merge_key, NodeIndex mapping) {
    const YamlTree::Node node = tree_.nodes_[mapping];
    tree_.merged_entries_ += node.size + 1U;
    if (tree_.merged_entries_ > Limits::merged_entries) {
      throw Refusal{mark_of(merge_key),
                    "the merge keys (`<<`) of this file copy far too much",
                    fmt::format("at most {} million entries are merged", Limits::merged_entries / 1'000'000),
                    {}};
    }
    for (std::uint32_t i = 0; i < node.size; ++i) {
      const NodeIndex* edge = &tree_.edges_[node.edges.first + 2 * i];
      put({edge[0], edge[1]}, merge_key);
    }
  }

  void put(YamlTree::Entry entry, std::optional<NodeIndex> merge_key) {
    const std::string_view key = text_of(entry.key);
    EntryTable::Slot* slot = table_.find(key, [&](NodeIndex index) { return text_of(index); });
    if (slot == nullptr) {
      table_.append(key, {entry, merge_key.has_value()});
      return;
    }
    if (!slot->merged && !merge_key) {
      findings_.warning(mark_of(entry.key),
                        fmt::format("the key \"{}\" stands twice in this mapping; the last one wins", key),
                        "remove one of them", {mark_of(slot->entry.key)});
    } else if (!slot->merged && merge_key && slot->entry.value != entry.value) {
      findings_.warning(mark_of(*merge_key), fmt::format("`<<` replaces the key \"{}\" that stands above it", key),
                        "put `<<` first: the keys below it win", {mark_of(slot->entry.key)});
    }
    *slot = {entry, merge_key.has_value()};
  }

  YamlTree& tree_;
  ViewBuffer& buffer_;
  std::string_view text_;
  std::uint32_t source_;
  bool split_;
  Findings& findings_;

  std::optional<NodeIndex> root_;
  std::optional<NodeIndex> header_;
  YAML::Mark last_scalar_;
  std::optional<Mark> further_document_;
  bool marked_document_ = false;  // it begins with `---`
  std::vector<Open> open_;
  unsigned flow_depth_ = 0;         // open containers from the outermost `[` or `{` on
  std::vector<NodeIndex> pending_;  // children of the open containers, innermost last
  std::vector<NodeIndex> anchors_;  // by yaml-cpp's anchor numbers
  std::vector<std::string_view> names_;
  EntryTable table_;
};

std::optional<Yaml> YamlTree::load(std::string_view text, std::uint32_t source, Findings& findings, Yaml* header) {
  const Mark whole_file{source, 0, 0};
  const auto refuse = [&](const Refusal& refusal) {
    findings.error(refusal.mark, refusal.message, refusal.hint, refusal.others);
    return std::nullopt;
  };
  if (text.size() > Limits::text_bytes) {
    return refuse({whole_file,
                   "the file is larger than 10 MB",
                   fmt::format("at most {} MB are read", Limits::text_bytes / (1024 * 1024)),
                   {}});
  }
  if (const std::optional<TextFault> fault = find_text_fault(text)) {
    const LineColumn where = line_column(text, fault->offset);
    return refuse({{source, static_cast<std::uint32_t>(where.line), static_cast<std::uint32_t>(where.column)},
                   fault->message,
                   fault->hint,
                   {}});
  }

  texts_.resize(std::max<std::size_t>(texts_.size(), source + 1U));
  texts_[source] = text;
  nodes_.reserve(nodes_.size() + text.size() / 24);
  edges_.reserve(edges_.size() + text.size() / 24);
  ViewBuffer buffer(text, source);
  TreeBuilder builder(*this, buffer, text, source, header != nullptr, findings);
  std::istream stream(&buffer);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    builder.check_last_quote();
  } catch (const Refusal& refusal) {
    return refuse(refusal);
  } catch (const YAML::Exception& exception) {
    // Line and column 0 where yaml-cpp knows no place, which then is the first byte.
    const YAML::Mark mark = exception.mark.is_null() ? YAML::Mark() : exception.mark;
    return refuse(mend_syntax_error(
        exception.msg, {source, static_cast<std::uint32_t>(mark.line) + 1, static_cast<std::uint32_t>(mark.column) + 1},
        static_cast<std::size_t>(mark.pos), text));
  }
  if (!builder.root() || nodes_[*builder.root()].kind == Kind::null) {
    return refuse(
        {whole_file, "the file is empty", "a pipeline needs at least one job: `build: { script: make }`", {}});
  }
  if (builder.header()) {
    *header = Yaml(*this, *builder.header());
  }
  return Yaml(*this, *builder.root());
}

}  // namespace pipelines
