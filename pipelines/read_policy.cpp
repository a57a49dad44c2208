// `only` and `except` (docs.gitlab.com/ee/ci/yaml/deprecated_keywords; lib/gitlab/ci/config/entry/policy.rb).
#include <fmt/format.h>

#include "pipelines/policy.h"
#include "pipelines/reader.h"

namespace pipelines {
namespace {

// "/…/flags" as an expression. A slash within needs no backslash here; in expressions it does.
std::string as_expression(std::string_view pattern, std::size_t end) {
  // In a group, because here one character is enough for GitLab, and in an expression it is not.
  std::string text = fmt::format("${} =~ /(?:", policy_ref_variable);
  for (std::size_t i = 1; i < end; ++i) {
    if (pattern[i] == '\\' && i + 1 < end) {
      text += pattern[i++];
    } else if (pattern[i] == '/') {
      text += '\\';
    }
    text += pattern[i];
  }
  text += ')';
  text += pattern.substr(end);
  return text;
}

bool is_pattern(std::string_view name, std::size_t& end) {
  end = name.rfind('/');
  return name.starts_with('/') && end != 0 && name.find_first_not_of("ismU", end + 1) == std::string_view::npos;
}

// As GitLab, at the first '@': within a regular expression it has to be written \x40.
bool read_ref(Reader& reader, const Key& key, Yaml yaml, std::string_view text, PolicyRef& out) {
  out.text = text;
  const std::size_t at = text.find('@');
  out.name = text.substr(0, at);
  out.project = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  std::size_t end = 0;
  if (!is_pattern(out.name, end)) {
    return true;
  }
  auto compiled = Expression::compile(as_expression(out.name, end));
  if (const auto* error = std::get_if<Expression::Error>(&compiled)) {
    return reader.wrong(key, yaml, fmt::format("has a wrong regular expression, {}: {}", text, error->message),
                        error->hint);
  }
  out.pattern = std::get<Expression>(std::move(compiled));
  return true;
}

bool read_refs(Reader& reader, const Key& key, Yaml yaml, Policy& out) {
  std::vector<std::string> texts;
  if (!read(reader, key, yaml, texts)) {
    return false;
  }
  std::vector<PolicyRef>& refs = out.refs.emplace();
  refs.reserve(texts.size());
  bool good = true;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    good = read_ref(reader, key, yaml.item(i), texts[i], refs.emplace_back()) && good;
  }
  return good;
}

bool read_conditions(Reader& reader, const Key& key, Yaml yaml, Policy& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of expressions", "for example `variables: [$RELEASE == \"yes\"]`");
  }
  std::vector<Expression>& conditions = out.variables.emplace();
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    if (std::optional<Expression> condition = reader.expression(key, yaml.item(i))) {
      conditions.push_back(*std::move(condition));
    } else {
      good = false;
    }
  }
  return good;
}

constexpr Word<bool> kubernetes_words[] = {{"active", true}};

bool read_kubernetes(Reader& reader, const Key& key, Yaml yaml, Policy& out) {
  return reader.word(key, yaml, kubernetes_words, out.kubernetes);
}

constexpr Field<Policy> policy_fields[] = {
    {"refs", read_refs, shape_for<std::vector<std::string>>},
    {"variables", read_conditions, shape_for<std::vector<std::string>>},
    {"changes", member<&Policy::changes>},
    {"kubernetes", read_kubernetes, words<kubernetes_words>},
};

}  // namespace

std::string shape_of(const Policy*) {
  return any_shape_of({list_shape(R"({"type":"string"})"), mapping_shape(policy_fields)});
}

bool read(Reader& reader, const Key& key, Yaml yaml, Policy& out) {
  if (yaml.is_sequence()) {
    return read_refs(reader, key, yaml, out);
  }
  if (!yaml.is_mapping() || yaml.size() == 0) {
    return reader.mistyped(key, yaml, "a list of refs or a mapping",
                           yaml.is_scalar() ? fmt::format("write `{}: [{}]`", key.name, yaml.text()) : std::string());
  }
  return reader.fields(key, yaml, policy_fields, out);
}

}  // namespace pipelines
