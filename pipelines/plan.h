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

// Why a ref cannot be compared with.
struct BadRef {
  std::string message, hint;
};

// What the plan asks of the world outside. The caller answers from git and the file system, so this room stays pure.
struct Facts {
  // Paths changed against `compare_to` (empty: the run's own base). Absent when there is nothing to compare with:
  // `rules:changes` is then true.
  std::function<std::optional<std::vector<std::string>>(std::string_view compare_to)> changed_paths;
  // Whether `compare_to` (never empty) can be compared with: absent when it can. Asked before; without it all can.
  std::function<std::optional<BadRef>(std::string_view compare_to)> bad_ref = {};
  // All paths of the sources ('/'-separated, files only), for `rules:exists`. Called at most once.
  std::function<std::vector<std::string>()> source_paths;
  // The same of another project at a ref (empty: its default branch), for `rules:exists:project`. Absent, or an absent
  // answer: that project cannot be looked into here; the rule does not match then, which is a warning.
  std::function<std::optional<std::vector<std::string>>(std::string_view project, std::string_view ref)> project_paths =
      {};
};

// What starts a run.
struct Trigger {
  VariableSet variables;  // predefined ones, project's and the user's (--variable), not expanded
  // The project's variables for single environments, of the same precedence as its others; the stronger last.
  std::vector<ScopedVariable> scoped;
  // Jobs asked for by name, parallel ones by their own or an instance's; empty: all. `with_needs`: also what they need,
  // transitively.
  std::vector<std::string> only;
  bool with_needs = false;
};

enum class PolicyPart : std::uint8_t { refs, variables, changes, kubernetes };

struct PlannedNeed {
  JobIndex job = 0;
  bool artifacts = true;
};

// Why a job is in or out. Plan::reason() says it in words.
enum class Decision : std::uint8_t {
  no_rules,         // in: has no rules, no `only` and no `except`
  policy,           // in: its `only` and `except` let it in
  only,             // out: PlannedJob::policy_part of its `only` does not hold
  except,           // out: PlannedJob::policy_part of its `except` holds
  implicit_only,    // out: has none of these, so it is for branches and tags only
  rule,             // in: PlannedJob::rule matched
  no_rule_matched,  // out
  never,            // out: PlannedJob::rule matched and says `when: never`, or the job itself does
  not_asked_for,    // out: Trigger::only names others
  workflow,         // out: workflow:rules refuse the run
  only_pre_post,    // out: no job is left but in .pre and .post, which alone do not run
};

struct PlannedJob {
  static constexpr std::uint32_t no_rule = 0xFFFF'FFFF;

  JobIndex job = 0;         // index into Pipeline::jobs (the same as its index in Plan::jobs)
  std::uint32_t stage = 0;  // index into Pipeline::stages
  bool included = false;
  Decision decision = Decision::no_rules;
  PolicyPart policy_part = PolicyPart::refs;
  std::uint32_t rule = no_rule;  // the rule that decided, index into Job::rules
  When when = When::on_success;
  AllowFailure allow_failure;
  bool interruptible = false;                    // a newer run may cancel it (the rule's word, else the job's)
  std::optional<std::chrono::seconds> start_in;  // with When::delayed
  // What it waits for. With `dag` only these (none: it starts at once); else every included job of the earlier stages
  // (not listed: a plan of 20,000 jobs would have millions of such edges). Included jobs only.
  bool dag = false;
  std::vector<PlannedNeed> needs;
  std::optional<std::vector<JobIndex>> dependencies;  // the included ones of Job::dependencies
  bool leaves_artifacts = false;  // it can: has artifacts paths, untracked or a dotenv report, or a step
};

// Holds decisions only. What can be said of a job from them and from the pipeline is made when it is asked for:
// a plan of 20,000 jobs neither explains nor copies the variables of jobs that nobody looks at. The functions that
// take a Pipeline want the one that the plan was made of.
struct Plan {
  std::vector<PlannedJob> jobs;         // one per Pipeline::jobs, in that order, also those that are out
  std::vector<Diagnostic> diagnostics;  // see make_plan()
  std::string empty_reason;             // set when no job is left: why, in one line
  std::vector<JobIndex> asked_for;      // included jobs named by Trigger::only, and what those name in `needs`: for
                                        // Progress's started_manually (a manual job that was asked for by name runs)
  std::string name;                     // workflow:name, expanded: CI_PIPELINE_NAME
  bool cancel_on_failure = false;       // auto_cancel:on_job_failure: all
  OnNewCommit on_new_commit = OnNewCommit::conservative;  // what a newer run cancels of this one, see again.h
  std::size_t included_count() const;

  // Why the job is in or out, one line: `rule 2: $CI_COMMIT_BRANCH ("main") == "main"`. Masked values are hidden.
  std::string reason(const Pipeline&, JobIndex) const;
  // Where no rule matched: each of them with what it saw, one line each. The workflow's, where they kept the run from
  // being (for every job the same).
  std::vector<std::string> unmatched(const Pipeline&, JobIndex) const;

  // All layers but dotenv; not expanded. Includes the per-job predefined ones (CI_JOB_NAME, CI_ENVIRONMENT_SLUG, …),
  // but not what only the executor knows (CI_JOB_ID, CI_JOB_IMAGE, CI_PROJECT_DIR, …).
  VariableSet variables(const Pipeline&, JobIndex) const;

  // Of these what the file says, in the job, its rule, at the top and in workflow:rules, whatever is stronger: what
  // `trigger` hands on.
  VariableSet yaml_variables(const Pipeline&, JobIndex) const;

  // Whose artifacts the job takes, in the order they are laid over each other (later wins): by stage, then the file's
  // order. Only included jobs that can leave any; whether they did is the caller's to see.
  std::vector<JobIndex> artifacts_from(JobIndex) const;

  // What the functions above work from.
  VariableSet trigger_variables;                 // as the trigger gave them
  std::vector<ScopedVariable> scoped_variables;  // for single environments, the stronger last
  VariableSet shared_variables;                  // with the file's top-level and workflow:rules variables laid over
  VariableSet file_variables;                    // those alone
  std::optional<std::uint32_t> workflow_rule;    // the rule of the workflow that refused the run
  // What the functions above do not say, whoever wrote it into a rule: values of masked variables, the longest first.
  std::vector<std::string> hidden;
  std::vector<JobIndex> producers;  // included jobs that can leave artifacts, by stage, then the file's order
};

// Errors (in Plan::diagnostics): an unknown job in Trigger::only; a need on a job that rules kept out and that is not
// `optional`; jobs that need each other in a circle by `rules:needs`. Other circles and undefined names were refused by
// parse().
//
// With Trigger::only, naming a job does not bypass its rules. Without `with_needs` what the named jobs wait for is
// dropped: they run with what is there. With it, a job without `needs` takes all earlier stages in.
Plan make_plan(const Pipeline&, const Trigger&, const Facts&);

}  // namespace pipelines
