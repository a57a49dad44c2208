// A tree as text again: for `runner preview`, and for what a run remembers of a pipeline that was made of several
// files. Read again, it is the same pipeline: every scalar keeps its type. Aliases are written out.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "pipelines/yaml_tree.h"

namespace pipelines {

// Absent when the text would be larger than `most` bytes. References are written as `!reference [a, b]`.
// `rewrite`, where there is one, says what stands in a scalar's place, keys included: it is given the scalar as a
// string and what it changes is written as one.
using ScalarRewrite = std::function<std::string(std::string_view)>;
std::optional<std::string> emit_yaml(Yaml root, std::size_t most = Limits::text_bytes,
                                     const ScalarRewrite& rewrite = {});
// Numbers as JSON has them; a tree with references cannot be JSON: they become lists.
std::optional<std::string> emit_json(Yaml root, std::size_t most = Limits::text_bytes);
// The same without any space, on one line: Ruby's to_json.
std::optional<std::string> emit_compact_json(Yaml root, std::size_t most = Limits::text_bytes);

}  // namespace pipelines
