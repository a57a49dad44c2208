// Secrets of Azure Key Vault and Google Cloud Secret Manager over HTTP, with the job's ID token as the only credential,
// as gitlab-runner reads them (helpers/azure_key_vault, helpers/gcp_secret_manager).
//
// Azure: learn.microsoft.com, "Microsoft identity platform and the OAuth 2.0 client credentials flow" (third case: a
// federated credential), and Key Vault's REST API, "Get Secret", 7.4. Google: cloud.google.com, IAM "Security Token
// Service API" (RFC 8693), and Secret Manager's REST API, "projects.secrets.versions.access".
//
// What fails throws executors::WorldError, with the words of vault.h.
#pragma once

#include <string>

#include "pipelines/pipeline.h"
#include "runner/hosts/api_client.h"

namespace runner {

struct AzureAccess {
  std::string url;                                              // AZURE_KEY_VAULT_SERVER_URL
  std::string tenant, client;                                   // AZURE_TENANT_ID, AZURE_CLIENT_ID
  std::string authority = "https://login.microsoftonline.com";  // AZURE_AUTHORITY_HOST, as Azure's own clients have it
  std::string jwt;
};
std::string read_azure_secret(ApiClient&, const AzureAccess&, const pipelines::Secret::Cloud&, const Persistence&);

struct GoogleAccess {
  std::string project_number, pool, provider;  // GCP_PROJECT_NUMBER, GCP_WORKLOAD_IDENTITY_FEDERATION_POOL_ID, …
  std::string jwt;
  std::string token_server = "https://sts.googleapis.com";
  std::string secret_server = "https://secretmanager.googleapis.com";
};
std::string read_google_secret(ApiClient&, const GoogleAccess&, const pipelines::Secret::Cloud&, const Persistence&);

}  // namespace runner
