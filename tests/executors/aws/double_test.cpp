// Our requests against the double (tests/aws), where botocore judges them: signatures by its signer, parameters by its
// service models. That the double judges rightly is checked with Debian's own `aws`.
#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "executors/aws/credentials.h"
#include "executors/helper_process.h"
#include "tests/aws/double.h"

namespace executors::aws {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

using aws_double::secret;

class AwsDouble : public testing::Test {
 protected:
  AwsDouble() {
    settings.environment = {{"AWS_ACCESS_KEY_ID", aws_double::key},
                            {"AWS_SECRET_ACCESS_KEY", secret},
                            {"AWS_REGION", aws_double::region},
                            {"AWS_ENDPOINT_URL", url()},
                            {"AWS_EC2_METADATA_DISABLED", "true"}};
  }

  std::string url() const { return double_.url(); }

  Caller caller(const Service& service) const {
    auto profiles = std::make_shared<Profiles>(Sections{}, Sections{});
    World world = real_world();
    world.wait = [](std::chrono::milliseconds, const std::stop_token&) {};
    return Caller({service,
                   endpoint_of(service, settings, *profiles, "eu-west-1"),
                   "eu-west-1",
                   credentials_of(settings, profiles, world),
                   {},
                   most_attempts,
                   world});
  }

  void order(const json& orders) const { double_.order(orders); }
  // What the double was asked, line by line: "service Operation outcome".
  std::vector<std::string> journal() const { return double_.calls(); }
  std::vector<json> notes() const { return double_.journal(); }

  // Signature and parameters were right, whether or not there is what was asked for: the double notes parameters once
  // the service's model has let them pass.
  void expect_understood(const std::function<void()>& call) const {
    std::string said;
    try {
      call();
    } catch (const CallError& error) {
      said = error.what();
      EXPECT_EQ(error.fault.request_id.size(), 36U);
    }
    ASSERT_FALSE(notes().empty());
    EXPECT_TRUE(notes().back().contains("params")) << said;
  }
  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const CallError& error) {
      return error.what();
    }
    return "";
  }

  aws_double::Double double_;
  Settings settings;
};

TEST_F(AwsDouble, ASignedCallIsCarriedOut) {
  Caller sts = caller(services::sts);
  EXPECT_EQ(sts.form("GetCallerIdentity", nullptr, Repeat::read)["Arn"].text, "arn:aws:iam::123456789012:user/example");
}

TEST_F(AwsDouble, AWrongSecretIsRefused) {
  settings.environment["AWS_SECRET_ACCESS_KEY"] = "wrong";
  Caller sts = caller(services::sts);
  EXPECT_THAT(refusal([&] { sts.form("GetCallerIdentity", nullptr, Repeat::read); }),
              HasSubstr("SignatureDoesNotMatch"));
  EXPECT_EQ(journal().size(), 1U) << "and not asked again";
}

TEST_F(AwsDouble, AnAssumedRoleActs) {
  settings.role_arn = "arn:aws:iam::123456789012:role/deploy";
  settings.session_name = "run-7";
  Caller sts = caller(services::sts);
  EXPECT_EQ(sts.form("GetCallerIdentity", nullptr, Repeat::read)["Arn"].text,
            "arn:aws:sts::123456789012:assumed-role/deploy/run-7");
}

TEST_F(AwsDouble, ASessionThatExpiresMeanwhileIsRenewed) {
  settings.role_arn = "arn:aws:iam::123456789012:role/deploy";
  Caller sts = caller(services::sts);
  sts.form("GetCallerIdentity", nullptr, Repeat::read);
  order({{"key", {{"id", "ASIADOUBLE0000000001"}, {"expires", "2020-01-01T00:00:00+00:00"}}}});
  sts.form("GetCallerIdentity", nullptr, Repeat::read);
  EXPECT_THAT(journal(), ElementsAre("sts AssumeRole done", "sts GetCallerIdentity done", "? ? ExpiredTokenException",
                                     "sts AssumeRole done", "sts GetCallerIdentity done"));
}

TEST_F(AwsDouble, AWebIdentityNeedsNoKey) {
  const std::filesystem::path token = double_.directory() / "token";
  std::ofstream(token) << "header.claims.signature\n";
  settings.environment.erase("AWS_ACCESS_KEY_ID");
  settings.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = token;
  settings.environment["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/ci";
  Caller sts = caller(services::sts);
  EXPECT_THAT(sts.form("GetCallerIdentity", nullptr, Repeat::read)["Arn"].text, HasSubstr("assumed-role/ci/runner"));
}

TEST_F(AwsDouble, EveryProtocolIsUnderstood) {
  expect_understood([&] {
    caller(services::ecs)
        .json("DescribeServices", {{"cluster", "c"}, {"services", {"a", "b"}}, {"include", {"TAGS"}}}, Repeat::read);
  });
  expect_understood([&] { caller(services::ecr).json("GetAuthorizationToken", nullptr, Repeat::read); });
  expect_understood([&] {
    const json event = {{"timestamp", 1'700'000'000'000}, {"message", "ü"}};
    caller(services::logs)
        .json("PutLogEvents", {{"logGroupName", "g"}, {"logStreamName", "s"}, {"logEvents", {event}}}, Repeat::same);
  });
  expect_understood([&] {
    caller(services::auto_scaling)
        .form("DescribeAutoScalingGroups", {{"AutoScalingGroupNames", {"a", "b c"}}}, Repeat::read);
  });
  expect_understood([&] {
    const json parameter = {{"ParameterKey", "AmiId"}, {"UsePreviousValue", true}};
    caller(services::cloudformation)
        .form(
            "CreateChangeSet",
            {{"StackName", "s"}, {"ChangeSetName", "c-1"}, {"Parameters", {parameter}}, {"UsePreviousTemplate", true}},
            Repeat::same);
  });
  expect_understood([&] {
    caller(services::load_balancing).form("DescribeTargetHealth", {{"TargetGroupArn", "arn:x"}}, Repeat::read);
  });
  expect_understood([&] {
    caller(services::ec2)
        .form("CreateLaunchTemplateVersion",
              {{"LaunchTemplateId", "lt-1"}, {"LaunchTemplateData", {{"ImageId", "ami-1"}}}}, Repeat::same);
  });
  expect_understood([&] {
    caller(services::cloudwatch).form("DescribeAlarms", {{"AlarmNames", {"a"}}}, Repeat::read);
  });
  expect_understood([&] {
    http::Request put;
    put.method = "PUT";
    put.headers = {{"x-amz-meta-git", "abc"}, {"x-amz-server-side-encryption", "AES256"}};
    put.body = "hello";
    caller(services::s3).rest("PutObject", put, "/bucket/" + percent_encoded("a b/ü+~(1)//x.bin", true), Repeat::same);
  });
}

TEST_F(AwsDouble, ItRefusesWhatNoModelKnows) {
  Caller ecs = caller(services::ecs);
  EXPECT_THAT(refusal([&] {
                ecs.json("DescribeServices", {{"servicez", {"a"}}}, Repeat::read);
              }),
              HasSubstr("servicez"));
  EXPECT_THAT(refusal([&] {
                ecs.json("RunTask", {{"taskDefinition", "t"}, {"launchType", "MOON"}}, Repeat::never);
              }),
              HasSubstr("MOON"));
  Caller groups = caller(services::auto_scaling);
  EXPECT_THAT(refusal([&] {
                groups.form("StartInstanceRefresh", {{"AutoScalingGroup", "g"}}, Repeat::never);
              }),
              HasSubstr("AutoScalingGroup"));
}

TEST_F(AwsDouble, BadDaysAreOutlasted) {
  Caller sts = caller(services::sts);
  order({{"faults",
          {{{"operation", "GetCallerIdentity"}, {"times", 2}, {"code", "Throttling"}, {"message", "Rate"}},
           {{"operation", "GetCallerIdentity"}, {"times", 1}, {"status", 502}},
           {{"operation", "GetCallerIdentity"}, {"times", 1}, {"cut", true}}}}});
  EXPECT_FALSE(sts.form("GetCallerIdentity", nullptr, Repeat::read)["Arn"].text.empty());
  EXPECT_EQ(journal().size(), 5U);
}

TEST_F(AwsDouble, ACutConnectionAfterTheDeedIsNotRepeatedWhereItWouldDoHarm) {
  Caller sts = caller(services::sts);
  order({{"faults", {{{"operation", "AssumeRole"}, {"after", true}, {"cut", true}}}}});
  try {
    sts.form("AssumeRole", {{"RoleArn", "arn:aws:iam::123456789012:role/x"}, {"RoleSessionName", "me"}}, Repeat::never);
    FAIL() << "nothing thrown";
  } catch (const CallError& error) {
    EXPECT_TRUE(error.maybe_done());
  }
  EXPECT_THAT(journal(), ElementsAre("sts AssumeRole done fault"));
}

}  // namespace
}  // namespace executors::aws
