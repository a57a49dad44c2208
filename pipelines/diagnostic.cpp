#include "pipelines/diagnostic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace pipelines {
namespace {

struct Style {
  std::string_view bold, red, yellow, green, dim, reset;
};

constexpr Style plain_style{};
constexpr Style colour_style{"\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;32m", "\x1b[2m", "\x1b[0m"};

// Wider lines are cut around the caret. 100 columns leave room for the gutter on a usual terminal.
constexpr std::size_t widest_line = 100;

// The lines of one source, found once however many diagnostics point there.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  // Absent lines are empty. `number` counts from 1.
  std::string_view line(std::uint32_t number) {
    if (starts_.empty()) {
      index();
    }
    if (number == 0 || number > starts_.size()) {
      return {};
    }
    const std::size_t begin = starts_[number - 1];
    std::string_view rest = text_.substr(begin);
    rest = rest.substr(0, rest.find('\n'));
    if (rest.ends_with('\r')) {
      rest.remove_suffix(1);
    }
    return rest;
  }

 private:
  void index() {
    starts_.push_back(0);
    for (std::size_t at = text_.find('\n'); at != std::string_view::npos; at = text_.find('\n', at + 1)) {
      starts_.push_back(at + 1);
    }
  }

  std::string_view text_;
  std::vector<std::size_t> starts_;
};

// One character of the source as it is shown: its bytes in the output, and how many columns they take.
struct Shown {
  std::string text;
  std::size_t bytes = 1;  // of the source
  std::size_t columns = 1;
};

std::size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U) {
      return 0;
    }
  }
  return length;
}

// Wide characters (CJK, emoji) take two columns on a terminal; combining ones none. Coarse on purpose: a caret that is
// one column off harms nobody.
std::size_t columns_of(std::string_view character) {
  if (character.size() < 3) {
    return 1;
  }
  const auto lead = static_cast<unsigned char>(character[0]);
  const bool wide = character.size() == 4 || (lead >= 0xE3 && lead <= 0xED);
  return wide ? 2 : 1;
}

Shown show(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte == '\t') {
    return {"  ", 1, 2};
  }
  if (byte < 0x20 || byte == 0x7F) {
    // Unicode's control pictures, as `cat -v` would be ambiguous.
    const std::string picture =
        byte == 0x7F ? "\xE2\x90\xA1" : std::string("\xE2\x90") + static_cast<char>(0x80 + byte);
    return {picture, 1, 1};
  }
  const std::size_t length = utf8_length(text);
  if (length == 0) {
    return {"\xEF\xBF\xBD", 1, 1};
  }
  const std::string_view character = text.substr(0, length);
  if (length == 2 && byte == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0) {  // C1 controls steer terminals too
    return {"\xEF\xBF\xBD", 2, 1};
  }
  return {std::string(character), length, columns_of(character)};
}

struct Excerpt {
  std::string line;
  std::size_t caret = 0;  // columns before the caret
};

// The part of the line around the byte `at`, printable.
Excerpt excerpt(std::string_view line, std::size_t at) {
  at = std::min(at, line.size());
  // Cut by bytes first, so that a line of megabytes costs nothing; then on character boundaries.
  std::size_t begin = 0;
  std::size_t end = line.size();
  if (line.size() > widest_line) {
    begin = at > widest_line / 2 ? at - widest_line / 2 : 0;
    end = std::min(line.size(), begin + widest_line);
    if (end - begin < widest_line) {
      begin = end > widest_line ? end - widest_line : 0;
    }
    const auto inside_character = [&](std::size_t i) {
      return i < line.size() && (static_cast<unsigned char>(line[i]) & 0xC0U) == 0x80U;
    };
    for (int step = 0; step < 3 && begin > 0 && inside_character(begin); ++step) {
      --begin;
    }
    for (int step = 0; step < 3 && inside_character(end); ++step) {
      ++end;
    }
  }

  Excerpt result;
  std::size_t columns = 0;
  if (begin > 0) {
    result.line = "…";
    columns = 1;
  }
  for (std::size_t i = begin; i < end;) {
    if (i <= at) {
      result.caret = columns;
    }
    const Shown shown = show(line.substr(i, end - i));
    result.line += shown.text;
    columns += shown.columns;
    i += shown.bytes;
  }
  if (at >= end) {
    result.caret = columns;
  }
  if (end < line.size()) {
    result.line += "…";
  }
  return result;
}

class Renderer {
 public:
  Renderer(const std::vector<Source>& sources, bool colour)
      : sources_(sources), style_(colour ? colour_style : plain_style) {
    for (const Source& source : sources) {
      lines_.emplace_back(source.text);
    }
  }

  void add(const Diagnostic& diagnostic) {
    const bool error = diagnostic.severity == Severity::error;
    out_ += fmt::format("{}{}:{} {}{}:{} {}{}{}\n", style_.bold, place(diagnostic.mark), style_.reset,
                        error ? style_.red : style_.yellow, error ? "error" : "warning", style_.reset, style_.bold,
                        diagnostic.message, style_.reset);
    add_source(diagnostic.mark);
    for (const Mark& other : diagnostic.others) {
      out_ += fmt::format("{}{}: note: see also{}\n", style_.dim, place(other), style_.reset);
      add_source(other);
    }
    if (!diagnostic.hint.empty()) {
      out_ += fmt::format("  {}hint:{} {}\n", style_.green, style_.reset, diagnostic.hint);
    }
  }

  std::string take() { return std::move(out_); }

 private:
  std::string place(const Mark& mark) const {
    const std::string_view name = mark.source < sources_.size() ? std::string_view(sources_[mark.source].name) : "?";
    return fmt::format("{}:{}:{}", name, std::max(mark.line, 1U), std::max(mark.column, 1U));
  }

  void add_source(const Mark& mark) {
    if (mark.line == 0 || mark.source >= lines_.size()) {
      return;
    }
    const std::string_view line = lines_[mark.source].line(mark.line);
    if (line.empty()) {
      return;
    }
    const Excerpt shown = excerpt(line, std::max(mark.column, 1U) - 1);
    const std::string gutter = fmt::format("{:5} ", mark.line);
    out_ += fmt::format("{}{}|{} {}\n", style_.dim, gutter, style_.reset, shown.line);
    out_ += fmt::format("{}{:{}}|{} {:{}}{}^{}\n", style_.dim, "", gutter.size(), style_.reset, "", shown.caret,
                        style_.green, style_.reset);
  }

  const std::vector<Source>& sources_;
  std::vector<Lines> lines_;
  Style style_;
  std::string out_;
};

}  // namespace

bool has_errors(const std::vector<Diagnostic>& diagnostics) {
  return std::ranges::any_of(diagnostics, [](const Diagnostic& d) { return d.severity == Severity::error; });
}

std::string render(const std::vector<Diagnostic>& diagnostics, const std::vector<Source>& sources, bool colour) {
  Renderer renderer(sources, colour);
  for (const Diagnostic& diagnostic : diagnostics) {
    renderer.add(diagnostic);
  }
  return renderer.take();
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  // Nobody means a word from which more than a third of the letters differ; one slip is always allowed, from three
  // letters on. Long words are not compared: the cost is their product.
  constexpr std::size_t longest = 100;
  if (word.size() < 3 || word.size() > longest) {
    return {};
  }
  std::size_t best = std::max<std::size_t>(1, word.size() / 3) + 1;
  std::string_view found;
  std::vector<std::size_t> before_previous;
  std::vector<std::size_t> previous;
  std::vector<std::size_t> row;
  for (const std::string_view candidate : candidates) {
    const std::size_t shorter = std::min(word.size(), candidate.size());
    const std::size_t longer = std::max(word.size(), candidate.size());
    if (longer - shorter >= best || candidate == word) {
      continue;
    }
    // Optimal string alignment: insert, delete, replace, swap two neighbours (the commonest slip).
    before_previous.assign(candidate.size() + 1, 0);
    previous.resize(candidate.size() + 1);
    row.resize(candidate.size() + 1);
    for (std::size_t j = 0; j <= candidate.size(); ++j) {
      previous[j] = j;
    }
    for (std::size_t i = 1; i <= word.size(); ++i) {
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const bool same = word[i - 1] == candidate[j - 1];
        row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (same ? 0U : 1U)});
        if (i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1]) {
          row[j] = std::min(row[j], before_previous[j - 2] + 1);
        }
      }
      std::swap(before_previous, previous);
      std::swap(previous, row);
    }
    if (previous[candidate.size()] < best) {
      best = previous[candidate.size()];
      found = candidate;
    }
  }
  return found;
}

}  // namespace pipelines
