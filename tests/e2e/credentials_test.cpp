// `id_tokens` and `secrets` from the file to the job, against tests/fakes/vault.py: a Vault that knows of us nothing
// but what `runner issuer` publishes.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr const char* issuer = "https://ci.example.test";
constexpr const char* password = "pa$$w0rd-of-production";
constexpr const char* fakes = RUNNER_SOURCE_DIR "/tests/fakes/";

std::string all_that_is_kept(const Project& project) {
  return sh("find '" + project.database().parent_path().string() + "' -type f -print0 | xargs -0 cat");
}

class Credentials : public testing::Test {
 protected:
  void SetUp() override {
    project_.configuration(std::string("[id_tokens]\nissuer = \"") + issuer + "\"\n");
    project_.file("source.txt", "x").commit();
  }
  std::filesystem::path keys() {
    const Result result = project_.run({"issuer", "keys"});
    EXPECT_EQ(result.code, 0) << result;
    std::ofstream(project_.home() / "keys.json") << result.out;
    return project_.home() / "keys.json";
  }
  // What somebody else makes of a token that lies in a file.
  Json checked(const std::filesystem::path& token) {
    return Json::parse(
        sh("python3 '" + std::string(fakes) + "check_token.py' '" + keys().string() + "' '" + token.string() + "'"));
  }
  Json vault() {
    return {{"keys", keys().string()},
            {"issuer", issuer},
            {"roles", {{"deploy", {{"audience", "https://vault.test"}, {"claims", {{"ref_type", "branch"}}}}}}},
            {"mounts",
             {{"ops", {{"version", 2}, {"data", {{"production/db", {{"password", password}}}}}}},
              {"old", {{"version", 1}, {"data", {{"production/db", {{"user", "admin-of-production"}}}}}}}}}};
  }
  void start(const Json& config) {
    std::ofstream(project_.home() / "vault.json") << config.dump();
    server_ = std::make_unique<Process>(
        Arguments{"python3", "-u", std::string(fakes) + "vault.py", (project_.home() / "vault.json").string()},
        std::map<std::string, std::string>{{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"PYTHONDONTWRITEBYTECODE", "1"}},
        Options{});
    ASSERT_TRUE(server_->wait_for("\n"));
    url_ = "http://127.0.0.1:" + std::to_string(std::stoi(server_->out()));
  }
  Arguments with_vault() const {
    return {"--variable", "VAULT_SERVER_URL=" + url_, "--variable", "VAULT_AUTH_ROLE=deploy"};
  }

  Project project_;
  std::unique_ptr<Process> server_;
  std::string url_;
};

TEST_F(Credentials, IdTokensConvinceWhoHasTheKeySet) {
  project_.pipeline(R"(
test:
  id_tokens: {MY_TOKEN: {aud: "https://vault.test"}}
  environment: {name: production}
  timeout: 10 minutes
  variables: {CI_PROJECT_PATH: forged/path, CI_ENVIRONMENT_NAME: forged}
  script: [printf %s "$MY_TOKEN" >token, echo "it is $MY_TOKEN"]
  artifacts: {paths: [token]}
)");
  const std::filesystem::path out = project_.home() / "out";
  const Result result = project_.exec({"--artifacts", out.string()});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), EndsWith("it is [MASKED]\n"));
  const Json claims = checked(out / "test" / "token");
  EXPECT_EQ(claims["iss"], issuer);
  EXPECT_EQ(claims["aud"], "https://vault.test");
  EXPECT_EQ(claims["environment"], "production");
  EXPECT_EQ(claims["deployment_tier"], "production");
  EXPECT_EQ(claims["pipeline_source"], "push");
  EXPECT_EQ(claims["pipeline_id"], "1");
  EXPECT_EQ(claims["exp"].get<long>() - claims["iat"].get<long>(), 600);
  EXPECT_EQ(claims["sha"], project_.git("rev-parse HEAD"));
  EXPECT_EQ(claims["ref"], project_.git("rev-parse --abbrev-ref HEAD"));
  EXPECT_EQ(claims["project_path"], project_.path().filename().string());
}

TEST_F(Credentials, IdTokensAreNew) {  // in each attempt, and in child pipelines
  project_.file("child.yml", R"(
inner:
  id_tokens: {T: {aud: a}}
  script: [printf %s "$T" | sha256sum, printf %s "$T" | cut -d. -f2 | tr _- /+ | base64 -d 2>/dev/null >claims || true, "grep -o 'pipeline_source[^,]*' claims"]
)");
  project_.pipeline(R"(
again:
  id_tokens: {T: {aud: a}}
  retry: 1
  script: [printf %s "$T" | sha256sum, "test -e $HOME/second || { touch $HOME/second; exit 1; }"]
child: {trigger: {include: child.yml, strategy: depend}}
)");
  const Result result = project_.exec();
  ASSERT_EQ(result.code, 0) << result;
  const std::string log = result.printed("again");
  std::vector<std::string> sums;
  for (std::size_t at = 0; (at = log.find("  -", at)) != std::string::npos; ++at)
    sums.push_back(log.substr(at - 64, 64));
  ASSERT_EQ(sums.size(), 2U) << log;
  EXPECT_NE(sums[0], sums[1]);
  EXPECT_THAT(result.out, HasSubstr(R"(pipeline_source\":\"parent_pipeline)"));
}

TEST_F(Credentials, IdTokensAreNotKept) {
  project_.pipeline("test: {id_tokens: {T: {aud: a}}, script: ['printf %s \"$T\" >$HOME/token', 'echo $T; env']}");
  const Result result = project_.exec();
  ASSERT_EQ(result.code, 0) << result;
  const std::string token = sh("find '" + project_.home().string() + "' -name token | xargs cat");
  ASSERT_GT(token.size(), 400U);
  EXPECT_THAT(result.out + result.err, Not(HasSubstr(token)));
  EXPECT_THAT(all_that_is_kept(project_), Not(HasSubstr(token)));
}

TEST_F(Credentials, IdTokensAreUnknownToRules) {
  project_.pipeline(R"(
default: {id_tokens: {T: {aud: a}}}
never: {script: x, rules: [{if: $T}]}
test: {script: test -n "$T"}
)");
  const Result result = project_.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_FALSE(result.finished_at_all("never"));
}

TEST_F(Credentials, SecretsVaultIsAFileUnlessItSaysOtherwise) {
  start(vault());
  project_.pipeline(R"(
test:
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets:
    DB: {vault: production/db/password@ops}
    USER: {vault: {engine: {name: kv-v1, path: old}, path: production/db, field: user}, file: false}
  script: ['cat "$DB"; echo', 'wc -c <"$DB"', 'echo "$USER ${#USER}"']
)");
  const Result result = project_.exec(with_vault());
  ASSERT_EQ(result.code, 0) << result << server_->out();
  EXPECT_THAT(result.printed("test"), EndsWith("\n[MASKED]\n22\n[MASKED] 19\n"));
  const std::string kept = all_that_is_kept(project_);
  EXPECT_THAT(kept + result.out, AllOf(Not(HasSubstr(password)), Not(HasSubstr("admin-of-production"))));
  EXPECT_THAT(project_.logs({"test"}), HasSubstr("Secret DB: password of ops/data/production/db at " + url_));
}

TEST_F(Credentials, InDockerToo) {
  start(vault());
  project_.pipeline(R"(
test:
  image: busybox
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/password@ops}}
  script: [echo "$VAULT_ID_TOKEN", 'wc -c <"$DB"', 'cat "$DB"; echo']
)");
  const Result result = project_.docker(with_vault());
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), EndsWith("\n[MASKED]\n22\n[MASKED]\n"));
}

// A certificate that an authority of one's own has signed, for 127.0.0.1 alone.
TEST_F(Credentials, SecretsVaultByTls) {
  const std::string home = project_.home().string();
  sh("cd '" + home + R"(' && exec 2>/dev/null && mkdir authorities && printf 'subjectAltName=IP:127.0.0.1\n' >names &&
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout authority.key -out authorities/authority.pem &&
openssl req -newkey rsa:2048 -nodes -subj /CN=vault -keyout vault.key -out vault.csr &&
openssl x509 -req -days 2 -in vault.csr -CA authorities/authority.pem -CAkey authority.key -set_serial 1 -extfile names -out vault.pem &&
openssl rehash authorities)");
  Json config = vault();
  config["tls"] = {{"certificate", home + "/vault.pem"}, {"key", home + "/vault.key"}};
  start(config);
  url_.replace(0, 4, "https");
  project_.pipeline(R"(
test:
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/password@ops}}
  script: wc -c <"$DB"
)");
  const auto run = [&](const std::string& name = {}, const std::string& value = {}) {
    Options options;
    if (!name.empty()) options.env[name] = value;
    return project_.exec(with_vault(), options);
  };
  const Result unknown = run();
  EXPECT_EQ(unknown.reason("test"), "runner_system_failure") << unknown;
  EXPECT_THAT(unknown.message("test"), AllOf(HasSubstr("Vault cannot be asked"), HasSubstr("certificate")));
  EXPECT_THAT(server_->out(), Not(HasSubstr("POST"))) << "no token goes to whom nobody vouches for";
  const std::string authority = home + "/authorities/authority.pem";
  for (const auto& [name, value] : std::map<std::string, std::string>{{"RUNNER_SECRETS_CA_FILE", authority},
                                                                      {"VAULT_CACERT", authority},
                                                                      {"VAULT_CAPATH", home + "/authorities"}}) {
    const Result known = run(name, value);
    EXPECT_EQ(known.code, 0) << name << known;
    EXPECT_THAT(known.printed("test"), EndsWith("22\n")) << name;
  }
  project_.configuration(std::string("[id_tokens]\nissuer = \"") + issuer + "\"\n[secrets]\nca_file = \"" + authority +
                         "\"\n");
  EXPECT_EQ(run().code, 0);
  url_.replace(url_.find("127.0.0.1"), 9, "localhost");
  const Result other = run();
  EXPECT_EQ(other.reason("test"), "runner_system_failure") << other;
  EXPECT_THAT(other.message("test"), HasSubstr("localhost"));
}

TEST_F(Credentials, SecretsThatVaultRefusesBreakTheJob) {
  Json config = vault();
  config["roles"]["deploy"]["audience"] = "https://other.test";
  start(config);
  project_.pipeline(R"(
test:
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/password@ops}}
  script: echo never
)");
  const Result result = project_.exec(with_vault());
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_EQ(result.outcome("test"), "broken");
  EXPECT_EQ(result.reason("test"), "runner_configuration_error");
  EXPECT_THAT(result.message("test"), AllOf(HasSubstr("secret DB"), HasSubstr("invalid audience")));
  EXPECT_EQ(result.printed("test"), "");
}

TEST_F(Credentials, SecretsThatAreNotThereBreakTheJobAndAreNamed) {
  start(vault());
  project_.pipeline(R"(
test:
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/pass@ops}}
  script: echo never
)");
  const Result result = project_.exec(with_vault());
  EXPECT_EQ(result.reason("test"), "runner_system_failure") << result;
  EXPECT_THAT(result.message("test"),
              AllOf(HasSubstr("secret DB"), HasSubstr("no field pass"), HasSubstr("it has password")));
}

TEST_F(Credentials, SecretsByHandNeedNoVault) {
  project_.pipeline(R"(
test:
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/password@ops}}
  script: ['cat "$DB" | tr a-z A-Z; echo', 'cat "$DB"']
)");
  const Result result = project_.exec({"--secret", "DB=given-by-hand"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), EndsWith("\nGIVEN-BY-HAND\n[MASKED]\n"));
}

TEST_F(Credentials, AResumedRunMasksWhatTheFirstOneMade) {
  start(vault());
  project_.pipeline(R"(
wait:
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/password@ops, file: false}}
  script:
    - echo waiting
    - while [ ! -e "$GATE" ]; do sleep 0.05; done
    - echo "$VAULT_ID_TOKEN"
    - echo "it is $DB"
    - echo >made
  artifacts: {paths: [made]}
next:
  stage: deploy
  id_tokens: {VAULT_ID_TOKEN: {aud: "https://vault.test"}}
  secrets: {DB: {vault: production/db/password@ops, file: false}}
  script: test -n "$DB"
)");
  Arguments all = with_vault();
  const std::filesystem::path gate = project_.home() / "gate";
  all.insert(all.end(), {"--variable", "GATE=" + gate.string()});
  {
    const auto run = project_.start_exec(all);
    ASSERT_TRUE(run->wait_for("waiting"));
    run->kill();
    run->wait();
  }
  sh("touch '" + gate.string() + "'");
  const Result result = project_.run({"resume", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(project_.logs({"wait"}),
              AllOf(HasSubstr("it is [MASKED]"), Not(HasSubstr("eyJ")), Not(HasSubstr(password))));
  EXPECT_THAT(all_that_is_kept(project_), Not(HasSubstr(password)));
}

TEST_F(Credentials, IssuerWritesWhatAWebServerShows) {
  const std::filesystem::path www = project_.home() / "www";
  const Result result = project_.run({"issuer", "write", www.string()});
  ASSERT_EQ(result.code, 0) << result;
  const auto read = [&](const char* path) { return Json::parse(sh("cat '" + (www / path).string() + "'")); };
  const Json configuration = read(".well-known/openid-configuration");
  EXPECT_EQ(configuration["issuer"], issuer);
  EXPECT_EQ(configuration["jwks_uri"], std::string(issuer) + "/oauth/discovery/keys");
  EXPECT_EQ(read("oauth/discovery/keys"), Json::parse(project_.run({"issuer", "keys"}).out));
  EXPECT_EQ(Json::parse(project_.run({"issuer", "configuration"}).out), configuration);
  EXPECT_EQ(project_.run({"issuer", "write", "/proc/nowhere"}).code, 2);
}

TEST_F(Credentials, IssuerRotates) {
  const auto count = [&] { return Json::parse(project_.run({"issuer", "keys"}).out)["keys"].size(); };
  EXPECT_EQ(count(), 1U);
  EXPECT_EQ(project_.run({"issuer", "rotate"}).code, 0);
  EXPECT_EQ(count(), 2U);
  EXPECT_EQ(project_.run({"issuer", "rotate", "--revoke"}).code, 0);
  EXPECT_EQ(count(), 1U);
}

TEST_F(Credentials, IssuerHasToBeAnAddress) {
  project_.configuration("[id_tokens]\nissuer = \"ci.example.test\"\n");
  const Result result = project_.run({"issuer", "configuration"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("id_tokens.issuer"), HasSubstr("ci.example.test")));
  project_.configuration("").environment("RUNNER_ID_TOKENS_ISSUER", "https://by.environment/");
  EXPECT_THAT(project_.run({"issuer", "configuration"}).out, HasSubstr(R"("https://by.environment")"));
}

TEST_F(Credentials, AKeyThatOthersMayReadBreaksTheJobAndSaysWhy) {
  project_.environment("RUNNER_ID_TOKENS_KEY", (project_.home() / "key.pem").string());
  EXPECT_EQ(project_.run({"issuer", "keys"}).code, 0);
  sh("chmod 644 '" + (project_.home() / "key.pem").string() + "'");
  project_.pipeline("test: {id_tokens: {T: {aud: a}}, script: echo never}");
  const Result result = project_.exec();
  EXPECT_EQ(result.outcome("test"), "broken") << result;
  EXPECT_THAT(result.message("test"), HasSubstr("chmod 600"));
}

}  // namespace
}  // namespace e2e
