#include "pipelines/yaml_refusal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace pipelines {
namespace {

constexpr std::string_view tab_message = "a tab cannot indent YAML";
constexpr std::string_view tab_hint = "indent with spaces";
constexpr std::string_view unknown_escape = "unknown escape character: ";
constexpr std::string_view bad_hex = "bad character found while scanning hex number";

struct Mended {
  std::string_view theirs;
  std::string_view message;
  std::string_view hint;
};

// yaml-cpp's words (its exceptions.h, which only yaml_tree.cpp may include; yaml_tree_test.cpp would notice others),
// and what they mean to somebody who wrote a pipeline.
constexpr std::array mended_messages = {
    Mended{"illegal tab when looking for indentation", tab_message, tab_hint},
    Mended{"end of map not found", "this line does not fit the mapping it stands in",
           "check its indentation, and that the key ends with `:` and a space"},
    Mended{"end of map flow not found", "`{` is not closed here",
           "write `}` or `,`; quote a value that contains `{`, `}`, `,` or `: `"},
    Mended{"end of sequence not found", "this line does not fit the list it stands in",
           "check its indentation, and that the item begins with `- `"},
    Mended{"end of sequence flow not found", "`[` is not closed here",
           "write `]` or `,`; quote a value that contains `[`, `]` or `,`"},
    Mended{"cannot assign multiple tags to the same node", "two tags stand on one value", "keep one"},
    Mended{"cannot assign multiple anchors to the same node", "two anchors (`&name`) stand on one value", "keep one"},
    Mended{"aliases can't have any content, *including* tags", "an alias (`*name`) cannot have a tag or an anchor",
           "put it on the anchored value"},
    Mended{bad_hex, "this escape needs hexadecimal digits",
           R"(\xNN takes two, \uNNNN four; single quotes keep a backslash as it is)"},
    Mended{"unknown token", "no YAML value can begin with this character", "quote the value"},
    Mended{"illegal document indicator in scalar", "a quoted string is not closed before `---` or `...`",
           "close the quotes"},
    Mended{"illegal EOF in scalar", "a quoted string is not closed", "close the quotes"},
    Mended{"illegal character in scalar", "a value cannot go on like this", "quote the whole value"},
    Mended{"illegal flow end", "a closing bracket without its opening one", "remove it, or quote the value"},
    Mended{"illegal block entry", "a list item (`- `) cannot stand here",
           "put the list on lines of its own, below its key"},
    Mended{"illegal map key", "a key cannot stand here", "check the indentation of this line"},
    Mended{"illegal map value", "a `: ` cannot stand here",
           "quote a value that contains `: `, or check the indentation of this line"},
    Mended{"alias not found after *", "`*` names no anchor", "quote a value that begins with `*`"},
    Mended{"anchor not found after &", "`&` names no anchor", "quote a value that begins with `&`"},
    Mended{"illegal character found while scanning alias", "this character cannot be part of an alias (`*name`)",
           "quote a value that begins with `*`"},
    Mended{"illegal character found while scanning anchor", "this character cannot be part of an anchor (`&name`)",
           "quote a value that begins with `&`"},
    Mended{"cannot set zero indentation for a block scalar", "a block's indentation cannot be 0",
           "write a digit from 1 to 9"},
    Mended{"unexpected character in block scalar", "nothing but a comment may follow `|` or `>` on its line",
           "begin the text on the next line"},
    Mended{"the referenced anchor is not defined", "this alias has no anchor above it",
           "anchors (`&name`) must stand before their aliases (`*name`), in the same file"},
    Mended{"bad file", "the document is nested too deeply", "at most 100 levels are read"},
    Mended{"tag handle with no suffix", "a tag is not complete", "quote a value that begins with `!`"},
    Mended{"end of verbatim tag not found", "a tag is not complete", "quote a value that begins with `!`"},
    Mended{"illegal character found while scanning tag handle", "a tag is not complete",
           "quote a value that begins with `!`"},
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

}  // namespace

Refusal tab_refusal(Mark mark) { return {mark, std::string(tab_message), std::string(tab_hint), {}}; }

Refusal mend_syntax_error(std::string_view theirs, Mark mark, std::size_t pos, std::string_view text) {
  Refusal refusal;
  refusal.mark = mark;
  // A tab that indents makes yaml-cpp stumble over something else on that line, or on the next.
  std::size_t line_start = text.substr(0, pos).rfind('\n') + 1;  // npos + 1 is 0
  for (std::uint32_t line = mark.line; line > 0 && mark.line - line < 2; --line) {
    if (const std::optional<std::size_t> tab = indenting_tab(text, line_start)) {
      return tab_refusal({mark.source, line, static_cast<std::uint32_t>(*tab - line_start) + 1});
    }
    line_start = line_start < 2 ? 0 : text.substr(0, line_start - 1).rfind('\n') + 1;
  }
  if (theirs.starts_with(unknown_escape) || theirs == bad_hex) {
    // Marked behind the escape; its backslash is meant.
    const std::size_t escape = text.substr(0, pos).rfind('\\');
    if (escape != std::string_view::npos && pos - escape < refusal.mark.column) {
      refusal.mark.column -= static_cast<std::uint32_t>(pos - escape);
    }
  }
  const auto* found = std::ranges::find_if(mended_messages, [&](const Mended& m) { return m.theirs == theirs; });
  if (found != mended_messages.end()) {
    refusal.message = found->message;
    refusal.hint = found->hint;
  } else if (theirs.starts_with(unknown_escape)) {
    refusal.message =
        fmt::format("unknown escape `\\{}` in a double-quoted string", theirs.substr(unknown_escape.size()));
    refusal.hint = R"(write `\\` for a backslash, or use single quotes)";
  } else if (theirs.starts_with("the referenced anchor is not defined")) {
    refusal.message = "this alias has no anchor above it";
    refusal.hint = "anchors (`&name`) must stand before their aliases (`*name`), in the same file";
  } else {
    refusal.message = fmt::format("this is not YAML: {}", theirs);
  }
  return refusal;
}

}  // namespace pipelines
