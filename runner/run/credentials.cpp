#include "runner/run/credentials.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "runner/hosts/vault.h"
#include "runner/secrets/redactor.h"

namespace runner {
namespace {

using executors::WorldError;
using pipelines::Precedence;
using pipelines::Secret;
using pipelines::VariableSet;

// As GitLab expands `aud`: what is not known is left as written (lib/expand_variables.rb, expand_existing).
std::string expand_known(const VariableSet& known, const std::string& text) {
  return pipelines::expand(text, [&](std::string_view name) -> std::optional<std::string> {
    const auto* entry = known.find(name);
    return entry != nullptr ? entry->value : "$" + std::string(name);
  });
}

// A server may say much. Cut when everything is masked: half a secret would not be found.
std::string shortened(std::string text) {
  constexpr std::size_t longest = 1000;
  if (text.size() <= longest) return text;
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not within a character
  return text.substr(0, end) + "…";
}

class Maker {
 public:
  explicit Maker(const CredentialScene& scene)
      : scene_(scene),
        variables_(scene.variables),
        client_({scene.settings.patience, scene.settings.ca_file, scene.settings.ca_path, scene.stop}),
        persistence_(scene.settings.persistence) {
    persistence_.until = scene.until;
  }

  Credentials make() {
    try {
      make_tokens();
      fetch_secrets();
    } catch (const WorldError& error) {
      // A server may say again what it was told.
      const SecretSet hidden(hidden_);
      throw WorldError(error.reason, shortened(redact(hidden, error.what())), redact(hidden, error.hint));
    }
    made_.variables = variables_.expanded();
    return std::move(made_);
  }

 private:
  // --- id_tokens

  void make_tokens() {
    if (scene_.job.id_tokens.empty()) return;
    const VariableSet known = variables_.expanded();
    const SigningKey key = SigningKey::open(scene_.settings.key);
    for (const pipelines::IdToken& token : scene_.job.id_tokens) {
      if (const auto* given = variables_.find(token.name); given && given->precedence != Precedence::predefined) {
        made_.log.push_back(fmt::format("ID token {}: the variable of that name is taken", token.name));
        if (given->masked) hidden_.push_back(given->value);
        continue;
      }
      TokenRequest request;
      request.issuer = scene_.settings.issuer;
      request.audience_is_list = token.list;
      for (const std::string& text : token.audience) request.audience.push_back(expand_known(known, text));
      request.now = std::chrono::system_clock::now();
      request.id = new_token_id();
      const std::string text = key.sign(id_token_claims(scene_.facts, request));
      hidden_.push_back(text);
      variables_.set(token.name, text, Precedence::predefined, /*expand=*/false, /*masked=*/true);
      made_.log.push_back(fmt::format("ID token {}: of {}, for {}, good for {} s", token.name, request.issuer,
                                      fmt::join(request.audience, ", "), scene_.facts.timeout.count()));
    }
  }

  // --- secrets

  void fetch_secrets() {
    if (scene_.job.secrets.empty()) return;
    const VariableSet known = variables_.expanded();
    for (const Secret& secret : scene_.job.secrets) {
      const auto* given = known.find(secret.name);
      if (given != nullptr && given->precedence >= Precedence::project) {
        keep(secret, given->value);
        made_.log.push_back(fmt::format("Secret {}: the value that was given is taken", secret.name));
        continue;
      }
      if (!secret.left_out.empty()) {
        made_.warnings.push_back(fmt::format("the secret {} is not there: {} is left out; give it with `--secret {}`",
                                             secret.name, secret.left_out, secret.name));
        continue;
      }
      fetch(secret, known);
    }
  }

  void fetch(const Secret& secret, const VariableSet& known) {
    try {
      keep(secret, value_of(secret, known));
    } catch (const SecretMissing& missing) {
      // gitlab-runner's feature flag: docs.gitlab.com/runner/configuration/feature-flags.
      const auto* flag = known.find("FF_SECRET_RESOLVING_FAILS_IF_MISSING");
      if (flag == nullptr || (flag->value != "false" && flag->value != "0")) throw named(secret, missing);
      made_.warnings.push_back(named(secret, missing).what());
      keep(secret, "");
    } catch (const WorldError& error) {
      throw named(secret, error);
    }
  }

  static WorldError named(const Secret& secret, const WorldError& error) {
    const std::string local = fmt::format("--secret {} gives it by hand", secret.name);
    return {error.reason, fmt::format("secret {}: {}", secret.name, error.what()),
            error.hint.empty() ? local : error.hint + "; " + local};
  }

  void keep(const Secret& secret, std::string value) {
    hidden_.push_back(value);
    variables_.set(secret.name, std::move(value), Precedence::pipeline, /*expand=*/false, /*masked=*/true, secret.file);
  }

  std::string value_of(const Secret& secret, const VariableSet& known) {
    if (secret.vault) return from_vault(secret, known);
    return secret.azure_key_vault ? from_azure(secret, known) : from_google(secret, known);
  }

  // A variable that says where the provider is. GitLab fails a job without one by this word.
  static std::string wanted(const VariableSet& known, std::string_view name) {
    const auto* entry = known.find(name);
    if (entry != nullptr && !entry->value.empty()) return entry->value;
    throw WorldError("secrets_provider_not_found", fmt::format("{} is not set, so nobody knows where it is", name),
                     fmt::format("set the variable {}", name));
  }

  static std::string text_of(const VariableSet& known, std::string_view name, std::string otherwise = {}) {
    const auto* entry = known.find(name);
    return entry != nullptr && !entry->value.empty() ? entry->value : std::move(otherwise);
  }

  static std::string server(std::string url, std::string_view variable) {
    while (url.ends_with('/')) url.pop_back();
    if (!url.starts_with("http://") && !url.starts_with("https://")) {
      throw WorldError(secret_misconfigured, fmt::format("{} is no address: {}", variable, url),
                       "it begins with https:// or http://");
    }
    return url;
  }

  // `token`, else the job's first ID token (GitLab's ee/app/presenters/ee/ci/build_runner_presenter.rb).
  std::string token_for(const Secret& secret, const VariableSet& known) const {
    if (!secret.token.empty()) {
      std::string token = known.expand(secret.token);
      if (!token.empty()) return token;
      throw WorldError(secret_misconfigured, fmt::format("its `token`, {}, is empty", secret.token),
                       "name one of the job's `id_tokens`");
    }
    if (!scene_.job.id_tokens.empty()) return text_of(known, scene_.job.id_tokens.front().name);
    throw WorldError(secret_misconfigured, "the job has no ID token to ask for it with",
                     "give the job `id_tokens: { VAULT_ID_TOKEN: { aud: https://vault.example.com } }`");
  }

  std::string from_vault(const Secret& secret, const VariableSet& known) {
    VaultAccess access;
    access.url = server(wanted(known, "VAULT_SERVER_URL"), "VAULT_SERVER_URL");
    access.name_space = text_of(known, "VAULT_NAMESPACE");
    access.auth_path = text_of(known, "VAULT_AUTH_PATH", "jwt");
    access.role = text_of(known, "VAULT_AUTH_ROLE");
    access.jwt = token_for(secret, known);
    Secret::Vault where = *secret.vault;
    for (std::string* text : {&where.engine_path, &where.path, &where.field}) *text = known.expand(*text);
    std::unique_ptr<Vault>& vault = vaults_[access.jwt];
    if (!vault) vault = std::make_unique<Vault>(client_, access, persistence_);
    std::string value = vault->read(where);
    made_.log.push_back(
        fmt::format("Secret {}: {} of {} at {}", secret.name, where.field, vault_path(where), server_of(access.url)));
    return value;
  }

  static Secret::Cloud expanded(const Secret::Cloud& cloud, const VariableSet& known) {
    return {known.expand(cloud.name), known.expand(cloud.version)};
  }

  std::string from_azure(const Secret& secret, const VariableSet& known) {
    AzureAccess access;
    access.url = server(wanted(known, "AZURE_KEY_VAULT_SERVER_URL"), "AZURE_KEY_VAULT_SERVER_URL");
    access.client = wanted(known, "AZURE_CLIENT_ID");
    access.tenant = wanted(known, "AZURE_TENANT_ID");
    access.authority = server(scene_.settings.azure_authority, "AZURE_AUTHORITY_HOST");
    access.jwt = token_for(secret, known);
    const Secret::Cloud where = expanded(*secret.azure_key_vault, known);
    std::string value = read_azure_secret(client_, access, where, persistence_);
    made_.log.push_back(fmt::format("Secret {}: {} at {}", secret.name, where.name, server_of(access.url)));
    return value;
  }

  std::string from_google(const Secret& secret, const VariableSet& known) {
    GoogleAccess access;
    access.project_number = wanted(known, "GCP_PROJECT_NUMBER");
    access.pool = wanted(known, "GCP_WORKLOAD_IDENTITY_FEDERATION_POOL_ID");
    access.provider = wanted(known, "GCP_WORKLOAD_IDENTITY_FEDERATION_PROVIDER_ID");
    access.jwt = token_for(secret, known);
    const Secret::Cloud where = expanded(*secret.gcp_secret_manager, known);
    std::string value = read_google_secret(client_, access, where, persistence_);
    made_.log.push_back(
        fmt::format("Secret {}: {} of Google Cloud project {}", secret.name, where.name, access.project_number));
    return value;
  }

  const CredentialScene& scene_;
  VariableSet variables_;
  ApiClient client_;
  Persistence persistence_;
  std::map<std::string, std::unique_ptr<Vault>> vaults_;  // by token: one login each
  std::vector<std::string> hidden_;
  Credentials made_;
};

}  // namespace

Credentials make_credentials(const CredentialScene& scene) { return Maker(scene).make(); }

}  // namespace runner
