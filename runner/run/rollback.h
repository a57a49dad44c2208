// Which deployment a rollback makes again. Reads the trail, runs nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/store/store.h"

namespace runner {

struct RollbackTarget {
  std::string refused;              // why there is none, with a hint; then there is nothing else
  DeploymentRow deployment;         // the newest row of it
  std::vector<std::uint32_t> jobs;  // of its run, from 1: those that deployed to the environment
};

// `to`: a deployment's number; 0: the good one before what is there now. After a failed deployment that is the newest
// good one. After a rollback it is the one before what that went back to, so that two rollbacks go back two
// deployments.
RollbackTarget find_rollback(const Store&, const std::string& project, const std::string& environment,
                             std::uint64_t to);

}  // namespace runner
