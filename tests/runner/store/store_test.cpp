#include "runner/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/runner/store/fixture.h"

#if defined(__SANITIZE_THREAD__)
#define TESTS_UNDER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TESTS_UNDER_TSAN
#endif
#endif
#ifdef TESTS_UNDER_TSAN
// The children of these tests start threads of their own.
extern "C" const char* __tsan_default_options();                                // NOLINT: the sanitizer's name
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }  // NOLINT
#endif

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using pipelines::Outcome;
using pipelines::Verdict;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoreTest : public ::testing::Test {
 protected:
  TemporaryDirectory dir;
  fs::path file = dir / "state/runner.db";

  template <class Body>
  static StoreError error_of(Body&& body) {
    try {
      body();
    } catch (const StoreError& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {StoreFault::other, ""};
  }

  void sql(const char* statement) {
    sqlite3* db = nullptr;
    sqlite3_open(file.c_str(), &db);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(db, statement, nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_close(db);
  }
};

TEST_F(StoreTest, MakesAPrivateDatabaseWithAnIdOfItsOwn) {
  std::string owner;
  {
    Store store(file);
    owner = store.owner();
    EXPECT_THAT(owner, ::testing::MatchesRegex("[0-9a-f]{32}"));
    EXPECT_EQ(store.check(), "ok");
    EXPECT_EQ(store.newest_run(), std::nullopt);
    EXPECT_THAT(store.list_runs(), IsEmpty());
  }
  EXPECT_EQ(Store(file).owner(), owner);
  EXPECT_NE(Store(dir / "other.db").owner(), owner);
  struct stat status {};
  ASSERT_EQ(::stat(file.parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(StoreTest, DefaultFileFollowsTheXdgRule) {
  EXPECT_EQ(Store::default_file("/x/state", "/home/me"), "/x/state/runner/runner.db");
  EXPECT_EQ(Store::default_file("", "/home/me"), "/home/me/.local/state/runner/runner.db");
  EXPECT_EQ(Store::default_file("relative", "/home/me"), "/home/me/.local/state/runner/runner.db");
}

TEST_F(StoreTest, RunsCountFromOne) {
  Store store(file);
  EXPECT_EQ(store.create_run(new_run()), 1U);
  EXPECT_EQ(store.create_run(new_run()), 2U);
  EXPECT_EQ(store.newest_run(), 2U);
  const std::vector<RunRow> runs = store.list_runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].id, 2U) << "newest first";
  EXPECT_EQ(runs[1].ref, "main");
  EXPECT_EQ(runs[1].event, "push");
  EXPECT_EQ(runs[1].started, 1'000'000);
  EXPECT_EQ(runs[1].outcome, std::nullopt);
  EXPECT_DOUBLE_EQ(runs[1].seconds(1'002'500), 2.5);
  EXPECT_DOUBLE_EQ(runs[1].seconds(0), 0) << "a clock that was set back";
  EXPECT_EQ(store.list_runs(1).size(), 1U);
  EXPECT_EQ(store.list_runs(0, 2).front().id, 1U);
  const std::optional<RunDetail> run = store.run(1);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->pipeline_text, "hello:\n  script: echo hi\n");
  EXPECT_EQ(run->options, R"({"parallel": 2})");
  EXPECT_EQ(store.run(3), std::nullopt);
}

TEST_F(StoreTest, ALargePipelineIsKeptExactly) {
  NewRun run = new_run(20'000);
  for (int i = 0; i < 20'000; ++i) {
    run.pipeline_text += "job " + std::to_string(i) + ":\n  script: echo \0x\n";
  }
  Store store(file);
  const RunId id = store.create_run(run);
  EXPECT_EQ(store.run(id)->pipeline_text, run.pipeline_text);
  EXPECT_EQ(store.jobs(id).size(), 20'000U);
}

TEST_F(StoreTest, AJobFromBeginningToEnd) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  const AttemptKey key{run, 1, 1};
  EXPECT_EQ(store.jobs(run)[0].state, JobState::queued);
  EXPECT_TRUE(store.begin_attempt(key));
  EXPECT_TRUE(store.begin_attempt(key)) << "once more is fine";
  EXPECT_TRUE(store.attempt_started(key, 5000, "container abc"));
  EXPECT_EQ(store.jobs(run)[0].state, JobState::running);
  EXPECT_EQ(store.attempt(key)->handle, "container abc");
  EXPECT_TRUE(store.finish_attempt(key, {Outcome::failed, 3, "script_failure", "exit code 3", true, false, 6000}));
  const JobRow job = store.jobs(run)[0];
  EXPECT_EQ(job.state, JobState::final);
  EXPECT_EQ(job.outcome, Outcome::failed);
  EXPECT_EQ(job.exit_code, 3);
  EXPECT_EQ(job.reason, "script_failure");
  EXPECT_EQ(job.message, "exit code 3");
  EXPECT_TRUE(job.allowed);
  EXPECT_EQ(job.attempts, 1U);
  EXPECT_EQ(job.started, 5000);
  EXPECT_EQ(job.finished, 6000);
  EXPECT_TRUE(store.finish_run(run, Verdict::passed, 7000));
  EXPECT_FALSE(store.finish_run(run, Verdict::failed, 8000)) << "the first end stays";
  EXPECT_EQ(store.run(run)->outcome, Verdict::passed);
}

TEST_F(StoreTest, AStateNeverGoesBackwards) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  const AttemptKey key{run, 1, 1};
  ASSERT_TRUE(store.begin_attempt(key));
  ASSERT_TRUE(store.attempt_started(key, 1));
  EXPECT_TRUE(store.attempt_started(key, 2)) << "once more is fine";
  EXPECT_EQ(store.attempt(key)->state, JobState::running);
  EXPECT_FALSE(store.drop_attempt(key)) << "it runs";
  EXPECT_FALSE(store.end_job(run, 1, Outcome::skipped)) << "it runs";
  ASSERT_TRUE(store.finish_attempt(key, {Outcome::passed, 0, "", "", false, false, 2}));
  EXPECT_FALSE(store.finish_attempt(key, {Outcome::cancelled, -1, "", "", false, false, 3}));
  EXPECT_FALSE(store.attempt_started(key, 4));
  EXPECT_FALSE(store.begin_attempt(key));
  EXPECT_FALSE(store.begin_attempt({run, 1, 2})) << "the job is over";
  EXPECT_FALSE(store.end_job(run, 1, Outcome::cancelled));
  EXPECT_EQ(store.attempt(key)->outcome, Outcome::passed);
  EXPECT_EQ(store.jobs(run)[0].outcome, Outcome::passed);
  EXPECT_FALSE(store.finish_attempt({run, 2, 1}, {})) << "never begun";
}

TEST_F(StoreTest, OfManyWhoFinishAnAttemptOneWins) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  const AttemptKey key{run, 1, 1};
  ASSERT_TRUE(store.begin_attempt(key));
  Store other(file);
  std::atomic<int> winners = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        winners += (i % 2 == 0 ? store : other).finish_attempt(key, {Outcome::passed, i, "", "", false, false, i});
      });
    }
  }
  EXPECT_EQ(winners, 1);
}

TEST_F(StoreTest, RetriesAreAttemptsOfOneJob) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  ASSERT_TRUE(store.begin_attempt({run, 1, 1}));
  ASSERT_TRUE(store.attempt_started({run, 1, 1}, 10));
  ASSERT_TRUE(store.finish_attempt({run, 1, 1}, {Outcome::failed, 1, "script_failure", "", false, true, 20}));
  EXPECT_EQ(store.jobs(run)[0].state, JobState::running);
  EXPECT_EQ(store.jobs(run)[0].outcome, std::nullopt);
  ASSERT_TRUE(store.begin_attempt({run, 1, 2}));
  ASSERT_TRUE(store.attempt_started({run, 1, 2}, 30));
  ASSERT_TRUE(store.finish_attempt({run, 1, 2}, {Outcome::passed, 0, "", "", false, false, 40}));
  const std::vector<AttemptRow> attempts = store.attempts(run, 1);
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(attempts[0].outcome, Outcome::failed);
  EXPECT_EQ(attempts[1].outcome, Outcome::passed);
  EXPECT_EQ(store.jobs(run)[0].attempts, 2U);
  EXPECT_EQ(store.last_attempt(run, 1)->key.attempt, 2U);
}

TEST_F(StoreTest, JobsThatNeverRan) {
  Store store(file);
  const RunId run = store.create_run(new_run(3));
  EXPECT_TRUE(store.end_job(run, 1, Outcome::skipped, "", "build failed"));
  EXPECT_FALSE(store.end_job(run, 1, Outcome::cancelled));
  EXPECT_TRUE(store.end_job(run, 2, Outcome::manual));
  EXPECT_TRUE(store.begin_attempt({run, 2, 1})) << "a manual job only waits";
  EXPECT_EQ(store.jobs(run)[1].outcome, std::nullopt);
  ASSERT_TRUE(store.begin_attempt({run, 3, 1}));
  EXPECT_TRUE(store.drop_attempt({run, 3, 1}));
  EXPECT_THAT(store.attempts(run, 3), IsEmpty());
  EXPECT_TRUE(store.end_job(run, 3, Outcome::skipped));
  EXPECT_EQ(store.jobs(run)[2].attempts, 0U);
}

TEST_F(StoreTest, EventsAreInOrder) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  const std::uint64_t first = store.add_event(run, 5, "warned", R"({"a":1})");
  store.add_event(run, 3, "warned", R"({"a":2})");
  store.add_event(run + 1, 3, "warned", "{}");
  ASSERT_EQ(store.events(run).size(), 2U);
  EXPECT_EQ(store.events(run)[0].json, R"({"a":1})");
  ASSERT_EQ(store.events(run, first).size(), 1U);
  EXPECT_EQ(store.events(run, first)[0].json, R"({"a":2})");
}

TEST_F(StoreTest, RefusesANewerDatabaseAndLeavesItAlone) {
  { Store store(file); }
  sql("PRAGMA user_version = 99");
  const std::string before = read(file);
  for (const bool read_only : {false, true}) {
    Store::Options options;
    options.file = file;
    options.read_only = read_only;
    const StoreError error = error_of([&] { Store store(options); });
    EXPECT_EQ(error.fault, StoreFault::newer);
    EXPECT_THAT(error.what(), HasSubstr("newer version"));
  }
  EXPECT_TRUE(read(file) == before);
}

TEST_F(StoreTest, RefusesWhatIsNotItsDatabase) {
  write(file, "hello, I am a text file and not a database at all, am I not?\n" + std::string(5000, 'x'));
  EXPECT_EQ(error_of([&] { Store store(file); }).fault, StoreFault::corrupt);
  fs::remove(file);
  sql("CREATE TABLE music(id INTEGER)");
  const StoreError error = error_of([&] { Store store(file); });
  EXPECT_EQ(error.fault, StoreFault::corrupt);
  EXPECT_THAT(error.what(), HasSubstr("another program"));
}

TEST_F(StoreTest, SaysWhyItCannotOpen) {
  const StoreError error = error_of([&] { Store store("/proc/none/runner.db"); });
  EXPECT_THAT(error.what(), HasSubstr("/proc/none"));
  EXPECT_FALSE(error.hint.empty());
}

TEST_F(StoreTest, ReadOnlyWritesNothing) {
  { Store(file).create_run(new_run()); }
  Store::Options options;
  options.file = file;
  options.read_only = true;
  Store store(options);
  EXPECT_EQ(store.list_runs().size(), 1U);
  EXPECT_THROW(store.create_run(new_run()), StoreError);
}

TEST_F(StoreTest, TwoProcessesShareOneDatabase) {
  Store store(file);
  Child child([&](const auto& tell) {
    Store theirs(file);
    for (int i = 0; i < 50; ++i) {
      theirs.create_run(new_run());
    }
    tell();
  });
  for (int i = 0; i < 50; ++i) {
    store.create_run(new_run());
  }
  ASSERT_TRUE(child.told());
  EXPECT_EQ(store.list_runs().size(), 100U);
  EXPECT_EQ(store.newest_run(), 100U);
}

TEST_F(StoreTest, ManyProcessesMakeTheSameDatabaseAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      try {
        ::_exit(Store(file).create_run(new_run()) > 0 ? 0 : 1);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(1);
      }
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(Store(file).list_runs().size(), 8U);
}

TEST_F(StoreTest, AHeldDatabaseIsWaitedForAndThenTold) {
  Store::Options options;
  options.file = file;
  options.patience = std::chrono::milliseconds(300);
  Store store(options);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  {
    std::jthread release([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr);
    });
    EXPECT_EQ(store.create_run(new_run()), 1U);
  }
  ASSERT_EQ(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const StoreError error = error_of([&] { store.create_run(new_run()); });
  EXPECT_EQ(error.fault, StoreFault::locked);
  EXPECT_EQ(store.list_runs().size(), 1U) << "reading goes on";
  sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  EXPECT_EQ(store.create_run(new_run()), 2U);
}

TEST_F(StoreTest, FollowersSeeThatSomethingChanged) {
  Store store(file);
  Store follower(file);
  const std::uint64_t before = follower.change_counter();
  EXPECT_EQ(follower.change_counter(), before);
  store.create_run(new_run());
  EXPECT_NE(follower.change_counter(), before);
  const std::uint64_t own = store.change_counter();
  store.create_run(new_run());
  EXPECT_NE(store.change_counter(), own) << "its own writes too";
}

// --- leases ----------------------------------------------------------------------------------------------------

TEST_F(StoreTest, ALivingProcessKeepsItsRun) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  Store other(file);  // another identity, as another process has
  EXPECT_THAT(other.orphaned_runs(), IsEmpty());
  EXPECT_THAT(other.driven_runs(), ElementsAre(run));
  EXPECT_FALSE(other.adopt_run(run));
  EXPECT_TRUE(store.adopt_run(run)) << "its own";
  ASSERT_TRUE(store.begin_attempt({run, 1, 1}));
  EXPECT_FALSE(other.begin_attempt({run, 1, 1})) << "one lease per job";
  EXPECT_TRUE(other.begin_attempt({run, 2, 1})) << "another job of the same run";
}

TEST_F(StoreTest, AKilledProcessesRunIsAdoptedAtOnceByOne) {
  Store store(file);
  RunId run = 0;
  {
    Child child([&](const auto& tell) {
      Store theirs(file);
      const RunId id = theirs.create_run(new_run());
      theirs.begin_attempt({id, 1, 1});
      theirs.attempt_started({id, 1, 1}, 5, "container abc");
      tell();
      ::pause();
    });
    ASSERT_TRUE(child.told());
    run = *store.newest_run();
    EXPECT_THAT(store.orphaned_runs(), IsEmpty());
    EXPECT_FALSE(store.adopt_run(run));
    child.kill();
  }
  EXPECT_THAT(store.orphaned_runs(), ElementsAre(run));
  std::atomic<int> winners = 0;
  std::vector<std::unique_ptr<Store>> stores;
  for (int i = 0; i < 4; ++i) {
    stores.push_back(std::make_unique<Store>(file));
  }
  {
    std::vector<std::jthread> threads;
    for (const auto& each : stores) {
      threads.emplace_back([&] { winners += each->adopt_run(run); });
    }
  }
  EXPECT_EQ(winners, 1);
  EXPECT_THAT(store.orphaned_runs(), IsEmpty());
  int can_finish = 0;
  for (const auto& each : stores) {
    can_finish += each->begin_attempt({run, 1, 1});
  }
  EXPECT_EQ(can_finish, 1) << "the job's lease went with the run";
  EXPECT_EQ(store.attempt({run, 1, 1})->handle, "container abc");
}

TEST_F(StoreTest, AReleasedRunMayBeAdopted) {
  Store store(file);
  const RunId run = store.create_run(new_run());
  Store other(file);
  store.release_run(run);
  EXPECT_THAT(other.orphaned_runs(), ElementsAre(run));
  EXPECT_TRUE(other.adopt_run(run));
  EXPECT_FALSE(store.adopt_run(run));
  EXPECT_TRUE(other.finish_run(run, Verdict::cancelled, 9));
  EXPECT_FALSE(other.adopt_run(run)) << "finished";
}

TEST_F(StoreTest, AReusedDatabaseHandleIsANewProcess) {
  RunId run = 0;
  {
    Store store(file);
    run = store.create_run(new_run());
  }
  Store store(file);
  EXPECT_THAT(store.orphaned_runs(), ElementsAre(run)) << "closed without an end";
  EXPECT_TRUE(store.adopt_run(run));
}

// --- upkeep ----------------------------------------------------------------------------------------------------

TEST_F(StoreTest, GcRemovesOldRunsButNoneInProgress) {
  Store store(file);
  for (int i = 1; i <= 5; ++i) {
    NewRun fresh = new_run();
    fresh.started = i * 1000;
    const RunId run = store.create_run(fresh);
    ASSERT_TRUE(store.begin_attempt({run, 1, 1}));
    for (int k = 0; k < 700; ++k) {
      store.append_log({run, 1, 1}, "line\n", 5 * static_cast<std::uint64_t>(k + 1));
    }
    store.add_event(run, 1, "x", "{}");
    if (i != 2) {
      store.finish_attempt({run, 1, 1}, {Outcome::passed, 0, "", "", false, false, i * 1000 + 1});
      store.finish_run(run, Verdict::passed, i * 1000 + 1);
    }
  }
  GcOptions options;
  options.now = 10'000;
  options.keep_runs = 2;
  options.dry_run = true;
  EXPECT_EQ(store.gc(options).runs, 2U);
  EXPECT_EQ(store.list_runs().size(), 5U);
  options.dry_run = false;
  const GcResult result = store.gc(options);
  EXPECT_EQ(result.runs, 2U);
  EXPECT_GT(result.bytes, 0U);
  std::vector<RunId> left;
  for (const RunRow& row : store.list_runs()) {
    left.push_back(row.id);
  }
  EXPECT_THAT(left, ElementsAre(5U, 4U, 2U));
  EXPECT_THROW(store.log_size({1, 1, 1}), StoreError);
  EXPECT_EQ(store.log_size({2, 1, 1}), 3500U);
  EXPECT_THAT(store.events(1), IsEmpty());
  EXPECT_EQ(store.create_run(new_run()), 6U) << "numbers are not used again";

  options.keep_runs.reset();
  options.keep_for = 10'000 - 4'500;
  EXPECT_EQ(store.gc(options).runs, 1U);
  EXPECT_EQ(store.check(), "ok");
}

TEST_F(StoreTest, BackupIsAWholeDatabase) {
  Store store(file);
  store.create_run(new_run());
  store.backup(dir / "copy.db");
  EXPECT_EQ(Store(dir / "copy.db").list_runs().size(), 1U);
}

// `runner retry`: a job of a new run that stands as it ended in an earlier one.
TEST_F(StoreTest, AJobThatIsReusedHasWhatTheEarlierOneLeft) {
  Store store(file);
  NewRun first;
  first.jobs = {{"build", "build"}, {"test", "test"}};
  const RunId earlier = store.create_run(first);
  write(dir / "tree/out.txt", "made");
  ASSERT_TRUE(store.begin_attempt({earlier, 1, 1}));
  store.attempt_started({earlier, 1, 1}, 100);
  store.store_tree({earlier, 1, 1}, "archive", "artifacts", dir / "tree", std::nullopt);
  store.add_event(earlier, 120, "report", R"({"job":1,"kind":"junit","tests":3})");
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.allowed = true;
  end.exit_code = 3;
  end.finished = 150;
  end.coverage = 81.5;
  ASSERT_TRUE(store.finish_attempt({earlier, 1, 1}, end));
  EXPECT_EQ(store.jobs(earlier)[0].artifacts, 1U);
  store.finish_run(earlier, Verdict::failed, 200);

  NewRun second = first;
  second.jobs = {{"lint", "build"}, {"build", "build", earlier, 1}};
  second.retry_of = earlier;
  const RunId retry = store.create_run(second);
  store.finish_run(retry, Verdict::passed, 300);
  EXPECT_EQ(store.run(retry)->retry_of, earlier);
  EXPECT_EQ(store.run(earlier)->retry_of, 0U);
  const JobRow row = store.jobs(retry)[1];
  EXPECT_EQ(row.state, JobState::final);
  EXPECT_EQ(row.outcome, Outcome::failed);
  EXPECT_TRUE(row.allowed);
  EXPECT_EQ(row.exit_code, 3);
  EXPECT_EQ(row.coverage, 81.5);
  EXPECT_EQ(row.attempts, 0U);
  EXPECT_EQ(row.reused_run, earlier);
  EXPECT_EQ(row.reused_job, 1U);
  ASSERT_EQ(store.events(retry).size(), 1U);
  EXPECT_THAT(store.events(retry)[0].json, HasSubstr("\"job\":2"));

  // Another retry goes back to where it ran, and the artifacts outlive that run.
  NewRun third = first;
  third.jobs = {{"build", "build", retry, 2}};
  const RunId last = store.create_run(third);
  EXPECT_EQ(store.jobs(last)[0].reused_run, earlier);
  EXPECT_EQ(store.jobs(last)[0].reused_job, 1U);
  GcOptions how;
  how.now = 1000;
  how.keep_runs = 1;
  EXPECT_EQ(store.gc(how).runs, 2U);
  const std::vector<ArtifactRow> kept = store.list_artifacts(last);
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].key.attempt, 0U);
  store.extract(kept[0].id, dir / "again");
  EXPECT_EQ(read(dir / "again/out.txt"), "made");
}

TEST_F(StoreTest, AJobThatDidNotEndIsNotReused) {
  Store store(file);
  NewRun first;
  first.jobs = {{"build", "build"}};
  const RunId earlier = store.create_run(first);
  NewRun second = first;
  second.jobs[0].reused_run = earlier;
  second.jobs[0].reused_job = 1;
  EXPECT_EQ(error_of([&] { store.create_run(second); }).fault, StoreFault::missing);
  EXPECT_EQ(store.list_runs().size(), 1U);
}

}  // namespace
}  // namespace runner
