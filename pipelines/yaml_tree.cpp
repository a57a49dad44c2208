#include "pipelines/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <istream>
#include <limits>
#include <streambuf>
#include <unordered_map>
#include <utility>

#include "pipelines/yaml_text.h"

namespace pipelines {
namespace {

constexpr std::uint64_t node_weight = 32;

// Why a text was refused. Thrown through yaml-cpp's parser, which has no other way to be stopped; caught in load().
struct Refusal {
  Mark mark;
  std::string message;
  std::string hint;
  std::vector<Mark> others;
};

// yaml-cpp reads from a stream; this one reads the caller's text where it lies.
//
// It also guards yaml-cpp's scanner, which holds every token of a `[` or `{` back until its end (what follows might be
// a `: `): ten megabytes of `[` took a gigabyte and ten seconds before the first event. So the marks that make tokens
// are counted between two events.
class ViewBuffer : public std::streambuf {
 public:
  ViewBuffer(std::string_view text, std::uint32_t source) : source_(source) {
    char* begin = const_cast<char*>(text.data());  // never written: a streambuf has no const get area
    setg(begin, begin, begin + text.size());
  }

  void event() {
    open_ = 0;
    marks_ = 0;
  }

 protected:
  std::streamsize xsgetn(char* to, std::streamsize wanted) override {
    const std::streamsize given = std::min(wanted, static_cast<std::streamsize>(egptr() - gptr()));
    for (const char* c = gptr(); c < gptr() + given; ++c) {
      const bool opens = *c == '[' || *c == '{';
      open_ += opens ? 1 : *c == ']' || *c == '}' ? -1 : 0;
      marks_ += opens || *c == ',' ? 1 : 0;
    }
    if (open_ > most_open || marks_ > most_marks) {
      const LineColumn where = line_column({eback(), gptr()}, static_cast<std::size_t>(gptr() - eback()));
      throw Refusal{{source_, static_cast<std::uint32_t>(where.line), static_cast<std::uint32_t>(where.column)},
                    open_ > most_open ? "the document is nested too deeply" : "this `[` or `{` has too many values",
                    open_ > most_open ? fmt::format("at most {} levels are read", Limits::depth)
                                      : fmt::format("at most {} are read", most_marks),
                    {}};
    }
    std::memcpy(to, gptr(), static_cast<std::size_t>(given));
    setg(eback(), gptr() + given, egptr());
    return given;
  }

 private:
  // Far above Limits::depth, as brackets in quoted strings are counted here as well.
  static constexpr std::int64_t most_open = 10'000;
  // A whole pipeline may be one `{`: 20,000 jobs written as JSON have about 700,000.
  static constexpr std::int64_t most_marks = 1'500'000;

  std::uint32_t source_;
  std::int64_t open_ = 0;
  std::int64_t marks_ = 0;
};

constexpr std::string_view tab_message = "a tab cannot indent YAML";
constexpr std::string_view tab_hint = "indent with spaces";

struct Mended {
  std::string_view theirs;
  std::string_view message;
  std::string_view hint;
};

// yaml-cpp's words, and what they mean to somebody who wrote a pipeline.
const std::array mended_messages = {
    Mended{YAML::ErrorMsg::TAB_IN_INDENTATION, tab_message, tab_hint},
    Mended{YAML::ErrorMsg::END_OF_MAP, "this line does not fit the mapping it stands in",
           "check its indentation, and that the key ends with `:` and a space"},
    Mended{YAML::ErrorMsg::END_OF_MAP_FLOW, "`{` is not closed here",
           "write `}` or `,`; quote a value that contains `{`, `}`, `,` or `: `"},
    Mended{YAML::ErrorMsg::END_OF_SEQ, "this line does not fit the list it stands in",
           "check its indentation, and that the item begins with `- `"},
    Mended{YAML::ErrorMsg::END_OF_SEQ_FLOW, "`[` is not closed here",
           "write `]` or `,`; quote a value that contains `[`, `]` or `,`"},
    Mended{YAML::ErrorMsg::MULTIPLE_TAGS, "two tags stand on one value", "keep one"},
    Mended{YAML::ErrorMsg::MULTIPLE_ANCHORS, "two anchors (`&name`) stand on one value", "keep one"},
    Mended{YAML::ErrorMsg::ALIAS_CONTENT, "an alias (`*name`) cannot have a tag or an anchor",
           "put it on the anchored value"},
    Mended{YAML::ErrorMsg::INVALID_HEX, "this escape needs hexadecimal digits",
           R"(\xNN takes two, \uNNNN four; single quotes keep a backslash as it is)"},
    Mended{YAML::ErrorMsg::UNKNOWN_TOKEN, "no YAML value can begin with this character", "quote the value"},
    Mended{YAML::ErrorMsg::DOC_IN_SCALAR, "a quoted string is not closed before `---` or `...`", "close the quotes"},
    Mended{YAML::ErrorMsg::EOF_IN_SCALAR, "a quoted string is not closed", "close the quotes"},
    Mended{YAML::ErrorMsg::CHAR_IN_SCALAR, "a value cannot go on like this", "quote the whole value"},
    Mended{YAML::ErrorMsg::FLOW_END, "a closing bracket without its opening one", "remove it, or quote the value"},
    Mended{YAML::ErrorMsg::BLOCK_ENTRY, "a list item (`- `) cannot stand here",
           "put the list on lines of its own, below its key"},
    Mended{YAML::ErrorMsg::MAP_KEY, "a key cannot stand here", "check the indentation of this line"},
    Mended{YAML::ErrorMsg::MAP_VALUE, "a `: ` cannot stand here",
           "quote a value that contains `: `, or check the indentation of this line"},
    Mended{YAML::ErrorMsg::ALIAS_NOT_FOUND, "`*` names no anchor", "quote a value that begins with `*`"},
    Mended{YAML::ErrorMsg::ANCHOR_NOT_FOUND, "`&` names no anchor", "quote a value that begins with `&`"},
    Mended{YAML::ErrorMsg::CHAR_IN_ALIAS, "this character cannot be part of an alias (`*name`)",
           "quote a value that begins with `*`"},
    Mended{YAML::ErrorMsg::CHAR_IN_ANCHOR, "this character cannot be part of an anchor (`&name`)",
           "quote a value that begins with `&`"},
    Mended{YAML::ErrorMsg::ZERO_INDENT_IN_BLOCK, "a block's indentation cannot be 0", "write a digit from 1 to 9"},
    Mended{YAML::ErrorMsg::CHAR_IN_BLOCK, "nothing but a comment may follow `|` or `>` on its line",
           "begin the text on the next line"},
    Mended{YAML::ErrorMsg::UNKNOWN_ANCHOR, "this alias has no anchor above it",
           "anchors (`&name`) must stand before their aliases (`*name`), in the same file"},
    Mended{YAML::ErrorMsg::BAD_FILE, "the document is nested too deeply", "at most 100 levels are read"},
    Mended{YAML::ErrorMsg::TAG_WITH_NO_SUFFIX, "a tag is not complete", "quote a value that begins with `!`"},
    Mended{YAML::ErrorMsg::END_OF_VERBATIM_TAG, "a tag is not complete", "quote a value that begins with `!`"},
    Mended{YAML::ErrorMsg::CHAR_IN_TAG_HANDLE, "a tag is not complete", "quote a value that begins with `!`"},
};

// The tab in the indentation of the line that begins at `start`, if there is one before its first word.
std::optional<std::size_t> indenting_tab(std::string_view text, std::size_t start) {
  const std::size_t at = text.find_first_not_of(' ', start);
  if (at >= text.size() || text[at] != '\t') {
    return std::nullopt;
  }
  const std::size_t word = text.find_first_not_of(" \t", at);
  return word >= text.size() || text[word] == '\n' || text[word] == '\r' || text[word] == '#' ? std::nullopt
                                                                                              : std::optional(at);
}

Refusal mend(const YAML::Exception& exception, std::string_view text, std::uint32_t source) {
  Refusal refusal;
  if (!exception.mark.is_null()) {
    refusal.mark = {source, static_cast<std::uint32_t>(exception.mark.line) + 1,
                    static_cast<std::uint32_t>(exception.mark.column) + 1};
  }
  // A tab that indents makes yaml-cpp stumble over something else on that line, or on the next.
  if (!exception.mark.is_null()) {
    std::size_t line_start = text.substr(0, static_cast<std::size_t>(exception.mark.pos)).rfind('\n') + 1;
    for (std::uint32_t line = refusal.mark.line; line > 0 && refusal.mark.line - line < 2; --line) {
      if (const std::optional<std::size_t> tab = indenting_tab(text, line_start)) {
        return {{source, line, static_cast<std::uint32_t>(*tab - line_start) + 1},
                std::string(tab_message),
                std::string(tab_hint),
                {}};
      }
      line_start = line_start < 2 ? 0 : text.substr(0, line_start - 1).rfind('\n') + 1;
    }
  }
  const std::string_view theirs = exception.msg;
  if (theirs.starts_with(YAML::ErrorMsg::INVALID_ESCAPE) || theirs == YAML::ErrorMsg::INVALID_HEX) {
    // Marked behind the escape; its backslash is meant.
    const auto pos = static_cast<std::size_t>(exception.mark.pos);
    const std::size_t escape = text.substr(0, pos).rfind('\\');
    if (escape != std::string_view::npos && pos - escape < refusal.mark.column) {
      refusal.mark.column -= static_cast<std::uint32_t>(pos - escape);
    }
  }
  const auto* found = std::ranges::find_if(mended_messages, [&](const Mended& m) { return m.theirs == theirs; });
  if (found != mended_messages.end()) {
    refusal.message = found->message;
    refusal.hint = found->hint;
  } else if (theirs.starts_with(YAML::ErrorMsg::INVALID_ESCAPE)) {
    refusal.message = fmt::format("unknown escape `\\{}` in a double-quoted string",
                                  theirs.substr(std::string_view(YAML::ErrorMsg::INVALID_ESCAPE).size()));
    refusal.hint = R"(write `\\` for a backslash, or use single quotes)";
  } else if (theirs.starts_with(YAML::ErrorMsg::UNKNOWN_ANCHOR)) {
    refusal.message = "this alias has no anchor above it";
    refusal.hint = "anchors (`&name`) must stand before their aliases (`*name`), in the same file";
  } else {
    refusal.message = fmt::format("this is not YAML: {}", theirs);
  }
  return refusal;
}

// An ordered mapping under construction, by the rules of Ruby's Hash: a key that comes again keeps its place.
class EntryTable {
 public:
  struct Slot {
    YamlTree::Entry entry;
    bool merged = false;  // came by `<<`
  };

  void clear() {
    slots_.clear();
    by_key_.clear();
  }

  // The slot that already has this key, or none.
  Slot* find(std::string_view key, const auto& text_of) {
    if (slots_.size() <= few) {
      const auto found = std::ranges::find_if(slots_, [&](const Slot& s) { return text_of(s.entry.key) == key; });
      return found == slots_.end() ? nullptr : &*found;
    }
    if (by_key_.empty()) {
      for (std::uint32_t i = 0; i < slots_.size(); ++i) {
        by_key_.emplace(text_of(slots_[i].entry.key), i);
      }
    }
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &slots_[found->second];
  }

  void append(std::string_view key, Slot slot) {
    if (!by_key_.empty()) {
      by_key_.emplace(key, static_cast<std::uint32_t>(slots_.size()));
    }
    slots_.push_back(slot);
  }

  const std::vector<Slot>& slots() const { return slots_; }

 private:
  static constexpr std::size_t few = 12;
  std::vector<Slot> slots_;
  std::unordered_map<std::string_view, std::uint32_t> by_key_;  // only when there are more than a few
};

}  // namespace

// Builds the nodes of one text from yaml-cpp's events. Throws Refusal.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(YamlTree& tree, ViewBuffer& buffer, std::string_view text, std::uint32_t source, Findings& findings)
      : tree_(tree), buffer_(buffer), text_(text), source_(source), findings_(findings) {}

  std::optional<NodeIndex> root() const { return root_; }

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
    if (root_) {
      further_document_ = at(mark);
      marked_document_ = text_.substr(static_cast<std::size_t>(std::max(mark.pos, 0))).starts_with("---");
    }
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

  static bool is_container(const YamlTree::Node& node) {
    return node.kind == Kind::sequence || node.kind == Kind::mapping;
  }
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
      throw Refusal{at(mark), "`!reference` is not supported yet", "use `extends` or an anchor in its place", {}};
    }
    throw Refusal{at(mark), fmt::format("unknown tag `{}`", tag), "quote a value that begins with `!`", {}};
  }

  void add(const YamlTree::Node& node, YAML::anchor_t anchor, std::size_t bytes = 0) {
    written_ += node_weight + bytes;
    if (written_ > Limits::weight) {
      throw Refusal{mark_of(node),
                    "the file has too many values",
                    fmt::format("at most {} million are read", Limits::weight / node_weight / 1'000'000),
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
      throw Refusal{
          {source_, static_cast<std::uint32_t>(mark.line) + 1, static_cast<std::uint32_t>(first - line_start) + 1},
          std::string(tab_message),
          std::string(tab_hint),
          {}};
    }
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Kind kind,
            YAML::EmitterStyle::value style) {
    check_indentation(mark);
    flow_depth_ += style == YAML::EmitterStyle::Flow || flow_depth_ > 0 ? 1U : 0U;
    if (open_.size() >= Limits::depth) {
      throw too_deep(at(mark));
    }
    check_tag(mark, tag);
    YamlTree::Node node;
    node.kind = kind;
    node.edges = {};
    place(node, at(mark));
    const auto index = static_cast<NodeIndex>(tree_.nodes_.size());
    add(node, anchor);
    open_.push_back({index, pending_.size()});
  }

  [[noreturn]] void refuse_further_document() const {
    if (const Yaml spec = Yaml(tree_, *root_).find_key("spec")) {
      throw Refusal{spec.mark(), "`spec` is not supported yet", "use `variables`, and remove the `---`", {}};
    }
    if (!marked_document_) {  // a list's item below a mapping, or the other way round
      throw Refusal{*further_document_, "this line does not fit what stands above it", "check its indentation", {}};
    }
    throw Refusal{*further_document_,
                  "a second YAML document begins here",
                  "a pipeline file is one document; remove the `---`",
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
    std::uint64_t weight = node_weight;
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
  Findings& findings_;

  std::optional<NodeIndex> root_;
  YAML::Mark last_scalar_;
  std::optional<Mark> further_document_;
  bool marked_document_ = false;  // it begins with `---`
  std::vector<Open> open_;
  unsigned flow_depth_ = 0;         // open containers from the outermost `[` or `{` on
  std::vector<NodeIndex> pending_;  // children of the open containers, innermost last
  std::vector<NodeIndex> anchors_;  // by yaml-cpp's anchor numbers
  std::uint64_t written_ = 0;       // the weight of what the text itself holds
  std::vector<std::string_view> names_;
  EntryTable table_;
};

std::optional<Yaml> YamlTree::load(std::string_view text, std::uint32_t source, Findings& findings) {
  const Mark whole_file{source, 0, 0};
  const auto refuse = [&](const Refusal& refusal) {
    findings.error(refusal.mark, refusal.message, refusal.hint, refusal.others);
    return std::nullopt;
  };
  if (text.size() > Limits::text_bytes) {
    return refuse({whole_file,
                   fmt::format("the file is too large: {} bytes", text.size()),
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
  TreeBuilder builder(*this, buffer, text, source, findings);
  std::istream stream(&buffer);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    builder.check_last_quote();
  } catch (const Refusal& refusal) {
    return refuse(refusal);
  } catch (const YAML::Exception& exception) {
    return refuse(mend(exception, text, source));
  }
  if (!builder.root() || nodes_[*builder.root()].kind == Kind::null) {
    return refuse(
        {whole_file, "the file is empty", "a pipeline needs at least one job: `build: { script: make }`", {}});
  }
  return Yaml(*this, *builder.root());
}

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
