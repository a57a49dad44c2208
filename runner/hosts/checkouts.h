// The snapshots of one run: one for each choice that its jobs make of their sources (mostly there is only one). They
// share their files, so that a further one costs a link for each file.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "executors/executor.h"
#include "runner/hosts/checkout.h"

namespace runner {

class Checkouts {
 public:
  // `made` is told of each snapshot with the name of its choice, for whoever resumes the run.
  using Made = std::function<void(const std::string& choice, const Snapshot&)>;
  // Of `project` below `root`, see make_snapshot; `how` is the same for all but its choice.
  Checkouts(std::filesystem::path project, std::filesystem::path root, SnapshotOptions how);

  // From now on `made` is told; of those that are there, at once.
  void tell(Made made);
  // One that an earlier process made, under the name that it was told by.
  void put(std::string choice, Snapshot);

  struct Taken {
    executors::Sources sources;
    std::vector<std::string> warnings;
  };
  // Any thread. Makes it where there is none yet. Throws GitError, or WorldError for a full disk.
  Taken take(const SourceChoice&);
  std::size_t size() const;

 private:
  SourceChoice simplified(SourceChoice) const;
  const Snapshot& find(const SourceChoice&);

  const std::filesystem::path project_, root_;
  const SnapshotOptions how_;
  const bool submodules_;     // there are any
  mutable std::mutex mutex_;  // guards the rest
  Made made_;
  std::map<std::string, Snapshot> taken_;
};

}  // namespace runner
