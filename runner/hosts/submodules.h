// Submodules: which of them are wanted, and where in the clone their repositories are.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/hosts/checkout.h"
#include "runner/hosts/libgit.h"

namespace runner {

// `path`: below the project; `level`: 0 for the project's own, 1 for theirs.
bool wants_submodule(const SourceChoice&, const std::string& path, unsigned level);

// What GIT_SUBMODULE_PATHS names: paths, or `:(exclude)PATH`, with all below; patterns are git's.
bool matches_pathspecs(const std::vector<std::string>& specs, const std::string& path);

// From a .gitmodules file (git-config's syntax): names by path.
std::map<std::string, std::string> submodule_names(std::string_view gitmodules);

// The repository of a submodule within that of what contains it: `git submodule` keeps it below modules/, older clones
// in the working tree. Null when it is in neither place.
git::Repository open_submodule(git_repository* container, const std::string& name, const std::string& path);

// By its git directory; its working tree may be gone. Throws GitError.
git::Repository open_git_directory(const std::filesystem::path&);

// A submodule whose files are among the sources.
struct SubmoduleCopy {
  std::string path;               // below the project
  std::string name;               // of its directory below .git/modules; for nested ones with theirs: "a/modules/b"
  std::filesystem::path git_dir;  // its repository
  std::string commit;             // hexadecimal; empty: what it has checked out
};

}  // namespace runner
