#include "runner/run/caches.h"

#include <fmt/core.h>
#include <unistd.h>

#include <set>
#include <system_error>

#include "executors/workspace/tree.h"
#include "runner/run/kept.h"

namespace runner {

namespace fs = std::filesystem;

std::optional<RestoredCache> Caches::restore(const std::vector<std::string>& keys) {
  for (const auto& key : keys) {
    const auto row = store_.use_cache(project_, key);
    if (!row) continue;
    if (!fs::exists(standing(row->tree))) make_stand(row->tree);
    return RestoredCache{key, row->tree, standing(row->tree), row->files, row->bytes};
  }
  return std::nullopt;
}

void Caches::make_stand(std::uint64_t tree) {
  const fs::path making = directory_ / fmt::format(".{}-{}", ::getpid(), ++made_);
  try {
    fs::create_directories(directory_);
    store_.extract_tree(tree, making, TakenFor::job);
  } catch (const fs::filesystem_error& error) {
    executors::remove_tree(making);
    throw executors::WorldError("runner_system_failure", error.what());
  } catch (...) {
    executors::remove_tree(making);
    throw;
  }
  std::error_code error;
  fs::rename(making, standing(tree), error);
  if (error) executors::remove_tree(making);  // another job was faster
  if (error && !fs::exists(standing(tree))) {
    throw executors::WorldError("runner_system_failure",
                                fmt::format("cannot make {}: {}", standing(tree).string(), error.message()));
  }
}

KeptCache Caches::keep(const std::string& key, const executors::CollectedCache& collected,
                       const std::optional<RestoredCache>& restored) {
  saved_ = true;
  if (collected.unchanged && restored) {
    if (const auto same = store_.save_cache(project_, key, restored->tree)) return {false, same->files, same->bytes};
    // It has been replaced and removed meanwhile; the tree still stands.
  }
  const fs::path& directory = collected.unchanged && restored ? restored->layer : collected.tree.directory;
  const SavedCache saved = store_.save_cache(project_, key, directory);
  if (!collected.unchanged) {
    // What was just taken is what the next job is to get.
    std::error_code ignored;
    fs::create_directories(directory_, ignored);
    if (!fs::exists(standing(saved.tree), ignored)) fs::rename(directory, standing(saved.tree), ignored);
  }
  return {saved.stored, saved.files, saved.bytes};
}

void prune_standing(const Store& store, const fs::path& directory) {
  if (!store.driven_runs().empty() || !store.orphaned_runs().empty()) return;
  if (!all_kept_jobs(directory.parent_path()).empty()) return;  // whose workspaces may lie over them
  // First what stands, then what is meant: what is put there later is not touched.
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator each(directory, error), end; !error && each != end; each.increment(error)) {
    found.push_back(each->path());
  }
  if (found.empty()) return;
  std::set<std::string> wanted;
  for (const CacheRow& row : store.list_caches()) wanted.insert(std::to_string(row.tree));
  for (const fs::path& path : found) {
    if (!wanted.contains(path.filename().string())) executors::remove_tree(path);
  }
}

}  // namespace runner
