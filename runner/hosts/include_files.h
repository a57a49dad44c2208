// The files that `include` names (pipelines/includes.h): of the project, of other projects' clones, of a directory of
// templates, and of the network.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/includes.h"

namespace runner {

struct IncludeSettings {
  std::filesystem::path project;              // absolute
  std::string revision;                       // --ref: its commit's files in place of the working tree's
  std::filesystem::path except;               // see source_list()
  std::function<std::string()> project_path;  // what the project itself is called: "group/project"
  // [include.projects]: "group/project" or "host/group/project" to a clone, bare or not.
  std::vector<std::pair<std::string, std::string>> projects;
  std::filesystem::path templates;         // [include] templates; empty: there are none
  std::vector<std::string> allowed_hosts;  // [include] allowed_hosts: see remote_file.h
  // A child pipeline's: trees of artifacts by the job that made them; later ones win.
  std::map<std::string, std::vector<std::filesystem::path>> artifacts;
  std::filesystem::path cache;  // a directory for files of the network; made when it is needed
};

// `local`: from the working tree (or the commit); a link that leads out of the project is refused.
// `project`: from the clone that the settings name, at `ref` (a tag, branch or commit; without one its HEAD); the
// project itself needs no setting. `component`: the same, templates/NAME.yml or templates/NAME/template.yml; a version
// may be a commit, tag, branch, `~latest`, or the beginning of a semantic version.
// Its answers are faults, not exceptions, whatever is wrong with what the file names.
std::unique_ptr<pipelines::Includes> make_includes(IncludeSettings);

// A tag for a component's version among these: `~latest` and `1`, `1.2` are the highest that fit, prereleases are not
// taken. Empty when none does.
std::string highest_version(const std::vector<std::string>& tags, std::string_view wanted);

}  // namespace runner
