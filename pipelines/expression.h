// The expression language of `rules:if` (docs.gitlab.com/ee/ci/jobs/job_rules, "CI/CD variable expressions").
//   or   := and ("||" and)*          and := atom ("&&" atom)*
//   atom := "(" or ")" | operand (("==" | "!=" | "=~" | "!~") operand)?
//   operand := $NAME | "text" | 'text' | /re2/flags | null
// A lone operand is true when it is defined and not empty. The right side of =~ may be a variable that holds
// /re/flags; a right side that is no regular expression means "the left contains it".
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
  struct Node;  // expression.cpp
  struct Error {
    std::size_t offset = 0;  // byte of the text where it went wrong
    std::string message;
    std::string hint;
  };
  using Lookup = std::function<std::optional<std::string>(std::string_view name)>;  // absent: the variable is null

  // Compiles once, regular expressions included (RE2).
  static std::variant<Expression, Error> compile(std::string_view text);

  bool evaluate(const Lookup&) const;
  // The text with each variable's value beside it, for `runner plan`: `$CI_COMMIT_BRANCH ("main") == "dev"`.
  std::string explain(const Lookup&) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::shared_ptr<const Node> root_;
};

}  // namespace pipelines
