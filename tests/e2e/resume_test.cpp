// The runner is killed; its jobs go on, nothing is removed, and whoever comes next takes the run up where it was.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// What is done by the shell executor and in Docker alike.
class Resume : public testing::TestWithParam<bool> {
 protected:
  bool docker() const { return GetParam(); }
  std::unique_ptr<Process> start(const Arguments& arguments = {}) {
    Arguments all{"--variable", "GATE=" + gate().string()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return docker() ? project_.start_docker(all) : project_.start_exec(all);
  }
  void SetUp() override {
    // The gate lies outside the sandbox; a job in Docker sees it by a volume of the configuration.
    std::filesystem::create_directories(gate());
    project_.configuration("image = \"busybox\"\n[docker]\nvolumes = [\"" + gate().string() + ":" + gate().string() +
                           "\"]\n");
  }
  std::filesystem::path gate() const { return project_.home() / "gate"; }
  void open_gate() { sh("touch '" + (gate() / "open").string() + "'"); }
  Result resume(const Arguments& arguments = {}) {
    Arguments all{"resume", "--output", "json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return project_.run(all);
  }
  bool second_is_ready(const std::string& run = "1") const {
    return std::filesystem::exists(project_.work() / run / "j2-1/.job");
  }
  std::string gate_text(const std::string& name) const {
    return sh("cat '" + (gate() / name).string() + "' 2>/dev/null || true");
  }

  Project project_;
};

constexpr const char* waiting = R"(
stages: [build, test, deploy]
prepare: {stage: build, script: [echo built >out.txt], artifacts: {paths: [out.txt]}}
wait:
  stage: test
  script:
    - echo once >>"$GATE/starts"
    - seq 1 3000
    - echo waiting
    - while [ ! -e "$GATE/open" ]; do sleep 0.05; done
    - seq 3001 6000
    - cat out.txt
    - echo mine >mine.txt
  after_script: [echo "after $CI_JOB_STATUS"]
  artifacts: {paths: [mine.txt]}
deploy: {stage: deploy, script: [cat out.txt mine.txt]}
)";

std::string numbers(int from, int to) {
  std::string text;
  for (int i = from; i <= to; ++i) text += std::to_string(i) + "\n";
  return text;
}

TEST_P(Resume, TakesTheRunUpWhereItWas) {
  project_.pipeline(waiting);
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  // It goes on without us, and the pipeline may have changed meanwhile.
  EXPECT_EQ(project_.runs().at(0)["outcome"], nullptr);
  if (docker()) {
    EXPECT_EQ(project_.containers("--filter status=running --filter label=runner.kind=job").size(), 1U);
  } else {
    EXPECT_FALSE(project_.processes().empty());
  }
  project_.pipeline("other: {script: echo other}");
  open_gate();
  const Result result = resume({"1"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("wait"), "passed");
  EXPECT_EQ(result.outcome("deploy"), "passed");
  EXPECT_EQ(result.printed("deploy"), "built\nmine\n");
  EXPECT_EQ(gate_text("starts"), "once\n");
  EXPECT_EQ(project_.runs().size(), 1U);
  EXPECT_EQ(project_.runs().at(0)["outcome"], "passed");
  // No byte is lost, none comes twice.
  const std::string log = project_.logs({"wait"});
  EXPECT_THAT(log, HasSubstr("$ seq 1 3000\n" + numbers(1, 3000) + "$ echo waiting\nwaiting\n$ while"));
  EXPECT_THAT(log, HasSubstr("$ seq 3001 6000\n" + numbers(3001, 6000) +
                             "$ cat out.txt\nbuilt\n$ echo mine >mine.txt\nsection_end:"));
  EXPECT_THAT(log, HasSubstr("after success\n"));
}

TEST_P(Resume, TakesAChildPipelineUpWithItsParent) {
  project_.file("child.yml", R"(
wait: {script: ['echo waiting; echo once >>"$GATE/starts"', 'while [ ! -e "$GATE/open" ]; do sleep 0.05; done']}
next: {needs: [wait], script: echo next}
)");
  project_.pipeline(R"(
start:
  stage: build
  trigger: {include: child.yml, strategy: depend, forward: {pipeline_variables: true}}
after: {script: echo after}
)");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  project_.file("child.yml", "other: {script: echo other}\n");
  open_gate();
  const Result result = resume();  // the newest that nobody started: the parent
  EXPECT_EQ(result.code, 0) << result;
  for (const char* job : {"start", "after", "wait", "next"}) EXPECT_EQ(result.outcome(job), "passed") << job;
  EXPECT_EQ(gate_text("starts"), "once\n");
  EXPECT_EQ(project_.runs().size(), 2U);
  EXPECT_EQ(project_.runs().at(0)["outcome"], "passed");
  EXPECT_EQ(project_.runs().at(1)["outcome"], "passed");
  // What the dead runner had prepared ahead looks once a second whether it is still wanted.
  for (int i = 0; i < 50 && !project_.leftovers().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

// While `first` waits, `second` is made ready: a directory of its own, a supervisor or a container.
constexpr const char* two_stages = R"(
stages: [one, two]
first:
  stage: one
  script:
    - echo waiting
    - while [ ! -e "$GATE/open" ]; do sleep 0.05; done
    - echo x >"$GATE/over"
    - exit $CODE
second: {stage: two, script: [echo second]}
)";

TEST_P(Resume, AJobPreparedAheadIsPreparedAgain) {
  for (const bool over : {false, true}) {
    sh("rm -f '" + gate().string() + "/'*");
    project_.pipeline(two_stages);
    auto run = start({"--variable", "CODE=0"});
    ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
    ASSERT_TRUE(eventually([&] { return second_is_ready(over ? "2" : "1"); }));
    run->kill();
    run->wait();
    open_gate();
    if (over) {
      ASSERT_TRUE(eventually([&] { return gate_text("over") == "x\n"; }));
      std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // the prepared one sees that its runner is gone
    }
    const Result result = resume();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.outcome("first"), "passed");
    EXPECT_EQ(result.printed("second"), "second\n");
    EXPECT_EQ(project_.leftovers(), "");
  }
}

TEST_P(Resume, AJobRecordedAsStartedThatGotNoGoBeginsAnew) {
  project_.pipeline(two_stages);
  auto run = start({"--variable", "CODE=0"});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  ASSERT_TRUE(eventually([&] { return second_is_ready(); }));
  run->kill();
  run->wait();
  // As if the runner had died in the millisecond between the two.
  sh("sqlite3 '" + project_.database().string() +
     "' \"UPDATE attempts SET state = 2, started = 1700000000000, handle = 'gone' WHERE job = 2;"
     " UPDATE jobs SET state = 2 WHERE job = 2\"");
  open_gate();
  const Result result = resume();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("second"), "second\n");
  EXPECT_EQ(project_.leftovers(), "");
}

TEST_P(Resume, AJobPreparedAheadThatIsNotNeededLeavesNothing) {
  project_.pipeline(two_stages);
  auto run = start({"--variable", "CODE=3"});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  ASSERT_TRUE(eventually([&] { return second_is_ready(); }));
  run->kill();
  run->wait();
  open_gate();
  ASSERT_TRUE(eventually([&] { return gate_text("over") == "x\n"; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const Result result = resume();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.exit_code("first"), 3);
  EXPECT_EQ(result.outcome("second"), "skipped");
  EXPECT_EQ(project_.leftovers(), "");
}

TEST_P(Resume, AChildPipelineThatWasOverLeavesNothing) {
  project_.file("child.yml", R"(
stages: [one, two, three]
c1: {stage: one, script: exit 1}
c2: {stage: two, script: echo c2}
c3: {stage: three, script: echo c3}
)");
  project_.pipeline(R"(
child: {trigger: {include: child.yml, strategy: depend}}
wait: {script: [echo waiting, 'while [ ! -e "$GATE/open" ]; do sleep 0.05; done']}
)");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  ASSERT_TRUE(eventually([&] {
    const Json runs = project_.runs();
    return runs.size() == 2 && runs[0]["outcome"] == "failed";
  }));
  run->kill();
  run->wait();
  open_gate();
  const Result result = resume();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("wait"), "passed");
  EXPECT_EQ(project_.leftovers(), "");
}

TEST_P(Resume, AJobThatEndedMeanwhileKeepsItsExitCodeAndItsLastWords) {
  project_.pipeline(R"(
wait:
  script:
    - echo waiting
    - while [ ! -e "$GATE/open" ]; do sleep 0.05; done
    - echo last words
    - echo x >"$GATE/over"
    - exit 42
)");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  open_gate();
  ASSERT_TRUE(eventually([&] { return gate_text("over") == "x\n"; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const Result result = resume();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.exit_code("wait"), 42);
  EXPECT_THAT(project_.logs({"wait"}), AllOf(HasSubstr("\nwaiting\n"), HasSubstr("\nlast words\n$ echo x")));
}

TEST_P(Resume, ManyKillsWhileItPrintsLoseNoByte) {
  project_.pipeline(R"(
print:
  script:
    - echo begin
    - i=0; while [ $i -lt 40 ]; do seq $((i*2000+1)) $((i*2000+2000)); i=$((i+1)); sleep 0.1; done
    - printf end
)");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"begin\""));
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 130 * i));
    run->kill();
    run->wait();
    run = project_.start({"resume", "1", "--output", "json"});
    run->wait_for("run_started");
  }
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 0) << result;
  const std::string log = project_.logs({"print"});
  const std::size_t at = log.find("\n1\n2\n");
  ASSERT_NE(at, std::string::npos);
  const std::string wanted = numbers(1, 80000) + "$ printf end\nendsection_end:";
  EXPECT_TRUE(log.compare(at + 1, wanted.size(), wanted) == 0) << log.size() << " bytes";
}

TEST_P(Resume, ATimeoutGoesOnCountingWhileNobodyWatches) {
  project_.pipeline(R"(
slow: {timeout: 3 seconds, script: [echo waiting, sleep 600]}
)");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  std::this_thread::sleep_for(std::chrono::seconds(4));
  const Result result = resume();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.reason("slow"), "job_execution_timeout");
}

TEST_P(Resume, ACancelWorksOnATakenUpRun) {
  project_.pipeline("slow: {script: [echo waiting, sleep 600]}");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  auto second = project_.start({"resume", "--output", "json"});
  ASSERT_TRUE(second->wait_for("run_started"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  second->interrupt();
  const Result result = read_result(second->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.outcome("slow"), "cancelled");
}

TEST_P(Resume, NeedsTheSecretsAgainAndMasksThem) {
  constexpr const char* secret = "s3cr3t-v4lue-0123456789";
  project_.pipeline(
      "wait: {script: [echo waiting, 'while [ ! -e \"$GATE/open\" ]; do sleep 0.05; done', 'echo \"it is $TOKEN\"']}");
  auto run = start({"--secret", std::string("TOKEN=") + secret});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  open_gate();
  const Result without = resume();
  EXPECT_EQ(without.code, 2) << without;
  EXPECT_THAT(without.err, HasSubstr("TOKEN"));
  const Result result = resume({"--secret", std::string("TOKEN=") + secret});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(project_.logs({"wait"}).find(secret), std::string::npos);
  EXPECT_THAT(project_.logs({"wait"}), HasSubstr("it is [MASKED]\n"));
}

TEST_P(Resume, RefusesAnotherValueOfASecret) {
  project_.pipeline(
      "wait: {script: [echo waiting, 'while [ ! -e \"$GATE/open\" ]; do sleep 0.05; done', 'echo \"it is $TOKEN\"']}");
  auto run = start({"--secret", "TOKEN=the-real-value"});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  open_gate();
  const Result wrong = resume({"--secret", "TOKEN=some-other-value"});
  EXPECT_EQ(wrong.code, 2) << wrong;
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("TOKEN"), HasSubstr("another value"), Not(HasSubstr("some-other-value"))));
  EXPECT_EQ(resume({"--secret", "TOKEN=the-real-value"}).code, 0);
  EXPECT_THAT(project_.logs({"wait"}), HasSubstr("it is [MASKED]\n"));
}

TEST_P(Resume, TakesMaskedValuesFromTheFileAgain) {
  // `later` takes artifacts, so that nothing of it stands ready when the runner dies.
  const auto pipeline = [&](const std::string& value) {
    project_.pipeline("variables: {TOKEN: {value: " + value + R"yaml(, masked: true}}
wait:
  script:
    - echo waiting
    - while [ ! -e "$GATE/open" ]; do sleep 0.05; done
    - echo "it is $TOKEN" >out.txt
    - cat out.txt
  artifacts: {paths: [out.txt]}
later: {needs: [wait], script: 'test "it is $TOKEN" = "$(cat out.txt)" && test "$TOKEN" = value-of-the-file'}
)yaml");
  };
  pipeline("value-of-the-file");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  open_gate();
  pipeline("another-value-now");
  const Result wrong = resume();
  EXPECT_EQ(wrong.code, 2) << wrong;
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("TOKEN"), HasSubstr("--secret")));
  pipeline("value-of-the-file");
  const Result result = resume();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(project_.logs({"wait"}), HasSubstr("it is [MASKED]\n"));
}

TEST_P(Resume, OnlyOneAtATimeMayDriveARun) {
  project_.pipeline("wait: {script: [echo waiting, 'while [ ! -e \"$GATE/open\" ]; do sleep 0.05; done']}");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  const Result second = resume({"1"});
  EXPECT_EQ(second.code, 2) << second;
  open_gate();
  EXPECT_EQ(run->wait().code, 0);
  const Result over = resume({"1"});
  EXPECT_EQ(over.code, 2) << over;
  EXPECT_THAT(over.err, HasSubstr("passed"));
  EXPECT_EQ(resume().code, 2);
  EXPECT_EQ(resume({"77"}).code, 2);
}

TEST_P(Resume, NothingIsRemovedUntilDoctorIsToldTo) {
  project_.pipeline("wait: {script: [echo waiting, sleep 600]}\n");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  const auto alive = [&] {
    return docker() ? !project_.containers("--filter status=running").empty() : !project_.processes().empty();
  };
  EXPECT_TRUE(alive());
  // Neither another run in the same database nor a look at the world removes it.
  project_.file("other.yml", "other: {script: echo x}");
  EXPECT_EQ((docker() ? project_.docker({"other.yml"}) : project_.exec({"other.yml"})).code, 0);
  EXPECT_THAT(project_.run({"doctor"}).code, testing::AnyOf(0, 3));
  EXPECT_TRUE(alive());
  EXPECT_NE(project_.leftovers(), "");
  const Result clean = project_.run({"doctor", "--clean"});
  EXPECT_EQ(clean.code, 0) << clean;
  EXPECT_EQ(project_.leftovers(), "");
  EXPECT_NE(project_.runs().at(1)["outcome"], nullptr);
}

TEST_P(Resume, AnAttemptThatIsOverIsNotMadeAgain) {
  // Takes a moment to get ready.
  sh("mkdir '" + (project_ / "many").string() + "' && cd '" + (project_ / "many").string() +
     "' && seq 5000 | xargs touch");
  project_.pipeline(R"(
test: {retry: 2, script: ['echo "$GATE"; echo x >>"$GATE/tries"; test -e "$GATE/open"']}
)");
  auto run = start();
  ASSERT_TRUE(run->wait_for("job_retried"));
  run->kill();
  run->wait();
  const std::string before = gate_text("tries");
  open_gate();
  const Result result = resume();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.outcome("test"), "passed");
  EXPECT_EQ(gate_text("tries"), before + "x\n");
  EXPECT_EQ(sh("sqlite3 '" + project_.database().string() + "' 'SELECT max(attempt) FROM attempts'"),
            std::to_string(before.size() / 2 + 1) + "\n");
}

constexpr const char* talkative = R"(
talk:
  script:
    - echo waiting
    - while [ ! -e "$GATE/open" ]; do sleep 0.05; done
    - seq 1 3000
    - echo "last words${TOKEN:+, secret $TOKEN}"
    - echo x >"$GATE/said"
    - sleep 600
)";

TEST_P(Resume, DoctorKeepsWhatAJobSaidMeanwhile) {
  project_.pipeline(talkative);
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  open_gate();
  ASSERT_TRUE(eventually([&] { return gate_text("said") == "x\n"; }));
  EXPECT_THAT(project_.logs({"talk"}), Not(HasSubstr("\nlast words\n")));
  const Result clean = project_.run({"doctor", "--clean"});
  EXPECT_EQ(clean.code, 0) << clean;
  EXPECT_EQ(project_.leftovers(), "");
  const std::string log = project_.logs({"talk"});
  EXPECT_THAT(log, HasSubstr("$ echo waiting\nwaiting\n"));
  EXPECT_THAT(log, HasSubstr("$ seq 1 3000\n" + numbers(1, 3000)));
  EXPECT_THAT(log, HasSubstr("\nlast words\n"));
  EXPECT_EQ(log.find("section_start:"), log.rfind("section_start:"));
}

TEST_P(Resume, DoctorKeepsNothingThatItCannotMask) {
  project_.environment("TOKEN", "abcdef-secret-0123");
  project_.pipeline(talkative);
  auto run = start({"--secret", "TOKEN"});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  ASSERT_TRUE(eventually([&] { return project_.logs({"talk"}).find("\nwaiting\n") != std::string::npos; }));
  run->kill();
  run->wait();
  open_gate();
  ASSERT_TRUE(eventually([&] { return gate_text("said") == "x\n"; }));
  const Result clean = project_.run({"doctor", "--clean"});
  EXPECT_EQ(clean.code, 0) << clean;
  EXPECT_THAT(clean.out, HasSubstr("secrets"));
  EXPECT_EQ(project_.leftovers(), "");
  EXPECT_THAT(project_.logs({"talk"}), AllOf(HasSubstr("waiting\n"), Not(HasSubstr("last words, secret"))));
  EXPECT_EQ(sh("cat '" + project_.database().string() + "'* | grep -ac 'abcdef-secret' || true"), "0\n");
}

INSTANTIATE_TEST_SUITE_P(By, Resume, testing::Values(false, true),
                         [](const auto& which) { return which.param ? "Docker" : "Shell"; });

// Killed at any moment of what is done before the first job begins.
TEST(ResumeInDocker, AJobWithServicesThatWasBeingPrepared) {
  Project project;
  project.pipeline(
      "a: {image: busybox, services: [{name: busybox, alias: other, command: [sleep, '600']}], script: echo AA}");
  auto run = project.start_docker();
  ASSERT_TRUE(eventually([&] { return !project.networks().empty(); }));
  run->kill();
  run->wait();
  const Result result = project.run({"resume", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("a"), "AA\n");
  EXPECT_EQ(project.leftovers(), "");
}

TEST(ResumeInDocker, LeavesNoPauseContainer) {
  Project project;
  project.pipeline(R"(
stages: [one, two]
default: {image: busybox}
first: {stage: one, script: echo first}
second: {stage: two, script: echo second}
)");
  auto run = project.start_docker();
  ASSERT_TRUE(eventually([&] { return !project.containers("--filter label=runner.kind=pause").empty(); }));
  run->kill();
  run->wait();
  const Result result = project.run({"resume", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(project.leftovers(), "");
}

TEST(DoctorClean, LeavesARunThatIsDrivenAlone) {
  Project project;
  project.pipeline("wait: {image: busybox, script: [echo waiting, sleep 3, echo end]}");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  EXPECT_EQ(project.run({"doctor", "--clean"}).code, 0);
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("wait"), "waiting\nend\n");
}

TEST(DoctorClean, NeverTouchesAnotherOwnersThings) {
  Project other, mine;
  other.pipeline("wait: {image: busybox, script: [echo waiting, sleep 600]}");
  auto run = other.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  const auto theirs = other.containers("--filter status=running");
  EXPECT_FALSE(theirs.empty());
  mine.pipeline("test: {image: busybox, script: echo x}");
  EXPECT_EQ(mine.docker().code, 0);
  EXPECT_EQ(mine.run({"doctor", "--clean"}).code, 0);
  EXPECT_EQ(other.containers("--filter status=running"), theirs);
  EXPECT_EQ(other.run({"doctor", "--clean"}).code, 0);
}

}  // namespace
}  // namespace e2e
