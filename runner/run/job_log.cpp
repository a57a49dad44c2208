#include "runner/run/job_log.h"

#include <fmt/core.h>

#include <chrono>
#include <utility>

namespace runner {

void JobLog::write(std::string_view bytes) {
  // The executor hands its markers out whole.
  if (!waiting_.empty() && bytes.starts_with("section_start:") && bytes.ends_with(":step_script\r\x1b[0K")) {
    section(waiting_name_, std::exchange(waiting_, {}));
  }
  raw_ += bytes.size();
  redactor_.feed(bytes, redacted_);
  hand_on();
}

void JobLog::finish() {
  redacted_ += redactor_.finish();
  hand_on();
}

void JobLog::section(std::string_view name, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(Clock::now().time_since_epoch()).count();
  std::string text = fmt::format("section_start:{}:{}\r\x1b[0K", now, name);
  for (const auto& line : lines) text += redact(secrets_, line) + '\n';
  text += fmt::format("section_end:{}:{}\r\x1b[0K", now, name);
  for (Observer* observer : observers_) observer->log(key_, text, raw_ - redactor_.held());
}

void JobLog::section_before_script(std::string name, std::vector<std::string> lines) {
  waiting_name_ = std::move(name);
  waiting_ = std::move(lines);
}

void JobLog::hand_on() {
  if (redacted_.empty()) return;
  if (coverage_) coverage_->feed(redacted_);
  const std::uint64_t covered = raw_ - redactor_.held();
  for (Observer* observer : observers_) observer->log(key_, redacted_, covered);
  redacted_.clear();
}

}  // namespace runner
