// A job's log on its way from the executor to the observers: secrets are masked, nothing else is touched.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"
#include "runner/run/coverage.h"
#include "runner/run/events.h"
#include "runner/secrets/redactor.h"

namespace runner {

// Written by one job thread. What may be the beginning of a secret waits in the redactor; `raw` tells observers how
// much of the executor's stream is covered, so that a resumed run reads on from the right byte.
class JobLog : public executors::LogSink {
 public:
  JobLog(JobKey key, const std::vector<Observer*>& observers, const SecretSet& secrets, std::uint64_t raw_start)
      : key_(key), observers_(observers), secrets_(secrets), redactor_(secrets), raw_(raw_start) {
    if (secrets_.empty()) return;
    for (Observer* observer : observers_) observer->conceal(key_, secrets_);
  }
  void write(std::string_view bytes) override;
  void finish();  // hands on what was kept back; call once, at the end
  // Lines of ours, in a section as GitLab's job logs have them. Before the first write or after finish().
  void section(std::string_view name, const std::vector<std::string>& lines);
  // The same, when the section of the script begins: behind that of a hook, and not at all when that fails. Before the
  // first write.
  void section_before_script(std::string name, std::vector<std::string> lines);
  void read_too(CoverageFinder* finder) { coverage_ = finder; }

 private:
  void hand_on();

  const JobKey key_;
  const std::vector<Observer*>& observers_;
  const SecretSet& secrets_;
  Redactor redactor_;
  CoverageFinder* coverage_ = nullptr;
  std::uint64_t raw_;  // bytes of the stream that went into the redactor
  std::string redacted_;
  std::string waiting_name_;  // of section_before_script
  std::vector<std::string> waiting_;
};

}  // namespace runner
