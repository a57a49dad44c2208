// Resource groups: mutexes across pipelines, and across the processes that share the database.
#include <algorithm>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

namespace {

enum class Want : std::int64_t { expected = 0, waiting = 1, held = 2 };  // stored

struct Wanted {
  RunId run = 0;
  std::uint32_t job = 0;
  Want state = Want::expected;
  std::int64_t process = 0;
};

std::vector<Wanted> read_wanted(Connection& c, const ResourceGroup& group) {
  std::vector<Wanted> rows;
  Query query(c,
              "SELECT run, job, state, process FROM resources WHERE project = ? AND name = ? "
              "ORDER BY run, job",
              group.project, group.name);
  while (query.step()) {
    rows.push_back({query.count(0), static_cast<std::uint32_t>(query.integer(1)), static_cast<Want>(query.integer(2)),
                    query.integer(3)});
  }
  return rows;
}

void forget(Connection& c, RunId run, std::uint32_t job) {
  Query(c, "DELETE FROM resources WHERE run = ? AND job = ?", run, job).run();
}

// A job that runs on while its runner is dead still has what it holds, until the run is resumed or cleaned away.
bool runs_on(Connection& c, const Wanted& holder) {
  Query query(c,
              "SELECT 1 FROM runs r JOIN jobs j ON j.run = r.id WHERE r.id = ? AND r.outcome IS NULL AND j.job = ? "
              "AND j.state = ?",
              holder.run, holder.job, JobState::running);
  return query.step();
}

// Whether `a` comes before `b` (GitLab's app/models/ci/resource_group.rb, upcoming_processables): by the pipeline's
// age, within a pipeline first who waits already.
bool precedes(const Wanted& a, const Wanted& b, ProcessMode mode) {
  if (a.run != b.run) return mode == ProcessMode::oldest_first ? a.run < b.run : a.run > b.run;
  return a.state != b.state ? a.state > b.state : a.job < b.job;
}

// Who is to have it next; null: whoever asks.
const Wanted* choose(const std::vector<Wanted>& rows, ProcessMode mode) {
  const Wanted* chosen = nullptr;
  if (mode == ProcessMode::unordered) return chosen;
  for (const Wanted& row : rows) {
    const bool ready_ones = mode == ProcessMode::newest_ready_first || mode == ProcessMode::newest_wins;
    if (ready_ones && row.state != Want::waiting) continue;
    if (chosen == nullptr || precedes(row, *chosen, mode)) chosen = &row;
  }
  return chosen;
}

ResourceAnswer answer_of(Connection& c, const Wanted& holder, bool orphaned) {
  ResourceAnswer answer;
  answer.run = holder.run;
  answer.job = holder.job;
  answer.holds = holder.state == Want::held;
  answer.orphaned = orphaned;
  Query name(c, "SELECT name FROM jobs WHERE run = ? AND job = ?", holder.run, holder.job);
  if (name.step()) {
    answer.job_name = name.text(0);
  }
  return answer;
}

}  // namespace

void Store::expect_resource(const ResourceGroup& group, RunId run, std::uint32_t job) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  impl_->database.write("queue for a resource group", [&](Connection& c) {
    Query(c,
          "INSERT INTO resources(project, name, run, job, state, process) VALUES(?, ?, ?, ?, 0, ?) "
          "ON CONFLICT DO UPDATE SET process = excluded.process",
          group.project, group.name, run, job, self)
        .run();
  });
}

ResourceAnswer Store::acquire_resource(const ResourceGroup& group, ProcessMode mode, RunId run, std::uint32_t job) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  return impl_->database.write("ask for a resource group", [&](Connection& c) {
    Query(c,
          "INSERT INTO resources(project, name, run, job, state, process) VALUES(?, ?, ?, ?, 1, ?) "
          "ON CONFLICT DO UPDATE SET state = max(state, 1), process = excluded.process",
          group.project, group.name, run, job, self)
        .run();
    std::vector<Wanted> alive;
    for (const Wanted& row : read_wanted(c, group)) {
      if (impl_->processes.alive(c, row.process)) {  // our own row among them
        alive.push_back(row);
      } else if (row.state == Want::held && runs_on(c, row)) {
        return answer_of(c, row, true);
      } else {
        forget(c, row.run, row.job);
      }
    }
    const auto ours = [&] {
      ResourceAnswer answer;
      answer.ours = answer.holds = true;
      answer.run = run;
      answer.job = job;
      return answer;
    };
    const auto held = std::ranges::find(alive, Want::held, &Wanted::state);
    if (held != alive.end() && held->run == run && held->job == job) return ours();
    if (mode == ProcessMode::newest_wins) {
      const auto newer =
          std::ranges::find_if(alive, [&](const Wanted& row) { return row.run > run && row.state != Want::expected; });
      if (newer != alive.end()) {
        ResourceAnswer answer = answer_of(c, *newer, false);
        answer.superseded = true;
        forget(c, run, job);
        return answer;
      }
    }
    if (held != alive.end()) return answer_of(c, *held, false);
    const Wanted* chosen = choose(alive, mode);
    if (chosen != nullptr && (chosen->run != run || chosen->job != job)) {
      return answer_of(c, *chosen, false);
    }
    Query(c, "UPDATE resources SET state = 2 WHERE project = ? AND name = ? AND run = ? AND job = ?", group.project,
          group.name, run, job)
        .run();
    return ours();
  });
}

void Store::release_resource(RunId run, std::uint32_t job) {
  impl_->database.write(
      "let go of a resource group", [&](Connection& c) { forget(c, run, job); }, db::Urgency::result);
}

}  // namespace runner
