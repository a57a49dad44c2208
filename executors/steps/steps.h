// The steps that run in the runner, one file each: small state machines that can be taken up again after the runner
// died, because all that they change goes through Context::once. Called by the executor of steps alone.
//
// Each returns its verdict, or throws StepFailed (its verdict too), aws::CallError, aws::SetupError, WorldError, or
// http::Cancelled once it has dealt with a cancellation by its policy.
#pragma once

#include "executors/steps/context.h"
#include "pipelines/steps.h"

namespace executors::steps {

JobResult run_step(const pipelines::AsgDeploy&, Context&);
JobResult run_step(const pipelines::EcsDeploy&, Context&);
JobResult run_step(const pipelines::EcsTask&, Context&);
JobResult run_step(const pipelines::RetireScan&, Context&);  // with a sandbox

}  // namespace executors::steps
