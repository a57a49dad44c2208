// Amazon ECS (docs.aws.amazon.com, Amazon ECS API Reference): services, their deployments, task definitions, tasks.
// A task definition is a document that grows with every year's API, so it stays JSON. All throw what Caller throws.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/aws/caller.h"

namespace executors::aws {

using Tags = std::map<std::string, std::string, std::less<>>;

struct EcsDeployment {
  std::string id;               // ecs-svc/…
  std::string status;           // PRIMARY, ACTIVE, INACTIVE
  std::string task_definition;  // ARN
  std::string rollout_state;    // COMPLETED, FAILED, IN_PROGRESS; empty: the service has none (an older balancer)
  std::string rollout_reason;
  int desired = 0, pending = 0, running = 0, failed_tasks = 0;
};

struct EcsEvent {
  std::string id, message;
};

struct EcsService {
  std::string name, arn;
  std::string status;           // ACTIVE, DRAINING, INACTIVE
  std::string task_definition;  // ARN
  std::string controller;       // ECS, CODE_DEPLOY, EXTERNAL
  int desired = 0, running = 0, pending = 0;
  bool breaker = false, breaker_rolls_back = false;  // deploymentCircuitBreaker
  std::vector<EcsDeployment> deployments;
  std::vector<EcsEvent> events;            // the newest first, at most 100
  std::vector<std::string> target_groups;  // ARNs
  // As RunTask takes them; null where the service has none.
  nlohmann::json network, capacity_provider_strategy;
  std::string launch_type, platform_version;

  const EcsDeployment* primary() const;
  const EcsDeployment* find(std::string_view deployment) const;
};

struct EcsTaskDefinition {
  std::string arn, family;
  int revision = 0;
  nlohmann::json document;  // what RegisterTaskDefinition would take: without what only answers have
  Tags tags;
};

struct EcsContainer {
  std::string name, last_status, reason, health, image;
  std::optional<int> exit_code;  // absent: it never started, or was killed before it said
};

struct EcsTask {
  std::string arn, id;  // the id ends the ARN
  std::string last_status, stop_code, stopped_reason, started_by, task_definition;
  std::vector<EcsContainer> containers;
};

// DescribeTasks and RunTask report these in an answer of 200.
struct EcsFailure {
  std::string arn, reason, detail;
};

struct EcsUpdate {
  std::string cluster, service, task_definition;  // empty: as it is
  std::optional<int> desired;
  bool force = false;
  nlohmann::json configuration;  // deploymentConfiguration; null: as it is
};

class Ecs {
 public:
  explicit Ecs(Caller& caller) : caller_(caller) {}

  // Absent: there is none of that name (any more).
  std::optional<EcsService> service(std::string_view cluster, std::string_view name, const std::stop_token& = {});
  EcsTaskDefinition task_definition(std::string_view reference, const std::stop_token& = {});
  // Registering twice makes two revisions: CallError::maybe_done says whether to look first.
  EcsTaskDefinition register_task_definition(const nlohmann::json& document, const Tags&, const std::stop_token& = {});
  // With `force` each call begins a deployment; without it the same call twice is one.
  EcsService update_service(const EcsUpdate&, const std::stop_token& = {});

  struct Started {
    std::vector<EcsTask> tasks;
    std::vector<EcsFailure> failures;
  };
  // `parameters` as RunTask has them, with a clientToken: the same call twice is one task.
  Started run_task(const nlohmann::json& parameters, const std::stop_token& = {});
  void stop_task(std::string_view cluster, std::string_view task, std::string_view reason, const std::stop_token& = {});
  // At most 100.
  Started tasks(std::string_view cluster, const std::vector<std::string>& arns, const std::stop_token& = {});
  // `filter`: serviceName, family, startedBy, desiredStatus.
  std::vector<std::string> list_tasks(std::string_view cluster, const nlohmann::json& filter,
                                      const std::stop_token& = {});

 private:
  Caller& caller_;
};

// "app:41" of an ARN of a task definition, "0123…" of a task's; a name stays itself.
std::string short_name(std::string_view arn);

// Without the keys that only answers have, so that it can be registered.
nlohmann::json registrable(nlohmann::json task_definition);

}  // namespace executors::aws
