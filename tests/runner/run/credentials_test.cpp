// A job's ID tokens and secrets, against servers that answer as Vault's, Azure's and Google's documentation shows.
#include "runner/run/credentials.h"

#include <gmock/gmock.h>
#include <httplib.h>
#include <stdlib.h>

#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "pipelines/parse.h"
#include "runner/hosts/vault.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using nlohmann::json;
using pipelines::Precedence;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* two = R"(
a:
  script: x
  id_tokens: { FIRST: { aud: "https://$HOST" }, SECOND: { aud: [b, c] } }
)";

class CredentialsOfAJob : public testing::Test {
 protected:
  CredentialsOfAJob() {
    for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
    const auto answer = [this](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      asked_.push_back(request.method + " " + request.target);
      requests_.push_back(request);
      if (before_ && before_(request, response)) return;
      const auto found = answers_.find(request.method + " " + request.target);
      response.status = found == answers_.end() ? 404 : 200;
      response.set_content(found == answers_.end() ? R"({"errors":[]})" : found->second.dump(), "application/json");
    };
    server_.Get(".*", answer);
    server_.Post(".*", answer);
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
    settings_.key = *keys_ / "key";
    settings_.persistence.first_wait = settings_.persistence.longest_wait = std::chrono::milliseconds(1);
    settings_.persistence.longest_asked = std::chrono::milliseconds(50);
    settings_.azure_authority = url();
    answers_["POST /v1/auth/jwt/login"] = {{"auth", {{"client_token", "hvs.of-the-job"}}}};
    answers_["GET /v1/ops/data/production/db"] = {
        {"data", {{"data", {{"password", "pa$$w0rd-of-db"}, {"port", 5432}}}, {"metadata", {{"version", 1}}}}}};
    answers_["GET /v1/old/production/db"] = {{"data", {{"password", "pa55-of-kv-v1"}}}};
  }
  ~CredentialsOfAJob() override {
    server_.stop();
    thread_.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  Credentials make(const std::string& yaml) {
    parsed_ = pipelines::parse(yaml, "f");
    EXPECT_FALSE(has_errors(parsed_.diagnostics)) << render(parsed_.diagnostics, parsed_.sources, false);
    const pipelines::Job& job = parsed_.pipeline.jobs.at(0);
    pipelines::VariableSet variables = variables_;
    if (vault_url_) variables.set("VAULT_SERVER_URL", url() + "/", Precedence::project);
    variables.set_all(job.variables, Precedence::job);
    return make_credentials({job, variables, facts_, settings_, until_, stop_.get_token()});
  }
  executors::WorldError failure(const std::string& yaml) {
    try {
      make(yaml);
    } catch (const executors::WorldError& error) {
      return error;
    }
    return {"", "nothing was thrown"};
  }
  static std::string value(const Credentials& made, const std::string& name) {
    const auto* entry = made.variables.find(name);
    return entry ? entry->value : "(none)";
  }
  static json claims(const std::string& token) {
    const std::size_t begin = token.find('.') + 1;
    std::string text = token.substr(begin, token.find('.', begin) - begin);
    std::replace(text.begin(), text.end(), '-', '+');
    std::replace(text.begin(), text.end(), '_', '/');
    FILE* pipe =
        ::popen(("printf %s '" + text + std::string((4 - text.size() % 4) % 4, '=') + "' | base64 -d").c_str(), "r");
    std::string out;
    char buffer[4096];
    for (std::size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, got);
    ::pclose(pipe);
    return json::parse(out);
  }
  std::string secret(const std::string& what, const std::string& more = "") const {
    return "a: { script: x, id_tokens: { T: { aud: v } }, secrets: { DB: { " + what + " } } " + more + " }";
  }

  // One key for all: making it takes a while.
  static void SetUpTestSuite() {
    keys_ = std::make_unique<TemporaryDirectory>();
    SigningKey::open(*keys_ / "key");
  }
  static void TearDownTestSuite() { keys_.reset(); }
  static inline std::unique_ptr<TemporaryDirectory> keys_;

  pipelines::Parsed parsed_;
  pipelines::VariableSet variables_;
  TokenFacts facts_;
  CredentialSettings settings_;
  std::chrono::steady_clock::time_point until_ = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  std::stop_source stop_;
  bool vault_url_ = true;
  std::map<std::string, json> answers_;
  std::function<bool(const httplib::Request&, httplib::Response&)> before_;
  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::vector<httplib::Request> requests_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(CredentialsOfAJob, IdTokensAreMaskedAndHaveTheirAudiences) {
  variables_.set("HOST", "vault.test", Precedence::project);
  const Credentials made = make(two);
  const json first = claims(value(made, "FIRST"));
  EXPECT_EQ(first["aud"], "https://vault.test");
  EXPECT_EQ(first["iss"], default_issuer);
  EXPECT_EQ(claims(value(made, "SECOND"))["aud"], json::array({"b", "c"}));
  EXPECT_TRUE(made.variables.find("FIRST")->masked);
  EXPECT_FALSE(made.variables.find("FIRST")->file);
  EXPECT_NE(value(made, "FIRST"), value(make(two), "FIRST")) << "each attempt has its own";
  EXPECT_THAT(made.log, Contains(HasSubstr("ID token FIRST: of https://runner.invalid, for https://vault.test")));
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(CredentialsOfAJob, AnUnknownVariableInAnAudienceStaysAsWritten) {
  EXPECT_EQ(claims(value(make(two), "FIRST"))["aud"], "https://$HOST");
}

TEST_F(CredentialsOfAJob, WhatAFileSetsChangesNoClaim) {
  facts_.predefined["CI_PROJECT_PATH"] = "group/honest";
  const Credentials made =
      make("a: { script: x, variables: { CI_PROJECT_PATH: group/other }, id_tokens: { T: { aud: v } } }");
  EXPECT_EQ(claims(value(made, "T"))["project_path"], "group/honest");
  EXPECT_EQ(value(made, "CI_PROJECT_PATH"), "group/other");
}

TEST_F(CredentialsOfAJob, OtherVariablesMayReferToThem) {
  const Credentials made = make("a: { script: x, variables: { HEADER: Bearer $T }, id_tokens: { T: { aud: v } } }");
  EXPECT_EQ(value(made, "HEADER"), "Bearer " + value(made, "T"));
}

TEST_F(CredentialsOfAJob, AVariableOfTheNameIsStrongerThanTheToken) {
  variables_.set("T", "given-by-hand", Precedence::pipeline, false, true);
  EXPECT_EQ(value(make("a: { script: x, id_tokens: { T: { aud: v } } }"), "T"), "given-by-hand");
}

TEST_F(CredentialsOfAJob, SecretsVaultOfKvV2) {
  const Credentials made = make(secret("vault: production/db/password@ops"));
  EXPECT_EQ(value(made, "DB"), "pa$$w0rd-of-db");
  EXPECT_TRUE(made.variables.find("DB")->masked);
  EXPECT_TRUE(made.variables.find("DB")->file) << "file is true where nothing is said";
  EXPECT_THAT(asked_, ElementsAre("POST /v1/auth/jwt/login", "GET /v1/ops/data/production/db"));
  EXPECT_EQ(json::parse(requests_[0].body), json({{"jwt", value(made, "T")}}));
  EXPECT_EQ(requests_[1].get_header_value("X-Vault-Token"), "hvs.of-the-job");
  EXPECT_EQ(requests_[1].get_header_value("X-Vault-Request"), "true");
  EXPECT_FALSE(requests_[1].has_header("X-Vault-Namespace"));
  EXPECT_THAT(made.log, Contains(HasSubstr("Secret DB: password of ops/data/production/db at " + url())));
}

TEST_F(CredentialsOfAJob, SecretsVaultOfKvV1AndGeneric) {
  for (const std::string engine : {"kv-v1", "generic"}) {
    const Credentials made = make(secret("vault: { engine: { name: " + engine +
                                         ", path: old }, path: production/db, field: password }, file: false"));
    EXPECT_EQ(value(made, "DB"), "pa55-of-kv-v1");
    EXPECT_FALSE(made.variables.find("DB")->file);
  }
}

TEST_F(CredentialsOfAJob, SecretsVaultWhereTheVariablesSay) {
  answers_ = {{"POST /v1/auth/ci/gitlab/login", {{"auth", {{"client_token", "t"}}}}},
              {"GET /v1/ops/data/prod/d%20b", {{"data", {{"data", {{"f", 7}}}}}}}};
  variables_.set("VAULT_AUTH_PATH", "ci/gitlab", Precedence::project);
  variables_.set("VAULT_AUTH_ROLE", "deploy", Precedence::project);
  variables_.set("VAULT_NAMESPACE", "team", Precedence::project);
  variables_.set("WHERE", "prod", Precedence::project);
  const Credentials made = make(secret("vault: $WHERE/d b/f@ops, file: false"));
  EXPECT_EQ(value(made, "DB"), "7") << "a number is its text";
  EXPECT_EQ(json::parse(requests_.at(0).body)["role"], "deploy");
  for (const auto& request : requests_) EXPECT_EQ(request.get_header_value("X-Vault-Namespace"), "team");
}

TEST_F(CredentialsOfAJob, SecretsTokenSaysWhichIdToken) {
  const Credentials made = make(R"(
a:
  script: x
  id_tokens: { ONE: { aud: one }, TWO: { aud: two } }
  secrets:
    A: { vault: production/db/password@ops }
    B: { vault: production/db/password@ops, token: $TWO }
    C: { vault: production/db/port@ops, token: $TWO }
)");
  ASSERT_EQ(requests_.size(), 5U) << "one login for each token";
  EXPECT_EQ(claims(json::parse(requests_[0].body)["jwt"])["aud"], "one");
  EXPECT_EQ(claims(json::parse(requests_[2].body)["jwt"])["aud"], "two");
  EXPECT_EQ(value(made, "C"), "5432");
  const auto error = failure(secret("vault: production/db/password@ops, token: $NONE"));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("secret DB"), HasSubstr("$NONE")));
}

TEST_F(CredentialsOfAJob, SecretsWithoutAnIdTokenOrAServerAreRefused) {
  const auto error = failure("a: { script: x, secrets: { DB: { vault: a/b } } }");
  EXPECT_EQ(error.reason, secret_misconfigured);
  EXPECT_THAT(error.what(), HasSubstr("has no ID token"));
  EXPECT_THAT(error.hint, AllOf(HasSubstr("id_tokens"), HasSubstr("--secret DB")));
  vault_url_ = false;
  const auto nowhere = failure(secret("vault: a/b"));
  EXPECT_EQ(nowhere.reason, "secrets_provider_not_found");
  EXPECT_THAT(nowhere.what(), HasSubstr("VAULT_SERVER_URL is not set"));
  variables_.set("VAULT_SERVER_URL", "vault.test", Precedence::project);
  EXPECT_THAT(failure(secret("vault: a/b")).what(), HasSubstr("is no address: vault.test"));
}

TEST_F(CredentialsOfAJob, SecretsThatAreGivenAreNotAskedFor) {
  vault_url_ = false;
  for (const Precedence by : {Precedence::project, Precedence::pipeline}) {
    variables_.set("DB", "given-by-hand", by, /*expand=*/false, /*masked=*/true);
    const Credentials made = make("a: { script: x, secrets: { DB: { vault: a/b } } }");
    EXPECT_EQ(value(made, "DB"), "given-by-hand");
    EXPECT_TRUE(made.variables.find("DB")->file);
    EXPECT_TRUE(made.variables.find("DB")->masked);
  }
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(CredentialsOfAJob, SecretsOfAVariableOfTheFileAreAskedForAllTheSame) {
  const Credentials made = make(secret("vault: production/db/password@ops", ", variables: { DB: from-the-file }"));
  EXPECT_EQ(value(made, "DB"), "pa$$w0rd-of-db");
}

TEST_F(CredentialsOfAJob, SecretsThatAreMissing) {
  auto error = failure(secret("vault: production/none/password@ops"));
  EXPECT_EQ(error.reason, secret_unavailable);
  EXPECT_THAT(error.what(), HasSubstr("secret DB: there is no secret ops/data/production/none at " + url()));
  error = failure(secret("vault: production/db/passwort@ops"));
  EXPECT_THAT(error.what(), HasSubstr("has no field passwort"));
  EXPECT_THAT(error.hint, HasSubstr("it has password, port"));
  error = failure(secret("vault: ../../sys/x/y@ops"));
  EXPECT_EQ(error.reason, secret_misconfigured);
  variables_.set("FF_SECRET_RESOLVING_FAILS_IF_MISSING", "false", Precedence::project);
  const Credentials made = make(secret("vault: production/none/password@ops"));
  EXPECT_EQ(value(made, "DB"), "");
  EXPECT_THAT(made.warnings, ElementsAre(HasSubstr("there is no secret")));
}

TEST_F(CredentialsOfAJob, SecretsThatVaultRefuses) {
  before_ = [](const httplib::Request& request, httplib::Response& response) {
    if (request.method != "POST") return false;
    response.status = 400;
    // Servers say again what they were told.
    response.set_content(
        json{{"errors", {"error validating token: " + json::parse(request.body)["jwt"].get<std::string>()}}}.dump(),
        "application/json");
    return true;
  };
  auto error = failure(secret("vault: production/db/password@ops"));
  EXPECT_EQ(error.reason, secret_misconfigured);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("400: error validating token: [MASKED]"), Not(HasSubstr("eyJ"))));
  before_ = [](const httplib::Request& request, httplib::Response& response) {
    if (request.method != "GET") return false;
    response.status = 403;
    response.set_content(R"({"errors":["permission denied"]})", "application/json");
    return true;
  };
  error = failure(secret("vault: production/db/password@ops"));
  EXPECT_EQ(error.reason, secret_misconfigured);
  EXPECT_THAT(error.what(),
              HasSubstr("cannot read ops/data/production/db at " + url() + ": it answered 403: permission denied"));
}

TEST_F(CredentialsOfAJob, SecretsOfABusyVaultAreAskedForAgain) {
  int busy = 2;
  before_ = [&](const httplib::Request&, httplib::Response& response) {
    if (busy-- <= 0) return false;
    response.status = busy == 1 ? 429 : 503;
    response.set_header("Retry-After", "0");
    response.set_content(R"({"errors":["Vault is sealed"]})", "application/json");
    return true;
  };
  EXPECT_EQ(value(make(secret("vault: production/db/password@ops")), "DB"), "pa$$w0rd-of-db");
  EXPECT_EQ(asked_.size(), 4U);
  busy = 3;
  const auto error = failure(secret("vault: production/db/password@ops"));
  EXPECT_EQ(error.reason, secret_server_failed);
  EXPECT_THAT(error.what(), HasSubstr("503: Vault is sealed"));
}

TEST_F(CredentialsOfAJob, SecretsOfAVaultThatIsNotThere) {
  vault_url_ = false;
  variables_.set("VAULT_SERVER_URL", "http://127.0.0.1:1", Precedence::project);
  const auto error = failure(secret("vault: production/db/password@ops"));
  EXPECT_EQ(error.reason, secret_unavailable);
  EXPECT_THAT(error.what(), HasSubstr("http://127.0.0.1:1"));
}

TEST_F(CredentialsOfAJob, SecretsOfAVaultThatHangsEndWithTheTimeAndWithAStop) {
  before_ = [](const httplib::Request&, httplib::Response&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    return false;
  };
  const auto begun = std::chrono::steady_clock::now();
  until_ = begun + std::chrono::milliseconds(100);
  EXPECT_EQ(failure(secret("vault: production/db/password@ops")).reason, secret_unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(1400));
  until_ = begun + std::chrono::hours(1);
  std::jthread stopper([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop_.request_stop();
  });
  const auto again = std::chrono::steady_clock::now();
  EXPECT_THAT(failure(secret("vault: production/db/password@ops")).what(), HasSubstr("stopped"));
  EXPECT_LT(std::chrono::steady_clock::now() - again, std::chrono::milliseconds(1400));
}

TEST_F(CredentialsOfAJob, SecretsOfAStandbyThatSendsUsOn) {
  before_ = [&](const httplib::Request& request, httplib::Response& response) {
    if (request.target.ends_with("?active")) {
      response.set_content(answers_[request.method + " " + request.path].dump(), "application/json");
      return true;
    }
    response.status = 307;
    response.set_header("Location", url() + request.target + "?active");
    return true;
  };
  EXPECT_EQ(value(make(secret("vault: production/db/password@ops")), "DB"), "pa$$w0rd-of-db");
  before_ = [&](const httplib::Request& request, httplib::Response& response) {
    response.status = 307;
    response.set_header("Location", url() + request.target);
    return true;
  };
  EXPECT_THAT(failure(secret("vault: production/db/password@ops")).what(), HasSubstr("307"));
}

TEST_F(CredentialsOfAJob, SecretsAzureKeyVault) {
  answers_ = {{"POST /tenant-1/oauth2/v2.0/token", {{"access_token", "az"}, {"token_type", "Bearer"}}},
              {"GET /secrets/name/00aa?api-version=7.4", {{"value", "from-azure"}}},
              {"GET /secrets/name?api-version=7.4", {{"value", "the-newest"}}}};
  variables_.set("AZURE_KEY_VAULT_SERVER_URL", url(), Precedence::project);
  variables_.set("AZURE_CLIENT_ID", "client-1", Precedence::project);
  EXPECT_THAT(failure(secret("azure_key_vault: { name: name }")).what(), HasSubstr("AZURE_TENANT_ID is not set"));
  variables_.set("AZURE_TENANT_ID", "tenant-1", Precedence::project);
  const Credentials made = make(secret("azure_key_vault: { name: name, version: 00aa }"));
  EXPECT_EQ(value(made, "DB"), "from-azure");
  EXPECT_EQ(value(make(secret("azure_key_vault: { name: name }")), "DB"), "the-newest");
  EXPECT_THAT(requests_.at(0).body, AllOf(HasSubstr("grant_type=client_credentials"), HasSubstr("client_id=client-1"),
                                          HasSubstr("client_assertion=" + value(made, "T"))));
  EXPECT_EQ(requests_.at(1).get_header_value("Authorization"), "Bearer az");
  EXPECT_THAT(failure(secret("azure_key_vault: { name: none }")).what(), HasSubstr("cannot read the secret none"));
}

TEST_F(CredentialsOfAJob, SecretsGcpSecretManager) {
  GoogleAccess access{"123", "pool", "provider", "a.b.c", url(), url()};
  ApiClient client({std::chrono::seconds(5), {}, {}, {}});
  answers_["POST /v1/token"] = {{"access_token", "gcp"}};
  // CRC-32C of "123456789" is the check value of RFC 3720's polynomial: 0xe3069283.
  answers_["GET /v1/projects/123/secrets/name/versions/latest:access"] = {
      {"payload", {{"data", "MTIzNDU2Nzg5"}, {"dataCrc32c", "3808858755"}}}};
  answers_["GET /v1/projects/9/secrets/other/versions/2:access"] = {
      {"payload", {{"data", "MTIzNDU2Nzg="}, {"dataCrc32c", "1"}}}};
  EXPECT_EQ(read_google_secret(client, access, {"name", ""}, settings_.persistence), "123456789");
  const json body = json::parse(requests_.at(0).body);
  EXPECT_EQ(body["audience"],
            "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/provider");
  EXPECT_EQ(body["subjectToken"], "a.b.c");
  EXPECT_EQ(requests_.at(1).get_header_value("Authorization"), "Bearer gcp");
  try {
    read_google_secret(client, access, {"projects/9/secrets/other", "2"}, settings_.persistence);
    ADD_FAILURE() << "what came damaged was taken";
  } catch (const executors::WorldError& error) {
    EXPECT_THAT(error.what(), HasSubstr("damaged"));
  }
}

TEST_F(CredentialsOfAJob, SecretsOfProvidersThatAreLeftOut) {
  const std::string yaml = "a: { script: x, secrets: { S: { aws_secrets_manager: a } } }";
  EXPECT_THAT(make(yaml).warnings,
              ElementsAre(HasSubstr("aws_secrets_manager is left out; give it with `--secret S`")));
  variables_.set("S", "by-hand-it-is", Precedence::pipeline);
  const Credentials made = make(yaml);
  EXPECT_EQ(value(made, "S"), "by-hand-it-is");
  EXPECT_THAT(made.warnings, IsEmpty());
}

}  // namespace
}  // namespace runner
