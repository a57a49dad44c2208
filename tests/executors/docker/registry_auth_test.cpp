#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "executors/docker/engine.h"
#include "tests/executors/docker/fake_engine.h"

namespace executors::docker {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(RegistryOf, AsTheDockerCommandLineNormalises) {
  EXPECT_EQ(registry_of("node"), "docker.io");
  EXPECT_EQ(registry_of("node:18"), "docker.io");
  EXPECT_EQ(registry_of("library/node:18"), "docker.io");
  EXPECT_EQ(registry_of("docker.io/library/node"), "docker.io");
  EXPECT_EQ(registry_of("index.docker.io/library/node"), "docker.io");
  EXPECT_EQ(registry_of("registry.example.com/a/b:1"), "registry.example.com");
  EXPECT_EQ(registry_of("localhost/a"), "localhost");
  EXPECT_EQ(registry_of("localhost:5000/a@sha256:00"), "localhost:5000");
  EXPECT_EQ(registry_of("127.0.0.1:5000/a"), "127.0.0.1:5000");
  EXPECT_EQ(registry_of("group/project/image"), "docker.io");
}

class RegistryAuth : public testing::Test {
 protected:
  json auth(const std::string& image) const {
    const std::string document = registry_auth(directory_.path(), image);
    return document.empty() ? json() : json::parse(document);
  }
  std::string failure(const std::string& image) const {
    try {
      registry_auth(directory_.path(), image);
    } catch (const EngineError& error) {
      EXPECT_EQ(error.reason, "image_pull_failure");
      return error.what();
    }
    return "no failure";
  }
  void config(const std::string& text) const { directory_.write("config.json", text); }
  void helper(const std::string& name, const std::string& script) const {
    directory_.write("docker-credential-" + name, "#!/bin/sh\n" + script, 0755);
  }

  TemporaryDirectory directory_;
  ScopedVariable path_{"PATH", (directory_.path() + ":/usr/bin:/bin").c_str()};
};

TEST_F(RegistryAuth, NoFileNoCredentials) {
  EXPECT_EQ(auth("node:18"), json());
  config("{}");
  EXPECT_EQ(auth("node:18"), json());
}

TEST_F(RegistryAuth, Auths) {
  // ada:lovelace, and bob:pass:word with the NULs that old versions of the docker CLI left
  config(R"({"auths":{"https://index.docker.io/v1/":{"auth":"YWRhOmxvdmVsYWNl"},
                      "registry.example.com":{"auth":"Ym9iOnBhc3M6d29yZAAA"},
                      "https://old.example.com/v1/":{"username":"u","password":"p"},
                      "tokens.example.com":{"auth":"YWRhOg==","identitytoken":"tok"},
                      "bearer.example.com":{"registrytoken":"reg"},
                      "nothing.example.com":{}}})");
  const json hub = {{"username", "ada"}, {"password", "lovelace"}, {"serveraddress", "https://index.docker.io/v1/"}};
  EXPECT_EQ(auth("node:18"), hub);
  EXPECT_EQ(auth("docker.io/library/node"), hub);
  EXPECT_EQ(auth("registry.example.com/a/b:1"),
            (json{{"username", "bob"}, {"password", "pass:word"}, {"serveraddress", "registry.example.com"}}));
  EXPECT_EQ(auth("old.example.com/x").at("username"), "u");
  EXPECT_EQ(auth("tokens.example.com/x"), (json{{"identitytoken", "tok"}, {"serveraddress", "tokens.example.com"}}));
  EXPECT_EQ(auth("bearer.example.com/x").at("registrytoken"), "reg");
  EXPECT_EQ(auth("nothing.example.com/x"), json());
  EXPECT_EQ(auth("unknown.example.com/x"), json());
  EXPECT_EQ(auth("registry.example.com:5000/x"), json());
}

TEST_F(RegistryAuth, DockerHubUnderItsOtherNames) {
  config(R"({"auths":{"docker.io":{"username":"u","password":"p"}}})");
  EXPECT_EQ(auth("node:18").at("username"), "u");
}

TEST_F(RegistryAuth, FromTheEnvironmentsDirectory) {
  config(R"({"auths":{"r.example.com":{"username":"u","password":"p"}}})");
  const ScopedVariable home("HOME", "/nonexistent");
  const ScopedVariable named("DOCKER_CONFIG", directory_.path().c_str());
  EXPECT_NE(registry_auth("", "r.example.com/x"), "");
  const ScopedVariable unnamed("DOCKER_CONFIG", nullptr);
  EXPECT_EQ(registry_auth("", "r.example.com/x"), "");
}

TEST_F(RegistryAuth, ABrokenFileIsNotRepeated) {
  config(R"({"auths":{"r.example.com":{"auth":"c2VjcmV0c2VjcmV0","password": "hunter2)");
  EXPECT_EQ(failure("r.example.com/x"), directory_.path() + "/config.json is not valid JSON");
  config(R"({"auths":{"r.example.com":{"auth":"c2VjcmV0"}}})");
  EXPECT_EQ(failure("r.example.com/x"),
            "the credentials for r.example.com in " + directory_.path() + "/config.json cannot be read");
}

TEST_F(RegistryAuth, HelpersAreAsked) {
  config(R"({"credsStore":"all","credHelpers":{"special.example.com":"one"},"auths":{"special.example.com":{}}})");
  helper("all",
         "read server; echo "
         "\"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"all-$1\\\",\\\"Secret\\\":\\\"s1\\\"}\"");
  helper("one", "read server; echo '{\"Username\":\"<token>\",\"Secret\":\"id-token\"}'");
  EXPECT_EQ(auth("node:18"),
            (json{{"username", "all-get"}, {"password", "s1"}, {"serveraddress", "https://index.docker.io/v1/"}}));
  EXPECT_EQ(auth("special.example.com/x"),
            (json{{"identitytoken", "id-token"}, {"serveraddress", "special.example.com"}}));
}

TEST_F(RegistryAuth, TheHelperIsAskedForTheServer) {
  config(R"({"credsStore":"echo"})");
  helper("echo", "read server; echo \"{\\\"Username\\\":\\\"u\\\",\\\"Secret\\\":\\\"$server\\\"}\"");
  EXPECT_EQ(auth("localhost:5000/x").at("password"), "localhost:5000");
  EXPECT_EQ(auth("node").at("password"), "https://index.docker.io/v1/");
}

TEST_F(RegistryAuth, AHelperThatKnowsNothingLeavesTheFile) {
  config(R"({"credsStore":"empty","auths":{"r.example.com":{"username":"u","password":"p"}}})");
  helper("empty", "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1");
  EXPECT_EQ(auth("node:18"), json());
  EXPECT_EQ(auth("r.example.com/x").at("username"), "u");
}

TEST_F(RegistryAuth, AHelperThatFailsSaysWhy) {
  config(R"({"credsStore":"bad"})");
  EXPECT_THAT(failure("node"), HasSubstr("cannot run the credential helper docker-credential-bad: No such file"));
  helper("bad", "echo 'keychain is locked'; echo noise >&2; exit 2");
  EXPECT_EQ(failure("node"),
            "the credential helper docker-credential-bad failed for https://index.docker.io/v1/ (exit code 2): "
            "keychain is locked");
  helper("bad", "echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"}'; exit 3");
  EXPECT_THAT(failure("node"), AllOf(HasSubstr("(exit code 3)"), Not(HasSubstr("hunter2"))));
  for (const char* cut : {R"({"Username":"u","Secret":"hunter2)", R"( {"Username":"u","Secret":"hunter2","x)",
                          R"(error: {"Secret":"hunter2)", "the secret is hunter2", "u\nSecret=hunter2"}) {
    helper("bad", std::string("printf %s '") + cut + "'; exit 1");
    EXPECT_THAT(failure("node"), AllOf(HasSubstr("(exit code 1)"), Not(HasSubstr("hunter2")))) << cut;
  }
  helper("bad", "echo 'Secret: hunter2'");
  EXPECT_THAT(failure("node"), AllOf(HasSubstr("not understood"), Not(HasSubstr("hunter2"))));
}

TEST_F(RegistryAuth, AHelperThatStaysAfterItsAnswerIsNotWaitedFor) {
  config(R"({"credsStore":"slow"})");
  helper("slow", "cat >/dev/null; echo '{\"Username\":\"u\",\"Secret\":\"p\"}'; exec >&-; exec sleep 60");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(failure("node"), HasSubstr("failed"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(RegistryAuth, AHelpersNameIsNoPath) {
  for (const char* name : {"../evil", "a b", "a;b", "/bin/sh"}) {
    config(json{{"credsStore", name}}.dump());
    EXPECT_EQ(failure("node"), "'" + std::string(name) + "' is no name of a credential helper");
  }
}

}  // namespace
}  // namespace executors::docker
