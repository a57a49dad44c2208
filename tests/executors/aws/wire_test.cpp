#include "executors/aws/wire.h"

#include <gmock/gmock.h>

namespace executors::aws {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(AwsForm, ListsAndObjectsOfTheQueryProtocol) {
  const json parameters = {{"StackName", "a b+c"},
                           {"Parameters", {{{"ParameterKey", "K"}, {"UsePreviousValue", true}}}},
                           {"Capabilities", json::array()},
                           {"TimeoutInMinutes", 5},
                           {"RoleARN", nullptr}};
  EXPECT_EQ(form_of(services::cloudformation, "UpdateStack", parameters),
            "Action=UpdateStack&Version=2010-05-15&Capabilities=&Parameters.member.1.ParameterKey=K&"
            "Parameters.member.1.UsePreviousValue=true&StackName=a%20b%2Bc&TimeoutInMinutes=5");
}

TEST(AwsForm, Ec2HasNoWordMember) {
  const json parameters = {{"ImageId", {"ami-1", "ami-2"}}, {"Filter", json::array()}};
  EXPECT_EQ(form_of(services::ec2, "DescribeImages", parameters),
            "Action=DescribeImages&Version=2016-11-15&ImageId.1=ami-1&ImageId.2=ami-2");
}

TEST(AwsXml, ElementsByName) {
  const auto root = parse_xml(
      "<a:R xmlns:a='x'><L><member><N>1</N></member><member><N>2</N></member></L><F>x</F><F>y</F>"
      "<T>&lt;b&gt;<![CDATA[&]]></T></a:R>");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->name, "R");
  ASSERT_EQ((*root)["L"].items().size(), 2U);
  EXPECT_EQ((*(*root)["L"].items()[1])["N"].text, "2");
  EXPECT_EQ(root->items("F").size(), 2U);
  EXPECT_EQ((*root)["T"].text, "<b>&");
  EXPECT_EQ((*root)["no"]["deeper"].text, "");
  EXPECT_FALSE(root->has("no"));
}

TEST(AwsXml, WhatIsNoneIsAbsent) {
  EXPECT_FALSE(parse_xml(""));
  EXPECT_FALSE(parse_xml("<html><br></html>"));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "<a>";
  for (int i = 0; i < 200; ++i) deep += "</a>";
  EXPECT_FALSE(parse_xml(deep));
}

struct Case {
  const char* name;
  const char *body, *header;
  const char *code, *message, *id;
};

class AwsFault : public testing::TestWithParam<Case> {};

TEST_P(AwsFault, IsRead) {
  const Fault fault = fault_of(400, GetParam().body, GetParam().header, "", "");
  EXPECT_EQ(fault.code, GetParam().code);
  EXPECT_EQ(fault.message, GetParam().message);
  EXPECT_EQ(fault.request_id, GetParam().id);
}

INSTANTIATE_TEST_SUITE_P(
    Protocols, AwsFault,
    testing::Values(
        Case{"json", R"({"__type":"com.amazonaws.ecs#ClusterNotFoundException","message":"Cluster not found."})", "",
             "ClusterNotFoundException", "Cluster not found.", ""},
        Case{"capital", R"({"__type":"AccessDeniedException","Message":"no"})", "", "AccessDeniedException", "no", ""},
        Case{"header", R"({"message":"slow"})", "ThrottlingException:http://x/", "ThrottlingException", "slow", ""},
        Case{"query",
             "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>No updates are to be "
             "performed.</Message></Error><RequestId>r-1</RequestId></ErrorResponse>",
             "", "ValidationError", "No updates are to be performed.", "r-1"},
        Case{"ec2",
             "<Response><Errors><Error><Code>InvalidAMIID.NotFound</Code><Message>m</Message></Error></Errors>"
             "<RequestID>r-2</RequestID></Response>",
             "", "InvalidAMIID.NotFound", "m", "r-2"},
        Case{"s3", "<Error><Code>NoSuchKey</Code><Message>m</Message><RequestId>r-3</RequestId></Error>", "",
             "NoSuchKey", "m", "r-3"},
        Case{"xml403", "<AccessDeniedException><Message>x</Message></AccessDeniedException>", "", "HTTP 400",
             "the answer says no more", ""},
        Case{"html", "<html><body>Bad Gateway<br></body></html>", "", "HTTP 400", "the answer says no more", ""},
        Case{"nothing", "", "", "HTTP 400", "the answer says no more", ""},
        Case{"list", "[1]", "", "HTTP 400", "the answer says no more", ""}),
    [](const auto& test) { return test.param.name; });

TEST(AwsFaultId, BothOfS3AreKept) {
  EXPECT_EQ(fault_of(503, "", "", "one", "two").request_id, "one two");
  EXPECT_EQ(fault_of(503, "", "", "one", "").request_id, "one");
}

}  // namespace
}  // namespace executors::aws
