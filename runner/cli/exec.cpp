// `runner exec` and `runner resume`.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "executors/job_directory.h"
#include "executors/make.h"
#include "pipelines/variables.h"
#include "runner/cli/again.h"
#include "runner/cli/doctor.h"
#include "runner/cli/plan_text.h"
#include "runner/cli/project_variables.h"
#include "runner/cli/running.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"
#include "runner/hosts/commits.h"
#include "runner/run/console.h"
#include "runner/run/failure_help.h"
#include "runner/run/foreground.h"
#include "runner/run/person.h"
#include "runner/run/step_host.h"
#include "runner/secrets/remembered.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::optional<ConsoleKind> console_kind(const std::string& output) {
  if (output.empty() || output == "auto") return std::nullopt;
  if (output == "pretty") return ConsoleKind::pretty;
  if (output == "plain") return ConsoleKind::plain;
  if (output == "json") return ConsoleKind::json;
  throw UsageError(fmt::format("--output {}: expected pretty, plain or json", output));
}

std::optional<pipelines::PullPolicy> pull_policy(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "always") return pipelines::PullPolicy::always;
  if (text == "missing" || text == "if-not-present") return pipelines::PullPolicy::if_not_present;
  if (text == "never") return pipelines::PullPolicy::never;
  throw UsageError(fmt::format("--pull {}: expected always, missing or never", text));
}

}  // namespace

Config configure(const CommandLine& line, const ExecOptions& options) {
  Config config = configuration(line);
  if (!options.executor.empty()) config.executor.set(parse_executor(options.executor, "--executor"), "--executor");
  if (!options.image.empty()) config.image.set(options.image, "--image");
  if (!options.network.empty()) config.network.set(parse_network(options.network, "--network"), "--network");
  if (options.parallel != 0) config.parallel.set(options.parallel, "--parallel");
  return config;
}

namespace {

std::map<std::string, ProcessMode> process_modes(const Setting<executors::Environment>& setting) {
  std::map<std::string, ProcessMode> modes;
  for (const auto& [group, mode] : setting.value) {
    if (mode == "unordered") {
      modes[group] = ProcessMode::unordered;
    } else if (mode == "oldest_first") {
      modes[group] = ProcessMode::oldest_first;
    } else if (mode == "newest_first") {
      modes[group] = ProcessMode::newest_first;
    } else if (mode == "newest_ready_first") {
      modes[group] = ProcessMode::newest_ready_first;
    } else if (mode == "newest_wins") {
      modes[group] = ProcessMode::newest_wins;
    } else {
      throw UsageError(
          fmt::format("{}: process_mode of {}: expected unordered, oldest_first, newest_first, newest_ready_first or "
                      "newest_wins, not "
                      "\"{}\"",
                      setting.origin, group, mode));
    }
  }
  return modes;
}

// --- what a run needs to be resumed -----------------------------------------------------------------------------

json values_json(const std::vector<NamedValue>& values) {
  json array = json::array();
  for (const auto& [name, value] : values) array.push_back({name, value});
  return array;
}

std::vector<NamedValue> values_of(const json& array) {
  std::vector<NamedValue> values;
  for (const auto& pair : array) values.push_back({pair.at(0), pair.at(1)});
  return values;
}

using Answers = std::map<std::string, std::optional<std::vector<std::string>>>;

json answers_json(const Answers& answers) {
  json object = json::object();
  for (const auto& [asked, paths] : answers) object[asked] = paths ? json(*paths) : json(nullptr);
  return object;
}

Answers answers_of(const json& object) {
  Answers answers;
  for (const auto& [asked, paths] : object.items()) {
    if (paths.is_null())
      answers[asked] = std::nullopt;
    else
      answers[asked] = paths.get<std::vector<std::string>>();
  }
  return answers;
}

// Of a value that is long enough not to be found out by trying; else null.
json hash_of(const std::string& value, const std::string& salt) {
  return too_short(value) ? json(nullptr) : json(slow_hash(value, salt));
}

// Masked values stay out of the database: a resumed run reads them again, and knows them by their hashes.
json project_json(const std::vector<ProjectVariable>& variables, const std::string& salt) {
  json array = json::array();
  for (const ProjectVariable& each : variables) {
    array.push_back({{"name", each.name},
                     {"value", each.masked ? json(nullptr) : json(each.value)},
                     {"hash", each.masked ? hash_of(each.value, salt) : json(nullptr)},
                     {"scope", each.environment_scope},
                     {"file", each.file},
                     {"raw", each.raw}});
  }
  return array;
}

std::vector<ProjectVariable> project_of(const json& array, const std::vector<NamedValue>& predefined) {
  std::vector<ProjectVariable> now;
  const auto told = [&](std::string_view name) {
    const auto found =
        std::find_if(predefined.begin(), predefined.end(), [&](const NamedValue& each) { return each.name == name; });
    return found == predefined.end() ? std::string() : found->value;
  };
  if (std::any_of(array.begin(), array.end(), [](const json& each) { return each.at("value").is_null(); })) {
    now = project_variables(told("CI_SERVER_URL"), told("CI_PROJECT_PATH"));
  }
  std::vector<ProjectVariable> variables;
  for (const json& each : array) {
    ProjectVariable variable{each.at("name"), "", each.at("scope"), each.at("value").is_null(), false, each.at("file"),
                             each.at("raw")};
    if (!variable.masked) {
      variable.value = each.at("value");
    } else {
      const auto found = std::find_if(now.begin(), now.end(), [&](const ProjectVariable& other) {
        return other.name == variable.name && other.environment_scope == variable.environment_scope;
      });
      if (found == now.end()) {
        throw UsageError(
            fmt::format("the project's secret {} is not there any more\n"
                        "hint: the run began with it; put it back into the project's file, or at GitLab",
                        variable.name));
      }
      variable.value = found->value;
    }
    variables.push_back(std::move(variable));
  }
  return variables;
}

// Whether a job has what is to be masked and is known to its own process only.
bool has_credentials(const Loaded& loaded) {
  return std::any_of(loaded.plan.jobs.begin(), loaded.plan.jobs.end(), [&](const pipelines::PlannedJob& planned) {
    const pipelines::Job& job = loaded.parsed.pipeline.jobs[planned.job];
    return planned.included && (!job.id_tokens.empty() || !job.secrets.empty());
  });
}

json request_json(const MergeRequest& request) {
  return {{"iid", request.iid},
          {"title", request.title},
          {"description", request.description},
          {"milestone", request.milestone},
          {"labels", request.labels},
          {"assignees", request.assignees},
          {"draft", request.draft},
          {"approved", request.approved},
          {"squash", request.squash}};
}

MergeRequest request_of(const json& object) {
  return {object.at("iid"),       object.at("title"),    object.at("description"),
          object.at("milestone"), object.at("labels"),   object.at("assignees"),
          object.at("draft"),     object.at("approved"), object.at("squash")};
}

// What the command line said, for a retry that reads the file anew.
json asked_json(const PlanFlags& flags) {
  return {{"event", flags.event},
          {"branch", flags.branch},
          {"tag", flags.tag},
          {"target_branch", flags.target_branch},
          {"since", flags.since},
          {"schedule", flags.schedule},
          {"trigger_payload", flags.trigger_payload},
          {"merge_request", request_json(flags.merge_request)},
          {"protected", flags.is_protected},
          {"inputs", flags.inputs}};
}

void set_asked(PlanFlags& flags, const json& asked) {
  flags.event = asked.at("event");
  flags.branch = asked.at("branch");
  flags.tag = asked.at("tag");
  flags.target_branch = asked.at("target_branch");
  flags.since = asked.at("since");
  flags.schedule = asked.at("schedule");
  flags.trigger_payload = asked.at("trigger_payload");
  flags.merge_request = request_of(asked.at("merge_request"));
  flags.is_protected = asked.at("protected");
  flags.inputs = asked.at("inputs").get<std::vector<std::string>>();
}

json secret_hashes(const std::vector<NamedValue>& secrets, const std::string& salt) {
  json object = json::object();
  for (const auto& [name, value] : secrets) {
    if (!too_short(value)) object[name] = slow_hash(value, salt);
  }
  return object;
}

}  // namespace

std::string record(const Loaded& loaded, const ExecOptions& options, const Config& config) {
  const std::string salt = random_salt();
  const json document{
      {"file", fs::absolute(loaded.file.path).string()},
      {"file_name", loaded.file.name},
      {"predefined", values_json(loaded.inputs.predefined)},
      {"variables", values_json(loaded.inputs.variables)},
      {"project", project_json(loaded.inputs.project, salt)},
      {"secrets", loaded.inputs.secret_names},
      {"credentials", has_credentials(loaded)},
      {"secret_hashes", secret_hashes(loaded.masked, salt)},
      {"salt", salt},
      {"jobs", loaded.inputs.jobs},
      {"job_inputs", values_json(loaded.inputs.job_inputs)},
      {"needs", loaded.inputs.with_needs},
      {"changed", answers_json(loaded.inputs.changed)},
      {"project_paths", answers_json(loaded.inputs.project_paths)},
      {"source_paths", loaded.inputs.source_paths ? json(*loaded.inputs.source_paths) : json(nullptr)},
      {"executor", config.executor.value == ExecutorKind::shell ? "shell" : "docker"},
      {"image", config.image.value},
      {"none_network", config.network.value == executors::Network::none},
      {"pull", options.pull},
      {"revision", options.plan.revision},
      {"keep_going", options.keep_going},
      {"keep", options.keep},
      {"project_path", loaded.git.project_path},
      {"asked", asked_json(options.plan)},
  };
  // Paths and messages of a repository need not be UTF-8.
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

namespace {

// What record() wrote.
PlanInputs recorded_inputs(const json& recorded) {
  PlanInputs inputs;
  inputs.predefined = values_of(recorded.at("predefined"));
  inputs.variables = values_of(recorded.at("variables"));
  if (recorded.contains("project")) {
    inputs.project = project_of(recorded.at("project"), inputs.predefined);
  }
  inputs.secret_names = recorded.at("secrets").get<std::vector<std::string>>();
  inputs.jobs = recorded.at("jobs").get<std::vector<std::string>>();
  inputs.job_inputs = values_of(recorded.value("job_inputs", json::array()));
  inputs.with_needs = recorded.at("needs");
  inputs.changed = answers_of(recorded.at("changed"));
  inputs.project_paths = answers_of(recorded.value("project_paths", json::object()));
  if (!recorded.at("source_paths").is_null()) {
    inputs.source_paths = recorded.at("source_paths").get<std::vector<std::string>>();
  }
  return inputs;
}

// --- running ------------------------------------------------------------------------------------------------------

int code_of(pipelines::Verdict verdict) {
  switch (verdict) {
    case pipelines::Verdict::passed:
    case pipelines::Verdict::skipped:
      return exit_code::passed;
    case pipelines::Verdict::failed:
      return exit_code::failed;
    case pipelines::Verdict::cancelled:
      return exit_code::cancelled;
    case pipelines::Verdict::broken:
      return exit_code::broken;
    case pipelines::Verdict::waiting:
      return exit_code::waiting;
  }
  return exit_code::broken;
}

bool has_sandbox(const pipelines::Job& job) {
  return !job.trigger && !(job.step && !pipelines::needs_sandbox(*job.step));
}

// A child pipeline's jobs are not known yet.
bool needs_sandboxes(const Loaded& loaded) {
  return std::any_of(loaded.plan.jobs.begin(), loaded.plan.jobs.end(), [&](const pipelines::PlannedJob& planned) {
    const auto& job = loaded.parsed.pipeline.jobs[planned.job];
    const bool another_run = job.trigger || (job.step && std::holds_alternative<pipelines::RollbackStep>(*job.step));
    return planned.included && (another_run || has_sandbox(job));
  });
}

executors::Environment own_environment() {
  executors::Environment result;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view entry = *each;
    const auto split = entry.find('=');
    if (split != std::string_view::npos) result.emplace_back(entry.substr(0, split), entry.substr(split + 1));
  }
  return result;
}

void refuse_jobs_without_image(const Loaded& loaded, const std::string& default_image) {
  if (!default_image.empty()) return;
  std::vector<std::string> names;
  for (const auto& planned : loaded.plan.jobs) {
    const auto& job = loaded.parsed.pipeline.jobs[planned.job];
    if (planned.included && has_sandbox(job) && (!job.image || job.image->name.empty())) names.push_back(job.name);
  }
  if (names.empty()) return;
  throw UsageError(
      fmt::format("{} {} no image to run in\n"
                  "hint: give {} an `image`, or say --image IMAGE, RUNNER_IMAGE or `image` in the configuration; "
                  "--executor shell needs none",
                  fmt::join(names, ", "), names.size() == 1 ? "has" : "have", names.size() == 1 ? "it" : "them"));
}

// Those that make_step_executor has. The rest is read and checked, and must not be passed over in silence.
bool is_carried_out(const pipelines::Step& step) {
  if (const auto* group = std::get_if<pipelines::AsgDeploy>(&step)) return !group->blue_green();
  return std::holds_alternative<pipelines::EcsDeploy>(step) || std::holds_alternative<pipelines::EcsTask>(step) ||
         std::holds_alternative<pipelines::RetireScan>(step) || std::holds_alternative<pipelines::RollbackStep>(step);
}

void refuse_what_is_not_carried_out(const Loaded& loaded) {
  std::string lines;
  const auto refuse = [&](const pipelines::Job& job, const pipelines::Mark& mark, std::string_view what) {
    lines += fmt::format("{}{}:{}:{}: job \"{}\": {} is not carried out yet", lines.empty() ? "" : "\n",
                         loaded.parsed.sources.at(mark.source).name, mark.line, mark.column, job.name, what);
  };
  for (const auto& planned : loaded.plan.jobs) {
    const auto& job = loaded.parsed.pipeline.jobs[planned.job];
    if (!planned.included) continue;
    if (job.step && !is_carried_out(*job.step)) refuse(job, job.step_mark, pipelines::key_of(*job.step));
    if (job.monitor) refuse(job, job.mark, "monitor");
    if (!job.notify.empty()) refuse(job, job.mark, "notify");
    if (job.s3_artifacts) refuse(job, job.mark, "s3_artifacts");
    if (job.cloudwatch_logs) refuse(job, job.mark, "cloudwatch_logs");
  }
  if (!lines.empty()) throw UsageError(lines);
}

std::string first_line_of(const std::vector<pipelines::Diagnostic>& diagnostics,
                          const std::vector<pipelines::Source>& sources) {
  for (const auto& diagnostic : diagnostics) {
    if (diagnostic.severity != pipelines::Severity::error) continue;
    const auto& mark = diagnostic.mark;
    const std::string place = mark.source < sources.size() && mark.line != 0
                                  ? fmt::format("{}:{}:{}: ", sources[mark.source].name, mark.line, mark.column)
                                  : std::string();
    return place + diagnostic.message + (diagnostic.hint.empty() ? "" : " (" + diagnostic.hint + ")");
  }
  return {};
}

// A child pipeline that an earlier process began, from what it recorded: its files may have changed since.
std::unique_ptr<Loaded> load_recorded_child(const Loaded& parent, const ChildRequest& request,
                                            std::vector<NamedValue> masked, const std::string& now) {
  for (const auto& variable : request.asked.variables) {
    if (variable.masked) masked.push_back({variable.name, variable.value});
  }
  return load_again(parent.file, request.taken_up->pipeline_text,
                    recorded_inputs(json::parse(request.taken_up->options)), masked, now);
}

std::map<std::string, std::string> predefined_of(const Loaded& loaded) {
  std::map<std::string, std::string> all;
  for (const auto& [name, value] : loaded.inputs.predefined) all[name] = value;
  return all;
}

// A rollback within a run: the earlier run's plan, with the secrets of this one.
std::unique_ptr<Loaded> load_rollback(const Store& store, const ChildRequest& request, const Loaded& parent,
                                      const std::vector<NamedValue>& masked, ChildPipeline& child) {
  const auto& asked = *request.asked.rollback;
  child.file = "rollback of " + asked.environment;
  const auto load_of = [&](const RunDetail& run) {
    const json recorded = json::parse(run.options);
    PlanInputs inputs = recorded_inputs(recorded);
    for (const auto& name : inputs.secret_names) {
      if (std::none_of(masked.begin(), masked.end(), [&](const NamedValue& value) { return value.name == name; })) {
        throw UsageError(fmt::format("run {} had the secret {}: give it to this run too", run.id, name));
      }
    }
    auto loaded = load_again(parent.file, run.pipeline_text, std::move(inputs), masked);
    if (recorded.contains("only")) keep_only(*loaded, recorded.at("only").get<std::vector<std::string>>());
    if (recorded.contains("manual")) start_by_hand(*loaded, recorded.at("manual").get<std::vector<std::string>>());
    return loaded;
  };
  child.again.emplace();
  if (request.taken_up != nullptr) {  // what stands of the other run was recorded with it
    child.again->of = request.taken_up->retry_of;
    child.options = request.taken_up->options;
    return load_of(*request.taken_up);
  }
  const bool number = asked.to.size() < 19 && asked.to.find_first_not_of("0123456789") == std::string::npos;
  if (!number) throw UsageError(fmt::format("rollback:to is {}, which is no number of a deployment", asked.to));
  const RollbackTarget target = find_rollback(store, project_identity(parent.file.project), asked.environment,
                                              asked.to.empty() ? 0 : std::stoull(asked.to));
  if (!target.refused.empty()) throw UsageError(target.refused);
  const auto run = store.run(target.deployment.key.run);
  if (!run) throw UsageError(fmt::format("there is no run {}", target.deployment.key.run));
  auto loaded = load_of(*run);
  const RolledBack back = make_again(store, *run, *loaded, target);
  child.again = {run->id, back.reused, target.deployment.id};
  child.options = record_again(run->options, back.jobs, json::parse(run->options).at("revision"), back.only);
  return loaded;
}

// Jobs' threads call it.
ChildLoader child_loader(const Store& store, const Loaded& parent, const Config& config, const ExecOptions& options,
                         const std::vector<NamedValue>& masked) {
  return [&store, &parent, &config, &options, &masked](const ChildRequest& request) {
    auto child = std::make_unique<ChildPipeline>();
    child->file = "child pipeline";
    try {
      const auto made_now = [&] {
        return load_child({parent, request.asked.what->config, options.plan.revision, request.asked.variables, masked,
                           request.asked.artifacts, include_settings(config)});
      };
      // Masked values were not recorded: they are taken from the files as they are now.
      const bool lacking =
          request.taken_up != nullptr && !request.asked.rollback && lacks_secrets(request.taken_up->pipeline_text);
      const auto loaded = request.asked.rollback ? load_rollback(store, request, parent, masked, *child)
                          : request.taken_up != nullptr
                              ? load_recorded_child(parent, request, masked, lacking ? made_now()->text : std::string())
                              : made_now();
      child->complaint = first_line_of(loaded->parsed.diagnostics, loaded->parsed.sources);
      if (child->complaint.empty()) child->complaint = first_line_of(loaded->plan.diagnostics, loaded->parsed.sources);
      if (child->complaint.empty()) refuse_what_is_not_carried_out(*loaded);
      if (child->complaint.empty() && config.executor.value != ExecutorKind::shell) {
        refuse_jobs_without_image(*loaded, config.image.value);
      }
      child->text = recorded_text(*loaded);
      if (!child->again) child->options = record(*loaded, options, config);
      child->predefined = predefined_of(*loaded);
      child->parsed = std::move(loaded->parsed);
      child->plan = std::move(loaded->plan);
    } catch (const std::runtime_error& error) {
      child->complaint = error.what();
    }
    return child;
  };
}

void write_artifacts(const Store& store, RunId run, const fs::path& directory) {
  for (const auto& artifact : store.list_artifacts(run)) {
    if (artifact.kind != "archive") continue;
    std::string folder = artifact.job_name;
    std::replace(folder.begin(), folder.end(), '/', '_');
    if (folder == "." || folder == "..") folder = "job-" + std::to_string(artifact.key.job);
    store.extract(artifact.id, directory / folder);
  }
}

}  // namespace

void Hurried::set(executors::Executor* executor) {
  const std::lock_guard lock(mutex_);
  executor_ = executor;
  if (executor_ != nullptr && asked_) executor_->hurry();
}

void Hurried::hurry() {
  const std::lock_guard lock(mutex_);
  asked_ = true;
  if (executor_ != nullptr) executor_->hurry();
}

void refuse_shell_without_terminal(const ExecOptions& options) {
  if (!options.shell_on_fail || (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0)) return;
  throw UsageError(
      "--shell-on-fail needs a terminal for its shell, on standard input and output\n"
      "hint: where there is none, --keep leaves what failed and prints how to get in");
}

FailureHelp::Settings help_settings(const ExecOptions& options, const std::string& database) {
  FailureHelp::Settings settings;
  settings.shell = options.shell_on_fail;
  settings.keep = options.keep;
  settings.remove = fmt::format("runner {}doctor --remove",
                                database.empty() ? "" : "--database " + executors::shell_word(database) + " ");
  settings.in = STDIN_FILENO;
  settings.out = STDOUT_FILENO;
  settings.terminal_type = process_environment()("TERM").value_or("");
  return settings;
}

// Whether somebody is there to answer questions. Who watches is busy with their files.
bool can_be_asked(const Start& what, ConsoleKind console) {
  return console != ConsoleKind::json && !what.options.watch && isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
}

// The run itself is over and its end is recorded, whatever the engine says now.
void clear_up(const Store& store, const executors::DockerSettings& settings, RunId run) {
  try {
    clear_after_predecessor(store, settings, run);
  } catch (const executors::WorldError& error) {
    say("runner: what the earlier runner left of run {} cannot be removed: {}\n"
        "hint: `runner doctor --clean` removes it\n",
        run, error.what());
  }
}

int start(Store& store, const Start& what) {
  // Before any thread is made: the signals are for this one thread.
  Hurried hurried;
  const Interrupt interrupt([&hurried] { hurried.hurry(); });
  return start(store, what, interrupt.token(), hurried);
}

int start(Store& store, const Start& what, const std::stop_token& interrupted, Hurried& hurried) {
  const Loaded& loaded = what.loaded;
  const bool shell = what.config.executor.value == ExecutorKind::shell;
  refuse_what_is_not_carried_out(loaded);
  if (!shell) refuse_jobs_without_image(loaded, what.config.image.value);

  const fs::path work = make_work_directory(store);
  StepHost host(store);
  const auto executor = executors::make_step_executor(
      shell ? executors::make_shell_executor(what.config.shell_settings(work, fs::read_symlink("/proc/self/exe")))
            : executors::make_docker_executor(what.config.docker_settings(store.owner(), work)),
      host, {own_environment()});
  if (needs_sandboxes(loaded)) executor->check();
  hurried.set(executor.get());
  const std::shared_ptr<void> no_more(nullptr, [&hurried](void*) { hurried.set(nullptr); });

  const auto variable = [&](std::string_view name) -> std::string {
    for (const auto& [known, value] : loaded.inputs.predefined) {
      if (known == name) return value;
    }
    return {};
  };
  SessionSettings settings;
  settings.file = loaded.file.name;
  settings.text = what.taken_up ? std::string() : recorded_text(loaded);
  settings.project = loaded.file.project;
  settings.project_path = variable("CI_PROJECT_PATH");
  settings.ref = variable("CI_COMMIT_REF_NAME");
  settings.sha = variable("CI_COMMIT_SHA");
  settings.event = what.options.plan.event;
  settings.options = what.options_json;
  settings.revision = what.options.plan.revision;
  settings.shell = shell;
  settings.keep_going = what.options.keep_going;
  settings.default_image = what.config.image.value;
  settings.pull = pull_policy(what.options.pull);
  settings.network = what.config.network.value;
  settings.retry = what.retry;
  settings.successor = what.successor;
  settings.load_child = child_loader(store, loaded, what.config, what.options, what.masked);
  settings.process_modes = process_modes(what.config.process_modes);
  settings.protected_ref = variable("CI_COMMIT_REF_PROTECTED") == "true";
  settings.caches = what.config.cache_limits();
  settings.predefined = predefined_of(loaded);
  settings.credentials = credential_settings(what.config);
  for (const auto& secret : what.masked) settings.secrets.push_back(secret.value);
  settings.limits.parallel = what.config.parallel.value != 0 ? what.config.parallel.value
                                                             : 2 * std::max(1U, std::thread::hardware_concurrency());

  const ConsoleChoice choice =
      choose_console(console_kind(what.options.output), isatty(STDOUT_FILENO) != 0, process_environment());
  ConsoleOptions console_options;
  console_options.colour = choice.colour;
  console_options.live = choice.live;
  std::atomic<bool> lost = false;
  console_options.lost = &lost;
  SessionResult result;
  {
    const auto console = make_console(choice.kind, console_options);
    Foreground terminal(*console);
    FailureHelp help(help_settings(what.options, what.database), terminal);
    if (what.options.shell_on_fail || what.options.keep) settings.help = &help;
    Person person({STDIN_FILENO, STDOUT_FILENO}, terminal);
    if (can_be_asked(what, choice.kind)) settings.person = &person;
    host.set_person(settings.person);
    Session session(store, *executor, loaded.parsed.pipeline, loaded.plan, std::move(settings));
    result = session.run(*console, interrupted, what.taken_up);
  }
  if (what.taken_up && !shell) clear_up(store, what.config.docker_settings(store.owner(), work), *what.taken_up);
  if (!what.options.artifacts.empty()) write_artifacts(store, result.run, what.options.artifacts);
  const int code = code_of(result.verdict);
  if (!lost) return code;
  say("runner: not all of the output could be written; is the disk full?\n");
  return code == exit_code::passed ? exit_code::broken : code;
}

// Told before the run, not after it. The directory itself is only made when there is something to put into it.
void refuse_unusable_directory(const std::string& path) {
  if (path.empty()) return;
  std::error_code ignored;
  fs::path there = fs::absolute(path);
  if (fs::exists(there, ignored) && !fs::is_directory(there, ignored)) {
    throw UsageError(fmt::format("--artifacts {}: is no directory", path));
  }
  while (!fs::exists(there, ignored) && there != there.parent_path()) there = there.parent_path();
  if (::access(there.c_str(), W_OK | X_OK) != 0) {
    throw UsageError(
        fmt::format("--artifacts {}: nothing can be written in {}: {}", path, there.string(), std::strerror(errno)));
  }
}

std::vector<NamedValue> masked_values(const ExecOptions& options) { return options.plan.masked(); }

namespace {

// A job that still runs prints the value that it was started with: with another one it would be seen.
void refuse_other_secrets(const json& recorded, RunId run, const Loaded& loaded) {
  if (!recorded.contains("secret_hashes")) return;  // of before there were any
  const std::string salt = recorded.at("salt");
  const auto refuse_another = [&](const std::string& name, const std::string& value, const json& hash) {
    if (hash.is_null() || slow_hash(value, salt) == hash) return;
    throw UsageError(
        fmt::format("{0}: run {1} began with another value of this secret\n"
                    "hint: give the value of then, or end the run with `runner doctor --clean` and begin a new one",
                    name, run));
  };
  std::map<std::string, std::string> given;
  for (const auto& [name, value] : loaded.masked) given[name] = value;
  for (const auto& [name, hash] : recorded.at("secret_hashes").items()) {
    if (given.contains(name)) refuse_another(name, given.at(name), hash);
  }
  const auto& project = loaded.inputs.project;  // in the order in which they were recorded
  for (std::size_t i = 0; i < project.size(); ++i) {
    if (project[i].masked) {
      refuse_another(project[i].name, project[i].value, recorded.at("project").at(i).value("hash", json(nullptr)));
    }
  }
}

}  // namespace

std::unique_ptr<Loaded> load_asked(const ExecOptions& options, const Config& config,
                                   const std::vector<NamedValue>& masked) {
  Words words = find_pipeline(options.plan.words, options.plan.project);
  PlanOptions plan_options = options.plan.options(words);
  plan_options.masked = masked;
  plan_options.state = fs::absolute(config.database.value);
  plan_options.includes = include_settings(config);
  std::string text = read_pipeline_text(words.file, plan_options.revision);
  auto loaded = load(std::move(words.file), std::move(text), plan_options);
  if (print_diagnostics(*loaded)) return nullptr;
  if (config.executor.value != ExecutorKind::shell) refuse_jobs_without_image(*loaded, config.image.value);
  return loaded;
}

int say_nothing_to_do(const Loaded& loaded, const std::string& output) {
  if (console_kind(output) == ConsoleKind::json) {
    const json finished{{"event", "run_finished"}, {"run", nullptr}, {"time", now_text()},
                        {"outcome", "skipped"},    {"seconds", 0.0}, {"message", loaded.plan.empty_reason}};
    std::cout << finished.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  } else {
    fmt::print("nothing to run: {}\n", loaded.plan.empty_reason);
  }
  return exit_code::passed;
}

namespace {

int exec(const CommandLine& line, const ExecOptions& options) {
  const std::optional<ConsoleKind> kind = console_kind(options.output);
  if (options.worktree && !options.plan.revision.empty()) throw UsageError("--worktree and --ref exclude each other");
  if (options.watch && !options.plan.revision.empty()) {
    throw UsageError("--watch and --ref exclude each other: a commit's files do not change");
  }
  if (options.watch && options.dry_run) throw UsageError("--watch and --dry-run exclude each other");
  if (options.watch && (options.shell_on_fail || options.keep)) {
    throw UsageError("--watch goes on by itself: neither --shell-on-fail nor --keep goes with it");
  }
  pull_policy(options.pull);
  refuse_shell_without_terminal(options);
  refuse_unusable_directory(options.artifacts);
  const Config config = configure(line, options);
  const std::vector<NamedValue> masked = masked_values(options);
  if (options.watch) return watch(options, config, masked);

  const auto loaded = load_asked(options, config, masked);
  if (!loaded) return exit_code::usage;
  if (options.dry_run) {
    std::cout << (kind == ConsoleKind::json ? plan_json(*loaded) : plan_text(*loaded));
    return exit_code::passed;
  }
  if (loaded->plan.included_count() == 0) return say_nothing_to_do(*loaded, options.output);

  const auto store = open_store(config);
  Start begun{*loaded, config, options, masked, record(*loaded, options, config)};
  begun.database = line.database;
  return start(*store, begun);
}

// Loads a recorded run's file as it is now.
std::unique_ptr<Loaded> load_anew(PipelineFile file, const json& recorded, const PlanInputs& inputs,
                                  const std::vector<NamedValue>& masked, ExecOptions& options, const Config& config) {
  if (recorded.contains("asked")) set_asked(options.plan, recorded.at("asked"));
  options.plan.revision.clear();
  Words words{std::move(file), inputs.jobs};
  PlanOptions plan_options = options.plan.options(words);
  plan_options.variables = inputs.variables;
  plan_options.with_needs = inputs.with_needs;
  plan_options.masked = masked;
  plan_options.state = fs::absolute(config.database.value);
  plan_options.includes = include_settings(config);
  std::string text = read_pipeline_text(words.file);
  return load(std::move(words.file), std::move(text), plan_options);
}

}  // namespace

Recorded load_recorded(const RunDetail& run, ExecOptions& options, Config& config, bool worktree) {
  const json recorded = json::parse(run.options);
  PlanInputs inputs = recorded_inputs(recorded);

  // Secrets were never stored: they are given again.
  std::vector<NamedValue> masked = options.plan.masked();
  for (const auto& name : inputs.secret_names) {
    if (std::none_of(masked.begin(), masked.end(), [&](const NamedValue& value) { return value.name == name; })) {
      masked.push_back(read_secret(name));
    }
  }
  config.executor.set(parse_executor(recorded.at("executor"), "the run's executor"), "the run");
  config.image.set(recorded.at("image"), "the run");
  config.network.set(recorded.at("none_network").get<bool>() ? executors::Network::none : executors::Network::bridge,
                     "the run");
  options.pull = recorded.at("pull");
  options.plan.revision = recorded.at("revision");
  options.keep_going = recorded.at("keep_going");
  options.keep = options.keep || recorded.value("keep", false);
  options.plan.event = run.event;

  // Runs of before there was a name kept the file's as the pipeline's.
  PipelineFile file{recorded.at("file").get<std::string>(), recorded.value("file_name", run.pipeline_name),
                    run.project_dir};
  if (worktree) {
    auto loaded = load_anew(std::move(file), recorded, inputs, masked, options, config);
    return {std::move(loaded), std::move(masked)};
  }
  auto loaded = load_again(std::move(file), run.pipeline_text, std::move(inputs), masked);
  if (recorded.contains("only")) keep_only(*loaded, recorded.at("only").get<std::vector<std::string>>());
  if (recorded.contains("manual")) start_by_hand(*loaded, recorded.at("manual").get<std::vector<std::string>>());
  return {std::move(loaded), std::move(masked)};
}

namespace {

// A run that is begun again goes on with the sources it had.
void refuse_lost_sources(const Store& store, const RunDetail& run) {
  const fs::path root = make_work_directory(store) / "s";
  const auto snapshots = snapshots_of(store, run.id);
  const bool all = !snapshots.empty() && std::all_of(snapshots.begin(), snapshots.end(), [&](const auto& each) {
    return fs::is_directory(root / each.second);
  });
  if (all) return;
  throw UsageError(
      fmt::format("the sources of run {0} are not kept any more: those of the newest runs are\n"
                  "hint: `runner retry {0} JOB --worktree` runs a job of it with the files as they are now",
                  run.id));
}

// Nor can it without what its jobs left for those that are to run.
void refuse_lost_artifacts(const Store& store, const RunDetail& run, const Loaded& loaded) {
  const std::vector<JobRow> rows = store.jobs(run.id);
  const Scene scene = make_scene(store, run, rows, loaded);
  std::vector<bool> again;
  for (const JobRow* row : scene.rows) {
    again.push_back(row == nullptr || row->outcome == pipelines::Outcome::manual ||
                    row->outcome == pipelines::Outcome::skipped);
  }
  const auto lost = lost_input(scene, again);
  if (!lost) return;
  throw UsageError(fmt::format(
      "{} takes the artifacts of {}, and those of run {} are not kept any more: they expired\n"
      "hint: `runner retry {} {} --from` makes them again, in a new run",
      scene.name(lost->job), scene.name(lost->producer), run.id, run.id, quoted(scene.name(lost->producer))));
}

// The run that `runner resume` without a number means: an interrupted one, else one that somebody has let go on.
RunId run_to_resume(const Store& store) {
  const std::vector<RunId> orphans = store.orphaned_runs();
  if (!orphans.empty()) return resumed_with(store, orphans, orphans.back());
  const std::vector<RunId> waiting = store.waiting_runs();
  const auto answered =
      std::find_if(waiting.rbegin(), waiting.rend(), [&](RunId run) { return store.is_answered(run); });
  if (answered != waiting.rend()) return *answered;
  throw UsageError(fmt::format("there is no unfinished run to resume\nhint: {}",
                               waiting.empty() ? "`runner runs` lists all" : "`runner approve` lists what waits"));
}

// Nobody has answered what the run stopped before: nothing is to be done.
int say_still_waiting(const RunDetail& run, const std::vector<WaitingJob>& waiting) {
  std::vector<std::string> names;
  for (const WaitingJob& job : waiting) names.push_back(job.name);
  if (run.outcome != pipelines::Verdict::waiting) {
    throw UsageError(fmt::format("run {} is over: {}{}", run.id, pipelines::to_string(*run.outcome),
                                 names.empty() ? std::string()
                                               : fmt::format("\nhint: `runner approve {} {}` starts a manual job of it",
                                                             run.id, executors::shell_word(names.front()))));
  }
  say("runner: run {0} waits for {1}, and nobody has said anything\n"
      "hint: `runner approve {0}` shows what it waits for, `runner approve {0} JOB` lets it go on\n",
      run.id, fmt::join(names, ", "));
  return exit_code::waiting;
}

int resume(const CommandLine& line, ExecOptions options) {
  refuse_shell_without_terminal(options);
  Config config = configure(line, options);
  const auto store = open_recorded_store(config);
  if (options.resume == 0) options.resume = run_to_resume(*store);
  const auto run = store->run(options.resume);
  if (!run) throw UsageError(fmt::format("there is no run {}", options.resume));
  if (run->outcome && run->parent != 0) {
    throw UsageError(fmt::format("run {} is a child pipeline of run {}\nhint: `runner resume {}` goes on with both",
                                 run->id, run->parent, run->parent));
  }
  if (run->outcome && !store->is_answered(run->id)) return say_still_waiting(*run, store->waiting_jobs(run->id));

  const auto [loaded, masked] = load_recorded(*run, options, config);
  refuse_other_secrets(json::parse(run->options), run->id, *loaded);
  if (print_diagnostics(*loaded)) return exit_code::usage;
  if (run->outcome) {
    refuse_lost_sources(*store, *run);
    refuse_lost_artifacts(*store, *run, *loaded);
  }
  if (!(run->outcome ? store->reopen_run(run->id) : store->adopt_run(run->id))) {
    throw UsageError(fmt::format("run {} is being driven by another process", run->id));
  }
  Start begun{*loaded, config, options, masked, run->options, run->id};
  begun.database = line.database;
  return start(*store, begun);
}

}  // namespace

void add_output(CLI::App& command, ExecOptions& options) {
  command.add_flag("--shell-on-fail", options.shell_on_fail,
                   "when a job has failed, open a shell where it ran, before the run goes on");
  command.add_flag("--keep", options.keep, "leave what a failed job ran in, and say how to get in and rid of it");
  command.add_option("--output", options.output, "pretty (on a terminal), plain or json (one object a line)")
      ->type_name("KIND");
  command.add_option("--parallel", options.parallel, "jobs at a time (default: twice the processors)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command.add_option("--artifacts", options.artifacts, "when it is over, put each job's artifacts in DIR/JOB")
      ->type_name("DIR");
}

void add_exec(CLI::App& app, CommandLine& line) {
  auto options = std::make_shared<ExecOptions>();
  CLI::App* exec_command = app.add_subcommand(
      "exec",
      "Runs a pipeline, each job in its own container.\n"
      "\n"
      "Examples:\n"
      "  runner exec                                  pipeline.yml or .gitlab-ci.yml of this folder\n"
      "  runner exec ci/build.yml test                one job of a file\n"
      "  runner exec test --needs                     and the jobs it needs\n"
      "  runner exec --executor shell                 without Docker\n"
      "  runner exec --shell-on-fail                  look around where a job failed\n"
      "  runner exec --watch                          again with every change\n"
      "  runner exec --branch main --event schedule   as if the schedule had started it on main\n"
      "  runner exec --secret TOKEN --variable A=1    with a secret from the environment and a variable");
  options->plan.add_to(*exec_command);
  exec_command->add_flag("--worktree", options->worktree, "run the working tree's sources (the default)");
  exec_command->add_option("--executor", options->executor, "docker or shell");
  exec_command->add_option("--image", options->image, "for jobs without an image");
  exec_command->add_option("--network", options->network, "bridge or none, for jobs that do not say RUNNER_NETWORK");
  exec_command->add_option("--pull", options->pull, "always, missing or never; stronger than the file's pull_policy");
  exec_command->add_flag("--keep-going", options->keep_going, "run later stages also after a failure");
  exec_command->add_flag("--watch", options->watch, "run again whenever the project's files change");
  exec_command->add_flag("--dry-run", options->dry_run, "say what would run, and run nothing");
  add_output(*exec_command, *options);
  exec_command->callback([&line, options] { line.chosen = [&line, options] { return exec(line, *options); }; });

  auto resumed = std::make_shared<ExecOptions>();
  CLI::App* resume_command =
      app.add_subcommand("resume",
                         "Goes on with a run: one that waited for an approval, or one whose process died (it finds its "
                         "jobs and reads their logs on).\n"
                         "\n"
                         "Examples:\n"
                         "  runner resume             the newest interrupted run, else one that was approved\n"
                         "  runner resume 12 --secret TOKEN");
  resume_command->add_option("run", resumed->resume, "the run's number")->type_name("RUN");
  add_output(*resume_command, *resumed);
  PlanFlags::add_secrets(*resume_command, resumed->plan);
  resume_command->callback([&line, resumed] { line.chosen = [&line, resumed] { return resume(line, *resumed); }; });
}

}  // namespace runner
