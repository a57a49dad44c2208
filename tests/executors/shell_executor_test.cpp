// Jobs on this very machine, under a supervisor: this test program itself, started as `… __supervise DIR`.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <thread>

#include "executors/make.h"
#include "executors/shell/process.h"
#include "tests/executors/sandbox.h"

namespace executors {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using pipelines::Outcome;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Before main(), because main() is GoogleTest's.
__attribute__((constructor)) void become_supervisor(int count, char** words) {
  if (count == 3 && std::strcmp(words[1], "__supervise") == 0) ::_exit(supervise_main(words[2]));
}

class ShellExecutorTest : public testing::Test {
 protected:
  ShellExecutorTest() {
    spec_.id.name = "build";
    spec_.directory = directory_ / "state/j/1";
    spec_.layer = directory_ / "state/layers/1";
    spec_.project_dir = (spec_.directory / "ws").string();
    work_.timeout = 60s;
    work_.grace = 1s;
  }
  ~ShellExecutorTest() override {
    executor_->settle();
    EXPECT_FALSE(fs::exists(spec_.directory));
  }

  static ShellSettings settings() {
    return {{{"FROM_SETTINGS", "yes"}}, {}, fs::read_symlink("/proc/self/exe").string()};
  }
  JobResult run(std::vector<std::string> script) {
    work_.script = std::move(script);
    const auto execution = executor_->prepare(spec_, notices_, {});
    return execution->run(work_, log_, notices_, stop_.get_token());
  }
  // Its processes carry the job's directory in their environment, or in this test's case also in their words.
  std::size_t running(const std::string& words) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(fs::directory_iterator("/proc"), [&](const fs::directory_entry& entry) {
          return read_file(entry.path() / "cmdline").find(words) != std::string::npos;
        }));
  }
  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 500; ++i) {
      if (condition()) return true;
      ::usleep(10'000);
    }
    return false;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Executor> executor_ = make_shell_executor(settings());
  JobSpec spec_;
  Work work_;
  KeptLog log_;
  KeptNotices notices_;
  std::stop_source stop_;
};

TEST_F(ShellExecutorTest, RunsInACopyOfTheSources) {
  write_file(directory_ / "snapshot/src/a", "tracked");
  write_file(directory_ / "input/dist/b", "from an earlier job");
  spec_.sources.snapshot = directory_ / "snapshot";
  spec_.inputs = {directory_ / "input"};
  work_.artifacts.paths = {"dist"};
  work_.environment = {{"GREETING", "hello"}};
  const auto result = run({"pwd; cat src/a dist/b; echo $GREETING $FROM_SETTINGS; echo more >>dist/b; rm src/a"});
  EXPECT_EQ(result.outcome, Outcome::passed) << result.message;
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(log_.bytes(), HasSubstr("\n" + spec_.project_dir + "\ntrackedfrom an earlier jobhello yes\n"));
  ASSERT_EQ(result.collected.size(), 1U);
  EXPECT_EQ(read_file(spec_.layer / "dist/b"), "from an earlier jobmore\n");
  EXPECT_EQ(read_file(directory_ / "input/dist/b"), "from an earlier job");
  EXPECT_EQ(read_file(directory_ / "snapshot/src/a"), "tracked");
}

TEST_F(ShellExecutorTest, TheRunnersSecretsStayWithIt) {
  ::setenv("RUNNER_TOKEN_FOR_TEST", "hunter22", 1);
  ::setenv("OWN_FOR_TEST", "kept", 1);
  run({"env"});
  EXPECT_EQ(log_.bytes().find("hunter22"), std::string::npos);
  EXPECT_THAT(log_.bytes(), HasSubstr("OWN_FOR_TEST=kept\n"));
  ::unsetenv("RUNNER_TOKEN_FOR_TEST");
  ::unsetenv("OWN_FOR_TEST");
}

TEST_F(ShellExecutorTest, FailureAndAfterScript) {
  work_.after_script = {"echo $CI_JOB_STATUS; pwd"};
  work_.artifacts.paths = {"x"};
  work_.artifacts.when = pipelines::ArtifactsWhen::on_failure;
  const auto result = run({"echo 1 >x; cd /; exit 7"});
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.reason, "script_failure");
  EXPECT_EQ(result.collected.size(), 1U);
  EXPECT_EQ(timeless(log_.bytes()),
            "<section_start step_script>$ echo 1 >x; cd /; exit 7\n<section_end step_script>"
            "<section_start after_script>$ echo $CI_JOB_STATUS; pwd\nfailed\n" +
                spec_.project_dir + "\n<section_end after_script>");
}

TEST_F(ShellExecutorTest, ServicesAreRefused) {
  spec_.services.push_back({.image = "postgres:15", .aliases = {"postgres"}});
  try {
    executor_->prepare(spec_, notices_, {});
    FAIL();
  } catch (const WorldError& error) {
    EXPECT_THAT(error.what(), HasSubstr("postgres:15"));
    EXPECT_THAT(error.hint, HasSubstr("docker"));
  }
}

TEST_F(ShellExecutorTest, AMissingSupervisorIsAWorldError) {
  auto without = make_shell_executor({{}, {}, "/does/not/exist"});
  EXPECT_THROW(without->prepare(spec_, notices_, {}), WorldError);
  without->settle();
  EXPECT_FALSE(fs::exists(spec_.directory));
  auto wrong = make_shell_executor({{}, {}, "/bin/false"});
  const auto execution = wrong->prepare(spec_, notices_, {});
  EXPECT_THROW(execution->run(work_, log_, notices_, {}), WorldError);
}

TEST_F(ShellExecutorTest, CanBePreparedAheadAndDropped) {
  { const auto execution = executor_->prepare(spec_, notices_, {}); }
  executor_->settle();
  EXPECT_FALSE(fs::exists(spec_.directory));
  EXPECT_EQ(running(spec_.directory.string()), 0U);
}

TEST_F(ShellExecutorTest, StopIsTermThenAfterScript) {
  work_.grace = 30s;
  work_.after_script = {"echo after $CI_JOB_STATUS"};
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
  });
  const auto begin = Clock::now();
  const auto result = run({"trap 'echo trapped; exit 3' TERM; echo ready; sleep 30 & wait $!"});
  EXPECT_LT(Clock::now() - begin, 20s);
  EXPECT_EQ(result.outcome, Outcome::cancelled);
  EXPECT_THAT(log_.bytes(), HasSubstr("\ntrapped\n"));
  EXPECT_THAT(log_.bytes(), HasSubstr("\nafter canceled\n"));
}

TEST_F(ShellExecutorTest, WhoeverIgnoresTermIsKilledWithAllItStarted) {
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
  });
  const auto result =
      run({"trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 31.4159; done' & echo ready; "
           "while :; do sleep 31.4159; done"});
  EXPECT_EQ(result.outcome, Outcome::cancelled);
  EXPECT_EQ(result.exit_code, 137);
  EXPECT_EQ(running("31.4159"), 0U);
}

TEST_F(ShellExecutorTest, ASecondStopKillsAtOnce) {
  work_.grace = 60s;
  work_.after_script = {"echo never"};
  std::jthread stopper([this] {
    log_.await("ready\n");
    stop_.request_stop();
    ::usleep(50'000);
    executor_->hurry();
  });
  const auto begin = Clock::now();
  const auto result = run({"trap '' TERM; echo ready; while :; do sleep 1; done"});
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_EQ(result.outcome, Outcome::cancelled);
  EXPECT_EQ(log_.bytes().find("never"), std::string::npos);
}

TEST_F(ShellExecutorTest, Timeout) {
  work_.timeout = 1s;
  const auto result = run({"sleep 30"});
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_EQ(result.reason, "job_execution_timeout");
}

TEST_F(ShellExecutorTest, ADaemonNeitherHoldsTheEndNorOutlivesIt) {
  const auto begin = Clock::now();
  const auto result =
      run({"(setsid env -i /bin/sh -c 'while :; do echo noise; /bin/sleep 27.1828; done' &)", "echo end"});
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_EQ(result.outcome, Outcome::passed);
  EXPECT_EQ(running("27.1828"), 0U);
}

TEST_F(ShellExecutorTest, KillZeroIsForTheJobOnly) {
  const auto result = run({"kill -9 0"});
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_EQ(result.exit_code, 137);
}

TEST_F(ShellExecutorTest, AJobThatKillsItsSupervisorIsLostAndSwept) {
  const auto result = run({"sleep 16.1803 & kill -9 $PPID; sleep 16.1803"});
  EXPECT_EQ(result.outcome, Outcome::broken);
  EXPECT_EQ(result.reason, "lost");
  EXPECT_EQ(running("16.1803"), 0U);
}

TEST_F(ShellExecutorTest, ExactBytes) {
  write_file(directory_ / "snapshot/bytes", std::string("\0\xff\r\n\xc3(", 6));
  spec_.sources.snapshot = directory_ / "snapshot";
  run({"cat bytes; head -c 10485760 /dev/zero | tr '\\0' y; printf end"});
  const auto text = timeless(log_.bytes());
  const auto begin = text.find('\n') + 1;
  EXPECT_TRUE(text.substr(begin, text.rfind('<') - begin) ==
              std::string("\0\xff\r\n\xc3(", 6) + std::string(10485760, 'y') + "end");
}

TEST_F(ShellExecutorTest, ManyLinesArriveFast) {
  write_file(directory_ / "snapshot/lines.awk", "BEGIN { for (i = 0; i < 200000; ++i) printf \"%099d\\n\", i }");
  spec_.sources.snapshot = directory_ / "snapshot";
  work_.script = {"awk -f lines.awk"};
  const auto execution = executor_->prepare(spec_, notices_, {});
  const auto begin = Clock::now();
  execution->run(work_, log_, notices_, {});
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::cerr << "20 MB in 200,000 lines: " << took.count() << " s\n";
  EXPECT_EQ(std::ranges::count(log_.bytes(), '\n'), 200001);
}

TEST_F(ShellExecutorTest, LatencyFromGoToTheEnd) {
  work_.script = {"echo hi"};
  const auto execution = executor_->prepare(spec_, notices_, {});
  ::usleep(100'000);
  const auto begin = Clock::now();
  execution->run(work_, log_, notices_, {});
  const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
  std::cerr << "go to result: " << took.count() << " ms\n";
}

TEST_F(ShellExecutorTest, ArtifactsFailureOfAFailedScriptIsAWarning) {
  work_.artifacts.paths = {"x"};
  work_.artifacts.when = pipelines::ArtifactsWhen::always;
  spec_.layer = "/proc/nothing/here";
  EXPECT_EQ(run({"echo 1 >x; false"}).outcome, Outcome::failed);
  EXPECT_THAT(notices_.warnings, testing::Contains(HasSubstr("cannot store")));
  executor_->settle();
  EXPECT_THROW(run({"echo 1 >x"}), WorldError);
}

// A runner in another process, whose sink is a file; killed at any moment.
class Crash : public ShellExecutorTest {
 protected:
  // Without the executor's thread: a child of a process with threads may not make any.
  pid_t fork_alone() {
    executor_.reset();
    const pid_t pid = ::fork();
    if (pid != 0) executor_ = make_shell_executor(settings());
    return pid;
  }
  pid_t start_runner(std::vector<std::string> script) {
    work_.script = std::move(script);
    const pid_t pid = fork_alone();
    if (pid != 0) return pid;
    struct ToFile : LogSink {
      explicit ToFile(const fs::path& path) : fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)) {}
      void write(std::string_view bytes) override {
        if (::write(fd, bytes.data(), bytes.size()) < 0) ::_exit(9);
      }
      int fd;
    } sink(directory_ / "kept");
    auto executor = make_shell_executor(settings());
    auto execution = executor->prepare(spec_, notices_, {});
    write_file(directory_ / "handle.t", execution->handle());
    fs::rename(directory_ / "handle.t", directory_ / "handle");
    execution->run(work_, sink, notices_, {});
    ::_exit(0);
  }
  std::string kept() const { return read_file(directory_ / "kept"); }
  void kill_runner(pid_t pid) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  JobResult adopt_and_run() {
    const auto before = kept();
    auto execution = executor_->adopt(spec_, read_file(directory_ / "handle"), before.size());
    if (!execution) return {.reason = "not adopted"};
    log_.write(before);
    return execution->run(work_, log_, notices_, {});
  }
};

TEST_F(Crash, TheNextRunnerLosesAndRepeatsNothing) {
  const pid_t runner = start_runner(
      {"i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; sleep 0.3; echo x >a; echo end; exit 5"});
  ASSERT_TRUE(eventually([&] { return kept().size() > 2000; }));
  kill_runner(runner);
  work_.artifacts.paths = {"a"};
  work_.artifacts.when = pipelines::ArtifactsWhen::always;
  const auto result = adopt_and_run();
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.collected.size(), 1U);
  const auto text = log_.bytes();
  std::string expected;
  for (int i = 1; i <= 3000; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_TRUE(text.find("\n" + expected + "end\n") != std::string::npos) << text.size();
  EXPECT_EQ(std::ranges::count(text, '\n'), 3002);
  EXPECT_TRUE(text.ends_with(":step_script\r\x1b[0K"));
}

TEST_F(Crash, AlsoWhenTheJobHasEndedMeanwhile) {
  const pid_t runner = start_runner({"echo one; sleep 0.2; echo two"});
  ASSERT_TRUE(eventually([&] { return kept().find("\none\n") != std::string::npos; }));
  kill_runner(runner);
  ASSERT_TRUE(eventually([&] { return fs::exists(spec_.directory / ".job/ended"); }));
  EXPECT_EQ(adopt_and_run().outcome, Outcome::passed);
  EXPECT_THAT(timeless(log_.bytes()), HasSubstr("\none\ntwo\n<section_end step_script>"));
}

TEST_F(Crash, AnAdoptedJobCanBeStopped) {
  const pid_t runner = start_runner({"echo one; sleep 30"});
  ASSERT_TRUE(eventually([&] { return kept().find("\none\n") != std::string::npos; }));
  kill_runner(runner);
  stop_.request_stop();
  auto execution = executor_->adopt(spec_, read_file(directory_ / "handle"), kept().size());
  ASSERT_TRUE(execution);
  EXPECT_EQ(execution->run(work_, log_, notices_, stop_.get_token()).outcome, Outcome::cancelled);
}

TEST_F(Crash, APreparedJobGoesWithItsRunner) {
  const pid_t runner = fork_alone();
  if (runner == 0) {
    auto executor = make_shell_executor(settings());
    auto execution = executor->prepare(spec_, notices_, {});
    write_file(directory_ / "handle", execution->handle());
    ::pause();
  }
  ASSERT_TRUE(eventually([&] { return fs::exists(directory_ / "handle"); }));
  kill_runner(runner);
  EXPECT_TRUE(eventually([&] { return running(spec_.directory.string()) == 0; }));
  EXPECT_FALSE(executor_->adopt(spec_, read_file(directory_ / "handle"), 0));
}

TEST_F(Crash, APreparedJobIsPreparedAgain) {
  for (const bool at_once : {true, false}) {
    fs::remove(directory_ / "handle");
    const pid_t runner = fork_alone();
    if (runner == 0) {
      auto executor = make_shell_executor(settings());
      auto execution = executor->prepare(spec_, notices_, {});
      write_file(spec_.directory / "ws/theirs", "x");
      write_file(directory_ / "handle", execution->handle());
      ::pause();
    }
    ASSERT_TRUE(eventually([&] { return fs::exists(directory_ / "handle"); }));
    kill_runner(runner);
    if (!at_once) {
      EXPECT_TRUE(eventually([&] { return running(spec_.directory.string()) == 0; }));
    }
    EXPECT_EQ(run({"test ! -e theirs"}).outcome, Outcome::passed);
    executor_->settle();
    EXPECT_EQ(running(spec_.directory.string()), 0);
  }
}

TEST_F(Crash, NothingToAdopt) {
  EXPECT_FALSE(executor_->adopt(spec_, "shell:1:1", 0));
  EXPECT_FALSE(executor_->adopt(spec_, "", 0));
  EXPECT_FALSE(executor_->adopt(spec_, "docker:abc", 0));
}

TEST(Processes, ANumberUsedAgainIsAnotherProcess) {
  const auto self = find_process(::getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(is_alive(*self));
  EXPECT_FALSE(is_alive({self->pid, self->start + 1}));
  EXPECT_FALSE(find_process(0));
}

}  // namespace
}  // namespace executors
