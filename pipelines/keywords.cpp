#include "pipelines/keywords.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipelines/inputs.h"

namespace pipelines {
namespace {

constexpr std::string_view no_server = "it needs GitLab's server";

// --- a job's keywords ------------------------------------------------------------------------------------------------

template <auto Member>
struct OfJob {
  static constexpr Shape shape = shape_for<typename MemberClass<decltype(Member)>::value>;
  static bool read_member(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
    return read(reader, key, yaml, draft.job->*Member);
  }
  constexpr explicit operator Field<JobDraft>::Reads() const { return &read_member; }
};
template <auto Member>
constexpr OfJob<Member> of_job{};

template <auto Member, std::vector<Mark> Script::*Marks = nullptr>
bool commands(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  Script& script = draft.job->script;
  return read_commands(reader, key, yaml, script.*Member, Marks == nullptr ? nullptr : &(script.*Marks));
}

// An empty mapping keeps the file's variables from the job (docs.gitlab.com/ci/variables/, "Skip default variables in a
// single job").
bool read_variables(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  if (yaml.is_mapping() && yaml.size() == 0) {
    draft.job->inherit_all_variables = false;
  }
  return read(reader, key, yaml, draft.job->variables);
}

// docs.gitlab.com/ci/yaml/#hooks; lib/gitlab/ci/config/entry/hooks.rb knows no others.
constexpr Field<JobDraft> hook_fields[] = {
    {"pre_get_sources_script", commands<&Script::pre_get_sources>, Shape{shapes::commands}}};

bool read_hooks(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  return reader.fields(key, yaml, hook_fields, draft);
}

bool read_script(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  if (!commands<&Script::main, &Script::main_marks>(reader, key, yaml, draft)) {
    draft.spoilt = true;
    return false;
  }
  return true;
}

bool read_job_needs(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  std::vector<Need> needs;
  if (!read_needs(reader, key, yaml, needs, draft.job->upstream_needs)) {
    return false;
  }
  draft.job->needs = std::move(needs);
  return true;
}

bool read_run(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  const bool good = read(reader, key, yaml, draft.job->steps);
  draft.spoilt = draft.spoilt || !good;
  return good;
}

// Of two steps, which is an error (check.cpp), the first stays.
template <auto Reads>
bool step(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  std::optional<Step> read;
  const bool good = Reads(reader, key, yaml, read);
  draft.spoilt = draft.spoilt || !good;
  if (read && !draft.job->step) {
    draft.job->step = std::move(read);
    draft.job->step_mark = draft.body.find_key(key.name).mark();
  }
  return good;
}

bool read_stage(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  draft.job->stage_mark = yaml.mark();
  if (!read(reader, key, yaml, draft.job->stage)) {
    draft.spoilt = true;
    return false;
  }
  return true;
}

constexpr Word<When> job_when[] = {
    {"on_success", When::on_success}, {"on_failure", When::on_failure}, {"always", When::always},
    {"manual", When::manual},         {"delayed", When::delayed},
};

bool read_when(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  if (yaml.is_scalar() && yaml.text() == "never") {
    return reader.wrong(key, yaml, "can be never only in `rules`",
                        "write `rules: [{ when: never }]`, or hide the job with a name that begins with a dot");
  }
  return reader.word(key, yaml, job_when, draft.job->when);
}

bool read_start_in_field(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  draft.start_in = yaml;
  std::chrono::seconds delay{};
  if (!read_start_in(reader, key, yaml, delay)) {
    return false;
  }
  draft.job->start_in = delay;
  return true;
}

bool read_timeout(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  // GitLab's Project::MAX_BUILD_TIMEOUT.
  constexpr auto longest = std::chrono::hours(24 * 30);
  std::chrono::seconds timeout{};
  if (!read(reader, key, yaml, timeout)) {
    return false;
  }
  if (timeout == std::chrono::seconds::zero()) {
    return reader.wrong(key, yaml, "must be longer than nothing");
  }
  if (timeout > longest) {
    return reader.wrong(key, yaml, "can be at most one month");
  }
  draft.job->timeout = timeout;
  return true;
}

bool read_tags(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  constexpr std::size_t most = 50;  // GitLab's limit
  if (!read(reader, key, yaml, draft.job->tags)) {
    return false;
  }
  return draft.job->tags.size() < most || reader.wrong(key, yaml, fmt::format("must be fewer than {}", most));
}

bool read_resource_group(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  if (!read(reader, key, yaml, draft.job->resource_group)) {
    return false;
  }
  return check_environment_name(reader, key, yaml, draft.job->resource_group);
}

bool read_dependencies(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  if (!read(reader, key, yaml, draft.job->dependencies)) {
    return false;
  }
  draft.dependencies = yaml;
  return true;
}

// The older place of `pages:publish`, which wins.
bool read_publish(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  return read(reader, key, yaml, draft.publish);
}

bool read_parallel(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  return read(reader, key, yaml, draft.parallel);
}

struct Inheritance {
  bool all = true;
  std::vector<std::string> names;
};

bool read(Reader& reader, const Key& key, Yaml yaml, Inheritance& out) {
  if (yaml.is_sequence()) {
    out.all = false;
    return pipelines::read(reader, key, yaml, out.names);
  }
  if (!yaml.is_scalar() || yaml.type() != ScalarType::boolean) {
    return reader.mistyped(key, yaml, "true, false or a list of names");
  }
  out.all = scalar_is_true(yaml.text());
  return true;
}

bool inherit_defaults(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  Inheritance inheritance;
  if (!read(reader, key, yaml, inheritance)) {
    return false;
  }
  draft.inherits_defaults = inheritance.all;
  std::vector<std::string_view> known;
  for (const JobKeyword& keyword : job_keywords()) {
    if (keyword.in_default) {
      known.push_back(keyword.field.name);
    }
  }
  for (std::size_t i = 0; yaml.is_sequence() && i < yaml.size(); ++i) {
    const std::string_view name = yaml.item(i).text();
    if (std::ranges::find(known, name) == known.end()) {
      reader.unknown(key.quoted(), yaml.item(i), known);
    }
    draft.inherited_defaults.push_back(name);
  }
  return true;
}

bool inherit_variables(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  Inheritance inheritance;
  if (!read(reader, key, yaml, inheritance)) {
    return false;
  }
  draft.job->inherit_all_variables = inheritance.all;
  draft.job->inherited_variables = std::move(inheritance.names);
  return true;
}

constexpr Shape flag_or_names{[] {
  return any_shape_of({R"({"type":"boolean"})", list_shape(R"({"type":"string"})")});
}};

constexpr Field<JobDraft> inherit_fields[] = {{"default", inherit_defaults, flag_or_names},
                                              {"variables", inherit_variables, flag_or_names}};

bool read_inherit(Reader& reader, const Key& key, Yaml yaml, JobDraft& draft) {
  return reader.fields(key, yaml, inherit_fields, draft);
}

// Resolved before the job is read (extends.h, job_inputs.h).
bool already_done(Reader&, const Key&, Yaml, JobDraft&) { return true; }

constexpr bool in_default = true;
constexpr bool inputs_go_in = true;

constexpr Shape inputs_shape{[] { return job_inputs_shape(); }};

// The commonest first: the table is searched from the top.
constexpr JobKeyword job_table[] = {
    {{"script", read_script, Shape{shapes::commands}}, !in_default, inputs_go_in},
    {{"stage", read_stage, shape_for<std::string>}},
    {{"extends", already_done, Shape{shapes::string_or_list}}},
    {{"needs", read_job_needs, shape_for<std::vector<Need>>}},
    {{"rules", of_job<&Job::rules>}},
    {{"variables", read_variables, shape_for<Variables>}},
    {{"image", of_job<&Job::image>}, in_default, inputs_go_in},
    {{"artifacts", of_job<&Job::artifacts>}, in_default, inputs_go_in},
    {{"cache", of_job<&Job::caches>}, in_default, inputs_go_in},
    {{"before_script", commands<&Script::before, &Script::before_marks>, Shape{shapes::commands}},
     in_default,
     inputs_go_in},
    {{"after_script", commands<&Script::after, &Script::after_marks>, Shape{shapes::commands}},
     in_default,
     inputs_go_in},
    {{"services", of_job<&Job::services>}, in_default, inputs_go_in},
    {{"when", read_when, words<job_when>}},
    {{"allow_failure", of_job<&Job::allow_failure>}},
    {{"tags", read_tags, shape_for<std::vector<std::string>>}, in_default},
    {{"retry", of_job<&Job::retry>}, in_default},
    {{"timeout", read_timeout, shape_for<std::chrono::seconds>}, in_default},
    {{"interruptible", of_job<&Job::interruptible>}, in_default},
    {{"dependencies", read_dependencies, shape_for<std::vector<std::string>>}},
    {{"environment", of_job<&Job::environment>}},
    {{"resource_group", read_resource_group, shape_for<std::string>}},
    {{"release", of_job<&Job::release>}},
    {{"pages", of_job<&Job::pages>}},
    {{"publish", read_publish, shape_for<std::string>}},
    {{"id_tokens", of_job<&Job::id_tokens>}, in_default},
    {{"secrets", of_job<&Job::secrets>}},
    {{"start_in", read_start_in_field, shape_for<std::chrono::seconds>}},
    {{"coverage", [](Reader& r, const Key& k, Yaml y, JobDraft& d) { return read_coverage(r, k, y, d.job->coverage); },
      Shape{[] { return std::string(R"({"type":"string","pattern":"^/.*/[ims]*$"})"); }}}},
    {{"inherit", read_inherit, Shape{[] { return mapping_shape(inherit_fields); }}}},
    {{"trigger", of_job<&Job::trigger>}},
    {{"only", of_job<&Job::only>}},
    {{"except", of_job<&Job::except>}},
    {{"parallel", read_parallel, shape_for<Parallel>}},
    {{"manual_confirmation", of_job<&Job::manual_confirmation>}},
    {{"run", read_run, shape_for<std::vector<RunStep>>}},
    {{"inputs", already_done, inputs_shape}},
    {{"hooks", read_hooks, Shape{[] { return mapping_shape(hook_fields); }}}, in_default},
    // GitLab's, not carried out yet.
    {{"identity", nullptr, Support::left_out, "it is between GitLab.com and Google Cloud; use `id_tokens`"},
     in_default},
    {{"dast_configuration", nullptr, Support::left_out, no_server}},
    // Ours: built-in steps, and what stands beside them.
    {{"scan", step<pipelines::read_scan>, Shape{scan_shape}}, !in_default, inputs_go_in},
    {{"image_build", step<pipelines::read_image_build>, shape_for<ImageBuild>}, !in_default, inputs_go_in},
    {{"bake", step<pipelines::read_bake>, Shape{bake_shape}}, !in_default, inputs_go_in},
    {{"deploy", step<pipelines::read_deploy>, Shape{deploy_shape}}, !in_default, inputs_go_in},
    {{"rollback", step<pipelines::read_rollback>, shape_for<RollbackStep>}, !in_default, inputs_go_in},
    {{"s3_artifacts", of_job<&Job::s3_artifacts>}, in_default, inputs_go_in},
    {{"cloudwatch_logs", of_job<&Job::cloudwatch_logs>}, in_default, inputs_go_in},
    {{"aws", of_job<&Job::aws>}, in_default, inputs_go_in},
    {{"monitor", of_job<&Job::monitor>}, in_default, inputs_go_in},
    {{"notify", of_job<&Job::notify>}, in_default, inputs_go_in},
};
static_assert(std::size(job_table) <= most_job_keywords);

// What a pages job publishes is an artifact of its own accord. A job named `pages` is one unless it says `pages:
// false`.
void add_published_folder(JobDraft& draft) {
  Job& job = *draft.job;
  if (!job.pages && job.name == "pages") {
    job.pages.emplace();
  }
  if (!job.pages || !job.pages->enabled) {
    return;
  }
  if (job.pages->publish.empty()) {
    job.pages->publish = draft.publish.empty() ? "public" : draft.publish;
  }
  std::vector<std::string>& paths = job.artifacts.paths;
  if (std::ranges::find(paths, job.pages->publish) == paths.end()) {
    paths.push_back(job.pages->publish);
  }
}

// A need of another project's pipeline as a whole: a mapping with `pipeline` and without `job`.
bool is_upstream(Yaml need) {
  const auto given = [&](std::string_view name) {
    const Yaml value = need.find(name);
    return value && !value.is_null();
  };
  return need.is_mapping() && given("pipeline") && !given("job");
}

// Artifacts of other pipelines, for which a job without a script has no use.
bool is_artifact_of_elsewhere(Yaml need) {
  return need.is_mapping() && (need.find_key("project") || (need.find_key("pipeline") && need.find_key("job")));
}

// GitLab's bridge needs (lib/gitlab/ci/config/entry/bridge.rb): a job without a script that names such a pipeline takes
// over how it ended. Stages hold it back like a job without `needs`.
void take_over_upstream(Reader& reader, JobDraft& draft) {
  const Key key{nullptr, "needs"};
  const Yaml needs = draft.body.find("needs");
  bool found = false;
  for (std::size_t i = 0; needs && !needs.is_scalar() && !needs.is_null() && i < needs.size(); ++i) {
    const Yaml need = needs.is_mapping() ? needs : needs.item(i);
    if (draft.job->trigger && is_artifact_of_elsewhere(need)) {
      reader.wrong(key, need, "of a job with `trigger` can name jobs of this pipeline only");
    }
    if (!is_upstream(need)) {
      continue;
    }
    if (draft.has_script) {
      reader.wrong(key, need, "names a pipeline without a `job`",
                   "name the `job` whose artifacts are wanted; only a job without `script` can take over how a whole "
                   "pipeline ended");
    } else if (found) {
      reader.wrong(key, need, "can name only one pipeline as a whole");
    } else if (!draft.job->trigger) {
      draft.job->trigger.emplace();
      draft.job->trigger->project = need.find("pipeline").text();
      draft.job->trigger->upstream = true;
      draft.job->trigger->mark = need.mark();
    }
    found = true;
    if (needs.is_mapping()) {
      break;
    }
  }
  if (found && draft.job->needs && draft.job->needs->empty()) {
    draft.job->needs.reset();
  }
}

std::size_t find_job_keyword(std::string_view name) {
  const auto* found = std::ranges::find_if(job_table, [&](const JobKeyword& row) { return row.field.name == name; });
  return static_cast<std::size_t>(found - std::begin(job_table));
}

void read_job_keyword(Reader& reader, std::size_t keyword, Yaml key, Yaml value, JobDraft& draft) {
  const Field<JobDraft>& field = job_table[keyword].field;
  const Key name{nullptr, field.name};
  if (field.support == Support::done) {
    field.read(reader, name, value, draft);
  } else if (!reader.not_done(name, key, field.support, field.note)) {
    draft.spoilt = true;
  }
}

// --- the file's keywords ---------------------------------------------------------------------------------------------

void add_default(Reader& reader, std::size_t keyword, Yaml key, Yaml value, PipelineDraft& draft) {
  if (value.is_null()) {
    return;
  }
  const auto same = std::ranges::find(draft.defaults, keyword, &DefaultEntry::keyword);
  if (same != draft.defaults.end()) {
    reader.findings().error(key.mark(), fmt::format("`{}` is defined both in `default` and outside it", key.text()),
                            "keep the one in `default`", {same->key.mark()});
    return;
  }
  draft.defaults.push_back({keyword, key, value});
}

bool read_default(Reader& reader, const Key& key, Yaml yaml, PipelineDraft& draft) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of keywords");
  }
  std::vector<std::string_view> allowed;
  for (const JobKeyword& row : job_table) {
    if (row.in_default) {
      allowed.push_back(row.field.name);
    }
  }
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const std::size_t keyword = find_job_keyword(yaml.key(i).text());
    if (keyword == std::size(job_table)) {
      reader.unknown(key.quoted(), yaml.key(i), allowed);
    } else if (!job_table[keyword].in_default) {
      reader.findings().error(yaml.key(i).mark(), fmt::format("`{}` cannot stand in `default`", yaml.key(i).text()),
                              fmt::format("allowed there: {}", list_words(allowed)));
    } else {
      add_default(reader, keyword, yaml.key(i), yaml.value(i), draft);
    }
  }
  return true;
}

bool flatten_stages(Reader& reader, const Key& key, Yaml list, int depth, std::vector<std::string>& out) {
  constexpr int deepest = 10;
  bool good = true;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Yaml item = list.item(i);
    if (item.is_sequence() && depth < deepest) {
      good = flatten_stages(reader, key, item, depth + 1, out) && good;
    } else if (!item.is_string()) {
      good = reader.wrong(key, item, fmt::format("must be a list of names; item {} is {}", i + 1, describe(item)));
    } else {
      out.emplace_back(item.text());
    }
  }
  return good;
}

bool read_stages(Reader& reader, const Key& key, Yaml yaml, PipelineDraft& draft) {
  draft.has_stages = true;
  if (!yaml.is_sequence()) {
    draft.stages_spoilt = true;
    return reader.mistyped(key, yaml, "a list of names", "for example `stages: [build, test, deploy]`");
  }
  std::vector<std::string> names;
  if (!flatten_stages(reader, key, yaml, 1, names)) {
    draft.stages_spoilt = true;
    return false;
  }
  draft.pipeline->stages = std::move(names);
  return true;
}

// What used to stand at the top and means the same as in `default`.
bool read_deprecated(Reader&, const Key&, Yaml, PipelineDraft&) { return true; }

// Carried out before the file is read (compose.h).
bool composed_before(Reader&, const Key&, Yaml, PipelineDraft&) { return true; }

bool read_misplaced_spec(Reader& reader, const Key& key, Yaml yaml, PipelineDraft&) {
  return reader.wrong(key, yaml, "must stand in a header of its own", "end the header with a line `---`");
}

constexpr Field<PipelineDraft> global_table[] = {
    {"stages", read_stages, Shape{shapes::names}},
    {"variables",
     [](Reader& r, const Key& k, Yaml y, PipelineDraft& d) {
       return read_global_variables(r, k, y, d.pipeline->variables);
     },
     Shape{global_variables_shape}},
    {"default", read_default, Shape{[] { return std::string(R"({"$ref":"#/definitions/default"})"); }}},
    {"workflow", [](Reader& r, const Key& k, Yaml y, PipelineDraft& d) { return read(r, k, y, d.pipeline->workflow); },
     shape_for<Workflow>},
    {"image", read_deprecated},
    {"services", read_deprecated},
    {"cache", read_deprecated},
    {"before_script", read_deprecated},
    {"after_script", read_deprecated},
    {"include", composed_before, Shape{shapes::includes}},
    {"spec", read_misplaced_spec, Shape{[] { return std::string(R"({"not":{}})"); }}},
};

}  // namespace

std::span<const JobKeyword> job_keywords() { return job_table; }

std::vector<std::string_view> job_keyword_names() {
  std::vector<std::string_view> names;
  for (const JobKeyword& row : job_table) {
    names.push_back(row.field.name);
  }
  return names;
}

bool is_job_keyword(std::string_view name) { return find_job_keyword(name) != std::size(job_table); }

bool takes_inputs(std::string_view keyword) {
  const std::size_t row = find_job_keyword(keyword);
  return row != std::size(job_table) && job_table[row].takes_inputs;
}

bool is_commands(std::string_view keyword) {
  return keyword == "script" || keyword == "before_script" || keyword == "after_script";
}

bool is_step_keyword(std::string_view name) {
  return std::ranges::find(step_keywords, name) != std::end(step_keywords);
}

bool is_of_sandbox(std::string_view keyword) {
  constexpr std::string_view all[] = {"before_script", "after_script", "hooks", "image", "services", "cache"};
  return std::ranges::find(all, keyword) != std::end(all);
}

bool is_global_keyword(std::string_view name) {
  return std::ranges::find(global_table, name, &Field<PipelineDraft>::name) != std::end(global_table);
}

std::span<const Field<PipelineDraft>> global_keywords() { return global_table; }

std::vector<std::string_view> global_keyword_names() {
  std::vector<std::string_view> names;
  for (const Field<PipelineDraft>& row : global_table) {
    names.push_back(row.name);
  }
  return names;
}

bool JobDraft::inherits(std::string_view keyword) const {
  return inherited_defaults.empty() ? inherits_defaults
                                    : std::ranges::find(inherited_defaults, keyword) != inherited_defaults.end();
}

bool JobDraft::has_sandbox() const { return !job->step || needs_sandbox(*job->step); }

void read_job(Reader& reader, std::span<const DefaultEntry> defaults, JobDraft& draft) {
  JobKeywordSet specified;
  for (std::size_t i = 0; i < draft.body.size(); ++i) {
    const Yaml key = draft.body.key(i);
    const std::size_t keyword = find_job_keyword(key.text());
    if (keyword == std::size(job_table)) {
      reader.unknown(reader.entry_around(key.mark()), key, job_keyword_names());
      draft.spoilt = true;
      continue;
    }
    const Yaml value = draft.body.value(i);
    draft.has_script = draft.has_script || keyword == 0;
    draft.has_run = draft.has_run || key.text() == "run";
    // Null is GitLab's "not specified": a default takes its place.
    if (!value.is_null()) {
      specified.set(keyword);
      read_job_keyword(reader, keyword, key, value, draft);
    }
  }
  for (const DefaultEntry& entry : defaults) {
    const std::string_view name = job_table[entry.keyword].field.name;
    // Steps have neither: they take the script's place. What says where a script runs is nothing to a step without one.
    if ((draft.has_run && is_commands(name)) || (is_of_sandbox(name) && !draft.has_sandbox())) {
      continue;
    }
    if (!specified.test(entry.keyword) && draft.inherits(name)) {
      read_job_keyword(reader, entry.keyword, entry.key, entry.value, draft);
    }
  }
  add_published_folder(draft);
  take_over_upstream(reader, draft);
}

void read_globals(Reader& reader, Yaml root, PipelineDraft& draft) {
  // `default` first, so that the place of a clash is the deprecated keyword.
  for (const bool deprecated : {false, true}) {
    for (std::size_t i = 0; i < root.size(); ++i) {
      const Yaml key = root.key(i);
      const auto* row = std::ranges::find(global_table, key.text(), &Field<PipelineDraft>::name);
      if (row == std::end(global_table) || (row->read == read_deprecated) != deprecated) {
        continue;
      }
      const Yaml value = root.value(i);
      if (deprecated) {
        add_default(reader, find_job_keyword(key.text()), key, value, draft);
      } else if (row->support != Support::done) {
        reader.not_done({nullptr, row->name}, key, row->support, row->note);
        draft.incomplete = true;
      } else if (!value.is_null()) {
        row->read(reader, {nullptr, row->name}, value, draft);
      }
    }
  }
}

}  // namespace pipelines
