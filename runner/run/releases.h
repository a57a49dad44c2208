// `release` carried out here: a git tag, and the notes in the store. Nothing leaves this machine.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "executors/executor.h"
#include "pipelines/pipeline.h"
#include "runner/secrets/redactor.h"
#include "runner/store/store.h"

namespace runner {

// A release that cannot be made, which fails its job as in GitLab.
class ReleaseError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ReleaseScene {
  std::filesystem::path project_dir;
  std::string project;   // its identity (hosts/commits.h)
  std::string revision;  // what the run's sources are: tagged unless `ref` says otherwise; empty: HEAD
};

// `release` is expanded, its description the text itself. Returns what was done, a line each. A tag that exists is used
// as it is, without a repository only the notes are kept; a release that exists fails the job, as GitLab does:
// ReleaseError. So does what git refuses. The tag has the name that the author gave it; the store gets it and the notes
// without secrets (storable_name).
std::vector<std::string> make_release(Store&, const ReleaseScene&, const AttemptKey&, const pipelines::Release&,
                                      const SecretSet&, executors::Notices&);

// The report kind under which a description's file is taken from the workspace; never kept.
inline constexpr const char* description_kind = "release:description";

// A description without any space may name a file (release-cli's rule).
bool may_name_file(const std::string& description);
// Takes the description's file out of what was collected; its text, or the description itself.
std::string take_description(const std::string& description, std::vector<executors::Collected>&);

}  // namespace runner
