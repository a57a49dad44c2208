// Masked variables' values in a pipeline's text, and the text with something else in their place: for what a run
// remembers. Pure; works on the YAML alone, so that hidden jobs and what other jobs replace count too.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipelines/emit.h"

namespace pipelines {

// Name and value of each mapping that has a `value` and `masked: true`, in the text's order; none twice. Nothing of a
// text that is no YAML.
std::vector<std::pair<std::string, std::string>> masked_values(std::string_view text);

// The same pipeline as another text, every scalar as `rewrite` wants it. Absent when the text is no YAML, or the new
// one larger than a pipeline may be.
std::optional<std::string> rewrite_scalars(std::string_view text, const ScalarRewrite& rewrite);

}  // namespace pipelines
