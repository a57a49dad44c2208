// What the author wrote: the pipeline file as values, after anchors, merge keys, `extends` and `default`
// have been applied and before any variable has been expanded.
//
// Made by parse() (parse.h), read by make_plan() (plan.h). The language is GitLab CI's; its YAML reference
// (docs.gitlab.com/ee/ci/yaml) is the authority for what a keyword means.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/expression.h"

namespace pipelines {

struct Variable {
  std::string name;
  std::string value;
  std::string description;
  std::vector<std::string> options;
  bool expand = true;   // false: `$` in the value is literal
  bool masked = false;  // ours: the value is never printed, stored or shown
  bool file = false;    // the job sees the path of a file that holds the value
  Mark mark;
};
using Variables = std::vector<Variable>;  // in the author's order, names unique

enum class PullPolicy : std::uint8_t { always, if_not_present, never };

struct Image {
  std::string name;                                    // unexpanded
  std::optional<std::vector<std::string>> entrypoint;  // absent: the image's own; {""} or {}: none
  std::vector<PullPolicy> pull_policy;                 // tried in order; empty: the executor's default
  std::string platform;                                // docker:platform; empty: the engine's own
  std::string user;                                    // docker:user; empty: the image's own
  Mark mark;
};

struct Service {
  Image image;
  std::vector<std::string> aliases;
  std::optional<std::vector<std::string>> command;
  Variables variables;
};

struct Need {
  std::string job;
  bool artifacts = true;
  bool optional = false;
  Mark mark;
};

enum class When : std::uint8_t { on_success, on_failure, always, never, manual, delayed };

// Which failures of a job the pipeline tolerates.
struct AllowFailure {
  bool any = false;
  std::vector<int> exit_codes;  // besides `any`: only these
};

struct Retry {
  int max = 0;  // further attempts after the first, 0 to 2
  // GitLab's words ("script_failure", "runner_system_failure", …); with exit_codes either one suffices.
  // Both empty: every failure is retried.
  std::vector<std::string> when;
  std::vector<int> exit_codes;
};

enum class ArtifactsWhen : std::uint8_t { on_success, on_failure, always };

struct Report {
  std::string kind;                // "dotenv", "junit", …
  std::vector<std::string> paths;  // globs, unexpanded
};

struct Artifacts {
  std::string name;                // unexpanded; empty: "artifacts"
  std::vector<std::string> paths;  // globs, unexpanded
  std::vector<std::string> exclude;
  bool untracked = false;
  ArtifactsWhen when = ArtifactsWhen::on_success;
  std::optional<std::chrono::seconds> expire_in;  // absent: never expires by itself (GitLab's `never` too)
  std::vector<Report> reports;                    // kept whatever `when` says
  Mark mark;
  bool any_paths() const { return !paths.empty() || untracked; }
};

struct Rule {
  std::optional<Expression> condition;  // `if`
  std::optional<std::vector<std::string>> changes;
  std::string compare_to;  // changes:compare_to
  std::optional<std::vector<std::string>> exists;
  std::optional<When> when;
  std::optional<AllowFailure> allow_failure;
  std::optional<std::chrono::seconds> start_in;
  Variables variables;
  std::optional<std::vector<Need>> needs;
  std::optional<bool> interruptible;
  Mark mark;
};

// The shell work of a job: items as the author wrote them, each one or more lines.
struct Script {
  std::vector<std::string> before;  // same shell as `main`
  std::vector<std::string> main;
  std::vector<std::string> after;  // a shell of its own, also after a failure
};

struct Environment {
  std::string name, url, on_stop, action, tier;  // unexpanded
};

// `trigger`: the job runs another pipeline in place of a script.
struct Downstream {
  // depend and mirror: the job ends when that pipeline does, and as it did; none: as soon as it was made.
  enum class Strategy : std::uint8_t { none, depend, mirror };
  // trigger:include as the text of a pipeline file with this one keyword: what the child pipeline consists of. Empty
  // where it is another project's pipeline.
  std::string config;
  std::string project, branch;
  Strategy strategy = Strategy::none;
  bool yaml_variables = true;       // forward: the job's own variables and the file's
  bool pipeline_variables = false;  // forward: what this pipeline was started with
  Mark mark;
};

struct Job {
  std::string name;
  Mark mark;
  std::string stage = "test";
  Mark stage_mark;
  Script script;
  std::optional<Image> image;
  std::vector<Service> services;
  Variables variables;
  bool inherit_all_variables = true;             // inherit:variables
  std::vector<std::string> inherited_variables;  // when not all: these
  std::optional<std::vector<Need>> needs;        // present: a DAG job, stages do not hold it back
  std::optional<std::vector<std::string>> dependencies;
  Artifacts artifacts;
  std::optional<std::vector<Rule>> rules;
  When when = When::on_success;
  std::optional<std::chrono::seconds> start_in;
  std::optional<AllowFailure> allow_failure;  // absent: false, but true for a job-level `when: manual`
  std::optional<std::chrono::seconds> timeout;
  Retry retry;
  std::optional<bool> interruptible;
  std::vector<std::string> tags;
  std::string resource_group;
  std::optional<Environment> environment;
  std::string coverage;  // RE2 text without its slashes
  std::optional<Downstream> trigger;
};

struct Workflow {
  std::string name;
  std::optional<std::vector<Rule>> rules;
};

struct Pipeline {
  std::vector<std::string> stages;  // with .pre first and .post last
  Variables variables;
  Workflow workflow;
  std::vector<Job> jobs;  // in the file's order; hidden jobs are not here
};

}  // namespace pipelines
