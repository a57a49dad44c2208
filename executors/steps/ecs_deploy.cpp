// deploy.ecs: services of a cluster get a new revision of their task definition, one after the other; each rollout is
// followed to its end by its deployment's id.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "executors/steps/ecs_common.h"
#include "executors/steps/ecs_rollout.h"
#include "executors/steps/steps.h"

namespace executors::steps {
namespace {

using aws::short_name;
using nlohmann::json;
using Fate = RolloutJudge::Fate;

constexpr std::chrono::milliseconds first_look{5'000};
constexpr std::chrono::milliseconds later_look{15'000};
constexpr std::size_t most_explained = 3;  // tasks that stopped

json configuration_json(const pipelines::EcsDeploy::Configuration& configuration) {
  json result = json::object();
  if (configuration.min_healthy) result["minimumHealthyPercent"] = *configuration.min_healthy;
  if (configuration.max_healthy) result["maximumPercent"] = *configuration.max_healthy;
  if (const auto& breaker = configuration.circuit_breaker) {
    result["deploymentCircuitBreaker"] = {{"enable", breaker->enable}, {"rollback", breaker->rollback}};
  }
  if (!configuration.alarms.empty()) {
    result["alarms"] = {
        {"alarmNames", configuration.alarms}, {"enable", true}, {"rollback", configuration.alarm_rollback}};
  }
  return result;
}

std::optional<int> count_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 0) {
    throw StepFailed(fmt::format("desired_count is \"{}\", which is no number of tasks", text));
  }
  return count;
}

class EcsDeployment {
 public:
  EcsDeployment(const pipelines::EcsDeploy& step, Context& context)
      : step_(step),
        context_(context),
        ecs_(context.aws().of(aws::services::ecs)),
        desired_(count_of(step.desired_count)) {}

  JobResult run() {
    for (const auto& name : step_.services) look_before(name);
    for (auto& service : services_) find_definition(service);
    for (auto& service : services_) {
      JobResult result = roll_out(service);
      if (result.outcome != pipelines::Outcome::passed) return result;
    }
    return passed();
  }

 private:
  struct Service {
    std::string name;
    std::string target;
    aws::EcsService known;  // as it is now, which may be after a restart
    Facts before;           // definition, deployment and desired count before we did anything
    aws::EcsTaskDefinition definition;
    bool updated = false;
  };

  const std::string& previous(const Service& service) const { return service.before.at("definition"); }

  aws::EcsService must_have(const std::string& name, const std::stop_token& stop) {
    auto service = ecs_.service(step_.cluster, name, stop);
    if (!service || service->status == "INACTIVE") {
      throw StepFailed(fmt::format("the cluster {} has no service {}: create it first, or mend `cluster` and `service`",
                                   short_name(step_.cluster), name));
    }
    if (service->status != "ACTIVE") {
      throw StepFailed(fmt::format("the service {} is {} and takes no deployment", name, service->status));
    }
    if (service->controller != "ECS") {
      throw StepFailed(fmt::format("the service {} is deployed by {}, not by ECS itself: this step cannot do that",
                                   name, service->controller));
    }
    return std::move(*service);
  }

  // All of them before any is touched.
  void look_before(const std::string& name) {
    Service service;
    service.name = name;
    service.target = fmt::format("ecs:{}/{}", short_name(step_.cluster), short_name(name));
    service.known = must_have(name, context_.stop());
    const aws::EcsDeployment* primary = service.known.primary();
    service.before = context_.remember("before " + name, [&] {
      return Facts{{"definition", service.known.task_definition},
                   {"deployment", primary == nullptr ? "" : primary->id},
                   {"desired", std::to_string(service.known.desired)}};
    });
    context_.say(fmt::format("{} runs {} ({} of {} tasks)", service.target, short_name(service.known.task_definition),
                             service.known.running, service.known.desired));
    services_.push_back(std::move(service));
  }

  void find_definition(Service& service) {
    aws::TaskChanges changes{step_.images, step_.image, {}, {}, step_.cpu, step_.memory};
    for (const auto& each : step_.environment) changes.environment.emplace_back(each.container, each.values);
    for (const auto& each : step_.secrets) changes.secrets.emplace_back(each.container, each.values);
    aws::Tags tags;
    for (const auto& [key, value] : step_.tags) tags[key] = value;
    const std::string& reference = step_.task_definition.empty() ? previous(service) : step_.task_definition;
    try {
      // Services that share a task definition share the new revision.
      const bool shared = !step_.task_definition.empty();
      service.definition = task_definition_with(context_, ecs_, shared ? "revision" : "revision " + service.name,
                                                reference, changes, tags);
    } catch (const aws::TaskDefinitionError& error) {
      throw StepFailed(error.what());
    }
  }

  bool has_to_change(const Service& service) const {
    return step_.force || service.definition.arn != previous(service) ||
           (desired_ && std::to_string(*desired_) != service.before.at("desired")) ||
           step_.deployment_configuration.has_value();
  }

  // The id of the deployment that the update began, or that of the one before where it began none.
  Facts update(Service& service) {
    aws::EcsUpdate change;
    change.cluster = step_.cluster;
    change.service = service.name;
    change.task_definition = service.definition.arn;
    change.desired = desired_;
    change.force = step_.force;
    if (step_.deployment_configuration) change.configuration = configuration_json(*step_.deployment_configuration);
    const auto facts_of = [&](const aws::EcsService& answer) {
      const aws::EcsDeployment* primary = answer.primary();
      return Facts{{"deployment", primary == nullptr ? "" : primary->id}, {"time", time_now()}};
    };
    return context_.once(
        "update " + service.name, {{"service", service.name}, {"definition", service.definition.arn}},
        [&]() -> std::optional<Facts> {
          const auto now = ecs_.service(step_.cluster, service.name, context_.stop());
          const aws::EcsDeployment* primary = now ? now->primary() : nullptr;
          const bool ours = primary != nullptr && primary->task_definition == service.definition.arn &&
                            primary->id != service.before.at("deployment");
          return ours ? std::optional(facts_of(*now)) : std::nullopt;
        },
        [&] { return facts_of(ecs_.update_service(change, context_.stop())); });
  }

  JobResult roll_out(Service& service) {
    Facts begun{{"deployment", service.before.at("deployment")}, {"time", time_now()}};
    const bool change = has_to_change(service);
    if (change) {
      begun = update(service);
      service.updated = true;
      tell(service, Deployment::State::running, {});
    }
    const aws::EcsDeployment* primary = service.known.primary();
    const bool idle = !change && primary != nullptr &&
                      (primary->rollout_state == "COMPLETED" ||
                       (primary->rollout_state.empty() && service.known.deployments.size() == 1));
    if (idle) {
      context_.say(
          fmt::format("{} serves {} already: nothing to do", service.target, short_name(service.definition.arn)));
      return give(service, begun);
    }
    context_.say(fmt::format("{}: {} → {} by {}", service.target, short_name(previous(service)),
                             short_name(service.definition.arn), begun.at("deployment")));
    if (const auto failure = context_.remembered("failure " + service.name)) {
      return give_up(service, begun, failure->at("why"), /*back=*/false);  // an earlier process was going back
    }
    // Where the service's own breaker goes back by itself, it decides; else we do.
    const bool count = !service.known.breaker || step_.rollback;
    RolloutJudge judge({begun.at("deployment"), service.definition.arn, previous(service),
                        count ? step_.max_failed_tasks : std::nullopt},
                       service.known);
    try {
      return conclude(service, judge, follow(service, judge, step_.wait, begun, context_.stop()), begun);
    } catch (const http::Cancelled&) {
      cancelled(service, begun);
      throw;
    }
  }

  std::optional<Fate> follow(const Service& service, RolloutJudge& judge, std::chrono::seconds wait, const Facts& begun,
                             const std::stop_token& stop) {
    std::optional<Fate> fate;
    context_.poll(
        Pace{first_look, later_look, wait}.with(step_.poll),
        [&] {
          const auto seen = ecs_.service(step_.cluster, service.name, stop);
          const Fate now = judge.look(seen);
          for (const auto& line : judge.news()) context_.say("  " + line);
          const bool scaling = now == Fate::completed && desired_ && seen->running != seen->desired;
          if (now != Fate::going_on && !scaling) fate = now;
          return fate.has_value();
        },
        stop, time_of(begun.at("time")));
    return fate;  // absent: the time is over
  }

  JobResult conclude(Service& service, const RolloutJudge& judge, std::optional<Fate> fate, const Facts& begun) {
    if (fate == Fate::completed) {
      context_.say(fmt::format("{} serves {}", service.target, short_name(service.definition.arn)));
      tell(service, Deployment::State::succeeded, {});
      return give(service, begun);
    }
    if (fate == Fate::superseded) {
      tell(service, Deployment::State::superseded, judge.why());
      const std::string message = fmt::format("{}: {}", service.target, judge.why());
      context_.say(message);
      return step_.superseded_is_success ? give(service, begun) : failed(message);
    }
    std::string why = judge.why();
    if (!fate) {
      why = fmt::format("not rolled out within {}{}{}", spoken(step_.wait), why.empty() ? "" : ": ", why);
    }
    if (fate == Fate::rolled_back) return give_up(service, begun, why, /*back=*/true);
    if (fate != Fate::gone && step_.rollback) {
      context_.remember("failure " + service.name, [&] { return Facts{{"why", why}}; });
    }
    return give_up(service, begun, why, /*back=*/false, fate == Fate::gone);
  }

  // `back`: ECS went back by itself. `gone`: there is nothing to roll back.
  JobResult give_up(Service& service, const Facts& begun, const std::string& why, bool back, bool gone = false) {
    context_.say(fmt::format("{}: {}", service.target, why));
    explain(service, begun.at("deployment"));
    std::string message = fmt::format("{}: {}", service.target, why);
    Deployment::State state = Deployment::State::failed;
    if (back) {
      message += fmt::format("; ECS rolled back to {}", short_name(previous(service)));
      state = Deployment::State::rolled_back;
    } else if (step_.rollback && !gone) {
      const std::string trouble = go_back(service, context_.stop());
      if (trouble.empty()) state = Deployment::State::rolled_back;
      message += trouble.empty() ? fmt::format("; rolled back to {}", short_name(previous(service))) : "; " + trouble;
    }
    tell(service, state, why);
    message += go_back_with_the_others(service);
    context_.say(message);
    return failed(message);
  }

  // What is to be undone of a service; empty when it is, else why not.
  std::string go_back(Service& service, const std::stop_token& stop) {
    if (previous(service) == service.definition.arn) return "nothing to roll back to: it is the same task definition";
    context_.say(fmt::format("{}: rolling back to {}", service.target, short_name(previous(service))));
    try {
      aws::EcsUpdate change;
      change.cluster = step_.cluster;
      change.service = service.name;
      change.task_definition = previous(service);
      if (desired_) change.desired = std::stoi(service.before.at("desired"));
      const Facts begun = context_.once(
          "roll back " + service.name, {{"service", service.name}, {"definition", previous(service)}}, {}, [&] {
            const aws::EcsService answer = ecs_.update_service(change, stop);
            const aws::EcsDeployment* primary = answer.primary();
            return Facts{{"deployment", primary == nullptr ? "" : primary->id}, {"time", time_now()}};
          });
      RolloutJudge judge({begun.at("deployment"), previous(service), previous(service), {}}, service.known);
      const auto fate = follow(service, judge, step_.rollback_wait.value_or(step_.wait), begun, stop);
      if (fate == Fate::completed) return {};
      return fmt::format("the rollback to {} {}", short_name(previous(service)),
                         fate ? "failed: " + judge.why() : "was not over in time");
    } catch (const aws::CallError& error) {
      return fmt::format("the rollback failed: {}", error.what());
    }
  }

  // Those before it in the list serve the new revision already: all of them belong together.
  std::string go_back_with_the_others(const Service& failed_one) {
    if (!step_.rollback) return {};
    std::string words;
    for (auto& service : services_) {
      if (&service == &failed_one || !service.updated) continue;
      const std::string back = go_back(service, context_.stop());
      tell(service, back.empty() ? Deployment::State::rolled_back : Deployment::State::failed,
           fmt::format("{} failed", failed_one.target));
      words += fmt::format("; {} {}", service.target,
                           back.empty() ? "rolled back to " + short_name(previous(service)) : back);
    }
    return words;
  }

  void cancelled(Service& service, const Facts& begun) {
    if (!service.updated || step_.on_cancel != pipelines::OnCancel::rollback) {
      context_.say(fmt::format("cancelled: {} of {} goes on without us (on_cancel: leave)", begun.at("deployment"),
                               service.target));
      if (service.updated) tell(service, Deployment::State::cancelled, "cancelled; the rollout goes on");
      return;
    }
    context_.say("cancelled (on_cancel: rollback)");
    const std::string back = go_back(service, context_.last_stop());
    tell(service, back.empty() ? Deployment::State::rolled_back : Deployment::State::cancelled,
         back.empty() ? "cancelled" : back);
  }

  void explain(const Service& service, const std::string& deployment) {
    try {
      std::vector<std::string> arns = ecs_.list_tasks(
          step_.cluster, {{"serviceName", service.name}, {"desiredStatus", "STOPPED"}}, context_.stop());
      constexpr std::size_t most_at_once = 100;
      if (arns.size() > most_at_once) arns.resize(most_at_once);
      if (arns.empty()) return;
      std::vector<aws::EcsTask> tasks = ecs_.tasks(step_.cluster, arns, context_.stop()).tasks;
      std::erase_if(tasks, [&](const aws::EcsTask& task) { return task.started_by != deployment; });
      if (tasks.size() > most_explained) tasks.resize(most_explained);
      explain_stopped(context_, tasks, service.definition.document, step_.log_lines, context_.stop());
    } catch (const aws::CallError& error) {
      context_.say(fmt::format("why tasks stopped cannot be had: {}", error.what()));
    }
  }

  JobResult give(const Service& service, const Facts& begun) {
    const std::string suffix = services_.size() > 1 ? "_" + variable_part(short_name(service.name)) : "";
    const auto put = [&](const char* name, const std::string& value) {
      context_.output(name, value);
      if (!suffix.empty()) context_.output(name + suffix, value);
    };
    put("TASK_DEFINITION", service.definition.arn);
    put("PREVIOUS_TASK_DEFINITION", previous(service));
    put("DEPLOYMENT_ID", begun.at("deployment"));
    return passed();
  }

  void tell(const Service& service, Deployment::State state, const std::string& message) {
    context_.deployed(
        {service.target, short_name(service.definition.arn), short_name(previous(service)), state, message});
  }

  std::string time_now() const { return std::to_string(std::chrono::system_clock::to_time_t(context_.now())); }
  static std::chrono::system_clock::time_point time_of(const std::string& text) {
    return std::chrono::system_clock::from_time_t(std::stoll(text));
  }

  const pipelines::EcsDeploy& step_;
  Context& context_;
  aws::Ecs ecs_;
  const std::optional<int> desired_;
  std::vector<Service> services_;
};

}  // namespace

JobResult run_step(const pipelines::EcsDeploy& step, Context& context) { return EcsDeployment(step, context).run(); }

}  // namespace executors::steps
