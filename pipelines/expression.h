// The expression language of `rules:if` (docs.gitlab.com/ee/ci/jobs/job_rules, "CI/CD variable expressions"; where
// the page is silent, GitLab's lib/gitlab/ci/pipeline/expression).
//   or   := and ("||" and)*          and := comparison ("&&" comparison)*
//   comparison := atom (("==" | "!=" | "=~" | "!~") atom)?
//   atom := "!" atom | "(" or ")" | $NAME | "text" | 'text' | /re2/flags | null | true | false
// A value alone is true when it is defined and not empty, and its negation is when it is not. What is true or false
// equals the text "true" or "false". Strings have no escapes; a regular expression has one, "\/",
// and the flags i, m, s and U, as RE2 has them. The right side of =~ may be a variable that holds /re/flags; a right
// side that is no regular expression contains the left side (GitLab: right.scan(left)). An undefined left side of =~
// is read as empty text.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace pipelines {

class Expression {
 public:
  struct Node;  // expression_node.h
  struct Error {
    std::size_t offset = 0;  // byte of the text where it went wrong
    std::string message;
    std::string hint;
  };
  using Lookup = std::function<std::optional<std::string>(std::string_view name)>;  // absent: the variable is null

  // Compiles once, regular expressions included (RE2). Copies share the compiled form: a caller that meets the same
  // text thousands of times compiles it once and copies.
  static std::variant<Expression, Error> compile(std::string_view text);

  bool evaluate(const Lookup&) const;
  // The text with each variable's value beside it, for `runner plan`: `$CI_COMMIT_BRANCH ("main") == "dev"`.
  // One line; long values are cut. The lookup hides what must not be shown.
  std::string explain(const Lookup&) const;
  const std::string& text() const { return text_; }
  const Node* root() const { return root_.get(); }  // null only for an Expression that was not compiled

 private:
  std::string text_;
  std::shared_ptr<const Node> root_;
};

}  // namespace pipelines
