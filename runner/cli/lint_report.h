// What `runner lint` found, for programs: --format json, sarif and github.
#pragma once

#include <string>
#include <vector>

#include "pipelines/diagnostic.h"

namespace runner {

struct LintReport {
  std::string file;
  std::size_t jobs = 0;  // 0 where there are errors
  const std::vector<pipelines::Diagnostic>& diagnostics;
  const std::vector<pipelines::Source>& sources;
};

// An object: file, valid, jobs, diagnostics: an array of {severity, file, line, column, message, hint, others: [{file,
// line, column}]}. Lines and columns count from 1, columns in bytes; a place that is not known is line 0.
std::string lint_json(const LintReport&);
// SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), for code scanning; columns in characters.
std::string lint_sarif(const LintReport&);
// GitHub's workflow commands, an annotation a line
// (docs.github.com/actions/reference/workflow-commands-for-github-actions).
std::string lint_github(const LintReport&);

}  // namespace runner
