// File trees of a job's workspace: copies of trees, the merged view of overlay layers, and taking artifacts out of it.
// Links are never followed out of a tree; nothing outside `root` is ever opened.
#pragma once

#include <chrono>
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

// Copies `from` to the new directory `to`: directories with mode 0777, files with theirs (but set-user-ID and the like)
// and, for root, their owners; reflink, else copy_file_range. Symlinks are copied as they are. Throws WorldError.
void copy_tree(const std::filesystem::path& from, const std::filesystem::path& to);

// Lays `inputs` (later wins) over the existing tree `to`, as copy_tree does.
void overlay_copy(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& to);

// Takes what `spec` asks for out of the workspace of a job that is over: `archive` into `layer`, each report into
// `layer`.reports/<kind>. Files that only this job made are renamed or hard-linked into place (O(1) per tree where
// possible), others are reflinked or copied; what ends in `layer` has directories of mode 0777 and files of the modes
// the job gave them (but set-user-ID and the like), and is shared with nothing writable. `passed` selects by
// ArtifactsSpec::when. Paths outside the project, sockets and devices are left out with a warning; a path that matches
// nothing is a warning. Throws WorldError with reason "artifacts_failed" (disk full …). `project_dir` is the sources'
// path inside the sandbox: a pattern may begin with it. The workspace is used up: whole directories are renamed out of
// its upper layer, which must have been handed over to the runner's user.
std::vector<Collected> collect(const Layers& workspace, std::string_view project_dir,
                               const std::filesystem::path& tracked_list, const ArtifactsSpec& spec, bool passed,
                               const std::filesystem::path& layer, Notices& notices);

// Takes the caches that `caches` asks for, before the artifacts: each into `layer`.caches/<number>. A cache that is as
// it was restored is only found to be so: what the workspace shows below its paths is compared with
// CacheSpec::restored, by layer or inode where that says it, else by size and times; `begun` is when the job's first
// process may have begun. `more`: artifacts will be taken of the same workspace. Never throws: what cannot be taken is
// a warning.
std::vector<CollectedCache> collect_caches(const Layers& workspace, std::string_view project_dir,
                                           const std::filesystem::path& tracked_list,
                                           const std::vector<CacheSpec>& caches, bool passed, bool more,
                                           const std::filesystem::path& layer,
                                           std::chrono::system_clock::time_point begun, Notices& notices);

// Whether collect() or collect_caches() would take anything from a job that ended so.
bool takes_archive(const ArtifactsSpec&, bool passed);
bool takes_caches(const std::vector<CacheSpec>&, bool passed);

// Removes a tree, also one with read-only directories; never follows links. Errors are ignored but told.
bool remove_tree(const std::filesystem::path&) noexcept;

}  // namespace executors
