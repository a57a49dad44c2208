// The `.git` of a snapshot: enough for `git describe`, `log` and `diff`, nothing that runs or tells (no hooks, no
// credentials, no configuration but core settings).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace runner {

// What decides the content of the copy: refs, HEAD, index, remote. Empty without a repository.
std::string git_fingerprint(const std::filesystem::path& project_dir, std::string_view revision);

// Makes `to` (a new directory). Objects are hard links to the repository's, which git never writes again and which no
// job can write (they are a lower layer of its view), or copies where that is not possible. `revision`: HEAD is
// detached there and the index holds its tree. Does nothing without a repository or without commits.
void copy_git(const std::filesystem::path& project_dir, std::string_view revision, const std::filesystem::path& to);

}  // namespace runner
