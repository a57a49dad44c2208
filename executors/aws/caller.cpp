#include "executors/aws/caller.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <ctime>
#include <random>

namespace executors::aws {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// RFC 9110, section 5.6.7, its preferred form, which is what AWS sends.
std::optional<std::chrono::sys_seconds> date_of(const std::string& text) {
  std::tm parts{};
  const char* const end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr) return std::nullopt;
  return std::chrono::floor<seconds>(std::chrono::system_clock::from_time_t(::timegm(&parts)));
}

// Section 10.2.3, in seconds; no longer than a minute, whatever is asked for.
std::optional<milliseconds> asked_pause(const http::Response& response) {
  const std::string_view text = response.header("Retry-After");
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return seconds(std::clamp(number, 0, 60));
}

// What one attempt came to.
struct Attempt {
  http::Response response;  // status 0: none
  Fault fault;
  Trouble trouble = Trouble::none;
  bool ok() const { return (response.status >= 200 && response.status < 300) || response.status == 304; }
};

Attempt attempt(http::Client& http, const http::Request& request, const std::stop_token& stop) {
  Attempt result;
  try {
    result.response = http.send(request, stop);
  } catch (const http::TransportError& error) {
    result.fault = {"no answer", error.what(), {}};
    result.trouble = error.arrived ? Trouble::cut : Trouble::unreachable;
    return result;
  }
  if (result.ok()) return result;
  const http::Response& response = result.response;
  std::string_view id = response.header("x-amzn-RequestId");
  if (id.empty()) id = response.header("x-amz-request-id");
  result.fault =
      fault_of(response.status, response.body, response.header("x-amzn-ErrorType"), id, response.header("x-amz-id-2"));
  result.trouble = trouble_of(response.status, result.fault.code);
  return result;
}

}  // namespace

World real_world() {
  World world;
  world.now = [] { return std::chrono::floor<seconds>(std::chrono::system_clock::now()); };
  world.wait = [](milliseconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any condition;
    std::unique_lock lock(mutex);
    condition.wait_for(lock, stop, time, [] { return false; });
    if (stop.stop_requested()) throw http::Cancelled();
  };
  world.random = [] {
    thread_local std::mt19937 engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
  return world;
}

Caller::Caller(Options options) : options_(std::move(options)) {}

http::Request Caller::signed_request(const http::Request& request, const AccessKey* key, Repeat repeat) const {
  http::Request result = request;
  result.repeatable = repeat != Repeat::never;
  result.ca_bundle = options_.ca_bundle;
  if (key != nullptr) {
    const Scope scope{std::string(options_.service.signing_name), options_.region, options_.world.now() + skew_};
    const Signature signature =
        sign(*key, scope, {request.method, request.url, request.headers, sha256_hex(request.body)});
    result.headers.insert(result.headers.end(), signature.headers.begin(), signature.headers.end());
  }
  result.headers.emplace_back("User-Agent", "runner");
  return result;
}

http::Response Caller::call(std::string_view operation, const http::Request& request, Repeat repeat,
                            const std::stop_token& stop) {
  const std::scoped_lock lock(mutex_);
  bool renewed = false;
  bool adjusted = false;
  for (int number = 1;; ++number) {
    std::optional<Credentials> credentials;
    if (options_.credentials) credentials = options_.credentials->get(stop);
    Attempt result = attempt(http_, signed_request(request, credentials ? &credentials->key : nullptr, repeat), stop);
    if (result.ok()) return std::move(result.response);

    bool again = number < options_.attempts && may_repeat(repeat, result.trouble);
    if (result.trouble == Trouble::expired) {
      again = again && !std::exchange(renewed, true) && credentials;
      if (again) options_.credentials->refused(credentials->key);
    } else if (const auto date = date_of(std::string(result.response.header("Date")));
               date && (result.trouble == Trouble::skewed || result.response.status == 403)) {
      // A 403 may be about the clock without saying so; only a real difference is worth another attempt.
      const seconds skew = *date - options_.world.now();
      const bool differs = std::chrono::abs(skew - skew_) > std::chrono::minutes(4);
      again = number < options_.attempts && differs && !std::exchange(adjusted, true);
      if (again) skew_ = skew;
    }
    if (!again) {
      const std::string id =
          result.fault.request_id.empty() ? "" : fmt::format(" (request id {})", result.fault.request_id);
      throw CallError(fmt::format("{} {}: {}: {}{}", options_.service.signing_name, operation, result.fault.code,
                                  result.fault.message, id),
                      result.fault, result.response.status, result.trouble);
    }
    const bool at_once = result.trouble == Trouble::expired || result.trouble == Trouble::skewed;
    if (!at_once) {
      const milliseconds pause = pause_before(number + 1, options_.world.random());
      options_.world.wait(std::max(pause, asked_pause(result.response).value_or(milliseconds(0))), stop);
    }
  }
}

nlohmann::json Caller::json(std::string_view operation, const nlohmann::json& parameters, Repeat repeat,
                            const std::stop_token& stop) {
  http::Request request;
  request.method = "POST";
  request.url = options_.endpoint.url + "/";
  request.headers = {{"Content-Type", "application/x-amz-json-1.1"},
                     {"X-Amz-Target", fmt::format("{}.{}", options_.service.target, operation)}};
  request.body =
      parameters.is_null() ? "{}" : parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const http::Response response = call(operation, request, repeat, stop);
  if (response.body.empty()) return nlohmann::json::object();
  nlohmann::json answer = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) {
    throw CallError(fmt::format("{} {}: the answer is no JSON object", options_.service.signing_name, operation),
                    {"no answer", "no JSON object", {}}, response.status, Trouble::cut);
  }
  return answer;
}

Element Caller::form(std::string_view operation, const nlohmann::json& parameters, Repeat repeat,
                     const std::stop_token& stop) {
  http::Request request;
  request.method = "POST";
  request.url = options_.endpoint.url + "/";
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
  request.body = form_of(options_.service, operation, parameters);
  const http::Response response = call(operation, request, repeat, stop);
  std::optional<Element> root = parse_xml(response.body);
  if (!root || root->name != fmt::format("{}Response", operation)) {
    throw CallError(fmt::format("{} {}: the answer is not understood", options_.service.signing_name, operation),
                    {"no answer", "not the XML of this operation", {}}, response.status, Trouble::cut);
  }
  if (options_.service.protocol == Protocol::ec2) return std::move(*root);
  return (*root)[fmt::format("{}Result", operation)];
}

http::Response Caller::rest(std::string_view operation, http::Request request, const std::string& target, Repeat repeat,
                            const std::stop_token& stop) {
  request.url = options_.endpoint.url + target;
  return call(operation, request, repeat, stop);
}

}  // namespace executors::aws
