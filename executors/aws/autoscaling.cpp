#include "executors/aws/autoscaling.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace executors::aws {
namespace {

using nlohmann::json;

int number(const Element& element) {
  int result = 0;
  std::from_chars(element.text.data(), element.text.data() + element.text.size(), result);
  return result;
}

// Lists have only members; texts stay texts, as the form wants them.
json json_of(const Element& element) {
  if (element.children.empty()) return element.text;
  const bool list = std::all_of(element.children.begin(), element.children.end(),
                                [](const Element& each) { return each.name == "member"; });
  json result = list ? json::array() : json::object();
  for (const Element& each : element.children) {
    if (list)
      result.push_back(json_of(each));
    else
      result[each.name] = json_of(each);
  }
  return result;
}

TemplateVersion version_of(const Element& specification) {
  TemplateVersion result{specification["LaunchTemplateId"].text, specification["Version"].text};
  if (result.version.empty()) result.version = "$Default";
  return result;
}

AsgGroup group_of(const Element& element) {
  AsgGroup group;
  group.name = element["AutoScalingGroupName"].text;
  group.status = element["Status"].text;
  group.min = number(element["MinSize"]);
  group.max = number(element["MaxSize"]);
  group.desired = number(element["DesiredCapacity"]);
  group.launch_configuration = element["LaunchConfigurationName"].text;
  if (element.has("LaunchTemplate")) group.launch_template = version_of(element["LaunchTemplate"]);
  if (element.has("MixedInstancesPolicy")) {
    group.mixed = json_of(element["MixedInstancesPolicy"]);
    group.launch_template =
        version_of(element["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]);
  }
  for (const Element* each : element["Instances"].items()) {
    group.instances.push_back({(*each)["InstanceId"].text, (*each)["LifecycleState"].text, (*each)["HealthStatus"].text,
                               (*each)["LaunchTemplate"]["Version"].text});
  }
  for (const Element* each : element["TargetGroupARNs"].items()) group.target_groups.push_back(each->text);
  for (const Element* each : element["SuspendedProcesses"].items()) {
    group.suspended.push_back((*each)["ProcessName"].text);
  }
  return group;
}

InstanceRefresh refresh_of(const Element& element) {
  InstanceRefresh refresh;
  refresh.id = element["InstanceRefreshId"].text;
  refresh.status = element["Status"].text;
  refresh.reason = element["StatusReason"].text;
  refresh.percentage = number(element["PercentageComplete"]);
  refresh.to_update = number(element["InstancesToUpdate"]);
  const Element& desired = element["DesiredConfiguration"];
  refresh.version = desired["LaunchTemplate"]["Version"].text;
  if (refresh.version.empty()) {
    refresh.version = desired["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"].text;
  }
  return refresh;
}

}  // namespace

int AsgGroup::serving() const {
  return static_cast<int>(
      std::count_if(instances.begin(), instances.end(), [](const AsgInstance& each) { return each.serves(); }));
}

bool InstanceRefresh::goes_on() const {
  static constexpr std::array<std::string_view, 5> active{"Pending", "InProgress", "Baking", "Cancelling",
                                                          "RollbackInProgress"};
  return std::find(active.begin(), active.end(), status) != active.end();
}

std::optional<AsgGroup> AutoScaling::group(std::string_view name, const std::stop_token& stop) {
  const Element answer =
      caller_.form("DescribeAutoScalingGroups", {{"AutoScalingGroupNames", {name}}}, Repeat::read, stop);
  const auto groups = answer["AutoScalingGroups"].items();
  if (groups.empty()) return std::nullopt;
  return group_of(*groups.front());
}

void AutoScaling::set_capacity(std::string_view group, const AsgCapacity& capacity, const std::stop_token& stop) {
  json parameters{{"AutoScalingGroupName", group}};
  if (capacity.min) parameters["MinSize"] = *capacity.min;
  if (capacity.max) parameters["MaxSize"] = *capacity.max;
  if (capacity.desired) parameters["DesiredCapacity"] = *capacity.desired;
  caller_.form("UpdateAutoScalingGroup", parameters, Repeat::same, stop);
}

std::string AutoScaling::start_refresh(const json& parameters, const std::stop_token& stop) {
  return caller_.form("StartInstanceRefresh", parameters, Repeat::never, stop)["InstanceRefreshId"].text;
}

std::vector<InstanceRefresh> AutoScaling::refreshes(std::string_view group, const std::stop_token& stop) {
  const Element answer =
      caller_.form("DescribeInstanceRefreshes", {{"AutoScalingGroupName", group}}, Repeat::read, stop);
  std::vector<InstanceRefresh> all;
  for (const Element* each : answer["InstanceRefreshes"].items()) all.push_back(refresh_of(*each));
  return all;
}

std::optional<InstanceRefresh> AutoScaling::refresh(std::string_view group, std::string_view id,
                                                    const std::stop_token& stop) {
  const Element answer = caller_.form(
      "DescribeInstanceRefreshes", {{"AutoScalingGroupName", group}, {"InstanceRefreshIds", {id}}}, Repeat::read, stop);
  const auto all = answer["InstanceRefreshes"].items();
  if (all.empty()) return std::nullopt;
  return refresh_of(*all.front());
}

void AutoScaling::cancel_refresh(std::string_view group, const std::stop_token& stop) {
  caller_.form("CancelInstanceRefresh", {{"AutoScalingGroupName", group}}, Repeat::same, stop);
}

void AutoScaling::roll_back_refresh(std::string_view group, const std::stop_token& stop) {
  caller_.form("RollbackInstanceRefresh", {{"AutoScalingGroupName", group}}, Repeat::same, stop);
}

std::vector<ScalingActivity> AutoScaling::activities(std::string_view group, const std::stop_token& stop) {
  const Element answer = caller_.form("DescribeScalingActivities",
                                      {{"AutoScalingGroupName", group}, {"MaxRecords", 20}}, Repeat::read, stop);
  std::vector<ScalingActivity> all;
  for (const Element* each : answer["Activities"].items()) {
    all.push_back({(*each)["ActivityId"].text, (*each)["StatusCode"].text, (*each)["Description"].text,
                   (*each)["StatusMessage"].text});
  }
  return all;
}

}  // namespace executors::aws
