// What an ID token says of its job (docs.gitlab.com/ci/secrets/id_token_authentication, "Token payload"; GitLab's
// lib/gitlab/ci/jwt_v2.rb, jwt.rb and lib/json_web_token/user_project_token_claims.rb), and how an issuer is found
// (OpenID Connect Discovery 1.0, section 4; JSON Web Token: RFC 7519, section 4.1). Pure.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/secrets/signing_key.h"

namespace runner {

// No host has this name (RFC 2606, section 2): whoever checks tokens has to be given the keys.
inline constexpr const char* default_issuer = "https://runner.invalid";

// Of one job. Nothing of it comes from variables that a pipeline file could set.
struct TokenFacts {
  std::map<std::string, std::string> predefined;  // the run's predefined variables: CI_PROJECT_PATH, …
  std::string run, job;                           // CI_PIPELINE_ID, CI_JOB_ID
  std::chrono::seconds timeout{3600};             // the job's: so long the token is good
  struct Environment {
    std::string name, action, tier;
  };
  std::optional<Environment> environment;
};

struct TokenRequest {
  std::string issuer;                 // a URL
  std::vector<std::string> audience;  // expanded
  bool audience_is_list = false;
  std::chrono::system_clock::time_point now;
  std::string id;  // jti
};

// A JSON object. Ids are strings there but for runner_id, which is a number; flags are the strings "true" and "false".
std::string id_token_claims(const TokenFacts&, const TokenRequest&);

std::string new_token_id();  // a random UUID (RFC 4122, section 4.4)

// What stands at ISSUER/.well-known/openid-configuration and at ISSUER/oauth/discovery/keys, where GitLab has them too.
inline constexpr const char* configuration_path = ".well-known/openid-configuration";
inline constexpr const char* keys_path = "oauth/discovery/keys";
std::string openid_configuration(const std::string& issuer);
std::string key_set(const std::vector<PublicKey>&);

}  // namespace runner
