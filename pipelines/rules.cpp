#include "pipelines/rules.h"

#include <algorithm>
#include <utility>

#include "pipelines/glob.h"
#include "pipelines/variables.h"

namespace pipelines {
namespace {

std::string list(const std::vector<std::string>& patterns) {
  std::string text;
  for (const std::string& pattern : patterns) {
    if (!text.empty()) text += ", ";
    text += pattern;
  }
  return text;
}

}  // namespace

std::optional<std::uint32_t> RuleMatcher::first_match(const std::vector<Rule>& rules,
                                                      const Expression::Lookup& lookup) {
  for (std::uint32_t i = 0; i < rules.size(); ++i) {
    if (matches(rules[i], lookup)) return i;
  }
  return std::nullopt;
}

bool RuleMatcher::matches(const Rule& rule, const Expression::Lookup& lookup) {
  if (rule.condition && !rule.condition->evaluate(lookup)) return false;
  if (rule.changes && !changed(rule, lookup)) return false;
  return !rule.exists || std::any_of(rule.exists->begin(), rule.exists->end(),
                                     [&](const std::string& pattern) { return exists(expand(pattern, lookup)); });
}

bool RuleMatcher::changed(const Rule& rule, const Expression::Lookup& lookup) {
  const std::string base = expand(rule.compare_to, lookup);
  auto paths = changed_paths_.find(base);
  if (paths == changed_paths_.end()) {
    paths = changed_paths_.emplace(base, facts_.changed_paths ? facts_.changed_paths(base) : Paths()).first;
  }
  if (!paths->second) return true;  // nothing to compare with
  return std::any_of(rule.changes->begin(), rule.changes->end(), [&](const std::string& written) {
    const std::string pattern = expand(written, lookup);
    const auto [known, is_new] = changed_.try_emplace(base + '\0' + pattern, false);
    if (is_new) {
      const Glob glob(pattern, GlobDialect::fnmatch);
      known->second = std::any_of(paths->second->begin(), paths->second->end(),
                                  [&](const std::string& path) { return glob.matches(path); });
    }
    return known->second;
  });
}

bool RuleMatcher::exists(const std::string& pattern) {
  const auto [known, is_new] = exists_.try_emplace(pattern, false);
  if (!is_new) return known->second;
  if (!source_paths_) {
    source_paths_ = facts_.source_paths ? facts_.source_paths() : std::vector<std::string>();
    std::sort(source_paths_->begin(), source_paths_->end());
  }
  // The sources are files; a directory is there when something is below it.
  const bool directory = !pattern.empty() && pattern.back() == '/';
  const Glob glob(directory ? pattern + "**/*" : pattern, GlobDialect::fnmatch);
  const std::string& prefix = glob.fixed_prefix();
  auto path = std::lower_bound(source_paths_->begin(), source_paths_->end(), prefix);
  while (path != source_paths_->end() && path->compare(0, prefix.size(), prefix) == 0 && !known->second) {
    known->second = glob.matches(*path++);
  }
  return known->second;
}

std::string describe(const Rule& rule, std::size_t number, const Expression::Lookup& lookup) {
  std::vector<std::string> parts;
  if (rule.condition) parts.push_back(rule.condition->explain(lookup));
  if (rule.changes) parts.push_back("changes in " + list(*rule.changes));
  if (rule.exists) parts.push_back("exists " + list(*rule.exists));
  std::string text = "rule " + std::to_string(number) + ": ";
  if (parts.empty()) return text + "always matches";
  for (std::size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? "" : " and ") + parts[i];
  return text;
}

}  // namespace pipelines
