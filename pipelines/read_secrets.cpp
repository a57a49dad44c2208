// `id_tokens` and `secrets` (docs.gitlab.com/ci/yaml/#id_tokens, #secrets; GitLab's lib/gitlab/ci/config/entry/
// id_token.rb and ee/lib/gitlab/ci/config/entry/secret.rb, vault/secret.rb, azure_key_vault/secret.rb,
// gcp_secret_manager/secret.rb, aws_secrets_manager/secret.rb, gitlab_secrets_manager/secret.rb, akeyless/secret.rb).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

bool present(Yaml yaml) { return static_cast<bool>(yaml) && !yaml.is_null(); }

bool needs(Reader& reader, const Key& key, Yaml yaml, std::string_view name) {
  return present(yaml.find(name)) || reader.wrong(key, yaml, fmt::format("needs `{}`", name));
}

// --- id_tokens -------------------------------------------------------------------------------------------------------

bool read_audience(Reader& reader, const Key& key, Yaml yaml, IdToken& out) {
  out.list = yaml.is_sequence();
  if (!read_string_or_list(reader, key, yaml, out.audience)) {
    return false;
  }
  return std::ranges::none_of(out.audience, &std::string::empty) || reader.wrong(key, yaml, "cannot be empty");
}

constexpr Field<IdToken> id_token_fields[] = {{"aud", read_audience, Shape{shapes::string_or_list}}};

// --- secrets:vault ---------------------------------------------------------------------------------------------------

constexpr Word<std::string_view> engines[] = {{"kv-v2", "kv-v2"}, {"kv-v1", "kv-v1"}, {"generic", "generic"}};

bool read_engine_name(Reader& reader, const Key& key, Yaml yaml, Secret::Vault& out) {
  std::string_view word;
  if (!reader.word(key, yaml, engines, word)) {
    return false;
  }
  out.engine = word;
  return true;
}

constexpr Field<Secret::Vault> engine_fields[] = {{"name", read_engine_name, words<engines>},
                                                  {"path", member<&Secret::Vault::engine_path>}};
constexpr std::string_view engine_required = R"("name","path")";

bool read_engine(Reader& reader, const Key& key, Yaml yaml, Secret::Vault& out) {
  return reader.fields(key, yaml, engine_fields, out) && needs(reader, key, yaml, "name") &&
         needs(reader, key, yaml, "path");
}

constexpr Shape engine_shape{[] { return mapping_shape(engine_fields, engine_required); }};
constexpr Field<Secret::Vault> vault_fields[] = {
    {"engine", read_engine, engine_shape},
    {"path", member<&Secret::Vault::path>},
    {"field", member<&Secret::Vault::field>},
};
constexpr std::string_view vault_required = R"("engine","path","field")";

// `production/db/password@ops`: the field stands behind the last slash, the engine's path behind the last `@`.
bool read_vault_text(Reader& reader, const Key& key, Yaml yaml, Secret::Vault& out) {
  std::string_view text = yaml.text();
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos && at != 0) {
    out.engine_path = text.substr(at + 1);
    text = text.substr(0, at);
  }
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size() || out.engine_path.empty()) {
    return reader.wrong(key, yaml, fmt::format("is no secret: \"{}\"", yaml.text()),
                        "write PATH/FIELD or PATH/FIELD@ENGINE, for example `production/db/password@ops`");
  }
  out.path = text.substr(0, slash);
  out.field = text.substr(slash + 1);
  return true;
}

bool read_vault(Reader& reader, const Key& key, Yaml yaml, Secret& out) {
  Secret::Vault vault;
  const bool good = yaml.is_string() ? read_vault_text(reader, key, yaml, vault)
                                     : reader.fields(key, yaml, vault_fields, vault, "a text or a mapping") &&
                                           needs(reader, key, yaml, "engine") && needs(reader, key, yaml, "path") &&
                                           needs(reader, key, yaml, "field");
  out.vault = std::move(vault);
  return good;
}

// --- other providers -------------------------------------------------------------------------------------------------

bool read_version(Reader& reader, const Key& key, Yaml yaml, Secret::Cloud& out) {
  if (!yaml.is_scalar()) {
    return reader.mistyped(key, yaml, "a string or a number");
  }
  out.version = yaml.text();
  return std::ranges::all_of(out.version, [](unsigned char c) { return std::isalnum(c) != 0; }) ||
         reader.wrong(key, yaml, "has letters and digits only");
}

constexpr Shape version_shape{[] { return std::string(R"({"type":["string","integer"]})"); }};
constexpr Field<Secret::Cloud> azure_fields[] = {{"name", member<&Secret::Cloud::name>},
                                                 {"version", member<&Secret::Cloud::version>}};
constexpr Field<Secret::Cloud> gcp_fields[] = {{"name", member<&Secret::Cloud::name>},
                                               {"version", read_version, version_shape}};

template <auto Member, auto& Fields>
bool read_cloud(Reader& reader, const Key& key, Yaml yaml, Secret& out) {
  Secret::Cloud& cloud = (out.*Member).emplace();
  return reader.fields(key, yaml, Fields, cloud) && needs(reader, key, yaml, "name");
}

template <auto& Fields>
constexpr Shape cloud_shape{[] { return mapping_shape(Fields, R"("name")"); }};

// What is checked, and then taken from the user alone.
struct Unused {};
constexpr Field<Unused> aws_fields[] = {
    {"secret_id", checked<std::string>},
    {"version_id", checked<std::string>},
    {"version_stage", checked<std::string>},
    {"field", checked<std::string>},
    {"region", checked<std::string>},
    {"role_arn", checked<std::string>},
    {"role_session_name", checked<std::string>},
};
constexpr Field<Unused> gitlab_fields[] = {{"name", checked<std::string>}, {"source", checked<std::string>}};
constexpr Field<Unused> akeyless_fields[] = {
    {"name", checked<std::string>},
    {"data_key", checked<std::string>},
    {"cert_user_name", checked<std::string>},
    {"public_key_data", checked<std::string>},
    {"csr_data", checked<std::string>},
    {"akeyless_api_url", checked<std::string>},
    {"akeyless_access_type", checked<std::string>},
    {"akeyless_token", checked<std::string>},
    {"uid_token", checked<std::string>},
    {"gcp_audience", checked<std::string>},
    {"azure_object_id", checked<std::string>},
    {"k8s_service_account_token", checked<std::string>},
    {"k8s_auth_config_name", checked<std::string>},
    {"akeyless_access_key", checked<std::string>},
    {"gateway_ca_certificate", checked<std::string>},
};

template <auto& Fields>
bool read_left_out(Reader& reader, const Key& key, Yaml yaml, Secret& out) {
  out.left_out = key.name;
  Unused unused;
  const bool text = key.name == "aws_secrets_manager" && yaml.is_string();
  if (!text && !reader.fields(key, yaml, Fields, unused)) {
    return false;
  }
  reader.findings().warning(yaml.mark(), fmt::format("{} is left out", key.quoted()),
                            fmt::format("give its value with `--secret {}`", key.owner->name));
  return true;
}

template <auto& Fields>
constexpr Shape left_out_shape{[] { return mapping_shape(Fields); }};

constexpr Field<Secret> secret_fields[] = {
    {"vault", read_vault, Shape{[] {
       return any_shape_of({R"({"type":"string"})", mapping_shape(vault_fields, vault_required)});
     }}},
    {"file", member<&Secret::file>},
    {"token", member<&Secret::token>},
    {"azure_key_vault", read_cloud<&Secret::azure_key_vault, azure_fields>, cloud_shape<azure_fields>},
    {"gcp_secret_manager", read_cloud<&Secret::gcp_secret_manager, gcp_fields>, cloud_shape<gcp_fields>},
    {"aws_secrets_manager", read_left_out<aws_fields>, Shape{[] {
       return any_shape_of({R"({"type":"string"})", mapping_shape(aws_fields)});
     }}},
    {"gitlab_secrets_manager", read_left_out<gitlab_fields>, left_out_shape<gitlab_fields>},
    {"akeyless", read_left_out<akeyless_fields>, left_out_shape<akeyless_fields>},
};
constexpr std::array providers = {
    "vault", "azure_key_vault", "gcp_secret_manager", "aws_secrets_manager", "gitlab_secrets_manager", "akeyless"};

std::string providers_as_words() { return list_words({providers.begin(), providers.end()}, "or"); }

bool check_provider(Reader& reader, const Key& key, Yaml yaml) {
  const auto count = std::ranges::count_if(providers, [&](const char* name) { return present(yaml.find(name)); });
  if (count != 1) {
    return reader.wrong(key, yaml, fmt::format("needs exactly one of {}", providers_as_words()),
                        "for example `vault: production/db/password@ops`");
  }
  if (present(yaml.find("gcp_secret_manager")) && !present(yaml.find("token"))) {
    return reader.wrong(key, yaml, "needs `token`, as every `gcp_secret_manager` does",
                        "for example `token: $GCP_ID_TOKEN`");
  }
  return true;
}

// A mapping of names to what `one` reads.
template <class T, class One>
bool read_named(Reader& reader, const Key& key, Yaml yaml, std::vector<T>& out, const One& one) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of variables");
  }
  out.clear();
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    T& made = out.emplace_back();
    made.name = yaml.key(i).text();
    made.mark = yaml.key(i).mark();
    good = one(Key{&key, yaml.key(i).text()}, yaml.value(i), made) && good;
  }
  return good;
}

std::string named_shape(const std::string& value) {
  return R"({"type":"object","additionalProperties":)" + value + "}";
}

// A provider is needed, and only one: `oneOf` of what must be there.
std::string secret_shape() {
  std::string one;
  for (const char* name : providers) {
    const std::string token = std::string_view(name) == "gcp_secret_manager" ? R"(,"token")" : "";
    one += fmt::format(R"({}{{"required":["{}"{}]}})", one.empty() ? "" : ",", name, token);
  }
  std::string shape = mapping_shape(secret_fields);
  shape.pop_back();
  return shape + R"(,"oneOf":[)" + one + "]}";
}

}  // namespace

std::string shape_of(const std::vector<IdToken>*) { return named_shape(mapping_shape(id_token_fields, R"("aud")")); }
std::string shape_of(const std::vector<Secret>*) { return named_shape(secret_shape()); }

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<IdToken>& out) {
  return read_named(reader, key, yaml, out, [&](const Key& name, Yaml value, IdToken& token) {
    return reader.fields(name, value, id_token_fields, token, "a mapping with `aud`") &&
           (present(value.find("aud")) ||
            reader.wrong(name, value, "needs `aud`",
                         "for whom the token is, for example `aud: https://vault.example.com`"));
  });
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<Secret>& out) {
  return read_named(reader, key, yaml, out, [&](const Key& name, Yaml value, Secret& secret) {
    return reader.fields(name, value, secret_fields, secret) && check_provider(reader, name, value);
  });
}

}  // namespace pipelines
