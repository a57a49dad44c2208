// The files of a project with what stat says of them. Used by the snapshots; source_list() is the public view.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace runner {

struct SourceFile {
  std::string path;  // below the project
  std::uint64_t dev = 0, ino = 0, size = 0;
  std::int64_t mtime = 0, ctime = 0;  // ns
  std::uint32_t mode = 0;             // st_mode: a regular file or a symlink; a directory: an empty submodule's
  bool tracked = false;
};

// Whether the files of a submodule are wanted; asked of each, whether it is checked out or not. `path`: below the
// project; `level`: 0 for the project's own, 1 for theirs.
using SubmoduleDecision = std::function<bool(const std::string& path, unsigned level, bool checked_out)>;

// Sorted by path. See source_list(). With a decision, submodules that are not wanted or not checked out are empty
// directories; without, those that are checked out are in. `directories`: where sources are or could be, below the
// project ("" is itself): those that git does not ignore.
std::vector<SourceFile> walk_sources(const std::filesystem::path& project_dir, const std::filesystem::path& except,
                                     const SubmoduleDecision& = {}, std::vector<std::string>* directories = nullptr);

}  // namespace runner
