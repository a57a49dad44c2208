// `rules`, `workflow` and `needs` (docs.gitlab.com/ee/ci/yaml/#rules, #workflow, #needs).
#include <fmt/format.h>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr int deepest_rules = 10;          // GitLab's MAX_NESTING_LEVEL
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
};

constexpr Field<Patterns> changes_fields[] = {
    {"paths", member<&Patterns::paths>},
    {"compare_to", member<&Patterns::compare_to>},
};

constexpr std::string_view other_project_note = "files of another project cannot be looked up here";
constexpr Field<Patterns> exists_fields[] = {
    {"paths", member<&Patterns::paths>},
    {"project", nullptr, Support::refused, other_project_note},
    {"ref", nullptr, Support::refused, other_project_note},
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
  return true;
}

bool read_exists(Reader& reader, const Key& key, Yaml yaml, Rule& out) {
  Patterns patterns;
  if (!read_patterns(reader, key, yaml, exists_fields, patterns)) {
    return false;
  }
  out.exists = std::move(patterns.paths);
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

constexpr Field<Rule> rule_fields[] = {
    {"if", read_if},
    {"changes", read_changes},
    {"exists", read_exists},
    {"when", [](Reader& r, const Key& k, Yaml y, Rule& o) { return read_when(r, k, y, rule_when, o); }},
    {"allow_failure", member<&Rule::allow_failure>},
    {"variables", member<&Rule::variables>},
    {"needs", member<&Rule::needs>},
    {"start_in", read_delay},
    {"interruptible", member<&Rule::interruptible>},
};

constexpr Field<Rule> workflow_rule_fields[] = {
    {"if", read_if},
    {"changes", read_changes},
    {"exists", read_exists},
    {"when", [](Reader& r, const Key& k, Yaml y, Rule& o) { return read_when(r, k, y, workflow_when, o); }},
    {"variables", member<&Rule::variables>},
    {"auto_cancel", nullptr, Support::left_out, "no other pipeline is cancelled"},
};

constexpr Field<Rule> include_rule_fields[] = {
    {"if", read_if},
    {"changes", read_changes},
    {"exists", read_exists},
    {"when", [](Reader& r, const Key& k, Yaml y, Rule& o) { return read_when(r, k, y, workflow_when, o); }},
};

bool read_list(Reader& reader, const Key& key, Yaml list, std::span<const Field<Rule>> table, int depth,
               std::vector<Rule>& out) {
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
    const Yaml start_in = item.find_key("start_in");
    if (rule.when == When::delayed && !start_in) {
      good =
          reader.wrong(key, item.find("when"), "has `when: delayed` without `start_in`", "add `start_in: 30 minutes`");
    } else if (rule.when != When::delayed && start_in && (rule.when || !item.find_key("when"))) {
      good = reader.wrong(key, start_in, "has `start_in` without `when: delayed`", "add `when: delayed`");
    }
  }
  return good;
}

bool read_workflow_rules(Reader& reader, const Key& key, Yaml yaml, Workflow& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of rules", "write `rules: [{ if: … }]`");
  }
  return read_list(reader, key, yaml, workflow_rule_fields, 1, out.rules.emplace());
}

constexpr Field<Workflow> workflow_fields[] = {
    {"name", member<&Workflow::name>},
    {"rules", read_workflow_rules},
    {"auto_cancel", nullptr, Support::left_out, "no other pipeline is cancelled"},
};

constexpr std::string_view elsewhere_note = "artifacts of other pipelines and projects are on GitLab's server";
constexpr Field<Need> need_fields[] = {
    {"job", member<&Need::job>},
    {"artifacts", member<&Need::artifacts>},
    {"optional", member<&Need::optional>},
    {"parallel", nullptr, Support::refused, "need the job without it: all its instances"},
    {"pipeline", nullptr, Support::left_out, elsewhere_note},
    {"project", nullptr, Support::left_out, elsewhere_note},
    {"ref", nullptr, Support::left_out, elsewhere_note},
};

bool read_need(Reader& reader, const Key& key, Yaml yaml, std::vector<Need>& out) {
  Need need;
  need.mark = yaml.mark();
  if (yaml.is_string()) {
    need.job = yaml.text();
    out.push_back(std::move(need));
    return true;
  }
  if (!reader.fields(key, yaml, need_fields, need, "a job's name or a mapping")) {
    return false;
  }
  if (yaml.find("project") || yaml.find("pipeline")) {
    return true;
  }
  const Yaml job = yaml.find("job");
  if (!job || job.is_null()) {
    return reader.wrong(key, yaml, "needs the `job`'s name", "for example `needs: [{ job: build, artifacts: false }]`");
  }
  if (!job.is_string()) {
    return false;
  }
  need.mark = job.mark();
  out.push_back(std::move(need));
  return true;
}

}  // namespace

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<Need>& out) {
  out.clear();
  if (yaml.is_mapping()) {
    return read_need(reader, key, yaml, out);
  }
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of jobs",
                           yaml.is_scalar() ? fmt::format("write `{}: [{}]`", key.name, yaml.text()) : std::string());
  }
  out.reserve(yaml.size());
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = read_need(reader, key, yaml.item(i), out) && good;
  }
  return good;
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
