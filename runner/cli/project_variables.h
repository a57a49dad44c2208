// The project's variables and secrets, from its file on this machine and, with a token, from its GitLab.
#pragma once

#include <string>
#include <vector>

#include "pipelines/plan.h"
#include "runner/config/project_file.h"

namespace runner {

// From weak to strong: GitLab's groups, GitLab's project, the file. `server_url`: of the remote; empty: there is none.
// Without a token nothing is asked over the network. Where GitLab cannot be asked, or the file is open to others, one
// warning goes to stderr. Throws ConfigError: the file is wrong.
std::vector<ProjectVariable> project_variables(const std::string& server_url, const std::string& project_path,
                                               const EnvironmentLookup& = process_environment());

// Those that a run on that kind of ref gets, as the trigger's: weaker than --variable, stronger than the file's own.
void add_project_variables(pipelines::Trigger&, const std::vector<ProjectVariable>&, bool ref_is_protected);

}  // namespace runner
