// Text in, Pipeline and every diagnostic out. Pure: no file, clock or environment variable; other files come through
// Context (includes.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/includes.h"
#include "pipelines/pipeline.h"

namespace pipelines {

struct Parsed {
  Pipeline pipeline;  // meaningful only when !has_errors(diagnostics)
  std::vector<Diagnostic> diagnostics;
  std::vector<Source> sources;
  // The same pipeline as one text, where the file includes others or has inputs; else empty. To be read again later,
  // when those files have changed: `extends` and references stand in it as they were written.
  std::string composed;
  // Of Context::inputs: what the named jobs took for inputs of their own. To be given again with `composed`.
  std::vector<std::pair<std::string, std::string>> job_inputs{};
};

// Reads one pipeline file: YAML -> tree (budgeted, see yaml_tree.h) -> inputs, includes (compose.h) -> extends,
// references, default -> keywords -> checks. `name` is how diagnostics call the file. Never throws on the author's
// mistakes; the size of `text` is bounded (10 MB), as are depth, nodes and alias expansion, so hostile text is refused
// in well under a second.
Parsed parse(std::string_view text, std::string_view name, const Context&);
// Without anything else to read: `include` is an error.
Parsed parse(std::string_view text, std::string_view name);

// For `runner preview`: the pipeline after includes, inputs, extends and references, as one text that is the same
// pipeline when it is read again. Hidden jobs are not in it. Empty where there are errors.
enum class PreviewForm : std::uint8_t { yaml, json };
struct Preview {
  Parsed parsed;
  std::string text;
};
Preview preview(std::string_view text, std::string_view name, const Context&, PreviewForm);

}  // namespace pipelines
