#include "runner/run/session.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "executors/workspace/tree.h"
#include "pipelines/progress.h"
#include "runner/hosts/commits.h"
#include "runner/run/caches.h"
#include "runner/run/critical_path.h"
#include "runner/run/job_factory.h"
#include "runner/run/recorder.h"
#include "runner/run/reports.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t snapshots_kept = 2;           // the newest serve as the base of the next
constexpr const char* snapshot_event = "snapshot";  // names the run's snapshot, for whoever resumes it

Clock::time_point time_of(UnixMs time) { return Clock::time_point(std::chrono::milliseconds(time)); }

// As a shell takes it: names of parallel jobs have spaces and brackets.
std::string word(const std::string& text) {
  constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + '\'';
}

// A child pipeline's jobs cannot be started by themselves.
std::string closing_words(const Scheduler::Result& result, RunId run, bool child) {
  if (result.replaced) return "a newer run takes its place";
  if (result.verdict != pipelines::Verdict::waiting) return {};
  if (child) return fmt::format("stopped before {}", fmt::join(result.blocked, ", "));
  std::vector<std::string> words;
  for (const auto& job : result.blocked) words.push_back(word(job));
  return fmt::format("stopped before {}; `runner retry {} {}` starts {}", fmt::join(result.blocked, ", "), run,
                     fmt::join(words, " "), result.blocked.size() == 1 ? "it" : "them");
}

// Whether it matters whose project this is.
bool has_project_keywords(const pipelines::Pipeline& pipeline) {
  return std::any_of(pipeline.jobs.begin(), pipeline.jobs.end(),
                     [](const pipelines::Job& job) { return !job.caches.empty() || job.release; });
}

}  // namespace

fs::path make_work_directory(const Store& store) {
  fs::path directory = fs::absolute(store.file());
  directory += ".work";
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    throw executors::WorldError("runner_system_failure",
                                fmt::format("cannot make {}: {}", directory.string(), std::strerror(errno)));
  }
  return directory;
}

Session::Session(Store& store, executors::Executor& executor, const pipelines::Pipeline& pipeline,
                 const pipelines::Plan& plan, SessionSettings settings)
    : store_(store), executor_(executor), pipeline_(pipeline), plan_(plan), settings_(std::move(settings)) {}

SessionResult Session::run(Observer& console, const std::stop_token& stop, std::optional<RunId> taken_up) {
  const fs::path work = make_work_directory(store_);
  if (settings_.parent) {
    return run_with(console, *settings_.parent->relay, *settings_.parent->snapshot, stop, taken_up);
  }
  const Snapshot snapshot = first_snapshot(work, stop, taken_up);
  Relay relay(console);
  const SessionResult result = run_with(relay, relay, snapshot, stop, taken_up);
  // A run that nobody drives needs its own when it is resumed.
  std::vector<std::string> spare;
  for (const RunId orphan : store_.orphaned_runs()) {
    if (auto name = snapshot_of(store_, orphan)) spare.push_back(std::move(*name));
  }
  prune_snapshots(work / "s", snapshots_kept, spare);
  return result;
}

RunId Session::record_run(const Snapshot& snapshot) {
  NewRun run;
  run.pipeline_name = plan_.name.empty() ? settings_.file : plan_.name;
  run.pipeline_text = settings_.text;
  run.project_dir = settings_.project.string();
  run.ref = settings_.ref;
  run.sha = settings_.sha;
  run.event = settings_.event;
  run.options = settings_.options;
  run.started = unix_now();
  if (settings_.parent) {
    run.parent = settings_.parent->run;
    run.parent_job = settings_.parent->job.job + 1;
  }
  for (const auto& job : pipeline_.jobs) run.jobs.push_back({job.name, job.stage});
  if (settings_.retry) {
    run.retry_of = settings_.retry->of;
    for (const auto& [job, number] : settings_.retry->reused) {
      run.jobs[job].reused_run = run.retry_of;
      run.jobs[job].reused_job = number;
    }
  }
  const RunId id = store_.create_run(run);
  store_.add_event(id, run.started, snapshot_event, nlohmann::json{{"name", snapshot.name()}}.dump());
  return id;
}

RunSettings Session::run_settings(RunId run, const fs::path& directory, const Snapshot& snapshot) const {
  RunSettings settings;
  settings.run = run;
  settings.owner = store_.owner();
  settings.directory = directory;
  settings.sources = snapshot.sources();
  settings.shell = settings_.shell;
  settings.executor_name = settings_.shell ? "shell" : "docker";
  settings.project_path = settings_.project_path;
  settings.default_image = settings_.default_image;
  settings.pull = settings_.pull;
  settings.network = settings_.network;
  settings.secrets = settings_.secrets;
  settings.protected_ref = settings_.protected_ref;
  settings.last_commit = [this](const std::string& path) {
    return last_commit_of(settings_.project, settings_.revision, path);
  };
  return settings;
}

SessionResult Session::run_with(Observer& console, Relay& relay, const Snapshot& snapshot, const std::stop_token& stop,
                                std::optional<RunId> taken_up) {
  const auto begun = std::chrono::steady_clock::now();
  SessionResult result;
  result.run = taken_up ? *taken_up : record_run(snapshot);
  const fs::path directory = make_work_directory(store_) / std::to_string(result.run);
  std::error_code failure;
  fs::create_directory(directory, failure);
  if (failure) {
    throw executors::WorldError("runner_system_failure",
                                fmt::format("cannot make {}: {}", directory.string(), failure.message()));
  }
  const JobFactory factory(pipeline_, plan_, run_settings(result.run, directory, snapshot));

  const std::string project = settings_.project_path.empty() ? settings_.project.string() : settings_.project_path;
  Recorder recorder(store_, result.run, project, settings_.process_modes);
  const fs::path standing = make_work_directory(store_) / "c";
  std::optional<Caches> caches;
  if (has_project_keywords(pipeline_)) {
    const std::string whose = project_identity(settings_.project);
    caches.emplace(store_, whose, standing);
    recorder.set_project(&*caches, {settings_.project, whose, settings_.revision});
  }
  pipelines::Progress progress(plan_, plan_.asked_for, settings_.keep_going);

  RunStarted started;
  started.run = result.run;
  started.time = Clock::now();
  started.file = settings_.file;
  started.ref = settings_.ref;
  started.sha = settings_.sha;
  started.event = settings_.event;
  if (settings_.parent) {
    started.parent = settings_.parent->run;
    started.parent_job = settings_.parent->job_name;
  }
  if (settings_.retry) started.retry_of = settings_.retry->of;
  for (const auto& planned : plan_.jobs) {
    if (!planned.included) continue;
    started.jobs.push_back({planned.job, pipeline_.jobs[planned.job].name, pipeline_.jobs[planned.job].stage});
    if (planned.when == pipelines::When::manual) continue;
    if (const std::string group = factory.resource_group(planned.job); !group.empty()) {
      recorder.expect(planned.job, group);
    }
  }
  // The recorder first: what is seen on a screen is on its way into the store.
  Spans spans;
  const std::vector<Observer*> observers{&recorder, &spans, &console};
  for (Observer* observer : observers) observer->on(started);
  if (settings_.parent) settings_.parent->created(result.run);

  Children children(store_, result.run, settings_.parent ? settings_.parent->depth : 0, snapshot.sources().snapshot,
                    settings_.load_child, [&](const ChildStart& child, const std::stop_token& cancelled) {
                      return run_child(child, result.run, snapshot, relay, cancelled);
                    });
  Scheduler scheduler(executor_, factory, recorder, recorder, children, observers, settings_.limits);
  const Scheduler::Result walked =
      scheduler.run(progress, plan_, stop, taken_up || settings_.retry ? earlier(result.run, directory) : Earlier{},
                    settings_.successor);
  result.verdict = walked.verdict;
  children.wait(stop);
  if (!settings_.parent) executor_.settle();

  RunFinished finished;
  finished.run = result.run;
  finished.time = Clock::now();
  finished.verdict = result.verdict;
  finished.duration = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
  finished.message = closing_words(walked, result.run, settings_.parent.has_value());
  for (const auto job : critical_path(plan_, spans.all())) finished.critical_path.push_back(factory.name(job));
  for (Observer* observer : observers) observer->on(finished);

  executors::remove_tree(directory);
  if (caches && caches->saved()) {
    GcOptions limits = settings_.caches;
    limits.now = unix_now();
    store_.prune_caches(limits);
    prune_standing(store_, standing);
  }
  return result;
}

ChildEnd Session::run_child(const ChildStart& start, RunId run, const Snapshot& snapshot, Relay& relay,
                            const std::stop_token& stop) {
  SessionSettings settings = settings_;
  settings.retry.reset();
  settings.successor.wanted = {};  // the parent decides for all
  settings.file = start.pipeline.file;
  settings.text = start.pipeline.text;
  settings.options = start.pipeline.options;
  settings.event = "parent_pipeline";
  SessionSettings::Parent parent;
  parent.run = run;
  parent.job = start.parent;
  parent.job_name = pipeline_.jobs[start.parent.job].name;
  parent.depth = (settings_.parent ? settings_.parent->depth : 0) + 1;
  parent.snapshot = &snapshot;
  parent.relay = &relay;
  parent.created = start.created;
  settings.parent = std::move(parent);
  Session session(store_, executor_, start.pipeline.parsed.pipeline, start.pipeline.plan, std::move(settings));
  const SessionResult result = session.run(relay.child(), stop, start.taken_up);
  return {result.run, result.verdict};
}

Snapshot Session::take_snapshot(const fs::path& work, const std::stop_token& stop) const {
  SnapshotOptions how;
  how.revision = settings_.revision;
  how.except = fs::absolute(store_.file());  // and all that stands beside it
  how.stop = stop;
  return make_snapshot(settings_.project, work / "s", how);
}

Snapshot Session::snapshot_again(const fs::path& work, RunId run) const {
  const auto name = snapshot_of(store_, run);
  if (!name) {
    throw StoreError(StoreFault::missing, fmt::format("run {} had not got as far as its first job", run),
                     "run the pipeline again with `runner exec`");
  }
  return open_snapshot(work / "s", *name);
}

Snapshot Session::first_snapshot(const fs::path& work, const std::stop_token& stop,
                                 std::optional<RunId> taken_up) const {
  if (taken_up) return snapshot_again(work, *taken_up);
  if (settings_.retry && settings_.retry->same_sources) return snapshot_again(work, settings_.retry->of);
  return take_snapshot(work, stop);
}

std::optional<std::string> snapshot_of(const Store& store, RunId run) {
  for (const auto& event : store.events(run)) {
    if (event.kind == snapshot_event) return nlohmann::json::parse(event.json).at("name").get<std::string>();
  }
  return std::nullopt;  // its runner died before it was told
}

// `taken`: its files are asked for; else it is only to be told again.
Earlier::Finished Session::finished(const JobRow& job, const std::vector<ArtifactRow>& kept, const fs::path& directory,
                                    bool taken) const {
  Earlier::Finished finished;
  finished.end.key = {job.job - 1, job.attempts};
  finished.end.time = time_of(job.finished.value_or(0));
  finished.end.outcome = *job.outcome;
  finished.end.allowed = job.allowed;
  finished.end.exit_code = job.exit_code;
  finished.end.reason = job.reason;
  finished.end.message = job.message;
  finished.end.duration = std::chrono::milliseconds(
      std::max<UnixMs>(0, job.finished.value_or(0) - job.started.value_or(job.finished.value_or(0))));
  finished.end.reused = job.reused_run;
  if (job.reused_run != 0) finished.end.time = Clock::now();
  for (const auto& artifact : kept) {
    if (artifact.key.attempt != job.attempts || (!taken && artifact.kind == "archive")) continue;
    executors::Collected part;
    part.kind = artifact.kind;
    part.directory = directory / fmt::format("k{}-{}", job.job, artifact.id);
    part.files = artifact.files;
    part.bytes = artifact.bytes;
    finished.end.artifact_files += artifact.files;
    finished.end.artifact_bytes += artifact.bytes;
    store_.extract(artifact.id, part.directory);
    finished.collected.push_back(std::move(part));
  }
  finished.end.coverage = job.coverage;
  finished.end.reports = read_reports(finished.collected).summaries;
  return finished;
}

Earlier Session::earlier(RunId run, const fs::path& directory) const {
  Earlier earlier;
  std::map<std::uint32_t, std::vector<ArtifactRow>> kept;
  for (auto& artifact : store_.list_artifacts(run)) kept[artifact.key.job].push_back(std::move(artifact));
  const std::vector<JobRow> jobs = store_.jobs(run);
  std::set<pipelines::JobIndex> taken;
  for (const auto& job : jobs) {
    if (job.state == JobState::final || !plan_.jobs[job.job - 1].included) continue;
    for (const auto producer : plan_.artifacts_from(job.job - 1)) taken.insert(producer);
  }
  for (const auto& job : jobs) {
    const pipelines::JobIndex index = job.job - 1;
    if (job.state == JobState::final && job.outcome) {
      // What was skipped and the like is decided again, the same way.
      if (job.reused_run != 0) {
        earlier.reused.emplace(index, finished(job, kept[job.job], directory, taken.count(index) != 0));
      } else if (job.attempts != 0) {
        earlier.finished.emplace(index, finished(job, kept[job.job], directory, /*taken=*/true));
      }
    } else if (const auto attempt = store_.last_attempt(run, job.job); attempt && attempt->state == JobState::running) {
      earlier.running.emplace(index, Earlier::Running{attempt->key.attempt, attempt->handle, attempt->log_cursor,
                                                      time_of(attempt->started.value_or(unix_now()))});
    }
  }
  return earlier;
}

}  // namespace runner
