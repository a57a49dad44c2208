// `runner retry`: what failed of an earlier run, with the rest as it stands there.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/job_names.h"
#include "runner/cli/again.h"
#include "runner/cli/running.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"

namespace runner {
namespace {

using pipelines::JobIndex;
using pipelines::Outcome;

struct RetryOptions {
  ExecOptions exec;  // `worktree` is among them
  std::vector<std::string> words;
  bool from = false;
};

RunDetail find_run(const Store& store, RunAndWords& asked) {
  auto run = store.run(asked.run);
  // The newest may be a child pipeline: whoever says nothing means what started it.
  while (!asked.said && run && run->parent != 0) run = store.run(run->parent);
  if (!run) throw UsageError(fmt::format("there is no run {}\nhint: `runner runs` lists them", asked.run));
  if (run->parent != 0) {
    throw UsageError(fmt::format(
        "run {} is a child pipeline of run {}\nhint: `runner retry {}` runs it anew with the job that started it",
        run->id, run->parent, run->parent));
  }
  if (run->outcome) return *run;
  const auto driven = store.driven_runs();
  const bool alive = std::find(driven.begin(), driven.end(), run->id) != driven.end();
  throw UsageError(alive ? fmt::format("run {} is not over", run->id)
                         : fmt::format("run {} is not over: its runner is gone\n"
                                       "hint: `runner resume {}` takes it up, `runner doctor --clean` gives it up",
                                       run->id, run->id));
}

// A parallel job's own name stands for all its instances.
std::vector<JobIndex> find_jobs(const Scene& scene, const std::vector<std::string>& words) {
  std::vector<JobIndex> found;
  const auto& jobs = scene.loaded.parsed.pipeline.jobs;
  for (const std::string& word : words) {
    bool known = false;
    for (const auto& planned : scene.loaded.plan.jobs) {
      const auto& job = jobs[planned.job];
      if (job.name != word && job.written_name() != word) continue;
      known = true;
      if (planned.included) found.push_back(planned.job);
    }
    if (!known) {
      const std::string_view near = pipelines::nearest(word, pipelines::known_names(scene.loaded.parsed.pipeline));
      throw UsageError(fmt::format("run {} has no job {}{}", scene.run.id, word,
                                   near.empty() ? std::string() : fmt::format("\nhint: did you mean {}?", near)));
    }
    if (found.empty()) {
      throw UsageError(fmt::format("{} was not part of run {}\nhint: `runner exec {}` is a new run", word, scene.run.id,
                                   quoted(word)));
    }
  }
  return found;
}

void refuse_a_run_without_failures(const Scene& scene) {
  const auto& jobs = scene.loaded.plan.jobs;
  const bool any = std::any_of(jobs.begin(), jobs.end(), [&](const pipelines::PlannedJob& job) {
    const auto& outcome = scene.before[job.job].outcome;
    return job.included &&
           (!outcome || *outcome == Outcome::failed || *outcome == Outcome::broken || *outcome == Outcome::cancelled);
  });
  if (any) return;
  throw UsageError(fmt::format(
      "nothing of run {} failed ({})\nhint: `runner retry {} JOB` runs a job again or starts a manual one; with --from "
      "also what comes after it",
      scene.run.id, pipelines::to_string(*scene.run.outcome), scene.run.id));
}

void refuse_lost_artifacts(const Scene& scene, const std::vector<bool>& again) {
  const auto lost = lost_input(scene, again);
  if (!lost) return;
  const std::string& producer = scene.name(lost->producer);
  throw UsageError(
      fmt::format("{} takes the artifacts of {}, and those of run {} are not kept any more: they expired\n"
                  "hint: `runner retry {} {} --from` makes them again, and runs what comes after",
                  scene.name(lost->job), producer, scene.run.id, scene.run.id, quoted(producer)));
}

void refuse_what_would_not_run(const Scene& scene, const std::vector<bool>& again, const std::vector<JobIndex>& asked) {
  const auto kept =
      pipelines::kept_from_running(scene.loaded.plan, pipelines::settled(scene.loaded.plan, scene.before, again),
                                   scene.loaded.plan.asked_for, asked);
  if (kept.empty()) return;
  std::vector<std::string> names;
  for (const JobIndex job : kept) names.push_back(scene.name(job));
  throw UsageError(fmt::format(
      "{} would not run: what it waits for did not pass in run {}\nhint: `runner retry {}` runs that again too",
      fmt::join(names, ", "), scene.run.id, scene.run.id));
}

// Manual jobs that are done again were started by somebody, or are now.
std::vector<std::string> by_hand(const Scene& scene, const std::vector<bool>& again,
                                 const std::vector<JobIndex>& asked) {
  std::vector<std::string> names;
  for (JobIndex job = 0; job < again.size(); ++job) {
    const bool named = std::find(asked.begin(), asked.end(), job) != asked.end();
    if (again[job] && (named || scene.before[job].ran)) names.push_back(scene.name(job));
  }
  return names;
}

std::vector<Snapshot> sources_or_refuse(const Store& store, const RunDetail& run) {
  SourcesOfThen sources = sources_of(store, run);
  if (sources.snapshots.empty()) {
    throw UsageError(
        fmt::format("the sources of run {} are not kept any more: those of the newest runs are\n"
                    "hint: `runner retry {} --worktree` takes the files as they are now",
                    run.id, run.id));
  }
  if (sources.outdated) {
    say("runner: the files have changed since run {}, which is done again with those of then\n"
        "hint: --worktree takes them, and the pipeline file, as they are now\n",
        run.id);
  }
  return std::move(sources.snapshots);
}

int retry(const CommandLine& line, RetryOptions options) {
  ExecOptions& exec = options.exec;
  Config config = configure(line, exec);
  const auto store = open_recorded_store(config);
  RunAndWords words = run_and_words(*store, options.words);
  if (options.from && words.words.empty()) {
    throw UsageError("--from: which job?\nhint: runner retry [RUN] JOB --from");
  }
  const RunDetail run = find_run(*store, words);
  const auto [loaded, masked] = load_recorded(run, exec, config, exec.worktree);
  if (print_diagnostics(*loaded)) return exit_code::usage;

  const std::vector<JobRow> rows = store->jobs(run.id);
  const Scene scene = make_scene(*store, run, rows, *loaded);
  const std::vector<JobIndex> asked = find_jobs(scene, words.words);
  if (asked.empty()) refuse_a_run_without_failures(scene);
  const std::vector<bool> again = pipelines::jobs_to_do_again(loaded->plan, scene.before, {asked, options.from});
  refuse_lost_artifacts(scene, again);
  const std::vector<std::string> manual = by_hand(scene, again, asked);
  start_by_hand(*loaded, manual);
  refuse_what_would_not_run(scene, again, asked);
  for (const JobIndex job : asked) loaded->plan.jobs[job].start_in.reset();  // as GitLab does: now

  SessionSettings::Retry how;
  how.of = run.id;
  for (const auto& each : pipelines::settled(loaded->plan, scene.before, again)) {
    how.reused[each.job] = scene.rows[each.job]->job;
  }
  std::vector<Snapshot> sources;
  if (!exec.worktree && exec.plan.revision.empty()) {
    how.same_sources = true;
    sources = sources_or_refuse(*store, run);
  } else if (!exec.worktree) {
    exec.plan.revision = run.sha;  // its name may have moved on
  }
  std::string recorded =
      record_again(exec.worktree ? record(*loaded, exec, config) : run.options, manual, exec.plan.revision);
  Start begun{*loaded, config, exec, masked, std::move(recorded), std::nullopt, std::move(how)};
  begun.database = line.database;
  return start(*store, begun);
}

}  // namespace

void add_retry(CLI::App& app, CommandLine& line) {
  auto options = std::make_shared<RetryOptions>();
  CLI::App* command =
      app.add_subcommand("retry",
                         "Runs again what failed of a run and what depends on it, with the artifacts of the rest.\n"
                         "\n"
                         "Examples:\n"
                         "  runner retry                    what failed of the newest run\n"
                         "  runner retry 12 --worktree      of run 12, with the files as they are now\n"
                         "  runner retry test               one job, and what never ran because of it\n"
                         "  runner retry 12 test --from     and all that comes after it\n"
                         "  runner retry 12 deploy          starts a manual job that run 12 stopped before");
  command
      ->add_option("words", options->words,
                   "the run's number (default: the newest), the jobs (default: what failed, broke or was cancelled)")
      ->type_name("[RUN] [JOB...]");
  command->add_flag("--from", options->from, "with JOB: also what ran after it");
  command->add_flag("--worktree", options->exec.worktree,
                    "the files and the pipeline file as they are now, not those of the run");
  add_output(*command, options->exec);
  PlanFlags::add_secrets(*command, options->exec.plan);
  command->callback([&line, options] { line.chosen = [&line, options] { return retry(line, *options); }; });
}

}  // namespace runner
