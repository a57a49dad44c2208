// The tables, as the steps that made them. A step that has been released is never changed: add another.
#include <fmt/format.h>

#include <iterator>
#include <random>

#include "runner/store/database.h"

namespace runner::db {
namespace {

constexpr const char* steps[] = {
    // 1
    R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE runs(
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, also after gc
  pipeline_name TEXT NOT NULL, project_dir TEXT NOT NULL, ref TEXT NOT NULL, sha TEXT NOT NULL, event TEXT NOT NULL,
  outcome INTEGER,                       -- pipelines::Verdict; null while running
  started INTEGER NOT NULL, finished INTEGER) STRICT;
CREATE INDEX unfinished_runs ON runs(id) WHERE outcome IS NULL;
CREATE TABLE run_texts(run INTEGER PRIMARY KEY, pipeline BLOB NOT NULL, options BLOB NOT NULL) STRICT;  -- zstd

CREATE TABLE jobs(
  run INTEGER NOT NULL, job INTEGER NOT NULL, name TEXT NOT NULL, stage TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,      -- JobState
  outcome INTEGER, allowed INTEGER NOT NULL DEFAULT 0, exit_code INTEGER NOT NULL DEFAULT -1,
  reason TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(run, job)) STRICT, WITHOUT ROWID;

CREATE TABLE attempts(
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, job INTEGER NOT NULL, attempt INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0, handle TEXT NOT NULL DEFAULT '',
  outcome INTEGER, exit_code INTEGER NOT NULL DEFAULT -1,
  reason TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '', started INTEGER, finished INTEGER,
  log_size INTEGER NOT NULL DEFAULT 0,
  log_cursor INTEGER NOT NULL DEFAULT 0,    -- of the executor's stream
  log_left_out INTEGER NOT NULL DEFAULT 0,  -- bytes over the limit that are gone
  UNIQUE(run, job, attempt)) STRICT;

CREATE TABLE logs(
  id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
  codec INTEGER NOT NULL,                -- 0 as it is, 1 zstd
  data BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX log_order ON logs(attempt, start);

CREATE TABLE events(
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, time INTEGER NOT NULL, kind TEXT NOT NULL,
  json TEXT NOT NULL) STRICT;
CREATE INDEX event_order ON events(run, sequence);

CREATE TABLE processes(
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- a living one holds a lock on this byte of FILE.lock
  host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, token TEXT NOT NULL) STRICT;
CREATE TABLE leases(
  run INTEGER NOT NULL, job INTEGER NOT NULL,  -- job 0: the run itself
  process INTEGER NOT NULL, PRIMARY KEY(run, job)) STRICT, WITHOUT ROWID;

CREATE TABLE chunks(
  id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,  -- SHA-256 of the bytes
  size INTEGER NOT NULL, stored INTEGER NOT NULL, codec INTEGER NOT NULL,
  data BLOB,                             -- small ones
  name TEXT,                             -- others: the file FILE.chunks/<first two>/<name>
  boot TEXT NOT NULL, synced INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE trees(
  id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB UNIQUE,  -- of the manifest with digests; null while it is made
  process INTEGER NOT NULL,              -- who makes it
  files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, manifest BLOB) STRICT;
CREATE TABLE tree_chunks(tree INTEGER NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY(tree, chunk)) STRICT, WITHOUT ROWID;
CREATE INDEX chunk_users ON tree_chunks(chunk);
CREATE TABLE artifacts(
  id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, job INTEGER NOT NULL, attempt INTEGER NOT NULL,
  kind TEXT NOT NULL, name TEXT NOT NULL, tree INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER) STRICT;
CREATE INDEX artifacts_of_run ON artifacts(run);
CREATE INDEX artifacts_by_expiry ON artifacts(expires) WHERE expires IS NOT NULL;
CREATE INDEX artifacts_of_tree ON artifacts(tree);

-- What is known of files on this host, by what stat says of them: an unchanged one is not read again.
CREATE TABLE known_files(
  dev INTEGER NOT NULL, ino INTEGER NOT NULL, stamp BLOB NOT NULL, digests BLOB NOT NULL, seen INTEGER NOT NULL,
  PRIMARY KEY(dev, ino)) STRICT, WITHOUT ROWID;
CREATE TABLE known_trees(stamp BLOB PRIMARY KEY, tree INTEGER NOT NULL, seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql",
    // resource groups
    R"sql(
CREATE TABLE resources(
  project TEXT NOT NULL, name TEXT NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  state INTEGER NOT NULL,                -- 0 the job is yet to come, 1 it waits, 2 it has it
  process INTEGER NOT NULL,              -- who drives it
  PRIMARY KEY(project, name, run, job)) STRICT, WITHOUT ROWID;
CREATE INDEX resources_of_run ON resources(run);
)sql",
    // caches, releases and coverage
    R"sql(
ALTER TABLE jobs ADD COLUMN coverage REAL;
CREATE TABLE caches(
  id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, key TEXT NOT NULL, tree INTEGER NOT NULL,
  saved INTEGER NOT NULL, used INTEGER NOT NULL, UNIQUE(project, key)) STRICT;
CREATE INDEX caches_of_tree ON caches(tree);
CREATE TABLE releases(
  project TEXT NOT NULL, tag TEXT NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL, attempt INTEGER NOT NULL,
  time INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY(project, tag)) STRICT, WITHOUT ROWID;
)sql",
    // child pipelines
    R"sql(
ALTER TABLE runs ADD COLUMN parent INTEGER;
ALTER TABLE runs ADD COLUMN parent_job INTEGER;
CREATE INDEX child_runs ON runs(parent) WHERE parent IS NOT NULL;
)sql",
    // retries of runs
    R"sql(
ALTER TABLE runs ADD COLUMN retry_of INTEGER;
ALTER TABLE jobs ADD COLUMN reused_run INTEGER;  -- it did not run: this run's job has its log
ALTER TABLE jobs ADD COLUMN reused_job INTEGER;
ALTER TABLE jobs ADD COLUMN artifacts INTEGER;   -- how many were kept when it ended; null: not known
)sql",
    // built-in steps: what they were about to do, and what came of it
    R"sql(
CREATE TABLE journal(
  run INTEGER NOT NULL, job INTEGER NOT NULL, attempt INTEGER NOT NULL, name TEXT NOT NULL,
  intent TEXT NOT NULL, intended INTEGER NOT NULL, answer TEXT,
  PRIMARY KEY(run, job, attempt, name)) STRICT, WITHOUT ROWID;
)sql",
    // what jobs wait for, and what people said to it
    R"sql(
CREATE TABLE questions(
  run INTEGER NOT NULL, job INTEGER NOT NULL,
  subject TEXT NOT NULL,                 -- what exactly is approved; empty: that the job starts
  text TEXT NOT NULL, asked INTEGER NOT NULL, PRIMARY KEY(run, job)) STRICT, WITHOUT ROWID;
CREATE TABLE approvals(
  id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, job INTEGER NOT NULL, subject TEXT NOT NULL,
  decision INTEGER NOT NULL,             -- Approval::Decision
  who TEXT NOT NULL, comment TEXT NOT NULL, time INTEGER NOT NULL) STRICT;
CREATE INDEX approvals_of_job ON approvals(run, job, id);
CREATE INDEX waiting_runs ON runs(id) WHERE outcome = 4;
)sql",
    // the trail of deployments; it outlives the runs
    R"sql(
ALTER TABLE runs ADD COLUMN project TEXT NOT NULL DEFAULT '';  -- whose environments these are
ALTER TABLE runs ADD COLUMN rollback_of INTEGER;               -- the deployment that is made again
CREATE TABLE deployments(
  id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, environment TEXT NOT NULL, tier TEXT NOT NULL,
  url TEXT NOT NULL, target TEXT NOT NULL, what TEXT NOT NULL, previous TEXT NOT NULL, ref TEXT NOT NULL,
  sha TEXT NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL, attempt INTEGER NOT NULL, job_name TEXT NOT NULL,
  approved_by TEXT NOT NULL DEFAULT '', approved INTEGER, comment TEXT NOT NULL DEFAULT '',
  started INTEGER NOT NULL, finished INTEGER, state INTEGER NOT NULL,  -- DeploymentRow::State
  message TEXT NOT NULL DEFAULT '', rollback_of INTEGER,
  stopped INTEGER,                       -- when its environment was
  UNIQUE(run, job, attempt, target)) STRICT;
CREATE INDEX deployments_of_environment ON deployments(project, environment, id);
)sql",
};

std::string random_hex(std::size_t digits) {
  std::random_device source;
  std::string text;
  while (text.size() < digits) {
    text += fmt::format("{:08x}", source());
  }
  return text.substr(0, digits);
}

}  // namespace

int schema_version() { return static_cast<int>(std::size(steps)); }

void migrate(Connection& c, const std::filesystem::path& file) {
  const auto pragma = [&](const char* sql) {
    Query query(c, sql);
    query.step();
    return query.integer(0);
  };
  const std::int64_t version = pragma("PRAGMA user_version");
  const std::int64_t application = pragma("PRAGMA application_id");
  if (version > schema_version()) {
    throw StoreError(StoreFault::newer,
                     fmt::format("{} has schema {}, this version of runner knows {}: it was written by a newer version",
                                 file.string(), version, schema_version()),
                     "use the newer version, or another database with --database; nothing was changed");
  }
  if (application != application_id && (version != 0 || pragma("SELECT count(*) FROM sqlite_schema") != 0)) {
    throw StoreError(StoreFault::corrupt, fmt::format("{} is a database of another program", file.string()),
                     "name another file with --database or RUNNER_DATABASE");
  }
  for (std::int64_t step = version; step < schema_version(); ++step) {
    c.run(steps[step]);
  }
  c.run(fmt::format("PRAGMA application_id = {}", application_id).c_str());
  c.run(fmt::format("PRAGMA user_version = {}", schema_version()).c_str());
  Query(c, "INSERT OR IGNORE INTO meta(key, value) VALUES('owner', ?)", random_hex(32)).run();
}

}  // namespace runner::db
