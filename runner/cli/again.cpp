#include "runner/cli/again.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "runner/run/session.h"

namespace runner {

using pipelines::JobIndex;
using pipelines::Outcome;

std::string quoted(const std::string& word) {
  const bool plain = word.find_first_of(" '\"[]()$*?&;|<>\\") == std::string::npos;
  return plain ? word : fmt::format("'{}'", word);
}

namespace {

pipelines::Before before_of(const Store& store, const JobRow& row) {
  pipelines::Before before;
  if (row.state == JobState::final) before.outcome = row.outcome;
  before.allowed = row.allowed;
  // One that began and then waited for an answer is still to be run.
  before.ran = row.attempts > 0 && row.outcome != Outcome::manual;
  if (row.reused_run != 0) {
    const bool ended_by_itself =
        row.outcome == Outcome::passed || row.outcome == Outcome::failed || row.outcome == Outcome::broken;
    before.ran = ended_by_itself || !store.attempts(row.reused_run, row.reused_job).empty();
  }
  return before;
}

}  // namespace

Scene make_scene(const Store& store, const RunDetail& run, const std::vector<JobRow>& rows, const Loaded& loaded) {
  std::map<std::string, const JobRow*> by_name;
  for (const JobRow& row : rows) by_name[row.name] = &row;
  Scene scene{store, run, loaded, {}, {}};
  for (const auto& job : loaded.parsed.pipeline.jobs) {
    const auto found = by_name.find(job.name);
    scene.rows.push_back(found == by_name.end() ? nullptr : found->second);
    scene.before.push_back(scene.rows.back() == nullptr ? pipelines::Before{} : before_of(store, *found->second));
  }
  return scene;
}

std::optional<LostInput> lost_input(const Scene& scene, const std::vector<bool>& again) {
  std::map<std::uint32_t, std::uint32_t> left;  // by job of the run: artifacts that are there
  std::map<std::uint32_t, std::uint32_t> attempts;
  for (const JobRow* row : scene.rows) {
    if (row != nullptr) attempts[row->job] = row->attempts;
  }
  for (const ArtifactRow& artifact : scene.store.list_artifacts(scene.run.id)) {
    if (artifact.key.attempt == attempts[artifact.key.job]) ++left[artifact.key.job];
  }
  for (JobIndex job = 0; job < again.size(); ++job) {
    if (!again[job]) continue;
    for (const JobIndex producer : scene.loaded.plan.artifacts_from(job)) {
      const JobRow* row = scene.rows[producer];
      if (again[producer] || row == nullptr || row->artifacts.value_or(0) <= left[row->job]) continue;
      return LostInput{job, producer};
    }
  }
  return std::nullopt;
}

SourcesOfThen sources_of(const Store& store, const RunDetail& run) {
  const auto root = make_work_directory(store) / "s";
  SourcesOfThen sources;
  try {
    for (const auto& [choice, name] : snapshots_of(store, run.id)) {
      sources.snapshots.push_back(open_snapshot(root, name));
      if (choice != to_text(SourceChoice{})) continue;
      SnapshotOptions how;
      how.except = std::filesystem::absolute(store.file());
      sources.outdated = is_outdated(sources.snapshots.back(), run.project_dir, how);
    }
  } catch (const GitError&) {
    sources.snapshots.clear();
  }
  return sources;
}

std::string record_again(const std::string& recorded, const std::vector<std::string>& manual,
                         const std::string& revision, const std::vector<std::string>& only) {
  nlohmann::json options = nlohmann::json::parse(recorded);
  options["manual"] = manual;
  options["revision"] = revision;
  if (!only.empty()) options["only"] = only;
  return options.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void keep_only(Loaded& loaded, const std::vector<std::string>& jobs) {
  pipelines::Plan& plan = loaded.plan;
  const auto& all = loaded.parsed.pipeline.jobs;
  for (pipelines::PlannedJob& job : plan.jobs) {
    if (std::find(jobs.begin(), jobs.end(), all[job.job].name) == jobs.end()) job.included = false;
  }
  const auto is_out = [&](JobIndex job) { return !plan.jobs[job].included; };
  for (pipelines::PlannedJob& job : plan.jobs) {
    std::erase_if(job.needs, [&](const pipelines::PlannedNeed& need) { return is_out(need.job); });
    if (job.dependencies) std::erase_if(*job.dependencies, is_out);
  }
  std::erase_if(plan.producers, is_out);
  std::erase_if(plan.asked_for, is_out);
}

namespace {

std::vector<JobIndex> jobs_of(const Scene& scene, const RollbackTarget& target) {
  std::vector<JobIndex> jobs;
  for (JobIndex job = 0; job < scene.rows.size(); ++job) {
    const JobRow* row = scene.rows[job];
    const bool deployed =
        row != nullptr && std::find(target.jobs.begin(), target.jobs.end(), row->job) != target.jobs.end();
    if (deployed && scene.loaded.plan.jobs[job].included) jobs.push_back(job);
  }
  return jobs;
}

// The jobs that deployed, and those whose artifacts they take, as they stand: nothing else of that run.
std::vector<std::string> names_to_keep(const Scene& scene, const std::vector<JobIndex>& jobs) {
  std::set<JobIndex> kept(jobs.begin(), jobs.end());
  for (const JobIndex job : jobs) {
    for (const JobIndex producer : scene.loaded.plan.artifacts_from(job)) {
      if (scene.before[producer].outcome == Outcome::passed) kept.insert(producer);
    }
  }
  std::vector<std::string> names;
  for (const JobIndex job : kept) names.push_back(scene.name(job));
  return names;
}

void refuse_lost_artifacts(const Scene& scene, const RollbackTarget& target, const std::vector<bool>& again) {
  const auto lost = lost_input(scene, again);
  if (!lost) return;
  throw UsageError(
      fmt::format("deployment {} cannot be made again: {} takes the artifacts of {}, and those of run {} are not kept "
                  "any more: they expired\nhint: `runner retry {} {} --from` makes them again",
                  target.deployment.id, scene.name(lost->job), scene.name(lost->producer), scene.run.id, scene.run.id,
                  quoted(scene.name(lost->producer))));
}

}  // namespace

RolledBack make_again(const Store& store, const RunDetail& run, Loaded& loaded, const RollbackTarget& target) {
  const std::vector<JobRow> rows = store.jobs(run.id);
  const Scene scene = make_scene(store, run, rows, loaded);
  const std::vector<JobIndex> jobs = jobs_of(scene, target);
  std::vector<bool> again(loaded.plan.jobs.size());
  RolledBack back;
  for (const JobIndex job : jobs) {
    again[job] = true;
    back.jobs.push_back(scene.name(job));
  }
  refuse_lost_artifacts(scene, target, again);
  back.only = names_to_keep(scene, jobs);
  keep_only(loaded, back.only);
  start_by_hand(loaded, back.jobs);
  for (const JobIndex job : jobs) loaded.plan.jobs[job].start_in.reset();  // as GitLab does: now
  for (const auto& each : pipelines::settled(loaded.plan, scene.before, again)) {
    back.reused[each.job] = scene.rows[each.job]->job;
  }
  return back;
}

}  // namespace runner
