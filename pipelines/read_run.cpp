// `run` (docs.gitlab.com/ci/steps; GitLab's app/validators/json_schemas/run_steps.json): steps that are scripts. Those
// that are functions from elsewhere need GitLab's step runner.
#include <fmt/format.h>

#include <algorithm>

#include "pipelines/moa.h"
#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr std::string_view name_pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$";

bool is_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool read_name(Reader& reader, const Key& key, Yaml yaml, RunStep& out) {
  if (!read(reader, key, yaml, out.name)) {
    return false;
  }
  return is_name(out.name) ||
         reader.wrong(key, yaml, "may have letters, digits and underscores only, and no digit in front");
}

// What is wrong with the expressions, before anything runs.
bool read_text(Reader& reader, const Key& key, Yaml yaml, std::string& out) {
  if (!yaml.is_string()) {
    return reader.mistyped(key, yaml, "a string");
  }
  out = yaml.text();
  const std::optional<MoaError> error = has_moa(out) ? check_syntax(out) : std::nullopt;
  if (error) {
    reader.findings().error(yaml.mark_at(error->offset), error->message, error->hint);
  }
  return !error;
}

bool read_script(Reader& reader, const Key& key, Yaml yaml, RunStep& out) {
  if (!read_text(reader, key, yaml, out.script)) {
    return false;
  }
  return !out.script.empty() || reader.wrong(key, yaml, "is empty", "for example `script: make`");
}

bool read_env(Reader& reader, const Key& key, Yaml yaml, RunStep& out) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of names to strings");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    auto& [name, value] = out.env.emplace_back();
    name = yaml.key(i).text();
    if (!is_name(name)) {
      good = reader.wrong(key, yaml.key(i), fmt::format("cannot set \"{}\": it is no name of a variable", name));
    }
    good = read_text(reader, {&key, yaml.key(i).text()}, yaml.value(i), value) && good;
  }
  return good;
}

// `step`, `func` and `action`: other people's programs, loaded by the step runner.
template <class T>
bool refuse_function(Reader& reader, const Key& key, Yaml yaml, T&) {
  const bool local = yaml.is_string() && yaml.text().starts_with('.');
  const std::string_view what = key.name == "action"                        ? "a GitHub action"
                                : local                                     ? "a function of the project"
                                : yaml.is_mapping() && yaml.find_key("oci") ? "a function from a registry"
                                                                            : "a function from a repository";
  return reader.wrong(key, yaml, fmt::format("names {}: that needs GitLab's step runner, which is not here", what),
                      "only steps with `script` are carried out: write the commands out");
}

constexpr Shape name_shape{[] { return fmt::format(R"({{"type":"string","pattern":"{}"}})", name_pattern); }};
constexpr Shape text_shape{[] { return std::string(R"({"type":"string","minLength":1})"); }};
constexpr Shape env_shape{[] { return std::string(R"({"type":"object","additionalProperties":{"type":"string"}})"); }};

constexpr Field<RunStep> step_fields[] = {
    {"name", read_name, name_shape},
    {"script", read_script, text_shape},
    {"env", read_env, env_shape},
    {"step", nullptr, Support::refused, "only steps with `script` are carried out"},
    {"func", nullptr, Support::refused, "only steps with `script` are carried out"},
    {"action", nullptr, Support::refused, "only steps with `script` are carried out"},
    {"inputs", nullptr, Support::refused, "they are those of a function"},
};

bool read_step(Reader& reader, const Key& key, Yaml yaml, RunStep& out) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a list of steps", "for example `run: [{ name: build, script: make }]`");
  }
  out.mark = yaml.mark();
  for (const std::string_view kind : {"step", "func", "action"}) {
    if (const Yaml value = yaml.find(kind)) {
      return refuse_function(reader, {&key, kind}, value, out);
    }
  }
  const std::size_t errors = reader.findings().errors();
  reader.fields(key, yaml, step_fields, out);
  if (reader.findings().errors() > errors) {
    return false;
  }
  if (out.name.empty()) {
    return reader.wrong(key, yaml, "has a step without `name`", "for example `- { name: build, script: make }`");
  }
  return !out.script.empty() || reader.wrong(key, yaml, fmt::format("has no `script` in the step \"{}\"", out.name));
}

}  // namespace

std::string shape_of(const std::vector<RunStep>*) {
  return list_shape(mapping_shape(step_fields, R"("name","script")"), R"(,"minItems":1)");
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<RunStep>& out) {
  out.clear();
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of steps", "for example `run: [{ name: build, script: make }]`");
  }
  if (yaml.size() == 0) {
    return reader.wrong(key, yaml, "is empty", "for example `run: [{ name: build, script: make }]`");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = read_step(reader, key, yaml.item(i), out.emplace_back()) && good;
  }
  return good;
}

}  // namespace pipelines
