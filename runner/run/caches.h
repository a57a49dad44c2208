// Caches of one project: the store has their content, and beside it stand read-only trees of what is in use, so that
// an unchanged cache is neither read nor written. A tree stands at `<directory>/<its number in the store>`, is put
// there by one rename and never written to.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/run/scheduler.h"
#include "runner/store/store.h"

namespace runner {

class Caches {
 public:
  // `project`: see project_identity (hosts/commits.h). The store must outlive it.
  Caches(Store& store, std::string project, std::filesystem::path directory)
      : store_(store), project_(std::move(project)), directory_(std::move(directory)) {}

  // The first of `keys` that there is. Throws WorldError; called from several threads, as the next.
  std::optional<RestoredCache> restore(const std::vector<std::string>& keys);
  KeptCache keep(const std::string& key, const executors::CollectedCache&, const std::optional<RestoredCache>&);
  bool saved() const { return saved_; }  // anything was kept: worth looking at the limits

 private:
  std::filesystem::path standing(std::uint64_t tree) const { return directory_ / std::to_string(tree); }
  void make_stand(std::uint64_t tree);

  Store& store_;
  const std::string project_;
  const std::filesystem::path directory_;
  std::atomic<bool> saved_ = false;
  std::atomic<unsigned> made_ = 0;
};

// Removes the trees that no cache means any more. Nothing while an unfinished run of any process, or
// what `exec --keep` left, may use them.
void prune_standing(const Store&, const std::filesystem::path& directory);

}  // namespace runner
