// `parallel`: one job of the file becomes its instances (lib/gitlab/ci/config/normalizer.rb).
#pragma once

#include <vector>

#include "pipelines/findings.h"
#include "pipelines/keywords.h"
#include "pipelines/pipeline.h"

namespace pipelines {

// All `parallel` of a file together make at most this many jobs: a few bytes of text would fill the memory otherwise.
inline constexpr std::size_t most_parallel_jobs = 50'000;

// Puts the instances in the place of every parallel job: "job 1/3", or "job: [a, b]" with the matrix's variables laid
// over the job's and `$[[ matrix.NAME ]]` replaced in its needs. `drafts` stay parallel to the jobs. Where two jobs
// come to one name, the later takes the earlier's place, as in GitLab: a warning. Errors: unknown names in
// `$[[ matrix.NAME ]]`, too many jobs.
void expand_parallel(Pipeline&, std::vector<JobDraft>& drafts, Findings&);

}  // namespace pipelines
