// File trees of a job's workspace: copies of trees, the merged view of overlay layers, and taking artifacts out of it.
// Links are never followed out of a tree; nothing outside `root` is ever opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"

namespace executors {

// A stack of directories as overlayfs shows it: the first is the upper, then the lowers from top to bottom.
// Whiteouts are character devices 0:0, opaque directories carry user.overlay.opaque (the mount option `userxattr`;
// kernel documentation, filesystems/overlayfs).
struct Layers {
  std::vector<std::filesystem::path> top_down;
};

// Copies `from` to the new directory `to` with the snapshot's modes (directories 0777, files 0666 or 0777): reflink,
// else copy_file_range. Symlinks are copied as they are. Throws WorldError.
void copy_tree(const std::filesystem::path& from, const std::filesystem::path& to);

// Lays `inputs` (later wins) over the existing tree `to`, as copy_tree does.
void overlay_copy(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& to);

// Takes what `spec` asks for out of the workspace of a job that is over: `archive` into `layer`, each report into
// `layer`.reports/<kind>. Files that only this job made are renamed or hard-linked into place (O(1) per tree where
// possible), others are reflinked or copied; what ends in `layer` has the snapshot's modes and is shared with nothing
// writable. `passed` selects by ArtifactsSpec::when. Paths outside the project, sockets and devices are left out with
// a warning; a path that matches nothing is a warning. Throws WorldError with reason "artifacts_failed" (disk full …).
// `project_dir` is the sources' path inside the sandbox: a pattern may begin with it. The workspace is used up: whole
// directories are renamed out of its upper layer, which must have been handed over to the runner's user.
std::vector<Collected> collect(const Layers& workspace, std::string_view project_dir,
                               const std::filesystem::path& tracked_list, const ArtifactsSpec& spec, bool passed,
                               const std::filesystem::path& layer, Notices& notices);

// Removes a tree, also one with read-only directories; never follows links. Errors are ignored but told.
bool remove_tree(const std::filesystem::path&) noexcept;

}  // namespace executors
