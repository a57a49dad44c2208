#include "runner/run/upstream.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "executors/workspace/tree.h"
#include "runner/run/reports.h"

namespace runner {

Upstream::Upstream(Store& store, RunId run, std::filesystem::path directory)
    : store_(store), run_(run), directory_(std::move(directory)) {}

RunId Upstream::root_of(RunId run) const {
  for (auto row = store_.run(run); row && row->parent != 0; row = store_.run(run)) run = row->parent;
  return run;
}

UpstreamArtifacts Upstream::take(std::string_view pipeline, const std::string& job) {
  UpstreamArtifacts result;
  RunId run = 0;
  const auto parsed = std::from_chars(pipeline.data(), pipeline.data() + pipeline.size(), run);
  const bool number = parsed.ec == std::errc() && parsed.ptr == pipeline.data() + pipeline.size() && run != 0;
  if (!number || !store_.run(run) || root_of(run) != root_of(run_)) {
    result.missing =
        number ? fmt::format("it needs job {} of run {}, which is no run of this hierarchy of pipelines", job, run)
               : fmt::format(
                     "it needs job {} of the pipeline \"{}\", which is no run's number; hand the parent's on: "
                     "variables: {{ PARENT_PIPELINE_ID: $CI_PIPELINE_ID }} in the trigger job",
                     job, pipeline);
    return result;
  }
  const std::vector<JobRow> jobs = store_.jobs(run);
  const auto found = std::find_if(jobs.begin(), jobs.end(), [&](const JobRow& row) { return row.name == job; });
  if (found == jobs.end()) {
    result.missing = fmt::format("it needs job {} of run {}, which has no such job", job, run);
  } else if (found->state != JobState::final || !found->outcome) {
    result.missing = fmt::format("it needs job {} of run {}, which is not over; let the trigger job need it", job, run);
  } else if (*found->outcome != pipelines::Outcome::passed) {
    result.missing = fmt::format("it needs job {} of run {}, which has not passed: {}", job, run,
                                 pipelines::to_string(*found->outcome));
  } else {
    lay_out(run, *found, result);
  }
  return result;
}

void Upstream::lay_out(RunId run, const JobRow& job, UpstreamArtifacts& result) {
  bool any = false;
  for (const ArtifactRow& artifact : store_.list_artifacts(run)) {
    if (artifact.key.job != job.job || artifact.key.attempt != job.attempts) continue;
    any = true;
    if (artifact.kind != "archive" && artifact.kind != "dotenv") continue;
    const auto [place, is_new] = laid_out_.try_emplace(artifact.id, directory_ / fmt::format("u{}", artifact.id));
    if (is_new) {
      executors::remove_tree(place->second);  // of an earlier process that died
      store_.extract(artifact.id, place->second, TakenFor::job);
    }
    if (artifact.kind == "archive") {
      result.layers.push_back(place->second);
    } else {
      for (auto& variable : read_dotenv({{"dotenv", place->second, artifact.files, artifact.bytes}}).variables) {
        result.dotenv.push_back(std::move(variable));
      }
    }
  }
  if (!any) {
    result.warnings.push_back(
        fmt::format("job {} of run {} has no artifacts: it left none, or they have expired", job.name, run));
  }
}

}  // namespace runner
