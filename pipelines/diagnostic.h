// Diagnostics: what is wrong in a pipeline file, where, and how to mend it.
// The author's mistakes are data: every function of this room returns all of them and throws none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pipelines {

// One file of a pipeline, as it was read. Diagnostics point into it.
struct Source {
  std::string name;  // as the author would type it: "pipeline.yml", "ci/build.yml"
  std::string text;
};

// A place in a source. Lines and columns count from 1; a column is a byte of the line.
struct Mark {
  std::uint32_t source = 0;  // index into Parsed::sources
  std::uint32_t line = 0;    // 0: no place is known (the file as a whole)
  std::uint32_t column = 0;
  friend bool operator==(const Mark&, const Mark&) = default;
};

enum class Severity : std::uint8_t { error, warning };

struct Diagnostic {
  Severity severity = Severity::error;
  Mark mark;
  std::string message;       // one line, no trailing period: `unknown keyword "scirpt" in job "build"`
  std::string hint;          // how to mend it; empty when there is nothing to add
  std::vector<Mark> others;  // further places (the first of two duplicate keys, the members of a cycle)
};

bool has_errors(const std::vector<Diagnostic>& diagnostics);

// Renders in the compilers' form, one block per diagnostic, each beginning `FILE:LINE:COLUMN: error: message`
// (a file without a known line: `FILE:1:1:`), then the source line, a caret under the column, and `hint: …`.
// Tabs and control bytes of the source line are made printable; long lines are cut around the caret.
std::string render(const std::vector<Diagnostic>& diagnostics, const std::vector<Source>& sources, bool colour);

// The candidate nearest to `word` by edit distance, or empty when none is near enough to be meant.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace pipelines
