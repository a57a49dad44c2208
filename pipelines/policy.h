// `only` and `except`: whether they let a job in. Used by make_plan(). GitLab's rules are those of
// lib/gitlab/ci/build/policy and lib/gitlab/ci/config/entry/processable.rb.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pipelines/expression.h"
#include "pipelines/pipeline.h"
#include "pipelines/plan.h"
#include "pipelines/rules.h"
#include "pipelines/variables.h"

namespace pipelines {

// What PolicyRef::pattern asks for.
inline constexpr std::string_view policy_ref_variable = "REF";

// What `only:refs` looks at, from a run's predefined variables.
struct RunKind {
  explicit RunKind(const VariableSet&);

  std::string ref;      // CI_COMMIT_REF_NAME
  std::string source;   // CI_PIPELINE_SOURCE without "_event": "push", "merge_request", "schedule", …
  std::string project;  // CI_PROJECT_PATH
  bool tag = false;
  bool branch = false;  // neither a tag nor a merge request

  // `the branch "main"`, `a merge request`, `the tag "v1" (schedule)`.
  std::string describe() const;
  bool matches(const PolicyRef&) const;
};

class PolicyMatcher {
 public:
  PolicyMatcher(const RunKind& run, RuleMatcher& rules) : run_(run), rules_(rules) {}  // both must outlive this object

  // The first part of `only` that does not hold; absent: it lets the job in.
  std::optional<PolicyPart> missed(const Policy& only, const RuleVariables&);
  // The first part of `except` that holds; absent: it lets the job in.
  std::optional<PolicyPart> hit(const Policy& except, const RuleVariables&);

 private:
  bool any_ref(const Policy&) const;
  bool any_change(const Policy&, const RuleVariables&);

  const RunKind& run_;
  RuleMatcher& rules_;
};

// Why a job is in or out by its policies, for `runner plan`; the lookup hides what must not be shown.
// `only refs main and changes src/*; not except refs tags`
std::string describe_admission(const Job&, const Expression::Lookup&);
// `only refs dev; this is the branch "main"`
std::string describe_missed(const Policy& only, PolicyPart, const RunKind&, const Expression::Lookup&);
// `except variables $A ("1")`
std::string describe_hit(const Policy& except, PolicyPart, const RunKind&, const Expression::Lookup&);

}  // namespace pipelines
