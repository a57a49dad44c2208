// The JSON schema of pipeline files, for editors: docs/pipeline.schema.json. Made of the parser's own tables of
// keywords.
#pragma once

#include <string>

namespace pipelines {

// One JSON document (draft-07). It knows types, words and names of keywords; what needs to look at two places of a file
// (stages, needs, expressions, durations) it lets pass.
std::string schema();

}  // namespace pipelines
