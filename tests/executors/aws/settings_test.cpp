// Profiles, endpoints, regions: from text and variables alone.
#include <gmock/gmock.h>

#include <fstream>

#include "executors/aws/credentials.h"
#include "executors/aws/endpoint.h"
#include "executors/aws/profile.h"
#include "executors/aws/retry.h"

namespace executors::aws {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* config = R"(# a comment
[default]
region = eu-west-1 ; and one more
[profile  live]
role_arn = arn:aws:iam::1:role/x#y
source_profile=base
services = local
s3 =
    max_concurrent_requests = 20
[services local]
ecs =
  endpoint_url = http://127.0.0.1:1/
elastic_load_balancing_v2 =
  endpoint_url = http://127.0.0.1:2
)";

Profiles profiles() {
  return {parse_profiles(config, "config"), parse_profiles("[base]\nAWS_Access_Key_Id=AK", "credentials")};
}

TEST(AwsProfiles, AreRead) {
  const Profiles all = profiles();
  EXPECT_EQ(all.config("default", "region"), "eu-west-1");
  EXPECT_EQ(all.config("live", "role_arn"), "arn:aws:iam::1:role/x#y");
  EXPECT_EQ(all.config("live", "source_profile"), "base");
  EXPECT_EQ(all.config("live", "s3.max_concurrent_requests"), "20");
  EXPECT_EQ(all.credential("base", "aws_access_key_id"), "AK");
  EXPECT_TRUE(all.has("base"));
  EXPECT_TRUE(all.has("live"));
  EXPECT_FALSE(all.has("other"));
  EXPECT_EQ(all.config("other", "region"), "");
}

TEST(AwsProfiles, WhatIsWrongIsSaidWithItsLine) {
  const auto message = [](const char* text) {
    try {
      parse_profiles(text, "F");
    } catch (const SetupError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message("\na = b"), "F:2: a setting before the first [section]");
  EXPECT_EQ(message("[a"), "F:1: a [section] without its ]");
  EXPECT_EQ(message("[a]\nword"), "F:2: no `key = value`");
  EXPECT_EQ(message("[a]\n= v"), "F:2: no key before =");
  EXPECT_EQ(message("[a]\n k = v"), "F:2: an indented line that belongs to no key");
}

TEST(AwsProfiles, FilesThatDoNotExistAreEmpty) {
  Settings settings;
  settings.environment = {{"AWS_CONFIG_FILE", "/nowhere/config"}, {"HOME", "/nowhere"}};
  EXPECT_FALSE(Profiles(settings).has("default"));
  settings.environment["AWS_CONFIG_FILE"] = "/";
  EXPECT_EQ(profile_name(settings), "default");
  settings.environment["AWS_PROFILE"] = "live";
  EXPECT_EQ(profile_name(settings), "live");
  settings.profile = "job";
  EXPECT_EQ(profile_name(settings), "job");
}

TEST(AwsEndpoint, FromTheStrongestToAwsItself) {
  Settings settings;
  const Profiles all = profiles();
  const auto url = [&](const Service& service) { return endpoint_of(service, settings, all, "eu-west-1").url; };
  EXPECT_EQ(url(services::load_balancing), "https://elasticloadbalancing.eu-west-1.amazonaws.com");
  EXPECT_EQ(endpoint_of(services::ecr, settings, all, "cn-north-1").url, "https://api.ecr.cn-north-1.amazonaws.com.cn");
  settings.environment["AWS_PROFILE"] = "live";
  EXPECT_EQ(url(services::ecs), "http://127.0.0.1:1");
  EXPECT_EQ(url(services::load_balancing), "http://127.0.0.1:2");
  EXPECT_EQ(url(services::s3), "https://s3.eu-west-1.amazonaws.com");
  settings.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:3";
  EXPECT_EQ(url(services::ecs), "http://127.0.0.1:3");
  settings.environment["AWS_ENDPOINT_URL_ECS"] = "http://127.0.0.1:4//";
  EXPECT_EQ(url(services::ecs), "http://127.0.0.1:4");
  EXPECT_EQ(url(services::s3), "http://127.0.0.1:3");
  settings.environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true";
  EXPECT_EQ(url(services::ecs), "https://ecs.eu-west-1.amazonaws.com");
  settings.endpoint = "https://mine";
  EXPECT_EQ(url(services::ecs), "https://mine");
  EXPECT_TRUE(endpoint_of(services::ecs, settings, all, "x").custom);
  settings.endpoint = "mine";
  EXPECT_THROW(url(services::ecs), SetupError);
}

TEST(AwsRegion, FromTheStrongest) {
  Settings settings;
  const Profiles all = profiles();
  EXPECT_EQ(region_of(settings, all), "eu-west-1");
  EXPECT_EQ(region_of(settings, Profiles({}, {})), "");
  settings.environment["AWS_DEFAULT_REGION"] = "us-east-2";
  EXPECT_EQ(region_of(settings, all), "us-east-2");
  settings.environment["AWS_REGION"] = "us-east-1";
  EXPECT_EQ(region_of(settings, all), "us-east-1");
  settings.region = "ap-south-1";
  EXPECT_EQ(region_of(settings, all), "ap-south-1");
  settings.region = "evil.example.com/";
  EXPECT_THROW(region_of(settings, all), SetupError);
}

TEST(AwsCaBundle, FromTheStrongest) {
  Settings settings;
  settings.environment["SSL_CERT_FILE"] = "/ssl";
  EXPECT_EQ(ca_bundle_of(settings, profiles()), "/ssl");
  settings.environment["AWS_CA_BUNDLE"] = "/aws";
  EXPECT_EQ(ca_bundle_of(settings, profiles()), "/aws");
}

TEST(AwsRetry, WhatIsRepeated) {
  EXPECT_EQ(trouble_of(200, ""), Trouble::none);
  EXPECT_EQ(trouble_of(400, "ValidationError"), Trouble::none);
  EXPECT_EQ(trouble_of(400, "ThrottlingException"), Trouble::throttled);
  EXPECT_EQ(trouble_of(429, "HTTP 429"), Trouble::throttled);
  EXPECT_EQ(trouble_of(503, "SlowDown"), Trouble::throttled) << "a refusal, not an accident";
  EXPECT_EQ(trouble_of(502, "HTTP 502"), Trouble::busy);
  EXPECT_EQ(trouble_of(400, "ExpiredTokenException"), Trouble::expired);
  EXPECT_EQ(trouble_of(403, "RequestTimeTooSkewed"), Trouble::skewed);
  for (const Trouble trouble : {Trouble::busy, Trouble::cut}) {
    EXPECT_TRUE(may_repeat(Repeat::read, trouble));
    EXPECT_TRUE(may_repeat(Repeat::same, trouble));
    EXPECT_FALSE(may_repeat(Repeat::never, trouble)) << "it may have had its effect";
  }
  for (const Trouble trouble : {Trouble::throttled, Trouble::unreachable, Trouble::expired, Trouble::skewed}) {
    EXPECT_TRUE(may_repeat(Repeat::never, trouble));
  }
  EXPECT_FALSE(may_repeat(Repeat::read, Trouble::none));
}

TEST(AwsRetry, PausesGrowToTwentySeconds) {
  EXPECT_EQ(pause_before(2, 0.5), 500ms);
  EXPECT_EQ(pause_before(3, 0.5), 1000ms);
  EXPECT_EQ(pause_before(5, 1), 8000ms);
  EXPECT_EQ(pause_before(9, 1), 20000ms);
  EXPECT_EQ(pause_before(100, 1), 20000ms);
  EXPECT_EQ(pause_before(9, 0), 0ms);
}

}  // namespace
}  // namespace executors::aws
