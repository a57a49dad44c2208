// One HTTP call to a Docker engine, over its Unix socket or TCP with or without TLS. engine_http.cpp is the only file
// of this room that knows cpp-httplib; Engine (engine.cpp) is the only caller.
//
// Every call is a connection of its own (0.1 ms on a local engine), so calls may be made from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "executors/docker/engine.h"

namespace executors::docker {

// Percent-encodes everything but letters, digits and -._~ (so a slash too).
std::string url_encode(std::string_view);
// The alphabet of URLs, padded: what X-Registry-Auth wants.
std::string base64url(std::string_view);
std::string base64_decode(std::string_view);  // the usual alphabet; stops at the first byte that is not of it

struct HttpCall {
  std::string what;  // for messages: "creating the container r-1-2-3"
  std::string method = "GET";
  std::string target;  // encoded: "/v1.41/containers/json?all=1"
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;                     // JSON
  std::function<std::string()> upload;  // instead of `body`: a tar, piece by piece; an empty piece ends it
  // How long the engine may say nothing (also between two pieces of an answer).
  std::chrono::milliseconds silence{60'000};
  // Breaks the call off at once, whatever it waits for.
  std::stop_token stop;
  // Called when the engine has answered 2xx, before the body. May take its time and make other calls.
  std::function<void()> started;
  // Takes the body of a 2xx answer as it comes, cut anywhere; false ends the call.
  Bytes receive;
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // empty when it went to HttpCall::receive
  bool stopped = false;                        // by the token or by `receive`; the rest means nothing then
  bool ok() const { return status >= 200 && status < 400; }
};

class EngineHttp {
 public:
  explicit EngineHttp(Endpoint);
  const Endpoint& endpoint() const { return endpoint_; }

  // Any HTTP status is an answer. Throws EngineError(0) when there is none; what `upload`, `started` and `receive`
  // throw passes through. `timed_out`, when given, is set before the throw if the engine was silent for too long.
  HttpAnswer call(const HttpCall&, bool* timed_out = nullptr) const;

 private:
  Endpoint endpoint_;
};

}  // namespace executors::docker
