#include "runner/run/step_host.h"

#include <fmt/core.h>

#include <chrono>

#include "executors/http/client.h"
#include "runner/run/approvals.h"

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

// The question stands in the store while somebody thinks about it, so that it can be answered from elsewhere too.
executors::steps::Answer StepHost::ask(const executors::JobId& job, const executors::steps::Question& question,
                                       const std::stop_token& stop) {
  // An empty subject means that the job starts.
  const std::string subject = question.subject.empty() ? question.text : question.subject;
  store_.ask(job.run, job.job, subject, question.text);
  executors::steps::Answer answer = ask_people(
      store_, person_, {job.run, job.job, subject, question.text, fmt::format("Go on with {}?", job.name)}, stop);
  if (stop.stop_requested()) throw executors::http::Cancelled();
  if (answer.word != executors::steps::Answer::Word::none) store_.withdraw_question(job.run, job.job);
  return answer;
}

void StepHost::deployed(const executors::JobId& job, const executors::steps::Deployment& told) {
  using Told = executors::steps::Deployment::State;
  static_assert(static_cast<int>(Told::cancelled) == static_cast<int>(DeploymentRow::State::cancelled));
  static_assert(static_cast<int>(Told::rolled_back) == static_cast<int>(DeploymentRow::State::rolled_back));
  store_.record_target(
      {job.run, job.job, job.attempt},
      {told.target, told.what, told.previous, static_cast<DeploymentRow::State>(told.state), told.message}, unix_now());
}

}  // namespace runner
