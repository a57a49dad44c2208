// What jobs wait for, what people said to it, and how a run that stopped is begun again.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;
using db::Urgency;
using pipelines::Outcome;
using pipelines::Verdict;

namespace {

// A manual job that did not begin waits to be started; one that began waits for the answer to what it asked. A job that
// triggers a pipeline and began waits for that one: it asks nothing itself.
constexpr const char* question_of_job =
    "CASE WHEN q.subject IS NOT NULL THEN q.subject WHEN EXISTS(SELECT 1 FROM attempts t WHERE t.run = j.run AND "
    "t.job = j.job) THEN NULL ELSE '' END";
// Over and waiting, or asking while it runs.
constexpr const char* waits = "j.reused_run IS NULL AND (j.outcome = 5 OR (j.state = 2 AND q.subject IS NOT NULL))";
static_assert(static_cast<int>(Outcome::manual) == 5 && static_cast<int>(JobState::running) == 2);
static_assert(static_cast<int>(Verdict::waiting) == 4);  // in the schema

constexpr const char* approval_columns = "run, job, subject, decision, who, comment, time";

Approval approval_row(const Query& query, int first = 0) {
  Approval row;
  row.run = query.count(first);
  row.job = static_cast<std::uint32_t>(query.integer(first + 1));
  row.subject = query.text(first + 2);
  row.decision = static_cast<Approval::Decision>(query.integer(first + 3));
  row.who = query.text(first + 4);
  row.comment = query.text(first + 5);
  row.time = query.integer(first + 6);
  return row;
}

std::optional<Approval> newest(Connection& c, RunId run, std::uint32_t job, std::string_view subject) {
  static const std::string sql = fmt::format(
      "SELECT {} FROM approvals WHERE run = ? AND job = ? AND subject = ? ORDER BY id DESC LIMIT 1", approval_columns);
  Query query(c, sql.c_str(), run, job, subject);
  return query.step() ? std::optional(approval_row(query)) : std::nullopt;
}

// The newest child pipeline of each job that triggers one.
std::vector<std::pair<std::uint32_t, RunId>> children_of(Connection& c, RunId run) {
  std::vector<std::pair<std::uint32_t, RunId>> children;
  Query query(c, "SELECT parent_job, max(id) FROM runs WHERE parent = ? GROUP BY parent_job ORDER BY parent_job", run);
  while (query.step()) children.emplace_back(static_cast<std::uint32_t>(query.integer(0)), query.count(1));
  return children;
}

std::vector<std::uint32_t> answered_jobs(Connection& c, RunId run) {
  static const std::string sql = fmt::format(
      "SELECT j.job FROM jobs j LEFT JOIN questions q ON q.run = j.run AND q.job = j.job WHERE j.run = ? AND "
      "j.outcome = ? AND EXISTS(SELECT 1 FROM approvals a WHERE a.run = j.run AND a.job = j.job AND a.subject = {})",
      question_of_job);
  std::vector<std::uint32_t> jobs;
  Query query(c, sql.c_str(), run, Outcome::manual);
  while (query.step()) jobs.push_back(static_cast<std::uint32_t>(query.integer(0)));
  return jobs;
}

bool is_over(Connection& c, RunId run) {
  Query query(c, "SELECT 1 FROM runs WHERE id = ? AND outcome IS NOT NULL", run);
  return query.step();
}

// NOLINTNEXTLINE(misc-no-recursion): children have children, two levels deep
bool answered(Connection& c, RunId run) {
  if (!is_over(c, run)) return false;
  if (!answered_jobs(c, run).empty()) return true;
  for (const auto& [job, child] : children_of(c, run)) {
    if (answered(c, child)) return true;
  }
  return false;
}

void begin_anew(Connection& c, RunId run, std::uint32_t job) {
  Query(c, "UPDATE jobs SET state = ?, outcome = NULL, reason = '', message = '' WHERE run = ? AND job = ?",
        JobState::queued, run, job)
      .run();
}

// NOLINTNEXTLINE(misc-no-recursion): as above
void reopen(Connection& c, RunId run, UnixMs now) {
  Query(c, "UPDATE runs SET outcome = NULL, finished = NULL WHERE id = ?", run).run();
  Query(c, "INSERT INTO events(run, time, kind, json) VALUES(?, ?, 'reopened', '{}')", run, now).run();
  for (const std::uint32_t job : answered_jobs(c, run)) begin_anew(c, run, job);
  Query(c,
        "UPDATE jobs SET state = ?, outcome = NULL, reason = '', message = '' WHERE run = ? AND outcome IN (?, ?) AND "
        "reused_run IS NULL AND NOT EXISTS(SELECT 1 FROM attempts t WHERE t.run = jobs.run AND t.job = jobs.job)",
        JobState::queued, run, Outcome::skipped, Outcome::manual)
      .run();
  for (const auto& [job, child] : children_of(c, run)) {
    if (!answered(c, child)) continue;
    begin_anew(c, run, job);
    reopen(c, child, now);
  }
}

}  // namespace

void Store::ask(RunId run, std::uint32_t job, std::string_view subject, std::string_view text) {
  impl_->database.write(
      "record what a job waits for",
      [&](Connection& c) {
        Query(c, "INSERT OR REPLACE INTO questions(run, job, subject, text, asked) VALUES(?, ?, ?, ?, ?)", run, job,
              subject, text, unix_now())
            .run();
      },
      Urgency::result);
}

void Store::withdraw_question(RunId run, std::uint32_t job) {
  impl_->database.write(
      "record what a job waits for",
      [&](Connection& c) { Query(c, "DELETE FROM questions WHERE run = ? AND job = ?", run, job).run(); },
      Urgency::result);
}

bool Store::add_approval(const Approval& said) {
  static const std::string sql = fmt::format(
      "INSERT INTO approvals({}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 FROM jobs j LEFT JOIN questions q ON "
      "q.run = j.run AND q.job = j.job WHERE j.run = ?1 AND j.job = ?2 AND {} AND {} = ?3",
      approval_columns, waits, question_of_job);
  const bool yes = said.decision == Approval::Decision::approved;
  const std::string json =
      nlohmann::json{{"job", said.job}, {"subject", said.subject}, {"who", said.who}, {"comment", said.comment}}.dump(
          -1, ' ', false, nlohmann::json::error_handler_t::replace);
  return impl_->database.write(
      "record an approval",
      [&](Connection& c) {
        Query(c, sql.c_str(), said.run, said.job, said.subject, said.decision, said.who, said.comment, said.time).run();
        if (c.changes() == 0) return false;
        Query(c, "INSERT INTO events(run, time, kind, json) VALUES(?, ?, ?, ?)", said.run, said.time,
              yes ? "job_approved" : "job_rejected", json)
            .run();
        return true;
      },
      Urgency::result);
}

std::vector<Approval> Store::approvals(RunId run) const {
  static const std::string sql = fmt::format("SELECT {} FROM approvals WHERE run = ? ORDER BY id", approval_columns);
  return impl_->database.read("read the approvals", [&](Connection& c) {
    std::vector<Approval> rows;
    Query query(c, sql.c_str(), run);
    while (query.step()) rows.push_back(approval_row(query));
    return rows;
  });
}

std::optional<Approval> Store::approval(RunId run, std::uint32_t job, std::string_view subject) const {
  return impl_->database.read("look for an approval", [&](Connection& c) { return newest(c, run, job, subject); });
}

std::vector<WaitingJob> Store::waiting_jobs(RunId run) const {
  static const std::string sql = fmt::format(
      "SELECT j.job, j.name, {}, ifnull(q.text, ''), q.asked FROM jobs j LEFT JOIN questions q ON q.run = j.run AND "
      "q.job = j.job WHERE j.run = ? AND {} ORDER BY j.job",
      question_of_job, waits);
  return impl_->database.read("look for what waits", [&](Connection& c) {
    std::vector<WaitingJob> rows;
    const auto children = children_of(c, run);
    Query query(c, sql.c_str(), run);
    while (query.step()) {
      WaitingJob row;
      row.run = run;
      row.job = static_cast<std::uint32_t>(query.integer(0));
      row.name = query.text(1);
      row.text = query.text(3);
      row.asked = query.maybe(4);
      if (query.null(2)) {
        for (const auto& [job, child] : children) {
          if (job == row.job) row.child = child;
        }
      } else {
        row.subject = query.text(2);
        row.said = newest(c, run, row.job, row.subject);
      }
      rows.push_back(std::move(row));
    }
    return rows;
  });
}

std::vector<RunId> Store::waiting_runs() const {
  return impl_->database.read("look for what waits", [&](Connection& c) {
    std::vector<RunId> runs;
    Query query(c, "SELECT id FROM runs WHERE outcome = 4 AND parent IS NULL ORDER BY id");
    while (query.step()) runs.push_back(query.count(0));
    return runs;
  });
}

bool Store::is_answered(RunId run) const {
  return impl_->database.read("look for an approval", [&](Connection& c) { return answered(c, run); });
}

std::optional<UnixMs> Store::reopened(RunId run) const {
  return impl_->database.read("read the events", [&](Connection& c) {
    Query query(c, "SELECT max(time) FROM events WHERE run = ? AND kind = 'reopened'", run);
    return query.step() ? query.maybe(0) : std::nullopt;
  });
}

bool Store::reopen_run(RunId run) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  return impl_->database.write("begin a run again", [&](Connection& c) {
    if (!answered(c, run) || !impl_->claim(c, self, run, 0)) return false;
    reopen(c, run, unix_now());
    return true;
  });
}

}  // namespace runner
