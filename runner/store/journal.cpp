// The journal of built-in steps: what each was about to do, and what came of it.
#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;
using db::Urgency;

namespace {

// The first of the attempts that `key` goes on with: those before it waited for a person, and nothing else ended them.
std::uint32_t first_attempt(Connection& c, const AttemptKey& key) {
  Query query(c,
              "SELECT coalesce(max(attempt), 0) + 1 FROM attempts "
              "WHERE run = ? AND job = ? AND attempt < ? AND (outcome IS NULL OR outcome != ?)",
              key.run, key.job, key.attempt, pipelines::Outcome::manual);
  query.step();
  return static_cast<std::uint32_t>(query.integer(0));
}

}  // namespace

void Store::journal_intend(const AttemptKey& key, std::string_view name, std::string_view json) {
  impl_->database.write(
      "write down what a step is about to do",
      [&](Connection& c) {
        Query(c, "INSERT OR REPLACE INTO journal(run, job, attempt, name, intent, intended) VALUES(?, ?, ?, ?, ?, ?)",
              key.run, key.job, first_attempt(c, key), name, json, unix_now())
            .run();
      },
      Urgency::result);
  impl_->database.sync();
}

void Store::journal_answer(const AttemptKey& key, std::string_view name, std::string_view json) {
  impl_->database.write(
      "write down what came of a step",
      [&](Connection& c) {
        Query(c, "UPDATE journal SET answer = ? WHERE run = ? AND job = ? AND attempt = ? AND name = ?", json, key.run,
              key.job, first_attempt(c, key), name)
            .run();
      },
      Urgency::result);
  impl_->database.sync();
}

std::optional<JournalRow> Store::find_journal(const AttemptKey& key, std::string_view name) const {
  return impl_->database.read("look into a step's journal", [&](Connection& c) -> std::optional<JournalRow> {
    Query query(c,
                "SELECT intent, intended, answer FROM journal WHERE run = ? AND job = ? AND attempt = ? AND name = ?",
                key.run, key.job, first_attempt(c, key), name);
    if (!query.step()) return std::nullopt;
    JournalRow row;
    row.intent = query.text(0);
    row.intended = query.integer(1);
    if (!query.null(2)) row.answer = query.text(2);
    return row;
  });
}

}  // namespace runner
