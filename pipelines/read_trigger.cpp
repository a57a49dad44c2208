// `trigger` (docs.gitlab.com/ee/ci/yaml/#trigger): downstream pipelines.
#include <fmt/format.h>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

// As YAML's flow style, which says the same again when it is read.
void append_flow(std::string& out, Yaml yaml) {
  switch (yaml.kind()) {
    case Kind::null:
      out += "null";
      break;
    case Kind::scalar:
      if (yaml.is_string()) {
        append_quoted(out, yaml.text());
      } else {
        out += yaml.text();
      }
      break;
    case Kind::sequence:
      out += '[';
      for (std::size_t i = 0; i < yaml.size(); ++i) {
        if (i > 0) out += ", ";
        append_flow(out, yaml.item(i));
      }
      out += ']';
      break;
    case Kind::mapping:
      out += '{';
      for (std::size_t i = 0; i < yaml.size(); ++i) {
        if (i > 0) out += ", ";
        append_quoted(out, yaml.key(i).text());
        out += ": ";
        append_flow(out, yaml.value(i));
      }
      out += '}';
      break;
    case Kind::reference:  // none is left when values are read
      break;
  }
}

bool is_entry(Yaml yaml) { return yaml.is_string() || yaml.is_mapping(); }

// What stands in it is checked where it is read as an `include`: when the child pipeline is made.
bool read_include(Reader& reader, const Key& key, Yaml yaml, Downstream& out) {
  bool good = is_entry(yaml) || (yaml.is_sequence() && yaml.size() > 0);
  for (std::size_t i = 0; good && yaml.is_sequence() && i < yaml.size(); ++i) {
    good = is_entry(yaml.item(i));
  }
  if (!good) {
    return reader.mistyped(key, yaml, "a path, a mapping or a list of these", "for example `include: ci/child.yml`");
  }
  out.config = "include: ";
  append_flow(out.config, yaml);
  out.config += '\n';
  return true;
}

constexpr Word<Downstream::Strategy> strategies[] = {{"depend", Downstream::Strategy::depend},
                                                     {"mirror", Downstream::Strategy::mirror}};

bool read_strategy(Reader& reader, const Key& key, Yaml yaml, Downstream& out) {
  return reader.word(key, yaml, strategies, out.strategy);
}

constexpr Field<Downstream> forward_fields[] = {{"yaml_variables", member<&Downstream::yaml_variables>},
                                                {"pipeline_variables", member<&Downstream::pipeline_variables>}};

bool read_forward(Reader& reader, const Key& key, Yaml yaml, Downstream& out) {
  return reader.fields(key, yaml, forward_fields, out);
}

bool read_inputs(Reader& reader, const Key& key, Yaml yaml, Downstream&) {
  return yaml.is_mapping() || reader.mistyped(key, yaml, "a mapping of inputs");
}

// `trigger:inputs` beside `include`: for every file that it includes.
bool give_inputs(Reader& reader, const Key& key, Yaml include, Yaml inputs, Downstream& out) {
  std::string values;
  append_flow(values, inputs);
  std::string list;
  const std::size_t count = include.is_sequence() ? include.size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const Yaml item = include.is_sequence() ? include.item(i) : include;
    if (item.is_mapping() && item.find_key("inputs")) {
      return reader.wrong(key, item.find_key("inputs"), "has `inputs` both beside `include` and in it",
                          "keep those in `include`");
    }
    std::string entry;
    append_flow(entry, item);
    if (item.is_mapping()) {
      entry.pop_back();
      entry += item.size() > 0 ? ", " : "";
    } else {
      const bool remote = item.text().starts_with("http://") || item.text().starts_with("https://");
      entry = fmt::format("{{\"{}\": {}, ", remote ? "remote" : "local", entry);
    }
    list += fmt::format("{}{}\"inputs\": {}}}", list.empty() ? "" : ", ", entry, values);
  }
  out.config = fmt::format("include: [{}]\n", list);
  return true;
}

constexpr Field<Downstream> trigger_fields[] = {
    {"include", read_include, Shape{shapes::includes}},
    {"project", member<&Downstream::project>},
    {"branch", member<&Downstream::branch>},
    {"strategy", read_strategy, words<strategies>},
    {"forward", read_forward, Shape{[] { return mapping_shape(forward_fields); }}},
    {"inputs", read_inputs, Shape{[] { return std::string(R"({"type":"object"})"); }}},
};

}  // namespace

std::string shape_of(const Downstream*) {
  return any_shape_of({R"({"type":"string"})", mapping_shape(trigger_fields)});
}

bool read(Reader& reader, const Key& key, Yaml yaml, Downstream& out) {
  out.mark = yaml.mark();
  if (yaml.is_string()) {
    out.project = yaml.text();
    return true;
  }
  if (!reader.fields(key, yaml, trigger_fields, out, "a project's path or a mapping")) {
    return false;
  }
  const Yaml include = yaml.find("include");
  const Yaml project = yaml.find("project");
  if (include && project) {
    return reader.wrong(key, yaml, "has both `include` and `project`",
                        "a child pipeline is `include`, another project's is `project`");
  }
  if (!include && !project) {
    return reader.wrong(key, yaml, "needs `include` or `project`",
                        "for example `trigger: { include: ci/child.yml, strategy: depend }`");
  }
  if (include && yaml.find("branch")) {
    return reader.wrong(key, yaml.find_key("branch"), "has `branch`, which goes with `project` only");
  }
  if (const Yaml inputs = yaml.find("inputs"); include && inputs && inputs.is_mapping() && !out.config.empty()) {
    return give_inputs(reader, key, include, inputs, out);
  }
  return true;
}

}  // namespace pipelines
