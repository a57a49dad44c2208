// What changes between two plans.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <string>
#include <vector>

#include "runner/cli/plan_json.h"
#include "runner/cli/plan_text.h"

namespace runner {
namespace {

using nlohmann::json;

struct Change {
  std::string name, kind;  // added, removed, changed
  json before, after;      // null: there is no such job
};

bool runs(const json& job) { return !job.is_null() && job.at("included").get<bool>(); }

// In the order of the new plan, then what is gone in that of the old one.
std::vector<Change> changes(const Loaded& before, const Loaded& after) {
  std::map<std::string, json> old;
  for (const auto& planned : before.plan.jobs) {
    json job = planned_json(before, planned);
    old.emplace(job.at("name").get<std::string>(), std::move(job));
  }
  std::vector<Change> found;
  std::map<std::string, bool> seen;
  for (const auto& planned : after.plan.jobs) {
    json job = planned_json(after, planned);
    const std::string name = job.at("name");
    const auto was = old.find(name);
    seen[name] = true;
    if (was == old.end()) {
      found.push_back({name, "added", nullptr, std::move(job)});
    } else if (was->second != job) {
      const char* kind = runs(was->second) == runs(job) ? "changed" : runs(job) ? "added" : "removed";
      found.push_back({name, kind, was->second, std::move(job)});
    }
  }
  for (const auto& planned : before.plan.jobs) {
    const std::string& name = before.parsed.pipeline.jobs[planned.job].name;
    if (!seen[name]) found.push_back({name, "removed", old.at(name), nullptr});
  }
  return found;
}

std::string shown(const json& value) {
  if (value.is_array())
    return value.empty() ? "nothing" : fmt::format("{}", fmt::join(value.get<std::vector<std::string>>(), ", "));
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.get<std::string>();
}

void add_differences(std::string& text, const Change& change) {
  constexpr std::pair<const char*, const char*> keys[] = {{"stage", "stage"}, {"when", "when"}, {"dag", "has needs"},
                                                          {"needs", "needs"}, {"step", "step"}, {"reason", "because"}};
  for (const auto& [key, word] : keys) {
    const json before = change.before.value(key, json("")), after = change.after.value(key, json(""));
    if (before != after) text += fmt::format("      {}: {} → {}\n", word, shown(before), shown(after));
  }
}

}  // namespace

std::string plan_diff_text(const Loaded& before, const Loaded& after) {
  std::string text;
  for (const Change& change : changes(before, after)) {
    const char sign = change.kind == "added" ? '+' : change.kind == "removed" ? '-' : '~';
    if (change.before.is_null()) {
      text +=
          fmt::format("  {} {}  ({})\n", runs(change.after) ? '+' : '~', change.name, shown(change.after.at("reason")));
      if (!runs(change.after)) text += "      new, but left out\n";
    } else if (change.after.is_null()) {
      text += fmt::format("  - {}  (no longer in the file)\n", change.name);
    } else {
      text += fmt::format("  {} {}\n", sign, change.name);
      add_differences(text, change);
    }
  }
  return text.empty() ? "the plan is the same\n" : text;
}

std::string plan_diff_json(const Loaded& before, const Loaded& after) {
  json array = json::array();
  for (const Change& change : changes(before, after)) {
    array.push_back(
        {{"name", change.name}, {"change", change.kind}, {"before", change.before}, {"after", change.after}});
  }
  return array.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace runner
