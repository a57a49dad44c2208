#include "executors/docker/connect.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace executors::docker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void set_timeouts(int socket, milliseconds silence) {
  // cpp-httplib waits with select(), which it skips for descriptors over 1023: these hold then.
  const timeval time{.tv_sec = static_cast<time_t>(silence.count() / 1000),
                     .tv_usec = static_cast<suseconds_t>(silence.count() % 1000 * 1000)};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

// Connects a fresh non-blocking socket; 0 or an errno (ECANCELED when told to stop).
int connect_within(int socket, const sockaddr* address, socklen_t size, milliseconds patience,
                   const std::stop_token& stop) {
  if (::connect(socket, address, size) == 0) return 0;
  // EAGAIN: the queue of a Unix listener is full, which poll() does not wait for.
  const auto deadline = steady_clock::now() + patience;
  while (errno == EAGAIN && steady_clock::now() < deadline && !stop.stop_requested()) {
    ::poll(nullptr, 0, 20);
    if (::connect(socket, address, size) == 0) return 0;
  }
  if (errno != EINPROGRESS && errno != EINTR) return errno == EAGAIN ? ETIMEDOUT : errno;
  while (true) {
    if (stop.stop_requested()) return ECANCELED;
    pollfd poll{.fd = socket, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&poll, 1, 100);
    if (ready > 0) {
      int error = 0;
      socklen_t length = sizeof error;
      ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
      return error;
    }
    if (ready < 0 && errno != EINTR) return errno;
    if (steady_clock::now() >= deadline) return ETIMEDOUT;
  }
}

}  // namespace

int connect_to(const Endpoint& endpoint, milliseconds silence, const std::stop_token& stop, ConnectFailure& failure) {
  const auto attempt = [&](int family, const sockaddr* address, socklen_t size) {
    const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) {
      failure.error = errno;
      return -1;
    }
    failure.error = connect_within(socket, address, size, connect_patience, stop);
    if (failure.error != 0) {
      ::close(socket);
      return -1;
    }
    ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) & ~O_NONBLOCK);
    set_timeouts(socket, silence);
    return socket;
  };

  if (endpoint.local()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (endpoint.socket.size() >= sizeof address.sun_path) {
      failure.error = ENAMETOOLONG;
      return -1;
    }
    std::copy(endpoint.socket.begin(), endpoint.socket.end(), std::begin(address.sun_path));
    return attempt(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found)) {
    failure.resolver = ::gai_strerror(error);
    return -1;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    const int socket = attempt(one->ai_family, one->ai_addr, one->ai_addrlen);
    if (socket >= 0) {
      const int yes = 1;
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);  // an engine whose host is gone
      return socket;
    }
    if (failure.error == ECANCELED) break;
  }
  return -1;
}

}  // namespace executors::docker
