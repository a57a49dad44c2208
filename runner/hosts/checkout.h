// Snapshots: the read-only copy of the sources that every job of a run sees through a private, writable view.
//
// A snapshot is a directory `<root>/<fingerprint>` with
//   tree/      the sources: directories 0777, files 0666 or 0777, symlinks as they are; with a usable .git
//   tracked    NUL-separated paths git tracks
//   index      what each file was made from, so that the next snapshot copies only what changed
//   lock       held (shared flock) by runs that use it
// It never shares a file with the user's tree, is put in place by one rename and not changed afterwards; files that
// did not change are hard links between snapshots. Several processes may make and prune at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "executors/executor.h"
#include "runner/hosts/git.h"

namespace runner {

// Which submodules' files are among the sources; the others' directories are empty, as git leaves them.
enum class Submodules : std::uint8_t { none, normal, recursive };  // normal: not those of submodules

// What a job may choose of its sources (docs.gitlab.com/ci/runners/configure_runners, GIT_SUBMODULE_STRATEGY …).
struct SourceChoice {
  Submodules submodules = Submodules::none;
  // GIT_SUBMODULE_PATHS, of the project's own submodules: paths, or `:(exclude)PATH`; empty: all.
  std::vector<std::string> submodule_paths;
  unsigned depth = 0;            // GIT_DEPTH: commits of the history; 0: all there are
  unsigned submodule_depth = 0;  // GIT_SUBMODULE_DEPTH, likewise
  bool checkout = true;          // GIT_CHECKOUT; false: nothing but .git
  bool lfs = true;               // of a commit: the files that Git LFS keeps, not its pointers to them
};

// Whether the working tree, or the commit, has any submodules.
bool has_submodules(const std::filesystem::path& project_dir, const std::string& revision);

// Names a choice: equal texts, equal choices.
std::string to_text(const SourceChoice&);

struct SnapshotOptions {
  std::string revision;  // `--ref`: the tree of this commit; empty: the working tree
  bool git = true;       // with a .git
  SourceChoice choice;
  // Never taken, with all below it; when it is a file, all whose names begin like it (FILE-wal, FILE.chunks …): the
  // database's path leaves our own state out wherever it is.
  std::filesystem::path except;
  unsigned threads = 2;
  std::stop_token stop;
  // Told how many of how many files are in place, by the threads that put them there; (0, 0): they are being looked
  // for.
  std::function<void(std::size_t done, std::size_t files)> progress;
};

// A snapshot in use: while this object lives, prune_snapshots leaves it alone.
class Snapshot {
 public:
  Snapshot(Snapshot&&) noexcept;
  Snapshot& operator=(Snapshot&&) noexcept;
  ~Snapshot();
  executors::Sources sources() const;           // tree and tracked list
  const std::string& name() const;              // the fingerprint: 32 hexadecimal digits
  bool reused() const;                          // it stood already
  std::uint64_t files() const, copied() const;  // copied: not taken from an earlier snapshot
  // What of the choice could not be had (a submodule that is not here …), and the command that mends it; a line each.
  const std::vector<std::string>& warnings() const;

 private:
  friend Snapshot make_snapshot(const std::filesystem::path&, const std::filesystem::path&, const SnapshotOptions&);
  friend Snapshot open_snapshot(const std::filesystem::path&, const std::string&);
  friend bool is_outdated(const Snapshot&, const std::filesystem::path&, const SnapshotOptions&);
  struct Impl;
  explicit Snapshot(std::unique_ptr<Impl>);
  std::unique_ptr<Impl> impl_;
};

// The snapshot of `project_dir` below `root` (made when missing): an unchanged tree is found again, a changed one is
// built on the newest snapshot of that project. Throws GitError, or WorldError for a full disk.
Snapshot make_snapshot(const std::filesystem::path& project_dir, const std::filesystem::path& root,
                       const SnapshotOptions& = {});

// One made earlier, by its name: for a run that is resumed. GitError when it is gone.
Snapshot open_snapshot(const std::filesystem::path& root, const std::string& name);

// Whether the working tree is no more what the snapshot was made of.
bool is_outdated(const Snapshot&, const std::filesystem::path& project_dir, const SnapshotOptions& = {});

// Removes snapshots nobody uses but the `keep` most recently used, and what makers that died left; never those named in
// `spare` (of unfinished runs: their jobs may go on without a runner). Returns how many went.
std::size_t prune_snapshots(const std::filesystem::path& root, std::size_t keep,
                            const std::vector<std::string>& spare = {});

}  // namespace runner
