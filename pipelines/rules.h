// `rules`: which one decides. Used by make_plan() for the workflow's rules and every job's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/expression.h"
#include "pipelines/pipeline.h"
#include "pipelines/plan.h"
#include "pipelines/variables.h"

namespace pipelines {

// A job's variables, or the run's.
struct RuleVariables {
  Expression::Lookup value;                      // as they were written, for `if` and `exists`
  std::function<const VariableSet&()> expanded;  // for `changes`; made when first asked for
};

// Asks the facts at most once each and remembers what every pattern came to: thousands of jobs share theirs.
class RuleMatcher {
 public:
  explicit RuleMatcher(const Facts& facts) : facts_(facts) {}  // must outlive this object

  // The first rule whose `if`, `changes` and `exists` all hold. Variables in patterns and in compare_to are expanded:
  // in those of `changes` with what their values refer to, in `exists` without
  // (lib/gitlab/ci/build/rules/rule/clause/changes.rb and exists.rb).
  std::optional<std::uint32_t> first_match(const std::vector<Rule>&, const RuleVariables&);

  // `changes`: whether one of the patterns names a changed path. True when there is nothing to compare with. `base`:
  // compare_to, expanded.
  bool changed(const std::vector<std::string>& patterns, const std::string& base, const RuleVariables&);

  // Projects of `exists:project` that the facts know nothing of, with the place of the rule; none twice.
  const std::vector<std::pair<std::string, Mark>>& unknown_projects() const { return unknown_projects_; }
  // What `compare_to` named and cannot be compared with: errors, none twice; such rules do not match.
  const std::vector<Diagnostic>& bad_refs() const { return bad_refs_; }

 private:
  using Paths = std::optional<std::vector<std::string>>;
  struct Files {
    Paths paths;  // sorted; absent: not known
    std::unordered_map<std::string, bool> exists;
  };

  bool matches(const Rule&, const RuleVariables&);
  bool changed(const Rule&, const RuleVariables&);
  void refuse(const Rule&, const BadRef&);
  bool exists(const Rule&, const Expression::Lookup&);
  static bool exists(Files&, const std::string& pattern);
  Files& files_of(const Rule&, const Expression::Lookup&);

  const Facts& facts_;
  std::unordered_map<std::string, Paths> changed_paths_;  // by compare_to
  std::unordered_map<std::string, std::optional<BadRef>> refs_;
  std::unordered_map<std::string, bool> changed_;  // by compare_to, NUL, pattern
  std::unordered_map<std::string, Files> files_;   // by project, NUL, ref; empty: the sources
  std::vector<std::pair<std::string, Mark>> unknown_projects_;
  std::vector<Diagnostic> bad_refs_;
};

// `rule 2: $CI_COMMIT_BRANCH ("main") == "main" and changes in src/**/*`; `number` counts from 1.
std::string describe(const Rule&, std::size_t number, const Expression::Lookup&);
// The same of a rule that did not match, saying which part of it did not: `rule 2: no changes in src/**/*`. `shown`
// hides what must not be seen.
std::string describe_unmatched(const Rule&, std::size_t number, const Expression::Lookup& value,
                               const Expression::Lookup& shown);

}  // namespace pipelines
