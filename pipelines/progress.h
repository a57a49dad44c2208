// Progress: which jobs of a plan may start, which are skipped, and the run's verdict. Single-threaded, no clock.
// The scheduler calls next() and finish(); nothing else decides what runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "pipelines/pipeline.h"
#include "pipelines/plan.h"

namespace pipelines {

// How a job ended. Stored as numbers: append, never renumber.
enum class Outcome : std::uint8_t {
  passed = 0,
  failed = 1,     // the job's own fault: exit code, timeout, out of memory
  skipped = 2,    // what it waits for went another way
  cancelled = 3,
  broken = 4,     // the world's fault: no image, no engine, disk full
  manual = 5,     // waits for somebody to start it
};
std::string_view to_string(Outcome);

// How a run ended. Stored as numbers: append, never renumber.
enum class Verdict : std::uint8_t { passed = 0, failed = 1, cancelled = 2, broken = 3, waiting = 4, skipped = 5 };
std::string_view to_string(Verdict);

struct Ended {
  JobIndex job = 0;
  Outcome outcome = Outcome::skipped;
};

class Progress {
 public:
  // The pipeline and the plan must outlive this object. `started_manually`: manual jobs the user named, which run.
  Progress(const Pipeline&, const Plan&, std::vector<JobIndex> started_manually = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A job that may start now; each is returned once. Order: by stage, then the file's order.
  std::optional<JobIndex> next();

  // Jobs likely to become ready next (what waits only for jobs that run now), best first, at most `limit`: candidates
  // to be prepared ahead. Does not change anything; a job may be named again and again.
  std::vector<JobIndex> likely_next(std::size_t limit) const;

  // Records how a started job ended (`allowed`: its failure is tolerated) and returns what that ended besides:
  // jobs skipped, jobs that now wait for a person (manual).
  std::vector<Ended> finish(JobIndex, Outcome, bool allowed);
  // The same for jobs that ended before any ran; call once, first.
  std::vector<Ended> begin();

  // Starts no further job: everything not running becomes cancelled. Returned as finish() does.
  std::vector<Ended> cancel();

  bool done() const;      // nothing runs and nothing can start
  Verdict verdict() const;  // when done(): waiting = stopped before a blocking manual job

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipelines
