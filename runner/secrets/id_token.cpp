#include "runner/secrets/id_token.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <array>
#include <nlohmann/json.hpp>

namespace runner {
namespace {

using nlohmann::ordered_json;

constexpr std::chrono::seconds earlier{5};  // clocks differ: GitLab's NOT_BEFORE_TIME

std::string told(const TokenFacts& facts, const std::string& name) {
  const auto found = facts.predefined.find(name);
  return found == facts.predefined.end() ? std::string() : found->second;
}

std::int64_t seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

void add_project(ordered_json& claims, const TokenFacts& facts, const std::string& prefix) {
  claims[prefix + "project_id"] = told(facts, "CI_PROJECT_ID");
  claims[prefix + "project_path"] = told(facts, "CI_PROJECT_PATH");
  claims[prefix + "namespace_id"] = told(facts, "CI_PROJECT_NAMESPACE_ID");
  claims[prefix + "namespace_path"] = told(facts, "CI_PROJECT_NAMESPACE");
}

// Paths and names of a repository need not be UTF-8.
std::string text_of(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

std::string id_token_claims(const TokenFacts& facts, const TokenRequest& request) {
  const std::string tag = told(facts, "CI_COMMIT_TAG");
  const std::string ref = told(facts, "CI_COMMIT_REF_NAME");
  const std::string ref_type = tag.empty() ? "branch" : "tag";
  const std::string ref_path = (tag.empty() ? "refs/heads/" : "refs/tags/") + ref;
  const std::int64_t now = seconds(request.now);

  ordered_json claims;
  add_project(claims, facts, "");
  claims["user_id"] = told(facts, "GITLAB_USER_ID");
  claims["user_login"] = told(facts, "GITLAB_USER_LOGIN");
  claims["user_email"] = told(facts, "GITLAB_USER_EMAIL");
  claims["user_access_level"] = "owner";  // whoever runs it here may do anything here
  add_project(claims, facts, "job_");
  claims["pipeline_id"] = facts.run;
  claims["pipeline_source"] = told(facts, "CI_PIPELINE_SOURCE");
  claims["job_id"] = facts.job;
  claims["ref"] = ref;
  claims["ref_type"] = ref_type;
  claims["ref_path"] = ref_path;
  claims["ref_protected"] = told(facts, "CI_COMMIT_REF_PROTECTED") == "true" ? "true" : "false";
  if (facts.environment) {
    claims["environment"] = facts.environment->name;
    claims["environment_protected"] = "false";  // there are no protected environments here
    claims["deployment_tier"] = facts.environment->tier;
    claims["environment_action"] = facts.environment->action;
  }
  claims["runner_id"] = 1;
  claims["runner_environment"] = "self-hosted";
  claims["sha"] = told(facts, "CI_COMMIT_SHA");
  claims["project_visibility"] = told(facts, "CI_PROJECT_VISIBILITY");
  if (const std::string server = told(facts, "CI_SERVER_FQDN"); !server.empty()) {
    claims["ci_config_ref_uri"] =
        fmt::format("{}/{}//{}@{}", server, told(facts, "CI_PROJECT_PATH"), told(facts, "CI_CONFIG_PATH"), ref_path);
    claims["ci_config_sha"] = told(facts, "CI_COMMIT_SHA");
  }
  claims["jti"] = request.id;
  claims["iss"] = request.issuer;
  claims["iat"] = now;
  claims["nbf"] = now - earlier.count();
  claims["exp"] = now + facts.timeout.count();
  claims["sub"] = fmt::format("project_path:{}:ref_type:{}:ref:{}", told(facts, "CI_PROJECT_PATH"), ref_type, ref);
  if (request.audience_is_list || request.audience.size() != 1) {
    claims["aud"] = request.audience;
  } else {
    claims["aud"] = request.audience.front();
  }
  return text_of(claims, -1);
}

std::string new_token_id() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) throw KeyError("OpenSSL has no random numbers");
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0FU) | 0x40U);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3FU) | 0x80U);
  std::string id;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    id += fmt::format("{:02x}", bytes[i]);
  }
  return id;
}

// What a verifier of ID tokens asks for; nobody logs in here, so there are no other endpoints.
std::string openid_configuration(const std::string& issuer) {
  const ordered_json document{
      {"issuer", issuer},
      {"jwks_uri", issuer + "/" + keys_path},
      {"response_types_supported", ordered_json::array({"id_token"})},
      {"subject_types_supported", ordered_json::array({"public"})},
      {"id_token_signing_alg_values_supported", ordered_json::array({"RS256"})},
      {"scopes_supported", ordered_json::array({"openid"})},
      {"claims_supported", ordered_json::array({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "project_path", "ref",
                                                "ref_type", "environment"})},
  };
  return text_of(document, 2) + "\n";
}

std::string key_set(const std::vector<PublicKey>& keys) {
  ordered_json list = ordered_json::array();
  for (const PublicKey& key : keys) {
    const ordered_json one{{"kty", "RSA"},     {"kid", key.id}, {"e", key.exponent},
                           {"n", key.modulus}, {"use", "sig"},  {"alg", "RS256"}};
    list.push_back(one);
  }
  ordered_json document = ordered_json::object();
  document["keys"] = std::move(list);
  return text_of(document, 2) + "\n";
}

}  // namespace runner
