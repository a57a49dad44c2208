#include "pipelines/yaml_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

namespace pipelines {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// `text` in lower case equals `word`.
bool same_word(std::string_view text, std::string_view word) {
  return std::ranges::equal(
      text, word, [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
}

std::string_view without_sign(std::string_view text) {
  return text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
}

// Psych: ^[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){1,2}$
bool is_sexagesimal(std::string_view text) {
  text = without_sign(text);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !is_digit(text[0])) {
    return false;
  }
  if (!std::ranges::all_of(text.substr(0, colon), [](char c) { return is_digit(c) || c == '_'; })) {
    return false;
  }
  std::size_t groups = 0;
  for (std::string_view rest = text.substr(colon); !rest.empty(); ++groups) {
    rest.remove_prefix(1);
    const std::string_view group = rest.substr(0, rest.find(':'));
    if (group.empty() || group.size() > 2 || !std::ranges::all_of(group, is_digit) ||
        (group.size() == 2 && group[0] > '5')) {
      return false;
    }
    rest.remove_prefix(group.size());
  }
  return groups <= 2;
}

// Psych's INTEGER_LEGACY: commas and underscores are allowed between the digits.
// The digits' base, and the text from the first digit on; 0 when it is no integer.
struct Digits {
  int base = 0;
  std::string_view text;
};

Digits integer_digits(std::string_view text) {
  text = without_sign(text);
  const auto all = [](std::string_view digits, auto&& is_one) {
    bool any = false;
    for (const char c : digits) {
      if (is_one(c)) {
        any = true;
      } else if (c != '_' && c != ',') {
        return false;
      }
    }
    return any;
  };
  if (text.empty() || !is_digit(text[0])) {
    return {};
  }
  if (text == "0") {
    return {10, text};
  }
  if (text.starts_with("0b")) {
    return all(text.substr(2), [](char c) { return c == '0' || c == '1'; }) ? Digits{2, text.substr(2)} : Digits{};
  }
  if (text.starts_with("0x")) {
    const auto hex = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); };
    return all(text.substr(2), hex) ? Digits{16, text.substr(2)} : Digits{};
  }
  if (text[0] == '0') {
    return all(text.substr(1), [](char c) { return c >= '0' && c <= '7'; }) ? Digits{8, text.substr(1)} : Digits{};
  }
  // A separator must be followed by a digit here, unlike above.
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool separator = text[i] == '_' || text[i] == ',';
    if (separator ? i + 1 == text.size() || !is_digit(text[i + 1]) : !is_digit(text[i])) {
      return {};
    }
  }
  return {10, text};
}

// Psych's FLOAT: ^(?:[-+]?([0-9][0-9_,]*)?\.[0-9]*([eE][-+][0-9]+)?)$, but not a lone dot.
bool is_float(std::string_view text) {
  text = without_sign(text);
  if (text.empty() || text == ".") {
    return false;
  }
  std::size_t i = 0;
  if (is_digit(text[0])) {
    while (i < text.size() && (is_digit(text[i]) || text[i] == '_' || text[i] == ',')) {
      ++i;
    }
  }
  if (i == text.size() || text[i] != '.') {
    return false;
  }
  ++i;
  while (i < text.size() && is_digit(text[i])) {
    ++i;
  }
  if (i == text.size()) {
    return true;
  }
  if (text[i] != 'e' && text[i] != 'E') {
    return false;
  }
  ++i;
  if (i == text.size() || (text[i] != '-' && text[i] != '+')) {
    return false;
  }
  ++i;
  return i < text.size() && std::ranges::all_of(text.substr(i), is_digit);
}

bool is_special_float(std::string_view text) {
  return same_word(text, ".inf") || same_word(text, "+.inf") || same_word(text, "-.inf") || same_word(text, ".nan");
}

std::string without_separators(std::string_view text) {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits), [](char c) { return c != '_' && c != ','; });
  return digits;
}

// Ruby's Float#to_s: shortest digits; at least one after the point; exponents below 1e-4 and from 1e16 on.
std::string ruby_float(double value) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value < 0 ? "-Infinity" : "Infinity";
  }
  std::array<char, 64> buffer{};
  const double magnitude = std::fabs(value);
  const bool scientific = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                     scientific ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(buffer.data(), written.ptr);
  const std::size_t exponent = std::min(text.find('e'), text.size());
  if (text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

}  // namespace

ScalarType scalar_type(std::string_view plain) {
  if (plain.empty() || plain == "~") {
    return ScalarType::null;
  }
  // Most scalars are words: the first byte tells.
  const char first = plain[0];
  if (is_digit(first) || first == '-' || first == '+' || first == '.') {
    if (is_special_float(plain)) {
      return ScalarType::floating;
    }
    if (is_sexagesimal(plain) || integer_digits(plain).base != 0) {
      return ScalarType::integer;
    }
    return is_float(plain) ? ScalarType::floating : ScalarType::string;
  }
  if (plain.size() > 5) {
    return ScalarType::string;
  }
  for (const std::string_view word : {"true", "false", "yes", "no", "on", "off"}) {
    if (same_word(plain, word)) {
      return ScalarType::boolean;
    }
  }
  return same_word(plain, "null") ? ScalarType::null : ScalarType::string;
}

bool scalar_is_true(std::string_view plain) {
  return same_word(plain, "true") || same_word(plain, "yes") || same_word(plain, "on");
}

std::optional<std::int64_t> scalar_integer(std::string_view plain) {
  const bool negative = plain.starts_with('-');
  std::int64_t value = 0;
  if (is_sexagesimal(plain)) {
    // Psych weighs the groups 3600, 60, 1 from the left, so `12:30` is twelve hours and thirty minutes: 45000.
    std::int64_t unit = 3600;
    for (std::string_view rest = without_sign(plain); !rest.empty();) {
      const std::string_view group = rest.substr(0, rest.find(':'));
      const std::string digits = without_separators(group);
      std::int64_t number = 0;
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
      if (read.ec != std::errc() || number > std::numeric_limits<std::int64_t>::max() / 7200) {
        return std::nullopt;
      }
      value += number * unit;
      unit /= 60;
      rest.remove_prefix(std::min(group.size() + 1, rest.size()));
    }
    return negative ? -value : value;
  }
  const Digits digits = integer_digits(plain);
  if (digits.base == 0) {
    return std::nullopt;
  }
  const std::string text = (negative ? "-" : "") + without_separators(digits.text);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, digits.base);
  return read.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::string scalar_to_s(std::string_view plain) {
  switch (scalar_type(plain)) {
    case ScalarType::null:
      return {};
    case ScalarType::boolean:
      return scalar_is_true(plain) ? "true" : "false";
    case ScalarType::integer: {
      const std::optional<std::int64_t> value = scalar_integer(plain);
      // Beyond 64 bits Ruby goes on with bignums; such decimal numbers keep their digits.
      return value ? std::to_string(*value) : without_separators(plain);
    }
    case ScalarType::floating: {
      std::string text = without_separators(plain);
      if (is_special_float(text)) {
        return same_word(text, ".nan") ? "NaN" : text[0] == '-' ? "-Infinity" : "Infinity";
      }
      double value = 0;
      const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
      const auto read = std::from_chars(begin, text.data() + text.size(), value);
      return read.ec == std::errc() ? ruby_float(value) : text;
    }
    case ScalarType::string:
      break;
  }
  return std::string(plain);
}

}  // namespace pipelines
