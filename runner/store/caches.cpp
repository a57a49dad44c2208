// Caches and releases: what outlives runs, by a project's name for it. A cache's content is a tree like an artifact's.
#include <fmt/format.h>

#include <utility>

#include "runner/store/chunks.h"
#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

namespace {

void point(Connection& c, std::string_view project, std::string_view key, std::int64_t tree) {
  const UnixMs now = unix_now();
  Query(c,
        "INSERT INTO caches(project, key, tree, saved, used) VALUES(?1, ?2, ?3, ?4, ?4) "
        "ON CONFLICT(project, key) DO UPDATE SET tree = ?3, saved = ?4, used = ?4",
        project, key, tree, now)
      .run();
}

// What is in a tree; absent when it is not (any more) complete.
std::optional<SavedCache> look_at(Connection& c, std::int64_t tree) {
  Query query(c, "SELECT files, bytes FROM trees WHERE id = ? AND digest IS NOT NULL", tree);
  if (!query.step()) {
    return std::nullopt;
  }
  SavedCache saved;
  saved.tree = static_cast<std::uint64_t>(tree);
  saved.files = query.count(0);
  saved.bytes = query.count(1);
  return saved;
}

constexpr const char* columns = "c.project, c.key, c.tree, t.files, t.bytes, c.saved, c.used";

CacheRow row_of(const Query& query) {
  CacheRow row;
  row.project = query.text(0);
  row.key = query.text(1);
  row.tree = query.count(2);
  row.files = query.count(3);
  row.bytes = query.count(4);
  row.saved = query.integer(5);
  row.used = query.integer(6);
  return row;
}

}  // namespace

SavedCache Store::save_cache(std::string_view project, std::string_view key, const std::filesystem::path& directory,
                             const std::stop_token& stop) {
  SavedCache saved;
  impl_->keep_tree(directory, stop, [&](Connection& c, std::int64_t tree, bool stored) {
    point(c, project, key, tree);
    saved = look_at(c, tree).value_or(SavedCache{});
    saved.stored = stored;
    return ArtifactId{0};
  });
  return saved;
}

std::optional<SavedCache> Store::save_cache(std::string_view project, std::string_view key, std::uint64_t tree) {
  return impl_->database.write("save a cache", [&](Connection& c) {
    const std::optional<SavedCache> found = look_at(c, static_cast<std::int64_t>(tree));
    if (found) {
      point(c, project, key, static_cast<std::int64_t>(tree));
    }
    return found;
  });
}

std::optional<CacheRow> Store::use_cache(std::string_view project, std::string_view key) {
  static const std::string sql =
      fmt::format("SELECT {} FROM caches c JOIN trees t ON t.id = c.tree WHERE c.project = ? AND c.key = ?", columns);
  return impl_->database.write("look for a cache", [&](Connection& c) -> std::optional<CacheRow> {
    Query(c, "UPDATE caches SET used = ? WHERE project = ? AND key = ?", unix_now(), project, key).run();
    Query query(c, sql.c_str(), project, key);
    return query.step() ? std::optional(row_of(query)) : std::nullopt;
  });
}

std::vector<CacheRow> Store::list_caches(std::optional<std::string> project) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM caches c JOIN trees t ON t.id = c.tree WHERE ?1 = '' OR c.project = ?1 "
      "ORDER BY c.used DESC, c.id DESC",
      columns);
  return impl_->database.read("list the caches", [&](Connection& c) {
    std::vector<CacheRow> rows;
    Query query(c, sql.c_str(), project.value_or(""));
    while (query.step()) {
      rows.push_back(row_of(query));
    }
    return rows;
  });
}

std::uint64_t Store::clear_caches(std::string_view project, std::optional<std::string> key) {
  return impl_->database.write(
      "remove caches",
      [&](Connection& c) {
        Query(c, "DELETE FROM caches WHERE project = ? AND (? OR key = ?)", project, !key, key.value_or("")).run();
        return static_cast<std::uint64_t>(c.changes());
      },
      db::Urgency::result);
}

void Store::add_release(const ReleaseRow& release) {
  impl_->database.write(
      "record a release",
      [&](Connection& c) {
        Query(
            c,
            "INSERT OR REPLACE INTO releases(project, tag, run, job, attempt, time, json) VALUES(?, ?, ?, ?, ?, ?, ?)",
            release.project, release.tag, release.key.run, release.key.job, release.key.attempt, release.time,
            release.json)
            .run();
      },
      db::Urgency::result);
}

std::optional<ReleaseRow> Store::find_release(std::string_view project, std::string_view tag) const {
  return impl_->database.read("look for a release", [&](Connection& c) -> std::optional<ReleaseRow> {
    Query query(c, "SELECT run, job, attempt, time, json FROM releases WHERE project = ? AND tag = ?", project, tag);
    if (!query.step()) {
      return std::nullopt;
    }
    ReleaseRow release{std::string(project), std::string(tag), {}, query.integer(3), query.text(4)};
    release.key = {query.count(0), static_cast<std::uint32_t>(query.integer(1)),
                   static_cast<std::uint32_t>(query.integer(2))};
    return release;
  });
}

}  // namespace runner
