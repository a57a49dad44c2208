// What jobs wait for, what people said, and runs that are begun again.
#include <gmock/gmock.h>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using pipelines::Outcome;
using pipelines::Verdict;
using testing::ElementsAre;

class Waits : public ::testing::Test {
 protected:
  // A run of build (passed), gate (manual) and later (skipped).
  RunId waiting_run() {
    NewRun made = new_run();
    made.jobs = {{"build", "build"}, {"gate", "deploy"}, {"later", "verify"}};
    const RunId run = store.create_run(made);
    attempt({run, 1, 1}, Outcome::passed);
    EXPECT_TRUE(store.end_job(run, 2, Outcome::manual));
    EXPECT_TRUE(store.end_job(run, 3, Outcome::skipped, {}, "waits"));
    EXPECT_TRUE(store.finish_run(run, Verdict::waiting, unix_now()));
    return run;
  }
  void attempt(const AttemptKey& key, Outcome outcome) {
    ASSERT_TRUE(store.begin_attempt(key));
    ASSERT_TRUE(store.attempt_started(key, 1));
    AttemptEnd end;
    end.outcome = outcome;
    ASSERT_TRUE(store.finish_attempt(key, end));
  }
  static Approval say(RunId run, std::uint32_t job, Approval::Decision decision, std::string subject = {}) {
    return {run, job, std::move(subject), decision, "ann@here", "why not", unix_now()};
  }
  std::vector<JobState> states(RunId run) {
    std::vector<JobState> all;
    for (const JobRow& row : store.jobs(run)) all.push_back(row.state);
    return all;
  }

  static constexpr auto approved = Approval::Decision::approved;
  static constexpr auto rejected = Approval::Decision::rejected;
  TemporaryDirectory dir;
  fs::path file = dir / "runner.db";
  Store store{file};
};

TEST_F(Waits, AManualJobWaitsToBeStarted) {
  const RunId run = waiting_run();
  const auto waiting = store.waiting_jobs(run);
  ASSERT_EQ(waiting.size(), 1U);
  EXPECT_EQ(waiting[0].name, "gate");
  EXPECT_EQ(waiting[0].subject, "");
  EXPECT_FALSE(waiting[0].said);
  EXPECT_THAT(store.waiting_runs(), ElementsAre(run));
}

TEST_F(Waits, OnlyWhatWaitsCanBeApproved) {
  const RunId run = waiting_run();
  EXPECT_FALSE(store.add_approval(say(run, 1, approved)));
  EXPECT_FALSE(store.add_approval(say(run, 3, approved)));
  EXPECT_FALSE(store.add_approval(say(run, 2, approved, "something else")));
  EXPECT_TRUE(store.approvals(run).empty());
  EXPECT_TRUE(store.add_approval(say(run, 2, approved)));
  EXPECT_EQ(store.waiting_jobs(run)[0].said->who, "ann@here");
  std::vector<std::string> kinds;
  for (const EventRow& event : store.events(run)) kinds.push_back(event.kind);
  EXPECT_THAT(kinds, ElementsAre("job_approved"));
}

TEST_F(Waits, TheNewestWordCounts) {
  const RunId run = waiting_run();
  EXPECT_TRUE(store.add_approval(say(run, 2, approved)));
  EXPECT_TRUE(store.add_approval(say(run, 2, rejected)));
  EXPECT_EQ(store.approval(run, 2, "")->decision, rejected);
  EXPECT_EQ(store.approvals(run).size(), 2U);
}

TEST_F(Waits, ARunIsBegunAgainOnlyWithAnAnswerAndOnlyOnce) {
  const RunId run = waiting_run();
  EXPECT_FALSE(store.is_answered(run));
  EXPECT_FALSE(store.reopen_run(run));
  EXPECT_TRUE(store.add_approval(say(run, 2, approved)));
  EXPECT_TRUE(store.is_answered(run));
  Store other(file);
  EXPECT_TRUE(store.reopen_run(run));
  EXPECT_FALSE(other.reopen_run(run));
  EXPECT_FALSE(other.adopt_run(run));
  EXPECT_THAT(states(run), ElementsAre(JobState::final, JobState::queued, JobState::queued));
  EXPECT_FALSE(store.run(run)->outcome);
  EXPECT_TRUE(store.reopened(run));
  EXPECT_THAT(store.driven_runs(), ElementsAre(run));
  EXPECT_TRUE(store.waiting_runs().empty());
}

TEST_F(Waits, AnAttemptThatAskedWaitsForItsAnswer) {
  const RunId run = store.create_run(new_run());
  ASSERT_TRUE(store.begin_attempt({run, 1, 1}));
  ASSERT_TRUE(store.attempt_started({run, 1, 1}, 1));
  EXPECT_TRUE(store.waiting_jobs(run).empty());
  store.ask(run, 1, "plan-1", "apply 3 changes");
  ASSERT_EQ(store.waiting_jobs(run).size(), 1U);  // while it runs, too
  EXPECT_EQ(store.waiting_jobs(run)[0].text, "apply 3 changes");
  AttemptEnd end;
  end.outcome = Outcome::manual;
  ASSERT_TRUE(store.finish_attempt({run, 1, 1}, end));
  ASSERT_TRUE(store.finish_run(run, Verdict::waiting, unix_now()));
  EXPECT_FALSE(store.add_approval(say(run, 1, approved)));  // that it starts is no question any more
  EXPECT_FALSE(store.add_approval(say(run, 1, approved, "plan-0")));
  EXPECT_FALSE(store.is_answered(run));
  EXPECT_TRUE(store.add_approval(say(run, 1, approved, "plan-1")));
  EXPECT_FALSE(store.approval(run, 1, "plan-0"));
  ASSERT_TRUE(store.reopen_run(run));
  EXPECT_EQ(store.jobs(run)[0].state, JobState::queued);
  EXPECT_TRUE(store.begin_attempt({run, 1, 2}));
  EXPECT_TRUE(store.waiting_jobs(run).empty());
}

TEST_F(Waits, ChildPipelinesAreBegunAgainWithTheirParent) {
  NewRun made = new_run();
  made.jobs = {{"trigger", "test"}, {"after", "verify"}};
  const RunId parent = store.create_run(made);
  ASSERT_TRUE(store.begin_attempt({parent, 1, 1}));
  NewRun below = new_run();
  below.parent = parent;
  below.parent_job = 1;
  const RunId child = store.create_run(below);
  for (const JobRow& job : store.jobs(child)) store.end_job(child, job.job, Outcome::manual);
  ASSERT_TRUE(store.finish_run(child, Verdict::waiting, unix_now()));
  AttemptEnd end;
  end.outcome = Outcome::manual;
  ASSERT_TRUE(store.finish_attempt({parent, 1, 1}, end));
  store.end_job(parent, 2, Outcome::skipped);
  ASSERT_TRUE(store.finish_run(parent, Verdict::waiting, unix_now()));

  EXPECT_THAT(store.waiting_runs(), ElementsAre(parent));
  ASSERT_EQ(store.waiting_jobs(parent).size(), 1U);
  EXPECT_EQ(store.waiting_jobs(parent)[0].child, child);
  EXPECT_FALSE(store.add_approval(say(parent, 1, approved)));
  EXPECT_FALSE(store.is_answered(parent));
  EXPECT_TRUE(store.add_approval(say(child, 1, approved)));
  EXPECT_TRUE(store.is_answered(parent));
  ASSERT_TRUE(store.reopen_run(parent));
  EXPECT_FALSE(store.run(child)->outcome);
  EXPECT_TRUE(store.adopt_run(child));
  EXPECT_THAT(states(parent), ElementsAre(JobState::queued, JobState::queued));
}

TEST_F(Waits, GcTakesWhatWasSaidWithTheRun) {
  const RunId run = waiting_run();
  EXPECT_TRUE(store.add_approval(say(run, 2, approved)));
  GcOptions how;
  how.now = unix_now() + 1000;
  how.keep_runs = 0;
  store.gc(how);
  EXPECT_TRUE(store.approvals(run).empty());
}

}  // namespace
}  // namespace runner
