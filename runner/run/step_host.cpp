#include "runner/run/step_host.h"

#include <chrono>

namespace runner {
namespace {

class StoredJournal : public executors::steps::Journal {
 public:
  StoredJournal(Store& store, AttemptKey key) : store_(store), key_(key) {}

  std::optional<Entry> find(std::string_view name) const override {
    auto row = store_.find_journal(key_, name);
    if (!row) return std::nullopt;
    const std::chrono::system_clock::time_point intended{std::chrono::milliseconds(row->intended)};
    return Entry{std::move(row->intent), intended, std::move(row->answer)};
  }
  void intend(std::string_view name, std::string_view json) override { store_.journal_intend(key_, name, json); }
  void answer(std::string_view name, std::string_view json) override { store_.journal_answer(key_, name, json); }

 private:
  Store& store_;
  const AttemptKey key_;
};

}  // namespace

std::unique_ptr<executors::steps::Journal> StepHost::journal(const executors::JobId& job) {
  return std::make_unique<StoredJournal>(store_, AttemptKey{job.run, job.job, job.attempt});
}

executors::steps::Answer StepHost::ask(const executors::JobId&, const executors::steps::Question&,
                                       const std::stop_token&) {
  return {};
}

void StepHost::deployed(const executors::JobId&, const executors::steps::Deployment&) {}

}  // namespace runner
