// From a planned job to what an executor is told: names, images and paths expanded, the environment complete.
// Decides nothing about order and runs nothing; used by the scheduler alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "executors/executor.h"
#include "pipelines/pipeline.h"
#include "pipelines/plan.h"
#include "runner/run/cache_use.h"
#include "runner/run/events.h"
#include "runner/secrets/redactor.h"

namespace runner {

// What is the same for all jobs of a run.
struct RunSettings {
  RunId run = 0;
  std::string owner;                // the database's id
  std::filesystem::path directory;  // <state>/<run>: job directories and artifact layers, removed with the run
  executors::Sources sources;
  bool shell = false;                                       // jobs run on this host: project_dir is a path of it
  std::string project_path = "project";                     // "group/name", for /builds/group/name
  std::string default_image;                                // for jobs without one; may be empty
  std::optional<pipelines::PullPolicy> pull;                // --pull: wins over what the file says
  executors::Network network = executors::Network::bridge;  // unless the job's RUNNER_NETWORK says otherwise
  std::chrono::seconds default_timeout{3600};               // GitLab's default for a project
  std::string executor_name;                                // "docker" or "shell", for CI_RUNNER_DESCRIPTION
  std::vector<std::string> secrets;                         // values never to be shown, besides masked variables
  bool protected_ref = false;                               // its caches are not those of other branches
  // The last commit that changed a path, for cache:key:files_commits; empty: none.
  std::function<std::string(const std::string& path)> last_commit;
};

// What a `trigger` job is to run.
struct DownstreamRequest {
  const pipelines::Downstream* what = nullptr;
  std::vector<pipelines::Variable> variables;                           // forwarded, expanded
  std::map<std::string, std::vector<std::filesystem::path>> artifacts;  // of the jobs it takes some from, by name
};

// What a job takes from those before it.
struct JobInputs {
  std::vector<std::filesystem::path> layers;                // later ones win
  std::vector<std::pair<std::string, std::string>> dotenv;  // later ones win
  std::vector<pipelines::JobIndex> from;                    // by layer: whose it is
};

// What a job that left this behind gives to those after it.
JobInputs inputs_of(pipelines::JobIndex, const std::vector<executors::Collected>&,
                    std::vector<std::pair<std::string, std::string>> dotenv);

class JobFactory {
 public:
  // Both must outlive the factory.
  JobFactory(const pipelines::Pipeline&, const pipelines::Plan&, RunSettings);

  struct Made {
    executors::JobSpec spec;
    executors::Work work;
    SecretSet secrets;                       // the run's, and this job's masked variables
    std::vector<std::string> short_secrets;  // names of masked variables too short to be masked
    std::string artifacts_name;              // expanded
    std::optional<std::chrono::seconds> expire_in;
    std::vector<CacheUse> caches;
    std::vector<std::string> warnings;            // of what is wrong with its variables
    std::optional<pipelines::Release> release;    // expanded
    std::string coverage;                         // RE2
    std::optional<DownstreamRequest> downstream;  // then there is neither sandbox nor work
  };
  Made make(const JobKey&, const JobInputs&) const;

  // The job's mutex across pipelines, expanded; mostly empty.
  std::string resource_group(pipelines::JobIndex) const;

  const RunSettings& settings() const { return settings_; }
  const pipelines::Pipeline& pipeline() const { return pipeline_; }
  const pipelines::Job& job(pipelines::JobIndex index) const { return pipeline_.jobs[index]; }
  const std::string& name(pipelines::JobIndex index) const { return pipeline_.jobs[index].name; }

 private:
  DownstreamRequest downstream(pipelines::JobIndex, const JobInputs&) const;

  const pipelines::Pipeline& pipeline_;
  const pipelines::Plan& plan_;
  RunSettings settings_;
  SecretSet secrets_;  // of the run alone: most jobs have no others, and compiling the set costs
};

std::string timestamp(Clock::time_point);  // ISO 8601, UTC, seconds: CI_JOB_STARTED_AT

// The names a service is reachable by (docs.gitlab.com/ee/ci/services, "Accessing the services"): the image's name
// without tag and registry port, with "/" as "__" and as "-", then the author's own aliases.
std::vector<std::string> service_aliases(std::string_view image, const std::vector<std::string>& own);

}  // namespace runner
