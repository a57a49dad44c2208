// The trail: what was deployed where, by which run, and who approved it. Rows outlive their runs.
#include <fmt/format.h>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;
using db::Urgency;
using pipelines::Outcome;
using State = DeploymentRow::State;

namespace {

constexpr const char* columns =
    "d.id, d.project, d.environment, d.tier, d.url, d.target, d.what, d.previous, d.ref, d.sha, d.run, d.job, "
    "d.attempt, d.job_name, d.approved_by, d.comment, d.approved, d.started, d.finished, d.stopped, d.state, "
    "d.message, ifnull(d.rollback_of, 0), NOT EXISTS(SELECT 1 FROM runs WHERE id = d.run)";

DeploymentRow row_of(const Query& query) {
  DeploymentRow row;
  row.id = query.count(0);
  row.project = query.text(1);
  row.environment = query.text(2);
  row.tier = query.text(3);
  row.url = query.text(4);
  row.target = query.text(5);
  row.what = query.text(6);
  row.previous = query.text(7);
  row.ref = query.text(8);
  row.sha = query.text(9);
  row.key = {query.count(10), static_cast<std::uint32_t>(query.integer(11)),
             static_cast<std::uint32_t>(query.integer(12))};
  row.job_name = query.text(13);
  row.approved_by = query.text(14);
  row.comment = query.text(15);
  row.approved = query.maybe(16);
  row.started = query.integer(17);
  row.finished = query.maybe(18);
  row.stopped = query.maybe(19);
  row.state = static_cast<State>(query.integer(20));
  row.message = query.text(21);
  row.rollback_of = query.count(22);
  row.run_is_gone = query.integer(23) != 0;
  return row;
}

State state_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::passed:
      return State::succeeded;
    case Outcome::cancelled:
    case Outcome::manual:  // it has asked in the middle; what follows is another attempt's
      return State::cancelled;
    case Outcome::failed:
    case Outcome::broken:
    case Outcome::skipped:
      break;
  }
  return State::failed;
}

bool exists(Connection& c, const AttemptKey& key) {
  Query query(c, "SELECT 1 FROM deployments WHERE run = ? AND job = ? AND attempt = ?", key.run, key.job, key.attempt);
  return query.step();
}

// `what` and `previous` of the environment as a whole are commits.
void insert(Connection& c, const AttemptKey& key, const DeploymentPlace& place, UnixMs now) {
  Query(c,
        "INSERT INTO deployments(project, environment, tier, url, target, what, previous, ref, sha, run, job, attempt, "
        "job_name, started, state, rollback_of) SELECT r.project, ?1, ?2, ?3, '', r.sha, ifnull((SELECT d.what FROM "
        "deployments d WHERE d.project = r.project AND d.environment = ?1 AND d.target = '' AND d.state = ?4 AND "
        "d.stopped IS NULL ORDER BY d.id DESC LIMIT 1), ''), r.ref, r.sha, r.id, j.job, ?5, j.name, ?6, ?7, "
        "r.rollback_of FROM runs r JOIN jobs j ON j.run = r.id WHERE r.id = ?8 AND j.job = ?9",
        place.environment, place.tier, place.url, State::succeeded, key.attempt, now, State::running, key.run, key.job)
      .run();
}

// One more target of an attempt that has some already.
void insert_beside(Connection& c, const AttemptKey& key, const std::string& target, UnixMs now) {
  Query(c,
        "INSERT INTO deployments(project, environment, tier, url, target, what, previous, ref, sha, run, job, attempt, "
        "job_name, started, state, rollback_of) SELECT project, environment, tier, url, ?, '', '', ref, sha, run, job, "
        "attempt, job_name, ?, ?, rollback_of FROM deployments WHERE run = ? AND job = ? AND attempt = ? ORDER BY id "
        "LIMIT 1",
        target, now, State::running, key.run, key.job, key.attempt)
      .run();
}

bool has_target(Connection& c, const AttemptKey& key, const std::string& target) {
  Query query(c, "SELECT 1 FROM deployments WHERE run = ? AND job = ? AND attempt = ? AND target = ?", key.run, key.job,
              key.attempt, target);
  return query.step();
}

void make_target(Connection& c, const AttemptKey& key, const std::string& target, UnixMs now) {
  if (has_target(c, key, target)) return;
  if (!exists(c, key)) insert(c, key, {}, now);
  Query(c,
        "UPDATE deployments SET target = ?, what = '', previous = '' WHERE run = ? AND job = ? AND attempt = ? AND "
        "target = ''",
        target, key.run, key.job, key.attempt)
      .run();
  if (c.changes() == 0) insert_beside(c, key, target, now);
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::running:
      return "running";
    case State::succeeded:
      return "succeeded";
    case State::failed:
      return "failed";
    case State::rolled_back:
      return "rolled back";
    case State::superseded:
      return "superseded";
    case State::cancelled:
      return "cancelled";
    case State::interrupted:
      return "interrupted";
  }
  return "unknown";
}

void Store::begin_deployment(const AttemptKey& key, const DeploymentPlace& place, UnixMs now) {
  impl_->database.write(
      "record a deployment",
      [&](Connection& c) {
        if (!exists(c, key)) insert(c, key, place, now);
      },
      Urgency::result);
}

void Store::record_target(const AttemptKey& key, const TargetChange& change, UnixMs now) {
  const bool over = change.state != State::running;
  impl_->database.write(
      "record a deployment",
      [&](Connection& c) {
        make_target(c, key, change.target, now);
        Query(c,
              "UPDATE deployments SET what = iif(?1 = '', what, ?1), previous = iif(?2 = '', previous, ?2), state = "
              "?3, message = ?4, finished = iif(?5, ?6, NULL) WHERE run = ?7 AND job = ?8 AND attempt = ?9 AND target "
              "= ?10",
              change.what, change.previous, change.state, change.message, over, now, key.run, key.job, key.attempt,
              change.target)
            .run();
      },
      Urgency::result);
}

void Store::end_deployments(const AttemptKey& key, Outcome outcome, std::string_view url, std::string_view message,
                            UnixMs now) {
  impl_->database.write(
      "record the end of a deployment",
      [&](Connection& c) {
        // Nothing was deployed: it waits for an answer, or it had no environment and came to no target.
        Query(c,
              "DELETE FROM deployments WHERE run = ? AND job = ? AND attempt = ? AND target = '' AND (? OR environment "
              "= '')",
              key.run, key.job, key.attempt, outcome == Outcome::manual)
            .run();
        Query(c,
              "UPDATE deployments SET message = iif(state = ?1 AND message = '', ?2, message), finished = "
              "ifnull(finished, ?3), url = iif(?4 = '', url, ?4), state = iif(state = ?1, ?5, state) WHERE run = ?6 "
              "AND job = ?7 AND attempt = ?8",
              State::running, message, now, url, state_of(outcome), key.run, key.job, key.attempt)
            .run();
        Query(c,
              "UPDATE deployments SET (approved_by, approved, comment) = (a.who, a.time, a.comment) FROM (SELECT who, "
              "time, comment FROM approvals WHERE run = ?1 AND job = ?2 AND decision = ?3 ORDER BY id DESC LIMIT 1) a "
              "WHERE run = ?1 AND job = ?2 AND attempt = ?4",
              key.run, key.job, Approval::Decision::approved, key.attempt)
            .run();
      },
      Urgency::result);
}

void Store::stop_environment(RunId run, std::string_view environment, UnixMs now) {
  impl_->database.write(
      "record that an environment was stopped",
      [&](Connection& c) {
        Query(c,
              "UPDATE deployments SET stopped = ? WHERE stopped IS NULL AND environment = ? AND project = (SELECT "
              "project FROM runs WHERE id = ?)",
              now, environment, run)
            .run();
      },
      Urgency::result);
}

std::vector<DeploymentRow> Store::deployments(const DeploymentFilter& filter) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM deployments d WHERE (?1 IS NULL OR d.project = ?1) AND (?2 IS NULL OR d.environment = ?2) ORDER "
      "BY d.id DESC LIMIT ?3",
      columns);
  return impl_->database.read("list the deployments", [&](Connection& c) {
    std::vector<DeploymentRow> rows;
    Query query(c, sql.c_str(), filter.project, filter.environment,
                filter.limit == 0 ? -1 : static_cast<std::int64_t>(filter.limit));
    while (query.step()) rows.push_back(row_of(query));
    return rows;
  });
}

std::optional<DeploymentRow> Store::deployment(std::uint64_t id) const {
  static const std::string sql = fmt::format("SELECT {} FROM deployments d WHERE d.id = ?", columns);
  return impl_->database.read("read a deployment", [&](Connection& c) {
    Query query(c, sql.c_str(), id);
    return query.step() ? std::optional(row_of(query)) : std::nullopt;
  });
}

}  // namespace runner
