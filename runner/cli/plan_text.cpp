#include "runner/cli/plan_text.h"

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

}  // namespace

std::string plan_text(const Loaded& loaded) {
  const auto& pipeline = loaded.parsed.pipeline;
  const auto& plan = loaded.plan;
  std::size_t stage_width = 0;
  std::size_t name_width = 0;
  std::vector<std::vector<const pipelines::PlannedJob*>> by_stage(pipeline.stages.size());
  std::vector<const pipelines::PlannedJob*> out;
  for (const auto& planned : plan.jobs) {
    if (!planned.included) {
      out.push_back(&planned);
      continue;
    }
    by_stage[planned.stage].push_back(&planned);
    const auto& job = pipeline.jobs[planned.job];
    stage_width = std::max(stage_width, display_width(job.stage));
    name_width = std::max(name_width, display_width(job.name + manner(job, planned)));
  }
  name_width = std::min<std::size_t>(name_width, 50);

  // One spine of stages; a job hangs on its stage, and says what it waits for when that is not the stage before.
  std::string text;
  bool first = true;
  for (std::size_t stage = 0; stage < by_stage.size(); ++stage) {
    const auto& jobs = by_stage[stage];
    if (jobs.empty()) continue;
    if (!first) text += "  │\n";
    first = false;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const auto& planned = *jobs[i];
      const auto& job = pipeline.jobs[planned.job];
      const bool last = i + 1 == jobs.size();
      const char* branch = jobs.size() == 1 ? "───" : i == 0 ? "─┬─" : last ? " └─" : " ├─";
      const std::string left =
          i == 0 ? padded(pipeline.stages[stage] + " ", stage_width + 1) : std::string(stage_width + 1, ' ');
      text += left + branch + " " + padded(job.name + manner(job, planned), name_width);
      if (planned.dag) {
        text +=
            planned.needs.empty() ? "  ← nothing" : fmt::format("  ← {}", fmt::join(need_names(loaded, planned), ", "));
      }
      text += fmt::format("  ({})\n", plan.reason(pipeline, planned.job));
    }
  }
  if (first) text += fmt::format("nothing to run: {}\n", plan.empty_reason);
  if (!out.empty()) {
    text += "\nleft out\n";
    for (const auto* planned : out) {
      text += fmt::format("  ⊘ {}  ({})\n", padded(pipeline.jobs[planned->job].name, name_width),
                          plan.reason(pipeline, planned->job));
    }
  }
  return text;
}

std::string plan_json(const Loaded& loaded) {
  const auto& pipeline = loaded.parsed.pipeline;
  nlohmann::json array = nlohmann::json::array();
  for (const auto& planned : loaded.plan.jobs) {
    const auto& job = pipeline.jobs[planned.job];
    array.push_back({
        {"name", job.name},
        {"stage", job.stage},
        {"needs", need_names(loaded, planned)},
        {"dag", planned.dag},
        {"when", word(planned.when)},
        {"included", planned.included},
        {"reason", loaded.plan.reason(pipeline, planned.job)},
    });
  }
  return array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace runner
