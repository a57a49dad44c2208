// Secrets of HashiCorp Vault and OpenBao over HTTP, as gitlab-runner reads them (helpers/vault, helpers/secrets/
// resolvers/vault; developer.hashicorp.com/vault/api-docs: auth/jwt "JWT login", secret/kv/kv-v1 and kv-v2 "Read secret
// version"): a login with the job's ID token, then one read per secret.
//
// What fails throws executors::WorldError with gitlab-runner's word for it: runner_configuration_error (400, 401, 403,
// 404 at the login), runner_external_dependency_failure (5xx), else runner_system_failure.
#pragma once

#include <string>

#include "executors/executor.h"
#include "pipelines/pipeline.h"
#include "runner/hosts/api_client.h"

namespace runner {

// gitlab-runner's words for a secret that cannot be had.
inline constexpr const char* secret_misconfigured = "runner_configuration_error";
inline constexpr const char* secret_server_failed = "runner_external_dependency_failure";
inline constexpr const char* secret_unavailable = "runner_system_failure";

// There is no such secret, or no such field in it.
class SecretMissing : public executors::WorldError {
 public:
  SecretMissing(const std::string& message, std::string mend)
      : WorldError(secret_unavailable, message, std::move(mend)) {}
};

struct VaultAccess {
  std::string url;                // VAULT_SERVER_URL
  std::string name_space;         // VAULT_NAMESPACE; empty: the root
  std::string auth_path = "jwt";  // VAULT_AUTH_PATH: where the JWT method is mounted
  std::string role;               // VAULT_AUTH_ROLE; empty: the method's default
  std::string jwt;
};

class Vault {
 public:
  // The client must outlive it. Asks nothing yet.
  Vault(ApiClient&, VaultAccess, Persistence);

  // `secret` is expanded. Logs in at the first read. A value that is no text is its JSON.
  std::string read(const pipelines::Secret::Vault& secret);

 private:
  std::string log_in();
  ApiResponse send(ApiRequest);

  ApiClient& client_;
  const VaultAccess access_;
  const Persistence persistence_;
  std::string token_;
};

// "kv-v2/data/production/db": where Vault has the secret, as its API calls it.
std::string vault_path(const pipelines::Secret::Vault&);

}  // namespace runner
