#include "executors/aws/credentials.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/executors/aws/aws_server.h"

namespace executors::aws {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

struct AwsCredentials : testing::Test {
  AwsCredentials() {
    std::string name = testing::TempDir() + "/awsXXXXXX";
    directory = ::mkdtemp(name.data());
    // None of the machine's own.
    settings.environment["AWS_EC2_METADATA_DISABLED"] = "true";
  }
  ~AwsCredentials() override { std::filesystem::remove_all(directory); }

  std::shared_ptr<CredentialSource> source() {
    const auto profiles =
        std::make_shared<Profiles>(parse_profiles(config, "config"), parse_profiles(credentials, "credentials"));
    return credentials_of(settings, profiles, time.world());
  }
  Credentials get() { return source()->get({}); }
  std::string refusal() {
    try {
      get();
    } catch (const SetupError& error) {
      return error.what();
    }
    return "";
  }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(directory / name) << text;
    return directory / name;
  }

  std::filesystem::path directory;
  Settings settings;
  std::string config, credentials;
  TestTime time;
};

std::string sts_answer(const std::string& operation, const std::string& id, const std::string& expires) {
  return "<" + operation + "Response><" + operation + "Result><Credentials><AccessKeyId>" + id +
         "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>" + expires +
         "</Expiration></Credentials></" + operation + "Result></" + operation + "Response>";
}

TEST_F(AwsCredentials, TheEnvironmentComesFirst) {
  credentials = "[default]\naws_access_key_id=F\naws_secret_access_key=s\n";
  EXPECT_EQ(get().key.id, "F");
  EXPECT_EQ(get().source, "profile default");
  settings.environment["AWS_ACCESS_KEY_ID"] = "E";
  EXPECT_THAT(refusal(), HasSubstr("AWS_SECRET_ACCESS_KEY is not"));
  settings.environment["AWS_SECRET_ACCESS_KEY"] = "s";
  settings.environment["AWS_SESSION_TOKEN"] = "t";
  EXPECT_EQ(get().key.id, "E");
  EXPECT_EQ(get().key.session_token, "t");
}

TEST_F(AwsCredentials, AProfileThatTheJobNamesIsStronger) {
  settings.environment["AWS_ACCESS_KEY_ID"] = "E";
  settings.environment["AWS_SECRET_ACCESS_KEY"] = "s";
  settings.profile = "live";
  EXPECT_THAT(refusal(), HasSubstr("no profile live"));
  config = "[profile live]\naws_access_key_id=L\naws_secret_access_key=s\n";
  EXPECT_EQ(get().key.id, "L");
}

TEST_F(AwsCredentials, WhereThereAreNoneItSaysWhereItLooked) {
  EXPECT_THAT(refusal(), HasSubstr("none in the environment (AWS_ACCESS_KEY_ID), in profile default"));
}

TEST_F(AwsCredentials, ARoleIsAssumedByAProfileWithItsSource) {
  const AwsServer sts([](const auto&, auto& response) {
    response.set_content(sts_answer("AssumeRole", "R", "2027-01-15T09:00:00Z"), "text/xml");
  });
  settings.environment["AWS_ENDPOINT_URL_STS"] = sts.url();
  settings.environment["AWS_PROFILE"] = "live";
  config =
      "[profile live]\nrole_arn=arn:r\nsource_profile=base\nexternal_id=x y\nduration_seconds=3600\nregion=eu-west-1\n";
  credentials = "[base]\naws_access_key_id=B\naws_secret_access_key=s\n";
  const Credentials found = get();
  EXPECT_EQ(found.key.id, "R");
  EXPECT_EQ(found.key.session_token, "t");
  EXPECT_EQ(found.source, "profile live, arn:r");
  const auto request = sts.requests().at(0);
  EXPECT_EQ(request.body,
            "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600&ExternalId=x%20y&RoleArn=arn%3Ar&"
            "RoleSessionName=runner");
  EXPECT_THAT(request.get_header_value("Authorization"), HasSubstr("Credential=B/20270115/eu-west-1/sts/"));
}

TEST_F(AwsCredentials, TheJobsRoleIsAssumedWithWhatWasFound) {
  const AwsServer sts([](const auto&, auto& response) {
    response.set_content(sts_answer("AssumeRole", "R", "2027-01-15T09:00:00Z"), "text/xml");
  });
  settings.environment["AWS_ENDPOINT_URL_STS"] = sts.url();
  settings.environment["AWS_ACCESS_KEY_ID"] = "E";
  settings.environment["AWS_SECRET_ACCESS_KEY"] = "s";
  settings.role_arn = "arn:deploy";
  settings.session_name = "run 7/deploy";
  EXPECT_EQ(get().key.id, "R");
  EXPECT_THAT(sts.requests().at(0).body, HasSubstr("RoleSessionName=run-7-deploy"));
}

TEST_F(AwsCredentials, AWebIdentityIsReadAnewEachTimeAndNotSigned) {
  std::atomic<int> count = 0;
  const AwsServer sts([&](const auto&, auto& response) {
    const std::string expires = ++count == 1 ? "2027-01-15T09:00:00Z" : "2027-01-15T11:00:00Z";
    response.set_content(sts_answer("AssumeRoleWithWebIdentity", "W" + std::to_string(count), expires), "text/xml");
  });
  settings.environment["AWS_ENDPOINT_URL_STS"] = sts.url();
  settings.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = file("token", "jwt-1\n");
  EXPECT_THAT(refusal(), HasSubstr("AWS_ROLE_ARN is not"));
  settings.environment["AWS_ROLE_ARN"] = "arn:w";
  const auto credentials_source = source();
  EXPECT_EQ(credentials_source->get({}).key.id, "W1");
  time.now += 44min;  // 08:44: 16 minutes are left
  EXPECT_EQ(credentials_source->get({}).key.id, "W1");
  file("token", "jwt-2\n");
  time.now += 2min;
  EXPECT_EQ(credentials_source->get({}).key.id, "W2");
  const auto requests = sts.requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_FALSE(requests[0].has_header("Authorization"));
  EXPECT_THAT(requests[0].body, HasSubstr("WebIdentityToken=jwt-1"));
  EXPECT_THAT(requests[1].body, HasSubstr("WebIdentityToken=jwt-2"));
}

TEST_F(AwsCredentials, AFailedRenewalIsNoHarmWhileThereIsTime) {
  std::atomic<bool> broken = false;
  const AwsServer container([&](const auto&, auto& response) {
    if (broken) {
      response.status = 500;
      return;
    }
    response.set_content(R"({"AccessKeyId":"C","SecretAccessKey":"s","Token":"t","Expiration":"2027-01-15T09:00:00Z"})",
                         "application/json");
  });
  settings.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = container.url() + "/creds";
  settings.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = file("auth", "Bearer x\n");
  const auto credentials_source = source();
  EXPECT_EQ(credentials_source->get({}).key.id, "C");
  EXPECT_EQ(container.requests()[0].get_header_value("Authorization"), "Bearer x");
  broken = true;
  time.now += 46min;  // 14 minutes are left
  EXPECT_EQ(credentials_source->get({}).key.id, "C");
  time.now += 5min;  // 9
  EXPECT_THROW(credentials_source->get({}), SetupError);
}

TEST_F(AwsCredentials, AContainersAddressIsNotAnybodys) {
  for (const char* url : {"http://example.com/creds", "http://127.0.0.1.example.com/", "http://169.254.170.2.evil/",
                          "http://169.254.170.2@evil/", "file:///etc/passwd"}) {
    settings.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_THAT(refusal(), HasSubstr("is not asked for credentials")) << url;
  }
}

TEST_F(AwsCredentials, AnInstanceIsAskedByTheSecondVersionAlone) {
  std::atomic<bool> second = true;
  const AwsServer imds([&](const httplib::Request& request, httplib::Response& response) {
    if (request.method == "PUT") {
      if (second && !request.get_header_value("X-aws-ec2-metadata-token-ttl-seconds").empty()) {
        response.set_content("T", "text/plain");
      } else {
        response.status = 404;
      }
      return;
    }
    if (request.get_header_value("X-aws-ec2-metadata-token") != "T") {
      response.status = 401;
    } else if (request.path.ends_with("security-credentials/")) {
      response.set_content("app\n", "text/plain");
    } else {
      response.set_content(
          R"({"AccessKeyId":"I","SecretAccessKey":"s","Token":"t","Expiration":"2027-01-15T12:00:00Z"})", "text/plain");
    }
  });
  settings.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = imds.url() + "/";
  EXPECT_THAT(refusal(), HasSubstr("no credentials")) << "switched off";
  settings.environment.erase("AWS_EC2_METADATA_DISABLED");
  EXPECT_EQ(get().key.id, "I");
  EXPECT_EQ(get().source, "this instance's role app");
  second = false;
  EXPECT_THAT(refusal(), HasSubstr("no credentials"));
}

TEST_F(AwsCredentials, AProcessIsAsked) {
  settings.environment["AWS_PROFILE"] = "p";
  config = "[profile p]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"s\"}'\n";
  EXPECT_EQ(get().key.id, "P");
  config = "[profile p]\ncredential_process = echo secret-words; exit 3\n";
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("exit code 3"), Not(HasSubstr("secret-words"))));
  config = "[profile p]\ncredential_process = echo hello\n";
  EXPECT_THAT(refusal(), HasSubstr("gave no credentials"));
  config = "[profile p]\nsso_session = x\n";
  EXPECT_THAT(refusal(), HasSubstr("export-credentials --profile p"));
}

TEST_F(AwsCredentials, RolesThatLeadNowhereAreSaid) {
  settings.environment["AWS_PROFILE"] = "a";
  config = "[profile a]\nrole_arn=r\n";
  EXPECT_THAT(refusal(), HasSubstr("neither source_profile nor credential_source"));
  config = "[profile a]\nrole_arn=r\nsource_profile=gone\n";
  EXPECT_THAT(refusal(), HasSubstr("no profile gone"));
  config = "[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n";
  EXPECT_THAT(refusal(), HasSubstr("more than five times"));
  config = "[profile a]\nrole_arn=r\nsource_profile=a\nmfa_serial=m\n";
  EXPECT_THAT(refusal(), HasSubstr("MFA"));
}

TEST_F(AwsCredentials, WhatAwsRefusesIsAskedForAnew) {
  std::atomic<int> count = 0;
  const AwsServer container([&](const auto&, auto& response) {
    response.set_content(R"({"AccessKeyId":"C)" + std::to_string(++count) + R"(","SecretAccessKey":"s","Token":"t"})",
                         "application/json");
  });
  settings.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = container.url();
  const auto credentials_source = source();
  const Credentials first = credentials_source->get({});
  EXPECT_EQ(credentials_source->get({}).key.id, "C1");
  credentials_source->refused(first.key);
  EXPECT_EQ(credentials_source->get({}).key.id, "C2");
  credentials_source->refused(first.key);
  EXPECT_EQ(credentials_source->get({}).key.id, "C2") << "another key than the refused one";
}

}  // namespace
}  // namespace executors::aws
