// The HTTP client for servers that get a credential: GitLab's API, Vault, cloud providers. One request at a time, to
// the server that was named: redirects are not followed, whoever sent the request decides about them
// (docs/decisions/tokens-go-to-their-server.md). `include:remote` has a client of its own (remote_file.h), which no
// credential ever reaches.
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runner {

struct ApiSettings {
  std::chrono::milliseconds patience{10'000};  // for one request, all of it
  std::string ca_file, ca_path;                // PEM; empty: the system's
  std::stop_token stop = {};                   // ends a request in the middle
};

struct ApiRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;                  // of POST and PUT
};

struct ApiResponse {
  long status = 0;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string header(std::string_view name) const;           // of the last of that name; empty: there is none
};

// The server was not reached, or what it said could not be read. In one line, without anything of the request but the
// server's address.
class ApiError : public std::runtime_error {
 public:
  explicit ApiError(const std::string& what, bool may_pass = false) : std::runtime_error(what), passing(may_pass) {}
  bool passing;  // it may work in a moment
};

class ApiClient {
 public:
  explicit ApiClient(ApiSettings);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  ApiResponse send(const ApiRequest&);  // throws ApiError
  const ApiSettings& settings() const { return settings_; }
  void set_patience(std::chrono::milliseconds patience) { settings_.patience = patience; }

 private:
  ApiSettings settings_;
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

// How often and how long a busy server is asked again (429, 5xx but 501, and what ApiError calls passing). The numbers
// are those of Vault's own client, which gitlab-runner uses.
struct Persistence {
  unsigned tries = 3;
  std::chrono::milliseconds first_wait{1000}, longest_wait{1500};
  std::chrono::milliseconds longest_asked{10'000};  // of a Retry-After: longer ones are cut
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};
// Ends early when the client's stop token is asked to: ApiError.
ApiResponse send_patiently(ApiClient&, const ApiRequest&, const Persistence&);

std::string url_escaped(std::string_view text);           // all but RFC 3986's unreserved characters
std::string url_escaped_path(std::string_view segments);  // the same, `/` stays
std::string server_of(std::string_view url);              // scheme and authority: "https://vault.test:8200"

}  // namespace runner
