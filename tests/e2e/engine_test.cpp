// Bad days of the engine: missing, not a Docker engine, stopped, frozen or killed in the middle of a job.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

// An engine to be broken (tests/tools/engine_box.sh).
class EngineBox {
 public:
  EngineBox() {
    std::string name = (fs::temp_directory_path() / "re2e-box-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = name;
    std::map<std::string, std::string> environment{
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
    Options options;
    options.timeout = std::chrono::seconds(280);
    process_ = std::make_unique<Process>(Arguments{RUNNER_SOURCE_DIR "/tests/tools/engine_box.sh", name}, environment,
                                         options);
    process_->wait_for("ready", std::chrono::seconds(120));
  }
  ~EngineBox() {
    process_.reset();  // kills the box
    run_program({"bash", "-c",
                 "for i in $(seq 50); do pgrep -f '" + directory_.string() +
                     "/' >/dev/null || break; sleep 0.1; done; find /sys/fs/cgroup/*/" +
                     directory_.filename().string() + " /sys/fs/cgroup/" + directory_.filename().string() +
                     " -depth -type d -exec rmdir {} + 2>/dev/null; rm -rf --one-file-system '" + directory_.string() +
                     "'"});
  }
  std::string host() const { return "unix://" + (directory_ / "d.sock").string(); }
  // To dockerd alone; after KILL it is started again.
  void signal(int number) const {
    const std::string wanted = "dockerd --data-root " + (directory_ / "data").string();
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string pid = entry.path().filename().string();
      if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
      std::ifstream file(entry.path() / "cmdline");
      std::string command((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      std::replace(command.begin(), command.end(), '\0', ' ');
      if (command.starts_with(wanted)) ::kill(std::stoi(pid), number);
    }
  }
  void power_off() { process_->kill_group(); }

 private:
  fs::path directory_;
  std::unique_ptr<Process> process_;
};

constexpr const char* slow_job = R"(
test:
  image: busybox
  variables: {RUNNER_NETWORK: none}
  script: [echo started, sleep 5, echo end]
)";

TEST(Engine, ItsSocketIsMissing) {
  Project project;
  project.on_engine("unix:///no/such/docker.sock").pipeline(slow_job);
  const Result result = project.docker();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.err, AllOf(HasSubstr("/no/such/docker.sock"), HasSubstr("hint: ")));
  EXPECT_LT(result.seconds, 10);
  EXPECT_EQ(result.count("job_started"), 0U);
}

TEST(Engine, NobodyListens) {
  Project project;
  project.on_engine("tcp://127.0.0.1:9").pipeline(slow_job);
  const Result result = project.docker();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.err, HasSubstr("127.0.0.1:9"));
  project.on_engine("nonsense://x");
  const Result nonsense = project.docker();
  EXPECT_THAT(nonsense.code, AnyOf(2, 3)) << nonsense;
  EXPECT_THAT(nonsense.err, HasSubstr("nonsense://x"));
}

TEST(Engine, TheSocketIsSomebodyElses) {
  Project project;
  const std::string path = (project.home() / "s.sock").string();
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(server, 8), 0);
  std::jthread answers([server] {
    for (int client; (client = accept(server, nullptr, nullptr)) >= 0; close(client)) {
      (void)!write(client, "SSH-2.0-not-docker\r\n", 20);
    }
  });
  project.on_engine("unix://" + path).pipeline(slow_job);
  const Result result = project.docker();
  shutdown(server, SHUT_RDWR);
  answers.join();
  close(server);
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.err, HasSubstr("s.sock"));
}

TEST(EngineBad, LosesItsPowerInTheMiddleOfAJob) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start an engine";
  EngineBox engine;
  Project project;
  project.on_engine(engine.host()).pipeline(slow_job);
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  engine.power_off();
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_EQ(result.outcome("test"), "broken");
  EXPECT_THAT(result.reason("test"), AnyOf("lost", "runner_system_failure"));
  EXPECT_NE(result.message("test"), "");
  EXPECT_LT(result.seconds, 80);
  EXPECT_THAT(project.logs({"test"}), HasSubstr("\nstarted\n"));
}

TEST(EngineBad, IsKilledAndStartsAgain) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start an engine";
  EngineBox engine;
  Project project;
  project.on_engine(engine.host()).pipeline(slow_job);
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  engine.signal(SIGKILL);
  // The engine that comes back kills what runs on it, unless the job was faster.
  const Result result = read_result(run->wait());
  EXPECT_THAT(result.code, AnyOf(0, 3)) << result;
  EXPECT_THAT(result.outcome("test"), AnyOf("passed", "broken"));
  if (result.outcome("test") == "broken") {
    EXPECT_THAT(result.reason("test"), AnyOf("lost", "runner_system_failure"));
  }
  EXPECT_LT(result.seconds, 80);
}

TEST(EngineBad, IsFrozenForAWhile) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start an engine";
  EngineBox engine;
  Project project;
  project.on_engine(engine.host()).pipeline(slow_job);
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  engine.signal(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(8));
  engine.signal(SIGCONT);
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "started\nend\n");
  EXPECT_THAT(project.containers(), testing::IsEmpty());
}

TEST(EngineBad, StopsInAnOrderlyWay) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start an engine";
  EngineBox engine;
  Project project;
  project.on_engine(engine.host()).pipeline(slow_job);
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  engine.signal(SIGTERM);
  const Result result = read_result(run->wait());
  EXPECT_THAT(result.code, AnyOf(0, 1, 3)) << result;
  EXPECT_NE(result.outcome("test"), "cancelled");
  if (result.outcome("test") != "passed") {
    EXPECT_NE(result.message("test"), "");
  }
  EXPECT_LT(result.seconds, 80);
}

}  // namespace
}  // namespace e2e
