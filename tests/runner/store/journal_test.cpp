// The journal of built-in steps: what survives, and which attempts share one.
#include <gtest/gtest.h>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language

class StepJournal : public ::testing::Test {
 protected:
  void end(std::uint32_t attempt, pipelines::Outcome outcome) {
    ASSERT_TRUE(store.begin_attempt({run, 1, attempt}));
    ASSERT_TRUE(store.attempt_started({run, 1, attempt}, 1));
    AttemptEnd ended;
    ended.outcome = outcome;
    ended.retried = outcome == pipelines::Outcome::failed;
    ASSERT_TRUE(store.finish_attempt({run, 1, attempt}, ended));
  }

  TemporaryDirectory dir;
  fs::path file = dir / "runner.db";
  Store store{file};
  const RunId run = store.create_run(new_run());
};

TEST_F(StepJournal, HoldsTheIntentFirstAndThenTheAnswer) {
  const AttemptKey key{run, 1, 1};
  EXPECT_FALSE(store.find_journal(key, "update"));
  const UnixMs before = unix_now();
  store.journal_intend(key, "update", R"({"service":"app"})");
  Store other(file);
  auto row = other.find_journal(key, "update");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->intent, R"({"service":"app"})");
  EXPECT_GE(row->intended, before);
  EXPECT_FALSE(row->answer);
  store.journal_answer(key, "update", R"({"id":"ecs-svc/1"})");
  EXPECT_EQ(other.find_journal(key, "update")->answer, R"({"id":"ecs-svc/1"})");
  EXPECT_FALSE(other.find_journal(key, "another"));
  EXPECT_FALSE(other.find_journal({run, 2, 1}, "update"));
}

TEST_F(StepJournal, ANewIntentForgetsTheOldAnswer) {
  const AttemptKey key{run, 1, 1};
  store.journal_intend(key, "update", "{}");
  store.journal_answer(key, "update", "1");
  store.journal_intend(key, "update", R"({"again":true})");
  EXPECT_EQ(store.find_journal(key, "update")->intent, R"({"again":true})");
  EXPECT_FALSE(store.find_journal(key, "update")->answer);
}

TEST_F(StepJournal, ARetryBeginsWithAnEmptyOne) {
  end(1, pipelines::Outcome::failed);
  store.journal_intend({run, 1, 1}, "update", "{}");
  EXPECT_FALSE(store.find_journal({run, 1, 2}, "update"));
}

TEST_F(StepJournal, AnAttemptAfterOneThatWaitedGoesOnInIts) {
  store.journal_intend({run, 1, 1}, "plan", "{}");
  store.journal_answer({run, 1, 1}, "plan", R"("sha256:1")");
  end(1, pipelines::Outcome::manual);
  EXPECT_EQ(store.find_journal({run, 1, 2}, "plan")->answer, R"("sha256:1")");
  end(2, pipelines::Outcome::manual);
  store.journal_intend({run, 1, 3}, "apply", "{}");
  EXPECT_TRUE(store.find_journal({run, 1, 3}, "plan"));
  EXPECT_TRUE(store.find_journal({run, 1, 1}, "apply"));
}

TEST_F(StepJournal, GoesWithItsRun) {
  store.journal_intend({run, 1, 1}, "update", "{}");
  ASSERT_TRUE(store.finish_run(run, pipelines::Verdict::passed, 10));
  const RunId next = store.create_run(new_run());
  ASSERT_TRUE(store.finish_run(next, pipelines::Verdict::passed, 20));
  GcOptions gc;
  gc.now = unix_now();
  gc.keep_runs = 1;
  EXPECT_EQ(store.gc(gc).runs, 1U);
  EXPECT_FALSE(store.find_journal({run, 1, 1}, "update"));
}

}  // namespace
}  // namespace runner
