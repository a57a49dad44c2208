// What may go: expired artifacts, old runs, pieces without a user, what dead processes left. In slices, so that a
// writer of logs never waits for more than one of them.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "runner/store/chunks.h"
#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;
using db::Urgency;

namespace {

constexpr std::size_t slice = 500;  // rows of a transaction: some 20 ms with large blobs
constexpr std::int64_t stray_seconds = 24 * 3600;
constexpr UnixMs forget_after = 30LL * 24 * 3600 * 1000;  // what stat said of files not seen since

std::vector<std::int64_t> ids(db::Database& database, const char* sql, auto... values) {
  return database.read("look for what may go", [&](Connection& c) {
    std::vector<std::int64_t> found;
    Query query(c, sql, values...);
    while (query.step()) {
      found.push_back(query.integer(0));
    }
    return found;
  });
}

// Runs a DELETE with a LIMIT until it finds nothing.
void delete_all(db::Database& database, const char* sql, auto... values) {
  while (database.write(
             "remove old records",
             [&](Connection& c) {
               Query(c, sql, values..., slice).run();
               return c.changes();
             },
             Urgency::result) >= static_cast<int>(slice)) {
  }
}

// Returns the bytes its logs took.
std::uint64_t remove_run(db::Database& database, std::int64_t run) {
  const auto bytes = ids(database,
                         "SELECT ifnull(sum(length(data)), 0) FROM attempts a JOIN logs l ON l.attempt = a.id "
                         "WHERE a.run = ?",
                         run);
  delete_all(database,
             "DELETE FROM logs WHERE id IN (SELECT l.id FROM attempts a JOIN logs l ON l.attempt = a.id "
             "WHERE a.run = ? LIMIT ?)",
             run);
  delete_all(database, "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE run = ? LIMIT ?)", run);
  delete_all(database, "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE run = ? LIMIT ?)", run);
  delete_all(database,
             "DELETE FROM jobs WHERE run = ?1 AND job IN (SELECT job FROM jobs WHERE run = ?1 ORDER BY job LIMIT ?2)",
             run);
  database.write(
      "remove an old run",
      [&](Connection& c) {
        Query(c, "DELETE FROM artifacts WHERE run = ?", run).run();
        Query(c, "DELETE FROM run_texts WHERE run = ?", run).run();
        Query(c, "DELETE FROM leases WHERE run = ?", run).run();
        Query(c, "DELETE FROM journal WHERE run = ?", run).run();
        Query(c, "DELETE FROM questions WHERE run = ?", run).run();
        Query(c, "DELETE FROM approvals WHERE run = ?", run).run();
        Query(c, "DELETE FROM runs WHERE id = ?", run).run();
      },
      Urgency::result);
  return bytes.empty() ? 0 : static_cast<std::uint64_t>(bytes.front());
}

}  // namespace

GcResult Store::Impl::remove_tree(std::int64_t tree) {
  // First nobody can come to use it any more; should this process die on the way, gc finds a tree without a maker.
  const bool unused = database.write(
      "remove an artifact",
      [&](Connection& c) {
        Query(c,
              "UPDATE trees SET digest = NULL, process = 0 "
              "WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM artifacts WHERE tree = ?1) "
              "AND NOT EXISTS(SELECT 1 FROM caches WHERE tree = ?1)",
              tree)
            .run();
        const bool changed = c.changes() > 0;
        Query(c, "DELETE FROM known_trees WHERE tree = ? AND ?", tree, changed).run();
        return changed;
      },
      Urgency::result);
  GcResult result;
  const ChunkFiles files(chunk_directory());
  struct Slice {
    std::size_t pieces = 0;
    std::uint64_t chunks = 0, bytes = 0;
    std::vector<std::string> names;
  };
  for (bool more = unused; more;) {
    const Slice removed = database.write(
        "remove an artifact",
        [&](Connection& c) {
          Slice part;
          std::vector<std::int64_t> chunks;
          {
            Query query(c, "SELECT chunk FROM tree_chunks WHERE tree = ? LIMIT ?", tree, slice);
            while (query.step()) {
              chunks.push_back(query.integer(0));
            }
          }
          part.pieces = chunks.size();
          for (const std::int64_t chunk : chunks) {
            Query(c, "DELETE FROM tree_chunks WHERE tree = ? AND chunk = ?", tree, chunk).run();
            Query dead(c,
                       "DELETE FROM chunks WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM tree_chunks WHERE chunk = ?1) "
                       "RETURNING stored, ifnull(name, '')",
                       chunk);
            if (dead.step()) {
              ++part.chunks;
              part.bytes += dead.count(0);
              part.names.push_back(dead.text(1));
            }
          }
          if (chunks.size() < slice) {
            Query(c, "DELETE FROM trees WHERE id = ?", tree).run();
          }
          return part;
        },
        Urgency::result);
    for (const std::string& name : removed.names) {
      files.remove(name);
    }
    result.chunks += removed.chunks;
    result.bytes += removed.bytes;
    more = removed.pieces >= slice;
  }
  return result;
}

// Trees without a user: those of artifacts and caches that went, and those whose maker died or gave up.
std::vector<std::int64_t> Store::Impl::unused_trees() {
  return database.read("look for what may go", [&](Connection& c) {
    std::vector<std::pair<std::int64_t, std::int64_t>> candidates;  // tree, maker (0: complete)
    {
      Query query(c,
                  "SELECT id, CASE WHEN digest IS NULL THEN process ELSE 0 END FROM trees t "
                  "WHERE NOT EXISTS(SELECT 1 FROM artifacts WHERE tree = t.id) "
                  "AND NOT EXISTS(SELECT 1 FROM caches WHERE tree = t.id)");
      while (query.step()) {
        candidates.emplace_back(query.integer(0), query.integer(1));
      }
    }
    const std::scoped_lock lock(trees_mutex);  // after the look at the table: a tree is in both or in neither
    std::vector<std::int64_t> unused;
    for (const auto& [tree, maker] : candidates) {
      if (!trees_in_the_making.contains(tree) &&
          (maker == 0 || maker == processes.registered() || !processes.alive(c, maker))) {
        unused.push_back(tree);
      }
    }
    return unused;
  });
}

namespace {

void forget_the_dead(db::Database& database, Processes& processes) {
  database.write(
      "remove old records",
      [&](Connection& c) {
        std::vector<std::int64_t> dead;
        {
          Query query(c,
                      "SELECT id FROM processes WHERE id NOT IN (SELECT process FROM leases) "
                      "AND id NOT IN (SELECT process FROM trees WHERE digest IS NULL)");
          while (query.step()) {
            dead.push_back(query.integer(0));
          }
        }
        for (const std::int64_t process : dead) {
          if (!processes.alive(c, process)) {
            Query(c, "DELETE FROM processes WHERE id = ?", process).run();
          }
        }
      },
      Urgency::result);
}

// Gives free pages back to the disk, some at a time, and empties the WAL when nobody reads.
void shrink(db::Database& database) {
  for (;;) {
    std::int64_t before = 0, after = 0;
    database.outside_transaction("give space back", [&](Connection& c) {
      const auto free_pages = [&] {
        Query query(c, "PRAGMA freelist_count");
        query.step();
        return query.integer(0);
      };
      before = free_pages();
      c.handle().tryExec("PRAGMA incremental_vacuum(1000)");
      after = free_pages();
    });
    if (after == 0 || after >= before) {
      break;
    }
  }
  database.outside_transaction("give space back",
                               [](Connection& c) { c.handle().tryExec("PRAGMA wal_checkpoint(TRUNCATE)"); });
}

// Caches that were not used for too long, and of what is left the ones not used for longest, down to the limit. What
// was used last stays, however large.
std::vector<std::int64_t> spare_caches(db::Database& database, const GcOptions& options) {
  return database.read("look for what may go", [&](Connection& c) {
    std::vector<std::int64_t> spare;
    std::uint64_t kept = 0;
    std::set<std::int64_t> counted;  // a tree that several keys mean takes its room once
    Query query(c,
                "SELECT c.id, c.used, c.tree, t.bytes FROM caches c JOIN trees t ON t.id = c.tree "
                "ORDER BY c.used DESC, c.id DESC");
    while (query.step()) {
      const std::uint64_t bytes = counted.contains(query.integer(2)) ? 0 : query.count(3);
      const bool old = options.keep_caches && query.integer(1) < options.now - *options.keep_caches;
      const bool much = options.caches_limit && !counted.empty() && kept + bytes > *options.caches_limit;
      if (old || much) {
        spare.push_back(query.integer(0));
      } else {
        kept += bytes;
        counted.insert(query.integer(2));
      }
    }
    return spare;
  });
}

}  // namespace

GcResult Store::prune_caches(const GcOptions& options) {
  GcResult result;
  for (const std::int64_t cache : spare_caches(impl_->database, options)) {
    impl_->database.write(
        "remove a cache", [&](Connection& c) { Query(c, "DELETE FROM caches WHERE id = ?", cache).run(); },
        Urgency::result);
    ++result.caches;
  }
  for (const std::int64_t tree : impl_->unused_trees()) {
    const GcResult removed = impl_->remove_tree(tree);
    result.chunks += removed.chunks;
    result.bytes += removed.bytes;
  }
  return result;
}

GcResult Store::gc(const GcOptions& options) {
  GcResult result;
  db::Database& database = impl_->database;

  std::vector<std::int64_t> old_runs;
  if (options.keep_runs || options.keep_for) {
    old_runs = ids(database,
                   "SELECT id FROM runs WHERE outcome IS NOT NULL AND finished < ? "
                   "AND id NOT IN (SELECT id FROM runs ORDER BY id DESC LIMIT ?) ORDER BY id",
                   options.keep_for ? options.now - *options.keep_for : INT64_MAX, options.keep_runs.value_or(0));
  }
  const std::vector<std::int64_t> expired =
      ids(database,
          "SELECT a.id FROM artifacts a JOIN runs r ON r.id = a.run WHERE a.expires <= ? AND r.outcome IS NOT NULL",
          options.now);
  result.artifacts = expired.size();
  result.runs = old_runs.size();
  result.caches = spare_caches(database, options).size();
  if (options.dry_run) {
    return result;
  }

  for (const std::int64_t artifact : expired) {
    database.write(
        "remove an artifact", [&](Connection& c) { Query(c, "DELETE FROM artifacts WHERE id = ?", artifact).run(); },
        Urgency::result);
  }
  for (const std::int64_t run : old_runs) {
    result.bytes += remove_run(database, run);
  }
  const GcResult caches = prune_caches(options);
  result.chunks += caches.chunks;
  result.bytes += caches.bytes;
  delete_all(database,
             "DELETE FROM known_files WHERE (dev, ino) IN (SELECT dev, ino FROM known_files WHERE seen < ? LIMIT ?)",
             options.now - forget_after);
  delete_all(database, "DELETE FROM known_trees WHERE stamp IN (SELECT stamp FROM known_trees WHERE seen < ? LIMIT ?)",
             options.now - forget_after);
  forget_the_dead(database, impl_->processes);

  const ChunkFiles files(impl_->chunk_directory());
  files.remove_strays(database, stray_seconds);
  const auto newest = ids(database, "SELECT ifnull(max(id), 0) FROM chunks");
  files.sync();  // from now on these pieces need no second look after a power failure
  database.write(
      "remember what is on the disk",
      [&](Connection& c) {
        Query(c, "UPDATE chunks SET synced = 1 WHERE NOT synced AND boot = ? AND id <= ?", Processes::boot(),
              newest.empty() ? 0 : newest.front())
            .run();
      },
      Urgency::result);
  shrink(database);
  database.restore_ballast();
  return result;
}

}  // namespace runner
