// What keywords ask of the repository beyond the facts of a run: the last commit of a file, and the tag of a release.
// make_tag is the one place that writes to the user's repository; nothing is ever pushed. Throws GitError.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "runner/hosts/git.h"

namespace runner {

// The last commit that changed `path` (relative to the project), looking back from `revision` (empty: HEAD). Empty when
// there is no repository or the file is not in it.
std::string last_commit_of(const std::filesystem::path& project_dir, std::string_view revision, std::string_view path);

struct TagMade {
  bool repository = true;  // false: there is none, nothing was done
  bool existed = false;    // the tag was there: left as it is
  std::string sha;         // the commit it names
};

// A tag at `ref` (a branch, tag or sha); annotated when there is a message. Throws GitError for a name that git does
// not allow and a ref that is not there.
TagMade make_tag(const std::filesystem::path& project_dir, const std::string& name, const std::string& ref,
                 const std::string& message);
bool has_tag(const std::filesystem::path& project_dir, const std::string& name);

// Whose caches and releases these are: the project's address on its server, or else its folder; with the folder within
// the repository, where it is not the top.
std::string project_identity(const std::filesystem::path& project_dir);

}  // namespace runner
