#include "runner/hosts/cloud_secrets.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "runner/hosts/vault.h"

namespace runner {
namespace {

using nlohmann::json;

// What the server says of a failure: OAuth's error_description (RFC 6749, section 5.2), or error.message.
std::string words_of(const json& answer) {
  json words;
  if (answer.is_object()) {
    words = answer.value("error_description", json());
    if (!words.is_string()) words = answer.value("/error/message"_json_pointer, json());
  }
  if (!words.is_string()) return {};
  std::string text = words.get<std::string>();
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20; }, ' ');
  return ": " + text;
}

// The answer of a server that was content.
json ask(ApiClient& client, const ApiRequest& request, const Persistence& persistence, const std::string& what,
         const std::string& hint) {
  ApiResponse response;
  try {
    response = send_patiently(client, request, persistence);
  } catch (const ApiError& error) {
    throw executors::WorldError(secret_unavailable, fmt::format("{}: {}", what, error.what()),
                                "see whether it can be reached from here");
  }
  json answer = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (response.status == 200 && answer.is_object()) return answer;
  const std::string message =
      fmt::format("{}: {} answered {}{}", what, server_of(request.url), response.status, words_of(answer));
  if (response.status == 404) throw SecretMissing(message, hint);
  throw executors::WorldError(response.status >= 500                             ? secret_server_failed
                              : response.status >= 400 && response.status != 429 ? secret_misconfigured
                                                                                 : secret_unavailable,
                              message, hint);
}

std::string text_in(const json& answer, const char* pointer, const std::string& what) {
  const json value = answer.value(json::json_pointer(pointer), json());
  if (!value.is_string()) throw executors::WorldError(secret_unavailable, what + ": its answer cannot be read");
  return value.get<std::string>();
}

std::optional<std::string> from_base64(std::string text) {
  while (text.size() % 4 != 0) text += '=';
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  const auto padding = static_cast<std::size_t>(std::count(text.begin(), text.end(), '='));
  bytes.resize(static_cast<std::size_t>(size) - std::min<std::size_t>(padding, static_cast<std::size_t>(size)));
  return bytes;
}

// CRC-32C (RFC 3720, appendix B.4), bit by bit: a secret has 64 KiB at most.
std::uint32_t crc32c(const std::string& bytes) {
  std::uint32_t crc = 0xFFFF'FFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F6'3B78U : 0U);
  }
  return ~crc;
}

// "https://vault.azure.net/.default" for https://mine.vault.azure.net.
std::string azure_scope(const std::string& url) {
  const std::string server = server_of(url);
  const std::size_t host = server.find("://");
  const std::size_t dot = server.find('.');
  if (host == std::string::npos || dot == std::string::npos) return "https://vault.azure.net/.default";
  return "https://" + server.substr(dot + 1, server.find(':', host + 3) - dot - 1) + "/.default";
}

}  // namespace

std::string read_azure_secret(ApiClient& client, const AzureAccess& access, const pipelines::Secret::Cloud& secret,
                              const Persistence& persistence) {
  const std::string form =
      fmt::format("grant_type=client_credentials&client_id={}&scope={}&client_assertion_type={}&client_assertion={}",
                  url_escaped(access.client), url_escaped(azure_scope(access.url)),
                  url_escaped("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), url_escaped(access.jwt));
  const json token = ask(client,
                         {"POST",
                          fmt::format("{}/{}/oauth2/v2.0/token", access.authority, url_escaped(access.tenant)),
                          {"Content-Type: application/x-www-form-urlencoded"},
                          form},
                         persistence, "Azure does not take the ID token",
                         "see AZURE_CLIENT_ID, AZURE_TENANT_ID and the application's federated credential");
  const std::string version = secret.version.empty() ? "" : "/" + url_escaped(secret.version);
  const std::string what = fmt::format("cannot read the secret {}", secret.name);
  const json answer =
      ask(client,
          {"GET",
           fmt::format("{}/secrets/{}{}?api-version=7.4", access.url, url_escaped(secret.name), version),
           {"Authorization: Bearer " + text_in(token, "/access_token", "Azure's login")},
           {}},
          persistence, what, "see its name, and whether the application may read secrets of this key vault");
  return text_in(answer, "/value", what);
}

std::string read_google_secret(ApiClient& client, const GoogleAccess& access, const pipelines::Secret::Cloud& secret,
                               const Persistence& persistence) {
  const json exchange{
      {"audience",
       fmt::format("//iam.googleapis.com/projects/{}/locations/global/workloadIdentityPools/{}/providers/{}",
                   access.project_number, access.pool, access.provider)},
      {"grantType", "urn:ietf:params:oauth:grant-type:token-exchange"},
      {"requestedTokenType", "urn:ietf:params:oauth:token-type:access_token"},
      {"scope", "https://www.googleapis.com/auth/cloud-platform"},
      {"subjectToken", access.jwt},
      {"subjectTokenType", "urn:ietf:params:oauth:token-type:id_token"}};
  const json token =
      ask(client, {"POST", access.token_server + "/v1/token", {"Content-Type: application/json"}, exchange.dump()},
          persistence, "Google does not take the ID token",
          "see GCP_PROJECT_NUMBER and the workload identity pool: its provider has to know the token's issuer");
  const bool whole = secret.name.starts_with("projects/");
  const std::string name =
      whole ? secret.name : fmt::format("projects/{}/secrets/{}", access.project_number, secret.name);
  const std::string what = fmt::format("cannot read the secret {}", secret.name);
  const json answer = ask(client,
                          {"GET",
                           fmt::format("{}/v1/{}/versions/{}:access", access.secret_server, url_escaped_path(name),
                                       url_escaped(secret.version.empty() ? "latest" : secret.version)),
                           {"Authorization: Bearer " + text_in(token, "/access_token", "Google's login")},
                           {}},
                          persistence, what, "see its name, and whether the pool's principals may access it");
  const std::optional<std::string> value = from_base64(text_in(answer, "/payload/data", what));
  if (!value) throw executors::WorldError(secret_unavailable, what + ": its answer cannot be read");
  const json sum = answer.value("/payload/dataCrc32c"_json_pointer, json());
  if (sum.is_string() && sum.get<std::string>() != std::to_string(crc32c(*value))) {
    throw executors::WorldError(secret_unavailable, what + ": it came damaged", "try again");
  }
  return *value;
}

}  // namespace runner
