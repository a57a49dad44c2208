// The HTTP client against cpp-httplib's server and against a socket that behaves badly.
#include "executors/http/client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace executors::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class HttpClient : public testing::Test {
 protected:
  HttpClient() {
    server_.set_keep_alive_max_count(100);
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::sleep_for(1ms);
  }
  ~HttpClient() override {
    server_.stop();
    thread_.join();
  }
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(HttpClient, SendsMethodHeadersAndBodyAsTheyAre) {
  server_.Put(R"(/.*)", [](const httplib::Request& request, httplib::Response& response) {
    response.set_header("X-Seen", request.get_header_value("X-Given") + "|" + request.get_header_value("Content-Type") +
                                      "|" + request.get_header_value("Expect"));
    response.set_content(request.method + " " + request.target + " " + request.body, "text/plain");
    response.status = 418;
  });
  Client client;
  const std::string body("a\0b", 3);
  const Response response = client.send({.method = "PUT",
                                         .url = url("/a/../b%20c?x=%2F&y"),
                                         .headers = {{"X-Given", "1"}, {"Content-Type", "application/x-amz-json-1.1"}},
                                         .body = body});
  EXPECT_EQ(response.status, 418);
  EXPECT_EQ(response.body, "PUT /a/../b%20c?x=%2F&y " + body);
  EXPECT_EQ(response.header("x-SEEN"), "1|application/x-amz-json-1.1|");
  EXPECT_EQ(response.header("none"), "");
}

TEST_F(HttpClient, SendsNoContentTypeOfItsOwn) {
  server_.Post("/", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content(request.has_header("Content-Type") ? "typed" : "plain", "text/plain");
  });
  Client client;
  EXPECT_EQ(client.send({.method = "POST", .url = url("/")}).body, "plain");
}

TEST_F(HttpClient, ARequestLeavesNothingToTheNext) {
  server_.Get("/", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content(request.method + request.get_header_value("Authorization") + request.body, "text/plain");
  });
  server_.Post("/", [](const httplib::Request&, httplib::Response& response) { response.status = 204; });
  Client client;
  client.send({.method = "POST", .url = url("/"), .headers = {{"Authorization", "secret"}}, .body = "body"});
  EXPECT_EQ(client.send({.url = url("/")}).body, "GET");
  EXPECT_EQ(client.send({.method = "HEAD", .url = url("/")}).status, 200);
}

TEST_F(HttpClient, FollowsNoRedirect) {
  server_.Get("/", [](const httplib::Request&, httplib::Response& response) { response.set_redirect("/other"); });
  Client client;
  const Response response = client.send({.url = url("/")});
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.header("Location"), "/other");
}

TEST_F(HttpClient, AnAnswerThatIsTooLongIsRefused) {
  server_.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(std::string(2000, 'x'), "text/plain");
  });
  Client client;
  EXPECT_THROW(client.send({.url = url("/"), .most_bytes = 1999}), TransportError);
  EXPECT_EQ(client.send({.url = url("/"), .most_bytes = 2000}).body.size(), 2000U);
}

TEST_F(HttpClient, AProxyIsAskedWhereItIsNamedAndAllowed) {
  server_.Get(R"(.*)", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content("asked for " + request.target, "text/plain");
  });
  ::setenv("http_proxy", url("").c_str(), 1);
  Client client;
  EXPECT_EQ(client.send({.url = "http://nowhere.invalid/x"}).body, "asked for http://nowhere.invalid/x");
  EXPECT_THROW(client.send({.url = "http://nowhere.invalid/x", .proxied = false}), TransportError);
  ::unsetenv("http_proxy");
}

// A listener that takes one connection and does what it is told with it.
class Rude {
 public:
  explicit Rude(std::function<void(int)> behave) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 1) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, behave = std::move(behave)] {
      std::vector<std::jthread> connections;
      for (int connection = 0; (connection = ::accept(listener_, nullptr, nullptr)) >= 0;) {
        connections.emplace_back([connection, &behave] {
          behave(connection);
          ::close(connection);
        });
      }
    });
  }
  ~Rude() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }

 private:
  int listener_;
  int port_ = 0;
  std::thread thread_;
};

TransportError failure_of(const Request& request) {
  Client client;
  try {
    client.send(request);
  } catch (const TransportError& error) {
    return error;
  }
  return {"nothing failed", false};
}

TEST(HttpClientFailures, NobodyListens) {
  std::string url;
  {
    const Rude gone([](int) {});
    url = gone.url();
  }
  const TransportError error = failure_of({.method = "POST", .url = url, .body = "x"});
  EXPECT_FALSE(error.arrived) << "it may be sent again";
  EXPECT_THAT(error.what(), HasSubstr("connect"));
}

TEST(HttpClientFailures, AConnectionCutAfterTheRequestMayHaveActed) {
  const Rude server([](int connection) {
    char byte = 0;
    static_cast<void>(::recv(connection, &byte, 1, 0));
  });
  EXPECT_TRUE(failure_of({.method = "POST", .url = server.url(), .body = "x"}).arrived);
}

// libcurl sends a request again by itself when a connection that it had kept breaks off without an answer.
TEST(HttpClientFailures, AConnectionThatWasKeptAndBreaksOffIsNoReasonToSendTwice) {
  std::atomic<int> posts = 0;
  const Rude server([&](int connection) {
    for (std::string asked;;) {
      std::array<char, 4096> bytes{};
      const ssize_t size = ::recv(connection, bytes.data(), bytes.size(), 0);
      if (size <= 0) return;
      asked = std::string(bytes.data(), static_cast<std::size_t>(size));
      if (asked.find("POST ") != std::string::npos) {
        ++posts;
        return;
      }
      constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
      static_cast<void>(::send(connection, answer.data(), answer.size(), 0));
    }
  });
  Client client;
  EXPECT_EQ(client.send({.url = server.url()}).status, 200);
  try {
    client.send({.method = "POST", .url = server.url(), .body = "x"});
    ADD_FAILURE() << "nobody answered";
  } catch (const TransportError& error) {
    EXPECT_TRUE(error.arrived);
  }
  EXPECT_EQ(posts, 1);
}

TEST(HttpClientFailures, AServerThatNeverAnswersIsNotWaitedForLongerThanSaid) {
  std::stop_source over;
  const Rude server([&](int) {
    while (!over.stop_requested()) std::this_thread::sleep_for(5ms);
  });
  const TransportError error = failure_of({.url = server.url(), .patience = 200ms});
  over.request_stop();
  EXPECT_TRUE(error.arrived);
  EXPECT_THAT(error.what(), HasSubstr("timed out"));
}

TEST(HttpClientFailures, ACancelledRequestEndsSoon) {
  std::stop_source over;
  const Rude server([&](int) {
    while (!over.stop_requested()) std::this_thread::sleep_for(5ms);
  });
  std::stop_source stop;
  const std::jthread canceller([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  Client client;
  EXPECT_THROW(client.send({.url = server.url(), .patience = 60s}, stop.get_token()), Cancelled);
  EXPECT_THROW(client.send({.url = server.url()}, stop.get_token()), Cancelled) << "not even begun";
  over.request_stop();
}

TEST(HttpClientFailures, OtherProtocolsAreRefused) {
  EXPECT_FALSE(failure_of({.url = "file:///etc/passwd"}).arrived);
  EXPECT_THAT(failure_of({.url = "file:///etc/passwd"}).what(), HasSubstr("rotocol"));
}

}  // namespace
}  // namespace executors::http
