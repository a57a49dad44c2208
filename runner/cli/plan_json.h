// One job of a plan as JSON: in `plan --output json`, and in what `plan --diff` compares.
#pragma once

#include <nlohmann/json.hpp>

#include "runner/cli/load.h"

namespace runner {

// name, stage, needs, dag, when, included, reason: see plan_text.h.
nlohmann::json planned_json(const Loaded&, const pipelines::PlannedJob&);

}  // namespace runner
