// One run from its set-up to its last trace: store, snapshot, executor, scheduler, and the clearing away afterwards.
// `exec` begins one, `resume` takes up one that another process left.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "executors/executor.h"
#include "pipelines/plan.h"
#include "runner/hosts/checkouts.h"
#include "runner/run/children.h"
#include "runner/run/person.h"
#include "runner/run/scheduler.h"
#include "runner/store/store.h"

namespace runner {

struct SessionSettings {
  std::string file;  // the pipeline file as the user named it
  std::string text;
  std::filesystem::path project;
  std::string project_path;  // group/name
  std::string ref, sha, event;
  std::string options;   // JSON for whoever resumes the run
  std::string revision;  // --ref: the snapshot's commit; empty: the working tree
  bool shell = false;
  bool keep_going = false;
  std::string default_image;
  std::optional<pipelines::PullPolicy> pull;
  executors::Network network = executors::Network::bridge;
  std::vector<std::string> secrets;
  std::map<std::string, ProcessMode> process_modes;  // of resource groups; unordered where it says nothing
  bool protected_ref = false;                        // the run's branch is a protected one
  GcOptions caches;                                  // how much of them is kept
  Limits limits;
  std::map<std::string, std::string> predefined;  // as they were made: for ID tokens
  CredentialSettings credentials;
  ChildLoader load_child;
  FailureHelp* help = nullptr;
  Person* person = nullptr;  // who may be asked, at the terminal
  // A retry of an earlier run.
  struct Retry {
    RunId of = 0;
    std::map<pipelines::JobIndex, std::uint32_t> reused;  // jobs that stand as they ended there, by its job, from 1
    bool same_sources = false;                            // its snapshot; else one is taken
    std::uint64_t rollback_of = 0;                        // the deployment that is made again; 0: none
  };
  std::optional<Retry> retry;
  Successor successor;
  // A child pipeline's: what it shares with its parent.
  struct Parent {
    RunId run = 0;
    JobKey job;
    std::string job_name;
    unsigned depth = 0;  // of the child
    Checkouts* checkouts = nullptr;
    Relay* relay = nullptr;
    std::function<void(RunId)> created;
  };
  std::optional<Parent> parent;
};

struct SessionResult {
  RunId run = 0;
  pipelines::Verdict verdict = pipelines::Verdict::passed;
};

// The names of the snapshots that a run was made of, for open_snapshot, by the choice of sources that each is for (see
// to_text(SourceChoice)); empty: it did not get as far.
std::map<std::string, std::string> snapshots_of(const Store&, RunId);

// `<database>.work`: job directories, layers and snapshots (0700). Made when missing. Throws WorldError.
std::filesystem::path make_work_directory(const Store&);

struct SaidBefore;  // approvals.h

class Session {
 public:
  // All must outlive the session.
  Session(Store&, executors::Executor&, const pipelines::Pipeline&, const pipelines::Plan&, SessionSettings);

  // `taken_up`: a run adopted by Store::adopt_run, in place of a new one.
  SessionResult run(Observer& console, const std::stop_token&, std::optional<RunId> taken_up = {});

 private:
  void remove_directories_below(RunId) const;
  ChildEnd run_child(const ChildStart&, RunId run, Checkouts&, Relay&, const std::stop_token&);
  SessionResult run_with(Observer& console, Relay&, Checkouts&, const std::stop_token&, std::optional<RunId> taken_up);
  RunId record_run();
  RunSettings run_settings(RunId, const std::filesystem::path& directory, Checkouts&) const;
  SnapshotOptions snapshot_options(const std::stop_token&) const;
  void take_snapshots(Checkouts&) const;
  void open_snapshots(Checkouts&, const std::filesystem::path& root, RunId) const;
  Earlier earlier(RunId, const std::filesystem::path& directory, const SaidBefore&) const;
  void add_ended(Earlier&, const JobRow&, Earlier::Finished, std::optional<UnixMs> reopened) const;
  Earlier::Finished finished(const JobRow&, const std::vector<ArtifactRow>&, const std::filesystem::path& directory,
                             bool taken) const;

  Store& store_;
  executors::Executor& executor_;
  const pipelines::Pipeline& pipeline_;
  const pipelines::Plan& plan_;
  SessionSettings settings_;
};

}  // namespace runner
