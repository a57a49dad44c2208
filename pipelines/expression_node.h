// The compiled form of an expression, for what reasons about it (contradiction.h) besides evaluating it.
#pragma once

#include <re2/re2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipelines/expression.h"

namespace pipelines {

// `&&` and `||` hold any number of children, so only parentheses and `!` make it deep.
struct Expression::Node {
  enum class Kind : std::uint8_t {
    null,
    text,
    truth,  // true or false
    variable,
    pattern,
    negation,
    equal,
    not_equal,
    match,
    not_match,
    all,
    any
  };
  Kind kind = Kind::null;
  std::string text;                  // text, truth: its value; variable: its name
  std::shared_ptr<const RE2> regex;  // pattern
  std::vector<Node> children;
};

}  // namespace pipelines
