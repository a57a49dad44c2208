#include "runner/secrets/forms.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "runner/secrets/redactor.h"

namespace runner {
namespace {

constexpr std::string_view standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_safe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view lower_digits = "0123456789abcdef";
constexpr std::string_view upper_digits = "0123456789ABCDEF";

// A secret of more lines than this is looked for whole and line by line, but its lines not in every coding.
constexpr std::size_t many_lines = 100;
// And one larger than this as it is and in base64 only: each further coding would cost a megabyte of automaton.
constexpr std::size_t large = 16 * 1024;

bool alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// The characters of a base64 text that only this secret decides when `before` bytes (0 to 2) of others precede it in
// its group of three and anything follows.
std::string base64_inside(std::string_view bytes, std::size_t before, std::string_view alphabet) {
  const std::size_t bits = (before + bytes.size()) * 8;
  const auto bit = [&](std::size_t at) -> unsigned {
    const auto byte = static_cast<unsigned char>(bytes[at / 8 - before]);
    return (byte >> (7 - at % 8)) & 1U;
  };
  std::string text;
  for (std::size_t at = (before * 8 + 5) / 6 * 6; at + 6 <= bits; at += 6) {
    unsigned value = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      value = value << 1U | bit(at + i);
    }
    text += alphabet[value];
  }
  return text;
}

// The whole text, as it comes out when nothing else is coded with it.
std::string base64(std::string_view bytes, std::string_view alphabet) {
  std::string padded(bytes);
  padded.resize((bytes.size() + 2) / 3 * 3);
  std::string text = base64_inside(padded, 0, alphabet);
  const std::size_t padding = padded.size() - bytes.size();
  text.replace(text.size() - padding, padding, std::string(padding, '='));
  return text;
}

std::string hex(std::string_view bytes, std::string_view digits) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

std::string url(std::string_view bytes, std::string_view plain, std::string_view digits, bool plus) {
  std::string text;
  for (const char c : bytes) {
    if (alphanumeric(c) || plain.find(c) != std::string_view::npos) {
      text += c;
    } else if (c == ' ' && plus) {
      text += '+';
    } else {
      text += '%' + hex(std::string_view(&c, 1), digits);
    }
  }
  return text;
}

std::string unicode_escape(std::uint32_t unit, std::string_view digits) {
  std::string text = "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) {
    text += digits[unit >> static_cast<unsigned>(shift) & 15U];
  }
  return text;
}

// The code point that begins at `at`, and its length; length 0 when this is not UTF-8.
std::pair<std::uint32_t, std::size_t> code_point(std::string_view bytes, std::size_t at) {
  const auto first = static_cast<unsigned char>(bytes[at]);
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length == 0 || at + length > bytes.size()) {
    return {0, 0};
  }
  std::uint32_t point = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(bytes[at + i]);
    if ((next & 0xc0U) != 0x80U) {
      return {0, 0};
    }
    point = point << 6U | (next & 0x3fU);
  }
  return {point, length};
}

// JSON's escapes; `more` are characters written as \u as well (Go's < > &), `slash`: \/ (PHP), `ascii`: \u for all
// beyond ASCII (Python).
std::string json(std::string_view bytes, std::string_view more, bool slash, bool ascii, std::string_view digits) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char c = bytes[at];
    constexpr std::string_view named = "\"\\\n\t\r\b\f";
    constexpr std::string_view names = "\"\\ntrbf";
    if (const std::size_t name = named.find(c); name != std::string_view::npos) {
      text += '\\';
      text += names[name];
    } else if (c == '/' && slash) {
      text += "\\/";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || more.find(c) != std::string_view::npos) {
      text += c == 0x7f && !ascii ? std::string(1, c) : unicode_escape(static_cast<unsigned char>(c), digits);
    } else if (static_cast<unsigned char>(c) >= 0x80 && ascii) {
      auto [point, length] = code_point(bytes, at);
      if (length == 0) {
        text += c;
        continue;
      }
      at += length - 1;
      if (point >= 0x10000) {
        point -= 0x10000;
        text += unicode_escape(0xd800U + (point >> 10U), digits);
        point = 0xdc00U + (point & 0x3ffU);
      }
      text += unicode_escape(point, digits);
    } else {
      text += c;
    }
  }
  return text;
}

std::string replaced(std::string_view bytes, char what, std::string_view by) {
  std::string text;
  for (const char c : bytes) {
    if (c == what) {
      text += by;
    } else {
      text += c;
    }
  }
  return text;
}

// A backslash before every character of `special`.
std::string escaped(std::string_view bytes, std::string_view special) {
  std::string text;
  for (const char c : bytes) {
    if (special.find(c) != std::string_view::npos) {
      text += '\\';
    }
    text += c;
  }
  return text;
}

// bash's $'…', as `set -x` and `declare -p` write values with control characters.
std::string dollar_quoted(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr std::string_view named = "\\'\n\t\r\b\f\v\a\033";
    constexpr std::string_view names = "\\'ntrbfvaE";
    if (const std::size_t name = named.find(c); name != std::string_view::npos) {
      text += '\\';
      text += names[name];
    } else {
      text += c;
    }
  }
  return text;
}

void add_codings(std::string_view part, std::vector<std::string>& forms) {
  for (const std::string_view alphabet : {standard, url_safe}) {
    for (std::size_t before = 0; before < 3; ++before) {
      forms.push_back(base64_inside(part, before, alphabet));
    }
    std::string whole = base64(part, alphabet);
    for (const std::size_t width : {std::size_t{76}, std::size_t{64}}) {  // base64(1) and PEM break their lines
      for (std::size_t at = 0; whole.size() > width && at < whole.size(); at += width) {
        forms.push_back(whole.substr(at, width));
      }
    }
    forms.push_back(std::move(whole));
  }
  if (part.size() > large) {
    return;
  }
  for (const std::string_view digits : {lower_digits, upper_digits}) {
    forms.push_back(hex(part, digits));
    for (const std::string_view plain : {"-_.~", "-_.~/", "-_.!~*'()"}) {
      forms.push_back(url(part, plain, digits, false));
      forms.push_back(url(part, plain, digits, true));
    }
    forms.push_back(url(part, "-_.*", digits, true));  // HTML forms
    for (const std::string_view more : {"", "<>&", "<>&'"}) {
      for (const bool slash : {false, true}) {
        for (const bool ascii : {false, true}) {
          forms.push_back(json(part, more, slash, ascii, digits));
        }
      }
    }
  }
  forms.push_back(replaced(part, '\'', "'\\''"));
  forms.push_back(replaced(part, '\'', "'\"'\"'"));
  forms.push_back(escaped(part, "\\\"$`"));
  forms.push_back(escaped(part, " \t!\"#$&'()*,;<>?[\\]^`{|}~"));
  forms.push_back(escaped(part, " \t!\"#$&'()*;<>?[\\]^`{|}"));
  forms.push_back(dollar_quoted(part));
}

}  // namespace

std::vector<std::string> secret_forms(std::string_view secret) {
  std::vector<std::string> forms;
  if (too_short(secret)) {
    return forms;
  }
  std::vector<std::string> parts{std::string(secret)};
  std::string unix_lines;
  for (const char c : secret) {
    if (c != '\r') {
      unix_lines += c;
    }
  }
  const std::size_t end = unix_lines.find_last_not_of('\n') + 1;  // what $(cat file) leaves
  parts.push_back(unix_lines.substr(0, end));
  parts.push_back(replaced(unix_lines.substr(0, end), '\n', "\r\n"));  // what a terminal makes of it
  const std::size_t wholes = parts.size();
  for (std::size_t at = 0; at < end;) {
    const std::size_t stop = std::min(unix_lines.find('\n', at), end);
    parts.push_back(unix_lines.substr(at, stop - at));
    at = stop + 1;
  }
  const bool every_coding = parts.size() - wholes <= many_lines;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (too_short(parts[i])) {
      continue;
    }
    forms.push_back(parts[i]);
    if (i < wholes || every_coding) {
      add_codings(parts[i], forms);
    }
  }
  std::erase_if(forms, [](const std::string& form) { return too_short(form); });
  std::ranges::sort(forms);
  forms.erase(std::unique(forms.begin(), forms.end()), forms.end());
  return forms;
}

}  // namespace runner
