// The store: what is remembered of runs. One SQLite file (WAL), shared by any number of processes, and beside it a
// directory FILE.chunks for the large pieces of artifacts.
//
// The recorder (runner/run) writes, the command line and the server read. The store knows nothing of the pipeline
// language, the executors or the scheduler beyond the words it stores, and it never sees a secret: what it is given
// has been redacted. Every method may be called from any thread and throws StoreError.
//
// Promises: a job's state never goes backwards; each attempt ends in exactly one final state, the first one written;
// what append or finish returned from survives a `kill -9`; a process that died is found out at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"
#include "pipelines/progress.h"

namespace runner {

using UnixMs = std::int64_t;  // milliseconds since 1970, wall clock
using RunId = std::uint64_t;  // 1, 2, … in a database
using ArtifactId = std::uint64_t;

UnixMs unix_now();

enum class StoreFault : std::uint8_t {
  full,     // no space left: worth trying again when there is some
  locked,   // another process held the database longer than Options::patience
  corrupt,  // not a database, or damaged
  newer,    // written by a newer version of this program
  missing,  // no such run, job or artifact
  other,
};

class StoreError : public executors::WorldError {
 public:
  StoreError(StoreFault kind, const std::string& message, std::string mend = {})
      : WorldError("runner_system_failure", message, std::move(mend)), fault(kind) {}
  StoreFault fault;
};

// Stored as numbers: append, never renumber.
enum class JobState : std::uint8_t { queued = 0, running = 2, final = 3 };
std::string_view to_string(JobState);

struct NewJob {
  std::string name, stage;
  // Not run, but taken from a job that ended in an earlier run (of which this is a retry), with its outcome, artifacts
  // and reports; 0: an ordinary one.
  RunId reused_run = 0;
  std::uint32_t reused_job = 0;  // from 1
};

struct NewRun {
  std::string pipeline_name, pipeline_text;  // the file as it was read
  std::string project_dir, ref, sha, event;
  std::string options;  // JSON for whoever resumes the run; opaque here, without secrets
  std::vector<NewJob> jobs;
  UnixMs started = 0;
  RunId parent = 0;               // a child pipeline's: the run that triggered it; 0: none
  std::uint32_t parent_job = 0;   // and the job, from 1
  RunId retry_of = 0;             // 0: it is none
  std::string project;            // whose environments it deploys to (project_identity); empty: it deploys nothing
  std::uint64_t rollback_of = 0;  // the deployment that it makes again; 0: none
};

// Names one attempt; `job` counts from 1 in the order of NewRun::jobs (as executors::JobId), `attempt` from 1.
struct AttemptKey {
  RunId run = 0;
  std::uint32_t job = 0;
  std::uint32_t attempt = 1;
  friend auto operator<=>(const AttemptKey&, const AttemptKey&) = default;
};

struct AttemptEnd {
  pipelines::Outcome outcome = pipelines::Outcome::broken;
  int exit_code = -1;  // -1: none
  std::string reason, message;
  bool allowed = false;
  bool retried = false;  // another attempt follows: the job itself goes on
  UnixMs finished = 0;
  std::optional<double> coverage;  // percent
};

struct RunRow {
  RunId id = 0;
  std::string ref, sha, event, project_dir, pipeline_name;
  std::optional<pipelines::Verdict> outcome;  // absent while running
  UnixMs started = 0;
  std::optional<UnixMs> finished;
  RunId parent = 0;                  // 0: nobody triggered it
  RunId retry_of = 0;                // 0: it is none
  double seconds(UnixMs now) const;  // never negative
};

struct RunDetail : RunRow {
  std::string pipeline_text, options;
};

struct AttemptRow {
  AttemptKey key;
  JobState state = JobState::queued;
  std::string handle;                         // Execution::handle(): how to find it again
  std::optional<pipelines::Outcome> outcome;  // set when state is final
  int exit_code = -1;
  std::string reason, message;
  std::optional<UnixMs> started, finished;  // started: when the go was given
  std::uint64_t log_size = 0;               // bytes readable
  std::uint64_t log_cursor = 0;  // bytes of the executor's stream that are safe: Executor::adopt's log_bytes_kept
};

struct JobRow {
  std::uint32_t job = 0;  // from 1
  std::string name, stage;
  JobState state = JobState::queued;
  std::optional<pipelines::Outcome> outcome;
  bool allowed = false;
  int exit_code = -1;
  std::string reason, message;
  std::optional<double> coverage;
  std::uint32_t attempts = 0;               // 0: none was begun
  std::optional<UnixMs> started, finished;  // of the last attempt
  // Taken from an earlier run: where it ran and its log is (not another retry, but what they all go back to). 0: not.
  RunId reused_run = 0;
  std::uint32_t reused_job = 0;
  std::optional<std::uint32_t> artifacts;  // how many it had when it ended; some may have expired since
};

struct EventRow {
  std::uint64_t sequence = 0;  // increasing within the database
  RunId run = 0;
  UnixMs time = 0;
  std::string kind, json;
};

struct ArtifactRow {
  ArtifactId id = 0;
  AttemptKey key;
  std::string job_name;
  std::string kind, name;  // kind as executors::Collected: "archive", "junit", "dotenv", …
  std::uint64_t files = 0, bytes = 0;
  UnixMs created = 0;
  std::optional<UnixMs> expires;
};

struct ArtifactFile {
  std::string path;
  std::uint64_t size = 0;
  bool executable = false;
  std::optional<std::string> link;  // a symlink's target
};

// A mutex across the pipelines of one project (docs.gitlab.com/ee/ci/resource_groups).
struct ResourceGroup {
  std::string project;  // who shares it: "group/name"
  std::string name;
};
// GitLab's process modes: who comes next. The first two also wait for jobs that are yet to come.
// newest_wins is ours: as newest_ready_first, but what waits while a newer run wants it too is superseded.
enum class ProcessMode : std::uint8_t { unordered, oldest_first, newest_first, newest_ready_first, newest_wins };
struct ResourceAnswer {
  bool ours = false;
  bool superseded = false;  // by `run`: it is not to wait any longer
  RunId run = 0;            // else: who has it, or comes first
  std::uint32_t job = 0;
  std::string job_name;
  bool holds = false;     // it has it
  bool orphaned = false;  // it runs on without its runner
};

// What somebody said to a question of a job that waits.
struct Approval {
  enum class Decision : std::uint8_t { approved = 0, rejected = 1 };  // stored
  RunId run = 0;
  std::uint32_t job = 0;  // from 1
  std::string subject;    // empty: that a manual job starts; else executors::steps::Question::subject
  Decision decision = Decision::approved;
  std::string who, comment;
  UnixMs time = 0;
};

// A job that waits for a person.
struct WaitingJob {
  RunId run = 0;
  std::uint32_t job = 0;  // from 1
  std::string name, subject, text;
  std::optional<UnixMs> asked;
  RunId child = 0;               // it is this child pipeline that waits; 0: the job itself
  std::optional<Approval> said;  // the newest answer; nobody has acted on it yet
};

// One change of an environment, or of a target that a built-in step deploys to.
struct DeploymentRow {
  // The first six as executors::steps::Deployment::State. Stored as numbers: append, never renumber.
  enum class State : std::uint8_t {
    running = 0,
    succeeded = 1,
    failed = 2,
    rolled_back = 3,
    superseded = 4,
    cancelled = 5,
    interrupted = 6  // its runner died, and nobody took the run up
  };
  std::uint64_t id = 0;                         // its number, from 1 in a database
  std::string project, environment, tier, url;  // environment: empty where a step has none
  std::string target;                           // "ecs:prod/backend"; empty: the environment as a whole
  std::string what, previous;                   // without a target commits; previous: empty where there was none
  std::string ref, sha;
  AttemptKey key;
  std::string job_name;
  std::string approved_by, comment;  // empty: nobody had to
  std::optional<UnixMs> approved;
  UnixMs started = 0;
  std::optional<UnixMs> finished, stopped;  // stopped: its environment was
  State state = State::running;
  std::string message;
  std::uint64_t rollback_of = 0;  // the deployment that it made again; 0: none
  bool run_is_gone = false;       // removed by gc
};
std::string_view to_string(DeploymentRow::State);

struct DeploymentPlace {
  std::string environment, tier, url;
};

// What a step tells of one target (executors::steps::Deployment).
struct TargetChange {
  std::string target, what, previous;
  DeploymentRow::State state = DeploymentRow::State::running;
  std::string message;
};

struct DeploymentFilter {
  std::optional<std::string> project, environment;
  std::size_t limit = 0;  // 0: all
};

struct CacheRow {
  std::string project, key;
  std::uint64_t tree = 0;  // names the content: the same tree is the same content, for ever
  std::uint64_t files = 0, bytes = 0;
  UnixMs saved = 0, used = 0;  // used: saved or restored last
};

struct SavedCache {
  std::uint64_t tree = 0;
  std::uint64_t files = 0, bytes = 0;
  bool stored = false;  // false: this very content was there already
};

struct ReleaseRow {
  std::string project, tag;
  AttemptKey key;  // who made it
  UnixMs time = 0;
  std::string json;  // what the author said of it
};

// One call of a built-in step (executors/steps/host.h).
struct JournalRow {
  std::string intent;  // JSON
  UnixMs intended = 0;
  std::optional<std::string> answer;  // JSON; absent: what came of it is not known
};

// Whom an artifact's files are taken out for.
enum class TakenFor : std::uint8_t {
  user,  // modes as the job left them, less the umask; directories 0777 less the umask
  // A layer of a workspace: modes whatever the umask, directories 0777, and owners, where those may be given; where
  // not, everybody may do with a file of another user what its owner might.
  job,
};

struct GcOptions {
  UnixMs now = 0;
  std::optional<std::uint64_t> keep_runs;  // the newest so many runs are kept whole; absent: all
  std::optional<UnixMs> keep_for;     // runs that finished longer ago than this go with logs and events; absent: none
  std::optional<UnixMs> keep_caches;  // caches used longer ago than this go; absent: none
  std::optional<std::uint64_t> caches_limit;  // bytes; above, those not used for longest go
  bool dry_run = false;                       // counts artifacts and runs only
};

struct GcResult {
  std::uint64_t artifacts = 0, runs = 0, chunks = 0, bytes = 0;  // bytes: stored ones, given back
  std::uint64_t caches = 0;
};

class Store;

// The log of one attempt: bytes come in after redaction, from one thread. write() copies and returns; a thread of the
// store commits what all logs have gathered every 50 ms in one transaction, sooner when much is waiting, and slows the
// writer down when 4 MB are. The destructor flushes but cannot tell of failures: call close(). Must not outlive the
// store.
//
// Over the limit the log says so once, what follows is left out but for its last 64 KB (stored by close()), and the
// job goes on.
class LogWriter {
 public:
  LogWriter(LogWriter&&) noexcept;
  LogWriter& operator=(LogWriter&&) noexcept;
  ~LogWriter();
  // `raw_cursor`: how many bytes of the executor's stream are covered once these are stored (fed − Redactor::held()).
  void write(std::string_view bytes, std::uint64_t raw_cursor);
  void flush();  // returns when all that was written is stored
  void close();  // flush, and the tail of a log over its limit; no write() after it
  bool limited() const;

 private:
  friend class Store;
  struct Impl;
  explicit LogWriter(std::shared_ptr<Impl>);
  std::shared_ptr<Impl> impl_;
};

class Store {
 public:
  struct Options {
    std::filesystem::path file;                  // made with its directories (0700) when missing
    std::chrono::milliseconds patience{30'000};  // how long another process may hold the database, or the disk be full
    std::uint64_t log_limit = 100'000'000;       // bytes per attempt
    std::uint64_t log_tail = 64 * 1024;
    std::uint64_t ballast = 1 << 20;  // FILE.ballast: given up on a full disk so that results can be stored
    bool read_only = false;           // listing without a trace
    bool make_room = false;  // opened to remove things: the ballast is given up when the disk is too full to open it
  };
  explicit Store(const Options&);
  explicit Store(std::filesystem::path file) : Store(Options{std::move(file)}) {}
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  const std::filesystem::path& file() const;
  const std::string& owner() const;  // 32 hexadecimal digits, made once per database
  // $XDG_STATE_HOME/runner/runner.db, else ~/.local/state/runner/runner.db, from the values given (empty: unset).
  static std::filesystem::path default_file(std::string_view xdg_state_home, std::string_view home);

  // --- what happens (the recorder) -----------------------------------------------------------------------------
  RunId create_run(const NewRun&);                              // this process holds the run's lease from now on
  bool finish_run(RunId, pipelines::Verdict, UnixMs finished);  // false: it had finished already
  // Before anything is made for the attempt. Claims the job's lease; false when another living process has it, or the
  // job is final (but `manual`, which only waits, may begin).
  bool begin_attempt(const AttemptKey&);
  // Write it before the go is given; with the handle in the same transaction, if there is one.
  bool attempt_started(const AttemptKey&, UnixMs started, std::string_view handle = {});
  // The one final state. False when the attempt had ended already: the first end stays. Releases the job's lease
  // unless AttemptEnd::retried.
  bool finish_attempt(const AttemptKey&, const AttemptEnd&);
  // A sandbox prepared ahead that is not needed after all: as if the attempt had never begun. False when it started.
  bool drop_attempt(const AttemptKey&);
  // A job that ended without any attempt of its own: skipped, manual, cancelled.
  bool end_job(RunId, std::uint32_t job, pipelines::Outcome, std::string_view reason = {},
               std::string_view message = {}, bool allowed = false);
  std::uint64_t add_event(RunId, UnixMs time, std::string_view kind, std::string_view json);

  // --- logs ----------------------------------------------------------------------------------------------------
  // Goes on where the stored log ends (after a crash too). One writer per attempt at a time.
  LogWriter open_log(const AttemptKey&);
  // Bytes and cursor in one transaction, at once; LogWriter is what a job uses.
  void append_log(const AttemptKey&, std::string_view bytes, std::uint64_t raw_cursor);
  std::uint64_t log_size(const AttemptKey&) const;
  // At most `max` bytes from `offset`; empty at the end. Exact bytes, cut anywhere.
  std::string read_log(const AttemptKey&, std::uint64_t offset, std::size_t max) const;
  // The whole log from `offset` on in pieces of bounded size; returns the offset behind the last byte given.
  std::uint64_t read_log(const AttemptKey&, std::uint64_t offset, const std::function<void(std::string_view)>&) const;
  std::string log_tail(const AttemptKey&, std::size_t lines, std::size_t max_bytes = 64 * 1024) const;

  // --- artifacts -----------------------------------------------------------------------------------------------
  // Stores regular files (whether executable), directories without any file, and symlinks. The tree must not change
  // meanwhile. On failure or a stop request nothing of it is left. A tree or file already stored is stored once.
  ArtifactId store_tree(const AttemptKey&, std::string_view kind, std::string_view name,
                        const std::filesystem::path& directory, std::optional<UnixMs> expires,
                        const std::stop_token& = {});
  std::vector<ArtifactRow> list_artifacts(RunId) const;  // in the order they were stored
  std::vector<ArtifactFile> list_files(ArtifactId) const;
  // Into `directory` (made when missing; files there are replaced). Never writes outside it, whatever symlinks are in
  // its way. What is all zeros takes no space.
  void extract(ArtifactId, const std::filesystem::path& directory, TakenFor = TakenFor::user,
               const std::stop_token& = {}) const;
  void read_file(ArtifactId, std::string_view path, const std::function<void(std::string_view)>& sink) const;
  std::string read_file(ArtifactId, std::string_view path, std::size_t max) const;  // StoreError when larger
  std::uint64_t chunk_count() const;  // distinct pieces kept, for tests and `doctor`

  // --- caches (caches.cpp) --------------------------------------------------------------------------------------
  // A cache is a tree, as artifacts are, under a project's key. Saving replaces the whole: the last one wins.
  SavedCache save_cache(std::string_view project, std::string_view key, const std::filesystem::path& directory,
                        const std::stop_token& = {});
  // Lets the key mean a tree that was stored before; absent when that is gone.
  std::optional<SavedCache> save_cache(std::string_view project, std::string_view key, std::uint64_t tree);
  std::optional<CacheRow> use_cache(std::string_view project, std::string_view key);          // counts as a use
  std::vector<CacheRow> list_caches(std::optional<std::string> project = {}) const;           // the last used first
  std::uint64_t clear_caches(std::string_view project, std::optional<std::string> key = {});  // how many went
  // As extract(), of a cache.
  void extract_tree(std::uint64_t tree, const std::filesystem::path& directory, TakenFor = TakenFor::user,
                    const std::stop_token& = {}) const;
  // What is over the limits goes, and the content nobody refers to any more.
  GcResult prune_caches(const GcOptions&);

  // --- releases (caches.cpp) ------------------------------------------------------------------------------------
  void add_release(const ReleaseRow&);  // in place of an earlier one of that project and tag
  std::optional<ReleaseRow> find_release(std::string_view project, std::string_view tag) const;

  // --- the journal of built-in steps (journal.cpp) ---------------------------------------------------------------
  // An attempt that follows one which waited for a person goes on in that one's journal. Both writes are on the disk
  // when they return.
  void journal_intend(const AttemptKey&, std::string_view name, std::string_view json);  // in place of an earlier one
  void journal_answer(const AttemptKey&, std::string_view name, std::string_view json);
  std::optional<JournalRow> find_journal(const AttemptKey&, std::string_view name) const;

  // --- approvals (approvals.cpp) --------------------------------------------------------------------------------
  // What the job waits for from now on; in place of an earlier question. It is no more when an attempt begins.
  void ask(RunId, std::uint32_t job, std::string_view subject, std::string_view text);
  void withdraw_question(RunId, std::uint32_t job);
  // Kept for ever, and among the run's events (job_approved, job_rejected). False when the job does not wait for it:
  // nothing was kept then.
  bool add_approval(const Approval&);
  std::vector<Approval> approvals(RunId) const;  // oldest first
  // The newest that was said to this question.
  std::optional<Approval> approval(RunId, std::uint32_t job, std::string_view subject) const;
  std::vector<WaitingJob> waiting_jobs(RunId) const;  // optional manual jobs among them, in the pipeline's order
  std::vector<RunId> waiting_runs() const;            // that stopped before something, oldest first; no child pipelines
  // Whether somebody has answered what this run, which is over, or a child pipeline of it stopped before.
  bool is_answered(RunId) const;
  // Begins an answered run again, in one step: this process holds its lease from now on, as after adopt_run. What
  // waited and was answered, and what was skipped, is to be decided anew; what ended stays. False when there is no
  // answer or another process was faster.
  bool reopen_run(RunId);
  std::optional<UnixMs> reopened(RunId) const;  // when that happened last

  // --- the trail (deployments.cpp) -------------------------------------------------------------------------------
  // The attempt deploys from now on; again for the same attempt: nothing happens.
  void begin_deployment(const AttemptKey&, const DeploymentPlace&, UnixMs);
  // Each target of an attempt is a deployment of its own; the first takes the place of the environment's as a whole.
  void record_target(const AttemptKey&, const TargetChange&, UnixMs);
  // All of the attempt's that still run end as it did. `url`: as it is now; empty: as it was.
  void end_deployments(const AttemptKey&, pipelines::Outcome, std::string_view url, std::string_view message, UnixMs);
  // Of the run's project.
  void stop_environment(RunId, std::string_view environment, UnixMs);
  std::vector<DeploymentRow> deployments(const DeploymentFilter&) const;  // newest first
  std::optional<DeploymentRow> deployment(std::uint64_t id) const;

  // --- leases --------------------------------------------------------------------------------------------------
  // Unfinished runs whose process on this host is dead (or that nobody drives), oldest first.
  std::vector<RunId> orphaned_runs() const;
  // Unfinished runs driven by a living process (this one included) or by another host.
  std::vector<RunId> driven_runs() const;
  // Takes over the run and its jobs' leases from a dead process; false when another process was faster or lives.
  bool adopt_run(RunId);
  // Lets go of it without finishing, so that another process may adopt it (detach).
  void release_run(RunId);

  // --- resource groups -----------------------------------------------------------------------------------------
  // At the beginning of a run: the job will want it. For the modes that go by a pipeline's age.
  void expect_resource(const ResourceGroup&, RunId, std::uint32_t job);
  // One step, no waiting: ask again when it is not ours. What a dead process held is free again, unless its job runs
  // on.
  ResourceAnswer acquire_resource(const ResourceGroup&, ProcessMode, RunId, std::uint32_t job);
  void release_resource(RunId, std::uint32_t job);  // whatever the job holds or waits for; finish_run does it for all

  // --- reading (the command line, the server) --------------------------------------------------------------------
  std::vector<RunRow> list_runs(std::size_t limit = 0, RunId before = 0) const;  // newest first; 0: all
  std::optional<RunId> newest_run() const;
  std::optional<RunDetail> run(RunId) const;
  std::optional<RunRow> child_run(RunId parent, std::uint32_t job) const;  // the newest that this job triggered
  std::vector<JobRow> jobs(RunId) const;                                   // in the pipeline's order
  std::vector<AttemptRow> attempts(RunId, std::uint32_t job) const;
  std::optional<AttemptRow> attempt(const AttemptKey&) const;
  std::optional<AttemptRow> last_attempt(RunId, std::uint32_t job) const;
  std::vector<EventRow> events(RunId, std::uint64_t after = 0, std::size_t limit = 1000) const;
  // Changes whenever any process wrote anything: cheap to ask, for followers.
  std::uint64_t change_counter() const;

  // --- upkeep --------------------------------------------------------------------------------------------------
  GcResult gc(const GcOptions&);
  std::string check() const;                           // SQLite's quick_check: "ok", or what is wrong
  void backup(const std::filesystem::path& to) const;  // VACUUM INTO; without FILE.chunks

  struct Impl;  // store_impl.h

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace runner
