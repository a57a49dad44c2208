#include "executors/steps/ecs_rollout.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace executors::steps {
namespace {

using aws::short_name;

// DescribeServices is eventually consistent: so many looks may miss the service, or what its breaker is about to do.
constexpr int grace = 2;

std::string progress_of(const aws::EcsDeployment& deployment) {
  std::string line = fmt::format("{}: {} of {} running", short_name(deployment.task_definition), deployment.running,
                                 deployment.desired);
  if (deployment.pending != 0) line += fmt::format(", {} pending", deployment.pending);
  if (deployment.failed_tasks != 0) line += fmt::format(", {} failed", deployment.failed_tasks);
  if (!deployment.rollout_state.empty()) line += fmt::format(" ({})", deployment.rollout_state);
  return line;
}

}  // namespace

RolloutJudge::RolloutJudge(Rollout rollout, const aws::EcsService& known) : rollout_(std::move(rollout)) {
  for (const auto& event : known.events) events_.insert(event.id);
}

void RolloutJudge::tell(const aws::EcsService& service) {
  for (auto event = service.events.rbegin(); event != service.events.rend(); ++event) {
    if (events_.insert(event->id).second) news_.push_back(event->message);
  }
  const aws::EcsDeployment* ours = service.find(rollout_.deployment);
  const aws::EcsDeployment* shown = ours != nullptr && ours->rollout_state != "FAILED" ? ours : service.primary();
  if (shown == nullptr) return;
  if (std::string line = progress_of(*shown); line != progress_) {
    news_.push_back(line);
    progress_ = std::move(line);
  }
}

RolloutJudge::Fate RolloutJudge::look(const std::optional<aws::EcsService>& service) {
  news_.clear();
  if (!service || service->status != "ACTIVE") {
    if (++missing_ <= grace) return Fate::going_on;
    why_ = service ? fmt::format("the service is {}", service->status) : "the service is not there any more";
    return Fate::gone;
  }
  missing_ = 0;
  tell(*service);
  return judge(*service);
}

RolloutJudge::Fate RolloutJudge::judge(const aws::EcsService& service) {
  const aws::EcsDeployment* ours = service.find(rollout_.deployment);
  const aws::EcsDeployment* primary = service.primary();
  if (primary == nullptr) return Fate::going_on;
  if (ours == nullptr) return judge_without_us(*primary);
  if (ours->rollout_state == "FAILED") return judge_failed(service, *ours);
  if (ours != primary) return judge_without_us(*primary);

  if (ours->rollout_state == "COMPLETED") return Fate::completed;
  if (rollout_.max_failed_tasks && ours->failed_tasks >= *rollout_.max_failed_tasks) {
    why_ = fmt::format("{} task{} failed (max_failed_tasks: {})", ours->failed_tasks,
                       ours->failed_tasks == 1 ? "" : "s", *rollout_.max_failed_tasks);
    return Fate::failed;
  }
  if (!ours->rollout_state.empty()) return Fate::going_on;  // running == desired is not yet the end
  const bool whole = service.deployments.size() == 1 && ours->running == ours->desired;
  settled_ = whole ? settled_ + 1 : 0;
  return settled_ >= 2 ? Fate::completed : Fate::going_on;
}

// It failed, for whatever reason ECS gives; where a breaker or an alarm goes back, what it goes back to is followed.
RolloutJudge::Fate RolloutJudge::judge_failed(const aws::EcsService& service, const aws::EcsDeployment& ours) {
  if (why_.empty()) {
    why_ = ours.rollout_reason.empty() ? "ECS says that the deployment failed" : ours.rollout_reason;
    news_.push_back(why_);
  }
  const aws::EcsDeployment& primary = *service.primary();
  if (primary.id == ours.id) {
    // It stays the primary where nothing goes back, or where there is nothing to go back to.
    return ++alone_ > (service.breaker_rolls_back ? grace : 0) ? Fate::failed : Fate::going_on;
  }
  return judge_without_us(primary);
}

// Another deployment is the primary: a way back to what was before, or somebody else's.
RolloutJudge::Fate RolloutJudge::judge_without_us(const aws::EcsDeployment& primary) {
  const bool back = primary.task_definition == rollout_.previous && rollout_.previous != rollout_.definition;
  if (!back && why_.empty()) {
    why_ = fmt::format("superseded by {} ({})", primary.id, short_name(primary.task_definition));
    return Fate::superseded;
  }
  if (why_.empty()) why_ = "ECS gave the deployment up";
  if (primary.rollout_state == "FAILED") {
    why_ += fmt::format("; and going back to {} failed too: {}", short_name(primary.task_definition),
                        primary.rollout_reason);
    return Fate::failed;
  }
  const bool there =
      primary.rollout_state.empty() ? primary.running == primary.desired : primary.rollout_state == "COMPLETED";
  return there ? Fate::rolled_back : Fate::going_on;
}

}  // namespace executors::steps
