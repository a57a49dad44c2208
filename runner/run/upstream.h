// `needs:pipeline:job` (docs.gitlab.com/ci/yaml/#needspipelinejob): artifacts of jobs of other runs of the same
// hierarchy of parent and child pipelines. As GitLab's app/models/ci/build_dependencies.rb: the job must have passed.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runner/store/store.h"

namespace runner {

struct UpstreamArtifacts {
  std::string missing;  // why there is nothing to be had, in one line; then there is nothing else
  std::vector<std::filesystem::path> layers;
  std::vector<std::pair<std::string, std::string>> dotenv;
  std::vector<std::string> warnings;
};

class Upstream {
 public:
  // Lays artifacts out below `directory`, which is the run's own. The store must outlive it.
  Upstream(Store& store, RunId run, std::filesystem::path directory);

  // Of the run's number as text, and a job's name: for a parallel one an instance's. Not for two threads at once.
  UpstreamArtifacts take(std::string_view pipeline, const std::string& job);

 private:
  RunId root_of(RunId) const;
  void lay_out(RunId, const JobRow&, UpstreamArtifacts&);

  Store& store_;
  const RunId run_;
  const std::filesystem::path directory_;
  std::map<ArtifactId, std::filesystem::path> laid_out_;
};

}  // namespace runner
