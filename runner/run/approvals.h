// What people say to jobs that wait: asked of the store, where `runner approve` puts it, then of the person at the
// terminal, where there is one. The answer is kept with who gave it (docs/manual.md, "Approvals").
#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "executors/steps/host.h"
#include "pipelines/plan.h"
#include "runner/run/person.h"
#include "runner/run/scheduler.h"
#include "runner/store/store.h"

namespace runner {

// A question and how a terminal puts it.
struct AskedJob {
  RunId run = 0;
  std::uint32_t job = 0;  // from 1
  std::string subject, text;
  std::string prompt;  // "Run deploy?"
};
// Blocks while a person thinks; `person` may be null. Word::none: nobody is there, or they said no, which leaves the
// question open. Throws StoreError.
executors::steps::Answer ask_people(Store&, Person* person, const AskedJob&, const std::stop_token&);

// "approved by alice@laptop: as agreed"
std::string describe(const Approval&);
// Of all that was said of a job the newest approval; empty: there is none.
std::string approval_of(const Store&, RunId, std::uint32_t job);

// Of one run's manual jobs. All must outlive it.
class Approvals : public Approver {
 public:
  Approvals(Store& store, RunId run, const pipelines::Pipeline& pipeline, Person* person)
      : store_(store), run_(run), pipeline_(pipeline), person_(person) {}
  executors::steps::Answer ask(pipelines::JobIndex, const std::string& text, const std::stop_token&) override;
  std::string approved(pipelines::JobIndex) override;

 private:
  Store& store_;
  const RunId run_;
  const pipelines::Pipeline& pipeline_;
  Person* person_;
};

// What was said of a run's jobs before this process took it up.
struct SaidBefore {
  std::vector<pipelines::JobIndex> started;             // manual jobs that somebody started, or refused
  std::map<pipelines::JobIndex, Approval> rejected;     // those that have not ended yet
  std::map<pipelines::JobIndex, std::string> approved;  // see approval_of()
};
SaidBefore said_before(const Store&, RunId);

}  // namespace runner
