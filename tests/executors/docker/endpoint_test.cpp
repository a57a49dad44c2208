#include <gmock/gmock.h>

#include "executors/docker/engine.h"
#include "tests/executors/docker/fake_engine.h"

namespace executors::docker {
namespace {

using testing::HasSubstr;

class EndpointTest : public testing::Test {
 protected:
  ScopedVariable host_{"DOCKER_HOST", nullptr};
  ScopedVariable path_{"DOCKER_CERT_PATH", nullptr};
  ScopedVariable verify_{"DOCKER_TLS_VERIFY", nullptr};
  ScopedVariable tls_{"DOCKER_TLS", nullptr};
};

std::string refusal(const std::string& host) {
  try {
    Endpoint::from_environment(host);
  } catch (const EngineError& error) {
    return std::string(error.what()) + " | " + error.hint;
  }
  return "accepted";
}

TEST_F(EndpointTest, TheDefaultIsTheLocalSocket) {
  const Endpoint endpoint = Endpoint::from_environment();
  EXPECT_EQ(endpoint.socket, "/var/run/docker.sock");
  EXPECT_TRUE(endpoint.local());
  EXPECT_EQ(endpoint.display(), "unix:///var/run/docker.sock");
}

TEST_F(EndpointTest, TheEnvironmentAndTheArgumentThatWins) {
  const ScopedVariable host("DOCKER_HOST", "unix:///run/other.sock");
  EXPECT_EQ(Endpoint::from_environment().socket, "/run/other.sock");
  EXPECT_EQ(Endpoint::from_environment("unix:///mine.sock").socket, "/mine.sock");
}

TEST_F(EndpointTest, Tcp) {
  const Endpoint plain = Endpoint::from_environment("tcp://build.example.com");
  EXPECT_FALSE(plain.local());
  EXPECT_FALSE(plain.tls);
  EXPECT_EQ(plain.display(), "tcp://build.example.com:2375");
  EXPECT_EQ(Endpoint::from_environment("tcp://10.0.0.1:1234/").display(), "tcp://10.0.0.1:1234");
  EXPECT_EQ(Endpoint::from_environment("tcp://[::1]:1234").host, "::1");
  EXPECT_EQ(Endpoint::from_environment("tcp://[::1]:1234").display(), "tcp://[::1]:1234");
  EXPECT_EQ(Endpoint::from_environment("tcp://:1234").host, "localhost");
  EXPECT_FALSE(Endpoint::from_environment("http://a:1").tls);
}

TEST_F(EndpointTest, Tls) {
  const TemporaryDirectory files;
  files.write("ca.pem", "");
  files.write("cert.pem", "");
  files.write("key.pem", "");
  const Endpoint verified = Endpoint::from_environment("tcp://a", files.path(), true);
  EXPECT_TRUE(verified.tls);
  EXPECT_TRUE(verified.verify);
  EXPECT_EQ(verified.port, 2376);
  EXPECT_EQ(verified.ca, files.path() + "/ca.pem");
  EXPECT_EQ(verified.cert, files.path() + "/cert.pem");
  EXPECT_EQ(verified.key, files.path() + "/key.pem");
  // As the docker CLI: certificates without the switch mean TLS that does not check the engine.
  EXPECT_FALSE(Endpoint::from_environment("tcp://a", files.path()).verify);
  EXPECT_TRUE(Endpoint::from_environment("tcp://a", files.path()).tls);
  {
    const ScopedVariable path("DOCKER_CERT_PATH", files.path().c_str());
    const ScopedVariable verify("DOCKER_TLS_VERIFY", "1");
    EXPECT_TRUE(Endpoint::from_environment("tcp://a:99").verify);
    EXPECT_EQ(Endpoint::from_environment("tcp://a:99").display(), "tcp://a:99");
    EXPECT_FALSE(Endpoint::from_environment("unix:///s").tls);
  }
  const Endpoint https = Endpoint::from_environment("https://a");
  EXPECT_TRUE(https.tls);
  EXPECT_TRUE(https.verify);
  EXPECT_EQ(https.ca, "");

  const TemporaryDirectory empty;
  try {
    Endpoint::from_environment("tcp://a", empty.path(), true);
    FAIL();
  } catch (const EngineError& error) {
    EXPECT_EQ(std::string(error.what()),
              "cannot use TLS for the Docker engine: " + empty.path() + "/ca.pem is missing or not readable");
    EXPECT_THAT(error.hint, HasSubstr("DOCKER_CERT_PATH"));
  }
}

TEST_F(EndpointTest, WhatIsNoEndpointSaysSo) {
  EXPECT_THAT(refusal("ssh://me@host"), HasSubstr("ssh:// is not supported | forward the socket (ssh -NL"));
  EXPECT_THAT(refusal("/var/run/docker.sock"),
              HasSubstr("cannot use the Docker host '/var/run/docker.sock': it has no scheme"));
  EXPECT_THAT(refusal("npipe:////./pipe/docker_engine"), HasSubstr("npipe:// is not supported"));
  EXPECT_THAT(refusal("unix://relative.sock"), HasSubstr("must be absolute"));
  EXPECT_THAT(refusal("tcp://a:http"), HasSubstr("'http' is no port"));
  EXPECT_THAT(refusal("tcp://a:70000"), HasSubstr("'70000' is no port"));
  EXPECT_THAT(refusal("tcp://a:"), HasSubstr("is no port"));
  EXPECT_THAT(refusal("tcp://[::1"), HasSubstr("'[' without ']'"));
  EXPECT_THAT(refusal("tcp://a:1/path"), HasSubstr("path"));
  EXPECT_THAT(refusal("tcp://me:secret@a:1"), testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace executors::docker
