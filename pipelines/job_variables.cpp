#include "pipelines/job_variables.h"

#include <openssl/sha.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>

namespace pipelines {
namespace {

constexpr std::size_t longest_environment_slug = 24;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

// The last six base-36 digits of the name's SHA-256, read as one number.
std::string hash_suffix(std::string_view name) {
  constexpr std::size_t digits = 6;
  constexpr std::uint64_t modulus = 36ULL * 36 * 36 * 36 * 36 * 36;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
  const std::string bytes(name);
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash.data());
  std::uint64_t rest = 0;
  for (const unsigned char byte : hash) rest = (rest * 256 + byte) % modulus;
  std::string suffix(digits, '0');
  for (std::size_t i = digits; i-- > 0; rest /= 36) suffix[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36];
  return suffix;
}

bool inherits(const Job& job, std::string_view name) {
  return job.inherit_all_variables || std::find(job.inherited_variables.begin(), job.inherited_variables.end(), name) !=
                                          job.inherited_variables.end();
}

bool from_the_file(const VariableSet::Entry& entry) {
  return entry.precedence == Precedence::global || entry.precedence == Precedence::workflow_rule;
}

// What reaches the job of the layers that all jobs share.
const VariableSet::Entry* shared_entry(const SharedVariables& shared, const Job& job, std::string_view name) {
  const VariableSet::Entry* entry = shared.all.find(name);
  return entry && from_the_file(*entry) && !inherits(job, name) ? shared.trigger.find(name) : entry;
}

// `when`: the job's own, or its rule's.
void set_predefined(VariableSet& set, const Job& job, When when) {
  const auto predefined = [&](std::string_view name, std::string value, bool expand = false) {
    set.set(name, std::move(value), Precedence::predefined, expand);
  };
  predefined("CI_JOB_NAME", job.name);
  predefined("CI_JOB_NAME_SLUG", slug(job.name));
  predefined("CI_JOB_GROUP_NAME", group_name(job.name));
  predefined("CI_JOB_STAGE", job.stage);
  if (when == When::manual || when == When::delayed) predefined("CI_JOB_MANUAL", "true");  // GitLab's ACTIONABLE_WHEN
  predefined("CI_NODE_TOTAL", std::to_string(std::max(job.node_total, 1U)));
  if (job.node_index != 0) predefined("CI_NODE_INDEX", std::to_string(job.node_index));
  if (!job.environment) return;
  // The slug and the tier need the name that the variables make.
  const Environment& environment = *job.environment;
  const std::string name = set.expanded().expand(environment.name);
  predefined("CI_ENVIRONMENT_NAME", name);
  predefined("CI_ENVIRONMENT_SLUG", environment_slug(name));
  predefined("CI_ENVIRONMENT_ACTION", environment.action.empty() ? "start" : environment.action);
  predefined("CI_ENVIRONMENT_TIER",
             environment.tier.empty() ? std::string(environment_tier(name)) : set.expanded().expand(environment.tier));
  if (!environment.url.empty()) predefined("CI_ENVIRONMENT_URL", environment.url, true);
}

}  // namespace

VariableSet job_variables(const SharedVariables& shared, const Job& job, const Rule* rule) {
  VariableSet set;
  if (job.inherit_all_variables) {
    set = shared.all;
  } else {
    set = shared.trigger;
    for (const std::string& name : job.inherited_variables) {
      const VariableSet::Entry* entry = shared.all.find(name);
      if (entry) set.set(name, entry->value, entry->precedence, entry->expand, entry->masked, entry->file);
    }
  }
  set.set_all(job.variables, Precedence::job);
  if (rule) set.set_all(rule->variables, Precedence::rule);
  // Before `environment` is expanded, so that its name cannot depend on what it decides.
  const std::string environment =
      job.environment && !shared.scoped.empty() ? set.expanded().expand(job.environment->name) : std::string();
  for (const ScopedVariable& variable : shared.scoped) {
    if (environment.empty() || !scope_matches(variable.scope, environment)) continue;
    const VariableSet::Entry& entry = variable.entry;
    set.set(variable.name, entry.value, Precedence::project, entry.expand, entry.masked, entry.file);
  }
  set_predefined(set, job, rule && rule->when ? *rule->when : job.when);
  return set;
}

std::optional<VariableSet::Entry> job_variable(const SharedVariables& shared, const Job& job, std::string_view name) {
  const bool by_environment = name.substr(0, 15) == "CI_ENVIRONMENT_" ||
                              std::ranges::find(shared.scoped, name, &ScopedVariable::name) != shared.scoped.end();
  if (job.environment && by_environment) {
    const VariableSet set = job_variables(shared, job, nullptr);
    const VariableSet::Entry* entry = set.find(name);
    return entry ? std::optional(*entry) : std::nullopt;
  }
  const VariableSet::Entry* entry = shared_entry(shared, job, name);
  if (entry && entry->precedence > Precedence::job) return *entry;
  for (const Variable& variable : job.variables) {
    if (variable.name != name) continue;
    return VariableSet::Entry{variable.value, Precedence::job, variable.expand, variable.masked, variable.file};
  }
  if (entry && entry->precedence > Precedence::predefined) return *entry;
  const auto predefined = [](std::string value) {
    return VariableSet::Entry{std::move(value), Precedence::predefined, false, false, false};
  };
  if (name == "CI_JOB_NAME") return predefined(job.name);
  if (name == "CI_JOB_NAME_SLUG") return predefined(slug(job.name));
  if (name == "CI_JOB_GROUP_NAME") return predefined(group_name(job.name));
  if (name == "CI_JOB_STAGE") return predefined(job.stage);
  if (name == "CI_JOB_MANUAL" && (job.when == When::manual || job.when == When::delayed)) return predefined("true");
  if (name == "CI_NODE_TOTAL") return predefined(std::to_string(std::max(job.node_total, 1U)));
  if (name == "CI_NODE_INDEX" && job.node_index != 0) return predefined(std::to_string(job.node_index));
  return entry ? std::optional(*entry) : std::nullopt;
}

std::string group_name(const std::string& name) {
  static const RE2 instance(R"((?:[\x08\s:]+(?:\[.*\]|\d+[\s:/\\]+\d+)){1,3}\s*\z)");
  std::string group = name;
  RE2::Replace(&group, instance, "");
  const std::size_t begin = group.find_first_not_of(" \t\n");
  const std::size_t end = group.find_last_not_of(" \t\n");
  return begin == std::string::npos ? std::string() : group.substr(begin, end + 1 - begin);
}

std::string environment_slug(std::string_view name) {
  std::string text;
  for (const char c : lower(name)) {
    if ((static_cast<unsigned char>(c) & 0xC0U) == 0x80U) continue;  // one '-' for a whole UTF-8 character
    const char kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    text += kept;
  }
  if (text.empty() || text[0] < 'a' || text[0] > 'z') text.insert(0, "env-");
  text.erase(std::unique(text.begin(), text.end(), [](char a, char b) { return a == '-' && b == '-'; }), text.end());
  if (text.size() <= longest_environment_slug && text == name) {
    if (text.back() == '-') text.pop_back();
    return text;
  }
  text.resize(std::min<std::size_t>(text.size(), longest_environment_slug - 7));
  if (text.back() != '-') text += '-';
  return text + hash_suffix(name);
}

// app/models/environment.rb: the words are tried in this order, anywhere in the name.
std::string_view environment_tier(std::string_view name) {
  const std::string text = lower(name);
  if (contains_any(text, {"dev", "review", "trunk"})) return "development";
  if (contains_any(text, {"test", "tst", "int", "accept", "acpt", "qa", "qc", "control", "quality"})) return "testing";
  if (contains_any(text, {"stag", "stg", "model", "modl", "pre", "demo", "non"})) return "staging";
  if (contains_any(text, {"prod", "prd", "live"})) return "production";
  return "other";
}

}  // namespace pipelines
