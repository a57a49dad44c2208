#include "runner/run/approvals.h"

#include <fmt/core.h>

namespace runner {

using executors::steps::Answer;
using Decision = Approval::Decision;

namespace {

Answer answer_of(const Approval& said) {
  return {said.decision == Decision::approved ? Answer::Word::approved : Answer::Word::rejected, said.who,
          said.comment};
}

}  // namespace

Answer ask_people(Store& store, Person* person, const AskedJob& asked, const std::stop_token& stop) {
  const auto said = [&] { return store.approval(asked.run, asked.job, asked.subject); };
  if (const auto before = said()) return answer_of(*before);
  if (person == nullptr) return {};
  const Person::Word word = person->ask(
      asked.text, asked.prompt, [&] { return said().has_value(); }, stop);
  if (const auto meanwhile = said()) return answer_of(*meanwhile);
  if (word != Person::Word::yes) return {};
  Approval approval;
  approval.run = asked.run;
  approval.job = asked.job;
  approval.subject = asked.subject;
  approval.who = this_person();
  approval.time = unix_now();
  store.add_approval(approval);
  return answer_of(approval);
}

std::string describe(const Approval& said) {
  return fmt::format("{} by {}{}{}", said.decision == Decision::approved ? "approved" : "rejected", said.who,
                     said.comment.empty() ? "" : ": ", said.comment);
}

std::string approval_of(const Store& store, RunId run, std::uint32_t job) {
  std::string words;
  for (const Approval& said : store.approvals(run)) {
    if (said.job == job && said.decision == Decision::approved) words = describe(said);
  }
  return words;
}

Answer Approvals::ask(pipelines::JobIndex job, const std::string& text, const std::stop_token& stop) {
  return ask_people(store_, person_, {run_, job + 1, {}, text, fmt::format("Run {}?", pipeline_.jobs[job].name)}, stop);
}

std::string Approvals::approved(pipelines::JobIndex job) { return approval_of(store_, run_, job + 1); }

SaidBefore said_before(const Store& store, RunId run) {
  std::map<std::uint32_t, Approval> starts;  // the newest word on each
  std::map<std::uint32_t, Approval> newest;
  SaidBefore before;
  for (const Approval& said : store.approvals(run)) {
    newest[said.job] = said;
    if (said.subject.empty()) starts[said.job] = said;
    if (said.decision == Decision::approved) before.approved[said.job - 1] = describe(said);
  }
  if (newest.empty()) return before;
  for (const auto& [job, said] : starts) before.started.push_back(job - 1);
  for (const JobRow& row : store.jobs(run)) {
    const auto said = newest.find(row.job);
    if (said == newest.end() || row.state == JobState::final || said->second.decision != Decision::rejected) continue;
    // One that began waits for the answer to what it asked: a rejected start cannot have let it begin.
    const auto last = store.last_attempt(run, row.job);
    const bool waits = !last || (last->state == JobState::final && last->outcome == pipelines::Outcome::manual);
    if (waits) before.rejected.emplace(row.job - 1, said->second);
  }
  return before;
}

}  // namespace runner
