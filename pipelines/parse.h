// Text in, Pipeline and every diagnostic out. Pure: no file, clock or environment variable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/pipeline.h"

namespace pipelines {

struct Parsed {
  Pipeline pipeline;  // meaningful only when !has_errors(diagnostics)
  std::vector<Diagnostic> diagnostics;
  std::vector<Source> sources;
};

// Reads one pipeline file: YAML -> tree (budgeted, see yaml_tree.h) -> extends, default -> keywords -> checks.
// `name` is how diagnostics call the file. Never throws on the author's mistakes; the size of `text` is bounded
// (10 MB), as are depth, nodes and alias expansion, so hostile text is refused in well under a second.
Parsed parse(std::string_view text, std::string_view name);

}  // namespace pipelines
