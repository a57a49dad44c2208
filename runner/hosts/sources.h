// The files of a project with what stat says of them. Used by the snapshots; source_list() is the public view.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace runner {

struct SourceFile {
  std::string path;  // below the project
  std::uint64_t dev = 0, ino = 0, size = 0;
  std::int64_t mtime = 0, ctime = 0;  // ns
  std::uint32_t mode = 0;             // st_mode: a regular file or a symlink
  bool tracked = false;
};

// Sorted by path. See source_list(). `directories`: where sources are or could be, below the project ("" is itself):
// those that git does not ignore.
std::vector<SourceFile> walk_sources(const std::filesystem::path& project_dir, const std::filesystem::path& except,
                                     std::vector<std::string>* directories = nullptr);

}  // namespace runner
