// `rules`: which one decides. Used by make_plan() for the workflow's rules and every job's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipelines/expression.h"
#include "pipelines/pipeline.h"
#include "pipelines/plan.h"

namespace pipelines {

// Asks the facts at most once each and remembers what every pattern came to: thousands of jobs share theirs.
class RuleMatcher {
 public:
  explicit RuleMatcher(const Facts& facts) : facts_(facts) {}  // must outlive this object

  // The first rule whose `if`, `changes` and `exists` all hold. Variables in patterns and in compare_to are expanded.
  std::optional<std::uint32_t> first_match(const std::vector<Rule>&, const Expression::Lookup&);

 private:
  using Paths = std::optional<std::vector<std::string>>;

  bool matches(const Rule&, const Expression::Lookup&);
  bool changed(const Rule&, const Expression::Lookup&);
  bool exists(const std::string& pattern);

  const Facts& facts_;
  std::unordered_map<std::string, Paths> changed_paths_;  // by compare_to
  std::unordered_map<std::string, bool> changed_;         // by compare_to, NUL, pattern
  std::optional<std::vector<std::string>> source_paths_;  // sorted
  std::unordered_map<std::string, bool> exists_;
};

// `rule 2: $CI_COMMIT_BRANCH ("main") == "main" and changes in src/**/*`; `number` counts from 1.
std::string describe(const Rule&, std::size_t number, const Expression::Lookup&);

}  // namespace pipelines
