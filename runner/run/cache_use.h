// From `cache` as the author wrote it to what is looked for and kept: keys made and cleaned, variables expanded.
//
// Keys are GitLab's (lib/gitlab/ci/pipeline/seed/build/cache.rb, app/models/ci/build.rb and gitlab-runner's
// shells/abstract.go): a key of files is the SHA-1 of their git blob ids, each key ends with -protected or
// -non_protected, and what is left of a path is cleaned away.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"
#include "pipelines/pipeline.h"
#include "pipelines/variables.h"

namespace runner {

// A job's `cache`, all of it expanded.
struct CacheUse {
  std::vector<std::string> keys;  // the cache's own, then what is tried in its place; never empty
  bool pull = true, push = true;
  executors::CacheSpec what;
  std::size_t index = 0;  // among the job's caches
};

struct CacheScene {
  const pipelines::VariableSet& variables;  // expanded
  const executors::Sources& sources;
  bool protected_ref = false;
  // The last commit that changed a path, for cache:key:files_commits; empty: none.
  const std::function<std::string(const std::string& path)>& last_commit;
};

// What cannot be used is left out with a warning: a cache never fails a job.
std::vector<CacheUse> cache_uses(const std::vector<pipelines::Cache>&, const CacheScene&,
                                 std::vector<std::string>& warnings);

// A key that names one thing and nothing outside: percent signs decoded, `\` as `/`, no `.` and `..`, no space at the
// end. Empty when nothing is left (gitlab-runner's sanitizeCacheKey).
std::string clean_key(std::string_view key);

}  // namespace runner
