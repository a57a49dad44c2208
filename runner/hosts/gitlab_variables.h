// The variables of a project and its groups, read from a GitLab server (docs.gitlab.com/ee/api/project_level_variables,
// /group_level_variables, /rest, "Offset-based pagination"). The only place where a run talks to one, and only with a
// token.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "runner/config/project_file.h"

namespace runner {

struct GitLabAccess {
  std::string url;                             // https://gitlab.example.com, without a slash at the end
  std::string token;                           // a personal, project or group access token with the scope read_api
  std::chrono::milliseconds patience{10'000};  // for one request, all of it
};

// In one line, without the token.
class GitLabError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct GitLabVariables {
  std::vector<ProjectVariable> variables;  // from weak to strong: of the outermost group first, the project's last
  std::vector<std::string> hidden;         // names whose values GitLab gives nobody; not among the variables
};

// Throws GitLabError. A group that the token may not see, or that is a user's namespace, has no variables for us.
GitLabVariables read_gitlab_variables(const GitLabAccess&, const std::string& project_path);

}  // namespace runner
