#include "pipelines/policy.h"

#include <algorithm>

namespace pipelines {
namespace {

std::string value_of(const VariableSet& variables, std::string_view name) {
  const VariableSet::Entry* entry = variables.find(name);
  return entry ? entry->value : std::string();
}

// Rails' pluralize, for GitLab's words of a pipeline's source.
std::string plural(const std::string& source) { return source == "push" ? "pushes" : source + 's'; }

bool any_true(const Policy& policy, const Expression::Lookup& lookup) {
  return std::any_of(policy.variables->begin(), policy.variables->end(),
                     [&](const Expression& condition) { return condition.evaluate(lookup); });
}

void append(std::string& text, std::string_view separator, std::string_view more) {
  if (!text.empty()) text += separator;
  text += more;
}

}  // namespace

RunKind::RunKind(const VariableSet& variables)
    : ref(value_of(variables, "CI_COMMIT_REF_NAME")),
      source(value_of(variables, "CI_PIPELINE_SOURCE")),
      project(value_of(variables, "CI_PROJECT_PATH")),
      tag(!value_of(variables, "CI_COMMIT_TAG").empty()),
      branch(!tag && source != "merge_request_event") {
  constexpr std::string_view suffix = "_event";
  if (source.size() > suffix.size() && source.compare(source.size() - suffix.size(), suffix.size(), suffix) == 0) {
    source.resize(source.size() - suffix.size());
  }
}

std::string RunKind::describe() const {
  if (!tag && !branch) return "a merge request";
  std::string text = tag ? "the tag" : "the branch";
  if (!ref.empty()) text += " \"" + ref + '"';
  if (!source.empty() && source != "push") text += " (" + source + ')';
  return text;
}

bool RunKind::matches(const PolicyRef& wanted) const {
  if (!wanted.project.empty() && wanted.project != project) return false;
  if ((tag && wanted.name == "tags") || (branch && wanted.name == "branches")) return true;
  if (!source.empty() && (wanted.name == source || wanted.name == plural(source))) return true;
  // A merge request's ref is none that could be named.
  if (!tag && !branch) return false;
  if (!wanted.pattern) return wanted.name == ref;
  return wanted.pattern->evaluate([&](std::string_view) { return std::optional(ref); });
}

bool PolicyMatcher::any_ref(const Policy& policy) const {
  return std::any_of(policy.refs->begin(), policy.refs->end(),
                     [&](const PolicyRef& wanted) { return run_.matches(wanted); });
}

bool PolicyMatcher::any_change(const Policy& policy, const RuleVariables& variables) {
  return rules_.changed(*policy.changes, {}, variables);
}

std::optional<PolicyPart> PolicyMatcher::missed(const Policy& only, const RuleVariables& variables) {
  if (only.refs ? !any_ref(only) : !(run_.branch || run_.tag)) return PolicyPart::refs;
  if (only.kubernetes) return PolicyPart::kubernetes;
  if (only.variables && !any_true(only, variables.value)) return PolicyPart::variables;
  if (only.changes && !any_change(only, variables)) return PolicyPart::changes;
  return std::nullopt;
}

std::optional<PolicyPart> PolicyMatcher::hit(const Policy& except, const RuleVariables& variables) {
  if (except.refs && any_ref(except)) return PolicyPart::refs;
  if (except.variables && any_true(except, variables.value)) return PolicyPart::variables;
  if (except.changes && any_change(except, variables)) return PolicyPart::changes;
  return std::nullopt;
}

namespace {

std::string describe(const Policy& policy, PolicyPart part, const Expression::Lookup& lookup) {
  std::string list;
  switch (part) {
    case PolicyPart::refs:
      if (!policy.refs) return "refs branches, tags";
      for (const PolicyRef& ref : *policy.refs) append(list, ", ", ref.text);
      return "refs " + list;
    case PolicyPart::variables:
      for (const Expression& condition : *policy.variables) append(list, ", ", condition.explain(lookup));
      return "variables " + list;
    case PolicyPart::changes:
      for (const std::string& pattern : *policy.changes) append(list, ", ", pattern);
      return "changes " + list;
    case PolicyPart::kubernetes:
      break;
  }
  return "kubernetes active";
}

std::string describe(const Policy& policy, const Expression::Lookup& lookup) {
  std::string text;
  if (policy.refs) append(text, " and ", describe(policy, PolicyPart::refs, lookup));
  if (policy.kubernetes) append(text, " and ", describe(policy, PolicyPart::kubernetes, lookup));
  if (policy.variables) append(text, " and ", describe(policy, PolicyPart::variables, lookup));
  if (policy.changes) append(text, " and ", describe(policy, PolicyPart::changes, lookup));
  return text;
}

}  // namespace

std::string describe_admission(const Job& job, const Expression::Lookup& lookup) {
  std::string text;
  if (job.only) text = "only " + describe(*job.only, lookup);
  if (job.except) append(text, "; ", "not except " + describe(*job.except, lookup));
  return text;
}

std::string describe_missed(const Policy& only, PolicyPart part, const RunKind& run, const Expression::Lookup& lookup) {
  std::string text = "only " + describe(only, part, lookup) + "; ";
  switch (part) {
    case PolicyPart::refs:
      return text + "this is " + run.describe();
    case PolicyPart::variables:
      return text + "none is true";
    case PolicyPart::changes:
      return text + "nothing there changed";
    case PolicyPart::kubernetes:
      break;
  }
  return text + "there is none here";
}

std::string describe_hit(const Policy& except, PolicyPart part, const RunKind& run, const Expression::Lookup& lookup) {
  const std::string text = "except " + describe(except, part, lookup);
  return part == PolicyPart::refs ? text + "; this is " + run.describe() : text;
}

}  // namespace pipelines
