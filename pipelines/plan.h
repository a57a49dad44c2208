// The plan: which jobs run, in what order, with which variables, and why. Immutable once made; a job is its index.
// make_plan decides and runs nothing; the scheduler runs and decides nothing (ninja's Plan and CommandRunner).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/pipeline.h"
#include "pipelines/variables.h"

namespace pipelines {

using JobIndex = std::uint32_t;

// What the plan asks of the world outside. The caller answers from git and the file system, so this room stays pure.
struct Facts {
  // Paths changed against `compare_to` (empty: the run's own base). Absent when there is nothing to compare with:
  // `rules:changes` is then true.
  std::function<std::optional<std::vector<std::string>>(std::string_view compare_to)> changed_paths;
  // All paths of the sources ('/'-separated, files only), for `rules:exists`. Called at most once.
  std::function<std::vector<std::string>()> source_paths;
};

// What starts a run.
struct Trigger {
  VariableSet variables;  // predefined ones, project's and the user's (--variable), not expanded
  // Jobs asked for by name; empty: all. `with_needs`: also what they need, transitively.
  std::vector<std::string> only;
  bool with_needs = false;
};

struct PlannedNeed {
  JobIndex job = 0;
  bool artifacts = true;
};

struct PlannedJob {
  JobIndex job = 0;            // index into Pipeline::jobs (the same as its index in Plan::jobs)
  std::uint32_t stage = 0;     // index into Pipeline::stages
  bool included = false;
  std::string reason;          // why it is in or out, one line: `rule 2: $CI_COMMIT_BRANCH ("main") == "main"`
  When when = When::on_success;
  AllowFailure allow_failure;
  std::optional<std::chrono::seconds> start_in;
  // What it waits for. With `dag` only these; else every included job of the earlier stages (not listed: a plan of
  // 20,000 jobs would have millions of such edges).
  bool dag = false;
  std::vector<PlannedNeed> needs;
  // Whose artifacts it takes, in the order they are laid over each other (later wins). Only jobs that can have any
  // (artifacts paths, untracked or a dotenv report).
  std::vector<JobIndex> artifacts_from;
  VariableSet variables;       // all layers but dotenv; not expanded. Includes the per-job predefined ones (CI_JOB_NAME …)
};

struct Plan {
  std::vector<PlannedJob> jobs;          // one per Pipeline::jobs, in that order, also those that are out
  std::vector<Diagnostic> diagnostics;   // undefined needs that rules removed, workflow says no …
  std::string empty_reason;              // set when no job is left: why, in one line
  std::size_t included_count() const;
};

// Errors (in Plan::diagnostics): an unknown job in Trigger::only; a need on a job that rules kept out and that is not
// `optional`. Cycles and undefined names were refused by parse().
Plan make_plan(const Pipeline&, const Trigger&, const Facts&);

}  // namespace pipelines
