#include "runner/hosts/vault.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace runner {
namespace {

using nlohmann::json;

// In one line: what stands in "errors" (Vault, "Error response"), else nothing.
std::string words_of(const json& answer, const char* member) {
  std::string all;
  if (!answer.is_object() || !answer.contains(member) || !answer.at(member).is_array()) return all;
  for (const json& one : answer.at(member)) {
    if (one.is_string()) all += (all.empty() ? "" : ", ") + one.get<std::string>();
  }
  std::ranges::replace_if(
      all, [](unsigned char c) { return c < 0x20; }, ' ');
  return all;
}

std::string joined(std::string_view before, std::string_view after) {
  return fmt::format("{}{}{}", before, before.empty() || after.empty() ? "" : "/", after);
}

// "a//b/" is "a/b"; nothing leads out of the engine.
std::string cleaned(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      throw executors::WorldError(secret_misconfigured, "a secret's path cannot have `..`",
                                  "name it from its engine on");
    }
    result = joined(result, part);
  }
  return result;
}

[[noreturn]] void refuse(const ApiResponse& response, const std::string& what, const std::string& hint) {
  const json answer = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const std::string words = words_of(answer, "errors");
  const std::string message =
      fmt::format("{}: it answered {}{}{}", what, response.status, words.empty() ? "" : ": ", words);
  const bool ours =
      response.status == 400 || response.status == 401 || response.status == 403 || response.status == 404;
  throw executors::WorldError(ours                     ? secret_misconfigured
                              : response.status >= 500 ? secret_server_failed
                                                       : secret_unavailable,
                              message, response.status >= 500 || response.status == 429 ? "try again later" : hint);
}

}  // namespace

std::string vault_path(const pipelines::Secret::Vault& secret) {
  const std::string engine = cleaned(secret.engine_path);
  return joined(secret.engine == "kv-v2" ? joined(engine, "data") : engine, cleaned(secret.path));
}

Vault::Vault(ApiClient& client, VaultAccess access, Persistence persistence)
    : client_(client), access_(std::move(access)), persistence_(persistence) {}

// A standby sends its client on to the active server (Vault, "Client redirection"): once, and never from https to http.
ApiResponse Vault::send(ApiRequest request) {
  request.headers.emplace_back("X-Vault-Request: true");
  if (!access_.name_space.empty()) request.headers.push_back("X-Vault-Namespace: " + access_.name_space);
  try {
    ApiResponse response = send_patiently(client_, request, persistence_);
    if (response.status != 301 && response.status != 302 && response.status != 307) return response;
    const std::string target = response.header("location");
    const bool allowed =
        target.starts_with("https://") || (target.starts_with("http://") && request.url.starts_with("http://"));
    if (!allowed) {
      throw executors::WorldError(secret_misconfigured,
                                  fmt::format("{} sends us on, but not by https", server_of(request.url)),
                                  "name the active server in VAULT_SERVER_URL");
    }
    request.url = target;
    return send_patiently(client_, request, persistence_);
  } catch (const ApiError& error) {
    throw executors::WorldError(secret_unavailable, fmt::format("Vault cannot be asked: {}", error.what()),
                                "see whether VAULT_SERVER_URL is right and can be reached from here; a certificate of "
                                "your own goes into [secrets] ca_file or VAULT_CACERT");
  }
}

std::string Vault::log_in() {
  json body{{"jwt", access_.jwt}};
  if (!access_.role.empty()) body["role"] = access_.role;
  const std::string path = cleaned(access_.auth_path);
  const ApiResponse response = send({"POST",
                                     fmt::format("{}/v1/auth/{}/login", access_.url, url_escaped_path(path)),
                                     {"Content-Type: application/json"},
                                     body.dump(-1, ' ', false, json::error_handler_t::replace)});
  if (response.status != 200) {
    refuse(
        response, fmt::format("Vault at {} does not let the job in", server_of(access_.url)),
        fmt::format("see `vault read auth/{}/config` and the role {}: issuer, keys, bound_audiences and bound_claims "
                    "have to fit the ID token",
                    path, access_.role.empty() ? "that is its default" : access_.role));
  }
  const json answer = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const json token = answer.is_object() ? answer.value("/auth/client_token"_json_pointer, json()) : json();
  if (!token.is_string() || token.get<std::string>().empty()) {
    throw executors::WorldError(secret_unavailable,
                                fmt::format("{} answered a login without a token", server_of(access_.url)),
                                "see whether VAULT_SERVER_URL is a Vault");
  }
  return token.get<std::string>();
}

std::string Vault::read(const pipelines::Secret::Vault& secret) {
  const std::string path = vault_path(secret);
  if (token_.empty()) token_ = log_in();
  const ApiResponse response =
      send({"GET", fmt::format("{}/v1/{}", access_.url, url_escaped_path(path)), {"X-Vault-Token: " + token_}, {}});
  const std::string where = fmt::format("{} at {}", path, server_of(access_.url));
  if (response.status != 200 && response.status != 404) {
    refuse(response, fmt::format("cannot read {}", where),
           fmt::format("see whether the role {}may read {}", access_.role.empty() ? "" : access_.role + " ", path));
  }
  const json answer = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  json data = answer.is_object() ? answer.value("data", json()) : json();
  if (secret.engine == "kv-v2" && data.is_object()) data = data.value("data", json());
  if (!data.is_object()) {
    const std::string words = words_of(answer, "warnings");
    throw SecretMissing(
        fmt::format("there is no secret {}{}{}", where, words.empty() ? "" : ": ", words),
        fmt::format("see whether the path is right, and the engine {} really a {}", secret.engine_path, secret.engine));
  }
  const json value = data.value(secret.field, json());
  if (value.is_null()) {
    std::string fields;
    for (const auto& [name, unused] : data.items()) fields += (fields.empty() ? "" : ", ") + name;
    throw SecretMissing(fmt::format("the secret {} has no field {}", where, secret.field),
                        fmt::format("it has {}", fields.empty() ? "none" : fields));
  }
  return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace runner
