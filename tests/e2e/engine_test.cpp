// Bad days of the engine: missing, not a Docker engine, stopped, frozen or killed in the middle of a job.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>

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
  explicit EngineBox(const Arguments& options_of_dockerd = {}) {
    std::string name = (fs::temp_directory_path() / "re2e-box-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = name;
    std::map<std::string, std::string> environment{
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
    Options options;
    options.timeout = std::chrono::seconds(280);
    Arguments command{RUNNER_SOURCE_DIR "/tests/tools/engine_box.sh", name};
    command.insert(command.end(), options_of_dockerd.begin(), options_of_dockerd.end());
    process_ = std::make_unique<Process>(command, environment, options);
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
    if (const pid_t daemon = dockerd(); daemon > 0) ::kill(daemon, number);
  }
  void power_off() { process_->kill_group(); }
  // The words that put a command onto the box's network, the only one where its TCP port is.
  Arguments on_its_network() const { return {"nsenter", "--net=/proc/" + std::to_string(dockerd()) + "/ns/net", "--"}; }
  // What the docker command line says of it.
  std::string docker(const std::string& words) const { return sh("docker -H '" + host() + "' " + words); }

 private:
  pid_t dockerd() const {
    const std::string wanted = "dockerd --data-root " + (directory_ / "data").string();
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string pid = entry.path().filename().string();
      if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
      std::ifstream file(entry.path() / "cmdline");
      std::string command((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      std::replace(command.begin(), command.end(), '\0', ' ');
      if (command.starts_with(wanted)) return std::stoi(pid);
    }
    return -1;
  }

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

// What is left on it is waited for once, not once for each container.
TEST(EngineBad, LosesItsPowerUnderManyJobs) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start an engine";
  constexpr int jobs = 12;
  EngineBox engine;
  Project project;
  std::string text = "default: {image: busybox}\nvariables: {RUNNER_NETWORK: none}\n";
  for (int i = 1; i <= jobs; ++i) text += "j" + std::to_string(i) + ": {script: [echo started, sleep 100]}\n";
  project.on_engine(engine.host()).pipeline(text);
  auto run = project.start_docker({"--parallel", std::to_string(jobs)});
  const auto started = [&] {
    const std::vector<Json> events = read_events(run->out());
    return std::count_if(events.begin(), events.end(),
                         [](const Json& event) { return event.value("text", "") == "started"; });
  };
  ASSERT_TRUE(eventually([&] { return started() == jobs; }, std::chrono::seconds(90))) << run->out();
  const auto power_off = std::chrono::steady_clock::now();
  engine.power_off();
  const Result result = read_result(run->wait());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - power_off;
  EXPECT_EQ(result.code, 3) << result;
  for (int i = 1; i <= jobs; ++i) EXPECT_EQ(result.outcome("j" + std::to_string(i)), "broken");
  // 10 s until a silent job counts as gone, 20 s for an engine that may come back.
  EXPECT_LT(took.count(), 45);
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

// --- by TLS ----------------------------------------------------------------------------------------------------------

// Directories of ca.pem, cert.pem and key.pem, as DOCKER_CERT_PATH wants them: the engine's, its client's, a
// stranger's.
class Certificates {
 public:
  Certificates() {
    std::string name = (fs::temp_directory_path() / "re2e-tls-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = name;
    sh("cd '" + name + R"(' && exec 2>&1
cat >settings <<'END'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
[engine]
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
[client]
extendedKeyUsage = clientAuth
END
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
for authority in ours another; do
  openssl req -x509 -config settings -extensions authority $key -subj /CN=$authority -keyout $authority.key -out $authority.pem
done
certificate() { # directory, extensions, authority
  mkdir "$1" && cp "$3.pem" "$1/ca.pem"
  openssl req -x509 -config settings -extensions "$2" $key -subj "/CN=$1" -CA "$3.pem" -CAkey "$3.key" -keyout "$1/key.pem" -out "$1/cert.pem"
}
certificate engine engine ours
certificate client client ours
certificate stranger client another
)");
  }
  ~Certificates() {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  fs::path engine() const { return directory_ / "engine"; }
  fs::path client() const { return directory_ / "client"; }
  fs::path stranger() const { return directory_ / "stranger"; }
  // One more directory with some of the others' files.
  fs::path mixed(const std::string& name, const std::vector<fs::path>& files) const {
    fs::create_directory(directory_ / name);
    for (const fs::path& file : files) fs::copy_file(file, directory_ / name / file.filename());
    return directory_ / name;
  }

 private:
  fs::path directory_;
};

class EngineByTls : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can start an engine";
    certificates_.emplace();
    const auto file = [&](const char* name) { return (certificates_->engine() / name).string(); };
    engine_.emplace(Arguments{"-H", address, "--tlsverify", "--tlscacert", file("ca.pem"), "--tlscert",
                              file("cert.pem"), "--tlskey", file("key.pem")});
    options_.before = engine_->on_its_network();
    project_.on_engine(address).environment("DOCKER_TLS_VERIFY", "1");
    project_.pipeline(slow_job);
  }
  Result run_with(const fs::path& certificates) {
    project_.environment("DOCKER_CERT_PATH", certificates.string());
    return project_.docker({}, options_);
  }
  // One message, before anything has begun.
  void expect_refusal(const Result& result, const testing::Matcher<const std::string&>& text) {
    EXPECT_EQ(result.code, 3) << result;
    EXPECT_THAT(result.err, text);
    EXPECT_THAT(result.err, HasSubstr("hint: "));
    EXPECT_THAT(result.err, testing::StartsWith("runner: "));
    EXPECT_EQ(result.err.rfind("runner: "), 0U) << result;
    EXPECT_EQ(result.count("job_started"), 0U);
    EXPECT_LT(result.seconds, 10);
  }

  static constexpr const char* address = "tcp://127.0.0.1:2376";
  std::optional<Certificates> certificates_;
  std::optional<EngineBox> engine_;
  Project project_;
  Options options_;
};

TEST_F(EngineByTls, RunsJobs) {
  project_.file("source.txt", "source\n").pipeline(R"(
variables: {RUNNER_NETWORK: none}
default: {image: busybox}
build: {stage: build, script: [cat source.txt, echo made >made.txt, printf end], artifacts: {paths: [made.txt]}}
test: {script: [cat made.txt, exit 5], after_script: [echo after]}
)");
  const Result result = run_with(certificates_->client());
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.printed("build"), "source\nend\n");
  EXPECT_EQ(result.printed("test"), "made\nafter\n");
  EXPECT_EQ(result.exit_code("test"), 5);
  EXPECT_EQ(engine_->docker("ps -aq"), "");
  EXPECT_EQ(engine_->docker("volume ls -q"), "");
  const Result doctor = project_.run({"doctor"}, options_);
  EXPECT_EQ(doctor.code, 0) << doctor;
  EXPECT_THAT(doctor.out, HasSubstr(address));
}

TEST_F(EngineByTls, WhoIsNotTrustedIsToldSo) {
  const fs::path ours = certificates_->client(), stranger = certificates_->stranger();
  // An engine that our authority did not sign.
  const fs::path wrong = certificates_->mixed("wrong", {stranger / "ca.pem", ours / "cert.pem", ours / "key.pem"});
  expect_refusal(run_with(wrong), AllOf(HasSubstr("is not trusted"), HasSubstr((wrong / "ca.pem").string())));
  // A client that its authority did not sign.
  const fs::path unknown =
      certificates_->mixed("unknown", {ours / "ca.pem", stranger / "cert.pem", stranger / "key.pem"});
  expect_refusal(run_with(unknown),
                 AllOf(HasSubstr(address), HasSubstr("refused the certificate in DOCKER_CERT_PATH")));
  // A client without any.
  const fs::path none = certificates_->mixed("none", {ours / "ca.pem"});
  expect_refusal(run_with(none), HasSubstr((none / "cert.pem").string() + " is missing"));
  // A key of another certificate.
  const fs::path torn = certificates_->mixed("torn", {ours / "ca.pem", ours / "cert.pem", stranger / "key.pem"});
  expect_refusal(run_with(torn), HasSubstr("cannot be used together"));
  EXPECT_EQ(engine_->docker("ps -aq"), "");
}

TEST_F(EngineByTls, WithoutTlsItSaysWhatIsMissing) {
  options_.env["DOCKER_TLS_VERIFY"] = std::nullopt;
  const Result result = project_.docker({}, options_);
  expect_refusal(result, HasSubstr("DOCKER_TLS_VERIFY=1"));
}

}  // namespace
}  // namespace e2e
