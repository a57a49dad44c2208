// Circles among the jobs of a plan.
#pragma once

#include <vector>

#include "pipelines/plan.h"

namespace pipelines {

// Jobs that wait for each other by PlannedJob::needs: each needs the next, the last one the first. The first circle
// that is found; empty: there is none. Linear in jobs and needs.
std::vector<JobIndex> find_circle(const Plan&);

}  // namespace pipelines
