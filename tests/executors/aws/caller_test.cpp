#include "executors/aws/caller.h"

#include <gmock/gmock.h>

#include <atomic>

#include "tests/executors/aws/aws_server.h"

namespace executors::aws {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Keys : public CredentialSource {
 public:
  Credentials get(const std::stop_token&) override { return {{"AK" + std::to_string(number), "secret", ""}, {}, ""}; }
  void refused(const AccessKey&) override { ++number; }
  int number = 1;
};

struct AwsCaller : testing::Test {
  Caller caller(const AwsServer& server, const Service& service = services::ecs) {
    return Caller({service, {server.url(), true}, "eu-west-1", keys, {}, most_attempts, time.world()});
  }
  std::shared_ptr<Keys> keys = std::make_shared<Keys>();
  TestTime time;
};

void answer(httplib::Response& response, int status, const std::string& body) {
  response.status = status;
  response.set_content(body, "application/x-amz-json-1.1");
}

TEST_F(AwsCaller, JsonIsPostedSigned) {
  const AwsServer server([](const auto&, auto& response) { answer(response, 200, R"({"services":[]})"); });
  Caller ecs = caller(server);
  EXPECT_EQ(ecs.json("DescribeServices", {{"cluster", "c"}}, Repeat::read), json::parse(R"({"services":[]})"));
  EXPECT_EQ(ecs.json("ListClusters", nullptr, Repeat::read).size(), 1U);
  const auto requests = server.requests();
  EXPECT_EQ(requests[0].body, R"({"cluster":"c"})");
  EXPECT_EQ(requests[0].get_header_value("X-Amz-Target"), "AmazonEC2ContainerServiceV20141113.DescribeServices");
  EXPECT_THAT(requests[0].get_header_value("Authorization"),
              HasSubstr("Credential=AK1/20270115/eu-west-1/ecs/aws4_request"));
  EXPECT_EQ(requests[1].body, "{}");
}

TEST_F(AwsCaller, FormsAreAnsweredInXml) {
  const AwsServer server([](const auto&, auto& response) {
    answer(response, 200,
           "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>s</StackName></member></Stacks>"
           "</DescribeStacksResult></DescribeStacksResponse>");
  });
  Caller stacks = caller(server, services::cloudformation);
  const Element result = stacks.form("DescribeStacks", {{"StackName", "s"}}, Repeat::read);
  EXPECT_EQ((*result["Stacks"].items().at(0))["StackName"].text, "s");
  EXPECT_EQ(server.requests()[0].body, "Action=DescribeStacks&Version=2010-05-15&StackName=s");
  EXPECT_THROW(stacks.form("DescribeStackEvents", {}, Repeat::read), CallError) << "another operation's answer";
}

TEST_F(AwsCaller, AFaultIsToldWithItsRequestId) {
  const AwsServer server([](const auto&, auto& response) {
    response.set_header("x-amzn-RequestId", "abc-1");
    answer(response, 400, R"({"__type":"ClusterNotFoundException","message":"Cluster not found."})");
  });
  Caller ecs = caller(server);
  try {
    ecs.json("DescribeServices", {}, Repeat::read);
    FAIL() << "nothing thrown";
  } catch (const CallError& error) {
    EXPECT_STREQ(error.what(), "ecs DescribeServices: ClusterNotFoundException: Cluster not found. (request id abc-1)");
    EXPECT_TRUE(error.is("ClusterNotFoundException"));
    EXPECT_FALSE(error.maybe_done());
  }
  EXPECT_EQ(server.requests().size(), 1U) << "an answer is not asked for again";
}

TEST_F(AwsCaller, IsPatientWithThrottlingEvenWhereNothingMayHappenTwice) {
  std::atomic<int> count = 0;
  const AwsServer server([&](const auto&, auto& response) {
    if (++count < 5) return answer(response, 400, R"({"__type":"ThrottlingException","message":"Rate exceeded"})");
    answer(response, 200, "{}");
  });
  Caller ecs = caller(server);
  ecs.json("RunTask", {}, Repeat::never);
  EXPECT_EQ(count, 5);
  EXPECT_THAT(time.waits, ElementsAre(500ms, 1000ms, 2000ms, 4000ms));
}

TEST_F(AwsCaller, GivesUpInTheEnd) {
  const AwsServer server([](const auto&, auto& response) { answer(response, 503, "<html>busy"); });
  Caller ecs = caller(server);
  EXPECT_THROW(ecs.json("DescribeTasks", {}, Repeat::read), CallError);
  EXPECT_EQ(server.requests().size(), static_cast<std::size_t>(most_attempts));
}

TEST_F(AwsCaller, WhatMayHaveHappenedIsNotDoneAgain) {
  const AwsServer server([](const auto&, auto& response) { answer(response, 502, "<html>Bad Gateway</html>"); });
  Caller ecs = caller(server);
  try {
    ecs.json("StartInstanceRefresh", {}, Repeat::never);
    FAIL() << "nothing thrown";
  } catch (const CallError& error) {
    EXPECT_TRUE(error.maybe_done());
    EXPECT_THAT(error.what(), HasSubstr("HTTP 502"));
  }
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(AwsCaller, WhereNobodyListensItIsTriedAgain) {
  std::string url;
  {
    const AwsServer gone([](const auto&, auto&) {});
    url = gone.url();
  }
  Caller ecs({services::ecs, {url, true}, "eu-west-1", keys, {}, 3, time.world()});
  try {
    ecs.json("RunTask", {}, Repeat::never);
    FAIL() << "nothing thrown";
  } catch (const CallError& error) {
    EXPECT_FALSE(error.maybe_done());
    EXPECT_EQ(error.status, 0);
  }
  EXPECT_EQ(time.waits.size(), 2U);
}

TEST_F(AwsCaller, ThePauseIsTheServersWhereItNamesOne) {
  std::atomic<int> count = 0;
  const AwsServer server([&](const auto&, auto& response) {
    if (++count > 1) return answer(response, 200, "{}");
    response.set_header("Retry-After", "7");
    answer(response, 503, "");
  });
  caller(server).json("DescribeTasks", {}, Repeat::read);
  EXPECT_THAT(time.waits, ElementsAre(7000ms));
}

TEST_F(AwsCaller, OldCredentialsAreRenewedOnce) {
  const AwsServer server([](const auto& request, auto& response) {
    if (request.get_header_value("Authorization").find("AK1") != std::string::npos) {
      return answer(response, 400, R"({"__type":"ExpiredTokenException","message":"expired"})");
    }
    answer(response, 200, "{}");
  });
  caller(server).json("RunTask", {}, Repeat::never);
  EXPECT_EQ(server.requests().size(), 2U);
  EXPECT_TRUE(time.waits.empty());

  const AwsServer stubborn([](const auto&, auto& response) {
    answer(response, 400, R"({"__type":"ExpiredTokenException","message":"expired"})");
  });
  EXPECT_THROW(caller(stubborn).json("RunTask", {}, Repeat::never), CallError);
  EXPECT_EQ(stubborn.requests().size(), 2U);
}

TEST_F(AwsCaller, AWrongClockIsPutRight) {
  const AwsServer server([](const auto& request, auto& response) {
    // One hour ahead of TestTime.
    if (request.get_header_value("X-Amz-Date").starts_with("20270115T09")) return answer(response, 200, "{}");
    response.set_header("Date", "Fri, 15 Jan 2027 09:00:00 GMT");
    answer(response, 403, R"({"__type":"InvalidSignatureException","message":"Signature expired"})");
  });
  Caller ecs = caller(server);
  ecs.json("DescribeTasks", {}, Repeat::read);
  EXPECT_EQ(server.requests().size(), 2U);
  ecs.json("DescribeTasks", {}, Repeat::read);
  EXPECT_EQ(server.requests().size(), 3U) << "remembered";
}

TEST_F(AwsCaller, AWrongSecretIsNoWrongClock) {
  const AwsServer server([](const auto&, auto& response) {
    response.set_header("Date", "Fri, 15 Jan 2027 08:00:10 GMT");
    answer(response, 403, R"({"__type":"InvalidSignatureException","message":"The signature does not match"})");
  });
  EXPECT_THROW(caller(server).json("DescribeTasks", {}, Repeat::read), CallError);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(AwsCaller, RestSendsPathAndHeadersAsTheyAre) {
  const AwsServer server([](const auto&, auto& response) { response.status = 304; });
  Caller s3 = caller(server, services::s3);
  http::Request request;
  request.method = "PUT";
  request.headers = {{"x-amz-meta-git", "abc"}};
  request.body = "hello";
  EXPECT_EQ(s3.rest("PutObject", request, "/bucket/a%20b/%2B?partNumber=1", Repeat::same).status, 304);
  const auto seen = server.requests().at(0);
  EXPECT_EQ(seen.target, "/bucket/a%20b/%2B?partNumber=1");
  EXPECT_EQ(seen.get_header_value("X-Amz-Content-SHA256"), sha256_hex("hello"));
  EXPECT_THAT(seen.get_header_value("Authorization"), HasSubstr("x-amz-meta-git"));
}

TEST_F(AwsCaller, SecretsAreInNoError) {
  const AwsServer server([](const auto&, auto& response) { answer(response, 500, ""); });
  try {
    Caller({services::ecs, {server.url(), true}, "r", keys, {}, 1, time.world()}).json("RunTask", {}, Repeat::never);
  } catch (const CallError& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
  }
}

TEST_F(AwsCaller, ACancelledCallIsNotMadeAgain) {
  std::stop_source stop;
  const AwsServer server([&](const auto&, auto& response) {
    stop.request_stop();
    answer(response, 503, "");
  });
  EXPECT_THROW(caller(server).json("DescribeTasks", {}, Repeat::read, stop.get_token()), http::Cancelled);
  EXPECT_EQ(server.requests().size(), 1U);
}

}  // namespace
}  // namespace executors::aws
