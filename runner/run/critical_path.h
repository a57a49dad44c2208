// The chain of jobs that a run's length comes from.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pipelines/plan.h"
#include "runner/run/events.h"

namespace runner {

struct Span {
  Clock::time_point started, finished;  // the first attempt's go, the last one's end
};

// From the job that ended last back over what each waited for longest; in the order of running. Jobs that never
// started are in no chain.
std::vector<pipelines::JobIndex> critical_path(const pipelines::Plan&, const std::map<pipelines::JobIndex, Span>&);

// Takes the times down.
class Spans : public Observer {
 public:
  void on(const Event&) override;
  const std::map<pipelines::JobIndex, Span>& all() const { return spans_; }

 private:
  std::map<pipelines::JobIndex, Span> spans_;
};

}  // namespace runner
