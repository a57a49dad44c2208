// The project's directory of one job: a private, writable view of the run's snapshot with earlier jobs' artifacts over
// it. An overlay costs the same however large the sources are; a copy is made where overlay mounts are refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "executors/docker/container_spec.h"
#include "executors/executor.h"
#include "executors/workspace/tree.h"

namespace executors::docker {

class Workspace {
 public:
  // Both make what they need in `spec.directory`, which must exist, and leave its removal to its owner.
  // Throws WorldError.
  static Workspace overlay(const JobSpec&);
  static Workspace copy(const JobSpec&);
  // What overlay() or copy() made before the runner died.
  static Workspace found(const JobSpec&);

  const ProjectMount& mount() const { return mount_; }
  // What the job left, to be read when its container is dead: below a mounted overlay nothing may be changed.
  const Layers& layers() const { return layers_; }
  const std::filesystem::path& upper() const { return layers_.top_down.front(); }

 private:
  Workspace() = default;
  ProjectMount mount_;
  Layers layers_;
};

// The option string of an overlay mount; `userxattr` makes its marks readable by an ordinary user.
std::string overlay_options(const std::vector<std::filesystem::path>& lowers_top_down,
                            const std::filesystem::path& upper, const std::filesystem::path& work);

// mount(2) takes one page of options. Measured: 3,775 bytes pass, 4,213 do not; beyond about 500 layers the kernel
// refuses too, and each costs every lookup.
inline constexpr std::size_t longest_options = 3900;
inline constexpr std::size_t most_layers = 100;

// Lays read-only trees over each other into the new directory `to` by hard links (the trees are shared, so the result
// is read-only too); later ones win. Throws WorldError.
void merge_by_links(const std::vector<std::filesystem::path>& trees, const std::filesystem::path& to);

}  // namespace executors::docker
