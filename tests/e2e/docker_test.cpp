// Jobs in containers of a real engine: what they get, how they end, and that nothing of them is left.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

Json inspect(const std::string& container) { return Json::parse(sh("docker inspect '" + container + "'")).at(0); }

// --- what a job gets ----------------------------------------------------------------------------------------------

TEST(Docker, TheBridgeByDefaultAndNoneOnRequest) {
  Project project;
  const std::string text =
      "default: {image: busybox}\n"
      "usual: {script: ls /sys/class/net}\n"
      "alone: {variables: {RUNNER_NETWORK: none}, script: ls /sys/class/net}\n";
  project.pipeline(text);
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("usual"), HasSubstr("eth0"));
  EXPECT_EQ(result.printed("alone"), "lo\n");
  project.configuration("[docker]\nnetwork = \"none\"\n");
  EXPECT_EQ(project.docker({"usual"}).printed("usual"), "lo\n");
}

TEST(Docker, NamesAndLabels) {
  Project project;
  project.pipeline(R"(
one:
  image: busybox
  services: [{name: "redis:7", alias: cache}]
  script: [echo ready, sleep 3]
)");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"ready\""));
  const std::string owner = project.owner();
  EXPECT_EQ(owner.size(), 32U);
  const std::string name = "r-" + owner.substr(0, 8) + "-1-1-1";
  const std::vector<std::string> names = project.containers();
  EXPECT_THAT(names, Contains(name));
  EXPECT_GE(names.size(), 2U);  // the service too
  for (const std::string& container : names) {
    EXPECT_THAT(container, testing::StartsWith("r-" + owner.substr(0, 8) + "-1-"));
    const Json labels = inspect(container)["Config"]["Labels"];
    EXPECT_EQ(labels["runner.owner"], owner);
    EXPECT_EQ(labels["runner.run"], "1");
    EXPECT_EQ(labels["runner.job"], "one");
    EXPECT_EQ(labels["runner.attempt"], "1");
  }
  EXPECT_EQ(project.networks().size(), 1U);
  EXPECT_FALSE(project.volumes().empty());
  const Json host = inspect(name)["HostConfig"];
  EXPECT_EQ(host["Init"], true);
  EXPECT_THAT(host["SecurityOpt"].dump(), HasSubstr("no-new-privileges"));
  EXPECT_EQ(host["Privileged"], false);
  EXPECT_EQ(host["AutoRemove"], false);
  EXPECT_EQ(run->wait().code, 0);
}

TEST(Docker, LimitsVolumesAndEnvironmentOfTheConfiguration) {
  Project project;
  project.file("../extra/ca.pem", "a certificate\n");
  const std::string extra = (project / "../extra").lexically_normal().string();
  project.configuration(
      "[docker]\ncpus = 0.5\nmemory = \"128m\"\npids = 77\nvolumes = [\"" + extra +
      ":/etc/extra:ro\"]\nenvironment = { EXTRA = \"from the configuration\", WEAK = \"configuration\" }\n");
  project.pipeline(R"(
test:
  image: busybox
  variables: {WEAK: job}
  script: ['cat /etc/extra/ca.pem; echo "$EXTRA, $WEAK"', '! touch /etc/extra/x', sleep 2]
)");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("configuration, job"));
  const Json host = inspect("r-" + project.owner().substr(0, 8) + "-1-1-1")["HostConfig"];
  EXPECT_EQ(host["NanoCpus"], 500'000'000);
  EXPECT_EQ(host["Memory"], 128 << 20);
  EXPECT_EQ(host["PidsLimit"], 77);
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.printed("test"), AllOf(HasSubstr("a certificate\n"), HasSubstr("from the configuration, job\n")));
}

TEST(Docker, PidsAreLimited) {
  Project project;
  project.configuration("[docker]\npids = 30\n");
  project.pipeline("bomb: {image: busybox, script: ['for i in $(seq 60); do sleep 20 & done; echo survived']}");
  const Result result = project.docker();
  EXPECT_EQ(result.outcome("bomb"), "failed") << result;
  EXPECT_THAT(result.log("bomb"), testing::ContainsRegex("fork|Resource"));
}

TEST(Docker, AnImageWhoseUserIsNotRoot) {
  Project project;
  project.file("a.txt", "source\n", 0600).file("dir/b.txt", "b\n");
  std::filesystem::permissions(project / "dir", std::filesystem::perms{0700});
  project.pipeline(R"(
test:
  image: runner-test/nonroot
  script: [id -u, echo more >>a.txt, cat a.txt, echo new >dir/new.txt, rm dir/b.txt, mkdir made, ls dir]
  after_script: [id -u]
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "1234\nsource\nmore\nnew.txt\n1234\n");
  EXPECT_EQ(project.read("a.txt"), "source\n");
}

TEST(Docker, Entrypoints) {
  Project project;
  project.pipeline(R"(
own: {image: {name: busybox, entrypoint: [env, "FROM_ENTRYPOINT=yes"]}, script: 'echo "[$FROM_ENTRYPOINT]"'}
none: {image: {name: "redis:7", entrypoint: [""]}, script: echo started}
images-own: {image: "redis:7", script: echo started}
shell: {image: {name: busybox, entrypoint: ["/bin/sh", "-c", 'exec "$0" "$@"']}, script: echo started}
text: {image: {name: busybox, entrypoint: ["/bin/sh", "-c"]}, script: echo started, after_script: echo after}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("own"), "[yes]\n");
  EXPECT_EQ(result.printed("none"), "started\n");
  EXPECT_EQ(result.printed("images-own"), "started\n");
  EXPECT_EQ(result.printed("shell"), "started\n");
  EXPECT_EQ(result.printed("text"), "started\nafter\n");
}

TEST(Docker, GitWorksInTheJob) {
  Project project;
  project
      .pipeline(
          "test: {image: 'node:18', script: ['git --version || exit 0', git status --short, git log -1 --format=%s]}")
      .commit("the title");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
}

// --- the workspace, in all the ways there are ------------------------------------------------------------------------

class Workspace : public testing::TestWithParam<const char*> {};

TEST_P(Workspace, CarriesSourcesArtifactsAndLogs) {
  Project project;
  project.configuration(std::string("[docker]\nworkspace = \"") + GetParam() + "\"\n");
  project.file("src/deep/file.txt", "source\n")
      .file("tool.sh", "#!/bin/sh\necho tool\n", 0755)
      .file(".gitignore", "*.tmp\n");
  project.file("big.bin", sh("head -c 3000000 /dev/urandom"));
  project
      .pipeline(R"(
default: {image: busybox}
stages: [build, test, deploy]
build:
  stage: build
  script: [cat src/deep/file.txt, ./tool.sh, mkdir -p out/deep, echo made >out/deep/made.txt, 'ln -s deep/made.txt out/link', cp big.bin out/, echo changed >src/deep/file.txt]
  artifacts: {paths: [out/], reports: {dotenv: build.env}}
  after_script: ['echo VERSION=7 >build.env']
test:
  stage: test
  script: [cat src/deep/file.txt out/deep/made.txt out/link, cmp big.bin out/big.bin, 'echo "version $VERSION"', echo appended >>out/deep/made.txt, exit 3]
  after_script: ['echo "after $CI_JOB_STATUS"']
  allow_failure: true
deploy: {stage: deploy, image: runner-test/nonroot, script: [cat out/deep/made.txt, git status || true, echo x >new.txt]}
)")
      .commit();
  project.file("ignored.tmp", "x");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("build"), "source\ntool\n");
  EXPECT_EQ(result.printed("test"), "source\nmade\nmade\nversion 7\nafter failed\n");
  EXPECT_EQ(result.exit_code("test"), 3);
  EXPECT_THAT(result.printed("deploy"), testing::StartsWith("made\n"));
  EXPECT_EQ(project.read("src/deep/file.txt"), "source\n");
  EXPECT_FALSE(project.has("out"));
}

TEST_P(Workspace, CancelsAndTimesOut) {
  Project project;
  project.configuration(std::string("[docker]\nworkspace = \"") + GetParam() + "\"\n");
  project.pipeline("slow: {image: busybox, timeout: 2 seconds, script: [echo started, sleep 100]}");
  const Result late = project.docker();
  EXPECT_EQ(late.code, 1) << late;
  EXPECT_EQ(late.reason("slow"), "job_execution_timeout");
  project.pipeline(
      "slow: {image: busybox, script: [echo started, sleep 100], after_script: ['echo \"after $CI_JOB_STATUS\"']}");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  run->interrupt();
  const Result cancelled = read_result(run->wait());
  EXPECT_EQ(cancelled.code, 130) << cancelled;
  EXPECT_EQ(cancelled.outcome("slow"), "cancelled");
  EXPECT_THAT(cancelled.log("slow"), HasSubstr("after canceled"));
}

// A directory that is an overlay itself: the kernel takes no overlay's upper layer there.
class OverlaidDirectory {
 public:
  OverlaidDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "re2e-overlay-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    base_ = name;
    for (const char* below : {"lower", "upper", "work", "merged"}) std::filesystem::create_directory(base_ / below);
    const std::string options = "lowerdir=" + name + "/lower,upperdir=" + name + "/upper,workdir=" + name + "/work";
    mounted_ = mount("overlay", path().c_str(), "overlay", 0, options.c_str()) == 0;
  }
  ~OverlaidDirectory() {
    if (mounted_) umount2(path().c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove_all(base_, ignored);
  }
  OverlaidDirectory(const OverlaidDirectory&) = delete;
  OverlaidDirectory& operator=(const OverlaidDirectory&) = delete;
  bool mounted() const { return mounted_; }
  std::filesystem::path path() const { return base_ / "merged"; }

 private:
  std::filesystem::path base_;
  bool mounted_ = false;
};

TEST(WorkspaceFallsBack, ToACopyWhereNoOverlayCanBeMounted) {
  const OverlaidDirectory state;
  if (!state.mounted()) GTEST_SKIP() << "no overlay can be mounted here (that takes root)";
  Project project;
  project.use_database(state.path() / "runner.db").file("src/a.txt", "source\n").file("src/b.txt", "b\n");
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none}
build:
  stage: build
  script: [cat src/a.txt, rm src/b.txt, mkdir out, echo made >out/made.txt, ln -s made.txt out/link]
  artifacts: {paths: [out/]}
test: {stage: test, script: [cat out/made.txt, cat out/link, ls src, echo changed >src/a.txt]}
deploy: {stage: deploy, script: [cat src/a.txt, echo ready, sleep 3, exit 4]}
)");
  // It is so: an overlay that is asked for is refused, in the engine's words.
  project.configuration("[docker]\nworkspace = \"overlay\"\n");
  const Result refused = project.docker({"build"});
  EXPECT_EQ(refused.code, 3) << refused;
  EXPECT_EQ(refused.outcome("build"), "broken");
  EXPECT_THAT(refused.message("build"), HasSubstr("mount overlay"));

  project.configuration("");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"ready\""));
  const std::vector<std::string> names = project.containers("--filter label=runner.job=deploy");
  ASSERT_EQ(names.size(), 1U);
  std::map<std::string, std::string> types;
  const Json mounts = inspect(names[0])["Mounts"];
  for (const Json& mounted : mounts) types[mounted["Destination"]] = mounted["Type"];
  for (const auto& [where, type] : types) EXPECT_EQ(type, "bind") << where;
  EXPECT_EQ(types.size(), 2U);  // the job's directory and the project
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.printed("build"), "source\n");
  EXPECT_EQ(result.printed("test"), "made\nmade\na.txt\nb.txt\n");
  EXPECT_EQ(result.printed("deploy"), "source\nready\n");
  EXPECT_EQ(result.exit_code("deploy"), 4);
  EXPECT_EQ(project.leftovers(), "");
}

// One is prepared while the other starts: it may be the first to find out.
TEST(WorkspaceFallsBack, ForJobsThatStartAtTheSameTime) {
  const OverlaidDirectory state;
  if (!state.mounted()) GTEST_SKIP() << "no overlay can be mounted here (that takes root)";
  Project project;
  project.use_database(state.path() / "runner.db").file("source.txt", "source\n").pipeline(R"(
default: {image: busybox}
one: {stage: build, script: cat source.txt}
two: {stage: test, script: cat source.txt}
)");
  for (int round = 0; round < 8; ++round) {
    const Result result = project.docker();
    ASSERT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("one"), "source\n");
    EXPECT_EQ(result.printed("two"), "source\n");
  }
}

INSTANTIATE_TEST_SUITE_P(As, Workspace, testing::Values("overlay", "copy", "archive"),
                         [](const auto& which) { return std::string(which.param); });

// An engine on another host: the same one, by TCP.
class Forwarder {
 public:
  Forwarder()
      : process_({"python3", "-u", "-c", R"(
import os, socket, sys, threading
target = os.environ.get('DOCKER_HOST', 'unix:///var/run/docker.sock')[7:]
server = socket.create_server(('127.0.0.1', 0), backlog=64)
print(server.getsockname()[1], flush=True)
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
    except OSError: pass
    try: b.shutdown(socket.SHUT_WR)
    except OSError: pass
while True:
    client, _ = server.accept()
    engine = socket.socket(socket.AF_UNIX); engine.connect(target)
    for pair in ((client, engine), (engine, client)): threading.Thread(target=pump, args=pair, daemon=True).start()
)"},
                 {{"PATH", "/usr/local/bin:/usr/bin:/bin"}}, Options{}) {
    process_.wait_for("\n");
  }
  std::string host() const { return "tcp://127.0.0.1:" + std::to_string(std::stoi(process_.out())); }

 private:
  Process process_;
};

TEST(DockerHost, ByTcp) {
  Forwarder forwarder;
  Project project;
  project.on_engine(forwarder.host()).file("source.txt", "source\n");
  project.pipeline(R"(
default: {image: busybox}
build: {stage: build, script: [cat source.txt, echo made >made.txt, printf end], artifacts: {paths: [made.txt]}}
test: {script: [cat made.txt, exit 5], after_script: [echo after]}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.printed("build"), "source\nend\n");
  EXPECT_EQ(result.printed("test"), "made\nafter\n");
  EXPECT_EQ(result.exit_code("test"), 5);
  EXPECT_THAT(project.containers(), testing::IsEmpty());
  EXPECT_THAT(project.networks(), testing::IsEmpty());
  EXPECT_THAT(project.volumes(), testing::IsEmpty());
}

// --- services ------------------------------------------------------------------------------------------------------

TEST(Services, AreReachableByNameAndWaitedFor) {
  Project project;
  project.pipeline(R"(
test:
  image: redis:7
  services:
    - redis:7
    - {name: "redis:7", alias: cache, command: [redis-server, --protected-mode, "no", --save, ""]}
  script:
    - redis-cli -h cache set key value
    - redis-cli -h redis get key
    - redis-cli -h cache get key
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "OK\n\nvalue\n");
}

TEST(Services, HaveVariablesEntrypointAndCommand) {
  Project project;
  project.pipeline(R"(
variables: {SHARED: everybody}
test:
  image: debian:bookworm
  services:
    - name: busybox
      alias: word
      entrypoint: [sh, -c]
      command: ['while :; do echo "$WORD $SHARED" | nc -l -p 8080; done']
      variables: {WORD: hello}
    - {name: runner-test/nonroot, command: [sleep, "60"]}
  script:
    - for i in $(seq 100); do exec 3<>/dev/tcp/word/8080 && break; sleep 0.1; done 2>/dev/null; cat <&3
    - getent hosts runner-test__nonroot >/dev/null; getent hosts runner-test-nonroot >/dev/null; echo both names
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "hello everybody\nboth names\n");
}

// docs.gitlab.com/ci/services, "Starting multiple services from the same image" and "Connecting services".
TEST(Services, OfOneImageAreSeveralAndReachEachOther) {
  Project project;
  project.pipeline(R"(
test:
  image: busybox
  services:
    - {name: busybox, alias: one, entrypoint: [sh, -c], command: ['while :; do echo from one | nc -l -p 8080; done']}
    - name: busybox
      alias: two, also-two also-two
      entrypoint: [sh, -c]
      command: ['while :; do r=; for i in $(seq 100); do r=$(nc one 8080 </dev/null) && [ -n "$r" ] && break; sleep 0.1; done; echo "two heard: $r" | nc -l -p 8081; done']
  script:
    - heard=; for i in $(seq 100); do heard=$(nc also-two 8081 </dev/null) && [ -n "$heard" ] && break; sleep 0.1; done; echo "$heard"
    - exit 3
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.printed("test"), "two heard: from one\n");
  EXPECT_EQ(project.containers(), std::vector<std::string>()) << "services stop also when the job fails";
}

TEST(Services, ANameIsTheFirstOnesAndOneWithoutANameIsNotStarted) {
  Project project;
  project.pipeline(R"(
test:
  image: busybox
  services: [{name: busybox, command: [sleep, "60"]}, {name: "busybox:1", command: [sh, -c, "echo never started"]}]
  script: [echo fine, sleep 1]
)");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"fine\""));
  EXPECT_EQ(project.containers("--filter label=runner.kind=service").size(), 1U);
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("test"), Contains(HasSubstr("busybox:1 has no name left and is not started")));
}

TEST(Services, OneThatDiesIsNamedWithItsLastWords) {
  Project project;
  project.pipeline(R"(
test:
  image: busybox
  services: [{name: busybox, alias: short-lived, command: [sh, -c, "echo its dying words; exit 3"]}]
  script: [echo goes on]
)");
  const Result result = project.docker();
  EXPECT_EQ(result.outcome("test"), "passed") << result;
  EXPECT_THAT(result.out, AllOf(HasSubstr("service busybox"), HasSubstr("its dying words")));
}

TEST(Services, AnImageThatCannotBeHad) {
  Project project;
  project.pipeline("test: {image: busybox, services: ['" + registry() + "/no/such-service:1'], script: echo never}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_EQ(result.outcome("test"), "broken");
  EXPECT_THAT(result.message("test"), HasSubstr("no/such-service"));
}

// --- images ----------------------------------------------------------------------------------------------------------

TEST(Images, OneThatDoesNotExistIsBroken) {
  Project project;
  project.pipeline("stages: [test, deploy]\ntest: {stage: test, image: '" + registry() +
                   "/no/such:1', script: echo never}\nlater: {stage: deploy, image: busybox, script: echo never}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_EQ(result.outcome("test"), "broken");
  EXPECT_EQ(result.reason("test"), "image_pull_failure");
  EXPECT_EQ(result.exit_code("test"), -1);
  EXPECT_THAT(result.message("test"), HasSubstr("no/such:1"));
  EXPECT_EQ(result.outcome("later"), "skipped");
  EXPECT_EQ(result.run_outcome(), "broken");
}

TEST(Images, OfNobodysRegistry) {
  Project project;
  project.pipeline("test: {image: 'registry.invalid/no/such:1', script: echo never}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_EQ(result.reason("test"), "image_pull_failure");
}

TEST(Images, ArePulledWithProgressAndByPolicy) {
  Project project;
  const std::string image = registry() + "/e2e/pulled:" + std::to_string(getpid());
  sh("docker tag busybox '" + image + "'; docker push -q '" + image + "' >/dev/null; docker rmi '" + image +
     "' >/dev/null");
  project.pipeline("test: {image: {name: '" + image + "', pull_policy: never}, script: echo x}");
  const Result never = project.docker();
  EXPECT_EQ(never.code, 3) << never;
  EXPECT_EQ(never.reason("test"), "image_pull_failure");
  project.pipeline("test: {image: '" + image + "', script: echo x}");
  EXPECT_EQ(project.docker({"--pull", "never"}).code, 3);
  const Result plain = project.run({"exec", "--output", "plain"});
  EXPECT_EQ(plain.code, 0) << plain;
  EXPECT_THAT(plain.out, HasSubstr("pull"));
  EXPECT_EQ(project.docker({"--pull", "never"}).code, 0);
  EXPECT_EQ(project.docker({"--pull", "always"}).code, 0);
  project.pipeline("test: {image: {name: '" + image + "', pull_policy: [always, if-not-present]}, script: echo x}");
  EXPECT_EQ(project.docker().code, 0);
  sh("docker rmi '" + image + "' >/dev/null");
}

TEST(Images, WithoutAShellAreBrokenAndSaySo) {
  Project project;
  project.pipeline("test: {image: {name: runner-test/noshell, entrypoint: ['']}, script: echo never}");
  const Result result = project.docker();
  EXPECT_THAT(result.code, AnyOf(1, 3)) << result;
  EXPECT_THAT(result.outcome("test"), AnyOf("broken", "failed"));
  EXPECT_THAT(result.message("test"), HasSubstr("sh"));
  EXPECT_LT(result.seconds, 30);
}

// A server that takes connections and is silent, or hangs up at once.
class StrangeServer {
 public:
  explicit StrangeServer(bool hang_up) {
    server_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(server_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(server_, 16) != 0)
      throw std::runtime_error("listen");
    getsockname(server_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, hang_up](std::stop_token stop) {
      std::vector<int> held;
      while (!stop.stop_requested()) {
        pollfd ready{server_, POLLIN, 0};
        if (poll(&ready, 1, 50) <= 0) continue;
        const int client = accept4(server_, nullptr, nullptr, SOCK_CLOEXEC);
        ++accepted_;
        if (hang_up)
          close(client);
        else
          held.push_back(client);
      }
      for (const int client : held) close(client);
    });
  }
  ~StrangeServer() {
    thread_.request_stop();
    thread_.join();
    close(server_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int accepted() const { return accepted_; }

 private:
  int server_ = -1, port_ = 0;
  std::atomic<int> accepted_ = 0;
  std::jthread thread_;
};

// A registry that wants a password (user:pass-word), before the local one.
class PrivateRegistry {
 public:
  PrivateRegistry()
      : process_({"python3", "-u", "-c", R"(
import base64, http.server, sys, urllib.request, urllib.error
wanted = 'Basic ' + base64.b64encode(b'user:pass-word').decode()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.headers.get('Authorization') != wanted:
            self.send_response(401); self.send_header('WWW-Authenticate', 'Basic realm="e2e"')
            self.send_header('Content-Length', '0'); self.end_headers(); return
        path = self.path.replace('/v2/secret/busybox/', '/v2/library/busybox/')
        request = urllib.request.Request('http://' + sys.argv[1] + path, method=self.command)
        if self.headers.get('Accept'): request.add_header('Accept', ', '.join(self.headers.get_all('Accept')))
        try: answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
        except urllib.error.HTTPError as error: answer = error
        body = answer.read()
        self.send_response(answer.status)
        for name in ('Content-Type', 'Docker-Content-Digest'):
            if answer.headers.get(name): self.send_header(name, answer.headers[name])
        self.send_header('Content-Length', answer.headers.get('Content-Length', str(len(body)))); self.end_headers()
        if self.command == 'GET': self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
)",
                  registry()},
                 {{"PATH", "/usr/local/bin:/usr/bin:/bin"}}, Options{}) {
    process_.wait_for("\n");
    address_ = "127.0.0.1:" + std::to_string(std::stoi(process_.out()));
  }
  ~PrivateRegistry() { forget(); }
  void forget() { run_program({"docker", "rmi", image()}); }
  std::string address() const { return address_; }
  std::string image() const { return address_ + "/secret/busybox:latest"; }

 private:
  Process process_;
  std::string address_;
};

// Busybox as another machine would have it: the image says so, and its program is one that this machine cannot run.
class ForeignImage {
 public:
  ForeignImage() {
    const bool amd = sh("uname -m") == "x86_64\n";
    foreign_ = amd ? "arm64" : "amd64";
    host_ = amd ? "amd64" : sh("uname -m") == "aarch64\n" ? "arm64" : "";
    emulated_ = std::filesystem::exists(std::string("/proc/sys/fs/binfmt_misc/qemu-") + (amd ? "aarch64" : "x86_64"));
    // The machine's number in the ELF header: 183 is AArch64, 62 x86-64.
    sh("set -e; d=$(mktemp -d); trap 'rm -rf $d' EXIT; cd $d; c=$(docker create busybox); docker cp $c:/bin/busybox "
       "sh; docker rm $c; printf '\\" +
       std::string(amd ? "267" : "76") +
       "' | dd of=sh bs=1 seek=18 conv=notrunc 2>&1; printf 'FROM scratch\\nCOPY sh /bin/\\nENV PATH=/bin\\n"
       "CMD [\"sh\"]\\n' >Dockerfile; DOCKER_BUILDKIT=0 docker build -q --platform linux/" +
       foreign_ + " -t " + name + " . 2>&1");
  }
  ~ForeignImage() { run_program({"docker", "rmi", "-f", name}); }
  bool usable() const { return !host_.empty() && !emulated_; }
  std::string verdict() const { return "image is " + foreign_ + ", host is " + host_; }

  const std::string name = "runner-test/foreign:" + std::to_string(getpid());

 private:
  std::string foreign_, host_;
  bool emulated_ = false;
};

TEST(Images, OfAnotherArchitectureAreNamed) {
  const ForeignImage image;
  if (!image.usable()) GTEST_SKIP() << "this machine runs images of the other architecture, or has none known here";
  for (const char* network : {"bridge", "none"}) {
    for (const char* workspace : {"auto", "archive"}) {
      Project project;
      project.configuration(std::string("[docker]\nworkspace = \"") + workspace + "\"\nnetwork = \"" + network +
                            "\"\n");
      project.pipeline("default: {image: '" + image.name +
                       "'}\none: {stage: build, script: echo one}\ntwo: {stage: test, script: echo two}\n");
      const Result result = project.docker();
      EXPECT_EQ(result.code, 3) << result;
      EXPECT_EQ(result.outcome("one"), "broken");
      EXPECT_EQ(result.reason("one"), "runner_system_failure");
      EXPECT_THAT(result.message("one"), AllOf(HasSubstr(image.name), HasSubstr(image.verdict()),
                                               HasSubstr("use an image for this machine"), HasSubstr("qemu")))
          << workspace << ", network " << network;
      EXPECT_EQ(result.outcome("two"), "skipped");
      EXPECT_LT(result.seconds, 20);
    }
  }
}

TEST(Images, AServiceOfAnotherArchitectureIsWarnedOf) {
  const ForeignImage image;
  if (!image.usable()) GTEST_SKIP() << "this machine runs images of the other architecture, or has none known here";
  Project project;
  project.pipeline("test: {image: busybox, services: [{name: '" + image.name + "', alias: db}], script: echo ran}\n");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("test"), "ran\n");
  EXPECT_THAT(result.warnings("test"),
              Contains(AllOf(HasSubstr("service "), HasSubstr(image.name), HasSubstr(image.verdict()))));
}

TEST(Images, OfAPrivateRegistryByTheDockerConfigFile) {
  PrivateRegistry registry;
  Project project;
  project.pipeline("test: {image: '" + registry.image() + "', script: echo pulled}");
  const Result without = project.docker();
  EXPECT_EQ(without.code, 3) << without;
  EXPECT_EQ(without.reason("test"), "image_pull_failure");

  // By a password in ~/.docker/config.json …
  const auto configuration = [&](const std::string& text) { project.file("../home/.docker/config.json", text); };
  configuration(R"({"auths": {")" + registry.address() + R"(": {"auth": ")" + sh("printf user:pass-word | base64 -w0") +
                "\"}}}");
  const Result with = project.docker();
  EXPECT_EQ(with.code, 0) << with;
  registry.forget();

  configuration(R"({"auths": {")" + registry.address() + R"(": {"auth": ")" +
                sh("printf user:wrong-word | base64 -w0") + "\"}}}");
  const Result wrong = project.docker();
  EXPECT_EQ(wrong.code, 3) << wrong;
  EXPECT_THAT(wrong.out + wrong.err, Not(HasSubstr("wrong-word")));

  // … and by a credential helper, in the directory that DOCKER_CONFIG names.
  project.file("../helpers/docker-credential-e2e",
               "#!/bin/sh\nread -r server\necho \"{\\\"ServerURL\\\": \\\"$server\\\", \\\"Username\\\": \\\"user\\\", "
               "\\\"Secret\\\": "
               "\\\"pass-word\\\"}\"\n",
               0755);
  project.file("../other/config.json", R"({"credHelpers": {")" + registry.address() + R"(": "e2e"}})");
  Options options;
  options.env["DOCKER_CONFIG"] = (project / "../other").lexically_normal().string();
  options.env["PATH"] =
      (project / "../helpers").lexically_normal().string() + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  const Result helped = project.docker({}, options);
  EXPECT_EQ(helped.code, 0) << helped;
}

TEST(Images, AnInterruptedPullEndsAtOnce) {
  StrangeServer server(/*hang_up=*/false);
  Project project;
  project.pipeline("test: {image: '" + server.address() + "/never/comes:1', script: echo never}");
  auto run = project.start_docker();
  ASSERT_TRUE(eventually([&] { return server.accepted() > 0; }));
  run->interrupt();
  const auto begin = std::chrono::steady_clock::now();
  const Result result = read_result(run->wait());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.outcome("test"), "cancelled");
}

TEST(Images, ARegistryThatHangsUp) {
  StrangeServer server(/*hang_up=*/true);
  Project project;
  project.pipeline("test: {image: '" + server.address() + "/hangs/up:1', script: echo never}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_EQ(result.reason("test"), "image_pull_failure");
}

// --- how jobs end
// ------------------------------------------------------------------------------------------------------

TEST(DockerEnds, OutOfMemoryIsSaidSo) {
  Project project;
  project.configuration("[docker]\nmemory = \"32m\"\n");
  project.pipeline("greedy: {image: busybox, script: [echo eating, tail /dev/zero]}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.outcome("greedy"), "failed");
  EXPECT_EQ(result.reason("greedy"), "oom");
  EXPECT_THAT(result.message("greedy"), AllOf(HasSubstr("memory"), HasSubstr("32")));
}

TEST(DockerEnds, KilledFromOutside) {
  Project project;
  project.pipeline("test: {image: busybox, script: [echo started, sleep 100], after_script: [echo after]}");
  for (const char* how : {"docker kill", "docker rm -f", "docker stop -t 1"}) {
    auto run = project.start_docker();
    ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
    sh(std::string(how) + " $(docker ps -q --filter label=runner.kind=job --filter label=runner.owner=" +
       project.owner() + ") >/dev/null");
    const Result result = read_result(run->wait());
    EXPECT_THAT(result.code, AnyOf(1, 3)) << how << result;
    EXPECT_THAT(result.outcome("test"), AnyOf("broken", "failed")) << how;
    EXPECT_NE(result.reason("test"), "") << how;
    EXPECT_NE(result.message("test"), "") << how;
    EXPECT_LT(result.seconds, 45) << how;
    EXPECT_THAT(project.logs({"test"}), HasSubstr("\nstarted\n"));
  }
}

TEST(DockerEnds, AScriptThatIgnoresSigterm) {
  Project project;
  project.pipeline(R"(
stubborn:
  image: busybox
  script: ["trap '' TERM INT HUP", echo started, 'while :; do sleep 0.1 || true; done']
)");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  const auto begin = std::chrono::steady_clock::now();
  run->interrupt();
  const Result result = read_result(run->wait());
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.outcome("stubborn"), "cancelled");
  EXPECT_GT(took, 9);
  EXPECT_LT(took, 25);
}

TEST(DockerEnds, CtrlCTwiceIsAtOnce) {
  Project project;
  project.pipeline(R"(
stubborn:
  image: busybox
  services: [redis:7]
  script: ["trap '' TERM INT HUP", echo started, 'while :; do sleep 0.1 || true; done']
  after_script: [sleep 60]
)");
  auto run = project.start_docker();
  ASSERT_TRUE(run->wait_for("\"text\":\"started\""));
  const auto begin = std::chrono::steady_clock::now();
  run->interrupt();
  ASSERT_TRUE(run->wait_for("cancelling"));
  std::this_thread::sleep_for(std::chrono::milliseconds(700));  // less counts as the same press
  run->interrupt();
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
  EXPECT_EQ(result.outcome("stubborn"), "cancelled");
}

TEST(DockerEnds, CtrlCWhileManyJobsStart) {
  Project project;
  std::string text = "default: {image: busybox}\n";
  for (int i = 0; i < 12; ++i) text += "job" + std::to_string(i) + ": {script: [echo started, sleep 60]}\n";
  project.pipeline(text);
  auto run = project.start_docker({"--parallel", "6"});
  ASSERT_TRUE(run->wait_for("job_started"));
  run->interrupt();
  const Result result = read_result(run->wait());
  EXPECT_EQ(result.code, 130) << result;
  for (int i = 0; i < 12; ++i) EXPECT_EQ(result.outcome("job" + std::to_string(i)), "cancelled");
}

TEST(DockerEnds, CtrlCInEveryPhase) {
  struct Phase {
    const char *pipeline, *until;
  };
  for (const Phase& phase : std::vector<Phase>{
           // A service that is waited for (it never listens).
           {"test: {image: busybox, services: [{name: 'postgres:15', entrypoint: [sleep, '100']}], script: echo never}",
            ""},
           {"test: {image: busybox, before_script: [echo now, sleep 100], script: echo never}", "\"text\":\"now\""},
           {"test: {image: busybox, script: echo x, after_script: [echo now, sleep 100]}", "\"text\":\"now\""},
           {"test: {image: busybox, retry: 2, script: [echo now, sleep 100]}", "\"text\":\"now\""},
           {"test: {image: busybox, script: [head -c 30000000 /dev/urandom >f, echo now], artifacts: {paths: [f]}}",
            "\"text\":\"now\""}}) {
    Project project;
    project.pipeline(phase.pipeline);
    auto run = project.start_docker();
    if (*phase.until != '\0') {
      ASSERT_TRUE(run->wait_for(phase.until));
    } else {
      ASSERT_TRUE(eventually([&] { return project.containers("--filter status=running").size() >= 2; }));
    }
    const auto begin = std::chrono::steady_clock::now();
    run->interrupt();
    const Result result = read_result(run->wait());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << phase.pipeline;
    // The last one may have been faster.
    EXPECT_THAT(result.code, AnyOf(130, 0)) << phase.pipeline << result;
    EXPECT_EQ(result.code == 0 ? "passed" : "cancelled", result.run_outcome());
    if (result.code == 0) {
      EXPECT_THAT(phase.pipeline, HasSubstr("artifacts"));
    }
    EXPECT_EQ(result.count("job_finished", "test"), 1U);
  }
}

TEST(DockerEnds, ADaemonThatHoldsTheLogDoesNotHoldTheJob) {
  Project project;
  project.pipeline("test: {image: busybox, script: ['(sleep 60; echo late) & echo started']}");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_LT(result.seconds, 30);
}

TEST(DockerEnds, ManyJobsLeaveNothing) {
  Project project;
  std::string text = "default: {image: busybox}\nstages: [a, b]\n";
  for (int i = 0; i < 8; ++i)
    text += "a" + std::to_string(i) + ": {stage: a, script: [echo x >f" + std::to_string(i) +
            "], artifacts: {paths: [f" + std::to_string(i) + "]}}\n";
  text +=
      "b: {stage: b, script: ['ls f* | wc -l']}\nnever: {stage: b, when: on_failure, script: echo never}\nbad: {stage: "
      "a, script: exit 1, allow_failure: true, retry: 1}\n";
  project.pipeline(text);
  const Result result = project.docker({"--parallel", "4"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("b"), "8\n");
}

TEST(DockerEnds, AJobThatSpoilsItsOwnDirectory) {
  Project project;
  project.pipeline(R"(
default: {image: busybox}
exit: {script: [rm -f /.job/exit; ln -s /etc/passwd /.job/exit; echo spoilt; exit 3], allow_failure: true}
log: {script: [echo before, rm -f /.job/log, ln -s /etc/passwd /.job/log, echo after]}
all: {script: [echo before, 'rm -rf /.job/* || true', echo after], allow_failure: true}
)");
  const Result result = project.docker();
  EXPECT_THAT(result.code, AnyOf(0, 3)) << result;
  EXPECT_NE(result.outcome("exit"), "passed");
  EXPECT_THAT(result.out, Not(HasSubstr("root:x:0:0")));
  EXPECT_THAT(result.printed("log"), AllOf(HasSubstr("before"), HasSubstr("after")));
}

}  // namespace
}  // namespace e2e
