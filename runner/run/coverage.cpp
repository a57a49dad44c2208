#include "runner/run/coverage.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "runner/run/log_lines.h"

namespace runner {
namespace {

constexpr std::size_t longest_line = 64 * 1024;

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

// The first \d+(\.\d+)? of a text.
std::optional<double> first_number(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto from = std::find_if(text.begin(), text.end(), digit);
  auto to = std::find_if_not(from, text.end(), digit);
  if (from == to) return std::nullopt;
  if (to != text.end() && *to == '.' && to + 1 != text.end() && digit(to[1])) {
    to = std::find_if_not(to + 1, text.end(), digit);
  }
  double value = 0;
  const char* first = text.data() + (from - text.begin());
  std::from_chars(first, first + (to - from), value);
  return value;
}

}  // namespace

struct CoverageFinder::Impl {
  explicit Impl(const std::string& text) : expression(text, quiet()) {
    const auto groups = static_cast<std::size_t>(std::max(0, expression.NumberOfCapturingGroups()));
    found.resize(groups + 1);
  }

  void look_at(std::string_view text) {
    if (!expression.ok()) return;
    const re2::StringPiece line(text.data(), text.size());
    std::optional<re2::StringPiece> last;
    std::size_t at = 0;
    while (at <= line.size() &&
           expression.Match(line, at, line.size(), RE2::UNANCHORED, found.data(), static_cast<int>(found.size()))) {
      last = found.back();
      const auto end = static_cast<std::size_t>(found[0].data() - line.data()) + found[0].size();
      at = std::max(end, at + 1);
    }
    if (!last) return;
    if (const auto number = first_number({last->data(), last->size()})) value = number;
  }

  RE2 expression;
  std::vector<re2::StringPiece> found;  // the whole match, then its groups
  LogLines lines{LogLines::Mode::exact, longest_line};
  std::optional<double> value;
};

CoverageFinder::CoverageFinder(const std::string& expression) : impl_(std::make_unique<Impl>(expression)) {}
CoverageFinder::~CoverageFinder() = default;

void CoverageFinder::feed(std::string_view bytes) {
  impl_->lines.feed(bytes, [this](std::string_view line, std::uint64_t) { impl_->look_at(line); });
}

std::optional<double> CoverageFinder::finish() {
  impl_->lines.finish([this](std::string_view line, std::uint64_t) { impl_->look_at(line); });
  return impl_->value;
}

}  // namespace runner
