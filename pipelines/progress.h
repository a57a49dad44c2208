// Progress: which jobs of a plan may start, which are skipped, and the run's verdict. Single-threaded, no clock.
// The scheduler calls next() and finish(); nothing else decides what runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "pipelines/plan.h"

namespace pipelines {

// How a job ended. Stored as numbers: append, never renumber.
enum class Outcome : std::uint8_t {
  passed = 0,
  failed = 1,   // the job's own fault: exit code, timeout, out of memory
  skipped = 2,  // what it waits for went another way
  cancelled = 3,
  broken = 4,  // the world's fault: no image, no engine, disk full
  manual = 5,  // waits for somebody to start it
};
std::string_view to_string(Outcome);

// How a run ended. Stored as numbers: append, never renumber.
enum class Verdict : std::uint8_t { passed = 0, failed = 1, cancelled = 2, broken = 3, waiting = 4, skipped = 5 };
std::string_view to_string(Verdict);

struct Ended {
  JobIndex job = 0;
  Outcome outcome = Outcome::skipped;
};

// A job whose end is known before the run begins: it stands as an earlier run left it.
struct Settled {
  JobIndex job = 0;
  Outcome outcome = Outcome::passed;
  bool allowed = false;
};

// GitLab's rules (docs.gitlab.com/ee/ci/yaml, `when` and `needs`; lib/gitlab/ci/status/composite.rb):
// - a job without needs waits until every job of the earlier stages has ended; a job with needs for those alone;
// - on_success (delayed, manual): nothing it waited for failed. Allowed failures, skipped and optional manual jobs
// count
//   as success for stages; a job with `needs` is skipped when one of them did not run at all;
// - on_failure: something it waited for failed (for a job with `needs`: and none was skipped); always: whatever they
//   came to, unless one was cancelled;
// - broken counts as failed;
// - Plan::cancel_on_failure: after the first failure that is not allowed everything that has not started becomes
//   cancelled, and halted() tells the caller to stop what runs. The verdict is the failure's.
// - manual: ends as Outcome::manual when its turn comes. One that is allowed to fail is optional; any other blocks:
//   later stages, and whoever needs it, wait. When nothing else can run, what waits ends as skipped and the verdict is
//   Verdict::waiting (or failed, when something failed besides). With `patient` that end is the caller's to say: see
//   waiting().
// A delayed job is returned by next() as soon as its waits are over: the caller lets PlannedJob::start_in pass.
//
// Each included job ends exactly once: reported by the caller's finish(), or in what begin(), finish() or cancel()
// return. A job's cost is its own needs; a stage's barrier costs nothing per pair of jobs.
class Progress {
 public:
  // The plan must outlive this object. `started_manually`: manual jobs that run like on_success ones
  // (Plan::asked_for); others in the list are ignored.
  // `keep_going`: a failure does not hold back later stages (jobs that need the failed one are skipped all the same),
  // whatever Plan::cancel_on_failure says; the verdict is what it would have been.
  // `patient`: a blocking manual job whose turn has come has not ended: it is among waiting() until start_by_hand(),
  // give_up() or cancel().
  explicit Progress(const Plan&, const std::vector<JobIndex>& started_manually = {}, bool keep_going = false,
                    bool patient = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Jobs that ended before any ran (a first stage's manual jobs, say); call once, first. `settled` have ended whatever
  // they wait for, and are in nothing that is returned; a failure among them halts nothing.
  std::vector<Ended> begin(const std::vector<Settled>& settled = {});

  // A job that may start now; each is returned once. Order: by stage, then the file's order.
  std::optional<JobIndex> next();

  // Candidates to be prepared ahead, best first, at most `limit`: what may start now but was not asked for by next(),
  // then what waits only for jobs that run now and would start if those succeed. Changes nothing; a job may be named
  // again and again.
  std::vector<JobIndex> likely_next(std::size_t limit) const;

  // Records how a job that next() returned ended (`allowed`: its failure is tolerated) and returns what that ended
  // besides: jobs skipped, jobs that now wait for a person (manual). A job that runs another pipeline ends as `manual`
  // when that one waits for a person: this one waits with it.
  std::vector<Ended> finish(JobIndex, Outcome, bool allowed);

  // With `patient`: the blocking manual jobs whose turn has come, in that order.
  const std::vector<JobIndex>& waiting() const;
  // Nothing runs and nothing can start, unless somebody starts one of waiting().
  bool stands_still() const;
  // One of waiting() may start: next() returns it.
  void start_by_hand(JobIndex);
  // Nobody does: they end as manual, and as skipped what waits for them. Returned as finish() does.
  std::vector<Ended> give_up();

  // Starts no further job: everything that has not started becomes cancelled (what is among waiting(): manual).
  // Returned as finish() does. What runs is still to be finished.
  std::vector<Ended> cancel();

  // Of these, the ones that have not started become cancelled, with what that means for those who wait for them. What
  // of them runs is still to be finished. Returned as finish() does.
  std::vector<Ended> cancel(const std::vector<JobIndex>&);

  // A failure ended the run (Plan::cancel_on_failure): what still runs is to be stopped and then finished.
  bool halted() const;

  bool done() const;        // nothing runs and nothing can start
  Verdict verdict() const;  // when done(): waiting = stopped before a blocking manual job

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipelines
