#include "runner/run/job_factory.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <algorithm>

#include "pipelines/duration.h"
#include "pipelines/variables.h"
#include "runner/run/releases.h"
#include "runner/version.h"

namespace runner {
namespace {

using pipelines::Precedence;
using pipelines::VariableSet;

std::vector<std::string> expand_all(const VariableSet& variables, const std::vector<std::string>& texts) {
  std::vector<std::string> result;
  result.reserve(texts.size());
  for (const auto& text : texts) result.push_back(variables.expand(text));
  return result;
}

// Without those that are files: their values are paths that only the job has.
executors::Environment environment_of(const VariableSet& variables) {
  executors::Environment result;
  result.reserve(variables.entries().size());
  for (const auto& [name, entry] : variables.entries()) {
    if (!entry.file) result.emplace_back(name, entry.value);
  }
  return result;
}

executors::Environment files_of(const VariableSet& variables) {
  executors::Environment result;
  for (const auto& [name, entry] : variables.entries()) {
    if (entry.file) result.emplace_back(name, entry.value);
  }
  return result;
}

// docs.gitlab.com/ci/runners/configure_runners, "Set script and after_script timeouts": a duration; anything else is
// told.
void limit_by(const VariableSet& variables, std::string_view name, std::chrono::seconds& timeout,
              std::vector<std::string>& warnings) {
  const auto* entry = variables.find(name);
  if (entry == nullptr || entry->value.empty()) return;
  const auto limit = pipelines::parse_duration(entry->value);
  if (!limit || limit->count() <= 0) {
    warnings.push_back(fmt::format("{} is no duration: {}", name, entry->value));
  } else {
    timeout = *limit;
  }
}

executors::ServiceSpec service_spec(const pipelines::Service& service, const VariableSet& job_variables) {
  executors::ServiceSpec spec;
  spec.image = job_variables.expand(service.image.name);
  spec.aliases = service_aliases(spec.image, service.aliases);
  spec.entrypoint = service.image.entrypoint;
  spec.command = service.command;
  spec.pull_policy = service.image.pull_policy;
  VariableSet variables = job_variables;  // a service sees the job's variables too (GitLab), its own win
  for (const auto& variable : service.variables) {
    variables.set(variable.name, variable.expand ? job_variables.expand(variable.value) : variable.value,
                  Precedence::pipeline);
  }
  spec.environment = environment_of(variables);
  return spec;
}

executors::ArtifactsSpec artifacts_spec(const pipelines::Artifacts& artifacts, const VariableSet& variables) {
  executors::ArtifactsSpec spec;
  spec.paths = expand_all(variables, artifacts.paths);
  spec.exclude = expand_all(variables, artifacts.exclude);
  spec.untracked = artifacts.untracked;
  spec.when = artifacts.when;
  for (const auto& report : artifacts.reports) {
    spec.reports.push_back({report.kind, expand_all(variables, report.paths)});
  }
  return spec;
}

pipelines::Release expand(pipelines::Release release, const VariableSet& variables) {
  for (std::string* text : {&release.tag_name, &release.tag_message, &release.name, &release.ref, &release.released_at,
                            &release.description}) {
    *text = variables.expand(*text);
  }
  release.milestones = expand_all(variables, release.milestones);
  for (auto& link : release.links) {
    for (std::string* text : {&link.name, &link.url, &link.filepath}) *text = variables.expand(*text);
  }
  return release;
}

// Go's word for this machine's processor, as gitlab-runner says it.
std::string architecture() {
  utsname machine{};
  if (uname(&machine) != 0) return "unknown";
  const std::string_view name = machine.machine;
  return name == "x86_64" ? "amd64" : name == "aarch64" ? "arm64" : std::string(name);
}

bool is_true(const VariableSet::Entry* entry) {
  return entry != nullptr && (entry->value == "true" || entry->value == "1");
}

}  // namespace

std::string timestamp(Clock::time_point time) {
  const std::time_t seconds = Clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {text, length};
}

std::vector<std::string> service_aliases(std::string_view image, const std::vector<std::string>& own) {
  std::string name(image.substr(0, image.find('@')));
  const std::size_t slash = name.rfind('/');
  const std::size_t tag = name.find(':', slash == std::string::npos ? 0 : slash);
  if (tag != std::string::npos) name.resize(tag);
  // The port of a registry goes, its host stays: registry.example.com:5000/a/b -> registry.example.com/a/b.
  const std::size_t first = name.find('/');
  const std::size_t port = name.find(':');
  if (port != std::string::npos && first != std::string::npos && port < first) name.erase(port, first - port);

  std::vector<std::string> result;
  const auto add = [&](std::string alias) {
    if (!alias.empty() && std::find(result.begin(), result.end(), alias) == result.end()) {
      result.push_back(std::move(alias));
    }
  };
  for (const std::string_view separator : {"__", "-"}) {
    std::string alias;
    for (const char c : name) {
      if (c == '/')
        alias += separator;
      else
        alias += c;
    }
    add(std::move(alias));
  }
  for (const auto& alias : own) add(alias);
  return result;
}

JobInputs inputs_of(pipelines::JobIndex job, const std::vector<executors::Collected>& collected,
                    std::vector<std::pair<std::string, std::string>> dotenv) {
  JobInputs result;
  for (const auto& part : collected) {
    if (part.kind != "archive") continue;
    result.layers.push_back(part.directory);
    result.from.push_back(job);
  }
  result.dotenv = std::move(dotenv);
  return result;
}

JobFactory::JobFactory(const pipelines::Pipeline& pipeline, const pipelines::Plan& plan, RunSettings settings)
    : pipeline_(pipeline), plan_(plan), settings_(std::move(settings)), secrets_(settings_.secrets) {}

std::string JobFactory::resource_group(pipelines::JobIndex index) const {
  const std::string& group = pipeline_.jobs[index].resource_group;
  return group.empty() ? group : plan_.variables(pipeline_, index).expanded().expand(group);
}

// The example of GitLab's documentation hands CI_PIPELINE_ID on, so that the child can name its parent.
DownstreamRequest JobFactory::downstream(pipelines::JobIndex index, const JobInputs& inputs) const {
  const pipelines::Downstream& what = *pipeline_.jobs[index].trigger;
  DownstreamRequest request;
  request.what = &what;
  VariableSet variables = plan_.variables(pipeline_, index);
  for (const auto& [name, value] : inputs.dotenv) variables.set(name, value, Precedence::dotenv, /*expand=*/false);
  variables.set("CI_PIPELINE_ID", std::to_string(settings_.run), Precedence::predefined, /*expand=*/false);
  const VariableSet expanded = variables.expanded();
  for (const auto& [name, entry] : expanded.entries()) {
    const bool handed_on = entry.precedence == Precedence::predefined ? false
                           : entry.precedence == Precedence::pipeline ? what.pipeline_variables
                                                                      : what.yaml_variables;
    if (!handed_on) continue;
    pipelines::Variable variable;
    variable.name = name;
    variable.value = entry.value;
    variable.expand = false;
    variable.masked = entry.masked;
    variable.file = entry.file;
    request.variables.push_back(std::move(variable));
  }
  for (std::size_t i = 0; i < inputs.layers.size() && i < inputs.from.size(); ++i) {
    request.artifacts[name(inputs.from[i])].push_back(inputs.layers[i]);
  }
  return request;
}

JobFactory::Made JobFactory::make(const JobKey& key, const JobInputs& inputs) const {
  const pipelines::Job& job = pipeline_.jobs[key.job];
  const std::uint32_t number = key.job + 1;
  const std::string stem = fmt::format("{}-{}", number, key.attempt);
  Made made;
  if (job.trigger) {
    made.downstream = downstream(key.job, inputs);
    made.secrets = secrets_;
    made.work.timeout = std::chrono::hours(24 * 30);
    return made;
  }

  executors::JobSpec& spec = made.spec;
  spec.id = {settings_.owner, settings_.run, number, key.attempt, job.name};
  spec.directory = settings_.directory / ("j" + stem);
  spec.layer = settings_.directory / ("l" + stem);
  spec.project_dir = settings_.shell ? (spec.directory / "ws").string() : "/builds/" + settings_.project_path;
  spec.sources = settings_.sources;
  spec.inputs = inputs.layers;

  VariableSet variables = plan_.variables(pipeline_, key.job);
  for (const auto& [name, value] : inputs.dotenv) variables.set(name, value, Precedence::dotenv, /*expand=*/false);
  const auto timeout = job.timeout.value_or(settings_.default_timeout);
  const auto predefine = [&](std::string_view name, std::string value) {
    variables.set(name, std::move(value), Precedence::predefined, /*expand=*/false);
  };
  predefine("CI_JOB_ID", fmt::format("{}{:05}", settings_.run, number));
  predefine("CI_PIPELINE_ID", std::to_string(settings_.run));
  predefine("CI_PIPELINE_IID", std::to_string(settings_.run));
  predefine("CI_JOB_STATUS", "running");
  predefine("CI_JOB_STARTED_AT", timestamp(Clock::now()));
  predefine("CI_JOB_TIMEOUT", std::to_string(timeout.count()));
  predefine("CI_PROJECT_DIR", spec.project_dir);
  predefine("CI_BUILDS_DIR", settings_.shell ? spec.directory.string() : "/builds");
  predefine("CI_CONCURRENT_ID", "0");
  predefine("CI_CONCURRENT_PROJECT_ID", "0");
  predefine("CI_SERVER", "yes");
  predefine(settings_.shell ? "CI_SHARED_ENVIRONMENT" : "CI_DISPOSABLE_ENVIRONMENT", "true");
  predefine("CI_RUNNER_ID", "1");
  predefine("CI_RUNNER_DESCRIPTION", "runner exec (" + settings_.executor_name + ")");
  predefine("CI_RUNNER_VERSION", RUNNER_VERSION);
  predefine("CI_RUNNER_REVISION", RUNNER_VERSION);
  predefine("CI_RUNNER_TAGS", fmt::format("{}", fmt::join(expand_all(variables, job.tags), ",")));
  predefine("CI_RUNNER_EXECUTABLE_ARCH", "linux/" + architecture());
  // Without the token that GitLab puts into it: there is no CI_JOB_TOKEN here.
  if (const auto* url = variables.find("CI_PROJECT_URL")) predefine("CI_REPOSITORY_URL", url->value + ".git");

  // The image may be named by any variable but CI_JOB_IMAGE, which is what came of it.
  VariableSet expanded = variables.expanded();
  if (!settings_.shell) {
    spec.image = job.image ? expanded.expand(job.image->name) : settings_.default_image;
    if (spec.image.empty()) spec.image = settings_.default_image;  // "$NAMED_NOWHERE"
    if (job.image) {
      spec.image_user = expanded.expand(job.image->user);
      spec.platform = expanded.expand(job.image->platform);
      spec.entrypoint = job.image->entrypoint;
      spec.pull_policy = job.image->pull_policy;
    }
    if (settings_.pull) spec.pull_policy = {*settings_.pull};
    expanded.set("CI_JOB_IMAGE", spec.image, Precedence::predefined, /*expand=*/false);
    for (const auto& service : job.services) {
      spec.services.push_back(service_spec(service, expanded));
      if (settings_.pull) spec.services.back().pull_policy = {*settings_.pull};
    }
    spec.network = settings_.network;
    if (const auto* network = expanded.find("RUNNER_NETWORK")) {
      spec.network = network->value == "none" ? executors::Network::none : executors::Network::bridge;
    }
  } else {
    for (const auto& service : job.services) spec.services.push_back(service_spec(service, expanded));
  }

  // docs.gitlab.com/ci/runners/configure_runners, "Git strategy": here there is nothing to fetch and nothing left from
  // an earlier job, so that `fetch` is `clone` and `none` is `empty`.
  if (const auto* strategy = expanded.find("GIT_STRATEGY"); strategy != nullptr) {
    if (strategy->value == "none" || strategy->value == "empty") {
      spec.sources = {};
    } else if (!strategy->value.empty() && strategy->value != "clone" && strategy->value != "fetch") {
      made.warnings.push_back("GIT_STRATEGY is clone, fetch, none or empty, not " + strategy->value);
    }
  }

  executors::Work& work = made.work;
  work.environment = environment_of(expanded);
  work.files = files_of(expanded);
  work.script = job.script.before;
  work.script.insert(work.script.end(), job.script.main.begin(), job.script.main.end());
  work.after_script = job.script.after;
  work.timeout = timeout;
  std::chrono::seconds script_timeout = timeout;
  limit_by(expanded, "RUNNER_SCRIPT_TIMEOUT", script_timeout, made.warnings);
  work.timeout = std::min(timeout, script_timeout);  // the job's is the longest
  limit_by(expanded, "RUNNER_AFTER_SCRIPT_TIMEOUT", work.after_timeout, made.warnings);
  work.artifacts = artifacts_spec(job.artifacts, expanded);
  made.caches = cache_uses(job.caches, {expanded, settings_.sources, settings_.protected_ref, settings_.last_commit},
                           made.warnings);
  if (job.release) {
    made.release = expand(*job.release, expanded);
    if (may_name_file(made.release->description)) {
      work.artifacts.reports.push_back({description_kind, {made.release->description}, /*may_miss=*/true});
    }
  }
  made.coverage = job.coverage;
  work.debug_trace = is_true(expanded.find("CI_DEBUG_TRACE"));

  std::vector<std::string> masked;
  for (const auto& [name, entry] : expanded.entries()) {
    if (!entry.masked || entry.value.empty()) continue;
    if (too_short(entry.value))
      made.short_secrets.push_back(name);
    else if (std::find(settings_.secrets.begin(), settings_.secrets.end(), entry.value) == settings_.secrets.end())
      masked.push_back(entry.value);
  }
  if (masked.empty()) {
    made.secrets = secrets_;
  } else {
    masked.insert(masked.end(), settings_.secrets.begin(), settings_.secrets.end());
    made.secrets = SecretSet(masked);
  }
  made.artifacts_name = expanded.expand(job.artifacts.name.empty() ? "artifacts" : job.artifacts.name);
  made.expire_in = job.artifacts.expire_in;
  return made;
}

}  // namespace runner
