// deploy.ecs_task: one task, started exactly once, whose containers' exit codes are the job's.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "executors/aws/logs.h"
#include "executors/steps/ecs_common.h"
#include "executors/steps/steps.h"

namespace executors::steps {
namespace {

using aws::short_name;
using nlohmann::json;

constexpr std::chrono::milliseconds first_look{3'000};
constexpr std::chrono::milliseconds later_look{6'000};
constexpr std::chrono::seconds stopping{150};  // ECS gives containers up to 120 s between TERM and KILL
constexpr std::chrono::seconds between_placements{10};
constexpr int most_pages = 200;  // of a log, at one look

// What ECS may have room for later (Amazon ECS API Reference, "API failure reasons").
bool may_find_room(const aws::EcsFailure& failure) {
  return failure.reason.starts_with("RESOURCE:") || failure.reason == "AGENT" ||
         failure.reason.find("Capacity is unavailable") != std::string::npos;
}

class OneTask {
 public:
  OneTask(const pipelines::EcsTask& step, Context& context)
      : step_(step), context_(context), ecs_(context.aws().of(aws::services::ecs)) {}

  JobResult run() {
    try {
      find_definition();
    } catch (const aws::TaskDefinitionError& error) {
      throw StepFailed(error.what());
    }
    const std::string task = start();
    context_.output("TASK_ARN", task);
    context_.say(fmt::format("task {} ({})", short_name(task), short_name(definition_.arn)));
    try {
      return follow(task);
    } catch (const http::Cancelled&) {
      stop(task, fmt::format("cancelled by run {}", context_.job().run));
      throw;
    }
  }

 private:
  void find_definition() {
    aws::TaskChanges changes;
    container_ = step_.container;
    if (container_.empty()) container_ = only_container();
    if (!step_.image.empty()) changes.images = {{container_, step_.image}};
    definition_ = task_definition_with(context_, ecs_, "revision", step_.task_definition, changes, {});
  }

  std::string only_container() {
    const json document =
        pipelines::is_task_definition_file(step_.task_definition)
            ? aws::parse_task_definition(context_.read_file(step_.task_definition), step_.task_definition)
            : ecs_.task_definition(step_.task_definition, context_.stop()).document;
    std::vector<std::string> names;
    for (const json& each : document.value("containerDefinitions", json::array())) {
      names.push_back(each.value("name", ""));
    }
    if (names.size() == 1) return names.front();
    const bool needed = !step_.image.empty() || !step_.command.empty() || !step_.environment.empty();
    if (!needed) return {};
    throw StepFailed(fmt::format("{} has several containers: say which by `container` ({})", step_.task_definition,
                                 fmt::join(names, ", ")));
  }

  // --- starting it ---

  json network() {
    json result = json::object();
    if (!step_.network_from_service.empty()) {
      const auto service = ecs_.service(step_.cluster, step_.network_from_service, context_.stop());
      if (!service) {
        throw StepFailed(fmt::format("network_from_service: the cluster {} has no service {}",
                                     short_name(step_.cluster), step_.network_from_service));
      }
      if (!service->network.is_null()) result["networkConfiguration"] = service->network;
      if (service->capacity_provider_strategy.is_array() && !service->capacity_provider_strategy.empty()) {
        result["capacityProviderStrategy"] = service->capacity_provider_strategy;
      } else if (!service->launch_type.empty()) {
        result["launchType"] = service->launch_type;
      }
      if (!service->platform_version.empty()) result["platformVersion"] = service->platform_version;
    } else if (!step_.subnets.empty()) {
      json vpc{{"subnets", step_.subnets}};
      if (!step_.security_groups.empty()) vpc["securityGroups"] = step_.security_groups;
      if (step_.assign_public_ip) vpc["assignPublicIp"] = *step_.assign_public_ip ? "ENABLED" : "DISABLED";
      result["networkConfiguration"] = {{"awsvpcConfiguration", vpc}};
    }
    if (!step_.launch_type.empty()) {
      result["launchType"] = step_.launch_type;
      result.erase("capacityProviderStrategy");
    }
    if (!step_.capacity_provider_strategy.empty()) {
      result.erase("launchType");
      json all = json::array();
      for (const auto& each : step_.capacity_provider_strategy) {
        all.push_back({{"capacityProvider", each.name}, {"weight", each.weight}, {"base", each.base}});
      }
      result["capacityProviderStrategy"] = all;
    }
    if (!step_.platform_version.empty()) result["platformVersion"] = step_.platform_version;
    return result;
  }

  json parameters() {
    json result = network();
    result["cluster"] = step_.cluster;
    result["taskDefinition"] = definition_.arn;
    result["count"] = 1;
    json overrides = json::object();
    if (!step_.command.empty() || !step_.environment.empty()) {
      json one{{"name", container_}};
      if (!step_.command.empty()) one["command"] = step_.command;
      for (const auto& [name, value] : step_.environment) {
        one["environment"].push_back({{"name", name}, {"value", value}});
      }
      overrides["containerOverrides"] = json::array({one});
    }
    if (!step_.cpu.empty()) overrides["cpu"] = step_.cpu;
    if (!step_.memory.empty()) overrides["memory"] = step_.memory;
    if (!overrides.empty()) result["overrides"] = overrides;
    for (const auto& [key, value] : step_.tags) result["tags"].push_back({{"key", key}, {"value", value}});
    return result;
  }

  // Its ARN. Where the cluster has no room, asked again for a while: an answer that names a failure started nothing.
  std::string start() {
    json task = parameters();
    const auto deadline = std::chrono::steady_clock::now() + step_.capacity_timeout;
    for (int number = 1;; ++number) {
      const std::string token = fmt::format("{}-{}", context_.token(), number);
      task["clientToken"] = token;
      task["startedBy"] = token;
      const Facts facts = context_.once(
          fmt::format("run {}", number), {{"startedBy", token}}, [&] { return started_by(token); },
          [&] { return run_once(task); });
      if (const auto arn = facts.find("task"); arn != facts.end()) return arn->second;
      const std::string& why = facts.at("failure");
      const bool again = facts.at("again") == "yes" && std::chrono::steady_clock::now() < deadline;
      if (!again) throw StepFailed(fmt::format("ECS did not start the task: {}", why));
      context_.say(fmt::format("no room for the task yet: {}", why));
      context_.pause(step_.poll.value_or(between_placements), context_.stop());
    }
  }

  Facts run_once(const json& task) {
    for (int attempt = 1;; ++attempt) {
      try {
        const aws::Ecs::Started started = ecs_.run_task(task, context_.stop());
        if (!started.tasks.empty()) return {{"task", started.tasks.front().arn}};
        if (started.failures.empty()) return {{"failure", "no task and no reason"}, {"again", "no"}};
        const aws::EcsFailure& failure = started.failures.front();
        return {{"failure", failure.detail.empty() ? failure.reason : failure.reason + ": " + failure.detail},
                {"again", may_find_room(failure) ? "yes" : "no"}};
      } catch (const aws::CallError& error) {
        // A revision that was registered just now may not be known everywhere.
        const bool too_new = error.is("ClientException") && error.trouble == aws::Trouble::none &&
                             (error.fault.message.find("not found") != std::string::npos ||
                              error.fault.message.find("inactive") != std::string::npos);
        if (!too_new || attempt > 2) throw;
        context_.pause(aws::pause_before(attempt + 1, 0.5), context_.stop());
      }
    }
  }

  // Whether an earlier process, or a call whose answer was lost, has started it.
  std::optional<Facts> started_by(const std::string& token) {
    for (const char* status : {"RUNNING", "STOPPED"}) {
      const auto arns =
          ecs_.list_tasks(step_.cluster, {{"startedBy", token}, {"desiredStatus", status}}, context_.stop());
      if (!arns.empty()) return Facts{{"task", arns.front()}};
    }
    return std::nullopt;
  }

  // --- following it ---

  JobResult follow(const std::string& arn) {
    const Pace pace = Pace{first_look, later_look, step_.wait}.with(step_.poll);
    const Facts since = context_.remember("watching", [&] {
      return Facts{{"time", std::to_string(std::chrono::system_clock::to_time_t(context_.now()))}};
    });
    std::optional<aws::EcsTask> ended;
    bool lost = false;
    context_.poll(
        pace,
        [&] {
          const aws::Ecs::Started seen = ecs_.tasks(step_.cluster, {arn}, context_.stop());
          lost = seen.tasks.empty();
          if (lost) return ++missed_ > 2;
          missed_ = 0;
          tell(seen.tasks.front());
          read_logs(seen.tasks.front(), context_.stop());
          if (seen.tasks.front().last_status == "STOPPED") ended = seen.tasks.front();
          return ended.has_value();
        },
        context_.stop(), std::chrono::system_clock::from_time_t(std::stoll(since.at("time"))));
    if (ended) return verdict(*ended);
    if (lost) {
      return failed(
          fmt::format("ECS does not know the task {} any more: how it ended cannot be told", short_name(arn)));
    }
    stop(arn, "it took too long");
    return failed(fmt::format("the task was not over within {}: it was stopped", spoken(step_.wait)));
  }

  void tell(const aws::EcsTask& task) {
    if (task.last_status == status_) return;
    status_ = task.last_status;
    context_.notices().status(fmt::format("task {}", status_));
    context_.say(fmt::format("  {}", status_));
  }

  // What its containers said since the last look. A stream is there only when the container has started.
  void read_logs(const aws::EcsTask& task, const std::stop_token& stop) {
    for (const auto& container : task.containers) {
      const auto place = log_place(definition_.document, container.name);
      if (!place || (!place->region.empty() && place->region != context_.aws().region())) continue;
      try {
        read_log(*place, container.name, task, stop);
      } catch (const aws::CallError& error) {
        if (log_trouble_ != error.fault.code) context_.say(fmt::format("the log cannot be read: {}", error.what()));
        log_trouble_ = error.fault.code;
      }
    }
  }

  void read_log(const LogPlace& place, const std::string& container, const aws::EcsTask& task,
                const std::stop_token& stop) {
    aws::Logs logs(context_.aws().of(aws::services::logs));
    const std::string name = "log of " + container;
    auto [position, fresh] = positions_.try_emplace(container);
    if (fresh) {
      if (const auto known = context_.remembered(name)) position->second = known->at("next");
    }
    for (int page = 0; page < most_pages; ++page) {
      const auto found = logs.forward(place.group, place.stream(container, task.id), position->second, stop);
      if (!found) return;
      for (const auto& event : found->events) {
        context_.say(task.containers.size() > 1 ? fmt::format("[{}] {}", container, event.message) : event.message);
      }
      const bool more = !found->next.empty() && found->next != position->second;
      if (!more) return;
      position->second = found->next;
      if (!found->events.empty()) context_.note(name, {{"next", found->next}});
    }
  }

  // --- its end ---

  bool counts(const std::string& container) const {
    if (!step_.watch.empty()) {
      return std::find(step_.watch.begin(), step_.watch.end(), container) != step_.watch.end();
    }
    for (const json& each : definition_.document.value("containerDefinitions", json::array())) {
      if (each.value("name", "") == container) return each.value("essential", true);
    }
    return true;
  }

  JobResult verdict(const aws::EcsTask& task) {
    context_.pause(std::chrono::milliseconds(step_.poll ? 0 : 3'000), context_.stop());  // the log's last lines
    read_logs(task, context_.stop());
    std::vector<std::string> troubles;
    int code = 0;
    bool any = false;
    for (const auto& container : task.containers) {
      if (!counts(container.name)) continue;
      any = true;
      if (container.exit_code == 0) continue;
      troubles.push_back(fmt::format("{}: {}", container.name, end_of(container)));
      if (code == 0) code = container.exit_code.value_or(1);
    }
    if (!any) troubles.push_back("none of the containers that count is in the task");
    if (troubles.empty()) {
      context_.say("the task has passed");
      return passed();
    }
    std::string message = fmt::format("the task failed: {}", fmt::join(troubles, "; "));
    if (!task.stopped_reason.empty()) message += fmt::format(" ({})", task.stopped_reason);
    context_.say(message);
    JobResult result = failed(message);
    if (code != 0) result.exit_code = code;
    return result;
  }

  // Never leaves it running silently.
  void stop(const std::string& arn, const std::string& reason) {
    context_.say(fmt::format("stopping the task {}: {}", short_name(arn), reason));
    try {
      ecs_.stop_task(step_.cluster, arn, reason, context_.last_stop());
      Pace pace{first_look, later_look, stopping};
      const bool over = context_.poll(
          pace,
          [&] {
            const aws::Ecs::Started seen = ecs_.tasks(step_.cluster, {arn}, context_.last_stop());
            if (seen.tasks.empty()) return true;
            read_logs(seen.tasks.front(), context_.last_stop());
            return seen.tasks.front().last_status == "STOPPED";
          },
          context_.last_stop());
      context_.say(over ? "the task is stopped" : "the task does not stop: look after it");
    } catch (const std::exception& error) {
      context_.say(fmt::format("the task may still run: {}", error.what()));
      context_.warn(fmt::format("the task {} may still run: {}", short_name(arn), error.what()));
    }
  }

  const pipelines::EcsTask& step_;
  Context& context_;
  aws::Ecs ecs_;
  std::string container_;
  aws::EcsTaskDefinition definition_;
  std::string status_, log_trouble_;
  std::map<std::string, std::string> positions_;  // by container: where its log was read to
  int missed_ = 0;
};

}  // namespace

JobResult run_step(const pipelines::EcsTask& step, Context& context) { return OneTask(step, context).run(); }

}  // namespace executors::steps
