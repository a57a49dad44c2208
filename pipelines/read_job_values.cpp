// The smaller values of a job: `retry`, `allow_failure`, `environment`, `coverage`, `start_in`
// (docs.gitlab.com/ee/ci/yaml/).
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "pipelines/duration.h"
#include "pipelines/reader.h"

namespace pipelines {
namespace {

// Ci::Build.failure_reasons of GitLab, and `always`.
constexpr std::string_view retry_words[] = {
    "always",
    "unknown_failure",
    "script_failure",
    "api_failure",
    "stuck_or_timeout_failure",
    "runner_system_failure",
    "missing_dependency_failure",
    "runner_unsupported",
    "stale_schedule",
    "job_execution_timeout",
    "archived_failure",
    "unmet_prerequisites",
    "scheduler_failure",
    "data_integrity_failure",
    "image_pull_failure",
    "forward_deployment_failure",
    "user_blocked",
    "project_deleted",
    "ci_quota_exceeded",
    "pipeline_loop_detected",
    "no_matching_runner",
    "trace_size_exceeded",
    "builds_disabled",
    "environment_creation_failure",
    "deployment_rejected",
    "failed_outdated_deployment_job",
    "protected_environment_failure",
    "secrets_provider_not_found",
    "reached_max_descendant_pipelines_depth",
    "reached_max_pipeline_hierarchy_size",
    "ip_restriction_failure",
    "insufficient_bridge_permissions",
    "downstream_bridge_project_not_found",
    "invalid_bridge_trigger",
    "upstream_bridge_project_not_found",
    "insufficient_upstream_permissions",
    "bridge_pipeline_is_child_pipeline",
    "downstream_pipeline_creation_failed",
    "runner_provisioning_timeout",
    "runner_interrupted",
};

bool read_retry_when(Reader& reader, const Key& key, Yaml yaml, Retry& out) {
  if (!read_string_or_list(reader, key, yaml, out.when)) {
    return false;
  }
  bool good = true;
  for (std::size_t i = 0; i < out.when.size(); ++i) {
    if (std::ranges::find(retry_words, out.when[i]) == std::end(retry_words)) {
      const Yaml item = yaml.is_sequence() ? yaml.item(i) : yaml;
      const std::vector<std::string_view> known(std::begin(retry_words), std::end(retry_words));
      good = reader.wrong(key, item, fmt::format("knows no failure \"{}\"", out.when[i]),
                          did_you_mean(reader.findings().suggest(out.when[i], known),
                                       "for example script_failure, runner_system_failure or always"));
    }
  }
  return good;
}

bool read_retry_max(Reader& reader, const Key& key, Yaml yaml, Retry& out) {
  constexpr int most = 2;  // GitLab's limit
  const std::optional<std::int64_t> number =
      yaml.is_scalar() && yaml.type() == ScalarType::integer ? scalar_integer(yaml.text()) : std::nullopt;
  if (!number || *number < 0 || *number > most) {
    return reader.wrong(key, yaml, "must be 0, 1 or 2");
  }
  out.max = static_cast<int>(*number);
  return true;
}

bool read_retry_codes(Reader& reader, const Key& key, Yaml yaml, Retry& out) {
  return read_exit_codes(reader, key, yaml, out.exit_codes);
}

std::string retry_max_shape() { return R"({"type":"integer","minimum":0,"maximum":2})"; }

std::string retry_when_shape() {
  const std::string word = enumeration_shape({std::begin(retry_words), std::end(retry_words)});
  return any_shape_of({word, list_shape(word)});
}

constexpr Field<Retry> retry_fields[] = {
    {"max", read_retry_max, Shape{retry_max_shape}},
    {"when", read_retry_when, Shape{retry_when_shape}},
    {"exit_codes", read_retry_codes, Shape{shapes::exit_codes}},
};

bool read_allowed_codes(Reader& reader, const Key& key, Yaml yaml, AllowFailure& out) {
  return read_exit_codes(reader, key, yaml, out.exit_codes);
}

constexpr Field<AllowFailure> allow_failure_fields[] = {{"exit_codes", read_allowed_codes, Shape{shapes::exit_codes}}};

constexpr Word<std::string_view> environment_actions[] = {
    {"start", "start"}, {"prepare", "prepare"}, {"stop", "stop"}, {"verify", "verify"}, {"access", "access"}};

constexpr Word<std::string_view> environment_tiers[] = {{"production", "production"},
                                                        {"staging", "staging"},
                                                        {"testing", "testing"},
                                                        {"development", "development"},
                                                        {"other", "other"}};

template <auto Member, auto& Words>
bool one_of(Reader& reader, const Key& key, Yaml yaml, Environment& out) {
  std::string_view word;
  if (!reader.word(key, yaml, Words, word)) {
    return false;
  }
  out.*Member = word;
  return true;
}

// One with a variable is judged when the job runs (docs.gitlab.com/ci/yaml/#environmentdeployment_tier).
bool read_tier(Reader& reader, const Key& key, Yaml yaml, Environment& out) {
  if (yaml.is_string() && yaml.text().find('$') != std::string_view::npos) {
    out.tier = yaml.text();
    return true;
  }
  return one_of<&Environment::tier, environment_tiers>(reader, key, yaml, out);
}

bool read_environment_name(Reader& reader, const Key& key, Yaml yaml, Environment& out) {
  return read(reader, key, yaml, out.name) && check_environment_name(reader, key, yaml, out.name);
}

// Nothing is stopped by itself here. One with a variable can be judged only when that is known.
bool read_auto_stop_in(Reader& reader, const Key& key, Yaml yaml, Environment&) {
  std::chrono::seconds ignored{};
  const bool judged = !yaml.is_string() || (!is_never(yaml.text()) && yaml.text().find('$') == std::string_view::npos);
  return !judged || read(reader, key, yaml, ignored);
}

constexpr Field<Environment> environment_fields[] = {
    {"name", read_environment_name, shape_for<std::string>},
    {"url", member<&Environment::url>},
    {"on_stop", member<&Environment::on_stop>},
    {"action", one_of<&Environment::action, environment_actions>, words<environment_actions>},
    {"deployment_tier", read_tier, Shape{[] {
       return any_shape_of({words<environment_tiers>.json(), R"({"type":"string","pattern":"[$]"})"});
     }}},
    {"auto_stop_in", read_auto_stop_in, shape_for<std::chrono::seconds>},
    {"kubernetes", nullptr, Support::left_out, "there is no Kubernetes here"},
};

}  // namespace

std::string shape_of(const Retry*) { return any_shape_of({retry_max_shape(), mapping_shape(retry_fields)}); }
std::string shape_of(const AllowFailure*) {
  return any_shape_of({R"({"type":"boolean"})", mapping_shape(allow_failure_fields)});
}
std::string shape_of(const Environment*) {
  return any_shape_of({R"({"type":"string"})", mapping_shape(environment_fields, "\"name\"")});
}

bool read(Reader& reader, const Key& key, Yaml yaml, Retry& out) {
  return yaml.is_mapping() ? reader.fields(key, yaml, retry_fields, out) : read_retry_max(reader, key, yaml, out);
}

bool read(Reader& reader, const Key& key, Yaml yaml, AllowFailure& out) {
  if (yaml.is_mapping()) {
    return reader.fields(key, yaml, allow_failure_fields, out);
  }
  if (!yaml.is_scalar() || yaml.type() != ScalarType::boolean) {
    return reader.mistyped(key, yaml, "true, false or a mapping with `exit_codes`");
  }
  out.any = scalar_is_true(yaml.text());
  return true;
}

bool read(Reader& reader, const Key& key, Yaml yaml, Environment& out) {
  if (yaml.is_string()) {
    return read_environment_name(reader, key, yaml, out);
  }
  if (!reader.fields(key, yaml, environment_fields, out, "a string or a mapping")) {
    return false;
  }
  if (const Yaml name = yaml.find("name"); !name || name.is_null()) {
    return reader.wrong(key, yaml, "needs a `name`");
  }
  return true;
}

bool read_start_in(Reader& reader, const Key& key, Yaml yaml, std::chrono::seconds& out) {
  constexpr auto longest = std::chrono::hours(24 * 7);
  if (!read(reader, key, yaml, out)) {
    return false;
  }
  return out <= longest || reader.wrong(key, yaml, "can be at most one week");
}

bool read_coverage(Reader& reader, const Key& key, Yaml yaml, std::string& out) {
  if (!yaml.is_string()) {
    return reader.mistyped(key, yaml, "a regular expression between slashes");
  }
  const std::string_view text = yaml.text();
  const std::size_t end = text.rfind('/');
  const std::string_view flags = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  if (!text.starts_with('/') || end == 0 || flags.find_first_not_of("ims") != std::string_view::npos) {
    return reader.wrong(key, yaml, "must be a regular expression between slashes", R"(for example '/Total: \d+%/')");
  }
  std::string pattern(text.substr(1, end - 1));
  if (!flags.empty()) {
    pattern = fmt::format("(?{}){}", flags, pattern);
  }
  RE2::Options options;
  options.set_log_errors(false);
  if (const RE2 compiled(pattern, options); !compiled.ok()) {
    return reader.wrong(key, yaml, fmt::format("is no valid regular expression: {}", compiled.error()),
                        "the syntax is RE2's: no look-ahead, look-behind or back-references");
  }
  out = std::move(pattern);
  return true;
}

}  // namespace pipelines
