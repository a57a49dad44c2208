// `parallel` and `parallel:matrix` (docs.gitlab.com/ee/ci/yaml/#parallel; lib/gitlab/ci/config/entry/product).
#include <fmt/format.h>

#include "pipelines/keywords.h"
#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr std::uint64_t most_instances = 200;  // GitLab's Product::Parallel::PARALLEL_LIMIT

// One mapping of a matrix: each variable with the values that it takes.
struct MatrixEntry {
  std::vector<Variable> variables;
  std::vector<std::vector<std::string>> values;
  std::uint64_t combinations = 1;  // saturates
};

bool read_values(Reader& reader, const Key& key, Yaml yaml, std::vector<std::string>& out) {
  if (!yaml.is_sequence()) {
    return yaml.is_scalar() ? read_value(reader, key, yaml, out.emplace_back())
                            : reader.mistyped(key, yaml, "a value or a list of values");
  }
  bool good = yaml.size() > 0 || reader.wrong(key, yaml, "has no value", "give it one, or remove it");
  out.reserve(yaml.size());
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const Yaml item = yaml.item(i);
    good = (item.is_scalar() ? read_value(reader, key, item, out.emplace_back())
                             : reader.mistyped(key, item, "a list of values without lists or mappings in it")) &&
           good;
  }
  return good;
}

bool read_entry(Reader& reader, const Key& key, Yaml yaml, MatrixEntry& out) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a list of mappings", "for example `matrix: [{ OS: [linux, macos] }]`");
  }
  if (yaml.size() == 0) {
    return reader.wrong(key, yaml, "has a mapping without a variable", "remove it");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    Variable& variable = out.variables.emplace_back();
    variable.name = yaml.key(i).text();
    variable.mark = yaml.key(i).mark();
    std::vector<std::string>& values = out.values.emplace_back();
    good = read_values(reader, {&key, yaml.key(i).text()}, yaml.value(i), values) && good;
    const bool fits = values.empty() || out.combinations <= ~std::uint64_t{0} / values.size();
    out.combinations = fits ? out.combinations * values.size() : ~std::uint64_t{0};
  }
  return good;
}

// The last variable changes first, as in Ruby's Array#product.
void add_rows(const MatrixEntry& entry, std::vector<Variables>& out) {
  for (std::uint64_t number = 0; number < entry.combinations; ++number) {
    Variables& row = out.emplace_back(entry.variables);
    std::uint64_t rest = number;
    for (std::size_t i = row.size(); i-- > 0; rest /= entry.values[i].size()) {
      row[i].value = entry.values[i][rest % entry.values[i].size()];
    }
  }
}

bool read_matrix_field(Reader& reader, const Key& key, Yaml yaml, Parallel& out) {
  return read_matrix(reader, key, yaml, out.matrix);
}

constexpr Field<Parallel> parallel_fields[] = {{"matrix", read_matrix_field, Shape{shapes::matrix}}};

}  // namespace

std::string shape_of(const Parallel*) {
  const std::string count = fmt::format(R"({{"type":"integer","minimum":1,"maximum":{}}})", most_instances);
  return any_shape_of({count, mapping_shape(parallel_fields, "\"matrix\"")});
}

bool read_matrix(Reader& reader, const Key& key, Yaml yaml, std::vector<Variables>& out) {
  constexpr std::string_view example = "for example `matrix: [{ OS: [linux, macos] }]`";
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of mappings", std::string(example));
  }
  if (yaml.size() == 0) {
    return reader.wrong(key, yaml, "makes no job: it is empty", std::string(example));
  }
  std::vector<MatrixEntry> entries(yaml.size());
  std::uint64_t total = 0;
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = read_entry(reader, key, yaml.item(i), entries[i]) && good;
    total = entries[i].combinations <= ~total ? total + entries[i].combinations : ~std::uint64_t{0};
  }
  if (!good) {
    return false;
  }
  // Counted before any of them is made.
  if (total > most_instances) {
    return reader.wrong(key, yaml, fmt::format("makes {} jobs; at most {} are allowed", total, most_instances));
  }
  out.clear();
  out.reserve(total);
  for (const MatrixEntry& entry : entries) {
    add_rows(entry, out);
  }
  return true;
}

std::string instance_name(std::string_view job, const Variables& row) {
  std::string name = fmt::format("{}: [", job);
  for (std::size_t i = 0; i < row.size(); ++i) {
    name += i == 0 ? "" : ", ";
    name += row[i].value;
  }
  return name + ']';
}

bool read(Reader& reader, const Key& key, Yaml yaml, Parallel& out) {
  out.mark = yaml.mark();
  if (yaml.is_mapping()) {
    if (!reader.fields(key, yaml, parallel_fields, out)) {
      return false;
    }
    const Yaml matrix = yaml.find("matrix");
    if (!matrix || matrix.is_null()) {
      return reader.wrong(key, yaml, "needs a `matrix`", "or write how many: `parallel: 3`");
    }
    out.count = static_cast<std::uint32_t>(out.matrix.size());
    return out.count > 0;
  }
  const std::optional<std::int64_t> count =
      yaml.is_scalar() && yaml.type() == ScalarType::integer ? scalar_integer(yaml.text()) : std::nullopt;
  if (!count || *count < 1 || *count > static_cast<std::int64_t>(most_instances)) {
    return reader.wrong(key, yaml, fmt::format("must be a number from 1 to {}, or a `matrix`", most_instances));
  }
  out.count = static_cast<std::uint32_t>(*count);
  return true;
}

}  // namespace pipelines
