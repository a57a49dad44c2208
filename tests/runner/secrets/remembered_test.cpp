#include "runner/secrets/remembered.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/parse.h"

namespace runner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* secret = "s3cr3t-v4lue";

TEST(SlowHash, IsOfTheValueAndItsSalt) {
  EXPECT_EQ(slow_hash("a", "salt"), slow_hash("a", "salt"));
  EXPECT_NE(slow_hash("a", "salt"), slow_hash("b", "salt"));
  EXPECT_NE(slow_hash("a", "salt"), slow_hash("a", "other"));
  EXPECT_EQ(slow_hash("", "salt").size(), 32U);
  EXPECT_NE(random_salt(), random_salt());
}

TEST(StorableName, KeepsNamesApartWithoutTheirSecrets) {
  const SecretSet secrets({secret, "another-secret"});
  EXPECT_EQ(storable_name(secrets, "production", "salt"), "production");
  const std::string one = storable_name(secrets, "g-s3cr3t-v4lue", "salt");
  EXPECT_THAT(one, StartsWith("g-[MASKED] #"));
  EXPECT_EQ(one, storable_name(secrets, "g-s3cr3t-v4lue", "salt"));
  EXPECT_NE(one, storable_name(secrets, "g-another-secret", "salt"));
}

TEST(WithoutSecrets, IsTheTextItselfWhereThereAreNone) {
  const std::string text = "job:   {script: 'x'} # as it is\n";
  EXPECT_EQ(without_secrets(text, {}), text);
  EXPECT_EQ(without_secrets(text, {{"TOKEN", secret}}), text);
  EXPECT_FALSE(lacks_secrets(text));
}

TEST(WithoutSecrets, CutsMaskedValuesAndGivenSecretsAndPutsThemBack) {
  const std::string text =
      "variables:\n  A: {value: \"quo\\\"ted-value\", masked: true}\n  S: {value: tiny, masked: true}\n"
      "job:\n  script: ['echo quo\"ted-value s3cr3t-v4lue tiny']\n";
  const std::string stored = without_secrets(text, {{"TOKEN", secret}});
  EXPECT_THAT(stored, Not(HasSubstr("ted-value")));
  EXPECT_THAT(stored, Not(HasSubstr(secret)));
  EXPECT_THAT(stored, Not(HasSubstr("value: tiny")));
  EXPECT_TRUE(lacks_secrets(stored));
  const PutBack back = with_secrets(stored, {{"A", "quo\"ted-value"}, {"S", "tiny"}, {"TOKEN", secret}});
  EXPECT_THAT(back.missing, ElementsAre());
  using pipelines::PreviewForm;
  EXPECT_EQ(pipelines::preview(back.text, "a", {}, PreviewForm::json).text,
            pipelines::preview(text, "a", {}, PreviewForm::json).text);
}

TEST(WithoutSecrets, AnotherValueIsNotTakenForTheOneOfThen) {
  const std::string stored = without_secrets("variables: {A: {value: value-of-then, masked: true}}\n", {});
  EXPECT_THAT(with_secrets(stored, {{"A", "value-of-now"}}).missing, ElementsAre("A"));
  EXPECT_THAT(with_secrets(stored, {{"OTHER", "value-of-then"}}).text, HasSubstr("value-of-then"));
}

}  // namespace
}  // namespace runner
