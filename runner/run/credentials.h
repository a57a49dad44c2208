// A job's ID tokens and secrets, when its turn has come: `id_tokens` are made, `secrets` are asked for where they
// stand. On the job's own thread, for servers may take their time. Nothing of it is stored; the next attempt has new
// ones.
#pragma once

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"
#include "pipelines/variables.h"
#include "runner/hosts/api_client.h"
#include "runner/hosts/cloud_secrets.h"
#include "runner/secrets/id_token.h"

namespace runner {

// What is the same for all jobs of a run.
struct CredentialSettings {
  std::string issuer = default_issuer;  // without a slash at the end
  std::filesystem::path key;            // see signing_key.h
  std::string ca_file, ca_path;         // of the servers that have secrets
  std::string azure_authority = AzureAccess{}.authority;
  std::chrono::milliseconds patience{60'000};  // for one request: Vault's own client's
  Persistence persistence;
};

struct CredentialScene {
  const pipelines::Job& job;
  const pipelines::VariableSet& variables;  // not expanded
  const TokenFacts& facts;
  const CredentialSettings& settings;
  std::chrono::steady_clock::time_point until;  // the servers have to answer by then
  std::stop_token stop;
};

struct Credentials {
  pipelines::VariableSet variables;  // expanded; tokens and secrets are among them, masked
  std::vector<std::string> log;      // what was done, a line each
  std::vector<std::string> warnings;
};

// A variable of the name of an ID token is stronger than the token, as in GitLab; one that the user gave (--secret, the
// project's file) is the secret of its name, which is not asked for then. Throws WorldError, naming the secret; what
// the servers said is redacted.
Credentials make_credentials(const CredentialScene&);

}  // namespace runner
