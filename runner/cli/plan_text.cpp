#include "runner/cli/plan_text.h"
#include "runner/cli/plan_json.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "runner/run/terminal.h"

namespace runner {
namespace {

std::string_view word(pipelines::When when) {
  switch (when) {
    case pipelines::When::on_success:
      return "on_success";
    case pipelines::When::on_failure:
      return "on_failure";
    case pipelines::When::always:
      return "always";
    case pipelines::When::never:
      return "never";
    case pipelines::When::manual:
      return "manual";
    case pipelines::When::delayed:
      return "delayed";
  }
  return "";
}

std::vector<std::string> need_names(const Loaded& loaded, const pipelines::PlannedJob& planned) {
  std::vector<std::string> names;
  for (const auto& need : planned.needs) names.push_back(loaded.parsed.pipeline.jobs[need.job].name);
  return names;
}

std::string padded(const std::string& text, std::size_t width) {
  const std::size_t columns = display_width(text);
  return text + std::string(columns < width ? width - columns : 0, ' ');
}

// How the job is started, where that is not simply "its turn has come".
std::string manner(const pipelines::Job& job, const pipelines::PlannedJob& planned) {
  std::vector<std::string> words;
  if (planned.when != pipelines::When::on_success) words.emplace_back(word(planned.when));
  if (planned.when == pipelines::When::manual && !planned.allow_failure.any) words.emplace_back("blocking");
  if (planned.when == pipelines::When::manual && !job.manual_confirmation.empty()) {
    words.push_back(fmt::format("asks \"{}\"", job.manual_confirmation));
  }
  if (planned.start_in) words.push_back(fmt::format("in {} s", planned.start_in->count()));
  if (planned.allow_failure.any && planned.when != pipelines::When::manual) words.emplace_back("may fail");
  if (!planned.allow_failure.exit_codes.empty()) {
    words.push_back(fmt::format("may fail with {}", fmt::join(planned.allow_failure.exit_codes, ", ")));
  }
  return words.empty() ? std::string() : fmt::format(" [{}]", fmt::join(words, ", "));
}

// One spine of stages; a job hangs on its stage, and says what it waits for when that is not the stage before.
std::string spine(const Loaded& loaded, std::size_t name_width, bool reasons) {
  const auto& pipeline = loaded.parsed.pipeline;
  std::size_t stage_width = 0;
  std::vector<std::vector<const pipelines::PlannedJob*>> by_stage(pipeline.stages.size());
  for (const auto& planned : loaded.plan.jobs) {
    if (!planned.included) continue;
    by_stage[planned.stage].push_back(&planned);
    stage_width = std::max(stage_width, display_width(pipeline.jobs[planned.job].stage));
  }
  std::string text;
  for (std::size_t stage = 0; stage < by_stage.size(); ++stage) {
    const auto& jobs = by_stage[stage];
    if (jobs.empty()) continue;
    if (!text.empty()) text += "  │\n";
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const auto& planned = *jobs[i];
      const auto& job = pipeline.jobs[planned.job];
      const bool last = i + 1 == jobs.size();
      const char* branch = jobs.size() == 1 ? "───" : i == 0 ? "─┬─" : last ? " └─" : " ├─";
      std::string line =
          i == 0 ? padded(pipeline.stages[stage] + " ", stage_width + 1) : std::string(stage_width + 1, ' ');
      line += branch + (" " + padded(job.name + manner(job, planned), name_width));
      if (planned.dag) {
        line +=
            planned.needs.empty() ? "  ← nothing" : fmt::format("  ← {}", fmt::join(need_names(loaded, planned), ", "));
      }
      if (job.step) line += "  " + pipelines::describe(*job.step);
      if (reasons) line += fmt::format("  ({})", loaded.plan.reason(pipeline, planned.job));
      line.resize(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
  }
  if (text.empty()) text = fmt::format("nothing to run: {}\n", loaded.plan.empty_reason);
  return text;
}

std::size_t name_width_of(const Loaded& loaded) {
  constexpr std::size_t widest = 50;
  std::size_t width = 0;
  for (const auto& planned : loaded.plan.jobs) {
    if (!planned.included) continue;
    const auto& job = loaded.parsed.pipeline.jobs[planned.job];
    width = std::max(width, display_width(job.name + manner(job, planned)));
  }
  return std::min(width, widest);
}

}  // namespace

std::string plan_text(const Loaded& loaded) {
  const auto& pipeline = loaded.parsed.pipeline;
  const std::size_t name_width = name_width_of(loaded);
  std::string text = spine(loaded, name_width, /*reasons=*/true);
  bool first = true;
  std::vector<std::string> said;  // the workflow's rules are the same for every job
  for (const auto& planned : loaded.plan.jobs) {
    if (planned.included) continue;
    if (first) text += "\nleft out\n";
    first = false;
    text += fmt::format("  ⊘ {}  ({})\n", padded(pipeline.jobs[planned.job].name, name_width),
                        loaded.plan.reason(pipeline, planned.job));
    const std::vector<std::string> unmatched = loaded.plan.unmatched(pipeline, planned.job);
    if (planned.decision == pipelines::Decision::workflow && unmatched == said) continue;
    for (const auto& line : unmatched) text += fmt::format("      {}\n", line);
    if (planned.decision == pipelines::Decision::workflow) said = unmatched;
  }
  return text;
}

std::string plan_spine(const Loaded& loaded) { return spine(loaded, name_width_of(loaded), /*reasons=*/false); }

std::string plan_reason(const Loaded& loaded, pipelines::JobIndex job) {
  const std::vector<std::string> unmatched = loaded.plan.unmatched(loaded.parsed.pipeline, job);
  const std::string reason = loaded.plan.reason(loaded.parsed.pipeline, job);
  return unmatched.empty() ? reason : fmt::format("{} ({})", reason, fmt::join(unmatched, "; "));
}

nlohmann::json planned_json(const Loaded& loaded, const pipelines::PlannedJob& planned) {
  const auto& job = loaded.parsed.pipeline.jobs[planned.job];
  nlohmann::json shown = {
      {"name", job.name},
      {"stage", job.stage},
      {"needs", need_names(loaded, planned)},
      {"dag", planned.dag},
      {"when", word(planned.when)},
      {"included", planned.included},
      {"reason", plan_reason(loaded, planned.job)},
  };
  if (job.step) shown["step"] = pipelines::describe(*job.step);
  return shown;
}

std::string plan_json(const Loaded& loaded) {
  nlohmann::json array = nlohmann::json::array();
  for (const auto& planned : loaded.plan.jobs) array.push_back(planned_json(loaded, planned));
  return array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace runner
