#include "runner/run/job_factory.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <algorithm>
#include <utility>

#include "pipelines/duration.h"
#include "pipelines/job_variables.h"
#include "pipelines/variables.h"
#include "runner/run/feature_flags.h"
#include "runner/run/releases.h"
#include "runner/run/run_steps.h"
#include "runner/secrets/remembered.h"
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
  spec.platform = job_variables.expand(service.image.platform);
  spec.user = job_variables.expand(service.image.user);
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

void set_step(const pipelines::Job& job, const VariableSet& variables, executors::Work& work) {
  const auto expand = [&](std::string& text) { text = variables.expand(text); };
  work.step = job.step;
  if (work.step) pipelines::for_each_text(*work.step, expand);
  work.aws = job.aws.value_or(pipelines::AwsSettings{});
  pipelines::for_each_text(work.aws, expand);
}

// Go's word for this machine's processor, as gitlab-runner says it.
std::string architecture() {
  utsname machine{};
  if (uname(&machine) != 0) return "unknown";
  const std::string_view name = machine.machine;
  return name == "x86_64" ? "amd64" : name == "aarch64" ? "arm64" : std::string(name);
}

constexpr std::size_t short_token = 8;  // so much of the runner's token GitLab shows

// GIT_CLONE_PATH: another place for the project, below CI_BUILDS_DIR
// (docs.gitlab.com/ci/runners/configure_runners, "Custom build directories"). False: none is asked for.
bool choose_project_dir(const VariableSet& expanded, executors::JobSpec& spec, VariableFindings& findings) {
  const auto* asked = expanded.find("GIT_CLONE_PATH");
  if (asked == nullptr || asked->value.empty()) return false;
  const std::string& builds = expanded.find("CI_BUILDS_DIR")->value;
  std::string path = std::filesystem::path(asked->value).lexically_normal().string();
  while (path.ends_with('/')) path.pop_back();
  if (!path.starts_with(builds + "/") || path.starts_with(builds + "/.job")) {
    findings.refused = fmt::format("GIT_CLONE_PATH is {}, which is not below CI_BUILDS_DIR, {}", asked->value, builds);
    return false;
  }
  spec.project_dir = path;
  return true;
}

std::string exported_name() { return "/" + std::filesystem::path(executors::exported_file).filename().string(); }

// For executors::Work::rename_paths.
void rename_paths(const pipelines::Job& job, const std::vector<CacheUse>& uses, const VariableSet& known,
                  executors::Work& late) {
  executors::ArtifactsSpec artifacts = artifacts_spec(job.artifacts, known);
  late.artifacts.paths = std::move(artifacts.paths);
  late.artifacts.exclude = std::move(artifacts.exclude);
  for (std::size_t i = 0; i < artifacts.reports.size(); ++i) {  // there may be one more, of a release
    late.artifacts.reports[i].paths = std::move(artifacts.reports[i].paths);
  }
  for (executors::CacheSpec& cache : late.caches) {
    cache.paths = expand_all(known, job.caches[uses[cache.number].index].paths);
  }
}

bool has_variable(const pipelines::Job& job) {
  const auto any = [](const std::vector<std::string>& texts) {
    return std::ranges::any_of(texts, [](const std::string& text) { return text.find('$') != std::string::npos; });
  };
  return any(job.artifacts.paths) || any(job.artifacts.exclude) ||
         std::ranges::any_of(job.artifacts.reports, [&](const auto& report) { return any(report.paths); }) ||
         std::ranges::any_of(job.caches, [&](const auto& cache) { return any(cache.paths); });
}

// CI_JOB_ID: a number of its own for each attempt, as each is a job of its own in GitLab. It can be read: of 1200000302
// the run is 12, the job its third, the attempt its second.
std::string job_id_of(const executors::JobId& id) { return fmt::format("{}{:06}{:02}", id.run, id.job, id.attempt); }

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

namespace {

bool is_rollback(const pipelines::Job& job) {
  return job.step && std::holds_alternative<pipelines::RollbackStep>(*job.step);
}

}  // namespace

std::vector<Resource> JobFactory::resources(pipelines::JobIndex index, const JobInputs& inputs) const {
  const pipelines::Job& job = pipeline_.jobs[index];
  std::vector<Resource> all;
  if (job.resource_group.empty() && !job.step) return all;
  if (is_rollback(job)) return all;  // the jobs that it makes again take theirs
  VariableSet variables = plan_.variables(pipeline_, index);
  for (const auto& [name, value] : inputs.dotenv) variables.set(name, value, Precedence::dotenv, /*expand=*/false);
  variables = variables.expanded();
  Made made;
  mask(made, variables);
  const auto add = [&](bool target, const std::string& name) {
    all.push_back({target, storable_name(made.secrets, name, settings_.owner)});
  };
  if (!job.resource_group.empty()) add(false, variables.expand(job.resource_group));
  if (job.step) {
    pipelines::Step step = *job.step;
    pipelines::for_each_text(step, [&](std::string& text) { text = variables.expand(text); });
    for (const std::string& target : pipelines::targets_of(step)) add(true, target);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::string JobFactory::confirmation(pipelines::JobIndex index) const {
  const std::string& text = pipeline_.jobs[index].manual_confirmation;
  if (text.empty()) return text;
  Made made;
  mask(made, plan_.variables(pipeline_, index).expanded());
  return redact(made.secrets, text);
}

// What a `trigger` job hands on, as it was written: the file's own variables even where stronger ones hide them, and
// those that the run was started with or that jobs left (lib/gitlab/ci/variables/downstream/generator.rb). The
// project's are there anyhow.
VariableSet JobFactory::handed_on(pipelines::JobIndex index, const JobInputs& inputs) const {
  const pipelines::Downstream& what = *pipeline_.jobs[index].trigger;
  VariableSet result;
  if (what.yaml_variables) result = plan_.yaml_variables(pipeline_, index);
  if (!what.pipeline_variables) return result;
  for (const auto& [name, value] : inputs.dotenv) result.set(name, value, Precedence::dotenv, /*expand=*/false);
  for (const auto& [name, entry] : plan_.trigger_variables.entries()) {
    if (entry.precedence != Precedence::pipeline) continue;
    result.set(name, entry.value, entry.precedence, entry.expand, entry.masked, entry.file);
  }
  return result;
}

// The example of GitLab's documentation hands CI_PIPELINE_ID on, so that the child can name its parent.
DownstreamRequest JobFactory::downstream(pipelines::JobIndex index, const JobInputs& inputs) const {
  DownstreamRequest request;
  VariableSet variables = plan_.variables(pipeline_, index);
  for (const auto& [name, value] : inputs.dotenv) variables.set(name, value, Precedence::dotenv, /*expand=*/false);
  variables.set("CI_PIPELINE_ID", std::to_string(settings_.run), Precedence::predefined, /*expand=*/false);
  // They see all variables, but none sees them where another hides it: they are given names that nobody can write.
  const std::string unwritable(1, '\0');
  const VariableSet given = is_rollback(pipeline_.jobs[index]) ? VariableSet() : handed_on(index, inputs);
  for (const auto& [name, entry] : given.entries()) {
    variables.set(unwritable + name, entry.value, Precedence::pipeline, entry.expand, entry.masked, entry.file);
  }
  const VariableSet expanded = variables.expanded();
  if (is_rollback(pipeline_.jobs[index])) {
    request.rollback = std::get<pipelines::RollbackStep>(*pipeline_.jobs[index].step);
    request.rollback->environment = expanded.expand(request.rollback->environment);
    request.rollback->to = expanded.expand(request.rollback->to);
    return request;
  }
  request.what = &*pipeline_.jobs[index].trigger;
  // What refers to a file is handed on as it was written: its path is another in every job
  // (lib/gitlab/ci/variables/downstream/expandable_variable_generator.rb).
  variables.put_files_at("/");
  const VariableSet moved = variables.expanded();
  for (const auto& [name, entry] : given.entries()) {
    const std::string& value = expanded.find(unwritable + name)->value;
    const bool names_file = moved.find(unwritable + name)->value != value;
    pipelines::Variable variable;
    variable.name = name;
    variable.value = names_file ? entry.value : value;
    variable.expand = names_file;
    variable.masked = entry.masked;
    variable.file = entry.file;
    request.variables.push_back(std::move(variable));
  }
  for (std::size_t i = 0; i < inputs.layers.size() && i < inputs.from.size(); ++i) {
    request.artifacts[name(inputs.from[i])].push_back(inputs.layers[i]);
  }
  return request;
}

TokenFacts JobFactory::token_facts(const JobKey& key, std::string job_id, std::chrono::seconds timeout) const {
  const pipelines::Job& job = pipeline_.jobs[key.job];
  TokenFacts facts;
  facts.predefined = settings_.predefined;
  facts.run = std::to_string(settings_.run);
  facts.job = std::move(job_id);
  facts.timeout = timeout;
  if (job.environment) {
    // From the keyword itself: CI_ENVIRONMENT_NAME is a variable, and a file may set it.
    const std::string name = plan_.variables(pipeline_, key.job).expanded().expand(job.environment->name);
    facts.environment = {
        name, job.environment->action.empty() ? "start" : job.environment->action,
        job.environment->tier.empty() ? std::string(pipelines::environment_tier(name)) : job.environment->tier};
  }
  return facts;
}

// docs.gitlab.com/ci/yaml/#environment. A step that deploys is in the trail without one, too.
void JobFactory::add_environment(Made& made, pipelines::JobIndex index, const VariableSet& variables) const {
  const pipelines::Job& job = pipeline_.jobs[index];
  if (is_rollback(job)) return;  // what it deploys is in the trail as that of its own run
  if (!job.environment) {
    if (job.step && pipelines::deploys(*job.step)) made.environment.emplace();
    return;
  }
  const pipelines::Environment& environment = *job.environment;
  const VariableSet expanded = variables.expanded();
  EnvironmentUse use;
  use.name = redact(made.secrets, expanded.expand(environment.name));
  use.tier =
      environment.tier.empty() ? std::string(pipelines::environment_tier(use.name)) : expanded.expand(environment.tier);
  use.url = redact(made.secrets, expanded.expand(environment.url));
  use.starts = environment.action.empty() || environment.action == "start";
  use.stops = environment.action == "stop";
  made.environment = std::move(use);
  if (environment.url.empty()) return;
  made.environment_url = [variables, url = environment.url](const auto& dotenv) {
    VariableSet all = variables;
    for (const auto& [name, value] : dotenv) all.set(name, value, Precedence::dotenv, /*expand=*/false);
    return all.expanded().expand(url);
  };
}

// The run's secrets and the masked variables among these.
void JobFactory::mask(Made& made, const VariableSet& expanded) const {
  std::vector<std::string> masked;
  for (const auto& [name, entry] : expanded.entries()) {
    if (!entry.masked || entry.value.empty()) continue;
    if (too_short(entry.value))
      made.short_secrets.push_back(name);
    else if (std::find(settings_.secrets.begin(), settings_.secrets.end(), entry.value) == settings_.secrets.end())
      masked.push_back(entry.value);
  }
  made.masked = settings_.secrets;
  if (masked.empty()) {
    made.secrets = secrets_;
  } else {
    mask_too(made, masked);
  }
}

void mask_too(JobFactory::Made& made, const std::vector<std::string>& values) {
  made.masked.insert(made.masked.end(), values.begin(), values.end());
  made.secrets = SecretSet(made.masked);
}

// Those of other runs lie below what this run's jobs left.
JobInputs JobFactory::with_upstream(pipelines::JobIndex index, const JobInputs& inputs, Made& made) const {
  JobInputs all;
  const auto& needs = pipeline_.jobs[index].upstream_needs;
  if (needs.empty()) return inputs;
  VariableSet variables = plan_.variables(pipeline_, index);
  variables.set("CI_PIPELINE_ID", std::to_string(settings_.run), Precedence::predefined, /*expand=*/false);
  variables = variables.expanded();
  for (const auto& need : needs) {
    if (!need.artifacts || !settings_.upstream) continue;
    UpstreamArtifacts found;
    try {
      found = settings_.upstream(variables.expand(need.pipeline), variables.expand(need.job));
    } catch (const std::exception& error) {
      found.missing = fmt::format("the artifacts of job {} cannot be had: {}", need.job, error.what());
    }
    if (made.missing.empty()) made.missing = found.missing;
    made.warnings.insert(made.warnings.end(), found.warnings.begin(), found.warnings.end());
    all.layers.insert(all.layers.end(), found.layers.begin(), found.layers.end());
    all.dotenv.insert(all.dotenv.end(), found.dotenv.begin(), found.dotenv.end());
  }
  all.layers.insert(all.layers.end(), inputs.layers.begin(), inputs.layers.end());
  all.dotenv.insert(all.dotenv.end(), inputs.dotenv.begin(), inputs.dotenv.end());
  return all;
}

JobFactory::Made JobFactory::make(const JobKey& key, const JobInputs& given) const {
  const pipelines::Job& job = pipeline_.jobs[key.job];
  const std::uint32_t number = key.job + 1;
  const std::string stem = fmt::format("{}-{}", number, key.attempt);
  Made made;
  if (job.trigger || is_rollback(job)) {
    made.downstream = downstream(key.job, given);
    made.secrets = secrets_;
    VariableSet variables = plan_.variables(pipeline_, key.job);
    variables.set("CI_PIPELINE_ID", std::to_string(settings_.run), Precedence::predefined, /*expand=*/false);
    add_environment(made, key.job, variables);
    made.work.timeout = std::chrono::hours(24 * 30);
    return made;
  }

  const JobInputs inputs = with_upstream(key.job, given, made);
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
  const std::string job_id = job_id_of(spec.id);
  variables.put_files_at((settings_.shell ? spec.directory / ".job" : std::filesystem::path("/.job")) /
                         executors::file_prefix);
  predefine("CI_JOB_ID", job_id);
  predefine("CI_PIPELINE_ID", std::to_string(settings_.run));
  predefine("CI_PIPELINE_IID", std::to_string(settings_.run));
  predefine("CI_JOB_STATUS", "running");
  predefine("CI_JOB_STARTED_AT", timestamp(Clock::now()));
  predefine("CI_JOB_TIMEOUT", std::to_string(timeout.count()));
  predefine("CI_PROJECT_DIR", spec.project_dir);
  predefine("CI_BUILDS_DIR", settings_.shell ? spec.directory.string() : "/builds");
  predefine("RUNNER_TEMP_PROJECT_DIR", settings_.shell ? (spec.directory / ".job/tmp").string() : "/.job/tmp");
  // Whatever a file sets, as gitlab-runner does.
  variables.set("GITLAB_ENV", variables.find("RUNNER_TEMP_PROJECT_DIR")->value + exported_name(), Precedence::pipeline,
                /*expand=*/false);
  predefine("CI_RUNNER_SHORT_TOKEN", settings_.owner.substr(0, short_token));
  add_feature_flags(variables);
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
  VariableFindings findings;
  if (choose_project_dir(expanded, spec, findings)) {
    predefine("CI_PROJECT_DIR", spec.project_dir);
    expanded = variables.expanded();
  }
  settle_feature_flags(expanded, findings.warnings);
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

  const ChosenSources chosen = chosen_sources(expanded, findings);
  if (!chosen.any) {
    spec.sources = {};
  } else if (settings_.sources_for && findings.refused.empty()) {
    try {
      spec.sources = settings_.sources_for(chosen.choice, findings.warnings);
    } catch (const executors::WorldError& error) {  // the job's own: others may choose otherwise
      findings.refused = error.what();
    }
  }

  executors::Work& work = made.work;
  work.environment = environment_of(expanded);
  work.files = files_of(expanded);
  set_step(job, expanded, work);
  if (job.step) {
    spec.step = pipelines::needs_sandbox(*job.step) ? executors::StepPlace::sandbox : executors::StepPlace::runner;
  }
  work.script = job.script.before;
  work.script.insert(work.script.end(), job.script.main.begin(), job.script.main.end());
  work.steps = work_steps(job.steps, expanded, spec.project_dir);
  work.after_script = job.script.after;
  work.timeout = timeout;
  std::chrono::seconds script_timeout = timeout;
  limit_by(expanded, "RUNNER_SCRIPT_TIMEOUT", script_timeout, made.warnings);
  if (script_timeout < timeout) work.script_timeout = script_timeout;
  limit_by(expanded, "RUNNER_AFTER_SCRIPT_TIMEOUT", work.after_timeout, made.warnings);
  work.artifacts = artifacts_spec(job.artifacts, expanded);
  made.caches = cache_uses(job.caches, {expanded, settings_.sources, settings_.protected_ref, settings_.last_commit},
                           made.warnings);
  if (has_variable(job)) {
    work.rename_paths = [&job, uses = made.caches, expanded](executors::Work& late,
                                                             const executors::Environment& more) {
      VariableSet known = expanded;
      for (const auto& [name, value] : more) known.set(name, value, Precedence::pipeline, /*expand=*/false);
      rename_paths(job, uses, known, late);
    };
  }
  if (job.release) {
    made.release = expand(*job.release, expanded);
    if (may_name_file(made.release->description)) {
      work.artifacts.reports.push_back({description_kind, {made.release->description}, /*may_miss=*/true});
    }
  }
  made.coverage = job.coverage;
  made.attempts = attempts(expanded, findings);
  if (chosen.any) work.pre_get_sources = job.script.pre_get_sources;
  work.get_sources_attempts = made.attempts.get_sources;
  work.debug_trace = flag(expanded, "CI_DEBUG_TRACE", false, findings);
  work.debug_services = flag(expanded, "CI_DEBUG_SERVICES", false, findings);
  work.script_sections = flag(expanded, "FF_SCRIPT_SECTIONS", false, findings);
  work.check_exit_codes = flag(expanded, "FF_ENABLE_BASH_EXIT_CODE_CHECK", false, findings);
  work.after_script_counts = !flag(expanded, "AFTER_SCRIPT_IGNORE_ERRORS", true, findings);
  made.warnings.insert(made.warnings.end(), findings.warnings.begin(), findings.warnings.end());
  made.refused = std::move(findings.refused);

  mask(made, expanded);
  add_environment(made, key.job, variables);
  if (!job.id_tokens.empty() || !job.secrets.empty()) {
    const std::string image = spec.image;
    made.credentials = [this, &job, variables, image, facts = token_facts(key, job_id, timeout)](
                           Made& into, std::chrono::steady_clock::time_point until, const std::stop_token& stop) {
      Credentials credentials = make_credentials({job, variables, facts, settings_.credentials, until, stop});
      if (!settings_.shell) {
        credentials.variables.set("CI_JOB_IMAGE", image, Precedence::predefined, /*expand=*/false);
      }
      into.work.environment = environment_of(credentials.variables);
      into.work.files = files_of(credentials.variables);
      set_step(job, credentials.variables, into.work);
      std::vector<std::string> told = std::exchange(into.short_secrets, {});
      mask(into, credentials.variables);
      for (const std::string& name : into.short_secrets) {
        if (std::find(told.begin(), told.end(), name) != told.end()) continue;
        credentials.warnings.push_back(
            fmt::format("the secret {} has under {} characters and cannot be masked", name, shortest_secret));
      }
      return credentials;
    };
  }
  for (CacheUse& use : made.caches) {
    for (std::string& cache : use.keys) cache = storable_name(made.secrets, cache, settings_.owner);
  }
  made.artifacts_name =
      redact(made.secrets, expanded.expand(job.artifacts.name.empty() ? "artifacts" : job.artifacts.name));
  made.expire_in = job.artifacts.expire_in;
  return made;
}

}  // namespace runner
