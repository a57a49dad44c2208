// Elastic Load Balancing v2 (docs.aws.amazon.com, Elastic Load Balancing API Reference): how targets are. Throws what
// Caller throws.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/aws/caller.h"

namespace executors::aws {

struct TargetHealth {
  std::string target, state, reason, description;  // "healthy", "initial", "unhealthy", "draining", "unused"
};

class LoadBalancing {
 public:
  explicit LoadBalancing(Caller& caller) : caller_(caller) {}
  std::vector<TargetHealth> health(std::string_view target_group, const std::stop_token& = {});

 private:
  Caller& caller_;
};

}  // namespace executors::aws
