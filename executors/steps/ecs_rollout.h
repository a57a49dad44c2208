// What became of one deployment of an ECS service, judged from what DescribeServices shows look by look. Pure.
//
// The deployment's id decides, not whether the service is "stable": a circuit breaker's rollback is stable too
// (docs.aws.amazon.com, Amazon ECS Developer Guide, "How the Amazon ECS deployment circuit breaker detects failures").
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "executors/aws/ecs.h"

namespace executors::steps {

struct Rollout {
  std::string deployment;  // its id
  std::string definition;  // ARN
  std::string previous;    // ARN of what served before
  std::optional<int> max_failed_tasks;
};

class RolloutJudge {
 public:
  enum class Fate {
    going_on,
    completed,
    rolled_back,  // ECS went back by itself, and is there
    failed,       // and nothing goes back by itself
    superseded,   // another deployment took its place
    gone,         // the service is not there any more
  };
  // `known`: the service as it was before the rollout; its events are old ones.
  RolloutJudge(Rollout rollout, const aws::EcsService& known);

  // `service` absent: DescribeServices did not find it.
  Fate look(const std::optional<aws::EcsService>& service);
  // Why it went so; one line. Set with any fate but going_on and completed, and as soon as a failure is seen.
  const std::string& why() const { return why_; }
  // What is new since the last look, for the log.
  const std::vector<std::string>& news() const { return news_; }
  const Rollout& rollout() const { return rollout_; }

 private:
  Fate judge(const aws::EcsService&);
  Fate judge_failed(const aws::EcsService&, const aws::EcsDeployment& ours);
  Fate judge_without_us(const aws::EcsDeployment& primary);
  void tell(const aws::EcsService&);

  const Rollout rollout_;
  std::set<std::string> events_;  // told ones
  std::string progress_;          // last told
  std::string why_;
  std::vector<std::string> news_;
  int missing_ = 0;  // looks in a row at which there was no such service
  int settled_ = 0;  // looks in a row at which a deployment without a rollout state was alone and whole
  int alone_ = 0;    // looks in a row at which it had failed and nothing went back
};

}  // namespace executors::steps
