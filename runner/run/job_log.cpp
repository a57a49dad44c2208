#include "runner/run/job_log.h"

namespace runner {

void JobLog::write(std::string_view bytes) {
  raw_ += bytes.size();
  redactor_.feed(bytes, redacted_);
  hand_on();
}

void JobLog::finish() {
  redacted_ += redactor_.finish();
  hand_on();
}

void JobLog::hand_on() {
  if (redacted_.empty()) return;
  const std::uint64_t covered = raw_ - redactor_.held();
  for (Observer* observer : observers_) observer->log(key_, redacted_, covered);
  redacted_.clear();
}

}  // namespace runner
