#include "executors/docker/engine_impl.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace executors::docker {

using nlohmann::json;

namespace {

// What we were written for: nothing here needs more than 1.41 (Docker 20.10), and engines since Docker 29 refuse to
// speak less than 1.44.
constexpr std::pair<int, int> newest_api{1, 44};
constexpr std::pair<int, int> oldest_api{1, 41};

std::optional<std::pair<int, int>> parse_version(std::string_view text) {
  std::pair<int, int> version;
  const char* end = text.data() + text.size();
  auto part = std::from_chars(text.data(), end, version.first);
  if (part.ec != std::errc() || part.ptr == end || *part.ptr != '.') return std::nullopt;
  part = std::from_chars(part.ptr + 1, end, version.second);
  return part.ec == std::errc() ? std::optional(version) : std::nullopt;
}

}  // namespace

std::string message_of(const HttpAnswer& answer) {
  const json body = parse_json(answer.body);
  std::string message = text_at(body, "message");
  if (message.empty()) message = answer.body;
  std::replace(message.begin(), message.end(), '\n', ' ');
  message.erase(message.find_last_not_of(" \r\t") + 1);
  if (message.size() > 1000) message = message.substr(0, 1000) + "…";
  return message.empty() ? "no message" : message;
}

std::string hint_for(std::string_view message) {
  const auto says = [&](std::string_view words) { return message.find(words) != std::string_view::npos; };
  if (says("no space left on device")) return "free some of the engine's disk: docker system df shows it";
  if (says("non-overlapping IPv4 address pool")) return "the engine is out of network addresses: docker network prune";
  if (says("too many open files")) return "raise the engine's limit of open files (ulimit -n of dockerd)";
  if (says("HTTP request to an HTTPS server"))
    return "the engine wants TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH";
  if (says("is too old")) return "update the Docker engine or this runner";
  return {};
}

void throw_answer(const std::string& what, const HttpAnswer& answer) {
  const std::string message = message_of(answer);
  throw EngineError(answer.status,
                    fmt::format("cannot {}: {} (the Docker engine's answer {})", what, message, answer.status),
                    hint_for(message));
}

std::string short_id(const std::string& id) {
  const bool full = id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  return full ? id.substr(0, 12) : id;
}

HttpAnswer Engine::Impl::call(const HttpCall& call, bool* timed_out) {
  HttpAnswer answer = http.call(call, timed_out);
  if (!answer.stopped) absence.over();
  return answer;
}

std::string Engine::Impl::ping(std::chrono::milliseconds patience, std::stop_token stop) {
  HttpCall call{.what = "reach the Docker engine", .target = "/_ping", .silence = patience, .stop = std::move(stop)};
  const HttpAnswer answer = this->call(call);
  if (answer.status != 200 && !answer.stopped) throw_answer(call.what, answer);
  const auto found = answer.headers.find("api-version");
  return found == answer.headers.end() ? std::string() : found->second;
}

// Several threads may ask at once the first time; nobody waits for another's slow engine.
std::string Engine::Impl::version_prefix(const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    if (!prefix_.empty()) return prefix_;
  }
  const std::string told = ping(control_silence, stop);
  if (told.empty() && stop.stop_requested()) return {};
  const auto theirs = parse_version(told);
  const std::string where = http.endpoint().display();
  if (!theirs) {
    throw EngineError(0, fmt::format("what answers at {} is not a Docker engine: it names no API version", where),
                      "check DOCKER_HOST");
  }
  if (*theirs < oldest_api) {
    throw EngineError(0,
                      fmt::format("the Docker engine at {} speaks API {}; {}.{} is needed (Docker 20.10)", where, told,
                                  oldest_api.first, oldest_api.second),
                      "update the Docker engine");
  }
  const auto version = std::min(*theirs, newest_api);
  const std::lock_guard lock(mutex_);
  prefix_ = fmt::format("/v{}.{}", version.first, version.second);
  return prefix_;
}

HttpAnswer Engine::Impl::ask(HttpCall call, bool* timed_out) {
  const std::string prefix = version_prefix(call.stop);
  if (prefix.empty()) {
    HttpAnswer answer;
    answer.stopped = true;
    return answer;
  }
  call.target = prefix + call.target;
  return this->call(call, timed_out);
}

HttpAnswer Engine::Impl::must(HttpCall call, std::initializer_list<int> also) {
  const std::string what = call.what;
  HttpAnswer answer = ask(std::move(call));
  const bool fine = answer.stopped || answer.ok() || std::find(also.begin(), also.end(), answer.status) != also.end();
  if (!fine) throw_answer(what, answer);
  return answer;
}

json Engine::Impl::must_json(HttpCall call) {
  const std::string what = call.what;
  json body = parse_json(must(std::move(call)).body);
  if (body.is_discarded()) {
    throw EngineError(0, fmt::format("cannot {}: the answer of {} is not JSON", what, http.endpoint().display()),
                      "is there something between this runner and the engine?");
  }
  return body;
}

std::vector<Listed> Engine::Impl::list(const std::string& what, const std::string& target, const char* array,
                                       const char* id_key) {
  std::vector<Listed> found;
  const json answer = must_json({.what = what, .target = target});
  for (const json& one : array == nullptr ? answer : at(answer, array)) {
    Listed listed{.id = text_at(one, id_key),
                  .name = text_at(one, "Name"),
                  .state = text_at(one, "State"),
                  .labels = labels_at(one, "Labels")};
    if (const auto names = texts_at(one, "Names"); !names.empty()) {
      listed.name = names.front().substr(names.front().starts_with('/') ? 1 : 0);
    }
    found.push_back(std::move(listed));
  }
  return found;
}

}  // namespace executors::docker
