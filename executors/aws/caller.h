// One call to AWS, made until it is answered: signed, with patience, and never twice where that would do harm.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>

#include "executors/aws/endpoint.h"
#include "executors/aws/retry.h"
#include "executors/aws/sigv4.h"
#include "executors/aws/wire.h"
#include "executors/http/client.h"

namespace executors::aws {

struct Credentials {
  AccessKey key;
  std::optional<std::chrono::sys_seconds> expires;
  std::string source;  // for people: "the environment", "profile live, role arn:…"; never the secret
};

class CredentialSource {
 public:
  CredentialSource() = default;
  CredentialSource(const CredentialSource&) = delete;
  CredentialSource& operator=(const CredentialSource&) = delete;
  virtual ~CredentialSource() = default;
  // Good for minutes at least. From any thread. Throws SetupError when there are none, http::Cancelled.
  virtual Credentials get(const std::stop_token&) = 0;
  // AWS says that this key is too old: the next `get` gives another, if there is one.
  virtual void refused(const AccessKey&) = 0;
};

// What tests put in the world's place.
struct World {
  std::function<std::chrono::sys_seconds()> now;
  std::function<void(std::chrono::milliseconds, const std::stop_token&)> wait;  // throws http::Cancelled
  std::function<double()> random;                                               // [0, 1)
};
World real_world();

// The service said no, or did not say anything in time. what(): "ecs DescribeServices: CODE: message (request id …)".
class CallError : public std::runtime_error {
 public:
  CallError(const std::string& what, Fault cause, int http_status, Trouble kind)
      : std::runtime_error(what), fault(std::move(cause)), status(http_status), trouble(kind) {}
  Fault fault;
  int status;  // 0: no answer
  Trouble trouble;
  // Whether the call may have had its effect although it failed: look before it is made again.
  bool maybe_done() const { return trouble == Trouble::busy || trouble == Trouble::cut; }
  bool is(std::string_view code) const { return fault.code == code; }
};

class Caller {
 public:
  struct Options {
    Service service;
    Endpoint endpoint;
    std::string region;
    std::shared_ptr<CredentialSource> credentials;  // none: calls are not signed
    std::filesystem::path ca_bundle;
    int attempts = most_attempts;
    World world;
  };
  explicit Caller(Options);

  // Each throws CallError, SetupError or http::Cancelled. From any thread, one at a time.
  nlohmann::json json(std::string_view operation, const nlohmann::json& parameters, Repeat,
                      const std::stop_token& = {});
  // query: what stands in <OperationResult>; ec2: the answer itself.
  Element form(std::string_view operation, const nlohmann::json& parameters, Repeat, const std::stop_token& = {});
  // `target` is the path and the query, percent-encoded, from the endpoint on. Any 2xx or 304 is an answer.
  http::Response rest(std::string_view operation, http::Request, const std::string& target, Repeat,
                      const std::stop_token& = {});

  const Options& options() const { return options_; }

 private:
  http::Response call(std::string_view operation, const http::Request&, Repeat, const std::stop_token&);
  http::Request signed_request(const http::Request&, const AccessKey*, Repeat) const;

  Options options_;
  std::chrono::seconds skew_{0};  // what the service's clock is ahead of ours
  std::mutex mutex_;
  http::Client http_;
};

}  // namespace executors::aws
