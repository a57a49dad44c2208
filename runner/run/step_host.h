// What built-in steps ask of the program (executors/steps/host.h), answered from the store.
#pragma once

#include <memory>

#include "executors/steps/host.h"
#include "runner/store/store.h"

namespace runner {

// One for all runs of a process. The store must outlive it.
class StepHost : public executors::steps::Host {
 public:
  explicit StepHost(Store& store) : store_(store) {}

  std::unique_ptr<executors::steps::Journal> journal(const executors::JobId&) override;
  executors::steps::Answer ask(const executors::JobId&, const executors::steps::Question&,
                               const std::stop_token&) override;
  void deployed(const executors::JobId&, const executors::steps::Deployment&) override;

 private:
  Store& store_;
};

}  // namespace runner
