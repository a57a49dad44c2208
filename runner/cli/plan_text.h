// A plan for people and programs: `plan`, `exec --dry-run`.
#pragma once

#include <string>

#include "runner/cli/load.h"

namespace runner {

// Which jobs run and which do not, the rule that decided, and what waits for what, drawn in text.
std::string plan_text(const Loaded&);
// An array of objects: name, stage, needs, dag (false: it waits for the earlier stages instead), when, included,
// reason.
std::string plan_json(const Loaded&);

}  // namespace runner
