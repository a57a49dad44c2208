// The Docker executor against a real engine. Every test ends by looking for what it left: containers, networks and
// volumes of its owner, directories of its state.
//
// The last test runs all the others again as an ordinary user in the group `docker` (where the tests run as root).
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "executors/docker/engine.h"
#include "executors/make.h"
#include "tests/executors/sandbox.h"

namespace executors {
namespace {

namespace fs = std::filesystem;
using docker::Engine;
using pipelines::Outcome;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

using namespace std::string_literals;

const std::string odd_bytes = "nul \0 bad \xff\xfe\xc3 bell \a cr \r end"s;
constexpr const char* test_user = "runner-ci";

std::string random_owner() {
  std::random_device device;
  std::string word;
  for (int i = 0; i < 32; ++i) word += "0123456789abcdef"[device() % 16];
  return word;
}

struct Ran {
  JobResult result;
  std::string log;  // without the times of the markers
  std::vector<std::string> warnings;
};

class DockerExecutor : public ::testing::Test {
 protected:
  DockerExecutor() : owner_(random_owner()), engine_(docker::Endpoint::from_environment()) {
    settings_.owner = owner_;
    settings_.state = state_.path();
    fs::create_directory(state_ / "j");
    make_snapshot();
  }

  void SetUp() override { engine_.ping(); }

  void TearDown() override {
    if (executor_) executor_->settle();
    executor_.reset();
    const std::string filter = "runner.owner=" + owner_;
    for (const auto& left : engine_.containers(filter)) ADD_FAILURE() << "container left: " << left.name;
    for (const auto& left : engine_.networks(filter)) ADD_FAILURE() << "network left: " << left.name;
    for (const auto& left : engine_.volumes(filter)) ADD_FAILURE() << "volume left: " << left.name;
    for (const auto& left : fs::directory_iterator(state_ / "j")) ADD_FAILURE() << "directory left: " << left.path();
    for (const auto& left : fs::directory_iterator(state_.path()))
      EXPECT_FALSE(left.path().filename().string().starts_with(".jan")) << left.path();
  }

  // As the runner makes it: modes that any user of a container can live with.
  void make_snapshot() {
    write_file(state_ / "base/README", "readme\n");
    write_file(state_ / "base/src/main", "main\n");
    write_file(state_ / "base/src/old", "old\n");
    write_file(state_ / "tracked", "README\0src/main\0src/old\0"s);
    open_modes(state_ / "base");
  }

  static void open_modes(const fs::path& tree) {
    fs::permissions(tree, fs::perms::all);
    for (const auto& entry : fs::recursive_directory_iterator(tree))
      ::chmod(entry.path().c_str(), entry.is_directory() ? 0777 : 0666);
  }

  Executor& executor() {
    if (!executor_) executor_ = make_docker_executor(settings_);
    return *executor_;
  }

  JobSpec spec(const std::string& image = "busybox:latest") {
    JobSpec spec;
    spec.id = {owner_, 1, ++jobs_, 1, "job " + std::to_string(jobs_)};
    spec.directory = state_ / "j" / std::to_string(jobs_);
    spec.layer = state_ / ("layer" + std::to_string(jobs_));
    spec.project_dir = "/builds/group/project";
    spec.sources = {state_ / "base", state_ / "tracked"};
    spec.image = image;
    spec.network = Network::none;
    return spec;
  }

  static Work work(std::vector<std::string> script) {
    Work work;
    work.script = std::move(script);
    work.timeout = 60s;
    work.grace = 1s;
    return work;
  }

  Ran run(const JobSpec& spec, const Work& work, const std::stop_token& stop = {}) {
    Ran ran;
    KeptLog sink;
    KeptNotices notices;
    const auto execution = executor().prepare(spec, notices, stop);
    ran.result = execution->run(work, sink, notices, stop);
    ran.log = timeless(sink.bytes());
    ran.warnings = notices.warnings;
    return ran;
  }
  Ran run(std::vector<std::string> script) { return run(spec(), work(std::move(script))); }

  std::string name_of(const JobSpec& spec) const { return spec.id.resource_name(); }

  TemporaryDirectory state_;
  std::string owner_;
  Engine engine_;
  DockerSettings settings_;
  std::unique_ptr<Executor> executor_;
  std::uint32_t jobs_ = 0;
};

TEST_F(DockerExecutor, AJobPasses) {
  const Ran ran = run({"echo hello", "cat README"});
  EXPECT_EQ(Outcome::passed, ran.result.outcome) << ran.result.message;
  EXPECT_EQ(0, ran.result.exit_code);
  EXPECT_EQ("", ran.result.reason);
  EXPECT_EQ("<section_start step_script>$ echo hello\nhello\n$ cat README\nreadme\n<section_end step_script>", ran.log);
}

TEST_F(DockerExecutor, AJobFailsWithItsExitCodeAndAfterScriptRuns) {
  Work failing = work({"exit 7"});
  failing.after_script = {"echo status $CI_JOB_STATUS"};
  const Ran ran = run(spec(), failing);
  EXPECT_EQ(Outcome::failed, ran.result.outcome);
  EXPECT_EQ(7, ran.result.exit_code);
  EXPECT_EQ("script_failure", ran.result.reason);
  EXPECT_NE(std::string::npos, ran.log.find("status failed\n<section_end after_script>")) << ran.log;
}

TEST_F(DockerExecutor, StandardInputIsClosedAndTheProjectIsTheWorkingDirectory) {
  const Ran ran = run({"cat", "pwd", "echo $FOO"});
  EXPECT_EQ(Outcome::passed, ran.result.outcome);
  EXPECT_NE(std::string::npos, ran.log.find("$ cat\n$ pwd\n/builds/group/project\n")) << ran.log;
}

TEST_F(DockerExecutor, EveryByteOfTheLogIsTheJobs) {
  write_file(state_ / "base/bytes", odd_bytes);
  open_modes(state_ / "base");
  const Ran ran = run({"cat bytes", "head -c 10485760 /dev/zero | tr '\\0' x", "printf last"});
  EXPECT_EQ(Outcome::passed, ran.result.outcome);
  constexpr std::size_t line_length = std::size_t{10} << 20;
  const std::string expected = "<section_start step_script>$ cat bytes\n" + odd_bytes +
                               "$ head -c 10485760 /dev/zero | tr '\\0' x\n" + std::string(line_length, 'x') +
                               "$ printf last\nlast<section_end step_script>";
  EXPECT_TRUE(expected == ran.log) << ran.log.size() << " bytes, not " << expected.size();
}

TEST_F(DockerExecutor, ARunOutOfMemoryIsToldFromAFailure) {
  settings_.memory = 32 << 20;
  const Ran ran = run({"head -c 200m /dev/zero | tail"});
  EXPECT_EQ(Outcome::failed, ran.result.outcome) << ran.result.message;
  EXPECT_EQ("oom", ran.result.reason);
  EXPECT_NE(std::string::npos, ran.result.message.find("32 MB")) << ran.result.message;
}

TEST_F(DockerExecutor, KilledFromOutsideIsTheWorldsFault) {
  const JobSpec job = spec();
  KeptNotices notices;
  KeptLog sink;
  const auto execution = executor().prepare(job, notices, {});
  std::jthread killer([&] {
    sink.await("started");
    engine_.kill(name_of(job), "KILL");
  });
  const JobResult result = execution->run(work({"echo started", "sleep 30"}), sink, notices, {});
  EXPECT_EQ(Outcome::broken, result.outcome);
  EXPECT_EQ("runner_system_failure", result.reason);
  EXPECT_EQ("the container was killed from outside (exit 137)", result.message);
}

// Its bootstrap goes with the rest, so nothing is left that could write down an exit code.
TEST_F(DockerExecutor, AScriptThatKillsAllThatRunsHasFailed) {
  for (const WorkspaceKind workspace : {WorkspaceKind::automatic, WorkspaceKind::archive}) {
    settings_.workspace = workspace;
    if (executor_) executor_->settle();
    executor_.reset();
    const Ran ran = run({"echo before", "kill -9 -1", "sleep 30"});
    EXPECT_EQ(Outcome::failed, ran.result.outcome) << ran.result.message;
    EXPECT_EQ("script_failure", ran.result.reason);
    EXPECT_EQ(137, ran.result.exit_code);
    EXPECT_TRUE(ran.result.message.starts_with("exit code 137")) << ran.result.message;
    EXPECT_NE(std::string::npos, ran.log.find("before\n")) << ran.log;
  }
}

TEST_F(DockerExecutor, ACancelledJobGetsTermAndItsAfterScript) {
  std::stop_source stop;
  Work trapping = work({"trap 'echo trapped; exit 3' TERM", "echo started", "while :; do sleep 0.1 || :; done"});
  trapping.after_script = {"echo after $CI_JOB_STATUS"};
  trapping.grace = 20s;
  KeptLog sink;
  KeptNotices notices;
  const auto execution = executor().prepare(spec(), notices, {});
  std::jthread canceller([&] {
    sink.await("started\n");
    stop.request_stop();
  });
  const auto begin = Clock::now();
  const JobResult result = execution->run(trapping, sink, notices, stop.get_token());
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_EQ(Outcome::cancelled, result.outcome);
  EXPECT_NE(std::string::npos, sink.bytes().find("trapped\n")) << sink.bytes();
  EXPECT_NE(std::string::npos, sink.bytes().find("after canceled\n")) << sink.bytes();
}

TEST_F(DockerExecutor, AJobThatIgnoresTermIsKilledAfterItsGrace) {
  std::stop_source stop;
  KeptLog sink;
  KeptNotices notices;
  const auto execution = executor().prepare(spec(), notices, {});
  std::jthread canceller([&] {
    sink.await("started\n");
    stop.request_stop();
  });
  const auto begin = Clock::now();
  const JobResult result = execution->run(work({"trap '' TERM", "echo started", "while :; do sleep 1; done"}), sink,
                                          notices, stop.get_token());
  EXPECT_EQ(Outcome::cancelled, result.outcome);
  EXPECT_GE(Clock::now() - begin, 1s);
  EXPECT_LT(Clock::now() - begin, 3500ms);
}

TEST_F(DockerExecutor, HurryKillsACancelledJobAtOnce) {
  std::stop_source stop;
  KeptLog sink;
  KeptNotices notices;
  Work stubborn = work({"trap '' TERM", "echo started", "while :; do sleep 1; done"});
  stubborn.grace = 60s;
  stubborn.after_script = {"echo not run"};
  const auto execution = executor().prepare(spec(), notices, {});
  std::jthread canceller([&] {
    sink.await("started\n");
    stop.request_stop();
    std::this_thread::sleep_for(200ms);
    executor().hurry();
  });
  const auto begin = Clock::now();
  const JobResult result = execution->run(stubborn, sink, notices, stop.get_token());
  EXPECT_EQ(Outcome::cancelled, result.outcome);
  EXPECT_LT(Clock::now() - begin, 5s);
  EXPECT_EQ(std::string::npos, sink.bytes().find("not run\n"));
}

TEST_F(DockerExecutor, AJobThatTakesTooLongFails) {
  Work slow = work({"echo started", "sleep 30"});
  slow.timeout = 1s;
  const Ran ran = run(spec(), slow);
  EXPECT_EQ(Outcome::failed, ran.result.outcome);
  EXPECT_EQ("job_execution_timeout", ran.result.reason);
}

TEST_F(DockerExecutor, ServicesAreReachableByAllTheirNames) {
  JobSpec job = spec("debian:bookworm");
  job.network = Network::bridge;
  ServiceSpec web;
  web.image = "busybox:latest";
  web.aliases = {"web", "group-web"};
  web.command = {"sh", "-c", "mkdir /www; echo $GREETING >/www/index.html; exec httpd -f -p 8080 -h /www"};
  web.environment = {{"GREETING", "served"}};
  ServiceSpec other = web;
  other.aliases = {"other"};
  other.environment = {{"GREETING", "by the other"}};
  job.services = {web, other};
  const std::string get =
      "get() { exec 3<>/dev/tcp/$1/8080; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3; exec 3>&-; }";
  const Ran ran = run(job, work({get, "get web", "get group-web", "get other"}));
  EXPECT_EQ(Outcome::passed, ran.result.outcome) << ran.log;
  EXPECT_NE(std::string::npos, ran.log.find("$ get web\nserved\n$ get group-web\nserved\n$ get other\nby the other\n"))
      << ran.log;
}

TEST_F(DockerExecutor, AServiceThatDiesIsWarnedOfWithItsLastLines) {
  JobSpec job = spec();
  job.network = Network::bridge;
  ServiceSpec dying;
  dying.image = "busybox:latest";
  dying.aliases = {"db"};
  dying.command = {"sh", "-c", "echo no password given >&2; exit 1"};
  job.services = {dying};
  const Ran ran = run(job, work({"echo ok"}));
  EXPECT_EQ(Outcome::passed, ran.result.outcome);
  ASSERT_GE(ran.warnings.size(), 2U);
  EXPECT_NE(std::string::npos, ran.warnings[0].find("service db (busybox:latest) ended before the job began"));
  EXPECT_EQ("  no password given", ran.warnings[1]);
}

TEST_F(DockerExecutor, AServiceWithoutImageNamesIt) {
  JobSpec job = spec();
  job.network = Network::bridge;
  ServiceSpec missing;
  missing.image = "runner-test/no-such-service:1";
  missing.aliases = {"x"};
  missing.pull_policy = {pipelines::PullPolicy::never};
  job.services = {missing};
  try {
    run(job, work({"true"}));
    FAIL();
  } catch (const WorldError& error) {
    EXPECT_EQ("image_pull_failure", error.reason);
    EXPECT_NE(nullptr, std::strstr(error.what(), "service runner-test/no-such-service:1")) << error.what();
  }
}

TEST_F(DockerExecutor, NetworkNoneHasOnlyLoopbackAndBridgeHasMore) {
  const std::string count = "grep -c : /proc/net/dev";
  const Ran none = run({count});
  EXPECT_NE(std::string::npos, none.log.find("$ " + count + "\n1\n")) << none.log;
  for (const bool more : {false, true}) {
    JobSpec job = spec();
    job.network = Network::bridge;
    job.more_to_come = more;
    const Ran bridge = run(job, work({count, "cat /etc/resolv.conf >/dev/null"}));
    EXPECT_NE(std::string::npos, bridge.log.find("$ " + count + "\n2\n")) << bridge.log;
  }
}

TEST_F(DockerExecutor, APauseContainerServesOneJobAfterAnother) {
  std::set<std::string> leased;
  for (int i = 0; i < 3; ++i) {
    JobSpec job = spec();
    job.network = Network::bridge;
    job.more_to_come = i < 2;
    KeptNotices notices;
    KeptLog sink;
    {
      const auto execution = executor().prepare(job, notices, {});
      leased.insert(nlohmann::json::parse(execution->handle())["pause"].get<std::string>());
      EXPECT_EQ(Outcome::passed, execution->run(work({"true"}), sink, notices, {}).outcome);
    }
    for (int tries = 0; tries < 200 && engine_.inspect_container(name_of(job)); ++tries)
      std::this_thread::sleep_for(10ms);
    std::this_thread::sleep_for(100ms);  // given back behind its removal
  }
  EXPECT_EQ(1U, leased.size());
}

TEST_F(DockerExecutor, AnImageWithAnotherUserWorksOnTheSources) {
  const Ran ran =
      run(spec("runner-test/nonroot"),
          work({"id -u", "echo more >>README", "rm src/old", "echo new >src/new", "mkdir d", "cat README src/new"}));
  EXPECT_EQ(Outcome::passed, ran.result.outcome) << ran.log;
  EXPECT_NE(std::string::npos, ran.log.find("1234\n")) << ran.log;
  EXPECT_EQ("readme\n", read_file(state_ / "base/README"));
}

TEST_F(DockerExecutor, TheJobMayNameItsUser) {
  JobSpec job = spec();
  job.image_user = "4321";
  const Ran ran = run(job, work({"id -u", "echo x >by-user"}));
  EXPECT_EQ(Outcome::passed, ran.result.outcome) << ran.log;
  EXPECT_NE(std::string::npos, ran.log.find("4321\n")) << ran.log;
}

TEST_F(DockerExecutor, AnImageWithoutAShellIsRefusedBeforeItStarts) {
  try {
    run(spec("runner-test/noshell"), work({"true"}));
    FAIL();
  } catch (const WorldError& error) {
    EXPECT_STREQ("image runner-test/noshell has no sh, which a job's script needs", error.what());
    EXPECT_FALSE(error.hint.empty());
  }
}

TEST_F(DockerExecutor, AnEntrypointThatDoesNotRunItsArgumentsIsNamed) {
  JobSpec job = spec();
  job.entrypoint = std::vector<std::string>{"sh", "-c", "echo I do what I want; exit 4"};
  const Ran ran = run(job, work({"true"}));
  EXPECT_EQ(Outcome::failed, ran.result.outcome);
  EXPECT_EQ(4, ran.result.exit_code);
  EXPECT_EQ(
      "the image's entrypoint ended before the script began (exit 4): I do what I want; if it does not run its "
      "arguments, set image:entrypoint: [\"\"]",
      ran.result.message);
}

TEST_F(DockerExecutor, AMissingImageIsAPullFailure) {
  JobSpec job = spec("127.0.0.1:1/runner-test/no-such-image:1");
  try {
    run(job, work({"true"}));
    FAIL();
  } catch (const WorldError& error) {
    EXPECT_EQ("image_pull_failure", error.reason);
    EXPECT_NE(nullptr, std::strstr(error.what(), "127.0.0.1:1/runner-test/no-such-image:1")) << error.what();
  }
  job = spec("runner-test/no-such-image:1");
  job.pull_policy = {pipelines::PullPolicy::never};
  EXPECT_THROW(run(job, work({"true"})), WorldError);
}

TEST_F(DockerExecutor, PullPoliciesAreTriedInTurn) {
  JobSpec job = spec(engine_.inspect_image("busybox:latest")->id);  // what no registry knows by that name
  job.pull_policy = {pipelines::PullPolicy::always, pipelines::PullPolicy::if_not_present};
  const Ran ran = run(job, work({"true"}));
  EXPECT_EQ(Outcome::passed, ran.result.outcome);
  ASSERT_EQ(1U, ran.warnings.size());
  EXPECT_TRUE(ran.warnings[0].starts_with("image " + job.image + ", policy always: ")) << ran.warnings[0];
}

TEST_F(DockerExecutor, NoEngineSaysSo) {
  settings_.host = "unix:///nonexistent/docker.sock";
  try {
    executor().check();
    FAIL();
  } catch (const WorldError& error) {
    EXPECT_EQ("runner_system_failure", error.reason);
    EXPECT_NE(nullptr, std::strstr(error.what(), "/nonexistent/docker.sock")) << error.what();
  }
  EXPECT_THROW(run({"true"}), WorldError);
}

// ---- workspaces

class Workspaces : public DockerExecutor, public ::testing::WithParamInterface<WorkspaceKind> {
 protected:
  Workspaces() { settings_.workspace = GetParam(); }
};

TEST_P(Workspaces, SourcesInputsAndArtifactsAreTheSame) {
  JobSpec first = spec();
  Work make = work({"mkdir -p dist/deep", "echo one >dist/one", "echo two >dist/deep/two", "chmod 600 dist/one",
                    "echo changed >>README", "rm src/old", "ln -s one dist/link", "echo junk >junk"});
  make.artifacts.paths = {"dist", "src/"};
  const Ran made = run(first, make);
  ASSERT_EQ(Outcome::passed, made.result.outcome) << made.log << made.result.message;
  ASSERT_EQ(1U, made.result.collected.size());
  const fs::path layer = made.result.collected[0].directory;
  EXPECT_EQ("one\n", read_file(layer / "dist/one"));
  EXPECT_EQ("two\n", read_file(layer / "dist/deep/two"));
  EXPECT_EQ("one", fs::read_symlink(layer / "dist/link"));
  EXPECT_TRUE(fs::exists(layer / "src/main"));
  EXPECT_FALSE(fs::exists(layer / "src/old"));
  EXPECT_FALSE(fs::exists(layer / "junk"));
  EXPECT_FALSE(fs::exists(layer / "README"));

  JobSpec second = spec();
  second.inputs = {layer};
  Work use = work({"cat dist/one dist/deep/two README", "echo more >>dist/one", "cat dist/one", "rm -r dist/deep",
                   "echo x >dist/new", "ls src"});
  use.artifacts.paths = {"dist/**"};
  const Ran used = run(second, use);
  ASSERT_EQ(Outcome::passed, used.result.outcome) << used.log << used.result.message;
  EXPECT_NE(std::string::npos, used.log.find("\none\ntwo\nreadme\n")) << used.log;
  EXPECT_NE(std::string::npos, used.log.find("$ cat dist/one\none\nmore\n")) << used.log;
  EXPECT_NE(std::string::npos, used.log.find("$ ls src\nmain\nold\n")) << used.log;
  ASSERT_EQ(1U, used.result.collected.size());
  const fs::path next = used.result.collected[0].directory;
  EXPECT_EQ("one\nmore\n", read_file(next / "dist/one"));
  EXPECT_FALSE(fs::exists(next / "dist/deep"));
  EXPECT_TRUE(fs::exists(next / "dist/new"));
  // What was handed on has not changed.
  EXPECT_EQ("one\n", read_file(layer / "dist/one"));
  EXPECT_TRUE(fs::exists(layer / "dist/deep/two"));
  EXPECT_EQ("readme\n", read_file(state_ / "base/README"));
  EXPECT_TRUE(fs::exists(state_ / "base/src/old"));
}

TEST_P(Workspaces, LogCodesAndAfterScriptAreTheSame) {
  Work failing = work({"echo out", "echo err >&2", "printf 'no newline'", "exit 9"});
  failing.after_script = {"echo after $CI_JOB_STATUS", "exit 3"};
  failing.artifacts.paths = {"README"};
  const Ran ran = run(spec(), failing);
  EXPECT_EQ(Outcome::failed, ran.result.outcome);
  EXPECT_EQ(9, ran.result.exit_code);
  EXPECT_TRUE(ran.result.collected.empty());
  EXPECT_EQ(
      "<section_start step_script>$ echo out\nout\n$ echo err >&2\nerr\n$ printf 'no newline'\nno newline$ exit "
      "9\n<section_end "
      "step_script><section_start after_script>$ echo after $CI_JOB_STATUS\nafter failed\n$ exit 3\n<section_end "
      "after_script>",
      ran.log);
}

TEST_P(Workspaces, CancelAndTimeoutAreTheSame) {
  std::stop_source stop;
  KeptLog sink;
  KeptNotices notices;
  Work trapping = work({"trap 'echo trapped; exit 3' TERM", "echo started", "while :; do sleep 0.1 || :; done"});
  trapping.after_script = {"echo after $CI_JOB_STATUS"};
  trapping.grace = 20s;
  {
    const auto execution = executor().prepare(spec(), notices, {});
    std::jthread canceller([&] {
      sink.await("started\n");
      stop.request_stop();
    });
    EXPECT_EQ(Outcome::cancelled, execution->run(trapping, sink, notices, stop.get_token()).outcome);
  }
  EXPECT_NE(std::string::npos, sink.bytes().find("trapped\n")) << sink.bytes();
  EXPECT_NE(std::string::npos, sink.bytes().find("after canceled\n")) << sink.bytes();

  Work slow = work({"trap '' TERM", "echo started", "while :; do sleep 1; done"});
  slow.timeout = 1s;
  const auto begin = Clock::now();
  const Ran late = run(spec(), slow);
  EXPECT_EQ("job_execution_timeout", late.result.reason);
  EXPECT_LT(Clock::now() - begin, 6s);
}

TEST_P(Workspaces, TheRunnersUserIsNotNeeded) {
  JobSpec job = spec("runner-test/nonroot");
  Work make = work({"mkdir -m 700 private", "echo x >private/f", "umask 077", "echo more >>README"});
  make.artifacts.paths = {"private", "README"};
  const Ran ran = run(job, make);
  ASSERT_EQ(Outcome::passed, ran.result.outcome) << ran.log;
  ASSERT_EQ(1U, ran.result.collected.size());
  EXPECT_EQ("x\n", read_file(ran.result.collected[0].directory / "private/f"));
  EXPECT_EQ("readme\nmore\n", read_file(ran.result.collected[0].directory / "README"));

  // Its own files are its own in the next job too, whatever their modes.
  JobSpec next = spec("runner-test/nonroot");
  next.inputs = {ran.result.collected[0].directory};
  const Ran used = run(next, work({"echo y >>private/f", "cat private/f", "echo 3 >>README", "touch private/g"}));
  EXPECT_EQ(Outcome::passed, used.result.outcome) << used.log;
  EXPECT_NE(std::string::npos, used.log.find("x\ny\n")) << used.log;
}

TEST_P(Workspaces, FilesKeepTheirModes) {
  Work make = work({"umask 022", "mkdir d", "echo x >d/plain",
                    "for m in 600 444 755 640 4755 000; do echo x >d/$m; chmod $m "
                    "d/$m; done"});
  make.artifacts.paths = {"d"};
  const Ran made = run(spec(), make);
  ASSERT_EQ(Outcome::passed, made.result.outcome) << made.log << made.result.message;
  ASSERT_EQ(1U, made.result.collected.size());
  JobSpec second = spec();
  second.inputs = {made.result.collected[0].directory};
  const Ran used = run(second, work({"cd d; stat -c '%n %a' *"}));
  EXPECT_NE(std::string::npos, used.log.find("000 400\n444 444\n4755 755\n600 600\n640 640\n755 755\nplain 644\n"))
      << used.log;
}

INSTANTIATE_TEST_SUITE_P(All, Workspaces,
                         ::testing::Values(WorkspaceKind::overlay, WorkspaceKind::copy, WorkspaceKind::archive),
                         [](const auto& kind) {
                           switch (kind.param) {
                             case WorkspaceKind::overlay:
                               return "Overlay";
                             case WorkspaceKind::copy:
                               return "Copy";
                             case WorkspaceKind::archive:
                               return "Archive";
                             case WorkspaceKind::automatic:
                               break;
                           }
                           return "Automatic";
                         });

// ---- left and found again

TEST_F(DockerExecutor, APreparedJobThatIsDroppedLeavesNothing) {
  KeptNotices notices;
  JobSpec job = spec();
  job.network = Network::bridge;
  job.more_to_come = true;
  executor().prepare(job, notices, {});
  executor().settle();
  EXPECT_FALSE(engine_.inspect_container(name_of(job)));
}

TEST_F(DockerExecutor, AStopDuringPrepareLeavesNothing) {
  std::stop_source stop;
  stop.request_stop();
  KeptNotices notices;
  EXPECT_THROW(executor().prepare(spec(), notices, stop.get_token()), WorldError);
}

TEST_F(DockerExecutor, APreparedJobStartsAtOnce) {
  KeptNotices notices;
  KeptLog sink;
  const auto execution = executor().prepare(spec(), notices, {});
  std::this_thread::sleep_for(300ms);  // its shell is waiting by now
  const auto begin = Clock::now();
  EXPECT_EQ(Outcome::passed, execution->run(work({"echo hi"}), sink, notices, {}).outcome);
  const auto took = Clock::now() - begin;
  RecordProperty("microseconds", static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  EXPECT_LT(took, 100ms);  // a few milliseconds on a machine that does nothing else
}

// The runner dies while its job runs; another finds the job by its handle and reads on.
TEST_F(DockerExecutor, AnotherRunnerFindsTheJobAgain) {
  for (const bool wait_for_end : {false, true}) {
    JobSpec job = spec();
    job.network = Network::bridge;
    job.more_to_come = true;
    Work counting = work({"for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done", "echo out >out", "exit 0"});
    counting.artifacts.paths = {"out"};
    const fs::path note = state_ / ("note" + std::to_string(jobs_));
    const pid_t child = ::fork();
    if (child == 0) {
      // A process of its own, which is killed; it must not run the test's tear-down.
      KeptNotices notices;
      class Noting : public LogSink {
       public:
        explicit Noting(const fs::path& to) : to_(to) {}
        void write(std::string_view bytes) override {
          kept_ += bytes;
          write_file(to_.string() + ".log", kept_);
        }
        fs::path to_;
        std::string kept_;
      } sink(note);
      const auto other = make_docker_executor(settings_);
      const auto execution = other->prepare(job, notices, {});
      write_file(note, execution->handle());
      execution->run(counting, sink, notices, {});
      ::_exit(0);
    }
    const auto log_has = [&](const std::string& text) {
      return read_file(note.string() + ".log").find(text) != std::string::npos;
    };
    for (int tries = 0; tries < 2000 && !log_has("line 2\n"); ++tries) std::this_thread::sleep_for(10ms);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(log_has("line 2\n"));
    const std::string before = read_file(note.string() + ".log");
    if (wait_for_end)
      for (int tries = 0; tries < 500; ++tries) {
        const auto state = engine_.inspect_container(name_of(job));
        if (!state || !state->running) break;
        std::this_thread::sleep_for(10ms);
      }
    const auto execution = executor().adopt(job, read_file(note), before.size());
    ASSERT_NE(nullptr, execution);
    KeptLog sink;
    KeptNotices notices;
    const JobResult result = execution->run(counting, sink, notices, {});
    EXPECT_EQ(Outcome::passed, result.outcome) << result.message;
    EXPECT_EQ(
        "<section_start step_script>$ for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done\nline 1\nline 2\nline "
        "3\nline "
        "4\nline 5\n$ echo out >out\n$ exit 0\n<section_end step_script>",
        timeless(before + sink.bytes()));
    ASSERT_EQ(1U, result.collected.size());
    EXPECT_EQ("out\n", read_file(result.collected[0].directory / "out"));
  }
}

TEST_F(DockerExecutor, WhatIsGoneCannotBeAdopted) {
  EXPECT_EQ(nullptr, executor().adopt(spec(), "{\"container\":\"0123456789ab\"}", 0));
  EXPECT_EQ(nullptr, executor().adopt(spec(), "no json", 0));
}

TEST_F(DockerExecutor, AnAttemptThatNeverBeganIsPreparedAgain) {
  const JobSpec job = spec();
  const pid_t child = ::fork();
  if (child == 0) {
    KeptNotices notices;
    const auto other = make_docker_executor(settings_);
    const auto execution = other->prepare(job, notices, {});
    ::_exit(0);  // as a kill would: nothing is cleaned up
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(engine_.inspect_container(name_of(job)));
  EXPECT_EQ(Outcome::passed, run(job, work({"true"})).result.outcome);
}

TEST_F(DockerExecutor, ManyAtOnce) {
  constexpr int many = 8;
  std::vector<JobSpec> jobs;
  for (int i = 0; i < many; ++i) {
    jobs.push_back(spec());
    jobs.back().network = Network::bridge;
    jobs.back().more_to_come = i + 1 < many;
  }
  executor();
  std::vector<std::jthread> threads;
  threads.reserve(many);
  std::atomic<int> passed = 0;
  for (const JobSpec& job : jobs)
    threads.emplace_back([&, job] {
      Work touching = work({"echo hi >out"});
      touching.artifacts.paths = {"out"};
      const Ran ran = run(job, touching);
      if (ran.result.outcome == Outcome::passed && ran.result.collected.size() == 1) ++passed;
    });
  threads.clear();
  EXPECT_EQ(many, passed);
}

// ---- the same as an ordinary user

TEST(OrdinaryUser, AllOfItWorksInTheGroupDockerToo) {
  if (::geteuid() != 0) GTEST_SKIP() << "the tests run as an ordinary user already";
  const auto endpoint = docker::Endpoint::from_environment();
  if (!endpoint.local()) GTEST_SKIP() << "the engine is not on this machine";
  struct stat socket {};
  ASSERT_EQ(0, ::stat(endpoint.socket.c_str(), &socket));
  const group* docker_group = ::getgrgid(socket.st_gid);
  ASSERT_NE(nullptr, docker_group);
  if (socket.st_gid == 0) GTEST_SKIP() << "the engine's socket belongs to root alone";
  if (::getpwnam(test_user) == nullptr) {
    ASSERT_EQ(0, run_program({"useradd", "--system", "--create-home", "--groups", docker_group->gr_name, test_user}));
  }
  // Where every user can read it, which a checkout in root's home is not.
  const TemporaryDirectory place;
  fs::permissions(place.path(), fs::perms(0755));
  const fs::path program = place / "docker_tests";
  fs::copy_file("/proc/self/exe", program);
  fs::permissions(program, fs::perms(0755));
  EXPECT_EQ(0, run_program({"setpriv", "--reuid", test_user, "--regid", test_user, "--init-groups", "--reset-env",
                            program.string(), "--gtest_filter=DockerExecutor.*:*Workspaces.*", "--gtest_brief=1"}));
}

}  // namespace
}  // namespace executors
