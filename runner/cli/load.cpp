#include "runner/cli/load.h"
#include "runner/cli/say.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "pipelines/job_names.h"
#include "pipelines/masked_values.h"
#include "runner/cli/project_variables.h"
#include "runner/cli/setup.h"
#include "runner/secrets/redactor.h"
#include "runner/secrets/remembered.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using pipelines::Precedence;

constexpr const char* default_names[] = {"pipeline.yml", ".gitlab-ci.yml"};
// A little more than the parser takes, so that it is the parser that says so.
constexpr std::uintmax_t most_text = 11'000'000;
constexpr std::size_t env_file_limit = 1 << 20;

bool is_yaml_name(const std::string& word) { return word.ends_with(".yml") || word.ends_with(".yaml"); }

bool has_default_name(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == default_names[0] || name == default_names[1] || name == "pipeline.yaml";
}

bool inside_repository(fs::path directory) {
  for (;; directory = directory.parent_path()) {
    std::error_code ignored;
    if (fs::exists(directory / ".git", ignored)) return true;
    if (directory == directory.parent_path()) return false;
  }
}

bool is_below(const fs::path& path, const fs::path& directory) {
  const fs::path relative = path.lexically_relative(directory);
  return !relative.empty() && *relative.begin() != "..";
}

fs::path project_of(const fs::path& file, const std::string& option) {
  if (!option.empty()) return fs::weakly_canonical(option);
  fs::path here = fs::current_path();
  std::error_code unreadable;  // told when it is read
  fs::path absolute = fs::weakly_canonical(file, unreadable);
  if (unreadable) absolute = fs::absolute(file);
  if (has_default_name(file)) return absolute.parent_path();
  if (is_below(absolute, here) || inside_repository(here)) return here;
  return absolute.parent_path();
}

}  // namespace

Words find_pipeline(const std::vector<std::string>& words, const std::string& project_option) {
  Words result;
  std::size_t first_job = 0;
  std::error_code ignored;
  if (!project_option.empty() && !fs::is_directory(project_option, ignored)) {
    throw UsageError(fmt::format("--project {}: no such directory", project_option));
  }
  // Anything that can be read will do, a pipe of the shell's too; only a folder may share its name with a job.
  const bool is_file = !words.empty() && fs::exists(words[0], ignored) && !fs::is_directory(words[0], ignored);
  if (!words.empty() && (is_yaml_name(words[0]) || is_file)) {
    result.file.path = words[0];
    result.file.name = words[0];
    first_job = 1;
  } else {
    const fs::path base = project_option.empty() ? fs::path() : fs::path(project_option);
    for (const char* name : default_names) {
      if (!fs::exists(base / name, ignored)) continue;
      result.file.path = base / name;
      result.file.name = (base / name).string();
      break;
    }
    if (result.file.path.empty()) {
      throw UsageError(
          fmt::format("there is no pipeline.yml and no .gitlab-ci.yml in {}\n"
                      "hint: name the file (`runner exec FILE`), or write one; examples/hello/pipeline.yml is a start",
                      base.empty() ? "this folder" : base.string()));
    }
  }
  result.file.project = project_of(result.file.path, project_option);
  result.jobs.assign(words.begin() + static_cast<std::ptrdiff_t>(first_job), words.end());
  return result;
}

std::string read_pipeline_text(const PipelineFile& file, const std::string& revision) {
  std::error_code unreadable;
  const fs::path path = fs::weakly_canonical(file.path, unreadable);
  // A file from elsewhere (a generator's pipe, another folder) is in no commit of this project.
  if (!revision.empty() && !unreadable && is_below(path, file.project)) {
    if (std::optional<std::string> text = file_at(file.project, revision, path.lexically_relative(file.project))) {
      return std::move(*text);
    }
    throw UsageError(fmt::format("{}: there is no such file in {}", file.name, revision));
  }
  struct stat status {};
  if (stat(file.path.c_str(), &status) != 0) {
    throw UsageError(fmt::format("{}: cannot read the pipeline file: {}", file.name, std::strerror(errno)));
  }
  if (S_ISDIR(status.st_mode)) throw UsageError(fmt::format("{}: is a directory, not a pipeline file", file.name));
  std::ifstream stream(file.path, std::ios::binary);
  if (!stream) {
    throw UsageError(fmt::format("{}: cannot read the pipeline file: {}", file.name, std::strerror(errno)));
  }
  std::string text;
  char buffer[65536];
  while (text.size() < most_text && stream.read(buffer, sizeof buffer).gcount() > 0) {
    text.append(buffer, static_cast<std::size_t>(stream.gcount()));
  }
  return text;
}

namespace {

void refuse_unknown_jobs(const Loaded& loaded, const std::vector<std::string>& names) {
  if (names.empty()) return;
  const std::vector<std::string_view> known = pipelines::known_names(loaded.parsed.pipeline);
  for (const auto& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string_view near = pipelines::nearest(name, known);
    throw UsageError(fmt::format("{} has no job {}{}", loaded.file.name, name,
                                 near.empty() ? std::string() : fmt::format("\nhint: did you mean {}?", near)));
  }
}

std::string value_of(const std::vector<NamedValue>& values, std::string_view name) {
  const auto found = std::find_if(values.begin(), values.end(), [&](const auto& each) { return each.name == name; });
  return found == values.end() ? std::string() : found->value;
}

// docs.gitlab.com/ci/triggers, "Access webhook payload".
constexpr std::string_view payload_name = "TRIGGER_PAYLOAD";

void refuse_unknown_event(const std::string& event) {
  if (!pipeline_source(event).empty()) return;
  constexpr std::string_view known[] = {"push", "merge_request", "tag",      "schedule",        "web",
                                        "api",  "trigger",       "pipeline", "parent_pipeline", "pre_push"};
  const std::string_view near = pipelines::nearest(event, {std::begin(known), std::end(known)});
  throw UsageError(
      fmt::format("--event {}: unknown event\nhint: {}", event,
                  near.empty() ? fmt::format("{}", fmt::join(known, ", ")) : fmt::format("did you mean {}?", near)));
}

RunFacts run_facts(const Loaded& loaded, const PlanOptions& options, std::string config_path) {
  RunFacts facts;
  facts.event = options.event;
  facts.branch = options.branch;
  facts.tag = options.tag;
  facts.target_branch = options.target_branch;
  facts.merge_request = options.merge_request;
  facts.schedule = options.schedule;
  facts.protected_ref = options.protected_ref;
  facts.created_at = now_text().substr(0, 19) + "Z";  // to the second, as GitLab's
  facts.config_path = std::move(config_path);
  if (options.event == "tag" && options.tag.empty() && loaded.git.tag.empty()) {
    throw UsageError("--event tag: there is no tag on this commit\nhint: say which it is to be with --tag NAME");
  }
  if (pipeline_source(options.event) == "merge_request_event") {
    const std::string& target = options.target_branch.empty() ? loaded.git.default_branch : options.target_branch;
    facts.merge_base = merge_base(loaded.file.project, target, options.revision);
  }
  return facts;
}

// What `changes` compares with when nobody says: what the event brought. Absent: GitLab has nothing to compare with,
// and every `changes` holds. Empty: HEAD's parent.
std::optional<std::string> own_base(const GitFacts& git, const RunFacts& facts, const std::string& since) {
  if (!since.empty()) return since;
  if (!has_push_diff(facts.event) || !facts.tag.empty()) return std::nullopt;
  if (facts.event == "pre_push") {
    if (git.remote_sha.empty()) return std::nullopt;  // a branch that is new there
    return git.remote_sha;
  }
  // A merge request of the target into itself is no branch's work: the last commit is looked at, as for a push.
  return facts.merge_base == git.sha ? std::string() : facts.merge_base;
}

pipelines::Trigger trigger_of(const PlanInputs& inputs, const std::vector<NamedValue>& masked) {
  pipelines::Trigger trigger;
  for (const auto& [name, value] : inputs.predefined) {
    // GitLab's: a file, and as strong as what the trigger itself says.
    const bool file = name == payload_name;
    trigger.variables.set(name, value, file ? Precedence::pipeline : Precedence::predefined, /*expand=*/false,
                          /*masked=*/false, file);
  }
  add_project_variables(trigger, inputs.project, /*ref_is_protected=*/true);  // the others were left out
  for (const auto& [name, value] : inputs.variables) trigger.variables.set(name, value, Precedence::pipeline);
  // Last, so that a secret stays one when --variable names it too.
  for (const auto& [name, value] : masked) {
    trigger.variables.set(name, value, Precedence::pipeline, /*expand=*/false, /*masked=*/true);
  }
  trigger.only = inputs.jobs;
  trigger.with_needs = inputs.with_needs;
  return trigger;
}

}  // namespace

namespace {

// The one way from a file to a pipeline and on to a plan. Git is asked when an answer is first needed: a file that
// includes nothing is read without.
class Loading {
 public:
  Loading(PipelineFile file, std::string text, const PlanOptions& options)
      : options_(options), loaded_(std::make_unique<Loaded>()) {
    loaded_->file = std::move(file);
    loaded_->text = std::move(text);
    PlanInputs& inputs = loaded_->inputs;
    inputs.variables = options.variables;
    for (const auto& secret : options.masked) inputs.secret_names.push_back(secret.name);
    loaded_->masked = options.masked;
    inputs.jobs = options.jobs;
    inputs.with_needs = options.with_needs;
    IncludeSettings settings = options.includes;
    settings.project = loaded_->file.project;
    settings.revision = options.include_revision.empty() ? options.revision : options.include_revision;
    settings.except = options.state;
    settings.project_path = [this] {
      ask_git();
      return loaded_->git.project_path;
    };
    includes_ = make_includes(std::move(settings));
  }

  // What is known of the parent is not asked for again.
  void descend_from(const Loaded& parent) {
    asked_git_ = true;
    child_ = true;
    loaded_->git = parent.git;
    loaded_->inputs.project = parent.inputs.project;
    for (const auto& [name, value] : parent.inputs.predefined) {
      if (name == "CI_PIPELINE_NAME" || name == payload_name) continue;
      loaded_->inputs.predefined.push_back({name, name == "CI_PIPELINE_SOURCE" ? "parent_pipeline" : value});
    }
  }

  void read() { take(pipelines::parse(loaded_->text, loaded_->file.name, context())); }

  std::string show(pipelines::PreviewForm form) {
    pipelines::Preview preview = pipelines::preview(loaded_->text, loaded_->file.name, context(), form);
    take(std::move(preview.parsed));
    return std::move(preview.text);
  }

  bool good() const { return !pipelines::has_errors(loaded_->parsed.diagnostics); }

  void plan() {
    refuse_unknown_event(options_.event);
    refuse_unknown_jobs(*loaded_, options_.jobs);
    ask_git();
    loaded_->plan =
        pipelines::make_plan(loaded_->parsed.pipeline, trigger_of(loaded_->inputs, options_.masked), facts());
  }

  std::unique_ptr<Loaded> finish() { return std::move(loaded_); }

 private:
  pipelines::Context context() {
    pipelines::Context context;
    context.includes = includes_.get();
    context.variables = [this] {
      refuse_unknown_event(options_.event);
      ask_git();
      return trigger_of(loaded_->inputs, options_.masked).variables;
    };
    context.facts = facts();
    if (!child_) context.path = path_in_project();
    context.artifacts = child_;
    for (const auto& [name, value] : options_.inputs) context.inputs.emplace_back(name, value);
    context.jobs = options_.jobs;
    return context;
  }

  void take(pipelines::Parsed parsed) {
    loaded_->parsed = std::move(parsed);
    for (const auto& [name, value] : loaded_->parsed.job_inputs) loaded_->inputs.job_inputs.push_back({name, value});
    if (!loaded_->parsed.composed.empty()) loaded_->text = loaded_->parsed.composed;
  }

  // Relative where it is in the project.
  std::string path_in_project() const {
    const PipelineFile& file = loaded_->file;
    std::error_code unreadable;
    const fs::path relative = fs::weakly_canonical(file.path, unreadable).lexically_relative(file.project);
    return !unreadable && !relative.empty() && *relative.begin() != ".." ? relative.string() : file.path.string();
  }

  void ask_git() {
    if (std::exchange(asked_git_, true)) return;
    loaded_->git = read_git(loaded_->file.project, {options_.revision, false, options_.event == "tag"});
    run_facts_ = run_facts(*loaded_, options_, path_in_project());
    PlanInputs& inputs = loaded_->inputs;
    for (auto& [name, value] : predefined_variables(loaded_->git, run_facts_)) {
      inputs.predefined.push_back({std::move(name), std::move(value)});
    }
    if (!options_.trigger_payload.empty()) {
      inputs.predefined.push_back({std::string(payload_name), options_.trigger_payload});
    }
    const std::string protected_ref = value_of(inputs.predefined, "CI_COMMIT_REF_PROTECTED");
    inputs.project = project_variables(loaded_->git.server_url, loaded_->git.project_path);
    std::erase_if(inputs.project,
                  [&](const ProjectVariable& each) { return each.is_protected && protected_ref != "true"; });
  }

  // What rules ask of the project; the answers are remembered for `resume`.
  pipelines::Facts facts() {
    pipelines::Facts outside;
    outside.changed_paths = [this](std::string_view compare_to) {
      ask_git();
      const auto [answer, asked_first] = loaded_->inputs.changed.try_emplace(std::string(compare_to));
      const std::optional<std::string> base = compare_to.empty() ? own_base(loaded_->git, run_facts_, options_.since)
                                                                 : std::optional<std::string>(compare_to);
      if (asked_first && base) answer->second = changed_paths(loaded_->file.project, *base, options_.revision);
      return answer->second;
    };
    outside.bad_ref = [this](std::string_view compare_to) -> std::optional<pipelines::BadRef> {
      if (loaded_->inputs.changed.contains(std::string(compare_to))) return std::nullopt;
      try {
        auto paths = changed_paths(loaded_->file.project, std::string(compare_to), options_.revision);
        loaded_->inputs.changed.emplace(std::string(compare_to), std::move(paths));
      } catch (const NoSuchCommit& error) {
        return pipelines::BadRef{error.what(), error.hint};
      }
      return std::nullopt;
    };
    outside.source_paths = [this] {
      auto& paths = loaded_->inputs.source_paths;
      if (!paths) {
        paths = options_.revision.empty() ? source_list(loaded_->file.project, options_.state).paths
                                          : commit_paths(loaded_->file.project, options_.revision);
      }
      return *paths;
    };
    outside.project_paths = [this](std::string_view project, std::string_view ref) {
      const auto [answer, asked_first] = loaded_->inputs.project_paths.try_emplace(fmt::format("{}@{}", project, ref));
      if (asked_first) answer->second = includes_->project_paths(std::string(project), std::string(ref));
      return answer->second;
    };
    return outside;
  }

  const PlanOptions& options_;
  std::unique_ptr<Loaded> loaded_;
  std::unique_ptr<pipelines::Includes> includes_;
  RunFacts run_facts_;  // once git was asked
  bool asked_git_ = false;
  bool child_ = false;
};

}  // namespace

std::unique_ptr<Loaded> load(PipelineFile file, std::string text, const PlanOptions& options) {
  Loading loading(std::move(file), std::move(text), options);
  loading.read();
  if (loading.good()) loading.plan();
  return loading.finish();
}

std::unique_ptr<Loaded> load_child(const ChildOptions& child) {
  PlanOptions options;
  options.event = "parent_pipeline";
  options.revision = child.revision;
  options.includes = child.includes;
  options.includes.artifacts = child.artifacts;
  options.masked = child.masked;
  for (const auto& variable : child.variables) {
    // Mostly they are expanded: what looks like a reference in them is none.
    std::string literal;
    for (const char c : variable.value) literal += c == '$' && !variable.expand ? "$$" : std::string(1, c);
    (variable.masked ? options.masked : options.variables)
        .push_back({variable.name, variable.masked ? variable.value : literal});
  }
  Loading loading(child.parent.file, child.text, options);
  loading.descend_from(child.parent);
  loading.read();
  if (loading.good()) loading.plan();
  return loading.finish();
}

std::unique_ptr<Loaded> load_only(PipelineFile file, std::string text, const PlanOptions& options) {
  Loading loading(std::move(file), std::move(text), options);
  loading.read();
  return loading.finish();
}

Shown load_preview(PipelineFile file, std::string text, const PlanOptions& options, pipelines::PreviewForm form) {
  Loading loading(std::move(file), std::move(text), options);
  std::string shown = loading.show(form);
  return {loading.finish(), std::move(shown)};
}

namespace {

NamedSecrets secrets_of(const std::vector<NamedValue>& masked, const PlanInputs& inputs) {
  NamedSecrets secrets;
  for (const auto& [name, value] : masked) secrets.emplace_back(name, value);
  for (const auto& variable : inputs.project) {
    if (variable.masked) secrets.emplace_back(variable.name, variable.value);
  }
  return secrets;
}

// The masked values of the file as it is now, with what it includes where that can be had.
NamedSecrets values_in(const PipelineFile& file) {
  try {
    const std::string text = read_pipeline_text(file);
    NamedSecrets values = pipelines::masked_values(text);
    const auto loaded = load_only(file, text, {});
    for (auto& value : pipelines::masked_values(loaded->parsed.composed)) values.push_back(std::move(value));
    return values;
  } catch (const std::exception&) {
    return {};  // it is gone, or no pipeline any more: what is missing is told
  }
}

std::string whole_text(const PipelineFile& file, std::string text, NamedSecrets known, const std::string& now) {
  if (!lacks_secrets(text)) return text;
  for (auto& value : pipelines::masked_values(now)) known.push_back(std::move(value));
  PutBack back = with_secrets(text, known);
  if (!back.missing.empty()) {
    for (auto& value : values_in(file)) known.push_back(std::move(value));
    back = with_secrets(text, known);
  }
  if (back.missing.empty()) return std::move(back.text);
  throw UsageError(
      fmt::format("masked values are not stored, and {} no longer has the one{} of {} that the run began with\n"
                  "hint: put {} back into the file, or give {} by --secret NAME=VALUE",
                  file.name, back.missing.size() == 1 ? "" : "s", fmt::join(back.missing, ", "),
                  back.missing.size() == 1 ? "it" : "them", back.missing.size() == 1 ? "it" : "them"));
}

}  // namespace

std::string recorded_text(const Loaded& loaded) {
  return without_secrets(loaded.text, secrets_of(loaded.masked, loaded.inputs));
}

std::unique_ptr<Loaded> load_again(PipelineFile file, std::string text, PlanInputs inputs,
                                   const std::vector<NamedValue>& masked, const std::string& now) {
  auto loaded = std::make_unique<Loaded>();
  loaded->file = std::move(file);
  loaded->text = whole_text(loaded->file, std::move(text), secrets_of(masked, inputs), now);
  loaded->inputs = std::move(inputs);
  loaded->masked = masked;
  pipelines::Context context;
  for (const auto& [name, value] : loaded->inputs.job_inputs) context.inputs.emplace_back(name, value);
  context.jobs = loaded->inputs.jobs;
  loaded->parsed = pipelines::parse(loaded->text, loaded->file.name, context);
  if (pipelines::has_errors(loaded->parsed.diagnostics)) return loaded;
  pipelines::Facts recorded;
  recorded.changed_paths = [&](std::string_view compare_to) {
    const auto found = loaded->inputs.changed.find(std::string(compare_to));
    return found == loaded->inputs.changed.end() ? std::nullopt : found->second;
  };
  recorded.source_paths = [&] { return loaded->inputs.source_paths.value_or(std::vector<std::string>{}); };
  recorded.project_paths = [&](std::string_view project, std::string_view ref) {
    const auto found = loaded->inputs.project_paths.find(fmt::format("{}@{}", project, ref));
    return found == loaded->inputs.project_paths.end() ? std::nullopt : found->second;
  };
  loaded->plan = pipelines::make_plan(loaded->parsed.pipeline, trigger_of(loaded->inputs, masked), recorded);
  return loaded;
}

void start_by_hand(Loaded& loaded, const std::vector<std::string>& jobs) {
  for (const auto& planned : loaded.plan.jobs) {
    const std::string& name = loaded.parsed.pipeline.jobs[planned.job].name;
    if (planned.included && std::find(jobs.begin(), jobs.end(), name) != jobs.end()) {
      loaded.plan.asked_for.push_back(planned.job);
    }
  }
}

namespace {

bool print_diagnostics(const std::vector<pipelines::Diagnostic>& diagnostics,
                       const std::vector<pipelines::Source>& sources, const SecretSet& secrets) {
  if (diagnostics.empty()) return false;
  const bool colour = isatty(STDERR_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  std::cerr << redact(secrets, pipelines::render(diagnostics, sources, colour));
  return pipelines::has_errors(diagnostics);
}

}  // namespace

bool print_diagnostics(const std::vector<pipelines::Diagnostic>& diagnostics,
                       const std::vector<pipelines::Source>& sources) {
  return print_diagnostics(diagnostics, sources, SecretSet());
}

bool print_diagnostics(const Loaded& loaded) {
  const SecretSet secrets = secrets_of(loaded);
  return print_diagnostics(loaded.parsed.diagnostics, loaded.parsed.sources, secrets) ||
         print_diagnostics(loaded.plan.diagnostics, loaded.parsed.sources, secrets);
}

SecretSet secrets_of(const Loaded& loaded) {
  std::vector<std::string> values = loaded.plan.hidden;
  for (const auto& [name, value] : secrets_of(loaded.masked, loaded.inputs)) values.push_back(value);
  for (const auto& [name, value] : pipelines::masked_values(loaded.text)) values.push_back(value);
  return SecretSet(values);
}

NamedValue parse_assignment(const std::string& text, const std::string& flag) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError(fmt::format("{} {}: expected NAME=VALUE", flag, text));
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void refuse_wrong_name(const std::string& name, const std::string& flag) {
  if (pipelines::is_variable_name(name)) return;
  throw UsageError(fmt::format(
      "{} {}: that is no name of a variable\nhint: use letters, digits and _ only, no digit first", flag, name));
}

namespace {

std::string ask_secret(const std::string& name) {
  std::fprintf(stderr, "%s: ", name.c_str());
  termios before{};
  tcgetattr(STDIN_FILENO, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::string value;
  std::getline(std::cin, value);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::fputc('\n', stderr);
  return value;
}

// `flag` is for the message.
std::string read_named_file(const std::string& flag, const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw UsageError(fmt::format("{}: {}", flag, std::strerror(errno)));
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) throw UsageError(fmt::format("{}: is a directory", flag));
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::string read_secret_file(const std::string& name, const std::string& path) {
  std::string value = read_named_file(fmt::format("--secret {}=@{}", name, path), path);
  if (value.ends_with('\n')) value.pop_back();  // the editor's, not the secret's
  return value;
}

}  // namespace

NamedValue read_secret(const std::string& text) {
  NamedValue secret;
  const std::size_t equals = text.find('=');
  secret.name = text.substr(0, equals);
  if (secret.name.empty()) throw UsageError("--secret: expected NAME, NAME=VALUE or NAME=@FILE");
  refuse_wrong_name(secret.name, "--secret");
  if (equals != std::string::npos) {
    secret.value = text.substr(equals + 1);
    if (secret.value.starts_with('@')) secret.value = read_secret_file(secret.name, secret.value.substr(1));
  } else if (const char* value = std::getenv(secret.name.c_str())) {
    secret.value = value;
  } else if (isatty(STDIN_FILENO) != 0) {
    secret.value = ask_secret(secret.name);
  } else {
    throw UsageError(
        fmt::format("--secret {0}: there is no {0} in the environment, and no terminal to ask on\n"
                    "hint: export {0}, or give --secret {0}=@FILE",
                    secret.name));
  }
  if (too_short(secret.value)) {
    throw UsageError(
        fmt::format("--secret {}: the value has under {} characters and could not be masked in logs\n"
                    "hint: use a longer secret, or --variable if it is none",
                    secret.name, shortest_secret));
  }
  return secret;
}

std::vector<NamedValue> read_env_file(const std::string& path) {
  const std::string text = read_named_file(fmt::format("--env-file {}", path), path);
  pipelines::Dotenv parsed = pipelines::parse_dotenv(text, env_file_limit);
  for (const auto& warning : parsed.warnings) say("warning: {}: {}\n", path, warning);
  std::vector<NamedValue> result;
  for (auto& [name, value] : parsed.variables) {
    if (!value.empty() && too_short(value)) {
      say("warning: {}: {} has under {} characters and is not masked\n", path, name, shortest_secret);
    }
    result.push_back({std::move(name), std::move(value)});
  }
  return result;
}

}  // namespace runner
