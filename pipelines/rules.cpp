#include "pipelines/rules.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "pipelines/glob.h"
#include "pipelines/variables.h"

namespace pipelines {
namespace {

// Beyond this many comparisons GitLab takes a match for granted (docs.gitlab.com/ee/ci/yaml, rules:changes and
// rules:exists).
constexpr std::size_t most_comparisons = 50'000;

// GitLab looks up plain names and "**/*.ext" without comparing every path.
bool costs_comparisons(std::string_view pattern) {
  constexpr std::string_view by_extension = "**/*.";
  if (pattern.substr(0, by_extension.size()) == by_extension) {
    return pattern.find_first_of("*?[{/", by_extension.size()) != std::string_view::npos;
  }
  return pattern.find_first_of("*?[{") != std::string_view::npos;
}

std::string list(const std::vector<std::string>& patterns) {
  std::string text;
  for (const std::string& pattern : patterns) {
    if (!text.empty()) text += ", ";
    text += pattern;
  }
  return text;
}

// Most texts have no reference: then nobody makes the set.
std::string with_values(const std::string& text, const RuleVariables& variables) {
  return expand_existing(text, [&](std::string_view name) -> std::optional<std::string> {
    const VariableSet::Entry* entry = variables.expanded().find(name);
    return entry ? std::optional(entry->value) : std::nullopt;
  });
}

}  // namespace

std::optional<std::uint32_t> RuleMatcher::first_match(const std::vector<Rule>& rules, const RuleVariables& variables) {
  for (std::uint32_t i = 0; i < rules.size(); ++i) {
    if (matches(rules[i], variables)) return i;
  }
  return std::nullopt;
}

bool RuleMatcher::matches(const Rule& rule, const RuleVariables& variables) {
  if (rule.condition && !rule.condition->evaluate(variables.value)) return false;
  if (rule.changes && !changed(rule, variables)) return false;
  return !rule.exists || exists(rule, variables.value);
}

bool RuleMatcher::changed(const Rule& rule, const RuleVariables& variables) {
  const std::string base = with_values(rule.compare_to, variables);
  if (!base.empty() && facts_.bad_ref) {
    const auto [known, is_new] = refs_.try_emplace(base);
    if (is_new) known->second = facts_.bad_ref(base);
    if (known->second) {
      refuse(rule, *known->second);
      return false;
    }
  }
  return changed(*rule.changes, base, variables);
}

// GitLab refuses the whole pipeline. Thousands of jobs share the rules of one template.
void RuleMatcher::refuse(const Rule& rule, const BadRef& why) {
  const Mark& at = rule.compare_to_mark;
  std::string message = "`compare_to`: " + why.message;
  const bool told = std::ranges::any_of(bad_refs_, [&](const Diagnostic& other) {
    return std::tie(other.mark.source, other.mark.line, other.mark.column, other.message) ==
           std::tie(at.source, at.line, at.column, message);
  });
  if (!told) bad_refs_.push_back({Severity::error, at, std::move(message), why.hint, {}});
}

bool RuleMatcher::changed(const std::vector<std::string>& patterns, const std::string& base,
                          const RuleVariables& variables) {
  auto paths = changed_paths_.find(base);
  if (paths == changed_paths_.end()) {
    paths = changed_paths_.emplace(base, facts_.changed_paths ? facts_.changed_paths(base) : Paths()).first;
  }
  if (!paths->second) return true;  // nothing to compare with
  const bool any = std::any_of(patterns.begin(), patterns.end(), [&](const std::string& written) {
    const std::string pattern = with_values(written, variables);
    const auto [known, is_new] = changed_.try_emplace(base + '\0' + pattern, false);
    if (is_new) {
      const Glob glob(pattern, GlobDialect::fnmatch);
      known->second = std::any_of(paths->second->begin(), paths->second->end(),
                                  [&](const std::string& path) { return glob.matches(path); });
    }
    return known->second;
  });
  return any || patterns.size() * paths->second->size() > most_comparisons;
}

RuleMatcher::Files& RuleMatcher::files_of(const Rule& rule, const Expression::Lookup& lookup) {
  const std::string project = expand_existing(rule.exists_project, lookup);
  const std::string ref = expand_existing(rule.exists_ref, lookup);
  const auto [known, is_new] = files_.try_emplace(project.empty() ? std::string() : project + '\0' + ref);
  Files& files = known->second;
  if (!is_new) return files;
  if (project.empty()) {
    files.paths = facts_.source_paths ? facts_.source_paths() : std::vector<std::string>();
  } else {
    files.paths = facts_.project_paths ? facts_.project_paths(project, ref) : std::nullopt;
    if (!files.paths) unknown_projects_.emplace_back(project, rule.mark);
  }
  if (files.paths) std::sort(files.paths->begin(), files.paths->end());
  return files;
}

bool RuleMatcher::exists(const Rule& rule, const Expression::Lookup& lookup) {
  Files& files = files_of(rule, lookup);
  if (!files.paths) return false;
  std::size_t globs = 0;
  for (const std::string& written : *rule.exists) {
    const std::string pattern = expand_existing(written, lookup);
    if (exists(files, pattern)) return true;
    if (costs_comparisons(pattern)) ++globs;
  }
  return globs * files.paths->size() > most_comparisons;
}

bool RuleMatcher::exists(Files& files, const std::string& pattern) {
  const auto [known, is_new] = files.exists.try_emplace(pattern, false);
  if (!is_new) return known->second;
  // The sources are files; a directory is there when something is below it.
  const bool directory = !pattern.empty() && pattern.back() == '/';
  const Glob glob(directory ? pattern + "**/*" : pattern, GlobDialect::fnmatch);
  const std::string& prefix = glob.fixed_prefix();
  auto path = std::lower_bound(files.paths->begin(), files.paths->end(), prefix);
  while (path != files.paths->end() && path->compare(0, prefix.size(), prefix) == 0 && !known->second) {
    known->second = glob.matches(*path++);
  }
  return known->second;
}

std::string describe_unmatched(const Rule& rule, std::size_t number, const Expression::Lookup& value,
                               const Expression::Lookup& shown) {
  std::string text = "rule " + std::to_string(number) + ": ";
  if (rule.condition && !rule.condition->evaluate(value)) return text + rule.condition->explain(shown) + " is false";
  if (rule.condition) text += rule.condition->explain(shown) + " is true, but ";
  // Which of the two it was only the matcher knew; with one, it was that.
  if (rule.changes) text += "no changes in " + list(*rule.changes);
  if (rule.changes && rule.exists) text += ", or ";
  if (rule.exists) text += "there is no " + list(*rule.exists);
  return text;
}

std::string describe(const Rule& rule, std::size_t number, const Expression::Lookup& lookup) {
  std::vector<std::string> parts;
  if (rule.condition) parts.push_back(rule.condition->explain(lookup));
  if (rule.changes) parts.push_back("changes in " + list(*rule.changes));
  if (rule.exists)
    parts.push_back("exists " + list(*rule.exists) + (rule.exists_project.empty() ? "" : " in " + rule.exists_project));
  std::string text = "rule " + std::to_string(number) + ": ";
  if (parts.empty()) return text + "always matches";
  for (std::size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? "" : " and ") + parts[i];
  return text;
}

}  // namespace pipelines
