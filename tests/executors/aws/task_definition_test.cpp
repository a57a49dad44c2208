// What a new revision of a task definition says, and in what it differs from another.
#include "executors/aws/task_definition.h"

#include <gmock/gmock.h>

namespace executors::aws {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json app() {
  return json::parse(R"({
    "family": "app", "cpu": "256", "memory": "512", "networkMode": "awsvpc", "volumes": [],
    "containerDefinitions": [
      {"name": "app", "image": "registry:5000/team/app:1", "essential": true, "cpu": 0,
       "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
       "environment": [{"name": "EMPTY", "value": ""}, {"name": "PASSWORD", "value": "hunter2"}],
       "mountPoints": [], "volumesFrom": []},
      {"name": "proxy", "image": "nginx", "essential": false}]})");
}

std::string refusal(const TaskChanges& changes) {
  try {
    changed(app(), changes);
  } catch (const TaskDefinitionError& error) {
    return error.what();
  }
  return "";
}

TEST(TaskDefinition, AnImageIsReplacedByItsContainersName) {
  const json after = changed(app(), {.images = {{"app", "registry:5000/team/app:2"}}});
  EXPECT_THAT(difference(app(), after),
              ElementsAre("~ containerDefinitions[app].image: registry:5000/team/app:1 → registry:5000/team/app:2"));
}

TEST(TaskDefinition, AnUnknownContainerIsRefusedWithThoseThatThereAre) {
  EXPECT_EQ(refusal({.images = {{"web", "a"}}}), "the task definition app has no container web; it has app, proxy");
}

TEST(TaskDefinition, AnImageAloneGoesToTheContainersOfItsRepository) {
  const json after = changed(app(), {.image = "registry:5000/team/app@sha256:abc"});
  EXPECT_THAT(images_of(after), ElementsAre("registry:5000/team/app@sha256:abc", "nginx"));
  EXPECT_THAT(refusal({.image = "other/app:2"}),
              HasSubstr("no container of the task definition app runs an image of other/app"));
}

TEST(TaskDefinition, VariablesAreChangedInTheirPlaceAndAddedBehind) {
  const json after = changed(app(), {.environment = {{"app", {{"EMPTY", "1"}, {"NEW", "2"}}}},
                                     .secrets = {{"app", {{"TOKEN", "arn:aws:ssm:x"}}}}});
  const json& container = after.at("containerDefinitions")[0];
  EXPECT_EQ(container.at("environment"),
            json::parse(R"([{"name":"EMPTY","value":"1"},{"name":"PASSWORD","value":"hunter2"},
                            {"name":"NEW","value":"2"}])"));
  EXPECT_EQ(container.at("secrets"), json::parse(R"([{"name":"TOKEN","valueFrom":"arn:aws:ssm:x"}])"));
}

TEST(TaskDefinition, EmptyValuesStay) {
  const json after = changed(app(), {.cpu = "512"});
  EXPECT_EQ(after.at("containerDefinitions")[0].at("environment")[0].at("value"), "");
  EXPECT_TRUE(after.at("volumes").is_array());
}

TEST(TaskDefinition, ValuesOfTheEnvironmentAreNeverShown) {
  const json after = changed(app(), {.environment = {{"app", {{"PASSWORD", "hunter3"}, {"NEW", "hunter4"}}}}});
  for (const std::string& line : difference(app(), after)) {
    EXPECT_EQ(line.find("hunter"), std::string::npos) << line;
  }
  EXPECT_EQ(difference(app(), after).size(), 3U);
}

TEST(TaskDefinition, WhatEcsFillsInMakesNoDifference) {
  const json file = json::parse(R"({
    "family": "app", "cpu": 256, "memory": 512, "networkMode": "awsvpc",
    "containerDefinitions": [
      {"name": "proxy", "image": "nginx", "essential": false},
      {"name": "app", "image": "registry:5000/team/app:1", "portMappings": [{"containerPort": 80}],
       "environment": [{"name": "PASSWORD", "value": "hunter2"}, {"name": "EMPTY", "value": ""}]}]})");
  EXPECT_TRUE(same_task(file, app()));
  EXPECT_TRUE(same_task(app(), file));
}

TEST(TaskDefinition, WhatDiffersIsSeen) {
  for (const char* pointer : {"/cpu", "/containerDefinitions/0/image", "/containerDefinitions/0/environment/1/value",
                              "/containerDefinitions/0/portMappings/0/protocol"}) {
    json other = app();
    other[json::json_pointer(pointer)] = "1";
    EXPECT_FALSE(same_task(other, app())) << pointer;
    EXPECT_FALSE(same_task(app(), other)) << pointer;
  }
  json fewer = app();
  fewer.at("containerDefinitions").erase(1);
  EXPECT_FALSE(same_task(fewer, app()));
  json essential = app();
  essential.at("containerDefinitions")[1].erase("essential");  // true then
  EXPECT_FALSE(same_task(essential, app()));
}

TEST(TaskDefinition, AFileIsWhatIsRegisteredOrWhatIsDescribed) {
  EXPECT_EQ(parse_task_definition(app().dump(), "task.json"), app());
  json answer{{"taskDefinition", app()}, {"tags", json::array()}};
  answer["taskDefinition"]["revision"] = 3;
  answer["taskDefinition"]["taskDefinitionArn"] = "arn";
  json read = parse_task_definition(answer.dump(), "task.json");
  read.erase("tags");
  EXPECT_EQ(read, app());
}

TEST(TaskDefinition, AFileThatIsNoneIsRefused) {
  const auto complaint = [](std::string_view text) -> std::string {
    try {
      parse_task_definition(text, "task.json");
    } catch (const TaskDefinitionError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(complaint("{"), HasSubstr("task.json: no JSON"));
  EXPECT_THAT(complaint("[]"), HasSubstr("task.json: a task definition is a JSON object"));
  EXPECT_THAT(complaint("{}"), HasSubstr("has no `family`"));
  EXPECT_THAT(complaint(R"({"family":"a"})"), HasSubstr("has no `containerDefinitions`"));
}

TEST(TaskDefinition, ARepositoryIsAnImageWithoutTagAndDigest) {
  EXPECT_EQ(repository_of("registry:5000/a/b:1"), "registry:5000/a/b");
  EXPECT_EQ(repository_of("registry:5000/a/b"), "registry:5000/a/b");
  EXPECT_EQ(repository_of("a:1@sha256:00"), "a");
}

}  // namespace
}  // namespace executors::aws
