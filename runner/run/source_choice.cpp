#include "runner/run/source_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>

namespace runner {
namespace {

using pipelines::VariableSet;

// Empty counts as not given.
std::string_view value_of(const VariableSet& variables, std::string_view name) {
  const auto* entry = variables.find(name);
  return entry == nullptr ? std::string_view() : std::string_view(entry->value);
}

std::optional<long> whole_number(std::string_view text) {
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

// gitlab-runner's: no number is the default, a number outside is the nearest inside.
unsigned attempts_of(const VariableSet& variables, std::string_view name, VariableFindings& findings) {
  constexpr long least = 1;
  constexpr long most = 10;
  const std::string_view text = value_of(variables, name);
  if (text.empty()) {
    return 1;
  }
  const std::optional<long> number = whole_number(text);
  if (!number) {
    findings.warnings.push_back(
        fmt::format("{} is a number from {} to {}, not {}; 1 is taken", name, least, most, text));
    return 1;
  }
  const long taken = std::clamp(*number, least, most);
  if (taken != *number) {
    findings.warnings.push_back(
        fmt::format("{} is from {} to {}, not {}; {} is taken", name, least, most, text, taken));
  }
  return static_cast<unsigned>(taken);
}

unsigned depth_of(const VariableSet& variables, std::string_view name, unsigned otherwise, VariableFindings& findings) {
  const std::string_view text = value_of(variables, name);
  if (text.empty()) {
    return otherwise;
  }
  constexpr long most = 1'000'000'000;
  const std::optional<long> number = whole_number(text);
  if (!number || *number < 0) {
    findings.warnings.push_back(
        fmt::format("{} is a number of commits, not {}; the whole history is taken", name, text));
    return 0;
  }
  return static_cast<unsigned>(std::min(*number, most));
}

Submodules submodules_of(const VariableSet& variables, VariableFindings& findings) {
  const std::string_view text = value_of(variables, "GIT_SUBMODULE_STRATEGY");
  if (text == "normal") {
    return Submodules::normal;
  }
  if (text == "recursive") {
    return Submodules::recursive;
  }
  if (!text.empty() && text != "none") {
    findings.refused = fmt::format("GIT_SUBMODULE_STRATEGY is none, normal or recursive, not {}", text);
  }
  return Submodules::none;
}

// Whether one of the author's variables for the job may choose something. Those of a dotenv report are not known yet.
bool may_choose(const pipelines::Job& job) {
  const auto chooses = [](const pipelines::Variables& variables) {
    return std::ranges::any_of(variables, [](const pipelines::Variable& one) { return one.name.starts_with("GIT_"); });
  };
  return chooses(job.variables) || !job.inherit_all_variables ||
         (job.rules && std::ranges::any_of(*job.rules, [&](const auto& rule) { return chooses(rule.variables); }));
}

}  // namespace

bool flag(const VariableSet& expanded, std::string_view name, bool otherwise, VariableFindings& findings) {
  constexpr std::array<std::string_view, 6> yes = {"1", "t", "T", "TRUE", "true", "True"};
  constexpr std::array<std::string_view, 6> no = {"0", "f", "F", "FALSE", "false", "False"};
  const std::string_view text = value_of(expanded, name);
  if (std::ranges::find(yes, text) != yes.end()) {
    return true;
  }
  if (std::ranges::find(no, text) != no.end()) {
    return false;
  }
  if (!text.empty()) {
    findings.warnings.push_back(
        fmt::format("{} is true or false, not {}; {} is taken", name, text, otherwise ? "true" : "false"));
  }
  return otherwise;
}

ChosenSources chosen_sources(const VariableSet& expanded, VariableFindings& findings) {
  ChosenSources chosen;
  const std::string_view strategy = value_of(expanded, "GIT_STRATEGY");
  // There is nothing to fetch and nothing left from an earlier job, so that `fetch` is `clone` and `none` is `empty`.
  chosen.any = strategy != "none" && strategy != "empty";
  if (chosen.any && !strategy.empty() && strategy != "clone" && strategy != "fetch") {
    findings.warnings.push_back(fmt::format("GIT_STRATEGY is clone, fetch, none or empty, not {}", strategy));
  }
  if (!chosen.any) {
    return chosen;
  }
  SourceChoice& choice = chosen.choice;
  choice.checkout = flag(expanded, "GIT_CHECKOUT", true, findings);
  choice.lfs = !flag(expanded, "GIT_LFS_SKIP_SMUDGE", false, findings);
  choice.depth = depth_of(expanded, "GIT_DEPTH", 0, findings);
  choice.submodules = submodules_of(expanded, findings);
  if (choice.submodules != Submodules::none) {
    choice.submodule_depth = depth_of(expanded, "GIT_SUBMODULE_DEPTH", choice.depth, findings);
    std::istringstream paths{std::string(value_of(expanded, "GIT_SUBMODULE_PATHS"))};
    for (std::string path; paths >> path;) {
      choice.submodule_paths.push_back(path);
    }
  }
  return chosen;
}

std::vector<SourceChoice> planned_choices(const pipelines::Pipeline& pipeline, const pipelines::Plan& plan) {
  std::map<std::string, std::pair<std::size_t, SourceChoice>> counted;
  std::optional<SourceChoice> common;  // of jobs that choose nothing themselves
  for (const pipelines::PlannedJob& planned : plan.jobs) {
    const pipelines::Job& job = pipeline.jobs[planned.job];
    if (!planned.included || job.trigger) {
      continue;
    }
    const bool own = may_choose(job);
    std::optional<SourceChoice> choice = own ? std::nullopt : common;
    if (!choice) {
      VariableFindings told_later;  // when the job's turn comes
      const ChosenSources chosen = chosen_sources(plan.variables(pipeline, planned.job).expanded(), told_later);
      if (!chosen.any || !told_later.refused.empty()) {
        continue;
      }
      choice = chosen.choice;
      if (!own) {
        common = choice;
      }
    }
    auto& [count, same] = counted[to_text(*choice)];
    ++count;
    same = *choice;
  }
  std::vector<std::pair<std::size_t, SourceChoice>> sorted;
  for (const auto& [text, entry] : counted) {
    sorted.push_back(entry);
  }
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<SourceChoice> choices;
  for (auto& [count, choice] : sorted) {
    choices.push_back(std::move(choice));
  }
  if (choices.empty()) {
    choices.emplace_back();
  }
  return choices;
}

Attempts attempts(const VariableSet& expanded, VariableFindings& findings) {
  Attempts result;
  result.get_sources = attempts_of(expanded, "GET_SOURCES_ATTEMPTS", findings);
  result.artifact_download = attempts_of(expanded, "ARTIFACT_DOWNLOAD_ATTEMPTS", findings);
  result.restore_cache = attempts_of(expanded, "RESTORE_CACHE_ATTEMPTS", findings);
  result.job_section = attempts_of(expanded, "EXECUTOR_JOB_SECTION_ATTEMPTS", findings);
  return result;
}

}  // namespace runner
