// What is to be in a snapshot: the files of the working tree or of a commit, as the job's choice has it. Used by
// checkout.cpp alone.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "runner/hosts/checkout.h"
#include "runner/hosts/libgit.h"
#include "runner/hosts/submodules.h"

namespace runner {

// One file to be in the snapshot. `stamp` says what it was made from: equal stamps, equal content.
struct SnapshotItem {
  std::string path, stamp;
  bool symlink = false, executable = false, tracked = false;
  bool directory = false;  // an empty one: a submodule that is not wanted, or not here
  // Of a commit's file: its content, and in which repository that is (SnapshotItems::repositories).
  git_oid blob{};
  std::size_t repository = 0;
  std::string name;           // below that repository's top
  std::filesystem::path lfs;  // the file that Git LFS keeps in place of the blob
};

struct SnapshotItems {
  std::vector<SnapshotItem> items;                  // sorted by path
  std::vector<std::filesystem::path> repositories;  // git directories; the first is the project's
  std::vector<SubmoduleCopy> submodules;            // those that are in
  std::vector<std::string> warnings;
};

SnapshotItems working_tree_items(const std::filesystem::path& project, const SnapshotOptions&);
SnapshotItems commit_items(const std::filesystem::path& project, const SnapshotOptions&);

}  // namespace runner
