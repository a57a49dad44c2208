#include "runner/run/rollback.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

namespace runner {
namespace {

using State = DeploymentRow::State;

RollbackTarget refused(std::string why) {
  RollbackTarget target;
  target.refused = std::move(why);
  return target;
}

// What a rollback, or a rollback of one, went back to in the end.
const DeploymentRow& origin_of(const std::vector<DeploymentRow>& rows, const DeploymentRow& row) {
  const DeploymentRow* at = &row;
  while (at->rollback_of != 0) {
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&](const DeploymentRow& each) { return each.id == at->rollback_of; });
    if (found == rows.end() || found->id >= at->id) break;
    at = &*found;
  }
  return *at;
}

// Whether it changed what is there, as far as anybody knows.
bool left_something(const DeploymentRow& row) {
  return row.state == State::succeeded || row.state == State::failed || row.state == State::cancelled ||
         row.state == State::interrupted;
}

// `rows`: of one environment, newest first.
const DeploymentRow* previous_good(const std::vector<DeploymentRow>& rows) {
  const auto newest = std::find_if(rows.begin(), rows.end(), left_something);
  if (newest == rows.end()) return nullptr;
  const bool is_good = newest->state == State::succeeded;
  const DeploymentRow& there = is_good ? origin_of(rows, *newest) : *newest;
  for (const DeploymentRow& row : rows) {
    const bool earlier = row.id < there.id && row.key.run != there.key.run;
    // A rollback is no deployment of its own to go back to: what it went back to is.
    if (earlier && row.state == State::succeeded) return &origin_of(rows, row);
  }
  return nullptr;
}

RollbackTarget with_jobs(const std::vector<DeploymentRow>& rows, const DeploymentRow& chosen) {
  RollbackTarget target;
  target.deployment = chosen;
  for (const DeploymentRow& row : rows) {
    const bool same = row.key.run == chosen.key.run && row.state == State::succeeded;
    const bool known = std::find(target.jobs.begin(), target.jobs.end(), row.key.job) != target.jobs.end();
    if (same && !known) target.jobs.push_back(row.key.job);
  }
  std::sort(target.jobs.begin(), target.jobs.end());
  return target;
}

}  // namespace

RollbackTarget find_rollback(const Store& store, const std::string& project, const std::string& environment,
                             std::uint64_t to) {
  DeploymentFilter filter;
  filter.project = project;
  filter.environment = environment;
  const std::vector<DeploymentRow> rows = store.deployments(filter);
  const std::string list = fmt::format("\nhint: `runner deployments {}` lists them", environment);
  if (rows.empty()) {
    return refused(fmt::format("nothing of this project was deployed to {} yet\nhint: `runner deployments` lists all",
                               environment));
  }
  const DeploymentRow* chosen = nullptr;
  if (to == 0) {
    chosen = previous_good(rows);
    if (chosen == nullptr) {
      return refused(fmt::format("there is no earlier good deployment of {} to go back to{}", environment, list));
    }
  } else {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const DeploymentRow& row) { return row.id == to; });
    if (found == rows.end()) return refused(fmt::format("{} has no deployment {}{}", environment, to, list));
    if (found->state != State::succeeded) {
      return refused(
          fmt::format("deployment {} of {} is no good one to go back to: it {}{}", to, environment,
                      found->state == State::failed ? "failed" : fmt::format("is {}", to_string(found->state)), list));
    }
    chosen = &origin_of(rows, *found);
  }
  if (chosen->run_is_gone) {
    return refused(fmt::format("deployment {} of {} cannot be made again: its run {} was removed by `runner gc`{}",
                               chosen->id, environment, chosen->key.run, list));
  }
  return with_jobs(rows, *chosen);
}

}  // namespace runner
