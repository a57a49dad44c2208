// What a project's variables are on GitLab's settings page, for this machine: a file per project, that no repository
// holds. $XDG_CONFIG_HOME/runner/projects/HOST/GROUP/PROJECT.toml (else ~/.config/…); HOST and path are the remote's, a
// project without one is local/NAME.
//
//   [variables]
//   REGION = "eu-west-1"
//   URL = { value = "https://live.test", environment_scope = "production", protected = true }
//   URL = [ { value = "…", environment_scope = "review/*" }, … ]    # several scopes in place of the one above
//   [secrets]                          # the same, but masked unless they say `masked = false`
//   TOKEN = "…"
//   CERTIFICATE = { value = "…", file = true }
//   [gitlab]                           # with a token: GitLab's own variables too
//   token = "glpat-…"
//   url = "https://gitlab.example.com" # default: the remote's
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runner/config/config.h"

namespace runner {

// docs.gitlab.com/ee/ci/variables, "For a project"; the fields have the names of the API's.
struct ProjectVariable {
  std::string name, value;
  std::string environment_scope = "*";
  bool masked = false;
  bool is_protected = false;  // only on protected branches and tags
  bool file = false;          // the job sees the path of a file that holds the value
  bool raw = false;           // `$` in the value is literal
  friend bool operator==(const ProjectVariable&, const ProjectVariable&) = default;
};

struct ProjectFile {
  std::filesystem::path path;
  std::vector<ProjectVariable> variables;  // in the file's order, [variables] first
  std::string gitlab_url, gitlab_token;
  std::vector<std::string> warnings;
};

// Where the project's file is, or would be. Empty where there is no home.
std::filesystem::path project_file_path(std::string_view host, std::string_view project_path, const EnvironmentLookup&);

// Nothing where there is no such file. Throws ConfigError with every complaint: a syntax error, an unknown key, a value
// of the wrong kind, a name that no variable can have.
ProjectFile load_project_file(const std::filesystem::path&);

// Adds a stronger level's variables to those of weaker ones: one for all environments hides every weaker one of its
// name.
void lay_over(std::vector<ProjectVariable>& weaker, const std::vector<ProjectVariable>& stronger);

}  // namespace runner
