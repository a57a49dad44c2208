// `exec --shell-on-fail` and `--keep`: a person at a terminal gets to where a job failed, during the run and after it.
#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

enum class Where { docker, archive, shell };

Options at_a_terminal() {
  Options options;
  options.terminal = true;
  return options;
}

class Failure : public testing::TestWithParam<Where> {
 protected:
  void SetUp() override {
    project_.file("../home/.config/runner/projects/local/project.toml",
                  "[variables]\nPAPER = { value = \"a paper\", file = true }\n");
    project_.configuration(GetParam() == Where::archive ? "image = \"busybox\"\n[docker]\nworkspace = \"archive\"\n"
                                                        : "image = \"busybox\"\n");
  }
  Arguments exec(const Arguments& more) const {
    Arguments all{"exec", "--executor", GetParam() == Where::shell ? "shell" : "docker"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::unique_ptr<Process> with_shell(const Arguments& more = {}) {
    Arguments all{"--shell-on-fail"};
    all.insert(all.end(), more.begin(), more.end());
    return project_.start(exec(all), at_a_terminal());
  }

  Project project_;
};

constexpr const char* fails = R"(
test:
  variables:
    GREETING: hello
  script: [echo content >made.txt, exit 7]
  after_script: [echo after >after.txt]
  artifacts: {when: always, paths: [made.txt]}
)";

// What only the shell can have printed: the typed line is echoed, too.
constexpr const char* look =
    "echo \"[$GREETING] [$CI_JOB_NAME] [$CI_JOB_STATUS] $(cat made.txt) $(cat after.txt) $(cat \"$PAPER\") in "
    "${PWD##*/}\"\n";
constexpr const char* seen = "[hello] [test] [failed] content after a paper in ";

// --- --shell-on-fail ----------------------------------------------------------------------------------------------

TEST_P(Failure, ShellOnFailOpensAShellWhereTheJobWas) {
  project_.pipeline(fails);
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  run->type(look);
  ASSERT_TRUE(run->wait_for(seen));
  EXPECT_FALSE(run->echoes()) << "the terminal is not raw";
  run->type("exit 3\n");
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 1) << ended.out;
  EXPECT_TRUE(run->echoes()) << "the terminal is not as it was";
  EXPECT_THAT(ended.out, HasSubstr("exit code 7"));
  EXPECT_THAT(project_.logs({"test"}), AllOf(HasSubstr("content"), Not(HasSubstr("[hello]"))));
  EXPECT_EQ(project_.run({"artifacts", "test", "--output", (project_.home() / "out").string()}).code, 0);
  EXPECT_EQ(sh("cat '" + (project_.home() / "out/made.txt").string() + "'"), "content\n");
}

TEST_P(Failure, ShellOnFailHasCtrlCAndCtrlDAndTheSize) {
  project_.pipeline("test: {script: exit 1}");
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  run->type("stty size\n");
  ASSERT_TRUE(run->wait_for("24 100"));
  run->resize(40, 132);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  run->type("stty size; sleep 300; echo interrupted-$?\n");
  ASSERT_TRUE(run->wait_for("40 132"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  run->type("\x03");
  run->type("echo still-$((40 + 2))\n");
  ASSERT_TRUE(run->wait_for("still-42"));
  run->type("\x04");
  EXPECT_EQ(run->wait().code, 1);
}

TEST_P(Failure, ShellOnFailComesAfterTheRetriesAndTakesNoTimeOfTheJob) {
  project_.pipeline("test: {retry: 1, timeout: 3s, script: [echo attempt >>made.txt, exit 1]}");
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  EXPECT_THAT(run->out(), HasSubstr("trying again"));
  std::this_thread::sleep_for(std::chrono::seconds(4));
  run->type("echo alive-$((40 + 2)); exit\n");
  EXPECT_TRUE(run->wait_for("alive-42"));
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 1) << ended.out;
  EXPECT_THAT(ended.out, Not(HasSubstr("timeout")));
}

TEST_P(Failure, ShellOnFailAfterATimeout) {
  project_.pipeline("test: {timeout: 2s, script: [echo content >made.txt, sleep 300], after_script: [echo no]}");
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  run->type("echo \"$(cat made.txt)-$((40 + 2))\"; exit\n");
  EXPECT_TRUE(run->wait_for("content-42"));
  EXPECT_EQ(run->wait().code, 1);
}

TEST_P(Failure, ShellOnFailLetsOtherJobsGoOnUnseen) {
  project_.pipeline(R"(
test: {script: exit 1}
other: {script: ['i=0; while [ $i -lt 30 ]; do echo other-$i; i=$((i + 1)); sleep 0.2; done']}
)");
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  const std::string before = run->out();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  run->type("echo quiet-$((40 + 2))\n");
  ASSERT_TRUE(run->wait_for("quiet-42"));
  EXPECT_THAT(run->out().substr(before.size()), Not(HasSubstr("other-")));
  run->type("exit\n");
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 1) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("other-29"));
}

TEST_P(Failure, ShellsOfSeveralJobsComeOneAfterTheOther) {
  project_.pipeline("a: {script: exit 1}\nb: {script: exit 1}\n");
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  run->type("echo first-$CI_JOB_NAME-$((40 + 2)); sleep 2; exit\n");
  ASSERT_TRUE(eventually([&] {
    const std::string out = run->out();
    const auto first = out.find("a shell where it ran");
    return out.find("a shell where it ran", first + 1) != std::string::npos;
  }));
  run->type("echo second-$CI_JOB_NAME-$((40 + 2)); exit\n");
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 1) << ended.out;
  const bool a_first = ended.out.find("first-a-42") != std::string::npos;
  EXPECT_THAT(ended.out, HasSubstr(a_first ? "second-b-42" : "second-a-42"));
}

TEST_P(Failure, ShellOnFailPassesOverWhatIsAllowedToFailUnlessItWasAskedFor) {
  project_.pipeline("test: {allow_failure: true, script: exit 1}");
  auto run = with_shell();
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, Not(HasSubstr("a shell where it ran")));
  auto asked = with_shell({"test"});
  ASSERT_TRUE(asked->wait_for("a shell where it ran"));
  asked->type("exit\n");
  EXPECT_EQ(asked->wait().code, 0);
}

TEST_P(Failure, ShellOnFailIsNotForCancelledJobsAndEndsWithTheRun) {
  project_.pipeline("test: {script: [echo running, sleep 300]}");
  auto run = with_shell();
  ASSERT_TRUE(run->wait_for("running"));
  run->signal(SIGINT);
  const Ended cancelled = run->wait();
  EXPECT_EQ(cancelled.code, 130) << cancelled.out;
  EXPECT_THAT(cancelled.out, Not(HasSubstr("a shell where it ran")));

  project_.pipeline("test: {script: exit 1}");
  run = with_shell();
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  run->type("echo up-$((40 + 2)); sleep 300\n");
  ASSERT_TRUE(run->wait_for("up-42"));
  run->signal(SIGTERM);
  const Ended ended = run->wait();
  EXPECT_LT(ended.seconds, 30);
  EXPECT_NE(ended.code, 0);
  EXPECT_TRUE(run->echoes());
}

TEST(ShellOnFail, NeedsATerminal) {
  Project project;
  project.pipeline("test: {script: exit 1}");
  const Result result = project.run({"exec", "--executor", "shell", "--shell-on-fail"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("--shell-on-fail needs a terminal"), HasSubstr("--keep")));
}

TEST(ShellOnFail, AJobWithoutASandboxSaysSo) {
  Project project;
  project.pipeline("test: {image: '" + registry() + "/no-such-image', script: exit 1}");
  const Ended ended = project.start({"exec", "--shell-on-fail"}, at_a_terminal())->wait();
  EXPECT_EQ(ended.code, 3) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("no shell: it had no sandbox"));
}

TEST(ShellOnFail, AContainerThatWasKilledSaysSo) {
  Project project;
  project.pipeline("test: {image: busybox, script: [echo running, sleep 300]}");
  auto run = project.start({"exec", "--shell-on-fail", "--keep"}, at_a_terminal());
  ASSERT_TRUE(run->wait_for("running"));
  sh("docker kill " + project.containers("--filter label=runner.kind=job").at(0));
  const Ended ended = run->wait();
  EXPECT_EQ(ended.code, 3) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("no shell: its container has ended"));
}

TEST(ShellOnFail, HasTheServicesAndTheImagesUser) {
  Project project;
  project.pipeline(R"(
test:
  image: runner-test/nonroot
  services: [{name: "redis:7", alias: cache}]
  script: [id -u, exit 1]
)");
  auto run = project.start({"exec", "--shell-on-fail"}, at_a_terminal());
  ASSERT_TRUE(run->wait_for("a shell where it ran"));
  run->type("echo \"$(id -u) $(printf 'PING\\r\\nQUIT\\r\\n' | nc cache 6379 | head -n 1)\"\n");
  EXPECT_TRUE(run->wait_for("1234 +PONG"));
  run->type("exit\n");
  EXPECT_EQ(run->wait().code, 1);
}

// --- --keep -------------------------------------------------------------------------------------------------------

// A command line that the program has printed, as a person pastes it.
std::unique_ptr<Process> paste(const std::string& command) {
  const std::string bin = std::filesystem::path(binary()).parent_path().string();
  std::map<std::string, std::string> environment{{"PATH", bin + ":" + std::getenv("PATH")}, {"TERM", "xterm"}};
  if (const char* host = std::getenv("DOCKER_HOST")) environment["DOCKER_HOST"] = host;
  return std::make_unique<Process>(Arguments{"bash", "-c", command}, environment, at_a_terminal());
}

void enter(const std::string& command, const std::string& type, const std::string& expected) {
  auto shell = paste(command);
  shell->type(type);
  EXPECT_TRUE(shell->wait_for(expected));
  shell->type("exit\n");
  EXPECT_EQ(shell->wait().code, 0);
}

TEST_P(Failure, KeepLeavesWhatFailedAndSaysHowToEnterAndRemoveIt) {
  project_.file("source.txt", "source\n").pipeline(fails);
  Result result = project_.run(exec({"--keep", "--output", "json"}));
  EXPECT_EQ(result.code, 1) << result;
  const Json kept = result.finished("test").value("kept", Json());
  ASSERT_TRUE(kept.is_object()) << result;
  // It outlives other runs, gc and the cleaning up after crashes.
  EXPECT_EQ(project_.run(exec({"--output", "json"})).finished("test").count("kept"), 0U);
  project_.file("more.txt", "x").file("source.txt", "changed\n");
  for (int i = 0; i < 3; ++i) project_.run(exec({"--output", "json", "--variable", "A=" + std::to_string(i)}));
  EXPECT_EQ(project_.run({"gc"}).code, 0);
  const Result doctor = project_.run({"doctor", "--clean"});
  EXPECT_THAT(doctor.out, AllOf(HasSubstr("test of run 1 (--keep)"), HasSubstr("runner doctor --remove 1"),
                                Not(HasSubstr("run 1 left")), Not(HasSubstr("gave up"))));

  enter(kept["enter"], std::string(look) + "cat source.txt\n", seen);
  enter(kept["enter"], "echo \"$(cat source.txt)-$((40 + 2))\"\n", "source-42");

  const Ended removed = paste(kept["remove"])->wait();
  EXPECT_EQ(removed.code, 0) << removed.out;
  EXPECT_THAT(removed.out, HasSubstr("removed what was kept of run 1: test"));
  EXPECT_EQ(project_.leftovers(), "");
  const Result again = project_.run({"doctor", "--remove", "1"});
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr("nothing is kept of run 1"));
}

TEST_P(Failure, KeepIsToldInTheClosingReport) {
  project_.pipeline(
      "test: {script: exit 1}\nfine: {script: 'true'}\ntolerated: {allow_failure: true, script: exit 1}\n");
  const Result result = project_.run(exec({"--keep", "--output", "plain"}));
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("test is kept"), HasSubstr("  enter:     "), HasSubstr("  remove it: runner ")));
  EXPECT_THAT(result.out, Not(HasSubstr("tolerated is kept")));
  if (GetParam() != Where::shell) {
    EXPECT_EQ(project_.containers("--filter label=runner.kind=job").size(), 1U);
  }
  EXPECT_EQ(project_.run({"doctor", "--remove", "1"}).code, 0);
}

TEST_P(Failure, KeepIsOfTheLastAttemptAndSurvivesACrashOfTheRun) {
  project_.pipeline(R"(
test: {retry: 1, script: [echo content >made.txt, exit 1]}
other: {script: ['echo waiting; sleep 4']}
)");
  auto run = project_.start(exec({"--keep", "--output", "json"}));
  ASSERT_TRUE(run->wait_for("\"outcome\":\"failed\""));
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  if (GetParam() == Where::archive) {
    EXPECT_EQ(project_.run({"doctor", "--clean"}).code, 0);  // nothing of such a job is there to be taken up
  } else {
    const Result resumed = project_.run({"resume", "--output", "json"});
    EXPECT_EQ(resumed.code, 1) << resumed;
    EXPECT_EQ(resumed.outcome("other"), "passed");
    EXPECT_TRUE(resumed.finished("test").contains("kept"));
  }
  const Result doctor = project_.run({"doctor"});
  EXPECT_THAT(doctor.out, AllOf(HasSubstr("test of run 1 (--keep): "), Not(HasSubstr("run 1 left"))));
  if (GetParam() != Where::shell) {
    EXPECT_THAT(project_.containers("--filter label=runner.kind=job"),
                testing::ElementsAre(testing::EndsWith("-1-1-2")));
  }
  EXPECT_EQ(project_.run({"doctor", "--remove", "1"}).code, 0);
}

TEST(Keep, ServicesNetworkAndTheImagesUser) {
  Project project;
  project.pipeline(R"(
test:
  image: runner-test/nonroot
  services: [{name: "redis:7", alias: cache}]
  script: [id -u, exit 1]
)");
  const Result result = project.docker({"--keep"});
  const Json kept = result.finished("test").value("kept", Json());
  ASSERT_TRUE(kept.is_object()) << result;
  enter(kept["enter"], "echo \"$(id -u) $(printf 'PING\\r\\nQUIT\\r\\n' | nc cache 6379 | head -n 1)\"\n",
        "1234 +PONG");
  EXPECT_EQ(paste(kept["remove"])->wait().code, 0);
}

TEST(Keep, ItsNetworkIsNobodyElses) {
  Project project;
  project.pipeline(R"(
default: {image: busybox}
stages: [one, two, three]
test: {stage: one, script: exit 1}
next: {stage: two, when: always, script: 'true'}
last: {stage: three, when: always, script: 'true'}
)");
  const Result result = project.docker({"--keep", "--parallel", "1"});
  EXPECT_EQ(result.outcome("next"), "passed") << result;
  EXPECT_EQ(result.outcome("last"), "passed");
  const std::vector<std::string> left = project.containers("--filter status=running");
  EXPECT_LE(left.size(), 2U) << "the job's, and the one that holds its network";
  enter(result.finished("test")["kept"]["enter"], "ls /sys/class/net; echo net-$((40 + 2))\n", "eth0");
  EXPECT_EQ(project.run({"doctor", "--remove", "1"}).code, 0);
}

TEST(Keep, OfAnOrdinaryUserWhoseJobsRunAsRoot) {
  const auto user = ordinary_user();
  if (!user) GTEST_SKIP() << "only root can become another";
  Project project(user);
  project.pipeline("test: {image: busybox, script: [mkdir -m 700 dir, touch dir/file, exit 1]}");
  const Result result = project.docker({"--keep"});
  ASSERT_TRUE(result.finished("test").contains("kept")) << result;
  const Result removed = project.run({"doctor", "--remove", "1"});
  EXPECT_EQ(removed.code, 0) << removed;
  EXPECT_EQ(project.leftovers(), "");
}

INSTANTIATE_TEST_SUITE_P(By, Failure, testing::Values(Where::docker, Where::archive, Where::shell),
                         [](const auto& way) {
                           return way.param == Where::docker    ? "Docker"
                                  : way.param == Where::archive ? "Archive"
                                                                : "Shell";
                         });

}  // namespace
}  // namespace e2e
