#include "runner/cli/project_variables.h"
#include "runner/cli/say.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "runner/hosts/gitlab_variables.h"

namespace runner {
namespace {

using pipelines::Precedence;

std::string host_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return {};
  const std::string authority = url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
  return authority.substr(0, authority.find(':'));
}

// A token of the project's file is for the file's `url`, else for the remote's server. One of the environment is for
// RUNNER_GITLAB_URL (else GitLab.com) alone, so that no other server that a clone may come from ever sees it.
std::optional<GitLabAccess> access(const ProjectFile& file, const std::string& server_url,
                                   const EnvironmentLookup& environment) {
  if (!file.gitlab_token.empty()) {
    if (!file.gitlab_url.empty()) return GitLabAccess{file.gitlab_url, file.gitlab_token};
    if (server_url.starts_with("https://")) return GitLabAccess{server_url, file.gitlab_token};
    say("warning: {}: there is a token, but no `url` to use it at\n", file.path.string());
    return std::nullopt;
  }
  const std::string token = environment("RUNNER_GITLAB_TOKEN").value_or("");
  if (token.empty()) return std::nullopt;
  std::string url = environment("RUNNER_GITLAB_URL").value_or("");
  if (url.empty()) url = "https://gitlab.com";
  while (url.ends_with('/')) url.pop_back();
  if (host_of(url) != host_of(server_url)) return std::nullopt;
  return GitLabAccess{url, token};
}

std::vector<ProjectVariable> ask_gitlab(const GitLabAccess& access, const std::string& project_path) {
  try {
    GitLabVariables found = read_gitlab_variables(access, project_path);
    if (!found.hidden.empty()) {
      say("warning: {} does not show the values of {}\n"
          "hint: give them in the project's file, or with --secret\n",
          access.url, fmt::join(found.hidden, ", "));
    }
    return std::move(found.variables);
  } catch (const GitLabError& error) {
    say("warning: the project's variables could not be read: {}\nhint: the run goes on without them\n", error.what());
    return {};
  }
}

// From the least special to the most: any text, then patterns by what they fix, then whole names.
bool less_special(const pipelines::ScopedVariable& a, const pipelines::ScopedVariable& b) {
  const auto rank = [](const std::string& scope) {
    return std::pair(scope.find('*') == std::string::npos, scope.size());
  };
  return rank(a.scope) < rank(b.scope);
}

}  // namespace

std::vector<ProjectVariable> project_variables(const std::string& server_url, const std::string& project_path,
                                               const EnvironmentLookup& environment) {
  const ProjectFile file = load_project_file(project_file_path(host_of(server_url), project_path, environment));
  for (const std::string& warning : file.warnings) say("warning: {}\n", warning);
  std::vector<ProjectVariable> all;
  if (const std::optional<GitLabAccess> gitlab = access(file, server_url, environment)) {
    all = ask_gitlab(*gitlab, project_path);
  }
  lay_over(all, file.variables);
  return all;
}

void add_project_variables(pipelines::Trigger& trigger, const std::vector<ProjectVariable>& variables,
                           bool ref_is_protected) {
  for (const ProjectVariable& variable : variables) {
    if (variable.is_protected && !ref_is_protected) continue;
    const bool expand = !variable.raw;
    if (variable.environment_scope == "*") {
      trigger.variables.set(variable.name, variable.value, Precedence::project, expand, variable.masked, variable.file);
    } else {
      trigger.scoped.push_back({variable.environment_scope,
                                variable.name,
                                {variable.value, Precedence::project, expand, variable.masked, variable.file}});
    }
  }
  std::stable_sort(trigger.scoped.begin(), trigger.scoped.end(), less_special);
}

}  // namespace runner
