#include "runner/hosts/remote_file.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <thread>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using pipelines::IncludeFault;
using ::testing::HasSubstr;

// Answers one request a connection, on 127.0.0.1.
class Server {
 public:
  std::map<std::string, std::string> answers;  // by path: the whole answer
  std::atomic<int> asked{0};

  Server() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    socklen_t size = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  std::string address(const std::string& path, const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_) + path;
  }
  std::string origin() const { return "127.0.0.1:" + std::to_string(port_); }
  void answer(const std::string& path, const std::string& body) {
    answers[path] = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  void redirect(const std::string& path, const std::string& to) {
    answers[path] = "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n";
  }

 private:
  void serve() {
    for (int client = -1; (client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ::close(client)) {
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = ::recv(client, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        request.append(buffer, static_cast<std::size_t>(got));
      }
      ++asked;
      const std::size_t begin = request.find(' ') + 1;
      const auto found = answers.find(request.substr(begin, request.find(' ', begin) - begin));
      const std::string answer =
          found == answers.end() ? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" : found->second;
      ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  int socket_;
  int port_ = 0;
  std::thread thread_;
};

class RemoteFileTest : public ::testing::Test {
 protected:
  TemporaryDirectory dir;
  Server server;
  RemoteSettings settings;
  std::string warning;

  void SetUp() override {
    settings.allowed_hosts = {server.origin()};
    settings.cache = dir / "cache";
    settings.patience = std::chrono::seconds(5);
  }
  std::string read(const std::string& address, const std::string& integrity = {}, std::chrono::seconds cache_for = {}) {
    const auto answer = read_remote_file(address, integrity, cache_for, settings);
    if (const auto* fault = std::get_if<IncludeFault>(&answer)) return fault->message + " / " + fault->hint;
    warning = std::get<RemoteFile>(answer).warning;
    return std::get<RemoteFile>(answer).text;
  }
};

TEST_F(RemoteFileTest, OverHttp) {
  server.answer("/a.yml", "job: {script: x}\n");
  EXPECT_EQ(read(server.address("/a.yml")), "job: {script: x}\n");
  EXPECT_THAT(read(server.address("/none.yml")), HasSubstr("answers 404"));
}

TEST_F(RemoteFileTest, Integrity) {
  server.answer("/a.yml", "abc");
  const std::string right = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
  EXPECT_EQ(read(server.address("/a.yml"), right), "abc");
  const int asked = server.asked;
  EXPECT_EQ(read(server.address("/a.yml"), right), "abc");
  EXPECT_EQ(server.asked, asked) << "the copy fits";
  server.answer("/a.yml", "abd");
  EXPECT_EQ(read(server.address("/a.yml")), "abd") << "without it the host is asked";
  EXPECT_THAT(read(server.address("/a.yml"), right), HasSubstr("is not what `integrity` says / its digest is sha256-"));
  EXPECT_THAT(read(server.address("/a.yml"), "sha256-short"), HasSubstr("`integrity` is no SHA-256 digest"));
  EXPECT_THAT(read(server.address("/a.yml"), "md5-x"), HasSubstr("`integrity` is no SHA-256 digest"));
}

TEST_F(RemoteFileTest, CopiesAreTakenWhenAskedForOrNeeded) {
  server.answer("/a.yml", "one");
  EXPECT_EQ(read(server.address("/a.yml")), "one");
  server.answer("/a.yml", "two");
  EXPECT_EQ(read(server.address("/a.yml"), {}, std::chrono::hours(1)), "one");
  EXPECT_EQ(read(server.address("/a.yml")), "two");
  EXPECT_EQ(warning, "");
  server.stop();
  EXPECT_EQ(read(server.address("/a.yml")), "two");
  EXPECT_THAT(warning, HasSubstr("does not answer: "));
  EXPECT_THAT(warning, HasSubstr("a copy from an earlier run is taken"));
  EXPECT_THAT(read(server.address("/b.yml")), HasSubstr("does not answer: "));
}

TEST_F(RemoteFileTest, AddressesThatAreRefused) {
  settings.allowed_hosts.clear();
  for (const char* host : {"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "127.1", "[::ffff:127.0.0.1]",
                           "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "100.100.100.200"}) {
    EXPECT_THAT(read(std::string("http://") + host + "/latest/meta-data.yml"),
                HasSubstr("is an address of this machine, its link or its cloud"))
        << host;
  }
  EXPECT_THAT(read("http://169.254.169.254/x.yml"),
              HasSubstr("`allowed_hosts = [\"169.254.169.254\"]` below [include] in the configuration allows it"));
  for (const char* address : {"file:///etc/passwd.yml", "ftp://a/b.yml", "https://user:word@example.com/a.yml",
                              "https://", "http://a b/", "http://a:99999/", "http://a:x/"}) {
    EXPECT_THAT(read(address), HasSubstr("is no address that can be included")) << address;
  }
  EXPECT_EQ(server.asked, 0);
}

TEST_F(RemoteFileTest, RedirectsAreFollowedAndChecked) {
  server.redirect("/a.yml", "/b.yml");
  server.redirect("/b.yml", server.address("/dir/c.yml"));
  server.redirect("/dir/c.yml", "d.yml");
  server.answer("/dir/d.yml", "d");
  EXPECT_EQ(read(server.address("/a.yml")), "d");
  server.redirect("/metadata.yml", "http://169.254.169.254/latest");
  EXPECT_THAT(read(server.address("/metadata.yml")),
              HasSubstr("169.254.169.254 is refused: 169.254.169.254 is an address of this machine, its link or its "
                        "cloud (" +
                        server.address("/metadata.yml") + " -> http://169.254.169.254/latest)"));
  server.redirect("/file.yml", "file:///etc/passwd");
  EXPECT_THAT(read(server.address("/file.yml")), HasSubstr("file:///etc/passwd is no address that can be included"));
  server.redirect("/loop.yml", "/loop.yml");
  EXPECT_THAT(read(server.address("/loop.yml")), HasSubstr("redirects too often"));
}

TEST_F(RemoteFileTest, TooMuchIsNotRead) {
  server.answer("/a.yml", std::string(12'000'000, 'x'));
  EXPECT_THAT(read(server.address("/a.yml")), HasSubstr("sends more than 10 MB"));
}

TEST(PublicAddress, IsNeitherThisMachineNorItsCloud) {
  for (const char* good : {"93.184.216.34", "10.0.0.1", "192.168.1.1", "2606:2800:220:1::1", "100.64.0.1"}) {
    EXPECT_TRUE(is_public_address(good)) << good;
  }
  for (const char* bad : {"127.0.0.1", "127.255.0.1", "0.0.0.0", "169.254.0.1", "168.63.129.16", "192.0.0.192",
                          "224.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:169.254.169.254",
                          "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0", "ff02::1", "fd00:ec2::254", "x"}) {
    EXPECT_FALSE(is_public_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace runner
