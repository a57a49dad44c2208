// What built-in steps ask of the program (executors/steps/host.h), answered from the store.
#pragma once

#include <memory>

#include "executors/steps/host.h"
#include "runner/run/person.h"
#include "runner/store/store.h"

namespace runner {

// One for all runs of a process. The store must outlive it.
class StepHost : public executors::steps::Host {
 public:
  explicit StepHost(Store& store) : store_(store) {}
  // Who is asked at the terminal, until it is null again; before the first job and after the last.
  void set_person(Person* person) { person_ = person; }

  std::unique_ptr<executors::steps::Journal> journal(const executors::JobId&) override;
  executors::steps::Answer ask(const executors::JobId&, const executors::steps::Question&,
                               const std::stop_token&) override;
  void deployed(const executors::JobId&, const executors::steps::Deployment&) override;

 private:
  Store& store_;
  Person* person_ = nullptr;
};

}  // namespace runner
