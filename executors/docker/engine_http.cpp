#include "executors/docker/engine_http.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>

#include "executors/docker/connect.h"

namespace executors::docker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How much of an error's body is kept; the engine's messages are one line.
constexpr std::size_t error_body_limit = 64 * 1024;

std::string describe(milliseconds time) {
  if (time < std::chrono::seconds(2)) return fmt::format("{} ms", time.count());
  return fmt::format("{} s", std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

// Ends a call from another thread: shuts a duplicate of its connection down, so that cpp-httplib's descriptor is
// touched by nobody else and cannot be mistaken for a later one with the same number.
class Interrupter {
 public:
  Interrupter(int socket, const std::stop_token& stop)
      : duplicate_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)),
        callback_(stop, [this] { ::shutdown(duplicate_.number, SHUT_RDWR); }) {}
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;
  ~Interrupter() = default;

 private:
  struct Descriptor {
    explicit Descriptor(int descriptor) : number(descriptor) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
    int number;
  };
  Descriptor duplicate_;
  std::stop_callback<std::function<void()>> callback_;  // last: its destructor waits for a callback that is running
};

// cpp-httplib's client with a connection of our making: descriptors are not inherited by processes that other
// threads start, errors keep their number, and a stop request reaches the call wherever it waits.
template <class Base>
class Client : public Base {
 public:
  template <class... Arguments>
  Client(const Endpoint& endpoint, const HttpCall& call, Arguments&&... arguments)
      : Base(std::forward<Arguments>(arguments)...), endpoint_(endpoint), call_(call) {}

  ConnectFailure failure;

 private:
  bool create_and_connect_socket(typename Base::Socket& socket, httplib::Error& error) override {
    const int connected = this->is_valid() ? connect_to(endpoint_, call_.silence, call_.stop, failure) : -1;
    if (connected < 0) {
      error = httplib::Error::Connection;
      return false;
    }
    socket.sock = connected;
    if (call_.stop.stop_possible()) interrupter_.emplace(connected, call_.stop);
    return true;
  }

  const Endpoint& endpoint_;
  const HttpCall& call_;
  std::optional<Interrupter> interrupter_;
};

// What happened in one call, filled by its callbacks. cpp-httplib must not see an exception: they wait here.
struct Course {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
  bool stopped = false;
  std::exception_ptr failure;
  steady_clock::time_point last_sign_of_life = steady_clock::now();

  // Runs one callback; false ends the call.
  template <class Function>
  bool step(Function&& function) {
    bool go_on = false;
    try {
      go_on = function();
    } catch (...) {
      failure = std::current_exception();
    }
    last_sign_of_life = steady_clock::now();  // the callback's own time does not count as the engine's silence
    return go_on;
  }
};

void note_headers(const httplib::Response& response, Course& course) {
  course.status = response.status;
  for (const auto& [name, value] : response.headers) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); });
    course.headers[lower] = value;
  }
}

httplib::Request make_request(const HttpCall& call, Course& course) {
  httplib::Request request;
  request.method = call.method;
  request.path = call.target;
  request.set_header("User-Agent", "runner");
  request.set_header("Accept-Encoding", "identity");  // else archives are compressed on the way
  for (const auto& [name, value] : call.headers) request.set_header(name, value);

  if (call.upload) {
    request.set_header("Content-Type", "application/x-tar");
    request.set_header("Transfer-Encoding", "chunked");
    request.is_chunked_content_provider_ = true;
    request.content_provider_ = [&](std::size_t, std::size_t, httplib::DataSink& sink) {
      std::string piece;
      if (!course.step([&] {
            piece = call.upload();
            return true;
          })) {
        return false;
      }
      if (!piece.empty()) return sink.write(piece.data(), piece.size());
      sink.done();
      return true;
    };
  } else if (!call.body.empty()) {
    request.set_header("Content-Type", "application/json");
    request.body = call.body;
  }

  request.response_handler = [&](const httplib::Response& response) {
    return course.step([&] {
      note_headers(response, course);
      if (call.started && response.status < 300) call.started();
      return true;
    });
  };
  request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    return course.step([&] {
      const std::string_view bytes(data, size);
      if (course.status < 300) {
        if (!call.receive) {
          course.body += bytes;
        } else if (!call.receive(bytes)) {
          course.stopped = true;
        }
        return !course.stopped;
      }
      course.body += bytes.substr(0, error_body_limit - std::min(error_body_limit, course.body.size()));
      return true;
    });
  };
  return request;
}

[[noreturn]] void throw_connect_failure(const Endpoint& endpoint, const HttpCall& call, const ConnectFailure& failure) {
  const std::string where = endpoint.display();
  const std::string start_it = "is it running? Start it, or set DOCKER_HOST, or use --executor shell";
  const auto fail = [&](const std::string& text, const std::string& hint) {
    throw EngineError(0, fmt::format("cannot {}: {}", call.what, text), hint);
  };
  if (!failure.resolver.empty()) {
    fail(fmt::format("no Docker engine answers at {}: the host '{}' is not known ({})", where, endpoint.host,
                     failure.resolver),
         "check DOCKER_HOST");
  }
  const std::string why = std::generic_category().message(failure.error);
  switch (failure.error) {
    case ENOENT:
    case ENOTDIR:
      fail(fmt::format("no Docker engine answers at {}: there is no such socket", where), start_it);
      break;
    case EACCES:
    case EPERM:
      fail(
          fmt::format("your user may not use {} ({})", where, why),
          "add it to the group docker (sudo usermod -aG docker \"$USER\", then log in again), or use --executor shell");
      break;
    case ECONNREFUSED:
      fail(fmt::format("no Docker engine answers at {}: the connection was refused", where), start_it);
      break;
    case ETIMEDOUT:
      fail(fmt::format("the Docker engine at {} did not answer within {}", where, describe(connect_patience)),
           "it may be stopped, overloaded or behind a firewall");
      break;
    case EMFILE:
    case ENFILE:
      fail(fmt::format("no connection to {}: {}", where, why), "raise the limit of open files (ulimit -n)");
      break;
    default:
      fail(fmt::format("no Docker engine answers at {}: {}", where, why), start_it);
  }
  std::terminate();  // not reached
}

[[noreturn]] void throw_failure(const Endpoint& endpoint, const HttpCall& call, httplib::Error error, bool timed_out,
                                bool usable, const ConnectFailure& failure) {
  const std::string where = endpoint.display();
  const auto fail = [&](const std::string& text, const std::string& hint) {
    throw EngineError(0, fmt::format("cannot {}: {}", call.what, text), hint);
  };
  if (!usable) {
    fail(fmt::format("the client certificate {} and key {} cannot be used together", endpoint.cert, endpoint.key),
         "check DOCKER_CERT_PATH: the files must be PEM, readable, and belong to each other");
  }
  if (error == httplib::Error::Connection) throw_connect_failure(endpoint, call, failure);
  if (error == httplib::Error::SSLLoadingCerts) {
    fail(fmt::format("the certificate authorities in '{}' cannot be used", endpoint.ca),
         "check ca.pem in DOCKER_CERT_PATH");
  }
  if (error == httplib::Error::SSLServerVerification) {
    fail(fmt::format("the certificate of {} is not trusted: it is not for the host '{}', or not signed by {}", where,
                     endpoint.host, endpoint.ca.empty() ? "an authority of this system" : endpoint.ca),
         "check ca.pem in DOCKER_CERT_PATH, and the name in DOCKER_HOST");
  }
  if (error == httplib::Error::SSLConnection) {
    fail(fmt::format("no TLS connection to {}", where),
         "does the engine speak TLS on that port, and does it accept the certificate in DOCKER_CERT_PATH?");
  }
  if (timed_out) {
    fail(fmt::format("the Docker engine at {} did not answer within {}", where, describe(call.silence)),
         "it may be stopped or overloaded; look at its log");
  }
  fail(fmt::format("the Docker engine at {} broke the connection off", where),
       endpoint.tls ? "it may have been stopped, or it refused the certificate in DOCKER_CERT_PATH"
                    : "it may have been stopped or restarted; look at its log");
  std::terminate();  // not reached
}

template <class Base>
HttpAnswer perform(Client<Base>& client, const Endpoint& endpoint, const HttpCall& call, bool* timed_out) {
  client.set_connection_timeout(connect_patience);  // of the TLS handshake
  client.set_read_timeout(call.silence);
  client.set_write_timeout(call.silence);
  client.set_url_encode(false);
  client.set_decompress(false);

  Course course;
  httplib::Request request = make_request(call, course);
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  const bool answered = client.send(request, response, error);
  if (course.failure) std::rethrow_exception(course.failure);

  HttpAnswer answer;
  // A connection that was shut down looks like the end of a body that has no length.
  if (course.stopped || (call.stop.stop_requested() && (!answered || call.receive))) {
    answer.stopped = true;
    return answer;
  }
  if (!answered) {
    // A quarter second less: the time of the call's own system calls, and of clocks that differ.
    const bool late = (error == httplib::Error::Read || error == httplib::Error::Write) &&
                      steady_clock::now() - course.last_sign_of_life >= call.silence - call.silence / 4;
    if (timed_out != nullptr) *timed_out = late;
    throw_failure(endpoint, call, error, late, client.is_valid(), client.failure);
  }
  note_headers(response, course);
  answer.status = course.status;
  answer.headers = std::move(course.headers);
  answer.body = std::move(course.body);
  return answer;
}

}  // namespace

EngineHttp::EngineHttp(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}

HttpAnswer EngineHttp::call(const HttpCall& call, bool* timed_out) const {
  if (timed_out != nullptr) *timed_out = false;
  if (call.stop.stop_requested()) {
    HttpAnswer answer;
    answer.stopped = true;
    return answer;
  }
  if (!endpoint_.tls) {
    // The name becomes the Host header: an engine answers 400 to a socket's path.
    Client<httplib::ClientImpl> client(endpoint_, call, endpoint_.local() ? "docker" : endpoint_.host,
                                       endpoint_.local() ? 80 : endpoint_.port);
    return perform(client, endpoint_, call, timed_out);
  }
  Client<httplib::SSLClient> client(endpoint_, call, endpoint_.host, endpoint_.port, endpoint_.cert, endpoint_.key);
  if (client.is_valid()) {
    client.enable_server_certificate_verification(endpoint_.verify);
    if (!endpoint_.ca.empty()) client.set_ca_cert_path(endpoint_.ca);
  }
  return perform(client, endpoint_, call, timed_out);
}

std::string url_encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string base64url(std::string_view bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t at) { return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0U; };
    const unsigned group = byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2);
    text += alphabet[group >> 18U];
    text += alphabet[group >> 12U & 63U];
    text += i + 1 < bytes.size() ? alphabet[group >> 6U & 63U] : '=';
    text += i + 2 < bytes.size() ? alphabet[group & 63U] : '=';
  }
  return text;
}

std::string base64_decode(std::string_view text) {
  std::string bytes;
  unsigned group = 0;
  unsigned bits = 0;
  for (const char c : text) {
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<unsigned>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<unsigned>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0') + 52;
    } else if (c == '+' || c == '-') {
      value = 62;
    } else if (c == '/' || c == '_') {
      value = 63;
    } else {
      break;
    }
    group = (group << 6U | value) & 0xFFFFU;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += static_cast<char>(group >> bits & 0xFFU);
    }
  }
  return bytes;
}

}  // namespace executors::docker
