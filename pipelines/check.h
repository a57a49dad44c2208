// What only the whole pipeline shows: names that are not defined, circles, stages out of order, jobs without work.
#pragma once

#include <vector>

#include "pipelines/findings.h"
#include "pipelines/keywords.h"
#include "pipelines/pipeline.h"

namespace pipelines {

// `drafts` are parallel to pipeline.jobs. Linear in the jobs and their needs. Reports nothing that a mistake already
// reported would explain.
void check(const Pipeline&, const std::vector<JobDraft>& drafts, const PipelineDraft&, Findings&);

}  // namespace pipelines
