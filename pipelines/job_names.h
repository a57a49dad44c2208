// What a name in `needs`, `dependencies` or on the command line stands for: a job, or all instances of a parallel one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipelines/pipeline.h"

namespace pipelines {

class JobNames {
 public:
  explicit JobNames(const Pipeline&);  // must outlive this object, its jobs' names unchanged

  // Indices into Pipeline::jobs, in its order; empty: no such job.
  std::span<const std::uint32_t> find(std::string_view name) const;
  // The same for a need: `parallel:matrix` means nothing where the needed job is not parallel.
  std::span<const std::uint32_t> find(const Need&) const;
  bool contains(std::string_view name) const { return !find(name).empty(); }

 private:
  std::vector<std::uint32_t> all_;  // 0, 1, 2, …
  std::unordered_map<std::string_view, std::uint32_t> jobs_;
  std::unordered_map<std::string_view, std::vector<std::uint32_t>> parallel_;  // by Job::origin
};

// Every name that find() knows, in the jobs' order: a parallel job's own before those of its instances.
std::vector<std::string_view> known_names(const Pipeline&);

}  // namespace pipelines
