// deploy.asg by instance refresh: the group's instances are replaced by ones of another version of its launch template,
// or as they are; and the group's capacity. The group itself takes the new version only when the refresh has succeeded,
// so that going back goes back to what was.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "executors/aws/autoscaling.h"
#include "executors/aws/ec2.h"
#include "executors/aws/load_balancing.h"
#include "executors/steps/steps.h"

namespace executors::steps {
namespace {

using nlohmann::json;
using pipelines::AsgDeploy;

constexpr std::chrono::milliseconds first_look{10'000};
constexpr std::chrono::milliseconds later_look{20'000};
constexpr std::chrono::seconds settling = std::chrono::minutes(30);  // of a refresh that was told to stop or go back

std::optional<int> count_of(const std::string& text, std::string_view what) {
  if (text.empty()) return std::nullopt;
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 0) {
    throw StepFailed(fmt::format("capacity: {} is \"{}\", which is no number of instances", what, text));
  }
  return count;
}

const char* word_of(AsgDeploy::ScaleInProtected value) {
  switch (value) {
    case AsgDeploy::ScaleInProtected::refresh:
      return "Refresh";
    case AsgDeploy::ScaleInProtected::ignore:
      return "Ignore";
    default:
      return "Wait";
  }
}

const char* word_of(AsgDeploy::Standby value) {
  switch (value) {
    case AsgDeploy::Standby::terminate:
      return "Terminate";
    case AsgDeploy::Standby::ignore:
      return "Ignore";
    default:
      return "Wait";
  }
}

json preferences_of(const AsgDeploy& step, bool replaces) {
  json result = json::object();
  if (step.min_healthy) result["MinHealthyPercentage"] = *step.min_healthy;
  if (step.max_healthy) result["MaxHealthyPercentage"] = *step.max_healthy;
  if (step.instance_warmup) result["InstanceWarmup"] = step.instance_warmup->count();
  if (!step.checkpoints.empty()) {
    std::vector<int> all = step.checkpoints;
    if (all.back() != 100) all.push_back(100);  // else the rest would stay as it is
    result["CheckpointPercentages"] = all;
    if (step.checkpoint_delay) result["CheckpointDelay"] = step.checkpoint_delay->count();
  }
  if (step.skip_matching) result["SkipMatching"] = true;
  if (step.auto_rollback && replaces) result["AutoRollback"] = true;
  if (!step.alarms.empty()) result["AlarmSpecification"] = {{"Alarms", step.alarms}};
  if (step.bake_time) result["BakeTime"] = step.bake_time->count();
  if (step.scale_in_protected) result["ScaleInProtectedInstances"] = word_of(*step.scale_in_protected);
  if (step.standby) result["StandbyInstances"] = word_of(*step.standby);
  return result;
}

class GroupRefresh {
 public:
  GroupRefresh(const AsgDeploy& step, Context& context)
      : step_(step),
        context_(context),
        groups_(context.aws().of(aws::services::auto_scaling)),
        ec2_(context.aws().of(aws::services::ec2)),
        target_(fmt::format("asg:{}", step.group)) {}

  JobResult run() {
    group_ = must_have(context_.stop());
    context_.say(fmt::format("{}: {} of {} instances in service", target_, group_.serving(), group_.desired));
    if (step_.capacity) scale();
    if (!step_.renews()) return passed();
    choose_version();
    if (nothing_to_do()) {
      context_.say(fmt::format("{} runs {} already: nothing to do", target_, version_.image));
      return give({});
    }
    const Facts begun = begin();
    tell(Deployment::State::running, {});
    try {
      return follow(begun.at("refresh"), begun);
    } catch (const http::Cancelled&) {
      give_up(begun.at("refresh"), "cancelled", context_.last_stop());
      throw;
    }
  }

 private:
  aws::AsgGroup must_have(const std::stop_token& stop) {
    auto group = groups_.group(step_.group, stop);
    if (!group) throw StepFailed(fmt::format("there is no Auto Scaling group {}", step_.group));
    if (!group->status.empty()) {
      throw StepFailed(fmt::format("the Auto Scaling group {} is being deleted", step_.group));
    }
    return std::move(*group);
  }

  Pace pace(std::chrono::seconds wait) const { return Pace{first_look, later_look, wait}.with(step_.poll); }

  // --- capacity ---

  void scale() {
    const aws::AsgCapacity wanted{count_of(step_.capacity->min, "min"), count_of(step_.capacity->max, "max"),
                                  count_of(step_.capacity->desired, "desired")};
    context_.once("capacity", {{"group", step_.group}}, {}, [&] {
      groups_.set_capacity(step_.group, wanted, context_.stop());
      return Facts{};
    });
    const bool there = context_.poll(pace(step_.wait), [&] {
      group_ = must_have(context_.stop());
      show(fmt::format("{} of {} instances in service", group_.serving(), group_.desired));
      return group_.serving() == group_.desired && static_cast<int>(group_.instances.size()) == group_.desired;
    });
    if (!there) {
      throw StepFailed(fmt::format("{} has {} of {} instances in service after {}", target_, group_.serving(),
                                   group_.desired, spoken(step_.wait)));
    }
  }

  // --- the version that is to run ---

  void choose_version() {
    for (const char* process : {"Launch", "Terminate", "HealthCheck", "InstanceRefresh"}) {
      if (std::find(group_.suspended.begin(), group_.suspended.end(), process) != group_.suspended.end()) {
        throw StepFailed(fmt::format("{}: its process {} is suspended, so a refresh cannot get done: resume it first",
                                     target_, process));
      }
    }
    replaces_ = !step_.ami.empty() || !step_.launch_template_version.empty();
    if (!group_.launch_template) {
      if (!replaces_) return;
      throw StepFailed(
          fmt::format("{} has the launch configuration {} and no launch template: a refresh with another "
                      "image needs one (see AWS's \"Migrate to launch templates\")",
                      target_, group_.launch_configuration));
    }
    const aws::TemplateVersion& now = *group_.launch_template;
    const Facts before = context_.remember("before", [&] {
      const auto found = ec2_.template_version(now.id, now.version, context_.stop());
      if (!found)
        throw StepFailed(fmt::format("{}: its launch template {} has no version {}", target_, now.id, now.version));
      return Facts{{"version", found->number}, {"image", found->image}};
    });
    before_ = {now.id, before.at("version"), before.at("image")};
    version_ = before_;
    if (!step_.launch_template_version.empty()) {
      const std::string& asked = step_.launch_template_version;
      const std::string name = asked == "latest" ? "$Latest" : asked == "default" ? "$Default" : asked;
      const auto found = ec2_.template_version(now.id, name, context_.stop());
      if (!found) throw StepFailed(fmt::format("{}: the launch template {} has no version {}", target_, now.id, asked));
      version_ = *found;
    } else if (!step_.ami.empty() && step_.ami != before_.image) {
      wait_for_image();
      version_ = add_version(now.id);
    }
    if (replaces_) {
      context_.say(fmt::format("{}: version {} ({}) → {} ({})", target_, before_.number, before_.image, version_.number,
                               version_.image));
    }
    warn_of_the_last_one();
  }

  void wait_for_image() {
    std::optional<aws::Image> image;
    context_.poll(pace(step_.wait), [&] {
      image = ec2_.image(step_.ami, context_.stop());
      if (!image) throw StepFailed(fmt::format("there is no image {} in {}", step_.ami, context_.aws().region()));
      show(fmt::format("{} is {}", step_.ami, image->state));
      return image->state != "pending";
    });
    if (image->state == "available") return;
    throw StepFailed(fmt::format("the image {} is {}{}", step_.ami, image->state,
                                 image->reason.empty() ? "" : ": " + image->reason));
  }

  aws::LaunchTemplateVersion add_version(const std::string& id) {
    const Facts made = context_.once("version", {{"image", step_.ami}}, {}, [&] {
      const auto version =
          ec2_.add_template_version(id, before_.number, step_.ami, fmt::format("run {} of runner", context_.job().run),
                                    context_.token() + "-version", context_.stop());
      return Facts{{"number", version.number}};
    });
    return {id, made.at("number"), step_.ami};
  }

  bool nothing_to_do() const {
    return replaces_ && version_.number == before_.number && version_.image == before_.image &&
           std::all_of(group_.instances.begin(), group_.instances.end(),
                       [&](const aws::AsgInstance& each) { return each.version == version_.number; }) &&
           !context_.was_begun("refresh");
  }

  // At 100 percent of one instance AWS still ends the only one, unless it may launch another before.
  void warn_of_the_last_one() {
    const int least = step_.min_healthy.value_or(90);
    const bool overlaps = step_.max_healthy.value_or(100) > 100;
    if (!overlaps && group_.desired == 1 && least > 0) {
      context_.warn(fmt::format(
          "{} has one instance, which is ended before the next one serves: set max_healthy above 100%", target_));
    }
  }

  // --- the refresh ---

  json desired_configuration() const {
    if (!replaces_) return nullptr;
    if (group_.mixed.is_null()) {
      return {{"LaunchTemplate", {{"LaunchTemplateId", version_.id}, {"Version", version_.number}}}};
    }
    json policy = group_.mixed;
    policy["LaunchTemplate"]["LaunchTemplateSpecification"] = {{"LaunchTemplateId", version_.id},
                                                               {"Version", version_.number}};
    return {{"MixedInstancesPolicy", policy}};
  }

  Facts begin() {
    const Facts known = context_.remember("refreshes before", [&] {
      const auto all = groups_.refreshes(step_.group, context_.stop());
      return Facts{{"newest", all.empty() ? "" : all.front().id}};
    });
    json parameters{{"AutoScalingGroupName", step_.group}, {"Strategy", "Rolling"}};
    if (json desired = desired_configuration(); !desired.is_null()) parameters["DesiredConfiguration"] = desired;
    if (json preferences = preferences_of(step_, replaces_); !preferences.empty())
      parameters["Preferences"] = preferences;
    // Somebody else's is waited for, or ended, before ours can begin.
    for (;;) {
      try {
        return context_.once(
            "refresh", {{"version", version_.number}},
            [&]() -> std::optional<Facts> {
              const auto all = groups_.refreshes(step_.group, context_.stop());
              const bool ours = !all.empty() && all.front().id != known.at("newest") &&
                                all.front().version == (replaces_ ? version_.number : std::string());
              return ours ? std::optional(Facts{{"refresh", all.front().id}, {"time", time_now()}}) : std::nullopt;
            },
            [&] {
              return Facts{{"refresh", groups_.start_refresh(parameters, context_.stop())}, {"time", time_now()}};
            });
      } catch (const aws::CallError& error) {
        if (!error.is("InstanceRefreshInProgress")) throw;
        deal_with_another();
      }
    }
  }

  void deal_with_another() {
    const auto all = groups_.refreshes(step_.group, context_.stop());
    const auto other = std::find_if(all.begin(), all.end(), [](const auto& each) { return each.goes_on(); });
    if (other == all.end()) return;  // it ended just now
    const std::string id = other->id;
    if (step_.in_progress == AsgDeploy::InProgress::fail) {
      throw StepFailed(fmt::format("{}: another refresh runs, {} ({}; in_progress: fail)", target_, id, other->status));
    }
    if (step_.in_progress == AsgDeploy::InProgress::cancel) groups_.cancel_refresh(step_.group, context_.stop());
    if (step_.in_progress == AsgDeploy::InProgress::rollback) groups_.roll_back_refresh(step_.group, context_.stop());
    context_.say(fmt::format("{}: another refresh runs, {}; waiting for its end", target_, id));
    const bool over = context_.poll(pace(step_.wait), [&] {
      const auto now = groups_.refresh(step_.group, id, context_.stop());
      if (now) show(fmt::format("{} {} {} %", id, now->status, now->percentage));
      return !now || !now->goes_on();
    });
    if (!over)
      throw StepFailed(fmt::format("{}: the refresh {} was not over within {}", target_, id, spoken(step_.wait)));
    group_ = must_have(context_.stop());
  }

  // Absent: the time is over.
  std::optional<aws::InstanceRefresh> watch(const std::string& id, const Pace& pace, const std::stop_token& stop,
                                            std::optional<std::chrono::system_clock::time_point> since = {}) {
    std::optional<aws::InstanceRefresh> ended;
    context_.poll(
        pace,
        [&] {
          const auto now = groups_.refresh(step_.group, id, stop);
          show_failures(stop);
          if (!now) return false;
          show(fmt::format("{} {} %{}{}", now->status, now->percentage,
                           now->to_update > 0 ? fmt::format(", {} to go", now->to_update) : "",
                           now->reason.empty() ? "" : ": " + now->reason));
          if (!now->goes_on()) ended = *now;
          return ended.has_value() || (step_.checkpoint_approval && at_checkpoint(*now));
        },
        stop, since);
    return ended;
  }

  bool at_checkpoint(const aws::InstanceRefresh& now) {
    for (const int each : step_.checkpoints) {
      if (each < 100 && now.status == "InProgress" && now.percentage >= each && asked_.count(each) == 0) return true;
    }
    return false;
  }

  JobResult follow(const std::string& id, const Facts& begun) {
    const auto since = std::chrono::system_clock::from_time_t(std::stoll(begun.at("time")));
    for (;;) {
      const auto ended = watch(id, pace(step_.wait), context_.stop(), since);
      if (ended) return conclude(id, *ended);
      const auto now = step_.checkpoint_approval ? groups_.refresh(step_.group, id, context_.stop()) : std::nullopt;
      if (!now || !at_checkpoint(*now)) break;
      for (const int each : step_.checkpoints) {
        if (now->percentage < each || !asked_.insert(each).second) continue;
        const Answer answer =
            context_.ask({fmt::format("{} {}", id, each), fmt::format("go on with {} after {} %", target_, each)});
        if (answer.word == Answer::Word::none) {
          JobResult result;
          result.outcome = pipelines::Outcome::manual;
          result.message =
              fmt::format("{} rests at {} %; AWS goes on by itself after the checkpoint's delay", target_, each);
          return result;
        }
        if (answer.word == Answer::Word::rejected) {
          return stopped(id, fmt::format("rejected at {} % by {}", each, answer.who), pipelines::OnCancel::rollback,
                         context_.stop());
        }
      }
    }
    return stopped(id, fmt::format("not over within {}", spoken(step_.wait)), step_.on_cancel, context_.stop());
  }

  JobResult conclude(const std::string& id, const aws::InstanceRefresh& ended) {
    if (ended.status == "Successful") return check(id);
    std::string why = fmt::format("{}: the refresh {} ", target_, id);
    Deployment::State state = Deployment::State::failed;
    if (ended.status == "RollbackSuccessful") {
      why += "failed and was rolled back";
      state = Deployment::State::rolled_back;
    } else if (ended.status == "RollbackFailed") {
      why += "failed, and so did its rollback: the group runs both versions, look after it";
    } else if (ended.status == "Cancelled") {
      why += "was cancelled by somebody";
      state = Deployment::State::cancelled;
    } else {
      why += ended.status == "Failed" ? "failed" : "ended as " + ended.status;
    }
    if (!ended.reason.empty()) why += fmt::format(" ({})", ended.reason);
    context_.say(why);
    tell(state, why);
    return failed(why);
  }

  // What AWS calls successful is looked at where users come in.
  JobResult check(const std::string& id) {
    std::string trouble;
    const bool well = context_.poll(pace(step_.wait), [&] {
      group_ = must_have(context_.stop());
      trouble = trouble_of_group();
      if (!trouble.empty()) show(trouble);
      return trouble.empty();
    });
    if (!well) {
      const std::string why = fmt::format("{}: refreshed, but {}", target_, trouble);
      tell(Deployment::State::failed, why);
      return failed(why);
    }
    context_.say(fmt::format("{}: {} of {} instances in service", target_, group_.serving(), group_.desired));
    tell(Deployment::State::succeeded, {});
    return give(id);
  }

  std::string trouble_of_group() {
    if (group_.serving() < group_.desired) {
      return fmt::format("{} of {} instances are in service", group_.serving(), group_.desired);
    }
    aws::LoadBalancing balancing(context_.aws().of(aws::services::load_balancing));
    for (const std::string& target_group : group_.target_groups) {
      const auto all = balancing.health(target_group, context_.stop());
      for (const auto& instance : group_.instances) {
        if (!instance.serves()) continue;
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const aws::TargetHealth& each) { return each.target == instance.id; });
        if (found != all.end() && found->state == "healthy") continue;
        return fmt::format("{} is {} in {}{}", instance.id, found == all.end() ? "not registered" : found->state,
                           target_group.substr(target_group.rfind(':') + 1),
                           found == all.end() || found->description.empty() ? "" : ": " + found->description);
      }
    }
    return {};
  }

  // --- its early end ---

  JobResult stopped(const std::string& id, const std::string& why, pipelines::OnCancel policy,
                    const std::stop_token& stop) {
    const std::string said = end_by(policy, id, stop);
    const std::string message = fmt::format("{}: the refresh {} was {}; {}", target_, id, why, said);
    context_.say(message);
    return failed(message);
  }

  void give_up(const std::string& id, const std::string& why, const std::stop_token& stop) {
    context_.say(fmt::format("{}: {}; {}", target_, why, end_by(step_.on_cancel, id, stop)));
  }

  // What became of it, in words.
  std::string end_by(pipelines::OnCancel policy, const std::string& id, const std::stop_token& stop) {
    if (policy == pipelines::OnCancel::leave) {
      tell(Deployment::State::cancelled, "the refresh goes on");
      return fmt::format("the refresh {} goes on without us (on_cancel: leave)", id);
    }
    try {
      context_.once("end", {{"refresh", id}}, {}, [&] {
        policy == pipelines::OnCancel::rollback ? groups_.roll_back_refresh(step_.group, stop)
                                                : groups_.cancel_refresh(step_.group, stop);
        return Facts{};
      });
      const auto ended = watch(id, pace(settling), stop);
      const bool back = ended && ended->status == "RollbackSuccessful";
      tell(back ? Deployment::State::rolled_back : Deployment::State::cancelled, ended ? ended->status : "still going");
      return ended ? fmt::format("it is {}", ended->status) : "its end was not seen: look after the group";
    } catch (const aws::CallError& error) {
      tell(Deployment::State::cancelled, error.what());
      return fmt::format("it could not be ended: {}", error.what());
    }
  }

  // --- telling ---

  JobResult give(const std::string& id) {
    if (!id.empty()) context_.output("INSTANCE_REFRESH_ID", id);
    if (!version_.number.empty()) {
      context_.output("LAUNCH_TEMPLATE_VERSION", version_.number);
      context_.output("PREVIOUS_LAUNCH_TEMPLATE_VERSION", before_.number);
      context_.output("AMI_ID", version_.image);
      context_.output("PREVIOUS_AMI_ID", before_.image);
    }
    return passed();
  }

  void show(const std::string& line) {
    if (line == shown_) return;
    shown_ = line;
    context_.say("  " + line);
  }

  // What could not be launched: AWS tells it nowhere else. Those that were there before are not of this refresh.
  void show_failures(const std::stop_token& stop) {
    const auto all = groups_.activities(step_.group, stop);
    for (auto each = all.rbegin(); each != all.rend(); ++each) {
      const bool fresh = activities_.insert(each->id + each->status).second;
      if (!fresh || !known_activities_ || (each->status != "Failed" && each->status != "Cancelled")) continue;
      context_.say(fmt::format("  {}: {}", each->description, each->message));
    }
    known_activities_ = true;
  }

  void tell(Deployment::State state, const std::string& message) {
    const auto words = [](const aws::LaunchTemplateVersion& version) {
      return version.number.empty() ? std::string("its instances renewed")
                                    : fmt::format("{} (version {})", version.image, version.number);
    };
    context_.deployed({target_, words(version_), words(before_), state, message});
  }

  std::string time_now() const { return std::to_string(std::chrono::system_clock::to_time_t(context_.now())); }

  const AsgDeploy& step_;
  Context& context_;
  aws::AutoScaling groups_;
  aws::Ec2 ec2_;
  const std::string target_;
  aws::AsgGroup group_;
  bool replaces_ = false;
  aws::LaunchTemplateVersion before_, version_;
  std::set<int> asked_;  // checkpoints
  std::string shown_;
  std::set<std::string> activities_;
  bool known_activities_ = false;
};

}  // namespace

JobResult run_step(const AsgDeploy& step, Context& context) {
  if (step.blue_green()) {
    throw WorldError("runner_unsupported", "deploy.asg with `strategy: blue_green` is not carried out yet");
  }
  return GroupRefresh(step, context).run();
}

}  // namespace executors::steps
