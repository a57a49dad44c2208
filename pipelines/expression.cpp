#include "pipelines/expression.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "pipelines/expression_node.h"

namespace pipelines {

namespace {

using Node = Expression::Node;
using Error = Expression::Error;
using Kind = Node::Kind;

// Deeper than anybody writes, shallow enough for any thread's stack.
constexpr std::size_t deepest = 100;
constexpr std::size_t longest_shown_value = 60;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

struct Token {
  enum class Kind : std::uint8_t { variable, text, pattern, word, symbol, end } kind = Kind::end;
  std::size_t offset = 0;
  std::string_view text;   // variable: its name; text: without quotes; pattern: between the slashes
  std::string_view flags;  // pattern
};

// The offset of the slash that ends the pattern whose first byte is at `at`.
std::size_t pattern_end(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] != '/') at += text[at] == '\\' ? 2 : 1;
  return std::min(at, text.size());
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  // Throws Error, which never leaves compile(); once the text has compiled it cannot.
  Token next() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    const std::size_t start = at_;
    if (at_ == text_.size()) return {Token::Kind::end, start, {}, {}};
    const char c = text_[at_];
    if (c == '$') return variable(start);
    if (c == '"' || c == '\'') return quoted(start);
    if (c == '/') return pattern(start);
    if (c == '(' || c == ')') return {Token::Kind::symbol, start, take(1), {}};
    for (const std::string_view symbol : {"==", "!=", "=~", "!~", "&&", "||"}) {
      if (text_.substr(at_, 2) == symbol) return {Token::Kind::symbol, start, take(2), {}};
    }
    if (is_word(c)) {
      const std::string_view word = take_word();
      return {Token::Kind::word, start, word, {}};
    }
    if (c == '=') throw Error{start, "unexpected \"=\"", "write == to compare, =~ to match a regular expression"};
    if (c == '!') return {Token::Kind::symbol, start, take(1), {}};
    if (c == '&' || c == '|') {
      throw Error{start, std::string("unexpected \"") + c + '"', std::string("write ") + c + c};
    }
    throw Error{start, "unexpected character", "operands are $NAME, \"text\", 'text', /regular expression/ and null"};
  }

 private:
  std::string_view take(std::size_t count) {
    at_ += count;
    return text_.substr(at_ - count, count);
  }

  std::string_view take_word() {
    std::size_t end = at_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    return take(end - at_);
  }

  Token variable(std::size_t start) {
    ++at_;
    const std::string_view name = take_word();
    if (!name.empty()) return {Token::Kind::variable, start, name, {}};
    if (at_ < text_.size() && text_[at_] == '{') {
      std::size_t end = at_ + 1;
      while (end < text_.size() && is_word(text_[end])) ++end;
      const std::string inside(text_.substr(at_ + 1, end - at_ - 1));
      throw Error{start, "${" + inside + "} is not valid in an expression",
                  "write $" + (inside.empty() ? std::string("NAME") : inside)};
    }
    throw Error{start, "\"$\" without a variable's name", "write $NAME"};
  }

  Token quoted(std::size_t start) {
    const char quote = text_[at_++];
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) throw Error{start, "the text is not closed", std::string("add ") + quote};
    const std::string_view inside = take(end - at_);
    ++at_;
    return {Token::Kind::text, start, inside, {}};
  }

  Token pattern(std::size_t start) {
    ++at_;
    const std::size_t end = pattern_end(text_, at_);
    if (end == text_.size()) {
      throw Error{start, "the regular expression is not closed", "add /; write \\/ for a slash inside it"};
    }
    const std::string_view inside = take(end - at_);
    ++at_;
    const std::size_t flags_at = at_;
    const std::string_view flags = take_word();
    const std::size_t unknown = flags.find_first_not_of("imsU");
    if (unknown != std::string_view::npos) {
      throw Error{flags_at + unknown,
                  std::string("unknown flag \"") + flags[unknown] + "\" after the regular expression",
                  "the flags are i, m, s and U; write \\/ for a slash inside the expression"};
    }
    if (inside.empty()) throw Error{start, "the regular expression is empty", "write == \"\" for an empty value"};
    refuse_what_is_no_pattern(inside, start);
    return {Token::Kind::pattern, start, inside, flags};
  }

  // GitLab's lexer (lib/gitlab/ci/pipeline/expression/lexeme/pattern.rb) wants two characters, the last no backslash.
  static void refuse_what_is_no_pattern(std::string_view inside, std::size_t start) {
    const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
    if (std::ranges::count_if(inside, begins) == 1) {
      const std::string c(inside);
      throw Error{start, "a regular expression of one character, which GitLab does not take",
                  "write /(?:" + c + ")/, or compare with \"" + c + "\""};
    }
    if (inside.back() == '\\') {
      throw Error{start, "the regular expression ends with a backslash, which GitLab does not take",
                  "write [\\\\] for a backslash at the end"};
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::shared_ptr<const RE2> compile_regex(std::string_view body, std::string_view flags) {
  std::string pattern;
  if (!flags.empty()) pattern.append("(?").append(flags).append(")");
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\\' && i + 1 < body.size()) {
      if (body[i + 1] != '/') pattern += body[i];
      ++i;
    }
    pattern += body[i];
  }
  RE2::Options options;
  options.set_log_errors(false);
  return std::make_shared<const RE2>(pattern, options);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text), token_(lexer_.next()) {}

  Node parse() {
    if (token_.kind == Token::Kind::end) throw Error{0, "the expression is empty", "write $NAME, or $NAME == \"text\""};
    Node root = chain(Kind::any, 0);
    if (token_.kind == Token::Kind::end) return root;
    if (is_symbol(")")) throw Error{token_.offset, "\")\" without \"(\"", {}};
    throw Error{token_.offset, "expected && or ||", std::string(unquoted_hint())};
  }

 private:
  bool is_symbol(std::string_view symbol) const { return token_.kind == Token::Kind::symbol && token_.text == symbol; }
  void advance() { token_ = lexer_.next(); }

  // any: `all || all …`; all: `comparison && comparison …`. One operand alone is itself.
  Node chain(Kind kind, std::size_t depth) {
    const auto operand = [&] { return kind == Kind::any ? chain(Kind::all, depth) : comparison(depth); };
    Node first = operand();
    const std::string_view symbol = kind == Kind::any ? "||" : "&&";
    if (!is_symbol(symbol)) return first;
    Node node;
    node.kind = kind;
    node.children.push_back(std::move(first));
    while (is_symbol(symbol)) {
      advance();
      node.children.push_back(operand());
    }
    return node;
  }

  Node comparison(std::size_t depth) {
    const std::size_t left_offset = token_.offset;
    Node left = atom(depth);
    const Kind kind = is_symbol("==")   ? Kind::equal
                      : is_symbol("!=") ? Kind::not_equal
                      : is_symbol("=~") ? Kind::match
                      : is_symbol("!~") ? Kind::not_match
                                        : Kind::null;
    if (kind == Kind::null) return left;
    const bool matching = kind == Kind::match || kind == Kind::not_match;
    if (matching && left.kind == Kind::pattern) {
      throw Error{left_offset, "a regular expression on the left side", "write $NAME =~ /regular expression/"};
    }
    advance();
    Node node;
    node.kind = kind;
    node.children.push_back(std::move(left));
    node.children.push_back(atom(depth));
    return node;
  }

  Node atom(std::size_t depth) {
    if (depth > deepest) throw Error{token_.offset, "it is nested too deeply", "at most 100 levels of ( and !"};
    const Token token = token_;
    Node node;
    switch (token.kind) {
      case Token::Kind::variable:
      case Token::Kind::text:
        node.kind = token.kind == Token::Kind::text ? Kind::text : Kind::variable;
        node.text = token.text;
        break;
      case Token::Kind::pattern:
        node.kind = Kind::pattern;
        node.regex = compile_regex(token.text, token.flags);
        if (!node.regex->ok()) {
          throw Error{token.offset, "invalid regular expression: " + node.regex->error(),
                      "the syntax is RE2's: no look-around, no back-references"};
        }
        break;
      case Token::Kind::word:
        if (token.text == "true" || token.text == "false") {
          node.kind = Kind::truth;
          node.text = token.text;
        } else if (token.text != "null") {
          throw Error{token.offset, "unexpected word \"" + std::string(token.text) + '"', std::string(unquoted_hint())};
        }
        break;
      case Token::Kind::symbol:
        if (token.text == "(") {
          advance();
          node = chain(Kind::any, depth + 1);
          if (!is_symbol(")")) throw Error{token.offset, "\"(\" is not closed", "add )"};
          break;
        }
        if (token.text == "!") {
          advance();
          node.kind = Kind::negation;
          node.children.push_back(atom(depth + 1));
          return node;
        }
        throw Error{token.offset, "expected a value, got \"" + std::string(token.text) + '"',
                    "values are $NAME, \"text\", 'text', /regular expression/, null, true and false"};
      case Token::Kind::end:
        throw Error{token.offset, "the expression ends where a value is expected", {}};
    }
    advance();
    return node;
  }

  std::string_view unquoted_hint() const {
    return token_.kind == Token::Kind::word ? "text stands in quotes, a variable begins with $" : std::string_view();
  }

  Lexer lexer_;
  Token token_;
};

// What an operand is worth: null, text, or the truth of a comparison. A pattern is its own text to == and !=.
struct Value {
  enum class Kind : std::uint8_t { null, text, truth } kind = Kind::null;
  std::string text;
  bool truth = false;
  const RE2* regex = nullptr;

  // For && and ||: as in Ruby an empty text is as good as any (GitLab's
  // lib/gitlab/ci/pipeline/expression/lexeme/and.rb).
  bool holds() const { return kind == Kind::truth ? truth : kind == Kind::text; }
  // For the whole: Ruby's present?, which blank text is not (its statement.rb).
  bool present() const {
    return kind == Kind::truth ? truth
                               : kind == Kind::text && (regex || text.find_first_not_of(" \t\n\v\f\r") != text.npos);
  }
  std::string_view as_text() const {
    if (kind != Kind::truth) return text;
    return truth ? "true" : "false";
  }
  // What is true or false is compared with a text as a text (GitLab's logical_operator.rb).
  friend bool operator==(const Value& a, const Value& b) {
    const bool mixed =
        (a.kind == Kind::truth && b.kind == Kind::text) || (a.kind == Kind::text && b.kind == Kind::truth);
    return (mixed || a.kind == b.kind) && a.as_text() == b.as_text() && !a.regex == !b.regex;
  }
};

bool matches(const Value& left, const Value& right) {
  if (right.kind == Value::Kind::null || (right.kind == Value::Kind::truth && !right.truth)) return false;
  if (right.regex) return RE2::PartialMatch(re2::StringPiece(left.as_text()), *right.regex);
  const std::string_view text = right.as_text();
  if (text.size() > 2 && text.front() == '/') {
    const std::size_t end = pattern_end(text, 1);
    if (end > 1 && end < text.size() && text.find_first_not_of("imsU", end + 1) == std::string_view::npos) {
      const std::shared_ptr<const RE2> regex = compile_regex(text.substr(1, end - 1), text.substr(end + 1));
      return regex->ok() && RE2::PartialMatch(re2::StringPiece(left.as_text()), *regex);
    }
  }
  return text.find(left.as_text()) != std::string_view::npos;
}

Value evaluate_node(const Node& node, const Expression::Lookup& lookup) {
  const auto truth = [](bool value) { return Value{Value::Kind::truth, {}, value, nullptr}; };
  const auto child = [&](std::size_t i) { return evaluate_node(node.children[i], lookup); };
  switch (node.kind) {
    case Kind::null:
      break;
    case Kind::text:
      return {Value::Kind::text, node.text, false, nullptr};
    case Kind::variable:
      if (std::optional<std::string> value = lookup(node.text)) {
        return {Value::Kind::text, std::move(*value), false, nullptr};
      }
      break;
    case Kind::pattern:
      return {Value::Kind::text, node.regex->pattern(), false, node.regex.get()};
    case Kind::truth:
      return truth(node.text == "true");
    case Kind::negation:
      return truth(!child(0).present());
    case Kind::equal:
      return truth(child(0) == child(1));
    case Kind::not_equal:
      return truth(!(child(0) == child(1)));
    case Kind::match:
      return truth(matches(child(0), child(1)));
    case Kind::not_match:
      return truth(!matches(child(0), child(1)));
    case Kind::all:
    case Kind::any: {
      Value value;
      for (const Node& each : node.children) {
        value = evaluate_node(each, lookup);
        if (value.holds() == (node.kind == Kind::any)) break;
      }
      return value;
    }
  }
  return {};
}

std::string shown(const std::optional<std::string>& value) {
  if (!value) return "null";
  std::string text = "\"";
  for (const char c : std::string_view(*value).substr(0, longest_shown_value)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  if (value->size() > longest_shown_value) {
    while ((static_cast<unsigned char>(text.back()) & 0xC0U) == 0x80U) text.pop_back();  // no half characters
    if (static_cast<unsigned char>(text.back()) >= 0xC0U) text.pop_back();
    text += "…";
  }
  return text + '"';
}

}  // namespace

std::variant<Expression, Expression::Error> Expression::compile(std::string_view text) {
  try {
    Expression expression;
    expression.root_ = std::make_shared<const Node>(Parser(text).parse());
    expression.text_ = text;
    return expression;
  } catch (Error& error) {
    return std::move(error);
  }
}

bool Expression::evaluate(const Lookup& lookup) const { return root_ && evaluate_node(*root_, lookup).present(); }

std::string Expression::explain(const Lookup& lookup) const {
  std::string line;
  std::size_t copied = 0;
  const auto copy_to = [&](std::size_t end) {
    for (; copied < end; ++copied) line += text_[copied] == '\n' || text_[copied] == '\r' ? ' ' : text_[copied];
  };
  Lexer lexer(text_);
  for (Token token = lexer.next(); token.kind != Token::Kind::end; token = lexer.next()) {
    if (token.kind != Token::Kind::variable) continue;
    copy_to(token.offset + 1 + token.text.size());
    line += " (" + shown(lookup(token.text)) + ')';
  }
  copy_to(text_.size());
  return line;
}

}  // namespace pipelines
