#include "runner/run/session.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "executors/workspace/tree.h"
#include "pipelines/progress.h"
#include "runner/run/job_factory.h"
#include "runner/run/recorder.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t snapshots_kept = 2;           // the newest serve as the base of the next
constexpr const char* snapshot_event = "snapshot";  // names the run's snapshot, for whoever resumes it

Clock::time_point time_of(UnixMs time) { return Clock::time_point(std::chrono::milliseconds(time)); }

std::string closing_words(const Scheduler::Result& result, const std::string& file) {
  if (result.verdict != pipelines::Verdict::waiting) return {};
  return fmt::format("stopped before {}; `runner exec {} {}` starts {}", fmt::join(result.blocked, ", "), file,
                     fmt::join(result.blocked, " "), result.blocked.size() == 1 ? "it" : "them");
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
  const auto begun = std::chrono::steady_clock::now();
  const fs::path work = make_work_directory(store_);

  const Snapshot snapshot = taken_up ? snapshot_again(work, *taken_up) : take_snapshot(work, stop);
  SessionResult result;
  if (taken_up) {
    result.run = *taken_up;
  } else {
    NewRun run;
    run.pipeline_name = settings_.file;
    run.pipeline_text = settings_.text;
    run.project_dir = settings_.project.string();
    run.ref = settings_.ref;
    run.sha = settings_.sha;
    run.event = settings_.event;
    run.options = settings_.options;
    run.started = unix_now();
    for (const auto& job : pipeline_.jobs) run.jobs.push_back({job.name, job.stage});
    result.run = store_.create_run(run);
    store_.add_event(result.run, run.started, snapshot_event, nlohmann::json{{"name", snapshot.name()}}.dump());
  }
  const fs::path directory = work / std::to_string(result.run);
  std::error_code failure;
  fs::create_directory(directory, failure);
  if (failure) {
    throw executors::WorldError("runner_system_failure",
                                fmt::format("cannot make {}: {}", directory.string(), failure.message()));
  }

  RunSettings run_settings;
  run_settings.run = result.run;
  run_settings.owner = store_.owner();
  run_settings.directory = directory;
  run_settings.sources = snapshot.sources();
  run_settings.shell = settings_.shell;
  run_settings.executor_name = settings_.shell ? "shell" : "docker";
  run_settings.project_path = settings_.project_path;
  run_settings.default_image = settings_.default_image;
  run_settings.pull = settings_.pull;
  run_settings.network = settings_.network;
  run_settings.secrets = settings_.secrets;
  const JobFactory factory(pipeline_, plan_, std::move(run_settings));

  Recorder recorder(store_, result.run);
  pipelines::Progress progress(plan_, plan_.asked_for, settings_.keep_going);

  RunStarted started;
  started.run = result.run;
  started.time = Clock::now();
  started.file = settings_.file;
  started.ref = settings_.ref;
  started.sha = settings_.sha;
  started.event = settings_.event;
  for (const auto& planned : plan_.jobs) {
    if (planned.included)
      started.jobs.push_back({planned.job, pipeline_.jobs[planned.job].name, pipeline_.jobs[planned.job].stage});
  }
  // The recorder first: what is seen on a screen is on its way into the store.
  const std::vector<Observer*> observers{&recorder, &console};
  for (Observer* observer : observers) observer->on(started);

  Scheduler scheduler(executor_, factory, recorder, observers, settings_.limits);
  const Scheduler::Result walked =
      scheduler.run(progress, plan_, stop, taken_up ? earlier(result.run, directory) : Earlier{});
  result.verdict = walked.verdict;
  executor_.settle();

  RunFinished finished;
  finished.time = Clock::now();
  finished.verdict = result.verdict;
  finished.duration = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
  finished.message = closing_words(walked, settings_.file);
  for (Observer* observer : observers) observer->on(finished);

  executors::remove_tree(directory);
  // A run that nobody drives needs its own when it is resumed.
  std::vector<std::string> spare;
  for (const RunId orphan : store_.orphaned_runs()) {
    if (auto name = snapshot_of(orphan)) spare.push_back(std::move(*name));
  }
  prune_snapshots(work / "s", snapshots_kept, spare);
  return result;
}

Snapshot Session::take_snapshot(const fs::path& work, std::stop_token stop) const {
  SnapshotOptions how;
  how.revision = settings_.revision;
  how.except = fs::absolute(store_.file());  // and all that stands beside it
  how.stop = std::move(stop);
  return make_snapshot(settings_.project, work / "s", how);
}

Snapshot Session::snapshot_again(const fs::path& work, RunId run) const {
  const auto name = snapshot_of(run);
  if (!name) {
    throw StoreError(StoreFault::missing, fmt::format("run {} had not got as far as its first job", run),
                     "run the pipeline again with `runner exec`");
  }
  return open_snapshot(work / "s", *name);
}

std::optional<std::string> Session::snapshot_of(RunId run) const {
  for (const auto& event : store_.events(run)) {
    if (event.kind == snapshot_event) return nlohmann::json::parse(event.json).at("name").get<std::string>();
  }
  return std::nullopt;  // its runner died before it was told
}

Earlier Session::earlier(RunId run, const fs::path& directory) const {
  Earlier earlier;
  std::map<std::uint32_t, std::vector<ArtifactRow>> kept;
  for (auto& artifact : store_.list_artifacts(run)) kept[artifact.key.job].push_back(std::move(artifact));
  for (const auto& job : store_.jobs(run)) {
    const pipelines::JobIndex index = job.job - 1;
    if (job.state == JobState::final && job.outcome) {
      if (job.attempts == 0) continue;  // skipped and the like: decided again, the same way
      Earlier::Finished finished;
      finished.end.key = {index, job.attempts};
      finished.end.time = time_of(job.finished.value_or(0));
      finished.end.outcome = *job.outcome;
      finished.end.allowed = job.allowed;
      finished.end.exit_code = job.exit_code;
      finished.end.reason = job.reason;
      finished.end.message = job.message;
      finished.end.duration = std::chrono::milliseconds(
          std::max<UnixMs>(0, job.finished.value_or(0) - job.started.value_or(job.finished.value_or(0))));
      for (const auto& artifact : kept[job.job]) {
        if (artifact.key.attempt != job.attempts) continue;
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
      earlier.finished.emplace(index, std::move(finished));
    } else if (const auto attempt = store_.last_attempt(run, job.job); attempt && attempt->state == JobState::running) {
      earlier.running.emplace(index, Earlier::Running{attempt->key.attempt, attempt->handle, attempt->log_cursor,
                                                      time_of(attempt->started.value_or(unix_now()))});
    }
  }
  return earlier;
}

}  // namespace runner
