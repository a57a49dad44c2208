// Ruby's deep_merge, by which GitLab merges included files (lib/gitlab/ci/config/external/processor.rb) and the bases
// of a job (config/extendable/entry.rb): mappings merge key by key, what stands in `over` replaces everything else, and
// a key keeps its place.
#pragma once

#include <optional>
#include <string_view>

#include "pipelines/yaml_tree.h"

namespace pipelines {

// Both are mappings. `replaced`: a key at the top that is never merged. Absent when Limits::merged_entries is used up.
std::optional<Yaml> deep_merge(YamlTree&, Yaml under, Yaml over, std::string_view replaced = {});

}  // namespace pipelines
