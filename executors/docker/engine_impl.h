// The inside of Engine, shared by engine.cpp, engine_pull.cpp and engine_streams.cpp and included by nobody else: one
// call with the version negotiated and its errors thrown.
#pragma once

#include <chrono>
#include <initializer_list>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/docker/engine.h"
#include "executors/docker/engine_http.h"
#include "executors/docker/json.h"

namespace executors::docker {

// How long the engine may say nothing. A start unpacks nothing but may wait for disks and volume mounts; a pull is
// silent while the registry is looked for.
constexpr std::chrono::seconds control_silence{60};
constexpr std::chrono::seconds start_silence{120};
constexpr std::chrono::seconds archive_silence{300};
constexpr std::chrono::seconds pull_silence{300};
constexpr std::chrono::hours no_limit{24 * 365};

struct Engine::Impl {
  explicit Impl(Endpoint endpoint) : http(std::move(endpoint)) {}

  EngineHttp http;
  Absence absence;

  // Every call goes through here.
  HttpAnswer call(const HttpCall&, bool* timed_out = nullptr);
  // GET /_ping; the newest version the engine speaks. Empty when told to stop.
  std::string ping(std::chrono::milliseconds patience, std::stop_token stop = {});
  // The answer, whatever its status; the target gets the version before it.
  HttpAnswer ask(HttpCall call, bool* timed_out = nullptr);
  // Throws unless the status is a success or one of `also`.
  HttpAnswer must(HttpCall call, std::initializer_list<int> also = {});
  nlohmann::json must_json(HttpCall call);
  std::string versioned(const std::string& target) { return version_prefix({}) + target; }
  std::vector<Listed> list(const std::string& what, const std::string& target, const char* array, const char* id_key);

 private:
  std::string version_prefix(const std::stop_token&);  // empty when told to stop
  std::mutex mutex_;
  std::string prefix_;  // guarded: "/v1.41", empty until the first call
};

// The engine's own words in an answer that is no success: {"message": …}, or whatever a proxy wrote; one line.
std::string message_of(const HttpAnswer&);
std::string hint_for(std::string_view message);
[[noreturn]] void throw_answer(const std::string& what, const HttpAnswer&);
std::string short_id(const std::string& id);  // 12 digits of an id; names stay

}  // namespace executors::docker
