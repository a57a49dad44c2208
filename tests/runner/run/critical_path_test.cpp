#include "runner/run/critical_path.h"

#include <gtest/gtest.h>

#include "pipelines/parse.h"

namespace runner {
namespace {

class CriticalPath : public testing::Test {
 protected:
  // The names in the chain; `times`: begin and end of each job, in the file's order, in seconds.
  std::string of(const std::string& yaml, const std::vector<std::pair<int, int>>& times) {
    const pipelines::Parsed parsed = pipelines::parse(yaml, "pipeline.yml");
    EXPECT_FALSE(pipelines::has_errors(parsed.diagnostics));
    const pipelines::Plan plan = pipelines::make_plan(parsed.pipeline, {}, {});
    Spans spans;
    for (std::size_t i = 0; i < times.size(); ++i) {
      const JobKey key{static_cast<pipelines::JobIndex>(i), 1};
      spans.on(JobStarted{key, Clock::time_point(std::chrono::seconds(times[i].first)), {}});
      JobFinished end;
      end.key = key;
      end.time = Clock::time_point(std::chrono::seconds(times[i].second));
      spans.on(end);
    }
    std::string names;
    for (const auto job : critical_path(plan, spans.all())) {
      names += (names.empty() ? "" : " ") + parsed.pipeline.jobs[job].name;
    }
    return names;
  }
};

TEST_F(CriticalPath, GoesBackOverNeeds) {
  const std::string yaml =
      "a: {script: x}\nb: {script: x, needs: [a]}\nc: {script: x, needs: [b, slow]}\nslow: {script: x}\n";
  EXPECT_EQ(of(yaml, {{0, 1}, {1, 2}, {6, 7}, {0, 6}}), "slow c");
  EXPECT_EQ(of(yaml, {{0, 4}, {4, 9}, {9, 10}, {0, 6}}), "a b c");
}

TEST_F(CriticalPath, GoesBackOverStages) {
  EXPECT_EQ(
      of("stages: [one, two]\na: {stage: one, script: x}\nb: {stage: one, script: x}\nc: {stage: two, script: x}\n",
         {{0, 5}, {0, 3}, {5, 6}}),
      "a c");
}

TEST_F(CriticalPath, OfNothingIsEmpty) { EXPECT_EQ(of("a: {script: x}\n", {}), ""); }

}  // namespace
}  // namespace runner
