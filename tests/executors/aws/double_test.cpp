// Our requests against the double (tests/aws), where botocore judges them: signatures by its signer, parameters by its
// service models. That the double judges rightly is checked with Debian's own `aws`.
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "executors/aws/credentials.h"
#include "executors/helper_process.h"

extern char** environ;

namespace executors::aws {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

class AwsDouble : public testing::Test {
 protected:
  AwsDouble() {
    std::string name = testing::TempDir() + "/doubleXXXXXX";
    directory_ = ::mkdtemp(name.data());
    std::string program = "/usr/bin/python3";
    std::string script = RUNNER_SOURCE_DIR "/tests/aws/double.py";
    std::string ready = "--ready=" + (directory_ / "ready").string();
    std::string journal = "--journal=" + (directory_ / "journal").string();
    std::array<char*, 5> arguments{program.data(), script.data(), ready.data(), journal.data(), nullptr};
    if (::posix_spawn(&process_, program.c_str(), nullptr, nullptr, arguments.data(), environ) != 0) {
      throw std::runtime_error("no /usr/bin/python3 (make deps)");
    }
    for (int i = 0; i < 3000 && !std::filesystem::exists(directory_ / "ready"); ++i) {
      int status = 0;
      if (::waitpid(process_, &status, WNOHANG) == process_) throw std::runtime_error("the double does not start");
      std::this_thread::sleep_for(10ms);
    }
    std::ifstream(directory_ / "ready") >> port_;
    settings.environment = {{"AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"},
                            {"AWS_SECRET_ACCESS_KEY", secret},
                            {"AWS_REGION", "eu-west-1"},
                            {"AWS_ENDPOINT_URL", url()},
                            {"AWS_EC2_METADATA_DISABLED", "true"}};
  }
  ~AwsDouble() override {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    std::filesystem::remove_all(directory_);
  }

  std::string url() const { return "http://127.0.0.1:" + port_; }

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

  void order(const json& orders) const {
    http::Client client;
    ASSERT_EQ(client.send({.method = "POST", .url = url() + "/_double", .body = orders.dump()}).status, 200);
  }

  std::vector<json> notes() const {
    std::vector<json> notes;
    std::ifstream file(directory_ / "journal");
    for (std::string line; std::getline(file, line);) notes.push_back(json::parse(line));
    return notes;
  }

  // What the double was asked, line by line: "service Operation outcome".
  std::vector<std::string> journal() const {
    std::vector<std::string> lines;
    for (const json& note : notes()) {
      lines.push_back(note.value("service", "?") + " " + note.value("operation", "?") + " " +
                      note.value("outcome", "?"));
    }
    return lines;
  }

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

  Settings settings;
  std::filesystem::path directory_;

 private:
  std::string port_;
  pid_t process_ = -1;
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
  const std::filesystem::path token = directory_ / "token";
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
