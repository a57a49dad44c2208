// `image` and `services` (docs.gitlab.com/ee/ci/yaml/#image, #services).
#include <algorithm>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr Word<PullPolicy> pull_policies[] = {
    {"always", PullPolicy::always},
    {"if-not-present", PullPolicy::if_not_present},
    {"never", PullPolicy::never},
};

bool read_pull_policy(Reader& reader, const Key& key, Yaml yaml, Image& out) {
  if (!yaml.is_sequence()) {
    return reader.word(key, yaml, pull_policies, out.pull_policy.emplace_back());
  }
  if (yaml.size() == 0) {
    return reader.wrong(key, yaml, "must name at least one policy");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = reader.word(key, yaml.item(i), pull_policies, out.pull_policy.emplace_back()) && good;
  }
  return good;
}

constexpr Shape pull_policy_shape{[] {
  const std::string one = words<pull_policies>.json();
  return any_shape_of({one, list_shape(one, R"(,"minItems":1)")});
}};

constexpr Field<Image> docker_fields[] = {
    {"platform", member<&Image::platform>},
    {"user", member<&Image::user>},
};

bool read_docker(Reader& reader, const Key& key, Yaml yaml, Image& out) {
  return reader.fields(key, yaml, docker_fields, out);
}

constexpr Shape docker_shape{[] { return mapping_shape(docker_fields); }};

constexpr std::string_view kubernetes_note = "there is no Kubernetes here";
constexpr std::string_view ports_note = "ports are for GitLab's web terminals";

constexpr Field<Image> image_fields[] = {
    {"name", member<&Image::name>},
    {"entrypoint", member<&Image::entrypoint>},
    {"pull_policy", read_pull_policy, pull_policy_shape},
    {"docker", read_docker, docker_shape},
    {"kubernetes", nullptr, Support::left_out, kubernetes_note},
    {"ports", nullptr, Support::left_out, ports_note},
};

template <auto Member>
struct OfImage {
  static constexpr Shape shape = shape_for<typename MemberClass<decltype(Member)>::value>;
  static bool read_member(Reader& reader, const Key& key, Yaml yaml, Service& out) {
    return read(reader, key, yaml, out.image.*Member);
  }
  constexpr explicit operator Field<Service>::Reads() const { return &read_member; }
};
template <auto Member>
constexpr OfImage<Member> of_image{};

// gitlab-runner takes several names in one string, separated by commas or spaces.
bool read_alias(Reader& reader, const Key& key, Yaml yaml, Service& out) {
  std::string text;
  if (!read(reader, key, yaml, text)) {
    return false;
  }
  out.aliases.clear();
  constexpr std::string_view separators = ", \t\n";
  for (std::size_t begin = text.find_first_not_of(separators); begin != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
    out.aliases.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(separators, end);
  }
  return true;
}

constexpr Field<Service> service_fields[] = {
    {"name", of_image<&Image::name>},
    {"alias", read_alias, shape_for<std::string>},
    {"entrypoint", of_image<&Image::entrypoint>},
    {"command", member<&Service::command>},
    {"variables", member<&Service::variables>},
    {"pull_policy", [](Reader& r, const Key& k, Yaml y, Service& s) { return read_pull_policy(r, k, y, s.image); },
     pull_policy_shape},
    {"docker", [](Reader& r, const Key& k, Yaml y, Service& s) { return read_docker(r, k, y, s.image); }, docker_shape},
    {"kubernetes", nullptr, Support::left_out, kubernetes_note},
    {"ports", nullptr, Support::left_out, ports_note},
};

bool named(Reader& reader, const Key& key, Yaml yaml, const std::string& name) {
  if (!name.empty()) {
    return true;
  }
  // A `name` of a wrong type has been spoken of.
  if (const Yaml given = yaml.find("name"); !given || given.is_null() || given.is_string()) {
    reader.wrong(key, yaml, "needs the image's `name`", "for example `alpine:3.20`");
  }
  return false;
}

bool read_service(Reader& reader, const Key& key, Yaml yaml, Service& out) {
  out.image.mark = yaml.mark();
  if (yaml.is_string()) {
    out.image.name = yaml.text();
    return named(reader, key, yaml, out.image.name);
  }
  return reader.fields(key, yaml, service_fields, out, "a string or a mapping") &&
         named(reader, key, yaml, out.image.name);
}

}  // namespace

std::string shape_of(const Image*) {
  return any_shape_of({R"({"type":"string","minLength":1})", mapping_shape(image_fields, "\"name\"")});
}
std::string shape_of(const std::vector<Service>*) {
  return list_shape(any_shape_of({R"({"type":"string","minLength":1})", mapping_shape(service_fields, "\"name\"")}));
}

bool read(Reader& reader, const Key& key, Yaml yaml, Image& out) {
  out.mark = yaml.mark();
  if (yaml.is_string()) {
    out.name = yaml.text();
    return named(reader, key, yaml, out.name);
  }
  return reader.fields(key, yaml, image_fields, out, "a string or a mapping") && named(reader, key, yaml, out.name);
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<Service>& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of services", "write `services: [postgres:16]`, or a list of mappings");
  }
  out.clear();
  out.reserve(yaml.size());
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = read_service(reader, key, yaml.item(i), out.emplace_back()) && good;
  }
  return good;
}

}  // namespace pipelines
