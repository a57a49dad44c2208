#include "runner/config/config.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>
#include <map>

namespace runner {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Pair;
namespace fs = std::filesystem;

class ConfigFiles : public testing::Test {
 protected:
  ConfigFiles() : directory_(::mkdtemp(name_)) {
    source_.system_file = directory_ / "etc.toml";
    source_.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    variables_["XDG_CONFIG_HOME"] = directory_.string();
    variables_["HOME"] = "/home/ann";
  }
  ~ConfigFiles() override { fs::remove_all(directory_); }

  fs::path write(const std::string& name, const std::string& text) {
    const fs::path path = directory_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
  }
  Config load() { return load_config(source_); }
  std::string complaint() {
    try {
      load();
    } catch (const ConfigError& error) {
      std::string text = error.what();
      for (std::size_t at; (at = text.find(directory_.string() + "/")) != std::string::npos;) {
        text.erase(at, directory_.string().size() + 1);
      }
      return text;
    }
    return "no complaint";
  }

  char name_[32] = "/tmp/config_test.XXXXXX";
  fs::path directory_;
  std::map<std::string, std::string> variables_;
  ConfigSource source_;
};

TEST_F(ConfigFiles, DefaultsWhenThereIsNone) {
  const Config config = load();
  EXPECT_EQ(config.executor.value, ExecutorKind::docker);
  EXPECT_EQ(config.database.value, "/home/ann/.local/state/runner/runner.db");
  EXPECT_EQ(config.database.origin, "default");
  EXPECT_EQ(config.docker.pids.value, 4096);
  variables_["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(load().database.value, "/state/runner/runner.db");
  variables_.clear();
  EXPECT_EQ(load().database.value, "/var/lib/runner/runner.db");
}

TEST_F(ConfigFiles, TheUsersFileIsStrongerThanTheSystemsAndTheEnvironmentThanBoth) {
  write("etc.toml", "image = 'one'\nparallel = 1\nexecutor = 'shell'\n");
  const fs::path user = write("runner/config.toml", "\nimage = 'two'\nparallel = 2\n");
  variables_["RUNNER_PARALLEL"] = "3";
  Config config = load();
  EXPECT_EQ(config.executor.value, ExecutorKind::shell);
  EXPECT_EQ(config.image.value, "two");
  EXPECT_EQ(config.image.origin, user.string() + ":2");
  EXPECT_EQ(config.parallel.value, 3U);
  EXPECT_EQ(config.parallel.origin, "RUNNER_PARALLEL");
  config.parallel.set(4, "--parallel");
  EXPECT_EQ(show(config)[1].key, "parallel");
  EXPECT_EQ(show(config)[1].value, "4");
  EXPECT_EQ(show(config)[1].origin, "--parallel");
}

TEST_F(ConfigFiles, ANamedFileReplacesBoth) {
  write("etc.toml", "image = 'one'\n");
  write("runner/config.toml", "image = 'two'\n");
  variables_["RUNNER_CONFIG"] = write("mine.toml", "parallel = 5\n").string();
  EXPECT_EQ(load().image.value, "");
  EXPECT_EQ(load().parallel.value, 5U);
  source_.file = write("flag.toml", "parallel = 6\n");
  EXPECT_EQ(load().parallel.value, 6U);
  source_.file = directory_ / "nowhere.toml";
  EXPECT_EQ(complaint(), "nowhere.toml: cannot read the configuration: No such file or directory");
  source_.file = directory_;
  EXPECT_THAT(complaint(), HasSubstr("cannot read the configuration"));
  source_.file = write("empty.toml", "");
  EXPECT_EQ(complaint(), "no complaint");
}

TEST_F(ConfigFiles, ReadsEveryKey) {
  source_.file = write("all.toml", R"(
executor = "docker"
parallel = 8
database = "/data/runner.db"

[docker]
host = "tcp://engine:2376"
cert_path = "/certs"
tls_verify = true
image = "debian:12"
network = "none"
volumes = ["/ca.pem:/etc/ca.pem:ro", "/cache:/cache"]
environment = { HTTP_PROXY = "http://proxy", EMPTY = "" }
cpus = 1.5
memory = "512m"
pids = 100
privileged = true
pull_policy = ["always", "if-not-present"]
workspace = "copy"

[shell]
environment = ["PATH=/bin", "A=b=c"]

[logs]
limit = "4MiB"
)");
  const Config config = load();
  EXPECT_EQ(config.database.value, "/data/runner.db");
  EXPECT_EQ(config.image.value, "debian:12");
  EXPECT_EQ(config.network.value, executors::Network::none);
  EXPECT_EQ(config.log_limit.value, 4U << 20U);
  const executors::DockerSettings docker = config.docker_settings("owner", "/state");
  EXPECT_EQ(docker.host, "tcp://engine:2376");
  EXPECT_EQ(docker.cert_path, "/certs");
  EXPECT_TRUE(docker.tls_verify);
  EXPECT_THAT(docker.volumes, ElementsAre("/ca.pem:/etc/ca.pem:ro", "/cache:/cache"));
  EXPECT_THAT(docker.environment, testing::UnorderedElementsAre(Pair("EMPTY", ""), Pair("HTTP_PROXY", "http://proxy")));
  EXPECT_EQ(docker.cpus, 1.5);
  EXPECT_EQ(docker.memory, 512U << 20U);
  EXPECT_EQ(docker.pids, 100);
  EXPECT_TRUE(docker.privileged);
  EXPECT_THAT(docker.pull_policy, ElementsAre(pipelines::PullPolicy::always, pipelines::PullPolicy::if_not_present));
  EXPECT_EQ(docker.workspace, executors::WorkspaceKind::copy);
  EXPECT_EQ(docker.owner, "owner");
  EXPECT_EQ(docker.state, "/state");
  EXPECT_THAT(config.shell_settings("/state", "runner").environment,
              ElementsAre(Pair("PATH", "/bin"), Pair("A", "b=c")));
}

TEST_F(ConfigFiles, UnknownKeysAreErrorsWithTheirPlaceAndTheNearestKey) {
  source_.file = write(
      "c.toml",
      "imag = 'x'\n[docker]\npull_polcy = 'never'\nexecutor = 'docker'\n[doker]\nhost = 'x'\n[logs]\nzebra = 1\n");
  const std::string text = complaint();
  EXPECT_THAT(text, HasSubstr("c.toml:1:1: unknown key \"imag\"; did you mean \"image\"?"));
  EXPECT_THAT(text, HasSubstr("c.toml:3:1: unknown key \"pull_polcy\" in [docker]; did you mean \"pull_policy\"?"));
  EXPECT_THAT(text, HasSubstr("c.toml:4:1: unknown key \"executor\" in [docker]"));
  EXPECT_THAT(text, HasSubstr("c.toml:5:2: unknown table [doker]; did you mean \"docker\"?"));
  EXPECT_THAT(text, HasSubstr("c.toml:8:1: unknown key \"zebra\" in [logs]"));
}

TEST_F(ConfigFiles, WrongValuesSayWhatIsExpected) {
  source_.file = write("c.toml",
                       "executor = 'podman'\nparallel = -1\nimage = 3\n[docker]\nmemory = '5 apples'\n"
                       "privileged = 'maybe'\nvolumes = [1]\nenvironment = ['=x']\npull_policy = 'sometimes'\n");
  const std::string text = complaint();
  EXPECT_THAT(text, HasSubstr("c.toml:1:1: executor: expected docker or shell, not \"podman\""));
  EXPECT_THAT(
      text,
      HasSubstr("c.toml:2:1: parallel: expected a number of jobs from 0 (twice the processors) to 1000, not \"-1\""));
  EXPECT_THAT(text, HasSubstr("c.toml:3:1: image: expected a string"));
  EXPECT_THAT(text, HasSubstr("docker.memory: expected a size like 512m, 2g or 1048576, not \"5 apples\""));
  EXPECT_THAT(text, HasSubstr("docker.privileged: expected true or false, not \"maybe\""));
  EXPECT_THAT(text, HasSubstr("docker.volumes: expected a list of strings"));
  EXPECT_THAT(text, HasSubstr("docker.environment: expected NAME=VALUE, not \"=x\""));
  EXPECT_THAT(text, HasSubstr("docker.pull_policy: expected always, if-not-present or never, not \"sometimes\""));
  source_.file = write("c.toml", "image = \n");
  EXPECT_THAT(complaint(), testing::StartsWith("c.toml:1:"));
  source_.file = write("c.toml", "");
  variables_["RUNNER_NETWORK"] = "host";
  EXPECT_EQ(complaint(), "RUNNER_NETWORK: expected bridge or none, not \"host\"");
}

TEST_F(ConfigFiles, ShowsNamesOfEnvironmentOnly) {
  source_.file = write("c.toml", "[docker]\nenvironment = { TOKEN = 'secret' }\n");
  for (const ShownSetting& shown : show(load())) {
    EXPECT_THAT(shown.value, testing::Not(HasSubstr("secret")));
    if (shown.key == "docker.environment") {
      EXPECT_EQ(shown.value, "TOKEN=…");
    }
  }
}

TEST(ParseSize, UnderstandsUnits) {
  EXPECT_EQ(parse_size("0", "x"), 0U);
  EXPECT_EQ(parse_size("1048576", "x"), 1U << 20U);
  EXPECT_EQ(parse_size("512m", "x"), 512U << 20U);
  EXPECT_EQ(parse_size("2GiB", "x"), std::uint64_t{2} << 30U);
  EXPECT_EQ(parse_size("3kB", "x"), 3U << 10U);
  EXPECT_THROW(parse_size("", "x"), ConfigError);
  EXPECT_THROW(parse_size("-1", "x"), ConfigError);
  EXPECT_THROW(parse_size("99999999999t", "x"), ConfigError);
}

}  // namespace
}  // namespace runner
