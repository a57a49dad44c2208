// A plan for people and programs: `plan`, `exec --dry-run`.
#pragma once

#include <string>

#include "runner/cli/load.h"

namespace runner {

// Which jobs run and which do not, the rule that decided (or what each saw, where none matched), and what waits for
// what, drawn in text.
std::string plan_text(const Loaded&);
// The jobs that run and what waits for what, without the reasons.
std::string plan_spine(const Loaded&);
// An array of objects: name, stage, needs, dag (false: it waits for the earlier stages instead), when, included,
// reason.
std::string plan_json(const Loaded&);
// Why the job is in or out, in one line; with what the rules saw, where none matched.
std::string plan_reason(const Loaded&, pipelines::JobIndex);
// The same graph for other programs: `runner plan --graph`.
std::string plan_dot(const Loaded&);      // graphviz.org/doc/info/lang.html
std::string plan_mermaid(const Loaded&);  // mermaid.js.org/syntax/flowchart.html
// How the plan differs from another's of the same event: `runner plan --diff`. JSON: an array of {name, change:
// "added", "removed" or "changed", before, after}, the last two like plan_json's objects or null.
std::string plan_diff_text(const Loaded& before, const Loaded& after);
std::string plan_diff_json(const Loaded& before, const Loaded& after);

}  // namespace runner
