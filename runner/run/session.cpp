#include "runner/run/session.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "executors/workspace/tree.h"
#include "pipelines/progress.h"
#include "runner/hosts/commits.h"
#include "runner/run/approvals.h"
#include "runner/run/caches.h"
#include "runner/run/critical_path.h"
#include "runner/run/job_factory.h"
#include "runner/run/kept.h"
#include "runner/run/recorder.h"
#include "runner/run/reports.h"
#include "runner/run/source_choice.h"
#include "runner/run/upstream.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t snapshots_kept = 2;           // the newest serve as the base of the next
constexpr std::size_t waiting_kept = 20;            // runs that wait for a person keep theirs: so many of the newest
constexpr const char* snapshot_event = "snapshot";  // names one of the run's snapshots, for whoever resumes it

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
  return fmt::format("stopped before {}; `runner approve {} {}` and `runner resume {}` go on with {}",
                     fmt::join(result.blocked, ", "), run, fmt::join(words, " "), run,
                     result.blocked.size() == 1 ? "it" : "them");
}

// Tells the console how far the copy of the sources is, as long as there is no run to tell of.
class SourcesProgress {
 public:
  explicit SourcesProgress(Observer& console) : console_(&console) {}
  void tell(std::size_t done, std::size_t files) {
    const std::lock_guard lock(mutex_);
    if (console_ == nullptr) return;
    console_->on(RunPreparing{files == 0 ? std::string("looking at the sources")
                                         : fmt::format("copying the sources: {} of {} files", done, files)});
  }
  void end() {
    const std::lock_guard lock(mutex_);
    console_ = nullptr;
  }

 private:
  std::mutex mutex_;
  Observer* console_;  // guarded
};

// Whether it matters whose project this is.
bool has_project_keywords(const pipelines::Pipeline& pipeline) {
  return std::any_of(pipeline.jobs.begin(), pipeline.jobs.end(),
                     [](const pipelines::Job& job) { return !job.caches.empty() || job.release; });
}

bool has_deployments(const pipelines::Pipeline& pipeline) {
  return std::any_of(pipeline.jobs.begin(), pipeline.jobs.end(),
                     [](const pipelines::Job& job) { return job.environment || job.step; });
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
    return run_with(console, *settings_.parent->relay, *settings_.parent->checkouts, stop, taken_up);
  }
  const fs::path root = work / "s";
  const auto telling = std::make_shared<SourcesProgress>(console);
  SnapshotOptions how = snapshot_options(stop);
  how.progress = [telling](std::size_t done, std::size_t files) { telling->tell(done, files); };
  Checkouts checkouts(settings_.project, root, std::move(how));
  if (taken_up) {
    open_snapshots(checkouts, root, *taken_up);
  } else if (settings_.retry && settings_.retry->same_sources) {
    open_snapshots(checkouts, root, settings_.retry->of);
  } else {
    take_snapshots(checkouts);
  }
  telling->end();
  Relay relay(console);
  const SessionResult result = run_with(relay, relay, checkouts, stop, taken_up);
  // A run that nobody drives needs its own when it is resumed, one that waits for a person when it goes on.
  std::vector<std::string> spare;
  std::vector<RunId> to_go_on = store_.orphaned_runs();
  const std::vector<RunId> waiting = store_.waiting_runs();
  to_go_on.insert(to_go_on.end(), waiting.end() - static_cast<std::ptrdiff_t>(std::min(waiting.size(), waiting_kept)),
                  waiting.end());
  for (const RunId run : to_go_on) {
    for (auto& [choice, name] : snapshots_of(store_, run)) spare.push_back(std::move(name));
  }
  for (const auto& kept : all_kept_jobs(work)) {
    for (auto& [choice, name] : snapshots_of(store_, kept.first)) spare.push_back(std::move(name));
  }
  prune_snapshots(root, snapshots_kept + checkouts.size() - 1, spare);
  return result;
}

RunId Session::record_run() {
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
  if (has_deployments(pipeline_)) run.project = project_identity(settings_.project);
  if (settings_.retry) {
    run.retry_of = settings_.retry->of;
    run.rollback_of = settings_.retry->rollback_of;
    for (const auto& [job, number] : settings_.retry->reused) {
      run.jobs[job].reused_run = run.retry_of;
      run.jobs[job].reused_job = number;
    }
  }
  return store_.create_run(run);
}

RunSettings Session::run_settings(RunId run, const fs::path& directory, Checkouts& checkouts) const {
  RunSettings settings;
  settings.run = run;
  settings.owner = store_.owner();
  settings.directory = directory;
  settings.sources = checkouts.take(planned_choices(pipeline_, plan_).front()).sources;
  settings.sources_for = [&checkouts](const SourceChoice& choice, std::vector<std::string>& warnings) {
    Checkouts::Taken taken = checkouts.take(choice);
    warnings.insert(warnings.end(), taken.warnings.begin(), taken.warnings.end());
    return taken.sources;
  };
  settings.shell = settings_.shell;
  settings.executor_name = settings_.shell ? "shell" : "docker";
  settings.project_path = settings_.project_path;
  settings.default_image = settings_.default_image;
  settings.pull = settings_.pull;
  settings.network = settings_.network;
  settings.secrets = settings_.secrets;
  settings.protected_ref = settings_.protected_ref;
  settings.predefined = settings_.predefined;
  settings.credentials = settings_.credentials;
  settings.last_commit = [this](const std::string& path) {
    return last_commit_of(settings_.project, settings_.revision, path);
  };
  return settings;
}

SessionResult Session::run_with(Observer& console, Relay& relay, Checkouts& checkouts, const std::stop_token& stop,
                                std::optional<RunId> taken_up) {
  const auto begun = std::chrono::steady_clock::now();
  SessionResult result;
  result.run = taken_up ? *taken_up : record_run();
  if (!settings_.parent) {
    const auto known = snapshots_of(store_, result.run);
    checkouts.tell([this, run = result.run, known](const std::string& choice, const Snapshot& snapshot) {
      if (known.contains(choice)) return;
      store_.add_event(run, unix_now(), snapshot_event,
                       nlohmann::json{{"name", snapshot.name()}, {"choice", choice}}.dump());
    });
  }
  const fs::path directory = make_work_directory(store_) / std::to_string(result.run);
  std::error_code failure;
  fs::create_directory(directory, failure);
  if (failure) {
    throw executors::WorldError("runner_system_failure",
                                fmt::format("cannot make {}: {}", directory.string(), failure.message()));
  }
  Upstream upstream(store_, result.run, directory);
  RunSettings run = run_settings(result.run, directory, checkouts);
  run.upstream = [&upstream](const std::string& pipeline, const std::string& job) {
    return upstream.take(pipeline, job);
  };
  const JobFactory factory(pipeline_, plan_, std::move(run));

  const std::string project = settings_.project_path.empty() ? settings_.project.string() : settings_.project_path;
  Recorder recorder(store_, result.run, project, settings_.process_modes);
  const fs::path standing = make_work_directory(store_) / "c";
  std::optional<Caches> caches;
  if (has_project_keywords(pipeline_)) {
    const std::string whose = project_identity(settings_.project);
    caches.emplace(store_, whose, standing);
    recorder.set_project(&*caches, {settings_.project, whose, settings_.revision});
  }
  const SaidBefore said = taken_up ? said_before(store_, result.run) : SaidBefore{};
  std::vector<pipelines::JobIndex> by_hand = plan_.asked_for;
  by_hand.insert(by_hand.end(), said.started.begin(), said.started.end());
  pipelines::Progress progress(plan_, by_hand, settings_.keep_going, /*patient=*/true);

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
    for (const Resource& resource : factory.resources(planned.job)) recorder.expect(planned.job, resource);
  }
  // The recorder first: what is seen on a screen is on its way into the store.
  Spans spans;
  const std::vector<Observer*> observers{&recorder, &spans, &console};
  for (Observer* observer : observers) observer->on(started);
  if (settings_.parent) settings_.parent->created(result.run);

  Children children(store_, result.run, settings_.parent ? settings_.parent->depth : 0,
                    factory.settings().sources.snapshot, settings_.load_child,
                    [&](const ChildStart& child, const std::stop_token& cancelled) {
                      return run_child(child, result.run, checkouts, relay, cancelled);
                    });
  Approvals approvals(store_, result.run, pipeline_, settings_.person);
  Scheduler scheduler(executor_, factory, recorder, recorder, children, observers, settings_.limits, settings_.help,
                      &approvals);
  const Scheduler::Result walked = scheduler.run(
      progress, plan_, stop, taken_up || settings_.retry ? earlier(result.run, directory, said) : Earlier{},
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

  if (!settings_.parent) remove_directories_below(result.run);
  if (!has_kept(directory)) executors::remove_tree(directory);  // else it is what the kept workspaces are made of
  if (caches && caches->saved()) {
    GcOptions limits = settings_.caches;
    limits.now = unix_now();
    store_.prune_caches(limits);
    prune_standing(store_, standing);
  }
  return result;
}

// Of child pipelines that are over: while their containers were still going, a directory may have resisted.
void Session::remove_directories_below(RunId run) const {
  const bool has_children = std::any_of(pipeline_.jobs.begin(), pipeline_.jobs.end(), [](const pipelines::Job& job) {
    return job.trigger || (job.step && std::holds_alternative<pipelines::RollbackStep>(*job.step));
  });
  if (!has_children) return;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(make_work_directory(store_), failure)) {
    const std::string name = entry.path().filename().string();
    if (name.empty() || name.find_first_not_of("0123456789") != std::string::npos) continue;
    auto row = store_.run(std::stoull(name));
    if (!row || !row->outcome || row->parent == 0 || has_kept(entry.path())) continue;
    while (row && row->parent != 0 && row->parent != run) row = store_.run(row->parent);
    if (row && row->parent == run) executors::remove_tree(entry.path());
  }
}

ChildEnd Session::run_child(const ChildStart& start, RunId run, Checkouts& checkouts, Relay& relay,
                            const std::stop_token& stop) {
  SessionSettings settings = settings_;
  settings.retry.reset();
  settings.successor.wanted = {};  // the parent decides for all
  settings.file = start.pipeline.file;
  settings.text = start.pipeline.text;
  settings.options = start.pipeline.options;
  settings.event = "parent_pipeline";
  settings.predefined = start.pipeline.predefined;
  SessionSettings::Parent parent;
  parent.run = run;
  parent.job = start.parent;
  parent.job_name = pipeline_.jobs[start.parent.job].name;
  parent.depth = (settings_.parent ? settings_.parent->depth : 0) + 1;
  parent.checkouts = &checkouts;
  parent.relay = &relay;
  parent.created = start.created;
  std::optional<Checkouts> of_then;
  if (const auto& again = start.pipeline.again) {
    const fs::path root = make_work_directory(store_) / "s";
    of_then.emplace(settings_.project, root, snapshot_options(stop));
    open_snapshots(*of_then, root, again->of);
    parent.checkouts = &*of_then;
    settings.retry = SessionSettings::Retry{again->of, again->reused, /*same_sources=*/true, again->rollback_of};
  }
  settings.parent = std::move(parent);
  Session session(store_, executor_, start.pipeline.parsed.pipeline, start.pipeline.plan, std::move(settings));
  const SessionResult result = session.run(relay.child(), stop, start.taken_up);
  return {result.run, result.verdict};
}

SnapshotOptions Session::snapshot_options(const std::stop_token& stop) const {
  SnapshotOptions how;
  how.revision = settings_.revision;
  how.except = fs::absolute(store_.file());  // and all that stands beside it
  how.stop = stop;
  return how;
}

// All that can be foreseen, before the first job begins: the working tree may change while they run.
void Session::take_snapshots(Checkouts& checkouts) const {
  for (const SourceChoice& choice : planned_choices(pipeline_, plan_)) checkouts.take(choice);
}

void Session::open_snapshots(Checkouts& checkouts, const fs::path& root, RunId run) const {
  const auto names = snapshots_of(store_, run);
  if (names.empty()) {
    throw StoreError(StoreFault::missing, fmt::format("run {} had not got as far as its first job", run),
                     "run the pipeline again with `runner exec`");
  }
  for (const auto& [choice, name] : names) checkouts.put(choice, open_snapshot(root, name));
}

std::map<std::string, std::string> snapshots_of(const Store& store, RunId run) {
  std::map<std::string, std::string> names;
  for (const auto& event : store.events(run)) {
    if (event.kind != snapshot_event) continue;
    const nlohmann::json said = nlohmann::json::parse(event.json);
    names[said.value("choice", to_text(SourceChoice{}))] = said.at("name").get<std::string>();
  }
  return names;  // empty: its runner died before it was told
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
    store_.extract(artifact.id, part.directory, TakenFor::job);
    finished.collected.push_back(std::move(part));
  }
  finished.end.coverage = job.coverage;
  finished.end.reports = read_reports(finished.collected).summaries;
  return finished;
}

// What had ended before a person let the run go on stands as it did then; else it is walked through again.
void Session::add_ended(Earlier& earlier, const JobRow& job, Earlier::Finished ended,
                        std::optional<UnixMs> reopened) const {
  const bool before = reopened && job.outcome != pipelines::Outcome::manual &&
                      (job.attempts == 0 || job.finished.value_or(0) <= *reopened);
  if (job.reused_run != 0 || before) {
    earlier.settled.emplace(job.job - 1, std::move(ended));
  } else if (job.attempts != 0) {
    earlier.finished.emplace(job.job - 1, std::move(ended));
  }
}

Earlier Session::earlier(RunId run, const fs::path& directory, const SaidBefore& said) const {
  Earlier earlier;
  std::map<std::uint32_t, std::vector<ArtifactRow>> kept;
  for (auto& artifact : store_.list_artifacts(run)) kept[artifact.key.job].push_back(std::move(artifact));
  const std::vector<JobRow> jobs = store_.jobs(run);
  const std::optional<UnixMs> begun_again = store_.reopened(run);
  std::set<pipelines::JobIndex> taken;
  for (const auto& job : jobs) {
    if (job.state == JobState::final || !plan_.jobs[job.job - 1].included) continue;
    for (const auto producer : plan_.artifacts_from(job.job - 1)) taken.insert(producer);
  }
  for (const auto& job : jobs) {
    const pipelines::JobIndex index = job.job - 1;
    if (job.state == JobState::final && job.outcome) {
      // What was skipped and the like is decided again, the same way.
      const bool decided_again =
          job.attempts == 0 && job.reused_run == 0 && (*job.outcome == pipelines::Outcome::skipped || !begun_again);
      if (decided_again) continue;
      const bool asked_for = job.reused_run == 0 || taken.count(index) != 0;
      Earlier::Finished ended = finished(job, kept[job.job], directory, asked_for);
      if (const auto by = said.approved.find(index); by != said.approved.end()) ended.end.approved = by->second;
      if (settings_.help != nullptr) ended.end.kept = settings_.help->given_before(directory, run, job.job);
      add_ended(earlier, job, std::move(ended), begun_again);
    } else if (const auto attempt = store_.last_attempt(run, job.job)) {
      const bool over = attempt->state == JobState::final;  // and to be tried again
      if (attempt->state == JobState::running) {
        earlier.running.emplace(index, Earlier::Running{attempt->key.attempt, attempt->handle, attempt->log_cursor,
                                                        time_of(attempt->started.value_or(unix_now()))});
      } else if (over || attempt->key.attempt > 1) {
        earlier.next_attempt.emplace(index, attempt->key.attempt + (over ? 1 : 0));
      }
    }
  }
  for (const auto& [job, approval] : said.rejected) {
    earlier.finished[job] = {rejected(job, plan_.jobs[job], approval.who, approval.comment), {}};
  }
  return earlier;
}

}  // namespace runner
