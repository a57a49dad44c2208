// What jobs wrote after their runner had died, into the store before `runner doctor --clean` removes them. A run with
// secrets keeps none of it: their values were never stored, so nobody could mask them.
#pragma once

#include <stop_token>

#include "executors/executor.h"
#include "executors/job_directory.h"
#include "runner/store/store.h"

namespace runner {

class LastWords {
 public:
  LastWords(Store&, RunId);
  // Of a job that was found again: ended at once by the stop request, which its executor has been told to hurry with.
  void keep(const AttemptRow&, executors::Execution&, std::stop_token stopped);
  // Of a job of which only the directory is left.
  void keep(const AttemptRow&, executors::JobDirectory&);
  bool withheld() const { return withheld_; }  // there was something, and it was not kept

 private:
  class Sink;
  Store& store_;
  bool has_secrets_ = false, withheld_ = false;
};

}  // namespace runner
