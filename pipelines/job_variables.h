// A job's variables, layer by layer: the trigger's, the file's, the job's, its rule's, and the predefined ones that
// depend on the job. Used by plan.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pipelines/pipeline.h"
#include "pipelines/variables.h"

namespace pipelines {

// What all jobs of a run have in common.
struct SharedVariables {
  const VariableSet& trigger;  // as the trigger gave them
  const VariableSet& all;      // with the file's top-level and workflow:rules variables laid over
  std::span<const ScopedVariable> scoped = {};
};

// Everything the job gets but dotenv, not expanded. `rule`: the one that let it in, or null.
VariableSet job_variables(const SharedVariables&, const Job&, const Rule* rule);

// One variable as the job's `rules` see it: without any rule's own variables. The same answer as
// job_variables(…, nullptr).find(name), without making the set.
std::optional<VariableSet::Entry> job_variable(const SharedVariables&, const Job&, std::string_view name);

// CI_ENVIRONMENT_SLUG, byte for byte GitLab's (lib/gitlab/slug/environment.rb): at most 24 of a-z, 0-9 and '-',
// beginning with a letter, and with a hash of the name wherever the name itself was none.
std::string environment_slug(std::string_view name);

// A job's name without what `parallel` adds to it (lib/gitlab/utils/job.rb).
std::string group_name(const std::string& name);

// GitLab's guess at a deployment tier from an environment's name.
std::string_view environment_tier(std::string_view name);

}  // namespace pipelines
