#include "tests/executors/docker/fake_engine.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace executors::docker {
namespace {

// What main does for the program.
class IgnoreSigpipe : public testing::Environment {
 public:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }
};
const auto* const ignore_sigpipe = testing::AddGlobalTestEnvironment(new IgnoreSigpipe);

bool read_some(int socket, std::string& text) {
  char buffer[4096];
  const ssize_t size = ::recv(socket, buffer, sizeof buffer, 0);
  if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
  return size > 0;
}

}  // namespace

FakeEngine::FakeEngine(Handler handler, std::string api_version)
    : handler_(std::move(handler)), api_version_(std::move(api_version)) {
  directory_ = std::filesystem::temp_directory_path() / "fake-engine-XXXXXX";
  if (::mkdtemp(directory_.data()) == nullptr) throw std::runtime_error("mkdtemp");
  int stop[2];
  if (::pipe2(stop, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  stop_read_ = stop[0];
  stop_write_ = stop[1];
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = directory_ + "/docker.sock";
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("bind");
  ::listen(listener_, 64);
  acceptor_ = std::thread([this] {
    while (true) {
      pollfd polls[2] = {{listener_, POLLIN, 0}, {stop_read_, POLLIN, 0}};
      ::poll(polls, 2, -1);
      if (polls[1].revents != 0) return;
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket >= 0) connections_.emplace_back([this, socket] { serve(socket); });
    }
  });
}

FakeEngine::~FakeEngine() {
  ::close(stop_write_);
  acceptor_.join();
  for (auto& connection : connections_) connection.join();
  ::close(listener_);
  ::close(stop_read_);
  std::filesystem::remove_all(directory_);
}

Endpoint FakeEngine::endpoint() const {
  Endpoint endpoint;
  endpoint.socket = directory_ + "/docker.sock";
  return endpoint;
}

std::vector<FakeEngine::Request> FakeEngine::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeEngine::serve(int socket) {
  std::string text;
  std::size_t end = std::string::npos;
  while ((end = text.find("\r\n\r\n")) == std::string::npos && read_some(socket, text)) {
  }
  if (end != std::string::npos) {
    Request request;
    request.method = text.substr(0, text.find(' '));
    const auto target = request.method.size() + 1;
    request.target = text.substr(target, text.find(' ', target) - target);
    for (auto at = text.find("\r\n") + 2; at < end; at = text.find("\r\n", at) + 2) {
      const auto colon = text.find(':', at);
      std::string name = text.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      const auto line_end = text.find("\r\n", at);
      request.headers[name] = text.substr(colon + 2, line_end - colon - 2);
    }
    Connection connection(socket, stop_read_);
    if (request.target == "/_ping") {
      ++pings_;
      if (api_version_ == "hang") connection.hold();
      connection.answer(200, "OK", api_version_.empty() ? "" : "Api-Version: " + api_version_ + "\r\n");
    } else {
      request.body = text.substr(end + 4);
      const auto length = request.headers.find("content-length");
      if (length != request.headers.end()) {
        while (request.body.size() < std::stoul(length->second) && read_some(socket, request.body)) {
        }
      } else if (request.headers.count("transfer-encoding") != 0 &&
                 request.target.find("refused") == std::string::npos) {
        while (!request.body.ends_with("0\r\n\r\n") && read_some(socket, request.body)) {
        }
      }
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      handler_(request, connection);
    }
  }
  ::close(socket);
}

void FakeEngine::Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void FakeEngine::Connection::answer(int status, std::string_view body, std::string_view headers) {
  send(fmt::format("HTTP/1.1 {} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}", status, body.size(),
                   headers, body));
}

void FakeEngine::Connection::begin_stream(std::string_view headers) {
  send(fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n{}\r\n", headers));
}

void FakeEngine::Connection::begin_chunks() { send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); }

void FakeEngine::Connection::chunk(std::string_view bytes) { send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes)); }

bool FakeEngine::Connection::hold(std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd polls[2] = {{socket_, POLLIN, 0}, {stop_, POLLIN, 0}};
    ::poll(polls, 2, static_cast<int>(left));
    if (polls[1].revents != 0) return false;
    std::string ignored;
    if (polls[0].revents != 0 && !read_some(socket_, ignored)) return true;
  }
}

TemporaryDirectory::TemporaryDirectory() : path_(std::filesystem::temp_directory_path() / "runner-test-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(const std::string& name, std::string_view text, unsigned mode) const {
  const std::string file = path_ + '/' + name;
  std::ofstream(file, std::ios::binary) << text;
  ::chmod(file.c_str(), mode);
  return file;
}

ScopedVariable::ScopedVariable(std::string name, const char* value) : name_(std::move(name)) {
  if (const char* before = std::getenv(name_.c_str())) {
    was_set_ = true;
    before_ = before;
  }
  if (value != nullptr) {
    ::setenv(name_.c_str(), value, 1);
  } else {
    ::unsetenv(name_.c_str());
  }
}

ScopedVariable::~ScopedVariable() {
  if (was_set_) {
    ::setenv(name_.c_str(), before_.c_str(), 1);
  } else {
    ::unsetenv(name_.c_str());
  }
}

std::string frame(int stream, std::string_view payload) {
  std::string bytes(4, '\0');
  bytes[0] = static_cast<char>(stream);
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes += static_cast<char>(payload.size() >> static_cast<unsigned>(shift) & 0xFFU);
  return bytes.append(payload);
}

}  // namespace executors::docker
