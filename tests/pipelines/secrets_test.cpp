// `id_tokens` and `secrets` as they are read; what is wrong with them stands in tests/golden/diagnostics/tokens.yml.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/parse.h"

namespace pipelines {
namespace {

using testing::ElementsAre;

Job job_of(const std::string& text) {
  Parsed parsed = parse(text, "f");
  EXPECT_FALSE(has_errors(parsed.diagnostics)) << render(parsed.diagnostics, parsed.sources, false);
  return parsed.pipeline.jobs.empty() ? Job() : parsed.pipeline.jobs.back();
}

TEST(IdTokens, HaveOneAudienceOrAList) {
  const Job job = job_of(
      R"({"a": {"script": "x", "id_tokens": {"A": {"aud": "x"}, "B": {"aud": ["y", "z"]}, "C": {"aud": ["w"]}}}})");
  ASSERT_EQ(job.id_tokens.size(), 3U);
  EXPECT_EQ(job.id_tokens[0].name, "A");
  EXPECT_THAT(job.id_tokens[0].audience, ElementsAre("x"));
  EXPECT_FALSE(job.id_tokens[0].list);
  EXPECT_THAT(job.id_tokens[1].audience, ElementsAre("y", "z"));
  EXPECT_TRUE(job.id_tokens[2].list);
}

TEST(IdTokens, OfDefaultAreReplacedWholeByTheJobs) {
  constexpr const char* both = R"(
default: { id_tokens: { A: { aud: x } } }
one: { script: x }
two: { script: x, id_tokens: { B: { aud: y } } }
)";
  const Parsed parsed = parse(both, "f");
  ASSERT_EQ(parsed.pipeline.jobs.size(), 2U);
  EXPECT_EQ(parsed.pipeline.jobs[0].id_tokens.at(0).name, "A");
  ASSERT_EQ(parsed.pipeline.jobs[1].id_tokens.size(), 1U);
  EXPECT_EQ(parsed.pipeline.jobs[1].id_tokens[0].name, "B");
}

Secret::Vault vault_of(const std::string& value) {
  const Job job = job_of("a: { script: x, secrets: { S: { vault: " + value + " } } }");
  return job.secrets.empty() ? Secret::Vault() : job.secrets[0].vault.value_or(Secret::Vault());
}

TEST(SecretsVault, InShort) {  // docs.gitlab.com/ci/yaml/#secretsvault
  const Secret::Vault plain = vault_of("production/db/password");
  EXPECT_EQ(plain.engine, "kv-v2");
  EXPECT_EQ(plain.engine_path, "kv-v2");
  EXPECT_EQ(plain.path, "production/db");
  EXPECT_EQ(plain.field, "password");
  const Secret::Vault at = vault_of("production/db/password@ops");
  EXPECT_EQ(at.engine_path, "ops");
  EXPECT_EQ(at.field, "password");
  const Secret::Vault two = vault_of("\"a/me@b/c@d/e\"");  // the last `@` counts
  EXPECT_EQ(two.path, "a/me@b");
  EXPECT_EQ(two.field, "c");
  EXPECT_EQ(two.engine_path, "d/e");
}

TEST(SecretsVault, AtLength) {
  const Secret::Vault secret = vault_of("{ engine: { name: kv-v1, path: ops }, path: production/db, field: password }");
  EXPECT_EQ(secret.engine, "kv-v1");
  EXPECT_EQ(secret.engine_path, "ops");
  EXPECT_EQ(secret.path, "production/db");
  EXPECT_EQ(secret.field, "password");
}

TEST(SecretsFile, IsTheDefault) {
  EXPECT_TRUE(job_of("a: { script: x, secrets: { S: { vault: a/b } } }").secrets.at(0).file);
  EXPECT_FALSE(job_of("a: { script: x, secrets: { S: { vault: a/b, file: false } } }").secrets.at(0).file);
}

TEST(SecretsToken, IsKeptAsWritten) {
  EXPECT_EQ(job_of("a: { script: x, secrets: { S: { vault: a/b, token: $T } } }").secrets.at(0).token, "$T");
}

TEST(SecretsOtherProviders, AreReadOrLeftOut) {
  const Job job = job_of(R"(
a:
  script: x
  secrets:
    AZURE: { azure_key_vault: { name: n, version: "00aa" } }
    GCP: { gcp_secret_manager: { name: m, version: 3 }, token: $T }
    AWS: { aws_secrets_manager: "s#f" }
)");
  ASSERT_EQ(job.secrets.size(), 3U);
  EXPECT_EQ(job.secrets[0].azure_key_vault.value().version, "00aa");
  EXPECT_EQ(job.secrets[1].gcp_secret_manager.value().version, "3");
  EXPECT_EQ(job.secrets[2].left_out, "aws_secrets_manager");
}

}  // namespace
}  // namespace pipelines
