// From a file name and options to a plan: what `exec`, `plan`, `lint` and `resume` have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/parse.h"
#include "pipelines/plan.h"
#include "pipelines/variables.h"
#include "runner/config/project_file.h"
#include "runner/hosts/git.h"
#include "runner/hosts/include_files.h"

namespace runner {

// A mistake on the command line or in a file that belongs to it: exit code 2. The text may have several lines.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Which file and which project. The project is what jobs see as their sources:
//  --project DIR, else for a file with a default name (pipeline.yml, .gitlab-ci.yml) its folder, else the folder one
//  stands in (where the file lies elsewhere and one stands in no repository: the file's folder).
struct PipelineFile {
  std::filesystem::path path;     // as it can be opened from here
  std::string name;               // as the user typed it, for diagnostics
  std::filesystem::path project;  // absolute
};

// Splits the words of `exec [FILE] [JOB…]`: the first is FILE when it exists or ends in .yml or .yaml. Without one:
// pipeline.yml, then .gitlab-ci.yml in the project (or here). Throws UsageError when there is none.
struct Words {
  PipelineFile file;
  std::vector<std::string> jobs;
};
Words find_pipeline(const std::vector<std::string>& words, const std::string& project_option);

// The file's bytes; with `revision` (--ref) as that commit has it. Throws UsageError when it cannot be read or that
// commit has none; more than the parser takes is not read at all.
std::string read_pipeline_text(const PipelineFile&, const std::string& revision = {});

struct NamedValue {
  std::string name, value;
};

// What the user tells a run.
struct PlanOptions {
  std::string event = "push";
  std::string branch, tag, target_branch, since, revision;  // revision: --ref
  MergeRequest merge_request;                               // --mr-…
  std::string schedule;                                     // the description of what --event schedule is
  std::string trigger_payload;                              // what the webhook of --event trigger brought
  bool protected_ref = false;
  std::vector<NamedValue> variables;  // --variable
  std::vector<NamedValue> masked;     // --secret and --env-file
  std::vector<NamedValue> inputs;     // --input
  IncludeSettings includes;           // what the configuration says of them
  std::string include_revision;       // of the included files; empty: as `revision`
  std::vector<std::string> jobs;
  bool with_needs = false;
  std::filesystem::path state;  // the database: never among the sources
};

// What a plan was made from besides the text: enough to make the very same plan again in another process (`resume`),
// when the working tree has moved on. Holds no secret, only their names.
struct PlanInputs {
  std::vector<NamedValue> predefined, variables;
  std::vector<ProjectVariable> project;  // those of this kind of ref; the masked ones' values are never stored
  std::vector<std::string> secret_names;
  std::vector<std::string> jobs;
  std::vector<NamedValue> job_inputs;  // of the jobs that are named
  bool with_needs = false;
  // Answers to the plan's questions, by `compare_to`; absent value: there was nothing to compare with.
  std::map<std::string, std::optional<std::vector<std::string>>> changed;
  std::optional<std::vector<std::string>> source_paths;
  // By "project@ref" of rules:exists; absent value: it is not known here.
  std::map<std::string, std::optional<std::vector<std::string>>> project_paths;
};

struct Loaded {
  PipelineFile file;
  // To be recorded: the file's own, or, where it includes others or has inputs, the one text made of them all.
  std::string text;
  pipelines::Parsed parsed;
  GitFacts git;
  PlanInputs inputs;
  pipelines::Plan plan;
};

// Parses, asks git, reads the project's variables (project_variables.h), plans. Diagnostics are left in parsed and
// plan; with errors in parsed there is no plan. Throws UsageError (an unknown event), ConfigError (a project's file)
// and GitError.
std::unique_ptr<Loaded> load(PipelineFile, std::string text, const PlanOptions&);
// Only reads: for `lint`. There is no plan.
std::unique_ptr<Loaded> load_only(PipelineFile, std::string text, const PlanOptions&);
// Reads, and shows what was read: for `preview`.
struct Shown {
  std::unique_ptr<Loaded> loaded;
  std::string text;  // empty where there are errors
};
Shown load_preview(PipelineFile, std::string text, const PlanOptions&, pipelines::PreviewForm);
// The same from what was recorded; `masked` are the secrets, given again.
std::unique_ptr<Loaded> load_again(PipelineFile, std::string text, PlanInputs, const std::vector<NamedValue>& masked);

// Manual jobs, by name, that run as if somebody had started them.
void start_by_hand(Loaded&, const std::vector<std::string>& jobs);

// A child pipeline of a run: what it is started with is the parent's, but for CI_PIPELINE_SOURCE and the variables.
// `text` is its configuration (pipelines::Downstream::config), `artifacts` what the triggering job takes from others.
struct ChildOptions {
  const Loaded& parent;
  std::string text, revision;
  std::vector<pipelines::Variable> variables;
  std::vector<NamedValue> masked;  // the run's secrets
  std::map<std::string, std::vector<std::filesystem::path>> artifacts;
  IncludeSettings includes;
};
std::unique_ptr<Loaded> load_child(const ChildOptions&);

// Prints diagnostics to stderr; true when there were errors.
bool print_diagnostics(const std::vector<pipelines::Diagnostic>&, const std::vector<pipelines::Source>&);

// `K=V`; throws UsageError.
NamedValue parse_assignment(const std::string& text, const std::string& flag);
// The masked values of --secret NAME[=VALUE|=@FILE]: NAME alone from the environment, else asked for on a terminal.
// Throws UsageError; values under 8 characters are refused.
NamedValue read_secret(const std::string& text);
// The lines of an --env-file; warnings go to stderr.
std::vector<NamedValue> read_env_file(const std::string& path);

}  // namespace runner
