// Amazon EC2 Auto Scaling (docs.aws.amazon.com, Amazon EC2 Auto Scaling API Reference): groups, their instances, and
// instance refreshes. All throw what Caller throws.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/aws/caller.h"

namespace executors::aws {

struct TemplateVersion {
  std::string id;       // lt-…
  std::string version;  // a number, $Latest or $Default
};

struct AsgInstance {
  std::string id, lifecycle, health;  // "InService", "Healthy"
  std::string version;                // of its launch template
  bool serves() const { return lifecycle == "InService" && health == "Healthy"; }
};

struct AsgGroup {
  std::string name;
  std::string status;  // empty, or "Delete in progress"
  int min = 0, max = 0, desired = 0;
  std::optional<TemplateVersion> launch_template;  // its own, or its mixed instances policy's
  nlohmann::json mixed;                            // MixedInstancesPolicy as the API takes it; null: it has none
  std::string launch_configuration;                // where it has no template at all
  std::vector<AsgInstance> instances;
  std::vector<std::string> target_groups;  // ARNs
  std::vector<std::string> suspended;      // processes
  int serving() const;
};

struct InstanceRefresh {
  std::string id, status, reason;
  int percentage = 0, to_update = 0;
  std::string version;  // of the desired template; empty: it has no desired configuration
  // Pending, InProgress, Baking, Cancelling, RollbackInProgress.
  bool goes_on() const;
};

struct ScalingActivity {
  std::string id, status, description, message;
};

struct AsgCapacity {
  std::optional<int> min, max, desired;
};

class AutoScaling {
 public:
  explicit AutoScaling(Caller& caller) : caller_(caller) {}

  std::optional<AsgGroup> group(std::string_view name, const std::stop_token& = {});
  void set_capacity(std::string_view group, const AsgCapacity&, const std::stop_token& = {});

  // Its id. `parameters` as StartInstanceRefresh has them; twice would be two, or InstanceRefreshInProgress.
  std::string start_refresh(const nlohmann::json& parameters, const std::stop_token& = {});
  std::vector<InstanceRefresh> refreshes(std::string_view group, const std::stop_token& = {});  // the newest first
  std::optional<InstanceRefresh> refresh(std::string_view group, std::string_view id, const std::stop_token& = {});
  void cancel_refresh(std::string_view group, const std::stop_token& = {});
  void roll_back_refresh(std::string_view group, const std::stop_token& = {});

  std::vector<ScalingActivity> activities(std::string_view group, const std::stop_token& = {});  // the newest 20

 private:
  Caller& caller_;
};

}  // namespace executors::aws
