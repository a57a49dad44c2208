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
#include "pipelines/steps.h"

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
  std::string job;  // a job's name, or that of a parallel one: all its instances
  bool artifacts = true;
  bool optional = false;
  Mark mark;
  // Of `needs:parallel:matrix`: the job as the author named it; `job` is one instance's full name then.
  std::string origin = {};
};

// `needs:pipeline:job`: artifacts of a job of another run of this hierarchy of parent and child pipelines.
struct UpstreamNeed {
  std::string pipeline, job;  // unexpanded; the number of the run
  bool artifacts = true;
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

// What is kept from run to run and restored before the artifacts (docs.gitlab.com/ci/yaml/#cache).
struct CacheKey {
  std::string text;                        // unexpanded; "default" when neither of the next is given
  std::vector<std::string> files;          // the key is made of their contents
  std::vector<std::string> files_commits;  // the key is made of the last commits that changed them
  std::string prefix;                      // unexpanded; goes before what the files make
};

struct Cache {
  CacheKey key{"default", {}, {}, {}};
  std::vector<std::string> paths;  // globs, unexpanded
  bool untracked = false;
  bool unprotect = false;  // protected and other branches share it
  ArtifactsWhen when = ArtifactsWhen::on_success;
  std::string policy = "pull-push";  // or pull, push, or a variable that holds one of them
  std::vector<std::string> fallback_keys;
  Mark mark;
  bool any_paths() const { return !paths.empty() || untracked; }
};

// `pages` and `publish` (docs.gitlab.com/ci/yaml/#pages).
struct Pages {
  bool enabled = true;  // false: not even for a job named `pages`
  std::string publish;  // unexpanded; empty: public
  std::string path_prefix;
  std::optional<std::chrono::seconds> expire_in;
};

// `release` (docs.gitlab.com/ci/yaml/#release).
struct Release {
  struct Link {
    std::string name, url, filepath, type;  // unexpanded
  };
  std::string tag_name, tag_message, name, ref, released_at;  // unexpanded
  std::string description;                                    // text, or a file's path in the project
  std::vector<std::string> milestones;
  std::vector<Link> links;
};

// One of `id_tokens` (docs.gitlab.com/ci/yaml/#id_tokens): a variable that holds a JSON Web Token.
struct IdToken {
  std::string name;
  std::vector<std::string> audience;  // unexpanded
  bool list = false;                  // `aud` was written as a list, and stays one in the token
  Mark mark;
};

// One of `secrets` (docs.gitlab.com/ci/yaml/#secrets): a variable whose value stands elsewhere. All texts unexpanded.
struct Secret {
  struct Vault {
    std::string engine = "kv-v2";       // kv-v2, kv-v1 or generic
    std::string engine_path = "kv-v2";  // where it is mounted
    std::string path, field;
  };
  struct Cloud {
    std::string name, version;  // version: empty: the newest
  };
  std::string name;
  std::optional<Vault> vault;
  std::optional<Cloud> azure_key_vault, gcp_secret_manager;
  std::string left_out;  // the provider, where it is one that is only checked
  bool file = true;      // the variable is the path of a file with the value
  std::string token;     // empty: the job's first ID token
  Mark mark;
};

// Which other runs and jobs a run makes superfluous (workflow:auto_cancel). Absent: not said here.
enum class OnNewCommit : std::uint8_t { conservative, interruptible, none };
struct AutoCancel {
  std::optional<OnNewCommit> on_new_commit;  // default: conservative
  std::optional<bool> on_job_failure;        // true: `all`; default: `none`
};

struct Rule {
  std::optional<Expression> condition;  // `if`
  std::optional<std::vector<std::string>> changes;
  std::string compare_to;  // changes:compare_to
  Mark compare_to_mark;
  std::optional<std::vector<std::string>> exists;
  std::string exists_project, exists_ref;  // exists:project, exists:ref; unexpanded, empty: this project's sources
  std::optional<When> when;
  std::optional<AllowFailure> allow_failure;
  std::optional<std::chrono::seconds> start_in;
  Variables variables;
  std::optional<std::vector<Need>> needs;
  std::optional<bool> interruptible;
  std::optional<AutoCancel> auto_cancel;  // of workflow:rules
  Mark mark;
};

// `only` or `except` (docs.gitlab.com/ee/ci/yaml/deprecated_keywords; lib/gitlab/ci/build/policy). Within a part one
// match is enough; `only` lets a job in when all its parts hold, `except` keeps it out when any does.
struct PolicyRef {
  std::string text;     // as written
  std::string name;     // a keyword ("tags", "merge_requests", …) or a ref; without the "@group/project"
  std::string project;  // of "main@group/project"; empty: any
  std::optional<Expression> pattern;  // of "/…/": asks for the variable "REF"
};
struct Policy {
  std::optional<std::vector<PolicyRef>> refs;  // absent in `only`: branches and tags
  std::optional<std::vector<Expression>> variables;
  std::optional<std::vector<std::string>> changes;
  bool kubernetes = false;
};

// The shell work of a job: items as the author wrote them, each one or more lines.
struct Script {
  std::vector<std::string> before;  // same shell as `main`
  std::vector<std::string> main;
  std::vector<std::string> after;            // a shell of its own, also after a failure
  std::vector<std::string> pre_get_sources;  // hooks:pre_get_sources_script; a shell of its own, before all others
  std::vector<Mark> before_marks, main_marks, after_marks;  // where each of these commands stands
};

// One step of `run` (docs.gitlab.com/ci/steps): a shell of its own. `${{ … }}` stands in `script` and in the values.
struct RunStep {
  std::string name;
  std::string script;
  std::vector<std::pair<std::string, std::string>> env;
  Mark mark;
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
  bool upstream = false;  // not started: the job waits for a pipeline of `project` (`needs:pipeline` without a job)
  Strategy strategy = Strategy::none;
  bool yaml_variables = true;       // forward: the job's own variables and the file's
  bool pipeline_variables = false;  // forward: what this pipeline was started with
  Mark mark;
};

struct Job {
  std::string name;
  // Where `parallel` made this job: the name that the author wrote (`name` is "test 1/3" or "test: [a, b]" then), which
  // instance it is, from 1, and of how many. Its matrix variables are among `variables`.
  std::string origin;
  std::uint32_t node_index = 0;
  std::uint32_t node_total = 0;
  Mark mark;
  std::string stage = "test";
  Mark stage_mark;
  Script script;
  std::vector<RunStep> steps;  // `run`: in place of a script
  std::optional<Step> step;    // one that is built in, in place of a script
  Mark step_mark;
  std::optional<AwsSettings> aws;
  std::optional<Monitor> monitor;
  std::vector<Notify> notify;
  std::optional<S3Artifacts> s3_artifacts;
  std::optional<CloudwatchLogs> cloudwatch_logs;
  std::optional<Image> image;
  std::vector<Service> services;
  Variables variables;
  bool inherit_all_variables = true;             // inherit:variables
  std::vector<std::string> inherited_variables;  // when not all: these
  std::optional<std::vector<Need>> needs;        // present: a DAG job, stages do not hold it back
  std::vector<UpstreamNeed> upstream_needs;
  std::optional<std::vector<std::string>> dependencies;
  Artifacts artifacts;
  std::vector<Cache> caches;  // at most four
  std::optional<Pages> pages;
  std::optional<Release> release;
  std::vector<IdToken> id_tokens;
  std::vector<Secret> secrets;
  std::optional<std::vector<Rule>> rules;
  std::optional<Policy> only, except;  // never beside `rules`
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
  std::string manual_confirmation;

  const std::string& written_name() const { return origin.empty() ? name : origin; }
};

struct Workflow {
  std::string name;  // unexpanded
  AutoCancel auto_cancel;
  std::optional<std::vector<Rule>> rules;
};

struct Pipeline {
  std::vector<std::string> stages;  // with .pre first and .post last
  Variables variables;
  Workflow workflow;
  std::vector<Job> jobs;  // in the file's order, parallel ones as their instances; hidden jobs are not here
};

}  // namespace pipelines
