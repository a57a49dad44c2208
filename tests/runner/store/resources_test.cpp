// Resource groups: who gets one, in each process mode, and what becomes of it when a process dies.
#include <gtest/gtest.h>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language

class Resources : public ::testing::Test {
 protected:
  RunId begin(Store& by) { return by.create_run(new_run(2)); }
  bool acquire(Store& by, RunId run, std::uint32_t job = 1, ProcessMode mode = ProcessMode::unordered) {
    return by.acquire_resource(group, mode, run, job).ours;
  }

  TemporaryDirectory dir;
  fs::path file = dir / "runner.db";
  Store store{file}, other{file};  // as two processes
  const ResourceGroup group{"group/name", "production"};
};

TEST_F(Resources, OneAtATimeAcrossProcesses) {
  const RunId first = begin(store);
  const RunId second = begin(other);
  EXPECT_TRUE(acquire(store, first));
  EXPECT_TRUE(acquire(store, first)) << "it stays ours";
  const ResourceAnswer answer = other.acquire_resource(group, ProcessMode::unordered, second, 2);
  EXPECT_FALSE(answer.ours);
  EXPECT_TRUE(answer.holds);
  EXPECT_FALSE(answer.orphaned);
  EXPECT_EQ(answer.run, first);
  EXPECT_EQ(answer.job_name, "job 1");
  store.release_resource(first, 1);
  EXPECT_TRUE(acquire(other, second, 2));
}

TEST_F(Resources, OtherGroupsAndOtherProjectsAreOthers) {
  const RunId run = begin(store);
  EXPECT_TRUE(acquire(store, run));
  EXPECT_TRUE(other.acquire_resource({"group/name", "staging"}, ProcessMode::unordered, run, 2).ours);
  EXPECT_TRUE(other.acquire_resource({"group/other", "production"}, ProcessMode::unordered, run, 2).ours);
}

TEST_F(Resources, TheEndOfARunLetsGoOfAll) {
  const RunId first = begin(store);
  const RunId second = begin(other);
  EXPECT_TRUE(acquire(store, first));
  store.finish_run(first, pipelines::Verdict::failed, 5);
  EXPECT_TRUE(acquire(other, second));
}

TEST_F(Resources, OldestFirstWaitsForJobsThatAreYetToCome) {
  const RunId old = begin(store);
  const RunId young = begin(other);
  store.expect_resource(group, old, 2);
  EXPECT_FALSE(acquire(other, young, 1, ProcessMode::oldest_first));
  EXPECT_TRUE(acquire(store, old, 2, ProcessMode::oldest_first));
  store.release_resource(old, 2);
  EXPECT_TRUE(acquire(other, young, 1, ProcessMode::oldest_first));
}

TEST_F(Resources, NewestFirstWaitsForTheNewestPipeline) {
  const RunId old = begin(store);
  const RunId young = begin(other);
  other.expect_resource(group, young, 1);
  EXPECT_FALSE(acquire(store, old, 1, ProcessMode::newest_first));
  EXPECT_TRUE(acquire(other, young, 1, ProcessMode::newest_first));
}

TEST_F(Resources, NewestReadyFirstDoesNotWaitForWhatIsYetToCome) {
  const RunId old = begin(store);
  const RunId middle = begin(store);
  const RunId young = begin(other);
  other.expect_resource(group, young, 1);
  EXPECT_TRUE(acquire(store, old, 1, ProcessMode::newest_ready_first));
  EXPECT_FALSE(acquire(store, middle, 1, ProcessMode::newest_ready_first));
  EXPECT_FALSE(acquire(other, young, 1, ProcessMode::newest_ready_first));
  store.release_resource(old, 1);
  EXPECT_FALSE(acquire(store, middle, 1, ProcessMode::newest_ready_first));
  EXPECT_TRUE(acquire(other, young, 1, ProcessMode::newest_ready_first));
}

TEST_F(Resources, ADeadProcessHoldsNothing) {
  Child child([&](const auto& tell) {
    Store theirs(file);
    theirs.acquire_resource(group, ProcessMode::unordered, theirs.create_run(new_run()), 1);
    tell();
    ::pause();
  });
  ASSERT_TRUE(child.told());
  const RunId run = begin(store);
  EXPECT_FALSE(acquire(store, run));
  child.kill();
  EXPECT_TRUE(acquire(store, run));
}

TEST_F(Resources, AJobThatRunsOnWithoutItsRunnerKeepsIt) {
  RunId theirs = 0;
  {
    Child child([&](const auto& tell) {
      Store killed(file);
      const RunId id = killed.create_run(new_run());
      killed.acquire_resource(group, ProcessMode::unordered, id, 1);
      killed.begin_attempt({id, 1, 1});
      killed.attempt_started({id, 1, 1}, 5);
      tell();
      ::pause();
    });
    ASSERT_TRUE(child.told());
    theirs = *store.newest_run();
  }
  const RunId run = begin(store);
  const ResourceAnswer answer = store.acquire_resource(group, ProcessMode::unordered, run, 1);
  EXPECT_FALSE(answer.ours);
  EXPECT_TRUE(answer.orphaned);
  ASSERT_TRUE(other.adopt_run(theirs));
  EXPECT_TRUE(acquire(other, theirs)) << "who resumes the run has it again";
  EXPECT_FALSE(store.acquire_resource(group, ProcessMode::unordered, run, 1).orphaned);
  other.release_resource(theirs, 1);
  EXPECT_TRUE(acquire(store, run));
}

}  // namespace
}  // namespace runner
