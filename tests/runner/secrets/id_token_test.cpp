// ID tokens: what they say, whom they convince (tests/fakes/check_token.py knows nothing of our code), and their key.
#include "runner/secrets/id_token.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

TokenFacts facts() {
  TokenFacts all;
  all.predefined = {{"CI_PROJECT_ID", "20"},
                    {"CI_PROJECT_PATH", "my-group/my-project"},
                    {"CI_PROJECT_NAMESPACE_ID", "72"},
                    {"CI_PROJECT_NAMESPACE", "my-group"},
                    {"GITLAB_USER_ID", "1"},
                    {"GITLAB_USER_LOGIN", "sample-user"},
                    {"GITLAB_USER_EMAIL", "sample-user@example.com"},
                    {"CI_PIPELINE_SOURCE", "push"},
                    {"CI_COMMIT_REF_NAME", "feature-branch-1"},
                    {"CI_COMMIT_REF_PROTECTED", "false"},
                    {"CI_COMMIT_SHA", "714a629c0b401fdce83e847fc9589983fc6f46bc"},
                    {"CI_PROJECT_VISIBILITY", "private"},
                    {"CI_SERVER_FQDN", "gitlab.example.com"},
                    {"CI_CONFIG_PATH", ".gitlab-ci.yml"}};
  all.run = "574";
  all.job = "302";
  return all;
}

TokenRequest request() {
  TokenRequest asked;
  asked.issuer = "https://gitlab.example.com";
  asked.audience = {"https://vault.example.com"};
  asked.now = std::chrono::system_clock::time_point(std::chrono::seconds(1681395193));
  asked.id = "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b";
  return asked;
}

// The example of docs.gitlab.com/ci/secrets/id_token_authentication, "Token payload".
TEST(IdTokenClaims, AreThoseOfTheDocumentation) {
  TokenFacts of_job = facts();
  of_job.environment = {"test-environment2", "start", "testing"};
  const json claims = json::parse(id_token_claims(of_job, request()));
  const json documented = json::parse(R"({
    "namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project",
    "user_id": "1", "user_login": "sample-user", "user_email": "sample-user@example.com", "pipeline_id": "574",
    "pipeline_source": "push", "job_id": "302", "ref": "feature-branch-1", "ref_type": "branch",
    "ref_path": "refs/heads/feature-branch-1", "ref_protected": "false", "environment": "test-environment2",
    "environment_protected": "false", "deployment_tier": "testing", "environment_action": "start", "runner_id": 1,
    "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "project_visibility": "private",
    "ci_config_ref_uri": "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/feature-branch-1",
    "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "iss": "https://gitlab.example.com", "iat": 1681395193,
    "nbf": 1681395188, "exp": 1681398793,
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1", "aud": "https://vault.example.com",
    "user_access_level": "owner", "job_project_id": "20", "job_project_path": "my-group/my-project",
    "job_namespace_id": "72", "job_namespace_path": "my-group"})");
  EXPECT_EQ(claims, documented) << json::diff(documented, claims).dump(1);
}

TEST(IdTokenClaims, OfATag) {
  TokenFacts of_job = facts();
  of_job.predefined["CI_COMMIT_TAG"] = of_job.predefined["CI_COMMIT_REF_NAME"] = "v1";
  of_job.predefined["CI_COMMIT_REF_PROTECTED"] = "true";
  const json claims = json::parse(id_token_claims(of_job, request()));
  EXPECT_EQ(claims["ref_type"], "tag");
  EXPECT_EQ(claims["ref_path"], "refs/tags/v1");
  EXPECT_EQ(claims["ref_protected"], "true");
  EXPECT_EQ(claims["sub"], "project_path:my-group/my-project:ref_type:tag:ref:v1");
}

TEST(IdTokenClaims, WithoutAnEnvironmentOrAServerHaveNoneOfThese) {
  TokenFacts of_job = facts();
  of_job.predefined.erase("CI_SERVER_FQDN");
  const json claims = json::parse(id_token_claims(of_job, request()));
  for (const char* name : {"environment", "environment_protected", "deployment_tier", "environment_action",
                           "ci_config_ref_uri", "ci_config_sha"}) {
    EXPECT_FALSE(claims.contains(name)) << name;
  }
}

TEST(IdTokenClaims, ExpireWithTheJob) {
  TokenFacts of_job = facts();
  of_job.timeout = std::chrono::minutes(10);
  const json claims = json::parse(id_token_claims(of_job, request()));
  EXPECT_EQ(claims["exp"].get<int>() - claims["iat"].get<int>(), 600);
}

TEST(IdTokenClaims, AListOfAudiencesStaysOne) {
  TokenRequest asked = request();
  asked.audience_is_list = true;
  EXPECT_EQ(json::parse(id_token_claims(facts(), asked))["aud"], json::array({"https://vault.example.com"}));
  asked.audience = {"a", "b"};
  EXPECT_EQ(json::parse(id_token_claims(facts(), asked))["aud"], json::array({"a", "b"}));
}

TEST(IdTokenIds, AreRandomUuids) {
  std::set<std::string> all;
  for (int i = 0; i < 100; ++i) {
    const std::string id = new_token_id();
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    all.insert(id);
  }
  EXPECT_EQ(all.size(), 100U);
}

// What an independent reader says of a token: its claims, or why it is no good.
struct Checked {
  bool good = false;
  std::string said;
};

class SigningKeys : public testing::Test {
 protected:
  fs::path file() const { return directory_ / "key.pem"; }
  Checked check(const std::string& token) const {
    write(directory_ / "keys.json", key_set(published_keys(file())));
    write(directory_ / "token", token);
    const std::string command = "python3 '" RUNNER_SOURCE_DIR "/tests/fakes/check_token.py' '" +
                                (directory_ / "keys.json").string() + "' '" + (directory_ / "token").string() +
                                "' 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    Checked result;
    char buffer[4096];
    for (std::size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.said.append(buffer, got);
    result.good = ::pclose(pipe) == 0;
    return result;
  }
  std::string complaint() const {
    try {
      SigningKey::open(file());
    } catch (const KeyError& error) {
      EXPECT_THAT(error.what(), HasSubstr(file().string()));
      return std::string(error.what()) + " | " + error.hint;
    }
    return "no complaint";
  }
  unsigned mode_of(const fs::path& path) const {
    struct stat info = {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 07777U;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_.path()), {}));
  }

  TemporaryDirectory directory_;
};

TEST_F(SigningKeys, SignWhatOthersCanCheck) {
  const std::string claims = id_token_claims(facts(), request());
  const std::string token = SigningKey::open(file()).sign(claims);
  const Checked checked = check(token);
  ASSERT_TRUE(checked.good) << checked.said;
  EXPECT_EQ(json::parse(checked.said), json::parse(claims));
  // So that the test above can fail.
  std::string forged = token;
  forged[token.find('.') + 20] = forged[token.find('.') + 20] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(check(forged).good);
}

TEST_F(SigningKeys, AreMadeOnceAndForTheirOwnerAlone) {
  const std::string id = SigningKey::open(file()).public_key().id;
  EXPECT_EQ(mode_of(file()), 0600U);
  EXPECT_EQ(SigningKey::open(file()).public_key().id, id);
  EXPECT_EQ(files(), 1U) << "something was left beside the key";
}

TEST_F(SigningKeys, OfSeveralThatMakeItAtOnceAllGetTheSame) {
  std::vector<std::string> ids(6);
  std::vector<std::thread> threads;
  for (std::string& id : ids) threads.emplace_back([&] { id = SigningKey::open(file()).public_key().id; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(ids, testing::Each(ids.front()));
  EXPECT_EQ(files(), 1U);
}

TEST_F(SigningKeys, ThatAreRotatedStayGood) {
  const std::string first = SigningKey::open(file()).sign(R"({"a":1})");
  const std::string second = rotate_key(file(), /*revoke=*/false).sign(R"({"a":2})");
  const std::string third = rotate_key(file(), /*revoke=*/false).sign(R"({"a":3})");
  EXPECT_EQ(published_keys(file()).size(), 3U);
  for (const std::string& token : {first, second, third}) EXPECT_TRUE(check(token).good);
  EXPECT_EQ(published_keys(file()).front().id, SigningKey::open(file()).public_key().id);
  EXPECT_EQ(mode_of(file()), 0600U);
}

TEST_F(SigningKeys, ThatAreRevokedAreNot) {
  const std::string first = SigningKey::open(file()).sign("{}");
  rotate_key(file(), /*revoke=*/false);
  const std::string second = SigningKey::open(file()).sign("{}");
  const std::string third = rotate_key(file(), /*revoke=*/true).sign("{}");
  EXPECT_FALSE(check(first).good);
  EXPECT_THAT(check(second).said, HasSubstr("0 keys"));
  EXPECT_TRUE(check(third).good);
}

TEST_F(SigningKeys, ThatOthersMayReadAreRefused) {
  SigningKey::open(file());
  ASSERT_EQ(::chmod(file().c_str(), 0644), 0);
  EXPECT_THAT(complaint(), AllOf(HasSubstr("others may read"), HasSubstr("chmod 600")));
  ASSERT_EQ(::chmod(file().c_str(), 0640), 0);  // a service's group may
  EXPECT_EQ(complaint(), "no complaint");
}

TEST_F(SigningKeys, ThatAreNoneAreRefused) {
  const auto put = [&](const std::string& text) {
    write(file(), text);
    ASSERT_EQ(::chmod(file().c_str(), 0600), 0);
  };
  put("no key");
  EXPECT_THAT(complaint(), AllOf(HasSubstr("no private key"), HasSubstr("[id_tokens] key")));
  put("");
  EXPECT_THAT(complaint(), HasSubstr("no private key"));
  ASSERT_EQ(::system(("openssl genrsa -out '" + file().string() + "' 1024 2>/dev/null").c_str()), 0);
  EXPECT_THAT(complaint(), HasSubstr("1024 bits"));
  ASSERT_EQ(::system(("openssl genpkey -algorithm ed25519 -out '" + file().string() + "' 2>/dev/null").c_str()), 0);
  EXPECT_THAT(complaint(), HasSubstr("no RSA key"));
  ASSERT_EQ(
      ::system(("openssl genrsa -aes128 -passout pass:secret -out '" + file().string() + "' 2048 2>/dev/null").c_str()),
      0);
  EXPECT_THAT(complaint(), HasSubstr("password"));
}

TEST_F(SigningKeys, OfTheUsersOwnAreTaken) {
  ASSERT_EQ(::system(("openssl genrsa -out '" + file().string() + "' 3072 2>/dev/null").c_str()), 0);
  ASSERT_EQ(::chmod(file().c_str(), 0600), 0);
  EXPECT_TRUE(check(SigningKey::open(file()).sign("{}")).good);
}

TEST(OpenIdConfiguration, NamesWhatAVerifierLooksFor) {
  const json document = json::parse(openid_configuration("https://ci.example.com"));
  EXPECT_EQ(document["issuer"], "https://ci.example.com");
  EXPECT_EQ(document["jwks_uri"], "https://ci.example.com/oauth/discovery/keys");
  // OpenID Connect Discovery 1.0, section 3: what is required of an issuer without endpoints.
  EXPECT_EQ(document["response_types_supported"], json::array({"id_token"}));
  EXPECT_EQ(document["subject_types_supported"], json::array({"public"}));
  EXPECT_EQ(document["id_token_signing_alg_values_supported"], json::array({"RS256"}));
}

}  // namespace
}  // namespace runner
