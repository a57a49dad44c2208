#include "pipelines/duration.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

namespace pipelines {
namespace {

constexpr double minute = 60, hour = 60 * minute, day = 24 * hour, week = 7 * day;
constexpr double month = 30 * day, year = 365.25 * day;
// 10,000 years: far above anything meant, far below what a 64-bit count of seconds (or nanoseconds in a double) spoils.
constexpr double longest = 10'000 * year;

constexpr auto units = std::to_array<std::pair<std::string_view, double>>({
    {"s", 1},        {"sec", 1},       {"secs", 1},        {"second", 1},       {"seconds", 1}, {"m", minute},
    {"min", minute}, {"mins", minute}, {"minute", minute}, {"minutes", minute}, {"h", hour},    {"hr", hour},
    {"hrs", hour},   {"hour", hour},   {"hours", hour},    {"d", day},          {"dy", day},    {"day", day},
    {"days", day},   {"w", week},      {"wk", week},       {"wks", week},       {"week", week}, {"weeks", week},
    {"mo", month},   {"mos", month},   {"month", month},   {"months", month},   {"y", year},    {"yr", year},
    {"yrs", year},   {"year", year},   {"years", year},
});

// chronic_duration reads numbers in words.
constexpr auto numbers = std::to_array<std::pair<std::string_view, double>>({
    {"one", 1},       {"two", 2},       {"three", 3},    {"four", 4},     {"five", 5},       {"six", 6},
    {"seven", 7},     {"eight", 8},     {"nine", 9},     {"ten", 10},     {"eleven", 11},    {"twelve", 12},
    {"thirteen", 13}, {"fourteen", 14}, {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17}, {"eighteen", 18},
    {"nineteen", 19}, {"twenty", 20},   {"thirty", 30},  {"forty", 40},   {"fifty", 50},     {"sixty", 60},
    {"seventy", 70},  {"eighty", 80},   {"ninety", 90},
});

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) { skip_space(); }

  bool at_end() const { return at_ == text_.size(); }

  std::optional<double> number() {
    const std::size_t start = at_;
    if (at_ < text_.size() && is_letter(text_[at_])) {
      const std::string letters = word();
      for (const auto& [name, value] : numbers) {
        if (name == letters) return value;
      }
      return std::nullopt;
    }
    if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
    const std::size_t digits = at_;
    while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.')) ++at_;
    const std::string word(text_.substr(start, at_ - start));
    if (at_ == digits || at_ - start > 24) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(word.c_str(), &end);
    if (end != word.c_str() + word.size()) return std::nullopt;  // "1.2.3", "."
    skip_space();
    return value;
  }

  std::string word() {
    std::string letters;
    while (at_ < text_.size() && is_letter(text_[at_])) letters += static_cast<char>(text_[at_++] | 0x20);
    skip_space();
    return letters;
  }

  // What chronic_duration lets stand between two parts: a comma, "and", "plus", "with".
  void joiner() {
    if (at_ < text_.size() && text_[at_] == ',') ++at_;
    skip_space();
    for (const std::string_view joiner : {"and", "plus", "with"}) {
      if (text_.substr(at_, joiner.size()) == joiner && at_ + joiner.size() < text_.size()) {
        at_ += joiner.size();
        skip_space();
        return;
      }
    }
  }

  // "1:30:00" and "2:30": hours, minutes and seconds from the right.
  bool take_colon() {
    if (at_ == text_.size() || text_[at_] != ':') return false;
    ++at_;
    return true;
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<double> unit(std::string_view word) {
  for (const auto& [name, seconds] : units) {
    if (name == word) return seconds;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  Reader reader(text);
  double total = 0;
  bool any = false;
  while (!reader.at_end()) {
    if (any) reader.joiner();
    const std::optional<double> count = reader.number();
    if (!count) return std::nullopt;
    if (!any && reader.take_colon()) {
      total = *count;
      for (int parts = 1;; ++parts) {
        const std::optional<double> part = reader.number();
        if (!part || *part < 0 || parts > 2) return std::nullopt;
        total = total * 60 + *part;
        if (!reader.take_colon()) break;
      }
      if (!reader.at_end()) return std::nullopt;
      any = true;
      break;
    }
    const std::string word = reader.word();
    if (word.empty() && (any || !reader.at_end())) return std::nullopt;  // only a number alone may lack its unit
    const std::optional<double> scale = word.empty() ? 1.0 : unit(word);
    if (!scale) return std::nullopt;
    total += *count * *scale;
    any = true;
  }
  if (!any || !(std::abs(total) <= longest)) return std::nullopt;
  return std::chrono::seconds(static_cast<std::chrono::seconds::rep>(std::llround(total)));
}

bool is_never(std::string_view text) {
  return std::ranges::equal(text, std::string_view("never"),
                            [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

}  // namespace pipelines
