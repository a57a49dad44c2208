// The `.git` of a snapshot: enough for `git describe`, `log` and `diff`, nothing that runs or tells (no hooks, no
// credentials, no configuration but core settings).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runner/hosts/submodules.h"

namespace runner {

struct GitCopyOptions {
  std::string revision;  // HEAD is detached there, and the index holds its tree; empty: both are the repository's
  // So many commits of the history below HEAD are there, as in a shallow clone (git's `shallow` file); 0: all.
  unsigned depth = 0, submodule_depth = 0;
  bool index = true;
};

// What decides the content of the copy: refs, HEAD, index, remote. Empty without a repository.
std::string git_fingerprint(const std::filesystem::path& project_dir, const GitCopyOptions&,
                            const std::vector<SubmoduleCopy>&);

// Makes `to` (a new directory). Objects are hard links to the repository's, which git never writes again and which no
// job can write (they are a lower layer of its view), or copies where that is not possible. Submodules' repositories
// go below `to`/modules, as `git submodule` has them, and a file .git that names them into their directories. Does
// nothing without a repository or without commits.
void copy_git(const std::filesystem::path& project_dir, const GitCopyOptions&, const std::vector<SubmoduleCopy>&,
              const std::filesystem::path& to);

}  // namespace runner
