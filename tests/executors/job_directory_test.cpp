// Jobs run by the bootstrap of a container, each in a process namespace of its own, followed by JobDirectory.
#include "executors/job_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "tests/executors/sandbox.h"

namespace executors {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class JobDirectoryTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!can_make_process_namespaces()) GTEST_SKIP() << "no process namespaces here";
    path_ = path_with(GetParam(), directory_ / "bin");
    std::filesystem::create_directories(project_);
    job_.emplace(JobDirectory::create(directory_ / "job"));
    bootstrap_ = std::make_unique<Bootstrap>(job_->path(), path_, linger_);
    hooks_.dead = [this] { return bootstrap_->dead(); };
    hooks_.kill = [this] {
      ++last_resorts_;
      bootstrap_->kill();
    };
    hooks_.hurry = [this] { return hurry_.load(); };
    work_.timeout = 60s;
    work_.grace = 1s;
  }

  JobDirectory::Followed run(std::uint64_t from = 0) {
    if (!job_->started()) {
      job_->write_script(work_, project_.string());
      EXPECT_TRUE(job_->go(hooks_.dead, stop_.get_token()));
    }
    return job_->follow(work_, log_, hooks_, from, stop_.get_token());
  }
  JobDirectory::Followed run_script(std::vector<std::string> script) {
    work_.script = std::move(script);
    return run();
  }
  std::filesystem::path in_job(const char* name) const { return job_->path() / name; }
  // The stream without the `$ command` line of the one item.
  std::string output() const {
    const auto text = timeless(log_.bytes());
    const auto begin = text.find('\n');
    const auto end = text.rfind("<section_end step_script>");
    if (begin == std::string::npos || end == std::string::npos || begin >= end) return text;
    return text.substr(begin + 1, end - begin - 1);
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_, project_ = directory_ / "project";
  bool linger_ = false;
  std::optional<JobDirectory> job_;
  std::unique_ptr<Bootstrap> bootstrap_;
  JobDirectory::Hooks hooks_;
  std::atomic<bool> hurry_ = false;
  std::atomic<int> last_resorts_ = 0;
  std::stop_source stop_;
  Work work_;
  KeptLog log_;
};

TEST_P(JobDirectoryTest, RunsAndTellsTheCode) {
  const auto followed = run_script({"echo hello; echo error >&2", "exit 42"});
  EXPECT_EQ(followed.exit_code, 42);
  EXPECT_FALSE(followed.dead || followed.timed_out || followed.cancelled);
  EXPECT_EQ(
      timeless(log_.bytes()),
      "<section_start step_script>$ echo hello; echo error >&2\nhello\nerror\n$ exit 42\n<section_end step_script>");
}

TEST_P(JobDirectoryTest, PipefailWhereTheShellHasIt) {
  work_.after_script = {"false | true", "echo went on"};
  const auto followed = run_script({"yes | head -n 1 >/dev/null || echo sigpipe", "false | true"});
  const int failed = GetParam() == "dash" ? 0 : 1;
  EXPECT_EQ(followed.exit_code, failed);
  EXPECT_EQ(followed.after_code, failed);
}

TEST_P(JobDirectoryTest, TheShellThatTakesTheGoHidesItself) {
  run_script({"echo \"${REPLY-unset} $0 $#\"; set -- a; [ $# = 1 ] && (exit 7) || exit $?"});
  EXPECT_EQ(output(), "unset " + in_job("script").string() + " 0\n");
}

TEST_P(JobDirectoryTest, FileVariablesArePathsOfTheirValue) {
  work_.files = {{"KEY", "line '1'\nline $2\n"}};
  work_.after_script = {"cat \"$KEY\""};
  const auto followed = run_script({"cat \"$KEY\"; cd /; test -s \"$KEY\""});
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_EQ(followed.after_code, 0);
  const std::string text = timeless(log_.bytes());
  EXPECT_NE(text.find("test -s \"$KEY\"\nline '1'\nline $2\n<section_end step_script>"), std::string::npos) << text;
  EXPECT_NE(text.find("$ cat \"$KEY\"\nline '1'\nline $2\n<section_end after_script>"), std::string::npos) << text;
}

TEST_P(JobDirectoryTest, WhatTheJobExportsIsThereAfterwards) {
  work_.environment = {{"GITLAB_ENV", (job_->path() / exported_file).string()}, {"KEPT", "as it is"}};
  work_.after_script = {R"(echo "[$ONE] [$TWO] [$KEPT] [$(env | grep -c THREE)] [${REPLY-unset}]")"};
  const auto followed = run_script(
      {R"(printf 'ONE=1\n\n  TWO=a b=$c "d" \nnot this\nBAD-NAME=x\n=x\n7=x\nTHREE=no newline' >>"$GITLAB_ENV")"});
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_EQ(followed.after_code, 0);
  EXPECT_NE(timeless(log_.bytes()).find("\n[1] [a b=$c \"d\"] [as it is] [1] [unset]\n"), std::string::npos)
      << timeless(log_.bytes());
  EXPECT_EQ(job_->exported(), (Environment{{"ONE", "1"}, {"TWO", "a b=$c \"d\""}, {"THREE", "no newline"}}));
  // The job can put anything in its place.
  std::filesystem::remove(job_->path() / exported_file);
  std::filesystem::create_symlink("/etc/passwd", job_->path() / exported_file);
  EXPECT_TRUE(job_->exported().empty());
}

class LingeringJobTest : public JobDirectoryTest {
 protected:
  LingeringJobTest() { linger_ = true; }
};

TEST_P(LingeringJobTest, StaysWhenItHasFailed) {
  work_.after_script = {"echo after"};
  const auto followed = run_script({"exit 3"});
  EXPECT_EQ(followed.exit_code, 3);
  EXPECT_EQ(followed.after_code, 0);
  std::this_thread::sleep_for(500ms);
  EXPECT_TRUE(job_->codes().ended);
  EXPECT_FALSE(bootstrap_->dead());
}

TEST_P(LingeringJobTest, EndsWhenItHasPassedOrWasCancelled) {
  const bool cancel = GetParam() != "bash";
  std::jthread stopper;
  if (cancel) {
    stopper = std::jthread([this] {
      log_.await("sleep 50");
      stop_.request_stop();
    });
  }
  run_script({cancel ? "sleep 50" : "true"});
  const auto end = Clock::now() + 10s;
  while (!bootstrap_->dead() && Clock::now() < end) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(bootstrap_->dead());
}

TEST_P(JobDirectoryTest, AfterScriptSeesTheStatus) {
  work_.after_script = {"echo $CI_JOB_STATUS; pwd", "exit 3"};
  const auto followed = run_script({"cd /", "false"});
  EXPECT_EQ(followed.exit_code, 1);
  EXPECT_EQ(followed.after_code, 3);
  EXPECT_NE(timeless(log_.bytes())
                .find("<section_end step_script><section_start after_script>$ echo $CI_JOB_STATUS; pwd\nfailed\n" +
                      project_.string() + "\n$ exit 3\n<section_end after_script>"),
            std::string::npos)
      << timeless(log_.bytes());
}

TEST_P(JobDirectoryTest, ExactBytes) {
  write_file(project_ / "bytes", std::string("\0\xff\xfe\r\n\x1b[0K\xc3(", 10));
  run_script({"cat bytes; printf 'no newline'"});
  EXPECT_EQ(output(), std::string("\0\xff\xfe\r\n\x1b[0K\xc3(", 10) + "no newline");
}

TEST_P(JobDirectoryTest, OneLineOfTenMegabytes) {
  run_script({"head -c 10485760 /dev/zero | tr '\\0' x"});
  EXPECT_EQ(output(), std::string(10485760, 'x'));
}

TEST_P(JobDirectoryTest, StandardInputIsClosed) { EXPECT_EQ(run_script({"cat; echo end"}).exit_code, 0); }

TEST_P(JobDirectoryTest, EveryByteCountResumes) {
  work_.after_script = {"echo after"};
  run_script({"printf 'some text'"});
  const auto whole = log_.bytes();
  ASSERT_GT(whole.size(), 100U);
  for (std::size_t from = 0; from <= whole.size(); ++from) {
    KeptLog rest;
    auto again = JobDirectory::open(directory_ / "job");
    ASSERT_TRUE(again);
    const auto followed = again->follow(work_, rest, hooks_, from, {});
    EXPECT_EQ(rest.bytes(), whole.substr(from)) << from;
    EXPECT_EQ(followed.exit_code, 0);
  }
}

// --- hooks:pre_get_sources_script

TEST_P(JobDirectoryTest, TheHookHasAShellAndASectionOfItsOwn) {
  work_.pre_get_sources = {"x=1; cd /; echo hook $A"};
  work_.environment = {{"A", "b"}};
  const auto followed = run_script({"echo \"${x-unset}\"; pwd"});
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_EQ(timeless(log_.bytes()),
            "<section_start get_sources>$ x=1; cd /; echo hook $A\nhook b\n<section_end get_sources>"
            "<section_start step_script>$ echo \"${x-unset}\"; pwd\nunset\n" +
                project_.string() + "\n<section_end step_script>");
}

TEST_P(JobDirectoryTest, AHookThatFailsIsTheJobsFailure) {
  work_.pre_get_sources = {"echo before", "exit 7"};
  work_.after_script = {"echo never after"};
  const auto followed = run_script({"echo never"});
  EXPECT_EQ(followed.exit_code, 7);
  EXPECT_TRUE(followed.hook_failed);
  EXPECT_FALSE(followed.dead || followed.after_code);
  EXPECT_EQ(timeless(log_.bytes()),
            "<section_start get_sources>$ echo before\nbefore\n$ exit 7\n<section_end get_sources>");
  const JobResult result = result_of(followed, work_);
  EXPECT_EQ(result.outcome, pipelines::Outcome::failed);
  EXPECT_EQ(result.reason, "script_failure");
  EXPECT_EQ(result.message, "hooks:pre_get_sources_script: exit code 7");
}

TEST_P(JobDirectoryTest, GetSourcesAttemptsTryTheHookAgain) {
  work_.pre_get_sources = {"test -e second || { : >second; exit 3; }"};
  work_.get_sources_attempts = 3;
  EXPECT_EQ(run_script({"echo ran"}).exit_code, 0);
  const std::string text = timeless(log_.bytes());
  EXPECT_NE(text.find("failed with exit code 3; attempt 2 of 3\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("attempt 3 of 3"), std::string::npos) << text;
  EXPECT_NE(text.find("$ echo ran\nran\n"), std::string::npos) << text;
}

TEST_P(JobDirectoryTest, EveryByteCountResumesWithAHook) {
  work_.pre_get_sources = {"printf hook"};
  work_.after_script = {"echo after"};
  run_script({"printf 'some text'"});
  const auto whole = log_.bytes();
  for (std::size_t from = 0; from <= whole.size(); ++from) {
    KeptLog rest;
    auto again = JobDirectory::open(directory_ / "job");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->follow(work_, rest, hooks_, from, {}).exit_code, 0);
    EXPECT_EQ(rest.bytes(), whole.substr(from)) << from;
  }
}

TEST_P(JobDirectoryTest, AHookIsCancelledLikeAScript) {
  work_.pre_get_sources = {"echo ready; sleep 30"};
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
  });
  const auto begin = Clock::now();
  const auto followed = run_script({"echo never"});
  EXPECT_LT(Clock::now() - begin, 15s);
  EXPECT_TRUE(followed.cancelled);
  EXPECT_EQ(log_.bytes().find("echo never"), std::string::npos);
}

// --- other things of its own

TEST_P(JobDirectoryTest, LinesFromOutsideComeIntoTheLog) {
  std::jthread adder([this] {
    log_.await("ready\n");
    job_->add_to_log("[service:db] hello\n");
    write_file(project_ / "next", "");
  });
  run_script({"echo ready; while [ ! -e next ]; do sleep 0.02; done; echo end"});
  EXPECT_EQ(output(), "ready\n[service:db] hello\nend\n");
}

TEST_P(JobDirectoryTest, ThereIsADirectoryForWhatIsPassing) {
  EXPECT_EQ(run_script({"echo x >" + in_job("tmp/file").string()}).exit_code, 0);
}

TEST_P(JobDirectoryTest, AfterScriptCountsWhenItIsToldTo) {
  work_.after_script = {"exit 4"};
  const auto followed = run_script({"true"});
  EXPECT_EQ(result_of(followed, work_).outcome, pipelines::Outcome::passed);
  work_.after_script_counts = true;
  const JobResult result = result_of(followed, work_);
  EXPECT_EQ(result.outcome, pipelines::Outcome::failed);
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_EQ(result.message, "after_script: exit code 4");
}

TEST_P(JobDirectoryTest, ResumesWhileItRuns) {
  work_.script = {"echo 1; while [ ! -e next ]; do sleep 0.02; done; echo 2"};
  std::stop_source nothing;
  job_->write_script(work_, project_.string());
  ASSERT_TRUE(job_->go(hooks_.dead, {}));
  std::thread first([&] { run(); });
  ASSERT_TRUE(log_.await("\n1\n"));
  const auto kept = log_.bytes().size() - 1;
  KeptLog rest;
  auto again = JobDirectory::open(directory_ / "job");
  std::thread second([&] { again->follow(work_, rest, hooks_, kept, {}); });
  write_file(project_ / "next", "");
  first.join();
  second.join();
  EXPECT_EQ(rest.bytes(), log_.bytes().substr(kept));
}

TEST_P(JobDirectoryTest, StopIsTermAndAfterScriptRuns) {
  work_.grace = 20s;
  work_.after_script = {"echo after $CI_JOB_STATUS"};
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
  });
  const auto begin = Clock::now();
  const auto followed = run_script({"trap 'echo trapped; exit 9' TERM; echo ready; sleep 30 & wait $!"});
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_TRUE(followed.cancelled);
  EXPECT_EQ(followed.exit_code, 9);
  EXPECT_EQ(followed.after_code, 0);
  EXPECT_NE(log_.bytes().find("\ntrapped\n"), std::string::npos);
  EXPECT_NE(log_.bytes().find("\nafter canceled\n"), std::string::npos) << timeless(log_.bytes());
}

TEST_P(JobDirectoryTest, WhoIgnoresTermIsKilledAfterTheGrace) {
  work_.after_script = {"echo after $CI_JOB_STATUS"};
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
  });
  const auto followed = run_script({"trap '' TERM; echo ready; while :; do sleep 1; done"});
  EXPECT_TRUE(followed.cancelled);
  EXPECT_EQ(followed.exit_code, 137);
  EXPECT_NE(log_.bytes().find("\nafter canceled\n"), std::string::npos);
  EXPECT_EQ(last_resorts_, 0);
}

TEST_P(JobDirectoryTest, HurryKillsAtOnceAndSkipsAfterScript) {
  work_.grace = 60s;
  work_.after_script = {"echo after"};
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
    ::usleep(100'000);
    hurry_ = true;
  });
  const auto begin = Clock::now();
  const auto followed = run_script({"trap '' TERM; echo ready; while :; do sleep 1; done"});
  EXPECT_LT(Clock::now() - begin, 5s);
  EXPECT_TRUE(followed.cancelled);
  EXPECT_EQ(followed.exit_code, 137);
  EXPECT_EQ(log_.bytes().find("after_script"), std::string::npos);
}

TEST_P(JobDirectoryTest, TimeoutStopsItWithoutAfterScript) {
  work_.timeout = 1s;
  work_.after_script = {"echo after"};
  const auto followed = run_script({"echo ready; sleep 30"});
  EXPECT_TRUE(followed.timed_out);
  EXPECT_FALSE(followed.cancelled);
  EXPECT_EQ(followed.exit_code, 143);
  EXPECT_EQ(log_.bytes().find("after_script"), std::string::npos);
  const auto result = result_of(followed, work_);
  EXPECT_EQ(result.reason, "job_execution_timeout");
  EXPECT_EQ(result.outcome, pipelines::Outcome::failed);
}

TEST_P(JobDirectoryTest, TheScriptsOwnTimeoutLeavesAfterScriptItsTime) {
  work_.script_timeout = 1s;
  work_.after_script = {"echo after=$CI_JOB_STATUS"};
  const auto followed = run_script({"echo ready; sleep 30"});
  EXPECT_TRUE(followed.timed_out);
  EXPECT_TRUE(followed.script_timed_out);
  EXPECT_NE(log_.bytes().find("after=timedout\n"), std::string::npos) << log_.bytes();
  const auto result = result_of(followed, work_);
  EXPECT_EQ(result.reason, "job_execution_timeout");
  EXPECT_EQ(result.message, "script stopped after 1 s, its RUNNER_SCRIPT_TIMEOUT");
}

TEST_P(JobDirectoryTest, TheJobsTimeoutEndsAfterScriptToo) {
  work_.timeout = 2s;
  work_.after_script = {"echo after; sleep 30; echo never"};
  const auto begin = Clock::now();
  const auto followed = run_script({"true"});
  EXPECT_LT(Clock::now() - begin, 20s);
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_FALSE(followed.timed_out);
  EXPECT_EQ(followed.after_code, 143);
}

TEST_P(JobDirectoryTest, AfterScriptHasItsOwnTime) {
  work_.after_timeout = 1s;
  work_.after_script = {"echo after; sleep 30"};
  const auto followed = run_script({"true"});
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_EQ(followed.after_code, 143);
  EXPECT_FALSE(followed.timed_out);
}

TEST_P(JobDirectoryTest, AChildLeftBehindDoesNotHoldTheEnd) {
  const auto begin = Clock::now();
  const auto followed = run_script({"setsid sh -c 'while :; do echo noise; done' & sleep 0.1; echo end"});
  EXPECT_LT(Clock::now() - begin, 8s);
  EXPECT_EQ(followed.exit_code, 0);
}

TEST_P(JobDirectoryTest, ABootstrapKilledFromOutsideIsDead) {
  std::jthread killer([this] {
    log_.await("ready\n");
    bootstrap_->kill();
  });
  const auto followed = run_script({"echo ready; sleep 30"});
  EXPECT_TRUE(followed.dead);
  EXPECT_FALSE(followed.exit_code);
  EXPECT_EQ(result_of(followed, work_).outcome, pipelines::Outcome::broken);
  EXPECT_EQ(result_of(followed, work_).reason, "lost");
}

TEST_P(JobDirectoryTest, TheJobMayTruncateAndReplaceItsLog) {
  const std::string log = in_job("log").string();
  auto followed = run_script(
      {"echo one; sleep 0.1; : >" + log + "; echo two; sleep 0.1; rm " + log + "; mkfifo " + log + "; echo three"});
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_NE(output().find("one\ntwo\nthree\n"), std::string::npos) << output();
}

TEST_P(JobDirectoryTest, ASpoiltExitFileIsNoCode) {
  const std::string exit = in_job("exit").string();
  write_file(directory_ / "secret", "0\n");
  for (const std::string& spoil : {"ln -s " + (directory_ / "secret").string() + " " + exit, "mkfifo " + exit,
                                   "mkdir " + exit, "head -c 100000000 /dev/zero >" + exit, "echo 0x >" + exit,
                                   "printf 0 >" + exit, "echo 256 >" + exit, "echo -1 >" + exit}) {
    EXPECT_EQ(run_program({"/bin/sh", "-c", spoil}), 0);
    EXPECT_FALSE(job_->codes().script) << spoil;
    std::filesystem::remove_all(exit);
  }
  write_file(exit, "0\n");
  EXPECT_EQ(job_->codes().script, 0);
}

TEST_P(JobDirectoryTest, AnExitFifoNeverCountsAsSuccess) {
  work_.timeout = 1s;
  const auto begin = Clock::now();
  const auto followed = run_script({"mkfifo " + in_job("exit").string()});
  EXPECT_FALSE(followed.exit_code);
  EXPECT_NE(result_of(followed, work_).outcome, pipelines::Outcome::passed);
  EXPECT_LT(Clock::now() - begin, 15s);
}

TEST_P(JobDirectoryTest, AReplacedSignalFifoStillEndsByTheLastResort) {
  work_.timeout = 4s;
  const std::string sig = in_job("sig").string();
  const auto followed = run_script({"sleep 0.3; rm " + sig + "; ln -s /etc/passwd " + sig + "; sleep 60"});
  EXPECT_TRUE(followed.timed_out) << log_.bytes();
  EXPECT_TRUE(followed.dead);
  EXPECT_EQ(last_resorts_, 1);
}

TEST_P(JobDirectoryTest, LatencyFromGoToExit) {
  ::usleep(100'000);  // prepared ahead
  work_.script = {"echo hi"};
  job_->write_script(work_, project_.string());
  const auto begin = Clock::now();
  ASSERT_TRUE(job_->go(hooks_.dead, {}));
  const auto followed = run();
  const auto took = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  EXPECT_EQ(followed.exit_code, 0);
  RecordProperty("milliseconds", std::to_string(took));
  std::cerr << "go to exit: " << took << " ms\n";
  EXPECT_LT(took, 500);
}

INSTANTIATE_TEST_SUITE_P(Shells, JobDirectoryTest, testing::Values("bash", "dash", "busybox"),
                         [](const auto& shell) { return shell.param; });
INSTANTIATE_TEST_SUITE_P(Shells, LingeringJobTest, testing::Values("bash", "dash", "busybox"),
                         [](const auto& shell) { return shell.param; });

TEST(JobDirectoryModes, AnyUserOfTheContainerAndNobodyElse) {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(0077);
  auto job = JobDirectory::create(directory / "job");
  Work work;
  work.script = {"true"};
  work.after_script = {"true"};
  job.write_script(work, "");
  ::umask(before);
  const auto mode = [&](const std::string& name) {
    struct stat info = {};
    EXPECT_EQ(::lstat((directory / name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  };
  EXPECT_EQ(mode("job"), 0711U);
  EXPECT_EQ(mode("job/.job"), 0777U);
  for (const char* name : {"job/.job/go", "job/.job/sig", "job/.job/log", "job/.job/after.log"})
    EXPECT_EQ(mode(name), 0666U);
  EXPECT_EQ(mode("job/.job/tmp/gitlab_runner_env"), 0666U);
  for (const char* name : {"job/.job/script", "job/.job/after"}) EXPECT_EQ(mode(name), 0644U);
}

TEST(JobDirectoryGo, NotWithoutABootstrap) {
  const TemporaryDirectory directory;
  auto job = JobDirectory::create(directory / "job");
  int asked = 0;
  EXPECT_FALSE(job.go([&] { return ++asked == 3; }, {}));
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_FALSE(job.go({}, stopped.get_token()));
}

TEST(JobDirectoryOpen, OnlyWhatIsWhole) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(JobDirectory::open(directory / "none"));
  { const auto job = JobDirectory::create(directory / "job"); }
  EXPECT_TRUE(JobDirectory::open(directory / "job"));
  std::filesystem::remove(directory / "job/.job/log");
  std::filesystem::create_symlink("/etc/passwd", directory / "job/.job/log");
  EXPECT_FALSE(JobDirectory::open(directory / "job"));
  EXPECT_THROW(JobDirectory::create(directory / "job"), WorldError);
}

TEST(JobDirectoryGo, APlantedScriptIsNotFollowed) {
  const TemporaryDirectory directory;
  auto job = JobDirectory::create(directory / "job");
  write_file(directory / "victim", "safe");
  std::filesystem::create_symlink(directory / "victim", directory / "job/.job/script");
  EXPECT_THROW(job.write_script({}, ""), WorldError);
  EXPECT_EQ(read_file(directory / "victim"), "safe");
}

}  // namespace
}  // namespace executors
