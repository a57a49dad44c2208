// From a planned job to what an executor is told: names, images and paths expanded, the environment complete.
// Decides nothing about order and runs nothing; used by the scheduler alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "executors/executor.h"
#include "pipelines/pipeline.h"
#include "pipelines/plan.h"
#include "runner/hosts/checkout.h"
#include "runner/run/cache_use.h"
#include "runner/run/credentials.h"
#include "runner/run/events.h"
#include "runner/run/source_choice.h"
#include "runner/run/upstream.h"
#include "runner/secrets/redactor.h"

namespace runner {

// What is the same for all jobs of a run.
struct RunSettings {
  RunId run = 0;
  std::string owner;                // the database's id
  std::filesystem::path directory;  // <state>/<run>: job directories and artifact layers, removed with the run
  executors::Sources sources;       // what GIT_… variables do not ask otherwise
  // The sources of a job that chose so; what of it could not be had is told. Empty: `sources`, whatever it chose.
  std::function<executors::Sources(const SourceChoice&, std::vector<std::string>& warnings)> sources_for;
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
  // For needs:pipeline:job; empty: there are no other runs.
  std::function<UpstreamArtifacts(const std::string& pipeline, const std::string& job)> upstream;
  // The run's predefined variables as they were made: what ID tokens say, whatever a file sets.
  std::map<std::string, std::string> predefined;
  CredentialSettings credentials;
};

// What a `trigger` job, or a rollback, is to run.
struct DownstreamRequest {
  const pipelines::Downstream* what = nullptr;
  std::optional<pipelines::RollbackStep> rollback;                      // expanded; in place of `what`
  std::vector<pipelines::Variable> variables;                           // forwarded; expanded, but for `expand`
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

// What only one job at a time may have: a `resource_group` of its project, or what a built-in step deploys to,
// whoever's project it is (pipelines::targets_of).
struct Resource {
  bool target = false;
  std::string name;
  friend auto operator<=>(const Resource&, const Resource&) = default;
};

class JobFactory {
 public:
  // Both must outlive the factory.
  JobFactory(const pipelines::Pipeline&, const pipelines::Plan&, RunSettings);

  struct Made {
    executors::JobSpec spec;
    executors::Work work;
    SecretSet secrets;                       // the run's, and this job's masked variables
    std::vector<std::string> short_secrets;  // names of masked variables too short to be masked
    std::string artifacts_name;              // expanded, without secrets
    std::optional<std::chrono::seconds> expire_in;
    std::vector<CacheUse> caches;
    std::vector<std::string> warnings;          // of what is wrong with its variables
    std::optional<pipelines::Release> release;  // expanded
    std::string coverage;                       // RE2
    std::string missing;                        // why it cannot begin: an upstream job's artifacts cannot be had
    // Whether such an end is the job's last and a person is to be helped with it; empty: nobody asked for help. Called
    // from the job's thread.
    std::function<bool(const executors::JobResult&)> wants_help;
    std::optional<DownstreamRequest> downstream;  // then there is neither sandbox nor work
    std::optional<EnvironmentUse> environment;
    // What `environment:url` is when the job has left these variables (GitLab expands it then); may be empty.
    std::function<std::string(const std::vector<std::pair<std::string, std::string>>& dotenv)> environment_url;
    Attempts attempts;
    std::string refused;              // why it cannot run at all; one line
    std::vector<std::string> masked;  // the values behind `secrets`
    // Of a job with `id_tokens` or `secrets`: makes and fetches them and lays them into `work`, `masked` and `secrets`.
    // Called on the job's thread when its turn has come; throws WorldError. What it says is Credentials' log and
    // warnings.
    std::function<Credentials(Made&, std::chrono::steady_clock::time_point until, const std::stop_token&)> credentials;
  };
  Made make(const JobKey&, const JobInputs&) const;

  // The job's mutexes across pipelines, expanded, as they may be stored (storable_name), in the order in which all jobs
  // of all projects take theirs; mostly none. `inputs`: what names of targets are made of, as far as it is known.
  std::vector<Resource> resources(pipelines::JobIndex, const JobInputs& inputs = {}) const;

  // What a person is to confirm before the job starts (`manual_confirmation`), without secrets; mostly empty.
  std::string confirmation(pipelines::JobIndex) const;

  const RunSettings& settings() const { return settings_; }
  const pipelines::Pipeline& pipeline() const { return pipeline_; }
  const pipelines::Job& job(pipelines::JobIndex index) const { return pipeline_.jobs[index]; }
  const std::string& name(pipelines::JobIndex index) const { return pipeline_.jobs[index].name; }

 private:
  pipelines::VariableSet handed_on(pipelines::JobIndex, const JobInputs&) const;
  DownstreamRequest downstream(pipelines::JobIndex, const JobInputs&) const;
  JobInputs with_upstream(pipelines::JobIndex, const JobInputs&, Made&) const;
  TokenFacts token_facts(const JobKey&, std::string job_id, std::chrono::seconds timeout) const;
  void mask(Made&, const pipelines::VariableSet& expanded) const;
  void add_environment(Made&, pipelines::JobIndex, const pipelines::VariableSet& variables) const;

  const pipelines::Pipeline& pipeline_;
  const pipelines::Plan& plan_;
  RunSettings settings_;
  SecretSet secrets_;  // of the run alone: most jobs have no others, and compiling the set costs
};

// Looks for more values in all that the job says from now on.
void mask_too(JobFactory::Made&, const std::vector<std::string>& values);

std::string timestamp(Clock::time_point);  // ISO 8601, UTC, seconds: CI_JOB_STARTED_AT

// The names a service is reachable by (docs.gitlab.com/ee/ci/services, "Accessing the services"): the image's name
// without tag and registry port, with "/" as "__" and as "-", then the author's own aliases.
std::vector<std::string> service_aliases(std::string_view image, const std::vector<std::string>& own);

}  // namespace runner
