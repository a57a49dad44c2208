#include "pipelines/circle.h"

#include <algorithm>
#include <cstddef>

namespace pipelines {

// Depth first, without recursion: a chain may be as long as the pipeline.
std::vector<JobIndex> find_circle(const Plan& plan) {
  struct Visit {
    JobIndex job = 0;
    std::size_t next = 0;  // the need to follow
  };
  std::vector<bool> seen(plan.jobs.size());
  std::vector<bool> open(plan.jobs.size());
  std::vector<Visit> path;
  const auto enter = [&](JobIndex job) {
    seen[job] = open[job] = true;
    path.push_back({job, 0});
  };
  for (JobIndex first = 0; first < plan.jobs.size(); ++first) {
    if (!seen[first]) enter(first);
    while (!path.empty()) {
      Visit& visit = path.back();
      const std::vector<PlannedNeed>& needs = plan.jobs[visit.job].needs;
      if (visit.next == needs.size()) {
        open[visit.job] = false;
        path.pop_back();
        continue;
      }
      const JobIndex needed = needs[visit.next++].job;
      if (open[needed]) {
        std::vector<JobIndex> circle;
        auto at = std::find_if(path.begin(), path.end(), [&](const Visit& each) { return each.job == needed; });
        for (; at != path.end(); ++at) circle.push_back(at->job);
        return circle;
      }
      if (!seen[needed]) enter(needed);
    }
  }
  return {};
}

}  // namespace pipelines
