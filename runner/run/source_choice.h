// What a job's variables say of its sources and of how often its steps are tried: GIT_… and …_ATTEMPTS
// (docs.gitlab.com/ci/runners/configure_runners; gitlab-runner's common/build_settings.go is followed where that is
// silent).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipelines/pipeline.h"
#include "pipelines/plan.h"
#include "pipelines/variables.h"
#include "runner/hosts/checkout.h"

namespace runner {

// What is wrong with the values; a line each.
struct VariableFindings {
  std::vector<std::string> warnings;  // and what is taken in their place
  std::string refused;                // the job cannot run
};

struct ChosenSources {
  bool any = true;  // false: GIT_STRATEGY is none or empty
  SourceChoice choice;
};
ChosenSources chosen_sources(const pipelines::VariableSet& expanded, VariableFindings&);

// The choices of the jobs that are to run, as far as they can be known before the first begins; each once, the
// commonest first. Never empty.
std::vector<SourceChoice> planned_choices(const pipelines::Pipeline&, const pipelines::Plan&);

// How often a step is tried before it has failed, each from 1 to 10.
struct Attempts {
  unsigned get_sources = 1;        // GET_SOURCES_ATTEMPTS
  unsigned artifact_download = 1;  // ARTIFACT_DOWNLOAD_ATTEMPTS
  unsigned restore_cache = 1;      // RESTORE_CACHE_ATTEMPTS
  unsigned job_section = 1;        // EXECUTOR_JOB_SECTION_ATTEMPTS
};
Attempts attempts(const pipelines::VariableSet& expanded, VariableFindings&);

// A flag of a job, as Go's strconv.ParseBool reads it; anything else is told, and `otherwise` is taken.
bool flag(const pipelines::VariableSet& expanded, std::string_view name, bool otherwise, VariableFindings&);

}  // namespace runner
