#include "pipelines/job_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "pipelines/yaml_scalar.h"

namespace pipelines {
namespace {

MoaValue to_moa(Yaml yaml) {
  MoaValue value;
  switch (yaml.kind()) {
    case Kind::null:
    case Kind::reference:
      return value;
    case Kind::scalar:
      if (yaml.type() == ScalarType::boolean) return MoaValue::of(scalar_is_true(yaml.text()));
      if (yaml.type() == ScalarType::integer || yaml.type() == ScalarType::floating) {
        return MoaValue::of(std::strtod(scalar_to_s(yaml.text()).c_str(), nullptr));
      }
      return yaml.is_string() ? MoaValue::of(std::string(yaml.text())) : value;
    case Kind::sequence:
    case Kind::mapping:
      break;
  }
  value.type = yaml.is_sequence() ? MoaValue::Type::list : MoaValue::Type::object;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    if (yaml.is_mapping()) value.keys.emplace_back(yaml.key(i).text());
    value.items.push_back(to_moa(yaml.is_mapping() ? yaml.value(i) : yaml.item(i)));
  }
  return value;
}

}  // namespace

std::vector<std::string_view> input_names(Yaml inputs) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; inputs.is_mapping() && i < inputs.size(); ++i) {
    names.push_back(inputs.key(i).text());
  }
  return names;
}

JobInputs::JobInputs(YamlTree& tree, Reader& reader) : tree_(tree), reader_(reader) {}

bool JobInputs::define(std::string_view job, Yaml inputs,
                       const std::vector<std::pair<std::string, std::string>>& given) {
  InputSurroundings around;
  around.file = fmt::format("job \"{}\"", job);
  const std::vector<std::string_view> known = input_names(inputs);
  for (const auto& [name, value] : given) {
    // Others may be the file's, or another job's.
    if (std::ranges::find(known, name) != known.end()) {
      const Mark nowhere{inputs.mark().source, 0, 0};
      around.given.push_back({name, nowhere, tree_.make_scalar(nowhere, value, false)});
    }
  }
  around.read_text = [&](const std::string&, std::string_view text) { return read_list(inputs.mark(), text); };
  const std::size_t errors = reader_.findings().errors();
  Inputs values(tree_, reader_.findings(), around);
  values.define_of_job(reader_, inputs);
  if (reader_.findings().errors() == errors) {
    values.settle(reader_);
  }
  MoaValue all;
  all.type = MoaValue::Type::object;
  for (const auto& [name, value] : values.values()) {
    all.keys.push_back(name);
    all.items.push_back(to_moa(value));
  }
  job_.type = MoaValue::Type::object;
  job_.keys = {"inputs"};
  job_.items = {std::move(all)};
  return reader_.findings().errors() == errors;
}

// JSON, as GitLab wants it there, is a list of Moa's.
std::optional<Yaml> JobInputs::read_list(Mark mark, std::string_view text) {
  const auto read = interpolate(fmt::format("${{{{{}}}}}", text), [](std::string_view) { return std::nullopt; });
  const auto* value = std::get_if<MoaValue>(&read);
  if (value == nullptr || value->type != MoaValue::Type::list) {
    return std::nullopt;
  }
  return to_yaml(*value, tree_.make_scalar(mark, "", true), false);
}

Yaml JobInputs::put_in(Yaml value, bool as_text) {
  if (value.is_scalar()) {
    return scalar(value, as_text);
  }
  return value.is_sequence() || value.is_mapping() ? container(value, as_text) : value;
}

Yaml JobInputs::container(Yaml value, bool as_text) {
  std::vector<NodeIndex> items;
  std::vector<YamlTree::Entry> entries;
  bool changed = false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const Yaml old = value.is_mapping() ? value.value(i) : value.item(i);
    const Yaml made = put_in(old, as_text);
    changed = changed || made.index() != old.index();
    if (value.is_mapping()) {
      entries.push_back({value.key(i).index(), made.index()});
    } else {
      items.push_back(made.index());
    }
  }
  if (!changed) {
    return value;
  }
  return (value.is_mapping() ? tree_.make_mapping(value.mark(), entries) : tree_.make_sequence(value.mark(), items))
      .value_or(value);
}

Yaml JobInputs::scalar(Yaml host, bool as_text) {
  if (!host.is_string() || !has_moa(host.text())) {
    return host;
  }
  const auto result = interpolate(host.text(), [&](std::string_view name) -> std::optional<MoaValue> {
    return name == "job" ? std::optional(job_) : std::nullopt;
  });
  if (const auto* error = std::get_if<MoaError>(&result)) {
    reader_.findings().error(host.mark_at(error->offset), error->message, error->hint);
    return host;
  }
  grown_ += std::get<MoaValue>(result).str().size();
  if (grown_ > most_growth) {
    reader_.findings().error(host.mark(), "the inputs of this job make far too much of it",
                             fmt::format("at most {} MB of text", most_growth / (1024 * 1024)));
    return host;
  }
  return to_yaml(std::get<MoaValue>(result), host, as_text);
}

Yaml JobInputs::to_yaml(const MoaValue& value, Yaml host, bool as_text) {
  switch (value.type) {
    case MoaValue::Type::boolean:
    case MoaValue::Type::number:
      return tree_.make_scalar(host.mark(), value.str(), host.is_plain() && !as_text);
    case MoaValue::Type::list: {
      if (as_text) {
        break;
      }
      std::vector<NodeIndex> items;
      for (const MoaValue& item : value.items) {
        items.push_back(to_yaml(item, tree_.make_scalar(host.mark(), "", true), false).index());
      }
      return tree_.make_sequence(host.mark(), items).value_or(host);
    }
    case MoaValue::Type::null:
    case MoaValue::Type::text:
    case MoaValue::Type::object:
      break;
  }
  return tree_.make_scalar(host.mark(), value.str(), false);
}

}  // namespace pipelines
