// Runs, jobs, attempts and events. Each change of state is one conditional UPDATE: the database, not the caller,
// keeps a state from going backwards and an attempt from ending twice.
#include <fmt/format.h>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;
using db::Urgency;
using pipelines::Outcome;
using pipelines::Verdict;

namespace {

constexpr int queued = static_cast<int>(JobState::queued);
constexpr int running = static_cast<int>(JobState::running);
constexpr int final_state = static_cast<int>(JobState::final);

// Long texts are stored as their size and zstd's frame, or as they are.
std::string packed_text(std::string_view text) {
  std::string room;
  const Packed packed = pack(text, room);
  return fmt::format("{} {} ", packed.codec, text.size()) + std::string(packed.bytes);
}

std::string unpacked_text(std::string_view stored) {
  const std::size_t first = stored.find(' ');
  const std::size_t second = stored.find(' ', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) {
    return {};
  }
  const std::size_t size = std::strtoull(std::string(stored.substr(first + 1, second - first)).c_str(), nullptr, 10);
  return unpack(stored.front() - '0', stored.substr(second + 1), size);
}

template <class Enum>
std::optional<Enum> maybe_enum(const Query& query, int column) {
  return query.null(column) ? std::nullopt : std::optional(static_cast<Enum>(query.integer(column)));
}

constexpr const char* run_columns =
    "id, ref, sha, event, project_dir, pipeline_name, outcome, started, finished, "
    "ifnull(parent, 0), ifnull(retry_of, 0)";

RunRow run_row(const Query& query) {
  RunRow row;
  row.id = query.count(0);
  row.ref = query.text(1);
  row.sha = query.text(2);
  row.event = query.text(3);
  row.project_dir = query.text(4);
  row.pipeline_name = query.text(5);
  row.outcome = maybe_enum<Verdict>(query, 6);
  row.started = query.integer(7);
  row.finished = query.maybe(8);
  row.parent = query.count(9);
  row.retry_of = query.count(10);
  return row;
}

AttemptRow attempt_row(const Query& query) {
  AttemptRow row;
  row.key = {query.count(0), static_cast<std::uint32_t>(query.integer(1)),
             static_cast<std::uint32_t>(query.integer(2))};
  row.state = static_cast<JobState>(query.integer(3));
  row.handle = query.text(4);
  row.outcome = maybe_enum<Outcome>(query, 5);
  row.exit_code = static_cast<int>(query.integer(6));
  row.reason = query.text(7);
  row.message = query.text(8);
  row.started = query.maybe(9);
  row.finished = query.maybe(10);
  row.log_size = query.count(11);
  row.log_cursor = query.count(12);
  return row;
}

}  // namespace

namespace {

// A job of a new run stands as it ended in an earlier one. Its artifacts are the new run's too: they outlive the other.
// An attempt of number 0 is what has them.
void reuse(Connection& c, RunId run, std::uint32_t job, const NewJob& from) {
  Query(c,
        "UPDATE jobs SET (state, outcome, allowed, exit_code, reason, message, coverage, artifacts, reused_run, "
        "reused_job) = (SELECT state, outcome, allowed, exit_code, reason, message, coverage, artifacts, "
        "ifnull(reused_run, run), ifnull(reused_job, job) FROM jobs WHERE run = ?3 AND job = ?4) "
        "WHERE run = ?1 AND job = ?2 AND EXISTS(SELECT 1 FROM jobs WHERE run = ?3 AND job = ?4 AND state = ?5)",
        run, job, from.reused_run, from.reused_job, final_state)
      .run();
  if (c.changes() == 0) {
    throw StoreError(StoreFault::missing, fmt::format("run {} has no job {} that ended", from.reused_run, from.name));
  }
  Query(c,
        "INSERT INTO artifacts(run, job, attempt, kind, name, tree, created, expires) "
        "SELECT ?1, ?2, 0, kind, name, tree, created, expires FROM artifacts WHERE run = ?3 AND job = ?4 AND attempt = "
        "(SELECT ifnull(max(attempt), 0) FROM attempts WHERE run = ?3 AND job = ?4) ORDER BY id",
        run, job, from.reused_run, from.reused_job)
      .run();
  Query(c,
        "INSERT INTO events(run, time, kind, json) SELECT ?1, time, kind, json_set(json, '$.job', ?2) FROM events "
        "WHERE run = ?3 AND kind = 'report' AND json_extract(json, '$.job') = ?4 ORDER BY sequence",
        run, job, from.reused_run, from.reused_job)
      .run();
}

}  // namespace

RunId Store::create_run(const NewRun& run) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  const std::string pipeline = packed_text(run.pipeline_text);
  const std::string options = packed_text(run.options);
  return impl_->database.write("record a new run", [&](Connection& c) {
    Query(c, "INSERT INTO runs(pipeline_name, project_dir, ref, sha, event, started) VALUES(?, ?, ?, ?, ?, ?)",
          run.pipeline_name, run.project_dir, run.ref, run.sha, run.event, run.started)
        .run();
    const auto id = static_cast<RunId>(c.last_id());
    Query(c, "INSERT INTO run_texts(run, pipeline, options) VALUES(?, ?, ?)", id, db::Blob(pipeline), db::Blob(options))
        .run();
    std::uint32_t job = 0;
    for (const NewJob& each : run.jobs) {
      Query(c, "INSERT INTO jobs(run, job, name, stage) VALUES(?, ?, ?, ?)", id, ++job, each.name, each.stage).run();
      if (each.reused_run != 0) {
        reuse(c, id, job, each);
      }
    }
    if (!run.project.empty()) {
      Query(c, "UPDATE runs SET project = ?, rollback_of = nullif(?, 0) WHERE id = ?", run.project, run.rollback_of, id)
          .run();
    }
    if (run.retry_of != 0) {
      Query(c, "UPDATE runs SET retry_of = ? WHERE id = ?", run.retry_of, id).run();
    }
    if (run.parent != 0) {
      Query(c, "UPDATE runs SET parent = ?, parent_job = ? WHERE id = ?", run.parent, run.parent_job, id).run();
    }
    impl_->claim(c, self, id, 0);
    return id;
  });
}

bool Store::finish_run(RunId run, Verdict verdict, UnixMs finished) {
  return impl_->database.write(
      "record the end of a run",
      [&](Connection& c) {
        Query(c, "UPDATE runs SET outcome = ?, finished = ? WHERE id = ? AND outcome IS NULL", verdict, finished, run)
            .run();
        if (c.changes() == 0) {
          return false;
        }
        Query(c, "DELETE FROM leases WHERE run = ?", run).run();
        Query(c, "DELETE FROM resources WHERE run = ?", run).run();
        Query(c, "UPDATE deployments SET state = ?, finished = ? WHERE run = ? AND state = ?",
              DeploymentRow::State::interrupted, finished, run, DeploymentRow::State::running)
            .run();
        return true;
      },
      Urgency::result);
}

bool Store::begin_attempt(const AttemptKey& key) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  return impl_->database.write("begin a job", [&](Connection& c) {
    {
      Query job(c, "SELECT 1 FROM jobs WHERE run = ? AND job = ? AND (state < ? OR outcome = ?)", key.run, key.job,
                final_state, Outcome::manual);
      if (!job.step()) {
        return false;
      }
    }
    {
      Query ended(c, "SELECT 1 FROM attempts WHERE run = ? AND job = ? AND attempt >= ? AND state = ?", key.run,
                  key.job, key.attempt, final_state);
      if (ended.step()) {
        return false;
      }
    }
    if (!impl_->claim(c, self, key.run, key.job)) {
      return false;
    }
    Query(c, "INSERT OR IGNORE INTO attempts(run, job, attempt) VALUES(?, ?, ?)", key.run, key.job, key.attempt).run();
    Query(c, "UPDATE jobs SET state = ?, outcome = NULL WHERE run = ? AND job = ? AND state = ?", queued, key.run,
          key.job, final_state)
        .run();  // a manual job that waited
    Query(c, "DELETE FROM questions WHERE run = ? AND job = ?", key.run, key.job).run();
    return true;
  });
}

bool Store::attempt_started(const AttemptKey& key, UnixMs started, std::string_view handle) {
  return impl_->database.write("record the start of a job", [&](Connection& c) {
    Query(c,
          "UPDATE attempts SET state = ?1, started = ifnull(started, ?2), handle = iif(?3 = '', handle, ?3) "
          "WHERE run = ?4 AND job = ?5 AND attempt = ?6 AND state < ?7",
          running, started, handle, key.run, key.job, key.attempt, final_state)
        .run();
    if (c.changes() == 0) {
      return false;
    }
    Query(c, "UPDATE jobs SET state = ? WHERE run = ? AND job = ? AND state < ?", running, key.run, key.job, running)
        .run();
    return true;
  });
}

bool Store::finish_attempt(const AttemptKey& key, const AttemptEnd& end) {
  return impl_->database.write(
      "record the end of a job",
      [&](Connection& c) {
        Query(c,
              "UPDATE attempts SET state = ?, outcome = ?, exit_code = ?, reason = ?, message = ?, finished = ? "
              "WHERE run = ? AND job = ? AND attempt = ? AND state < ?",
              final_state, end.outcome, end.exit_code, end.reason, end.message, end.finished, key.run, key.job,
              key.attempt, final_state)
            .run();
        if (c.changes() == 0) {
          return false;
        }
        if (!end.retried) {
          Query(c,
                "UPDATE jobs SET state = ?, outcome = ?, allowed = ?, exit_code = ?, reason = ?, message = ?, "
                "coverage = ?, artifacts = (SELECT count(*) FROM artifacts a WHERE a.run = ?9 AND a.job = ?10 AND "
                "a.attempt = ?11) WHERE run = ?9 AND job = ?10 AND state < ?8",
                final_state, end.outcome, end.allowed, end.exit_code, end.reason, end.message, end.coverage,
                final_state, key.run, key.job, key.attempt)
              .run();
          Query(c, "DELETE FROM leases WHERE run = ? AND job = ?", key.run, key.job).run();
        }
        return true;
      },
      Urgency::result);
}

bool Store::drop_attempt(const AttemptKey& key) {
  return impl_->database.write(
      "drop a prepared job",
      [&](Connection& c) {
        Query(c, "DELETE FROM attempts WHERE run = ? AND job = ? AND attempt = ? AND state < ?", key.run, key.job,
              key.attempt, running)
            .run();
        if (c.changes() == 0) {
          return false;
        }
        Query(c, "DELETE FROM leases WHERE run = ? AND job = ?", key.run, key.job).run();
        return true;
      },
      Urgency::result);
}

bool Store::end_job(RunId run, std::uint32_t job, Outcome outcome, std::string_view reason, std::string_view message,
                    bool allowed) {
  return impl_->database.write(
      "record the end of a job",
      [&](Connection& c) {
        Query(c,
              "UPDATE jobs SET state = ?, outcome = ?, reason = ?, message = ?, allowed = ? "
              "WHERE run = ? AND job = ? AND (state < ? OR outcome = ?) "
              "AND NOT EXISTS(SELECT 1 FROM attempts a WHERE a.run = jobs.run AND a.job = jobs.job AND a.state < ?)",
              final_state, outcome, reason, message, allowed, run, job, final_state, Outcome::manual, final_state)
            .run();
        const bool changed = c.changes() > 0;
        Query(c, "DELETE FROM leases WHERE run = ? AND job = ? AND ?", run, job, changed).run();
        return changed;
      },
      Urgency::result);
}

std::uint64_t Store::add_event(RunId run, UnixMs time, std::string_view kind, std::string_view json) {
  return impl_->database.write(
      "record an event",
      [&](Connection& c) {
        Query(c, "INSERT INTO events(run, time, kind, json) VALUES(?, ?, ?, ?)", run, time, kind, json).run();
        return static_cast<std::uint64_t>(c.last_id());
      },
      Urgency::result);
}

std::vector<RunRow> Store::list_runs(std::size_t limit, RunId before) const {
  static const std::string sql = fmt::format("SELECT {} FROM runs WHERE id < ? ORDER BY id DESC LIMIT ?", run_columns);
  return impl_->database.read("list the runs", [&](Connection& c) {
    std::vector<RunRow> rows;
    Query query(c, sql.c_str(), before == 0 ? INT64_MAX : static_cast<std::int64_t>(before),
                limit == 0 ? -1 : static_cast<std::int64_t>(limit));
    while (query.step()) {
      rows.push_back(run_row(query));
    }
    return rows;
  });
}

std::optional<RunId> Store::newest_run() const {
  return impl_->database.read("look for the newest run", [](Connection& c) {
    Query query(c, "SELECT max(id) FROM runs");
    return query.step() && !query.null(0) ? std::optional<RunId>(query.count(0)) : std::nullopt;
  });
}

std::optional<RunDetail> Store::run(RunId run) const {
  static const std::string sql =
      fmt::format("SELECT {}, pipeline, options FROM runs JOIN run_texts ON run = id WHERE id = ?", run_columns);
  return impl_->database.read("read a run", [&](Connection& c) -> std::optional<RunDetail> {
    Query query(c, sql.c_str(), run);
    if (!query.step()) {
      return std::nullopt;
    }
    RunDetail detail;
    static_cast<RunRow&>(detail) = run_row(query);
    detail.pipeline_text = unpacked_text(query.bytes(11));
    detail.options = unpacked_text(query.bytes(12));
    return detail;
  });
}

std::optional<RunRow> Store::child_run(RunId parent, std::uint32_t job) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM runs WHERE parent = ? AND parent_job = ? ORDER BY id DESC LIMIT 1", run_columns);
  return impl_->database.read("look for a child pipeline", [&](Connection& c) {
    Query query(c, sql.c_str(), parent, job);
    return query.step() ? std::optional(run_row(query)) : std::nullopt;
  });
}

std::vector<JobRow> Store::jobs(RunId run) const {
  return impl_->database.read("list the jobs", [&](Connection& c) {
    std::vector<JobRow> rows;
    Query query(c,
                "SELECT j.job, j.name, j.stage, j.state, j.outcome, j.allowed, j.exit_code, j.reason, j.message, "
                "ifnull(a.attempt, 0), a.started, a.finished, j.coverage, ifnull(j.reused_run, 0), "
                "ifnull(j.reused_job, 0), j.artifacts FROM jobs j "
                "LEFT JOIN attempts a ON a.run = j.run AND a.job = j.job AND a.attempt = "
                "(SELECT max(attempt) FROM attempts WHERE run = j.run AND job = j.job) WHERE j.run = ? ORDER BY j.job",
                run);
    while (query.step()) {
      JobRow row;
      row.job = static_cast<std::uint32_t>(query.integer(0));
      row.name = query.text(1);
      row.stage = query.text(2);
      row.state = static_cast<JobState>(query.integer(3));
      row.outcome = maybe_enum<Outcome>(query, 4);
      row.allowed = query.integer(5) != 0;
      row.exit_code = static_cast<int>(query.integer(6));
      row.reason = query.text(7);
      row.message = query.text(8);
      row.attempts = static_cast<std::uint32_t>(query.integer(9));
      row.started = query.maybe(10);
      row.finished = query.maybe(11);
      row.coverage = query.maybe_real(12);
      row.reused_run = query.count(13);
      row.reused_job = static_cast<std::uint32_t>(query.integer(14));
      if (const auto count = query.maybe(15)) {
        row.artifacts = static_cast<std::uint32_t>(*count);
      }
      rows.push_back(std::move(row));
    }
    return rows;
  });
}

std::vector<AttemptRow> Store::attempts(RunId run, std::uint32_t job) const {
  return impl_->database.read("list the attempts", [&](Connection& c) {
    std::vector<AttemptRow> rows;
    Query query(c,
                "SELECT run, job, attempt, state, handle, outcome, exit_code, reason, message, started, finished, "
                "log_size, log_cursor FROM attempts WHERE run = ? AND job = ? ORDER BY attempt",
                run, job);
    while (query.step()) {
      rows.push_back(attempt_row(query));
    }
    return rows;
  });
}

std::optional<AttemptRow> Store::attempt(const AttemptKey& key) const {
  for (AttemptRow& row : attempts(key.run, key.job)) {
    if (row.key == key) {
      return std::move(row);
    }
  }
  return std::nullopt;
}

std::optional<AttemptRow> Store::last_attempt(RunId run, std::uint32_t job) const {
  std::vector<AttemptRow> rows = attempts(run, job);
  return rows.empty() ? std::nullopt : std::optional(std::move(rows.back()));
}

std::vector<EventRow> Store::events(RunId run, std::uint64_t after, std::size_t limit) const {
  return impl_->database.read("read the events", [&](Connection& c) {
    std::vector<EventRow> rows;
    Query query(c,
                "SELECT sequence, run, time, kind, json FROM events WHERE run = ? AND sequence > ? "
                "ORDER BY sequence LIMIT ?",
                run, after, limit);
    while (query.step()) {
      rows.push_back({query.count(0), query.count(1), query.integer(2), query.text(3), query.text(4)});
    }
    return rows;
  });
}

}  // namespace runner
