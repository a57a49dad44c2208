#include "executors/aws/load_balancing.h"

namespace executors::aws {

std::vector<TargetHealth> LoadBalancing::health(std::string_view target_group, const std::stop_token& stop) {
  const Element answer = caller_.form("DescribeTargetHealth", {{"TargetGroupArn", target_group}}, Repeat::read, stop);
  std::vector<TargetHealth> all;
  for (const Element* each : answer["TargetHealthDescriptions"].items()) {
    const Element& health = (*each)["TargetHealth"];
    all.push_back(
        {(*each)["Target"]["Id"].text, health["State"].text, health["Reason"].text, health["Description"].text});
  }
  return all;
}

}  // namespace executors::aws
