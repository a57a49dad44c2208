// The seam between deciding and doing: one job at a time, never the pipeline, the plan or the database.
//
// The scheduler (runner/run) calls Executor::prepare, possibly ahead of the job's turn, then Execution::run on the
// job's own thread, then destroys the Execution. Implementations come from make.h and need no header.
//
// A job that fails is a value (JobResult). A broken world throws WorldError; nothing else is thrown on purpose.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipelines/pipeline.h"
#include "pipelines/progress.h"
#include "pipelines/steps.h"

namespace executors {

// The world broke: no engine, no image, disk full. `reason` is GitLab's word for it ("image_pull_failure",
// "runner_system_failure", …), `hint` says what to do and may be empty.
class WorldError : public std::runtime_error {
 public:
  WorldError(std::string why, const std::string& message, std::string what_to_do = {})
      : std::runtime_error(message), reason(std::move(why)), hint(std::move(what_to_do)) {}
  std::string reason;
  std::string hint;
};

// Names one attempt of one job for ever: it labels and names all that is made for it.
struct JobId {
  std::string owner;                  // 32 hexadecimal digits: the database's id
  std::uint64_t run = 0;              // from 1
  std::uint32_t job = 0;              // from 1, its place in the pipeline
  std::uint32_t attempt = 1;          // from 1
  std::string name;                   // the job's name, for the label runner.job
  std::string resource_name() const;  // r-<owner8>-<run>-<job>-<attempt>
};

using Environment = std::vector<std::pair<std::string, std::string>>;

// The run's sources: one read-only snapshot that every job sees through a private, writable view.
struct Sources {
  std::filesystem::path snapshot;      // directories 0777, files 0666 or 0777; empty: no sources
  std::filesystem::path tracked_list;  // file: NUL-separated relative paths git tracks (for artifacts:untracked)
};

struct ServiceSpec {
  std::string image;                 // expanded
  std::vector<std::string> aliases;  // all names it is reachable by, GitLab's rules applied; never empty
  std::optional<std::vector<std::string>> entrypoint, command;
  Environment environment;
  std::vector<pipelines::PullPolicy> pull_policy;
  std::string platform, user;  // expanded; empty: the engine's, the image's
};

enum class Network : std::uint8_t { bridge, none };

// Where a job's built-in step is carried out: API calls in the runner, without a sandbox; a tool in the job's own.
enum class StepPlace : std::uint8_t { none, runner, sandbox };

// The sandbox: what must be known to create and start it, before the job's turn.
struct JobSpec {
  JobId id;
  std::filesystem::path directory;  // host directory of this attempt, not yet made; the execution makes and removes it
  std::filesystem::path layer;      // where the artifact layer is to stand afterwards (see Collected); not yet made
  std::string project_dir;          // the sources' path inside the sandbox, e.g. /builds/group/project
  Sources sources;
  // Read-only trees laid over the sources: caches, then earlier jobs' artifacts; later ones win.
  std::vector<std::filesystem::path> inputs;
  std::string image;  // expanded; empty for the shell executor
  std::string image_user, platform;
  std::optional<std::vector<std::string>> entrypoint;
  std::vector<pipelines::PullPolicy> pull_policy;  // tried in order; empty: the executor's default
  std::vector<ServiceSpec> services;
  Network network = Network::bridge;
  StepPlace step = StepPlace::none;
  bool more_to_come = false;  // other jobs of this run follow: worth keeping what can be used again
  bool linger = false;        // what fails stays as its script left it, for Execution::enter and keep
};

struct ReportSpec {
  std::string kind;  // "dotenv", "junit", …
  std::vector<std::string> paths;
  bool may_miss = false;  // nothing is said when it matches nothing
};

// What to take from the workspace when the job is over.
struct ArtifactsSpec {
  std::vector<std::string> paths, exclude;  // globs, expanded, relative to the project's directory
  bool untracked = false;
  pipelines::ArtifactsWhen when = pipelines::ArtifactsWhen::on_success;
  std::vector<ReportSpec> reports;  // taken whatever `when` says
};

// A cache to take from the workspace when the job is over.
struct CacheSpec {
  std::size_t number = 0;          // for whoever asked
  std::vector<std::string> paths;  // globs, expanded, relative to the project's directory
  bool untracked = false;
  pipelines::ArtifactsWhen when = pipelines::ArtifactsWhen::on_success;
  std::filesystem::path restored;  // the one of JobSpec::inputs that it was restored from; empty: none
};

// One of `run`'s steps: a shell of its own, in the project's directory.
struct WorkStep {
  std::string name;  // announced in the log
  std::string script;
  Environment environment;  // on top of the job's
};

// GITLAB_ENV, below the job directory: what the job writes there, KEY=value in a line, is in the environment of what
// runs later (docs.gitlab.com/ci/variables/job_scripts, "Pass an environment variable from the script section to
// artifacts or cache").
inline constexpr std::string_view exported_file = "tmp/gitlab_runner_env";
inline constexpr std::string_view file_prefix = "file.";  // see Work::files

// What to do in it, known when its turn comes.
struct Work {
  Environment environment;                // the job's whole environment on top of the image's own
  Environment files;                      // variables whose value is the path of a file that holds this: file_prefix
                                          // and their name, in the job directory
  std::vector<std::string> script;        // before_script and script, one shell
  std::vector<WorkStep> steps;            // or these, in order, until one fails
  std::vector<std::string> after_script;  // another shell
  std::optional<pipelines::Step> step;    // or built-in work, expanded
  pipelines::AwsSettings aws;             // expanded
  // hooks:pre_get_sources_script: a shell of its own before `script`, which does not run when this fails (nor does
  // after_script). Tried so many times.
  std::vector<std::string> pre_get_sources;
  unsigned get_sources_attempts = 1;
  std::chrono::seconds timeout{3600};  // of script and after_script; then job_execution_timeout
  // Of the script alone, where that is shorter: after_script runs then.
  std::optional<std::chrono::seconds> script_timeout;
  std::chrono::seconds after_timeout{300};
  std::chrono::seconds grace{10};  // between TERM and KILL when cancelled
  ArtifactsSpec artifacts;
  std::vector<CacheSpec> caches;
  // Names the paths of `artifacts` and `caches` anew when the job has left variables in the file exported_file; empty:
  // no path has any.
  std::function<void(Work&, const Environment&)> rename_paths;
  bool debug_trace = false;       // CI_DEBUG_TRACE
  bool debug_services = false;    // CI_DEBUG_SERVICES: what services print goes into the log, each line with its name
  bool script_sections = false;   // FF_SCRIPT_SECTIONS: an item of several lines is shown whole, in a section
  bool check_exit_codes = false;  // FF_ENABLE_BASH_EXIT_CODE_CHECK: besides errexit
  bool after_script_counts = false;  // its failure is the job's (AFTER_SCRIPT_IGNORE_ERRORS is false)
};

// What was taken: one directory tree on this host, read-only by agreement; directories of mode 0777.
struct Collected {
  std::string kind;                 // "archive" (paths and untracked), or the report's kind
  std::filesystem::path directory;  // relative paths below it are those below the project's directory
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

struct CollectedCache {
  std::size_t number = 0;  // CacheSpec::number
  bool unchanged = false;  // the job left it as it was restored: nothing was taken
  Collected tree;
};

struct JobResult {
  pipelines::Outcome outcome = pipelines::Outcome::broken;  // passed, failed, cancelled or broken
  int exit_code = -1;                                       // the script's; -1: there is none
  // GitLab's words (script_failure, job_execution_timeout, runner_system_failure, image_pull_failure, …), or ours:
  // oom, lost, artifacts_failed. Empty when passed.
  std::string reason;
  std::string message;  // one line for people: what happened and what to do
  std::vector<Collected> collected;
  std::vector<CollectedCache> caches;
  bool sandbox_gone = false;  // it was removed from outside before anything of the job ran: another one would do
};

// The job's log: exact bytes, cut anywhere, in order; one thread per sink. The stream is
//   section_start:T:step_script\r\e[0K  <the script's bytes>  section_end:T:step_script\r\e[0K
// before it the same with `get_sources` where there is Work::pre_get_sources (alone when that fails), and behind it
// with `after_script` where there is one. T is always ten digits, so a byte count names a place in it.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(std::string_view bytes) = 0;
};

// What is told about a job and is not its log. Called from the job's thread; one line each, no newline.
class Notices {
 public:
  virtual ~Notices() = default;
  virtual void status(std::string_view line) = 0;   // passing: "pulling node:18, 45 %"
  virtual void warning(std::string_view line) = 0;  // kept: "artifacts: dist/ matched nothing"
};

// A person's terminal, in raw mode, for as long as a shell is open on it.
struct Terminal {
  int in = 0, out = 1;
  std::string type;      // TERM
  std::string greeting;  // written when the shell stands
};

// What Execution::keep left.
struct Kept {
  std::string enter;  // a command line that opens a shell in it
  // The engine's ids; empty for the shell executor.
  std::string container, network, pause;
  std::vector<std::string> services;
};

// One job's sandbox. Neither copies nor moves; the destructor removes all that was made for it (the removal itself
// may go on behind until Executor::settle), except JobResult::collected.
class Execution {
 public:
  virtual ~Execution() = default;
  // What to remember to find it again after a crash; stable from construction on.
  virtual std::string handle() const = 0;
  // Gives the go and blocks until the job is over and its artifacts are taken. Call once. A stop request cancels:
  // TERM, Work::grace, KILL; after_script still runs. Throws WorldError.
  virtual JobResult run(const Work&, LogSink&, Notices&, std::stop_token) = 0;
  // Both for a job that has failed, with JobSpec::linger, after run(); they throw WorldError when nothing is left that
  // could be entered. The shell has the job's variables and stands in the project's directory, as the script left it.
  // enter() blocks until the shell ends, or ends it at a stop request; how it ended does not matter.
  virtual void enter(const Work&, const Terminal&, const std::stop_token&) {
    throw WorldError("runner_system_failure", "its executor cannot open a shell in it");
  }
  // From now on nothing of it is removed, neither by the destructor nor by Executor::settle.
  virtual Kept keep(const Work&) { throw WorldError("runner_system_failure", "its executor cannot keep it"); }
};

// Called concurrently for different jobs.
class Executor {
 public:
  virtual ~Executor() = default;
  // Makes the sandbox ready up to the go: image, services, network, workspace, container started and waiting.
  // May be called before the job's turn and dropped. Throws WorldError; after a throw nothing is left behind.
  virtual std::unique_ptr<Execution> prepare(const JobSpec&, Notices&, std::stop_token) = 0;
  // Finds the sandbox of a runner that died, by what handle() said; run() then does not give the go again but reads
  // the log on from `log_bytes_kept` (a byte count of the stream, see LogSink) and waits for the end. Null when
  // nothing is left of it: the job is lost.
  virtual std::unique_ptr<Execution> adopt(const JobSpec&, std::string_view handle, std::uint64_t log_bytes_kept) = 0;
  // Whether jobs can run at all, asked once before the first: throws WorldError with what to do (no engine, not
  // permitted …).
  virtual void check() {}
  // From now on cancelled jobs are killed without grace and without after_script (the second Ctrl-C).
  virtual void hurry() = 0;
  // Blocks until everything this executor made and nobody holds any more is gone. Call before the program exits.
  virtual void settle() = 0;
};

}  // namespace executors
