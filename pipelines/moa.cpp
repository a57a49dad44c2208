#include "pipelines/moa.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace pipelines {
namespace {

using Type = MoaValue::Type;

constexpr std::size_t deepest = 100;
constexpr std::size_t longest = 1024 * 1024;
constexpr std::string_view opening = "${{";
constexpr std::string_view closing = "}}";

constexpr std::string_view reserved[] = {
    "array",  "as",     "break",  "case",      "const",  "continue", "default", "else",  "fallthrough",
    "float",  "for",    "func",   "function",  "goto",   "if",       "import",  "in",    "int",
    "let",    "loop",   "map",    "namespace", "number", "object",   "package", "range", "return",
    "string", "struct", "switch", "type",      "var",    "void",     "while"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view name_of(Type type) {
  static constexpr std::array<std::string_view, 6> names = {"null",     "a boolean", "a number",
                                                            "a string", "a list",    "an object"};
  return names[static_cast<std::size_t>(type)];
}

void append_json(std::string& out, const MoaValue& value);

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json(std::string& out, const MoaValue& value) {
  switch (value.type) {
    case Type::null:
      out += "null";
      break;
    case Type::text:
      append_json_text(out, value.text);
      break;
    case Type::boolean:
    case Type::number:
      out += value.str();
      break;
    case Type::list:
    case Type::object:
      out += value.type == Type::list ? '[' : '{';
      for (std::size_t i = 0; i < value.items.size(); ++i) {
        out += i == 0 ? "" : ",";
        if (value.type == Type::object) {
          append_json_text(out, value.keys[i]);
          out += ':';
        }
        append_json(out, value.items[i]);
      }
      out += value.type == Type::list ? ']' : '}';
      break;
  }
}

template <class T>
int order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int compare(const MoaValue& a, const MoaValue& b);

int compare_items(const MoaValue& a, const MoaValue& b) {
  for (std::size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i) {
    if (const int found = compare(a.items[i], b.items[i]); found != 0) return found;
  }
  return order(a.items.size(), b.items.size());
}

// Their length, then their keys, then their values; the order of keys does not matter.
int compare_objects(const MoaValue& a, const MoaValue& b) {
  if (a.keys.size() != b.keys.size()) return order(a.keys.size(), b.keys.size());
  std::vector<std::string> left = a.keys;
  std::vector<std::string> right = b.keys;
  std::ranges::sort(left);
  std::ranges::sort(right);
  if (left != right) return order(left, right);
  for (const std::string& key : left) {
    if (const int found = compare(*a.find(key), *b.find(key)); found != 0) return found;
  }
  return 0;
}

int compare(const MoaValue& a, const MoaValue& b) {
  if (a.type != b.type) return order(a.type, b.type);
  switch (a.type) {
    case Type::null:
      return 0;
    case Type::boolean:
      return order(a.truth, b.truth);
    case Type::number:
      return order(a.number, b.number);
    case Type::text:
      return order(a.text, b.text);
    case Type::list:
      return compare_items(a, b);
    case Type::object:
      return compare_objects(a, b);
  }
  return 0;
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0U | (code >> 6U));
    out += static_cast<char>(0x80U | (code & 0x3FU));
  } else {
    out += static_cast<char>(0xE0U | (code >> 12U));
    out += static_cast<char>(0x80U | ((code >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (code & 0x3FU));
  }
}

// Reads and evaluates in one go. What short-circuiting leaves out is read with `live` off: nothing is looked up then,
// and no operator can fail. Throws MoaError, which does not leave this file.
class Evaluator {
 public:
  // Without `lookup` only the syntax counts.
  Evaluator(std::string_view text, const MoaLookup* lookup) : text_(text), lookup_(lookup) {}

  // The text from `at_` to its end, or to the quote that ends a string.
  MoaValue whole() {
    std::string out;
    std::optional<MoaValue> alone;
    bool mixed = false;
    while (at_ < text_.size()) {
      if (text_.substr(at_, 4) == "\\${{") {
        out += opening;
        at_ += 4;
        mixed = true;
      } else if (text_.substr(at_, opening.size()) == opening) {
        MoaValue value = block(lookup_ != nullptr, 0);
        out += value.str();
        mixed = mixed || alone;
        alone = std::move(value);
      } else {
        out += text_[at_++];
        mixed = true;
      }
      if (out.size() > longest) fail(at_, "the value grows too long", "at most 1 MiB");
    }
    if (alone && !mixed) return *std::move(alone);
    return MoaValue::of(std::move(out));
  }

 private:
  [[noreturn]] static void fail(std::size_t offset, std::string message, std::string hint = {}) {
    throw MoaError{offset, std::move(message), std::move(hint)};
  }

  MoaValue block(bool live, std::size_t depth) {
    const std::size_t start = at_;
    at_ += opening.size();
    MoaValue value = any(live, depth);
    space();
    if (text_.substr(at_, closing.size()) != closing) {
      if (at_ == text_.size()) fail(start, "`${{` is not closed", "add }}; write \\${{ for the text itself");
      fail(at_, fmt::format("unexpected \"{}\" in an expression", text_.substr(at_, 1)), "texts stand in quotes");
    }
    at_ += closing.size();
    return value;
  }

  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool take(std::string_view symbol) {
    space();
    if (text_.substr(at_, symbol.size()) != symbol) return false;
    at_ += symbol.size();
    return true;
  }
  void expect(std::string_view symbol, std::string_view what) {
    if (!take(symbol)) fail(at_, fmt::format("{} is not closed", what), fmt::format("add {}", symbol));
  }

  MoaValue any(bool live, std::size_t depth) {
    if (depth > deepest) fail(at_, "the expression is nested too deeply", "at most 100 levels");
    MoaValue left = all(live, depth);
    while (take("||")) {
      const bool wanted = live && !left.truthy();
      MoaValue right = all(wanted, depth);
      if (wanted) left = std::move(right);
    }
    return left;
  }

  MoaValue all(bool live, std::size_t depth) {
    MoaValue left = comparison(live, depth);
    while (take("&&")) {
      const bool wanted = live && left.truthy();
      MoaValue right = comparison(wanted, depth);
      if (wanted) left = std::move(right);
    }
    return left;
  }

  std::string_view take_one(std::initializer_list<std::string_view> symbols) {
    for (const std::string_view symbol : symbols) {
      if (take(symbol)) return symbol;
    }
    return {};
  }

  MoaValue comparison(bool live, std::size_t depth) {
    MoaValue left = sum(live, depth);
    for (std::string_view symbol = take_one({"==", "!=", "<=", ">=", "<", ">"}); !symbol.empty();
         symbol = take_one({"==", "!=", "<=", ">=", "<", ">"})) {
      const int found = compare(left, sum(live, depth));
      left = MoaValue::of(symbol == "=="   ? found == 0
                          : symbol == "!=" ? found != 0
                          : symbol == "<=" ? found <= 0
                          : symbol == ">=" ? found >= 0
                          : symbol == "<"  ? found < 0
                                           : found > 0);
    }
    return left;
  }

  MoaValue sum(bool live, std::size_t depth) {
    MoaValue left = product(live, depth);
    for (std::string_view symbol = take_one({"+", "-"}); !symbol.empty(); symbol = take_one({"+", "-"})) {
      const std::size_t at = at_ - 1;
      const MoaValue right = product(live, depth);
      if (live) left = calculate(symbol.front(), left, right, at);
    }
    return left;
  }

  MoaValue product(bool live, std::size_t depth) {
    MoaValue left = unary(live, depth);
    for (std::string_view symbol = take_one({"*", "/", "%"}); !symbol.empty(); symbol = take_one({"*", "/", "%"})) {
      const std::size_t at = at_ - 1;
      const MoaValue right = unary(live, depth);
      if (live) left = calculate(symbol.front(), left, right, at);
    }
    return left;
  }

  static MoaValue calculate(char symbol, const MoaValue& left, const MoaValue& right, std::size_t at) {
    if (symbol == '+' && left.type == Type::text && right.type == Type::text) {
      if (left.text.size() + right.text.size() > longest) fail(at, "the value grows too long", "at most 1 MiB");
      return MoaValue::of(left.text + right.text);
    }
    if (left.type != Type::number || right.type != Type::number) {
      fail(at,
           fmt::format("\"{}\" takes {}, not {} and {}", symbol,
                       symbol == '+' ? "two numbers or two strings" : "numbers", name_of(left.type),
                       name_of(right.type)),
           "str(…) and num(…) convert");
    }
    if ((symbol == '/' || symbol == '%') && right.number == 0) fail(at, "division by zero");
    switch (symbol) {
      case '+':
        return MoaValue::of(left.number + right.number);
      case '-':
        return MoaValue::of(left.number - right.number);
      case '*':
        return MoaValue::of(left.number * right.number);
      case '/':
        return MoaValue::of(left.number / right.number);
      default:
        return MoaValue::of(std::fmod(left.number, right.number));
    }
  }

  MoaValue unary(bool live, std::size_t depth) {
    if (depth > deepest) fail(at_, "the expression is nested too deeply", "at most 100 levels");
    space();
    const std::size_t at = at_;
    const std::string_view symbol = take_one({"!", "+", "-"});
    if (symbol.empty()) return postfix(live, depth);
    MoaValue value = unary(live, depth + 1);
    if (symbol == "!") return MoaValue::of(!value.truthy());
    if (live && value.type != Type::number) {
      fail(at, fmt::format("\"{}\" takes a number, not {}", symbol, name_of(value.type)), "num(…) converts");
    }
    return symbol == "-" ? MoaValue::of(-value.number) : value;
  }

  MoaValue postfix(bool live, std::size_t depth) {
    space();
    const std::size_t start = at_;
    MoaValue value = primary(live, depth);
    while (true) {
      const std::size_t end = at_;
      if (take(".")) {
        space();
        const std::size_t at = at_;
        const std::string_view name = identifier();
        if (name.empty()) fail(at, "a name is missing after \".\"");
        if (live) value = property(value, name, at, text_.substr(start, end - start));
      } else if (take("[")) {
        space();
        const std::size_t at = at_;
        const MoaValue key = any(live, depth + 1);
        expect("]", "\"[\"");
        if (live) value = element(value, key, at, text_.substr(start, end - start));
      } else {
        return value;
      }
    }
  }

  static MoaValue property(const MoaValue& object, std::string_view name, std::size_t at, std::string_view owner) {
    if (object.type != Type::object) {
      fail(at, fmt::format("`{}` is {} and has no \"{}\"", owner, name_of(object.type), name));
    }
    if (const MoaValue* found = object.find(name)) return *found;
    constexpr std::size_t most_listed = 10;
    fail(at, fmt::format("`{}` has no \"{}\"", owner, name),
         object.keys.empty() || object.keys.size() > most_listed
             ? std::string()
             : fmt::format("it has {}", fmt::join(object.keys, ", ")));
  }

  static MoaValue element(const MoaValue& owner, const MoaValue& key, std::size_t at, std::string_view text) {
    if (key.type == Type::text) return property(owner, key.text, at, text);
    if (owner.type != Type::list || key.type != Type::number) {
      fail(at,
           fmt::format("`{}` is {}: {} cannot stand in its brackets", text, name_of(owner.type), name_of(key.type)));
    }
    if (key.number < 0 || key.number != std::floor(key.number) ||
        key.number >= static_cast<double>(owner.items.size())) {
      fail(at, fmt::format("`{}` has {} items, and no [{}]", text, owner.items.size(), key.str()));
    }
    return owner.items[static_cast<std::size_t>(key.number)];
  }

  std::string_view identifier() {
    std::size_t end = at_;
    while (end < text_.size() && (is_letter(text_[end]) || (end > at_ && is_digit(text_[end])))) ++end;
    const std::string_view name = text_.substr(at_, end - at_);
    at_ = end;
    return name;
  }

  MoaValue primary(bool live, std::size_t depth) {
    space();
    const std::size_t at = at_;
    if (at_ == text_.size()) fail(at, "the expression ends where a value is expected", "add }}");
    const char c = text_[at_];
    if (is_digit(c)) return number();
    if (c == '"') return double_quoted(live, depth);
    if (c == '\'') return single_quoted();
    if (take("(")) {
      MoaValue value = any(live, depth + 1);
      expect(")", "\"(\"");
      return value;
    }
    if (take("[")) return list(live, depth);
    if (take("{")) return object(live, depth);
    if (!is_letter(c)) {
      fail(at, text_.substr(at, 2) == closing ? std::string("`${{ }}` is empty")
                                              : fmt::format("unexpected \"{}\" in an expression", c));
    }
    return named(live, depth);
  }

  MoaValue named(bool live, std::size_t depth) {
    const std::size_t at = at_;
    const std::string_view name = identifier();
    if (name == "null") return {};
    if (name == "true" || name == "false") return MoaValue::of(name == "true");
    if (std::ranges::find(reserved, name) != std::end(reserved)) {
      fail(at, fmt::format("\"{}\" is a reserved word", name));
    }
    if (take("(")) {
      MoaValue argument = any(live, depth + 1);
      expect(")", fmt::format("`{}(`", name));
      return call(name, std::move(argument), live, at);
    }
    if (!live) return {};
    if (std::optional<MoaValue> value = (*lookup_)(name)) return *std::move(value);
    fail(at, fmt::format("`{}` is not known here", name));
  }

  static MoaValue call(std::string_view name, MoaValue value, bool live, std::size_t at) {
    if (name == "str") return MoaValue::of(value.str());
    if (name == "bool") return MoaValue::of(value.truthy());
    if (name != "num") fail(at, fmt::format("there is no function `{}`", name), "there are str, num and bool");
    if (!live || value.type == Type::number) return value;
    double number = 0;
    const char* end = value.text.data() + value.text.size();
    const auto parsed = std::from_chars(value.text.data(), end, number);
    if (value.type != Type::text || parsed.ec != std::errc() || parsed.ptr != end) {
      fail(at, fmt::format("num() cannot read {} as a number",
                           value.type == Type::text ? '"' + value.text + '"' : std::string(name_of(value.type))));
    }
    return MoaValue::of(number);
  }

  MoaValue number() {
    double value = 0;
    const auto parsed = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (parsed.ec != std::errc()) fail(at_, "the number is too large");
    at_ = static_cast<std::size_t>(parsed.ptr - text_.data());
    return MoaValue::of(value);
  }

  MoaValue single_quoted() {
    const std::size_t start = at_++;
    std::string out;
    while (at_ < text_.size() && text_[at_] != '\'') {
      const bool escape =
          text_[at_] == '\\' && at_ + 1 < text_.size() && (text_[at_ + 1] == '\\' || text_[at_ + 1] == '\'');
      at_ += escape ? 1 : 0;
      out += text_[at_++];
    }
    if (at_ == text_.size()) fail(start, "the text is not closed", "add '");
    ++at_;
    return MoaValue::of(std::move(out));
  }

  MoaValue double_quoted(bool live, std::size_t depth) {
    const std::size_t start = at_++;
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') {
        escape(out);
      } else if (text_.substr(at_, opening.size()) == opening) {
        out += block(live, depth + 1).str();
      } else {
        out += text_[at_++];
      }
    }
    if (at_ == text_.size()) fail(start, "the text is not closed", "add \"");
    ++at_;
    return MoaValue::of(std::move(out));
  }

  void escape(std::string& out) {
    static constexpr std::string_view letters = "\\\"nrtabfv/";
    static constexpr std::string_view meanings = "\\\"\n\r\t\a\b\f\v/";
    const std::size_t start = at_++;
    if (text_.substr(at_, opening.size()) == opening) {
      out += opening;
      at_ += opening.size();
      return;
    }
    if (text_.substr(at_, 1) == "u") {
      unsigned code = 0;
      const std::string_view digits = text_.substr(at_ + 1, 4);
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
      if (digits.size() != 4 || parsed.ptr != digits.data() + 4) fail(start, "\\u needs four hexadecimal digits");
      append_utf8(out, code);
      at_ += 5;
      return;
    }
    const std::size_t which = at_ < text_.size() ? letters.find(text_[at_]) : std::string_view::npos;
    if (which == std::string_view::npos) {
      fail(start, "there is no such escape in a text", R"(there are \\ \" \n \r \t \a \b \f \v \/ \uXXXX and \${{)");
    }
    out += meanings[which];
    ++at_;
  }

  MoaValue list(bool live, std::size_t depth) {
    MoaValue value;
    value.type = Type::list;
    while (!take("]")) {
      value.items.push_back(any(live, depth + 1));
      if (!take(",")) {
        expect("]", "\"[\"");
        break;
      }
    }
    return value;
  }

  MoaValue object(bool live, std::size_t depth) {
    MoaValue value;
    value.type = Type::object;
    while (!take("}")) {
      space();
      const std::size_t at = at_;
      const bool bare = at_ < text_.size() && is_letter(text_[at_]);
      MoaValue key = bare ? MoaValue::of(std::string(identifier())) : any(live, depth + 1);
      if (live && key.type != Type::text) {
        fail(at, fmt::format("a key must be a string, not {}", name_of(key.type)));
      }
      if (!take(":")) fail(at_, "\":\" is missing after a key");
      value.keys.push_back(std::move(key.text));
      value.items.push_back(any(live, depth + 1));
      if (!take(",")) {
        expect("}", "\"{\"");
        break;
      }
    }
    return value;
  }

  std::string_view text_;
  const MoaLookup* lookup_;
  std::size_t at_ = 0;
};

}  // namespace

MoaValue MoaValue::of(bool truth) {
  MoaValue value;
  value.type = Type::boolean;
  value.truth = truth;
  return value;
}

MoaValue MoaValue::of(double number) {
  MoaValue value;
  value.type = Type::number;
  value.number = number;
  return value;
}

MoaValue MoaValue::of(std::string text) {
  MoaValue value;
  value.type = Type::text;
  value.text = std::move(text);
  return value;
}

bool MoaValue::truthy() const {
  switch (type) {
    case Type::null:
      return false;
    case Type::boolean:
      return truth;
    case Type::number:
      return number != 0;
    case Type::text:
      return !text.empty();
    case Type::list:
    case Type::object:
      return !items.empty();
  }
  return false;
}

std::string MoaValue::str() const {
  switch (type) {
    case Type::null:
      return "<null>";
    case Type::boolean:
      return truth ? "true" : "false";
    case Type::number:
      return fmt::format("{}", number);
    case Type::text:
      return text;
    case Type::list:
    case Type::object:
      break;
  }
  std::string out;
  append_json(out, *this);
  return out;
}

const MoaValue* MoaValue::find(std::string_view key) const {
  // The last of two that are called the same wins.
  for (std::size_t i = keys.size(); i-- > 0;) {
    if (keys[i] == key) return &items[i];
  }
  return nullptr;
}

std::variant<MoaValue, MoaError> interpolate(std::string_view text, const MoaLookup& lookup) {
  try {
    return Evaluator(text, &lookup).whole();
  } catch (MoaError& error) {
    return std::move(error);
  }
}

std::optional<MoaError> check_syntax(std::string_view text) {
  try {
    Evaluator(text, nullptr).whole();
    return std::nullopt;
  } catch (MoaError& error) {
    return std::move(error);
  }
}

bool has_moa(std::string_view text) { return text.find(opening) != std::string_view::npos; }

}  // namespace pipelines
