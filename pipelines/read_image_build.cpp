// `image_build` (docs.docker.com/engine/api/v1.41: ImageBuild; distribution's reference grammar for names and tags) and
// `rollback`.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "pipelines/read_steps.h"

namespace pipelines {
namespace {

bool is_tag(std::string_view text) {
  constexpr std::size_t longest = 128;
  const auto word = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return text.size() <= longest && word(static_cast<unsigned char>(text.front())) &&
         std::ranges::all_of(text, [&](unsigned char c) { return word(c) || c == '.' || c == '-'; });
}
constexpr Form tag{is_tag, "is no tag", "letters, digits, `_`, `.` and `-`, at most 128"};

bool is_platform(std::string_view text) {
  const auto slashes = std::ranges::count(text, '/');
  return slashes >= 1 && slashes <= 2 && text.front() != '/' && text.back() != '/';
}
constexpr Form platform{is_platform, "is no platform", "for example linux/amd64 or linux/arm64/v8"};

// REGISTRY/NAME: what stands behind the last slash decides whether a colon is a tag's or a port's.
struct Repository {
  bool read(Reader& reader, const Key& key, Yaml yaml, std::string& out) const {
    if (!some_text.read(reader, key, yaml, out)) return false;
    const std::string_view last = std::string_view(out).substr(out.rfind('/') == out.npos ? 0 : out.rfind('/') + 1);
    if (out.find("://") != std::string::npos) {
      return reader.wrong(key, yaml, "is no address: a repository has no scheme",
                          "for example registry.example.com/group/app");
    }
    if (last.find_first_of(":@") != std::string_view::npos) {
      return reader.wrong(key, yaml, "has a tag or digest", "write the tags in `tags`");
    }
    const bool upper =
        is_literal(out) && std::ranges::any_of(out, [](unsigned char c) { return std::isupper(c) != 0; });
    return !upper || reader.wrong(key, yaml, "must be in small letters");
  }
  std::string shape(const std::string*) const { return R"({"type":"string","minLength":1})"; }
};

// --- secrets ---------------------------------------------------------------------------------------------------------

constexpr Field<ImageBuild::Secret> secret_fields[] = {{"file", as<&ImageBuild::Secret::file, some_text>}};

bool read_secrets(Reader& reader, const Key& key, Yaml yaml, ImageBuild& out) {
  constexpr const char* example = "for example `secrets: { npm_token: $NPM_TOKEN, npmrc: { file: .npmrc } }`";
  if (!yaml.is_mapping()) return reader.mistyped(key, yaml, "a mapping of names to values or files", example);
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const Key of_one{&key, yaml.key(i).text()};
    const Yaml value = yaml.value(i);
    ImageBuild::Secret& secret = out.secrets.emplace_back();
    secret.id = yaml.key(i).text();
    if (value.is_mapping()) {
      good = reader.fields(of_one, value, secret_fields, secret) && require(reader, of_one, value, {"file"}) && good;
    } else {
      good = some_text.read(reader, of_one, value, secret.value) && good;
    }
  }
  return good;
}

constexpr Shape secrets_shape{[] {
  return R"({"type":"object","additionalProperties":)" +
         any_shape_of({R"({"type":"string","minLength":1})", mapping_shape(secret_fields, "\"file\"")}) + "}";
}};

// --- create_repository -----------------------------------------------------------------------------------------------

constexpr Field<ImageBuild::CreateRepository> create_fields[] = {
    {"scan_on_push", member<&ImageBuild::CreateRepository::scan_on_push>},
    {"immutable", member<&ImageBuild::CreateRepository::immutable>},
};

bool read_create(Reader& reader, const Key& key, Yaml yaml, ImageBuild& out) {
  if (yaml.is_scalar() && yaml.type() == ScalarType::boolean) {
    if (scalar_is_true(yaml.text())) out.create_repository.emplace(ImageBuild::CreateRepository{});
    return true;
  }
  return reader.fields(key, yaml, create_fields, out.create_repository.emplace(ImageBuild::CreateRepository{}),
                       "true, false or a mapping");
}

constexpr Shape create_shape{[] { return any_shape_of({R"({"type":"boolean"})", mapping_shape(create_fields)}); }};

constexpr Field<ImageBuild> build_fields[] = {
    {"context", as<&ImageBuild::context, some_text>},
    {"dockerfile", as<&ImageBuild::dockerfile, some_text>},
    {"target", as<&ImageBuild::target, some_text>},
    {"repository", as<&ImageBuild::repository, Repository{}>},
    {"tags", as<&ImageBuild::tags, Texts<tag>{}>},
    {"build_args", member<&ImageBuild::build_args>},
    {"labels", member<&ImageBuild::labels>},
    {"secrets", read_secrets, secrets_shape},
    {"platform", as<&ImageBuild::platform, Text<platform>{}>},
    {"network", as<&ImageBuild::network, some_text>},
    {"cache_from", as<&ImageBuild::cache_from, some_texts>},
    {"push", member<&ImageBuild::push>},
    {"pull", member<&ImageBuild::pull>},
    {"no_cache", member<&ImageBuild::no_cache>},
    {"overwrite", member<&ImageBuild::overwrite>},
    {"create_repository", read_create, create_shape},
};

// --- rollback --------------------------------------------------------------------------------------------------------

bool read_environment(Reader& reader, const Key& key, Yaml yaml, RollbackStep& out) {
  return read(reader, key, yaml, out.environment) && check_environment_name(reader, key, yaml, out.environment);
}

constexpr Field<RollbackStep> rollback_fields[] = {
    {"environment", read_environment, shape_for<std::string>},
    {"to", as<&RollbackStep::to, NumberText{1}>},
};

}  // namespace

std::string shape_of(const ImageBuild*) { return mapping_shape(build_fields, "\"repository\""); }
std::string shape_of(const RollbackStep*) {
  return any_shape_of({R"({"type":"string"})", mapping_shape(rollback_fields, "\"environment\"")});
}

bool read(Reader& reader, const Key& key, Yaml yaml, ImageBuild& out) {
  // The commit's never moves, the branch's does.
  out.tags = {"$CI_COMMIT_SHA", "$CI_COMMIT_REF_SLUG"};
  if (!reader.fields(key, yaml, build_fields, out)) return false;
  if (!out.push) {
    refuse(reader, key, yaml, {"create_repository", "overwrite"}, "goes with `push: true` only");
  }
  return require(reader, key, yaml, {"repository"}, "for example `repository: registry.example.com/group/app`");
}

bool read(Reader& reader, const Key& key, Yaml yaml, RollbackStep& out) {
  if (yaml.is_string()) return read_environment(reader, key, yaml, out);
  return reader.fields(key, yaml, rollback_fields, out, "an environment or a mapping") &&
         require(reader, key, yaml, {"environment"}, "for example `rollback: { environment: production }`");
}

}  // namespace pipelines
