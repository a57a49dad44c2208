#include "pipelines/job_names.h"

#include <numeric>

namespace pipelines {

JobNames::JobNames(const Pipeline& pipeline) : all_(pipeline.jobs.size()) {
  std::iota(all_.begin(), all_.end(), 0U);
  jobs_.reserve(pipeline.jobs.size());
  for (const std::uint32_t i : all_) {
    const Job& job = pipeline.jobs[i];
    jobs_.emplace(job.name, i);
    if (!job.origin.empty()) {
      parallel_[job.origin].push_back(i);
    }
  }
}

std::span<const std::uint32_t> JobNames::find(std::string_view name) const {
  if (const auto found = jobs_.find(name); found != jobs_.end()) {
    return std::span(all_).subspan(found->second, 1);
  }
  if (parallel_.empty()) {
    return {};
  }
  const auto found = parallel_.find(name);
  return found == parallel_.end() ? std::span<const std::uint32_t>() : found->second;
}

std::span<const std::uint32_t> JobNames::find(const Need& need) const {
  const std::span<const std::uint32_t> found = find(need.job);
  return found.empty() && !need.origin.empty() && jobs_.contains(need.origin) ? find(need.origin) : found;
}

std::vector<std::string_view> known_names(const Pipeline& pipeline) {
  std::vector<std::string_view> names;
  names.reserve(pipeline.jobs.size());
  std::string_view last;
  for (const Job& job : pipeline.jobs) {
    if (!job.origin.empty() && job.origin != last) {
      names.emplace_back(job.origin);
    }
    last = job.origin;
    names.emplace_back(job.name);
  }
  return names;
}

}  // namespace pipelines
