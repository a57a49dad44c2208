#include "pipelines/glob.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace pipelines {
namespace {

// What nobody writes, and what would cost more than it is worth.
constexpr std::size_t most_alternatives = 1024;
constexpr std::size_t longest_pattern = 16 * 1024;

// One code point, or one byte where the text is not UTF-8: `?` and [classes] count characters as doublestar does.
struct Character {
  std::uint32_t value = 0;
  std::size_t size = 1;
};

Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  if (size == 1 || at + size > text.size()) return {first, 1};
  std::uint32_t value = first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {first, 1};
    value = (value << 6U) | (byte(at + i) & 0x3FU);
  }
  return {value, size};
}

// What one place of a component takes: a byte, any character, a class of characters, or any run of them.
struct Token {
  enum class Kind : std::uint8_t { byte, any, set, star } kind = Kind::byte;
  char byte = 0;
  bool negated = false;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
};

struct Component {
  bool deep = false;  // `**`: any number of whole components
  std::vector<Token> tokens;
};

using Alternative = std::vector<Component>;

// "[a-z]", from the character after '[' on; absent when it is not closed or empty.
std::optional<Token> parse_set(std::string_view text, std::size_t& at) {
  Token token;
  token.kind = Token::Kind::set;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) {
    token.negated = true;
    ++at;
  }
  const auto member = [&]() -> std::optional<std::uint32_t> {
    if (at < text.size() && text[at] == '\\') ++at;
    if (at >= text.size()) return std::nullopt;
    const Character character = character_at(text, at);
    at += character.size;
    return character.value;
  };
  while (at < text.size() && text[at] != ']') {
    const std::optional<std::uint32_t> low = member();
    std::optional<std::uint32_t> high = low;
    if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']') {
      ++at;
      high = member();
    }
    if (!low || !high) return std::nullopt;
    token.ranges.emplace_back(*low, *high);
  }
  if (at >= text.size() || token.ranges.empty()) return std::nullopt;
  ++at;
  return token;
}

std::optional<Component> parse_component(std::string_view text) {
  Component component;
  if (text == "**") {
    component.deep = true;
    return component;
  }
  for (std::size_t at = 0; at < text.size();) {
    Token token;
    const char c = text[at++];
    if (c == '*') {
      if (!component.tokens.empty() && component.tokens.back().kind == Token::Kind::star) continue;
      token.kind = Token::Kind::star;
    } else if (c == '?') {
      token.kind = Token::Kind::any;
    } else if (c == '[') {
      std::optional<Token> set = parse_set(text, at);
      if (!set) return std::nullopt;
      token = std::move(*set);
    } else if (c == '\\') {
      if (at == text.size()) return std::nullopt;
      token.byte = text[at++];
    } else {
      token.byte = c;
    }
    component.tokens.push_back(std::move(token));
  }
  return component;
}

// Offset of the brace that closes the one at `open`, and of the commas at its own level.
struct Braces {
  std::size_t close = std::string_view::npos;
  std::vector<std::size_t> commas;
};

// Walks over quoted characters and [classes], in which braces and commas mean themselves. npos: malformed.
std::size_t skip_one(std::string_view text, std::size_t at) {
  if (text[at] == '\\') return std::min(at + 2, text.size());
  if (text[at] != '[') return at + 1;
  std::size_t end = at + 1;
  return parse_set(text, end) ? end : std::string_view::npos;
}

Braces find_braces(std::string_view text, std::size_t open) {
  Braces braces;
  std::size_t depth = 0;
  for (std::size_t at = open; at < text.size(); at = skip_one(text, at)) {
    if (text[at] == '{') ++depth;
    if (text[at] == ',' && depth == 1) braces.commas.push_back(at);
    if (text[at] == '}' && --depth == 0) {
      braces.close = at;
      break;
    }
  }
  return braces;
}

// Expands the leftmost brace of every text until none is left. Absent: unbalanced, or too many alternatives.
std::optional<std::vector<std::string>> expand_braces(std::string_view pattern) {
  if (pattern.size() > longest_pattern) return std::nullopt;
  std::vector<std::string> done;
  std::vector<std::string> open{std::string(pattern)};
  while (!open.empty()) {
    const std::string text = std::move(open.back());
    open.pop_back();
    std::size_t brace = 0;
    while (brace < text.size() && text[brace] != '{') brace = skip_one(text, brace);
    if (brace == std::string_view::npos) return std::nullopt;
    if (brace == text.size()) {
      done.push_back(text);
    } else {
      Braces braces = find_braces(text, brace);
      if (braces.close == std::string_view::npos) return std::nullopt;
      braces.commas.push_back(braces.close);
      std::size_t start = brace + 1;
      for (const std::size_t end : braces.commas) {
        open.push_back(text.substr(0, brace) + text.substr(start, end - start) + text.substr(braces.close + 1));
        start = end + 1;
      }
    }
    if (open.size() + done.size() > most_alternatives) return std::nullopt;
  }
  return done;
}

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

std::optional<Alternative> parse_alternative(std::string_view text, GlobDialect dialect) {
  const std::vector<std::string_view> parts = split(text);
  Alternative components;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] == ".") continue;
    const bool trailing = dialect == GlobDialect::fnmatch && i + 1 == parts.size() && parts[i] == "**";
    std::optional<Component> component = parse_component(trailing ? "*" : parts[i]);
    if (!component) return std::nullopt;
    if (component->deep && !components.empty() && components.back().deep) continue;
    components.push_back(std::move(*component));
  }
  return components;
}

bool takes(const Token& token, std::string_view name, std::size_t at, std::size_t& size) {
  size = 1;
  if (token.kind == Token::Kind::byte) return name[at] == token.byte;
  const Character character = character_at(name, at);
  size = character.size;
  if (token.kind == Token::Kind::any) return true;
  const bool in = std::any_of(token.ranges.begin(), token.ranges.end(), [&](const auto& range) {
    return range.first <= character.value && character.value <= range.second;
  });
  return in != token.negated;
}

// Only the last star ever needs to be taken back: whatever an earlier one could give up, the last one can too.
bool matches_name(const std::vector<Token>& tokens, std::string_view name) {
  constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::size_t token = 0, at = 0, star = none, star_at = 0;
  while (at < name.size()) {
    std::size_t size = 1;
    if (token < tokens.size() && tokens[token].kind == Token::Kind::star) {
      star = token++;
      star_at = at;
    } else if (token < tokens.size() && takes(tokens[token], name, at, size)) {
      ++token;
      at += size;
    } else if (star != none) {
      token = star + 1;
      star_at += character_at(name, star_at).size;
      at = star_at;
    } else {
      return false;
    }
  }
  while (token < tokens.size() && tokens[token].kind == Token::Kind::star) ++token;
  return token == tokens.size();
}

// The places of an alternative that may be next once `parts` have been taken, as flags; one past the end is "matched".
std::vector<bool> places_after(const Alternative& components, const std::vector<std::string_view>& parts) {
  const std::size_t end = components.size();
  std::vector<bool> here(end + 1), next(end + 1);
  const auto enter = [&](std::vector<bool>& places, std::size_t place) {
    places[place] = true;
    if (place < end && components[place].deep) places[place + 1] = true;  // never two in a row, see parse_alternative
  };
  enter(here, 0);
  for (const std::string_view part : parts) {
    std::fill(next.begin(), next.end(), false);
    bool alive = false;
    for (std::size_t place = 0; place < end; ++place) {
      if (!here[place]) continue;
      if (components[place].deep) {
        enter(next, place);
        alive = true;
      } else if (matches_name(components[place].tokens, part)) {
        enter(next, place + 1);
        alive = true;
      }
    }
    here.swap(next);
    if (!alive) break;
  }
  return here;
}

bool is_meta(char c) { return c == '*' || c == '?' || c == '[' || c == '{' || c == '\\'; }

bool is_below_or_same(std::string_view path, std::string_view prefix) {
  return path.substr(0, prefix.size()) == prefix &&
         (prefix.empty() || path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace

struct Glob::Impl {
  std::string text;
  std::string fixed_prefix;
  bool literal = false;  // fixed_prefix is the whole pattern
  std::vector<Alternative> alternatives;
};

Glob::Glob(std::string_view pattern, GlobDialect dialect) : impl_(std::make_unique<Impl>()) {
  impl_->text = pattern;
  bool malformed = false;
  if (const auto texts = expand_braces(pattern)) {
    for (const std::string& text : *texts) {
      std::optional<Alternative> alternative = parse_alternative(text, dialect);
      malformed = malformed || !alternative;
      if (alternative) impl_->alternatives.push_back(std::move(*alternative));
    }
  } else {
    malformed = true;
  }
  impl_->literal = true;
  for (const std::string_view part : split(pattern)) {
    if (part == ".") continue;
    if (!malformed && std::any_of(part.begin(), part.end(), is_meta)) {
      impl_->literal = false;
      break;
    }
    if (!impl_->fixed_prefix.empty()) impl_->fixed_prefix += '/';
    impl_->fixed_prefix += part;
  }
  if (impl_->literal) impl_->alternatives.clear();
}

Glob::~Glob() = default;
Glob::Glob(Glob&&) noexcept = default;
Glob& Glob::operator=(Glob&&) noexcept = default;

bool Glob::matches(std::string_view path) const {
  if (impl_->literal) return path == impl_->fixed_prefix;
  if (path.empty() || !is_below_or_same(path, impl_->fixed_prefix)) return false;
  const std::vector<std::string_view> parts = split(path);
  return std::any_of(impl_->alternatives.begin(), impl_->alternatives.end(),
                     [&](const Alternative& components) -> bool { return places_after(components, parts).back(); });
}

bool Glob::may_match_below(std::string_view dir) const {
  const std::string& prefix = impl_->fixed_prefix;
  if (dir.size() < prefix.size() && is_below_or_same(prefix, dir)) return true;
  if (impl_->literal || !is_below_or_same(dir, prefix)) return false;
  const std::vector<std::string_view> parts = split(dir);
  return std::any_of(impl_->alternatives.begin(), impl_->alternatives.end(), [&](const Alternative& components) {
    const std::vector<bool> places = places_after(components, parts);
    return std::find(places.begin(), places.end() - 1, true) != places.end() - 1;
  });
}

const std::string& Glob::fixed_prefix() const { return impl_->fixed_prefix; }
const std::string& Glob::text() const { return impl_->text; }

}  // namespace pipelines
