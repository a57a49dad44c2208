// One HTTP exchange after another (RFC 9110), over libcurl: proxies, CA bundles, deadlines, cancellation. Nothing is
// repeated and no redirect is followed here: what is safe to repeat, and who may see the credentials, the caller knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace executors::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method = "GET";
  std::string url;  // http:// or https://, sent exactly as it is written
  Headers headers;
  std::string body;
  std::chrono::milliseconds connect_patience{10'000};
  std::chrono::milliseconds patience{60'000};  // for all of it
  bool proxied = true;                         // HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured
  std::filesystem::path ca_bundle;             // PEM; empty: the machine's
  // May reach the server twice without harm. libcurl sends a request again by itself when a connection that was kept
  // breaks off: all others get a connection of their own.
  bool repeatable = false;
  std::size_t most_bytes = std::size_t{64} << 20U;  // of the answer's body
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
  // The first of that name, whatever its case; empty where there is none.
  std::string_view header(std::string_view name) const;
};

// There was no answer. In one line, without credentials.
class TransportError : public std::runtime_error {
 public:
  TransportError(const std::string& message, bool maybe_arrived)
      : std::runtime_error(message), arrived(maybe_arrived) {}
  bool arrived;  // the server may have acted on it: look before it is repeated
};

class Cancelled : public std::runtime_error {
 public:
  Cancelled() : std::runtime_error("cancelled") {}
};

// Keeps connections for the next request. One thread at a time.
class Client {
 public:
  Client();
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Whatever the status is. Throws TransportError; Cancelled within a second of `stop`.
  Response send(const Request&, const std::stop_token& stop = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace executors::http
