#include "executors/aws/ecs.h"

#include <fmt/core.h>

#include <algorithm>

namespace executors::aws {
namespace {

using nlohmann::json;

// AWS leaves out what is empty, and some doubles write null.
std::string text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<int>() : 0;
}

const json& list(const json& object, const char* key) {
  static const json none = json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : none;
}

json part(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() ? *found : json();
}

EcsDeployment deployment_of(const json& answer) {
  return {text(answer, "id"),
          text(answer, "status"),
          text(answer, "taskDefinition"),
          text(answer, "rolloutState"),
          text(answer, "rolloutStateReason"),
          number(answer, "desiredCount"),
          number(answer, "pendingCount"),
          number(answer, "runningCount"),
          number(answer, "failedTasks")};
}

EcsService service_of(const json& answer) {
  EcsService service;
  service.name = text(answer, "serviceName");
  service.arn = text(answer, "serviceArn");
  service.status = text(answer, "status");
  service.task_definition = text(answer, "taskDefinition");
  service.controller = text(part(answer, "deploymentController"), "type");
  if (service.controller.empty()) service.controller = "ECS";
  service.desired = number(answer, "desiredCount");
  service.running = number(answer, "runningCount");
  service.pending = number(answer, "pendingCount");
  const json breaker = part(part(answer, "deploymentConfiguration"), "deploymentCircuitBreaker");
  service.breaker = breaker.is_object() && breaker.value("enable", false);
  service.breaker_rolls_back = service.breaker && breaker.value("rollback", false);
  for (const json& each : list(answer, "deployments")) service.deployments.push_back(deployment_of(each));
  for (const json& each : list(answer, "events")) service.events.push_back({text(each, "id"), text(each, "message")});
  for (const json& each : list(answer, "loadBalancers")) {
    if (const std::string group = text(each, "targetGroupArn"); !group.empty()) service.target_groups.push_back(group);
  }
  service.network = part(answer, "networkConfiguration");
  service.capacity_provider_strategy = part(answer, "capacityProviderStrategy");
  service.launch_type = text(answer, "launchType");
  service.platform_version = text(answer, "platformVersion");
  return service;
}

Tags tags_of(const json& answer) {
  Tags tags;
  for (const json& each : list(answer, "tags")) tags[text(each, "key")] = text(each, "value");
  return tags;
}

json tags_json(const Tags& tags) {
  json array = json::array();
  for (const auto& [key, value] : tags) array.push_back({{"key", key}, {"value", value}});
  return array;
}

EcsTaskDefinition definition_of(const json& answer) {
  const json& definition = answer.at("taskDefinition");
  EcsTaskDefinition result;
  result.arn = text(definition, "taskDefinitionArn");
  result.family = text(definition, "family");
  result.revision = number(definition, "revision");
  result.document = registrable(definition);
  result.tags = tags_of(answer);
  return result;
}

EcsTask task_of(const json& answer) {
  EcsTask task;
  task.arn = text(answer, "taskArn");
  task.id = short_name(task.arn);
  task.last_status = text(answer, "lastStatus");
  task.stop_code = text(answer, "stopCode");
  task.stopped_reason = text(answer, "stoppedReason");
  task.started_by = text(answer, "startedBy");
  task.task_definition = text(answer, "taskDefinitionArn");
  for (const json& each : list(answer, "containers")) {
    EcsContainer container{text(each, "name"),         text(each, "lastStatus"), text(each, "reason"),
                           text(each, "healthStatus"), text(each, "image"),      {}};
    if (const json code = part(each, "exitCode"); code.is_number_integer()) container.exit_code = code.get<int>();
    task.containers.push_back(std::move(container));
  }
  return task;
}

Ecs::Started started_of(const json& answer) {
  Ecs::Started result;
  for (const json& each : list(answer, "tasks")) result.tasks.push_back(task_of(each));
  for (const json& each : list(answer, "failures")) {
    result.failures.push_back({text(each, "arn"), text(each, "reason"), text(each, "detail")});
  }
  return result;
}

}  // namespace

const EcsDeployment* EcsService::primary() const {
  const auto found = std::find_if(deployments.begin(), deployments.end(),
                                  [](const EcsDeployment& each) { return each.status == "PRIMARY"; });
  return found == deployments.end() ? nullptr : &*found;
}

const EcsDeployment* EcsService::find(std::string_view deployment) const {
  const auto found = std::find_if(deployments.begin(), deployments.end(),
                                  [&](const EcsDeployment& each) { return each.id == deployment; });
  return found == deployments.end() ? nullptr : &*found;
}

std::string short_name(std::string_view arn) { return std::string(arn.substr(arn.rfind('/') + 1)); }

json registrable(json task_definition) {
  // Of aws-actions/amazon-ecs-deploy-task-definition's list; empty values stay, they may mean something.
  for (const char* key : {"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities",
                          "registeredAt", "registeredBy", "deregisteredAt"}) {
    task_definition.erase(key);
  }
  return task_definition;
}

std::optional<EcsService> Ecs::service(std::string_view cluster, std::string_view name, const std::stop_token& stop) {
  const json answer =
      caller_.json("DescribeServices", {{"cluster", cluster}, {"services", {name}}}, Repeat::read, stop);
  const json& found = list(answer, "services");
  if (found.empty()) return std::nullopt;
  return service_of(found.front());
}

EcsTaskDefinition Ecs::task_definition(std::string_view reference, const std::stop_token& stop) {
  return definition_of(caller_.json("DescribeTaskDefinition", {{"taskDefinition", reference}, {"include", {"TAGS"}}},
                                    Repeat::read, stop));
}

EcsTaskDefinition Ecs::register_task_definition(const json& document, const Tags& tags, const std::stop_token& stop) {
  json parameters = document;
  parameters.erase("tags");  // a file may have some; they are among `tags`
  if (!tags.empty()) parameters["tags"] = tags_json(tags);
  return definition_of(caller_.json("RegisterTaskDefinition", parameters, Repeat::never, stop));
}

EcsService Ecs::update_service(const EcsUpdate& update, const std::stop_token& stop) {
  json parameters{{"cluster", update.cluster}, {"service", update.service}};
  if (!update.task_definition.empty()) parameters["taskDefinition"] = update.task_definition;
  if (update.desired) parameters["desiredCount"] = *update.desired;
  if (update.force) parameters["forceNewDeployment"] = true;
  if (!update.configuration.is_null()) parameters["deploymentConfiguration"] = update.configuration;
  const json answer = caller_.json("UpdateService", parameters, update.force ? Repeat::never : Repeat::same, stop);
  return service_of(answer.at("service"));
}

Ecs::Started Ecs::run_task(const json& parameters, const std::stop_token& stop) {
  return started_of(caller_.json("RunTask", parameters, Repeat::same, stop));
}

void Ecs::stop_task(std::string_view cluster, std::string_view task, std::string_view reason,
                    const std::stop_token& stop) {
  caller_.json("StopTask", {{"cluster", cluster}, {"task", task}, {"reason", reason}}, Repeat::same, stop);
}

Ecs::Started Ecs::tasks(std::string_view cluster, const std::vector<std::string>& arns, const std::stop_token& stop) {
  return started_of(caller_.json("DescribeTasks", {{"cluster", cluster}, {"tasks", arns}}, Repeat::read, stop));
}

std::vector<std::string> Ecs::list_tasks(std::string_view cluster, const json& filter, const std::stop_token& stop) {
  std::vector<std::string> arns;
  json parameters = filter;
  parameters["cluster"] = cluster;
  for (;;) {
    const json answer = caller_.json("ListTasks", parameters, Repeat::read, stop);
    for (const json& each : list(answer, "taskArns")) arns.push_back(each.get<std::string>());
    const std::string next = text(answer, "nextToken");
    if (next.empty()) return arns;
    parameters["nextToken"] = next;
  }
}

}  // namespace executors::aws
