// `variables` of the file, of jobs, rules and services (docs.gitlab.com/ee/ci/yaml/#variables).
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "pipelines/reader.h"

namespace pipelines {

// Where that is not what stands in the file, the author is told.
bool read_value(Reader& reader, const Key& key, Yaml yaml, std::string& out) {
  if (yaml.is_null()) {
    out.clear();
    return true;
  }
  if (!yaml.is_scalar()) {
    return reader.mistyped(key, yaml, "a string or a number");
  }
  if (yaml.is_string()) {
    out = yaml.text();
    return true;
  }
  out = scalar_to_s(yaml.text());
  if (out != yaml.text()) {
    reader.findings().warning(yaml.mark(), fmt::format("YAML reads {} as \"{}\"", yaml.text(), out),
                              fmt::format("quote it to keep it as it is: \"{}\"", yaml.text()));
  }
  return true;
}

namespace {

bool read_value_field(Reader& reader, const Key& key, Yaml yaml, Variable& out) {
  return read_value(reader, key, yaml, out.value);
}

constexpr Shape value_shape{[] { return std::string(R"({"type":["string","number","boolean","null"]})"); }};

constexpr Field<Variable> job_fields[] = {
    {"value", read_value_field, value_shape},
    {"expand", member<&Variable::expand>},
    {"masked", member<&Variable::masked>},  // ours
};

constexpr Field<Variable> global_fields[] = {
    {"value", read_value_field, value_shape}, {"description", member<&Variable::description>},
    {"options", member<&Variable::options>},  {"expand", member<&Variable::expand>},
    {"masked", member<&Variable::masked>},
};

bool read_variable(Reader& reader, const Key& key, Yaml yaml, std::span<const Field<Variable>> table, Variable& out) {
  if (!yaml.is_mapping()) {
    return yaml.is_sequence() ? reader.mistyped(key, yaml, "a string, a number or a mapping")
                              : read_value(reader, key, yaml, out.value);
  }
  reader.fields(key, yaml, table, out);
  if (!out.options.empty() && std::ranges::find(out.options, out.value) == out.options.end()) {
    const Yaml value = yaml.find("value");
    return reader.wrong(key, value ? value : yaml,
                        fmt::format("has the value \"{}\", which is not one of its `options`", out.value),
                        fmt::format("its options: {}", fmt::join(out.options, ", ")));
  }
  return true;
}

bool read_all(Reader& reader, const Key& key, Yaml yaml, std::span<const Field<Variable>> table, Variables& out) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of names to values",
                           yaml.is_sequence() ? "write `NAME: value` without the `- `" : "");
  }
  out.clear();
  out.reserve(yaml.size());
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    Variable& variable = out.emplace_back();
    variable.name = yaml.key(i).text();
    variable.mark = yaml.key(i).mark();
    good = read_variable(reader, {&key, yaml.key(i).text()}, yaml.value(i), table, variable) && good;
  }
  return good;
}

}  // namespace

namespace {

std::string variables_shape(std::span<const Field<Variable>> table) {
  return R"({"type":"object","additionalProperties":)" + any_shape_of({value_shape.json(), mapping_shape(table)}) + "}";
}

}  // namespace

std::string shape_of(const Variables*) { return variables_shape(job_fields); }
std::string global_variables_shape() { return variables_shape(global_fields); }

bool read(Reader& reader, const Key& key, Yaml yaml, Variables& out) {
  return read_all(reader, key, yaml, job_fields, out);
}

bool read_global_variables(Reader& reader, const Key& key, Yaml yaml, Variables& out) {
  return read_all(reader, key, yaml, global_fields, out);
}

}  // namespace pipelines
