// gitlab-runner's feature flags (docs.gitlab.com/runner/configuration/feature-flags, as of 19.4). Scripts may read them
// all; which of them change what is done here says docs/language.md.
#pragma once

#include <string>
#include <vector>

#include "pipelines/variables.h"

namespace runner {

// Every flag that `variables` does not have, with gitlab-runner's default.
void add_feature_flags(pipelines::VariableSet& variables);

// As gitlab-runner hands them on: `true` or `false` whatever was written; what is neither is told, and the default
// taken.
void settle_feature_flags(pipelines::VariableSet& expanded, std::vector<std::string>& warnings);

}  // namespace runner
