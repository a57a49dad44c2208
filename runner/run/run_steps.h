// `run` steps as an executor is told of them: `${{ … }}` replaced by what is known when the job begins.
#pragma once

#include <string>
#include <vector>

#include "executors/executor.h"
#include "pipelines/pipeline.h"
#include "pipelines/variables.h"

namespace runner {

// Known are (docs.gitlab.com/ci/steps, "Expressions"; docs.gitlab.com/ci/functions/moa, "Context reference"): `vars`,
// the job's variables; `job`, those of them that begin with CI_, DOCKER_ or GITLAB_; `env`, the environment as far as
// the runner makes it, with the step's own; `work_dir`. A step with an expression that cannot be evaluated says so and
// fails.
std::vector<executors::WorkStep> work_steps(const std::vector<pipelines::RunStep>&, const pipelines::VariableSet&,
                                            const std::string& project_dir);

}  // namespace runner
