// `rules`, `workflow` and `needs` (docs.gitlab.com/ee/ci/yaml/#rules, #workflow, #needs).
#include <fmt/format.h>

#include <algorithm>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

bool read_rule_needs(Reader&, const Key&, Yaml, Rule& out);
std::string rule_needs_shape();

constexpr int deepest_rules = 10;          // GitLab's MAX_NESTING_LEVEL
constexpr std::size_t most_projects = 5;   // GitLab's limit for `needs:project`
constexpr std::size_t most_patterns = 50;  // GitLab's limit for `changes` and `exists`

constexpr Word<When> rule_when[] = {
    {"on_success", When::on_success}, {"on_failure", When::on_failure}, {"always", When::always},
    {"never", When::never},           {"manual", When::manual},         {"delayed", When::delayed},
};

constexpr Word<When> workflow_when[] = {{"always", When::always}, {"never", When::never}};

bool read_if(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  out.condition = reader.expression(key, yaml);
  return out.condition.has_value();
}

struct Patterns {
  std::optional<std::vector<std::string>> paths;
  std::string compare_to;
  std::string project, ref;
};

constexpr Field<Patterns> changes_fields[] = {
    {"paths", member<&Patterns::paths>},
    {"compare_to", member<&Patterns::compare_to>},
};

constexpr Field<Patterns> exists_fields[] = {
    {"paths", member<&Patterns::paths>},
    {"project", member<&Patterns::project>},
    {"ref", member<&Patterns::ref>},
};

bool read_patterns(Reader& reader, const Key& key, Yaml yaml, std::span<const Field<Patterns>> table, Patterns& out) {
  bool good = yaml.is_sequence() ? read(reader, key, yaml, out.paths)
                                 : reader.fields(key, yaml, table, out, "a list of paths or a mapping");
  if (good && yaml.is_mapping() && !out.paths) {
    if (const Yaml paths = yaml.find("paths"); !paths || paths.is_null()) {
      return reader.wrong(key, yaml, "needs `paths`");
    }
    good = false;
  }
  if (good && out.paths->size() > most_patterns) {
    return reader.wrong(key, yaml,
                        fmt::format("has {} patterns; at most {} are allowed", out.paths->size(), most_patterns));
  }
  return good;
}

bool read_changes(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  Patterns patterns;
  if (!read_patterns(reader, key, yaml, changes_fields, patterns)) {
    return false;
  }
  out.changes = std::move(patterns.paths);
  out.compare_to = std::move(patterns.compare_to);
  if (!out.compare_to.empty()) {
    out.compare_to_mark = yaml.find("compare_to").mark();
  }
  return true;
}

bool read_exists(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  if (yaml.is_string()) {  // GitLab's Entry::Rules::Rule::Exists takes one for a list of one
    out.exists.emplace(1, std::string(yaml.text()));
    return true;
  }
  Patterns patterns;
  if (!read_patterns(reader, key, yaml, exists_fields, patterns)) {
    return false;
  }
  if (patterns.project.empty() && !patterns.ref.empty()) {
    return reader.wrong(key, yaml, "has a `ref` without a `project`", "name the project too");
  }
  out.exists = std::move(patterns.paths);
  out.exists_project = std::move(patterns.project);
  out.exists_ref = std::move(patterns.ref);
  return true;
}

template <std::size_t N>
bool read_when(Reader& reader, const Key& key, Yaml yaml, const Word<When> (&words)[N], Rule& out) {
  When when = When::on_success;
  if (!reader.word(key, yaml, words, when)) {
    return false;
  }
  out.when = when;
  return true;
}

bool read_delay(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  std::chrono::seconds delay{};
  if (!read_start_in(reader, key, yaml, delay)) {
    return false;
  }
  out.start_in = delay;
  return true;
}

constexpr Word<OnNewCommit> new_commit_words[] = {{"conservative", OnNewCommit::conservative},
                                                  {"interruptible", OnNewCommit::interruptible},
                                                  {"none", OnNewCommit::none}};
constexpr Word<bool> job_failure_words[] = {{"all", true}, {"none", false}};

template <auto Member, auto& Words>
bool chosen(Reader& reader, const Key& key, Yaml yaml, AutoCancel& out) {
  auto value = Words[0].value;
  if (!reader.word(key, yaml, Words, value)) {
    return false;
  }
  out.*Member = value;
  return true;
}

constexpr Field<AutoCancel> auto_cancel_fields[] = {
    {"on_new_commit", chosen<&AutoCancel::on_new_commit, new_commit_words>, words<new_commit_words>},
    {"on_job_failure", chosen<&AutoCancel::on_job_failure, job_failure_words>, words<job_failure_words>},
};
constexpr Shape auto_cancel_shape{[] { return mapping_shape(auto_cancel_fields); }};

bool read_auto_cancel(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  return reader.fields(key, yaml, auto_cancel_fields, out.auto_cancel.emplace());
}
std::string patterns_shape(std::span<const Field<Patterns>> table) {
  const std::string list = list_shape(R"({"type":"string"})", fmt::format(R"(,"maxItems":{})", most_patterns));
  return any_shape_of({list, mapping_shape(table, "\"paths\"")});
}
constexpr Shape changes_shape{[] { return patterns_shape(changes_fields); }};
constexpr Shape exists_shape{[] { return any_shape_of({R"({"type":"string"})", patterns_shape(exists_fields)}); }};

// docs.gitlab.com/ci/yaml/#rulesallow_failure: no exit codes here.
bool read_allowed(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  bool any = false;
  if (!read(reader, key, yaml, any)) {
    return false;
  }
  out.allow_failure.emplace().any = any;
  return true;
}

constexpr Field<Rule> rule_fields[] = {
    {"if", read_if, shape_for<std::string>},
    {"changes", read_changes, changes_shape},
    {"exists", read_exists, exists_shape},
    {"when", [](Reader& r, const Key& k, Yaml y, Rule& o) { return read_when(r, k, y, rule_when, o); },
     words<rule_when>},
    {"allow_failure", read_allowed, shape_for<bool>},
    {"variables", member<&Rule::variables>},
    {"needs", read_rule_needs, Shape{rule_needs_shape}},
    {"start_in", read_delay, shape_for<std::chrono::seconds>},
    {"interruptible", member<&Rule::interruptible>},
};

constexpr Field<Rule> workflow_rule_fields[] = {
    {"if", read_if, shape_for<std::string>},
    {"changes", read_changes, changes_shape},
    {"exists", read_exists, exists_shape},
    {"when", [](Reader& r, const Key& k, Yaml y, Rule& o) { return read_when(r, k, y, workflow_when, o); },
     words<workflow_when>},
    {"variables", member<&Rule::variables>},
    {"auto_cancel", read_auto_cancel, auto_cancel_shape},
    // GitLab takes these and does nothing with them (docs.gitlab.com/ci/yaml/#workflowrules).
    {"start_in", nullptr, Support::left_out, "it says something of a job only"},
    {"allow_failure", nullptr, Support::left_out, "it says something of a job only"},
    {"needs", nullptr, Support::left_out, "it says something of a job only"},
};

constexpr Field<Rule> include_rule_fields[] = {
    {"if", read_if, shape_for<std::string>},
    {"changes", read_changes, changes_shape},
    {"exists", read_exists, exists_shape},
    {"when", [](Reader& r, const Key& k, Yaml y, Rule& o) { return read_when(r, k, y, workflow_when, o); },
     words<workflow_when>},
};

bool read_list(Reader& reader, const Key& key, Yaml list, std::span<const Field<Rule>> table, int depth,
               std::vector<Rule>& out) {
  if (depth == 1 && list.size() == 0) {  // GitLab: can't be blank
    return reader.wrong(key, list, "is empty", "remove it, or write `rules: [{ when: never }]`");
  }
  bool good = true;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Yaml item = list.item(i);
    if (item.is_sequence()) {
      good = depth < deepest_rules
                 ? read_list(reader, key, item, table, depth + 1, out) && good
                 : reader.wrong(key, item,
                                fmt::format("is nested too deeply: at most {} lists in each other", deepest_rules));
      continue;
    }
    if (!item.is_mapping() || item.size() == 0) {
      reader.findings().error(item.mark(),
                              fmt::format("item {} of {} must be a mapping, not {}", i + 1, key.quoted(),
                                          item.is_mapping() ? "an empty one" : describe(item)),
                              item.is_scalar() ? fmt::format("write `- if: {}`", item.text()) : std::string());
      good = false;
      continue;
    }
    Rule& rule = out.emplace_back();
    rule.mark = item.mark();
    good = reader.fields(key, item, table, rule) && good;
    const Yaml start_in = table.data() == rule_fields ? item.find_key("start_in") : Yaml();
    if (rule.when == When::delayed && !start_in) {
      good =
          reader.wrong(key, item.find("when"), "has `when: delayed` without `start_in`", "add `start_in: 30 minutes`");
    } else if (rule.when != When::delayed && start_in && (rule.when || !item.find_key("when"))) {
      good = reader.wrong(key, start_in, "has `start_in` without `when: delayed`", "add `when: delayed`");
    }
  }
  return good;
}

// GitLab's validation in lib/gitlab/ci/config/entry/workflow.rb.
bool read_workflow_name(Reader& reader, const Key& key, Yaml yaml, Workflow& out) {
  constexpr std::size_t longest = 255;
  if (!read(reader, key, yaml, out.name)) {
    return false;
  }
  const auto starts = [](unsigned char byte) { return (byte & 0xc0U) != 0x80U; };  // in UTF-8
  return static_cast<std::size_t>(std::ranges::count_if(out.name, starts)) <= longest ||
         reader.wrong(key, yaml, fmt::format("can have at most {} characters", longest));
}

bool read_workflow_rules(Reader& reader, const Key& key, Yaml yaml, Workflow& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of rules", "write `rules: [{ if: … }]`");
  }
  return read_list(reader, key, yaml, workflow_rule_fields, 1, out.rules.emplace());
}

constexpr Field<Workflow> workflow_fields[] = {
    {"name", read_workflow_name, shape_for<std::string>},
    {"rules", read_workflow_rules, Shape{[] { return std::string(R"({"$ref":"#/definitions/workflow_rules"})"); }}},
    {"auto_cancel",
     [](Reader& r, const Key& k, Yaml y, Workflow& o) { return r.fields(k, y, auto_cancel_fields, o.auto_cancel); },
     auto_cancel_shape},
};

struct NeedDraft {
  Need need;
  std::vector<Variables> instances;    // parallel:matrix
  std::string project, ref, pipeline;  // of another pipeline
};

template <auto Member>
struct OfNeed {
  static constexpr Shape shape = shape_for<typename MemberClass<decltype(Member)>::value>;
  static bool read_member(Reader& reader, const Key& key, Yaml yaml, NeedDraft& draft) {
    return read(reader, key, yaml, draft.need.*Member);
  }
  constexpr explicit operator Field<NeedDraft>::Reads() const { return &read_member; }
};
template <auto Member>
constexpr OfNeed<Member> of_need{};

bool read_need_matrix(Reader& reader, const Key& key, Yaml yaml, NeedDraft& draft) {
  return read_matrix(reader, key, yaml, draft.instances);
}

constexpr Field<NeedDraft> need_parallel_fields[] = {{"matrix", read_need_matrix, Shape{shapes::matrix}}};

constexpr Field<NeedDraft> need_fields[] = {
    {"job", of_need<&Need::job>},
    {"artifacts", of_need<&Need::artifacts>},
    {"optional", of_need<&Need::optional>},
    {"parallel", [](Reader& r, const Key& k, Yaml y, NeedDraft& d) { return r.fields(k, y, need_parallel_fields, d); },
     Shape{[] { return mapping_shape(need_parallel_fields); }}},
    // Of other pipelines.
    {"pipeline", member<&NeedDraft::pipeline>},
    {"project", member<&NeedDraft::project>},
    {"ref", member<&NeedDraft::ref>},
};

constexpr std::size_t needs_of_jobs = 4;  // the rows before those of other pipelines

// Its artifacts lie on GitLab's server, or its outcome: the job runs without them, and waits for nothing.
bool leave_out_need(Reader& reader, const Key& key, Yaml yaml) {
  const bool project = static_cast<bool>(yaml.find_key("project"));
  const auto missing = [&](std::string_view name) {
    const Yaml value = yaml.find(name);
    return !value || value.is_null();
  };
  if (project && (missing("job") || missing("ref"))) {
    return reader.wrong(key, yaml, "with a `project` needs `job` and `ref` too",
                        "for example `needs: [{ project: group/name, job: build, ref: main, artifacts: true }]`");
  }
  reader.findings().warning_once(yaml.find_key(project ? "project" : "pipeline").mark(),
                                 fmt::format("`{}` of other projects are left out", key.path()),
                                 project ? "they are on GitLab's server; the job runs without them"
                                         : "how that pipeline ended only GitLab's server knows; the job passes");
  return true;
}

// docs.gitlab.com/ci/yaml/#needspipelinejob
bool read_upstream_need(Reader& reader, const Key& key, Yaml yaml, NeedDraft& draft, std::vector<UpstreamNeed>& out) {
  for (const std::string_view other : {"optional", "parallel", "ref"}) {
    if (const Yaml found = yaml.find_key(other)) {
      return reader.wrong(key, found, fmt::format("with a `pipeline` cannot have `{}`", other),
                          "it has `pipeline`, `job` and `artifacts`");
    }
  }
  if (draft.pipeline.empty() || draft.need.job.empty()) {
    return false;  // which was said
  }
  out.push_back({std::move(draft.pipeline), std::move(draft.need.job), draft.need.artifacts, yaml.mark()});
  return true;
}

// As Ruby's Array#flatten (lib/gitlab/ci/config/entry/needs.rb).
void flatten(Yaml list, std::vector<Yaml>& out) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (const Yaml item = list.item(i); item.is_sequence()) {
      flatten(item, out);
    } else {
      out.push_back(item);
    }
  }
}

void add_instances(const NeedDraft& draft, std::vector<Need>& out) {
  for (const Variables& row : draft.instances) {
    Need need = draft.need;
    need.origin = draft.need.job;
    need.job = instance_name(need.origin, row);
    out.push_back(std::move(need));
  }
}

// `upstream`: none in rules, where needs are jobs of this pipeline (lib/gitlab/ci/config/entry/rules/rule.rb).
bool read_need(Reader& reader, const Key& key, Yaml yaml, std::span<const Field<NeedDraft>> table,
               std::vector<Need>& out, std::vector<UpstreamNeed>* upstream) {
  NeedDraft draft;
  draft.need.mark = yaml.mark();
  if (yaml.is_string()) {
    draft.need.job = yaml.text();
    out.push_back(std::move(draft.need));
    return true;
  }
  const Yaml elsewhere = yaml.find_key(yaml.find_key("project") ? "project" : "pipeline");
  if (elsewhere && upstream == nullptr) {
    return reader.wrong(key, elsewhere, "can name jobs of this pipeline only", "write it into the job's own `needs`");
  }
  const std::size_t errors = reader.findings().errors();
  if (!reader.fields(key, yaml, table, draft, "a job's name or a mapping")) {
    return false;
  }
  if (elsewhere) {
    const bool of_hierarchy = !yaml.find_key("project") && yaml.find_key("job");
    return of_hierarchy ? read_upstream_need(reader, key, yaml, draft, *upstream) : leave_out_need(reader, key, yaml);
  }
  const Yaml job = yaml.find("job");
  if (!job || job.is_null()) {
    return reader.wrong(key, yaml, "needs the `job`'s name", "for example `needs: [{ job: build, artifacts: false }]`");
  }
  if (!job.is_string()) {
    return false;
  }
  draft.need.mark = job.mark();
  if (!draft.instances.empty()) {
    add_instances(draft, out);
  } else if (!yaml.find_key("parallel") || reader.findings().errors() == errors) {
    out.push_back(std::move(draft.need));
  }
  return true;
}

bool read_all_needs(Reader& reader, const Key& key, Yaml yaml, std::span<const Field<NeedDraft>> table,
                    std::vector<Need>& out, std::vector<UpstreamNeed>* upstream) {
  out.clear();
  if (yaml.is_mapping()) {
    return read_need(reader, key, yaml, table, out, upstream);
  }
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of jobs",
                           yaml.is_scalar() ? fmt::format("write `{}: [{}]`", key.name, yaml.text()) : std::string());
  }
  std::vector<Yaml> items;
  flatten(yaml, items);
  out.reserve(items.size());
  bool good = true;
  std::size_t projects = 0;
  for (const Yaml item : items) {
    const bool elsewhere = item.is_mapping() && (item.find_key("project") || item.find_key("pipeline"));
    if (elsewhere && ++projects == most_projects + 1) {
      good = reader.wrong(key, item, fmt::format("can name jobs of at most {} other pipelines", most_projects));
    }
    good = read_need(reader, key, item, table, out, upstream) && good;
  }
  return good;
}

// Jobs of this pipeline only (lib/gitlab/ci/config/entry/rules/rule.rb: `allowed_needs`).
bool read_rule_needs(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  const std::span<const Field<NeedDraft>> table(need_fields);
  return read_all_needs(reader, key, yaml, table.first(needs_of_jobs), out.needs.emplace(), nullptr);
}

std::string rule_needs_shape() {
  const std::string need = mapping_shape(std::span<const Field<NeedDraft>>(need_fields).first(needs_of_jobs));
  return any_shape_of({need, list_shape(any_shape_of({R"({"type":"string"})", need}))});
}

}  // namespace

std::string shape_of(const std::vector<Need>*) {
  return any_shape_of({mapping_shape(need_fields), R"({"$ref":"#/definitions/needs"})"});
}
std::string shape_of(const std::vector<Rule>*) { return R"({"$ref":"#/definitions/rules"})"; }
std::string shape_of(const Workflow*) { return mapping_shape(workflow_fields); }

std::string needs_definition() {
  return list_shape(
      any_shape_of({R"({"type":"string"})", mapping_shape(need_fields), R"({"$ref":"#/definitions/needs"})"}),
      R"(,"maxItems":50)");
}
std::string rules_definition() {
  return list_shape(any_shape_of({mapping_shape(rule_fields), R"({"$ref":"#/definitions/rules"})"}));
}
std::string workflow_rules_definition() {
  return list_shape(any_shape_of({mapping_shape(workflow_rule_fields), R"({"$ref":"#/definitions/workflow_rules"})"}));
}

bool read_needs(Reader& reader, const Key& key, Yaml yaml, std::vector<Need>& out,
                std::vector<UpstreamNeed>& upstream) {
  upstream.clear();
  return read_all_needs(reader, key, yaml, need_fields, out, &upstream);
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<Rule>& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of rules", "write `rules: [{ if: … }]`");
  }
  out.clear();
  out.reserve(yaml.size());
  return read_list(reader, key, yaml, rule_fields, 1, out);
}

bool read_include_rules(Reader& reader, const Key& key, Yaml yaml, std::vector<Rule>& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of rules", "write `rules: [{ if: … }]`");
  }
  return read_list(reader, key, yaml, include_rule_fields, 1, out);
}

bool read(Reader& reader, const Key& key, Yaml yaml, Workflow& out) {
  return reader.fields(key, yaml, workflow_fields, out);
}

}  // namespace pipelines
