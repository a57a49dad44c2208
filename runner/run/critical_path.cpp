#include "runner/run/critical_path.h"

#include <algorithm>
#include <optional>

namespace runner {
namespace {

using pipelines::JobIndex;
using pipelines::PlannedJob;

bool waits_for(const pipelines::Plan& plan, const PlannedJob& job, JobIndex other) {
  if (!job.dag) return plan.jobs[other].stage < job.stage;
  return std::any_of(job.needs.begin(), job.needs.end(), [&](const auto& need) { return need.job == other; });
}

}  // namespace

std::vector<JobIndex> critical_path(const pipelines::Plan& plan, const std::map<JobIndex, Span>& spans) {
  std::vector<JobIndex> path;
  std::optional<JobIndex> at;
  do {
    std::optional<JobIndex> before;
    for (const auto& [job, span] : spans) {
      if (at && !waits_for(plan, plan.jobs[*at], job)) continue;
      if (!before || span.finished > spans.at(*before).finished) before = job;
    }
    at = before;
    if (at) path.push_back(*at);
  } while (at);
  std::reverse(path.begin(), path.end());
  return path;
}

void Spans::on(const Event& event) {
  if (const auto* started = std::get_if<JobStarted>(&event)) {
    spans_.try_emplace(started->key.job, Span{started->time, started->time});
  } else if (const auto* finished = std::get_if<JobFinished>(&event)) {
    if (const auto found = spans_.find(finished->key.job); found != spans_.end())
      found->second.finished = finished->time;
  }
}

}  // namespace runner
