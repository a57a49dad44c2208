// What can be said of an expression of `rules:if` without knowing any variable: that it is never true, or only where
// another is. Sound, not complete: silence means nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipelines/expression.h"

namespace pipelines {

// Why it can never be true: `$A cannot be "x" and "y" at once`. Knows which of GitLab's variables exclude each other (a
// merge request's pipeline has no CI_COMMIT_BRANCH).
std::optional<std::string> why_never_true(const Expression&);

bool is_always_true(const Expression&);

// Whether `weaker` is true wherever `stronger` is: its conditions are among the other's.
bool implies(const Expression& stronger, const Expression& weaker);

// A comparison that can hold for no value of CI_PIPELINE_SOURCE that there is, or a variable that rules never see.
struct ExpressionNote {
  std::string message, hint;
};
std::vector<ExpressionNote> notes_on(const Expression&);

}  // namespace pipelines
