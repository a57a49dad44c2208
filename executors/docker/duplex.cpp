#include "executors/docker/duplex.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "executors/docker/connect.h"
#include "executors/docker/engine_impl.h"
#include "executors/unique_fd.h"

namespace executors::docker {
namespace {

constexpr std::size_t longest_head = 64 * 1024;
constexpr std::size_t longest_error = 64 * 1024;

using Context = std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)>;
using Connection = std::unique_ptr<SSL, decltype(&::SSL_free)>;

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

}  // namespace

struct Duplex::Impl {
  UniqueFd socket;
  Context context{nullptr, &::SSL_CTX_free};
  Connection tls{nullptr, &::SSL_free};
  std::string ahead;  // came with the answer's head

  // The same files as every call uses, so that what is wrong with them has been said before.
  bool begin_tls(const Endpoint& endpoint) {
    context.reset(::SSL_CTX_new(::TLS_client_method()));
    if (!context) return false;
    if (endpoint.ca.empty()) {
      ::SSL_CTX_set_default_verify_paths(context.get());
    } else if (::SSL_CTX_load_verify_locations(context.get(), endpoint.ca.c_str(), nullptr) != 1) {
      return false;
    }
    if (!endpoint.cert.empty() &&
        (::SSL_CTX_use_certificate_chain_file(context.get(), endpoint.cert.c_str()) != 1 ||
         ::SSL_CTX_use_PrivateKey_file(context.get(), endpoint.key.c_str(), SSL_FILETYPE_PEM) != 1)) {
      return false;
    }
    ::SSL_CTX_set_verify(context.get(), endpoint.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    tls.reset(::SSL_new(context.get()));
    if (!tls) return false;
    if (is_address(endpoint.host)) {
      ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(tls.get()), endpoint.host.c_str());
    } else {
      ::SSL_set1_host(tls.get(), endpoint.host.c_str());
      ::SSL_set_tlsext_host_name(tls.get(), endpoint.host.c_str());
    }
    return ::SSL_set_fd(tls.get(), socket.get()) == 1 && ::SSL_connect(tls.get()) == 1;
  }

  std::size_t receive(char* to, std::size_t size) {
    if (tls) {
      const int got = ::SSL_read(tls.get(), to, static_cast<int>(std::min<std::size_t>(size, 1U << 20U)));
      return got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    ssize_t got = 0;
    while ((got = ::recv(socket.get(), to, size, 0)) < 0 && errno == EINTR) {
    }
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = 0;
      if (tls) {
        sent = ::SSL_write(tls.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20U)));
      } else {
        sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
      }
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // The head of the answer without its last empty line; what came behind it goes into `ahead`.
  std::string read_head() {
    std::string text;
    std::array<char, 4096> block;
    std::size_t end = std::string::npos;
    while ((end = text.find("\r\n\r\n")) == std::string::npos) {
      const std::size_t got = receive(block.data(), block.size());
      if (got == 0 || text.size() > longest_head) return {};
      text.append(block.data(), got);
    }
    ahead = text.substr(end + 4);
    text.resize(end);
    return text;
  }

  [[noreturn]] void refuse(const std::string& what, int status) {
    std::array<char, 4096> block;
    for (std::size_t got = 0; ahead.size() < longest_error && (got = receive(block.data(), block.size())) > 0;)
      ahead.append(block.data(), got);
    HttpAnswer answer;
    answer.status = status;
    answer.body = ahead;
    throw_answer(what, answer);
  }
};

Duplex::Duplex(const Endpoint& endpoint, const std::string& what, const std::string& target,
               const std::string& json_body)
    : impl_(std::make_unique<Impl>()) {
  const auto fail = [&](const std::string& why) {
    throw EngineError(0, fmt::format("cannot {}: {} {}", what, endpoint.display(), why));
  };
  ConnectFailure failure;
  impl_->socket = UniqueFd(connect_to(endpoint, control_silence, {}, failure));
  if (!impl_->socket)
    fail("does not answer: " + (failure.resolver.empty() ? std::strerror(failure.error) : failure.resolver));
  if (endpoint.tls && !impl_->begin_tls(endpoint)) fail("does not speak TLS with us");
  const std::string request = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: runner\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
      "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      target, endpoint.local() ? "docker" : endpoint.host, json_body.size(), json_body);
  const std::string head = impl_->send(request) ? impl_->read_head() : std::string();
  int status = 0;
  if (const auto space = head.find(' '); head.starts_with("HTTP/1.") && space != std::string::npos)
    std::from_chars(head.data() + space + 1, head.data() + head.size(), status);
  if (status == 0) fail("broke the connection off");
  if (status != 101 && status != 200) {
    const timeval soon{.tv_sec = 1, .tv_usec = 0};  // the connection stays open behind an error
    ::setsockopt(impl_->socket.get(), SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    impl_->refuse(what, status);
  }
  const timeval never{};
  ::setsockopt(impl_->socket.get(), SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
  ::setsockopt(impl_->socket.get(), SOL_SOCKET, SO_SNDTIMEO, &never, sizeof never);
}

Duplex::~Duplex() = default;

int Duplex::descriptor() const { return impl_->socket.get(); }

bool Duplex::pending() const {
  return !impl_->ahead.empty() || (impl_->tls && ::SSL_has_pending(impl_->tls.get()) == 1);
}

std::size_t Duplex::read(char* to, std::size_t size) {
  if (impl_->ahead.empty()) return impl_->receive(to, size);
  const std::size_t taken = impl_->ahead.copy(to, size);
  impl_->ahead.erase(0, taken);
  return taken;
}

bool Duplex::write(std::string_view bytes) { return impl_->send(bytes); }

}  // namespace executors::docker
