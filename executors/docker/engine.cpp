#include "executors/docker/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "executors/docker/engine_http.h"
#include "executors/docker/frames.h"
#include "executors/docker/pull_progress.h"

namespace executors::docker {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// What we were written for: nothing here needs more than 1.41 (Docker 20.10), and engines since Docker 29 refuse to
// speak less than 1.44.
constexpr std::pair<int, int> newest_api{1, 44};
constexpr std::pair<int, int> oldest_api{1, 41};

// How long the engine may say nothing. A start unpacks nothing but may wait for disks and volume mounts; a pull is
// silent while the registry is looked for.
constexpr auto control_silence = 60s;
constexpr auto start_silence = 120s;
constexpr auto archive_silence = 300s;
constexpr auto pull_silence = 300s;
constexpr auto no_limit = std::chrono::hours(24 * 365);

constexpr std::size_t output_limit = 64 * 1024;

json parse(const std::string& text) { return json::parse(text, nullptr, false); }

// The engine leaves out or nulls what it does not have: these read through that.
const json& at(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}
std::string text_at(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}
bool flag_at(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_boolean() && value.get<bool>();
}
std::int64_t number_at(const json& object, const char* key, std::int64_t otherwise = 0) {
  const json& value = at(object, key);
  return value.is_number_integer() ? value.get<std::int64_t>() : otherwise;
}
std::vector<std::string> texts_at(const json& object, const char* key) {
  std::vector<std::string> texts;
  for (const json& value : at(object, key)) {
    if (value.is_string()) texts.push_back(value.get<std::string>());
  }
  return texts;
}
Labels labels_at(const json& object, const char* key) {
  Labels labels;
  const json& found = at(object, key);
  if (!found.is_object()) return labels;
  for (const auto& [name, value] : found.items()) {
    if (value.is_string()) labels[name] = value.get<std::string>();
  }
  return labels;
}

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// The engine's own words in an answer that is no success: {"message": …}, or whatever a proxy wrote; one line.
std::string message_of(const HttpAnswer& answer) {
  const json body = parse(answer.body);
  std::string message = text_at(body, "message");
  if (message.empty()) message = answer.body;
  std::replace(message.begin(), message.end(), '\n', ' ');
  message.erase(message.find_last_not_of(" \r\t") + 1);
  if (message.size() > 1000) message = message.substr(0, 1000) + "…";
  return message.empty() ? "no message" : message;
}

std::string hint_for(std::string_view message) {
  const auto says = [&](std::string_view words) { return message.find(words) != std::string_view::npos; };
  if (says("no space left on device"))
    return "free some of the engine's disk: docker system prune, or docker system df to look first";
  if (says("non-overlapping IPv4 address pool")) return "the engine is out of network addresses: docker network prune";
  if (says("too many open files")) return "raise the engine's limit of open files (ulimit -n of dockerd)";
  if (says("is too old")) return "update the Docker engine or this runner";
  return {};
}

[[noreturn]] void throw_answer(const std::string& what, const HttpAnswer& answer) {
  const std::string message = message_of(answer);
  throw EngineError(answer.status,
                    fmt::format("cannot {}: {} (the Docker engine's answer {})", what, message, answer.status),
                    hint_for(message));
}

std::optional<std::pair<int, int>> parse_version(std::string_view text) {
  std::pair<int, int> version;
  const char* end = text.data() + text.size();
  auto part = std::from_chars(text.data(), end, version.first);
  if (part.ec != std::errc() || part.ptr == end || *part.ptr != '.') return std::nullopt;
  part = std::from_chars(part.ptr + 1, end, version.second);
  return part.ec == std::errc() ? std::optional(version) : std::nullopt;
}

std::string short_id(const std::string& id) {
  const bool full = id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  return full ? id.substr(0, 12) : id;
}

void keep_tail(std::string& text, std::string_view bytes, std::size_t limit) {
  text += bytes;
  if (text.size() > 2 * limit) text.erase(0, text.size() - limit);
}

std::string filters(const json& value) { return url_encode(dump(value)); }

}  // namespace

struct Engine::Impl {
  explicit Impl(Endpoint endpoint) : http(std::move(endpoint)) {}

  EngineHttp http;
  std::mutex mutex;
  std::string prefix;  // guarded: "/v1.41", empty until the first call

  // GET /_ping; the version the engine speaks at most.
  std::string ping(std::chrono::milliseconds patience, std::stop_token stop = {}) {
    HttpCall call{.what = "reach the Docker engine", .target = "/_ping", .silence = patience, .stop = std::move(stop)};
    const HttpAnswer answer = http.call(call);
    if (answer.status != 200 && !answer.stopped) throw_answer(call.what, answer);
    const auto found = answer.headers.find("api-version");
    return found == answer.headers.end() ? std::string() : found->second;
  }

  // Several threads may ask at once the first time; nobody waits for another's slow engine.
  std::string version_prefix() {
    {
      const std::lock_guard lock(mutex);
      if (!prefix.empty()) return prefix;
    }
    const std::string told = ping(control_silence);
    const auto theirs = parse_version(told);
    const std::string where = http.endpoint().display();
    if (!theirs) {
      throw EngineError(0, fmt::format("what answers at {} is not a Docker engine: it names no API version", where),
                        "check DOCKER_HOST");
    }
    if (*theirs < oldest_api) {
      throw EngineError(0,
                        fmt::format("the Docker engine at {} speaks API {}; {}.{} is needed (Docker 20.10)", where,
                                    told, oldest_api.first, oldest_api.second),
                        "update the Docker engine");
    }
    const auto version = std::min(*theirs, newest_api);
    const std::lock_guard lock(mutex);
    prefix = fmt::format("/v{}.{}", version.first, version.second);
    return prefix;
  }

  // Any status.
  HttpAnswer ask(HttpCall call, bool* timed_out = nullptr) {
    call.target = version_prefix() + call.target;
    return http.call(call, timed_out);
  }

  // Throws unless the status is a success or one of `also`.
  HttpAnswer must(HttpCall call, std::initializer_list<int> also = {}) {
    const std::string what = call.what;
    HttpAnswer answer = ask(std::move(call));
    const bool fine = answer.stopped || answer.ok() || std::find(also.begin(), also.end(), answer.status) != also.end();
    if (!fine) throw_answer(what, answer);
    return answer;
  }

  json must_json(HttpCall call) {
    const std::string what = call.what;
    json body = parse(must(std::move(call)).body);
    if (body.is_discarded()) {
      throw EngineError(0, fmt::format("cannot {}: the answer of {} is not JSON", what, http.endpoint().display()),
                        "is there something between this runner and the engine?");
    }
    return body;
  }

  std::vector<Listed> list(const std::string& what, const std::string& target, const char* array, const char* id_key) {
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

  void pull_once(const std::string& reference, const std::string& target, const std::string& auth,
                 const std::function<void(const PullProgress&)>& progress, const std::stop_token& stop);
};

Engine::Engine(Endpoint endpoint) : impl_(std::make_unique<Impl>(std::move(endpoint))) {}
Engine::~Engine() = default;
const Endpoint& Engine::endpoint() const { return impl_->http.endpoint(); }
void Engine::ping(std::chrono::milliseconds patience, std::stop_token stop) { impl_->ping(patience, std::move(stop)); }

EngineInfo Engine::info() {
  const json version = impl_->must_json({.what = "ask for the Docker engine's version", .target = "/version"});
  const json info = impl_->must_json({.what = "ask for the Docker engine's state", .target = "/info"});
  EngineInfo result;
  result.version = text_at(version, "Version");
  result.api_version = text_at(version, "ApiVersion");
  result.operating_system = text_at(info, "OperatingSystem");
  result.architecture = text_at(info, "Architecture");
  result.storage_driver = text_at(info, "Driver");
  result.cgroup_version = text_at(info, "CgroupVersion");
  result.id = text_at(info, "ID");
  result.live_restore = flag_at(info, "LiveRestoreEnabled");
  return result;
}

// ---- images

std::optional<ImageInfo> Engine::inspect_image(const std::string& reference) {
  HttpCall call{.what = "look at the image " + reference, .target = "/images/" + url_encode(reference) + "/json"};
  const HttpAnswer answer = impl_->must(call, {404});
  if (answer.status == 404) return std::nullopt;
  const json image = parse(answer.body);
  const json& config = at(image, "Config");
  ImageInfo info;
  info.id = text_at(image, "Id");
  info.os = text_at(image, "Os");
  info.architecture = text_at(image, "Architecture");
  info.user = text_at(config, "User");
  info.entrypoint = texts_at(config, "Entrypoint");
  info.command = texts_at(config, "Cmd");
  info.environment = texts_at(config, "Env");
  if (const json& ports = at(config, "ExposedPorts"); ports.is_object()) {
    for (const auto& [port, unused] : ports.items()) info.exposed_ports.push_back(port);
  }
  const auto test = texts_at(at(config, "Healthcheck"), "Test");
  info.has_healthcheck = !test.empty() && test.front() != "NONE";
  return info;
}

namespace {

// Registries say what went wrong in words only, and the engine passes them on: 404 does not exist, 401 denied,
// 429 too many pulls, 507 no space, else 0.
int kind_of_pull_failure(int status, std::string_view message) {
  const auto says = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](auto word) { return message.find(word) != std::string_view::npos; });
  };
  if (says({"no space left on device"})) return 507;
  if (says({"toomanyrequests", "rate limit"})) return 429;
  // Docker Hub denies what does not exist, and says so in the same sentence: believe in the typing error.
  if (says({"access denied", "unauthorized", "denied:", "authentication required", "no basic auth credentials"}))
    return 401;
  if (status == 401 || status == 403) return 401;
  if (status == 404 || says({"manifest unknown", "name unknown", "no matching manifest"})) return 404;
  return 0;
}

[[noreturn]] void throw_pull_failure(const std::string& reference, int status, const std::string& message) {
  const int kind = kind_of_pull_failure(status, message);
  std::string hint;
  if (kind == 404) hint = "check the name, the tag and the platform: the registry does not have it";
  if (kind == 401)
    hint = fmt::format("check the name; if the image is private: docker login {}", registry_of(reference));
  if (kind == 429)
    hint = fmt::format("the registry limits pulls: docker login {}, or use a mirror", registry_of(reference));
  if (kind == 507) hint = hint_for(message);
  if (kind == 0 && status >= 500)
    hint = "is the registry reachable from the engine? Or use an image the engine has already";
  throw EngineError(kind != 0 ? kind : status, fmt::format("cannot pull the image {}: {}", reference, message), hint,
                    "image_pull_failure");
}

// "/images/create?…" as the docker CLI asks: the tag apart, a digest in its place, `latest` when there is neither.
std::string pull_target(const std::string& reference, const std::string& platform) {
  std::string name = reference;
  std::string tag;
  if (const auto digest = name.find('@'); digest != std::string::npos) {
    tag = name.substr(digest + 1);
    name.resize(digest);
  }
  const auto colon = name.rfind(':');
  const auto slash = name.rfind('/');
  if (colon != std::string::npos && (slash == std::string::npos || colon > slash)) {
    if (tag.empty()) tag = name.substr(colon + 1);
    name.resize(colon);
  }
  if (tag.empty()) tag = "latest";
  std::string target = fmt::format("/images/create?fromImage={}&tag={}", url_encode(name), url_encode(tag));
  if (!platform.empty()) target += "&platform=" + url_encode(platform);
  return target;
}

}  // namespace

void Engine::Impl::pull_once(const std::string& reference, const std::string& target, const std::string& auth,
                             const std::function<void(const PullProgress&)>& progress, const std::stop_token& stop) {
  PullSummary summary(reference);
  std::string error;
  Lines lines([&](std::string_view line) {
    const PullMessage message = parse_pull_message(line);
    if (!message.error.empty()) error = message.error;
    if (summary.add(message) && progress) progress({summary.text()});
    return true;
  });
  HttpCall call{.what = "pull the image " + reference, .method = "POST", .target = target, .silence = pull_silence};
  if (!auth.empty()) call.headers.emplace_back("X-Registry-Auth", base64url(auth));
  call.stop = stop;
  call.receive = [&](std::string_view bytes) { return lines.feed(bytes); };
  if (progress) progress({summary.text()});

  HttpAnswer answer;
  try {
    answer = ask(call);
  } catch (const EngineError& trouble) {
    throw EngineError(trouble.status, trouble.what(), trouble.hint, "image_pull_failure");
  }
  lines.finish();
  if (stop.stop_requested())
    throw EngineError(0, fmt::format("pulling {} was cancelled", reference), {}, "image_pull_failure");
  if (answer.stopped) throw_pull_failure(reference, 500, "the engine's answer cannot be read");
  if (!answer.ok()) throw_pull_failure(reference, answer.status, message_of(answer));
  if (!error.empty()) throw_pull_failure(reference, 500, error);
}

void Engine::pull(const std::string& reference, const std::string& platform, const std::string& auth,
                  const std::function<void(const PullProgress&)>& progress, std::stop_token stop) {
  const std::string target = pull_target(reference, platform);
  constexpr std::array pauses{500ms, 2000ms};  // a registry's hiccup; longer trouble is for the job's own `retry`
  std::mutex mutex;
  std::condition_variable_any pause;
  for (std::size_t attempt = 0;; ++attempt) {
    try {
      impl_->pull_once(reference, target, auth, progress, stop);
      return;
    } catch (const EngineError& error) {
      const bool may_pass = error.status == 0 || (error.status >= 500 && error.status != 507);
      if (!may_pass || attempt == pauses.size() || stop.stop_requested()) throw;
      if (progress) progress({fmt::format("pulling {}: failed, trying again", reference)});
      std::unique_lock lock(mutex);
      pause.wait_for(lock, stop, pauses[attempt], [] { return false; });
      if (stop.stop_requested()) throw;
    }
  }
}

// ---- containers

std::string Engine::create_container(const std::string& name, const std::string& body, const std::string& platform) {
  std::string target = "/containers/create?name=" + url_encode(name);
  if (!platform.empty()) target += "&platform=" + url_encode(platform);
  const json answer = impl_->must_json({.what = "create the container " + name,
                                        .method = "POST",
                                        .target = target,
                                        .body = body,
                                        .silence = start_silence});
  return text_at(answer, "Id");
}

void Engine::start(const std::string& id) {
  impl_->must({.what = "start the container " + short_id(id),
               .method = "POST",
               .target = "/containers/" + url_encode(id) + "/start",
               .silence = start_silence});
}

void Engine::kill(const std::string& id, const std::string& signal) {
  HttpCall call{.what = fmt::format("send {} to the container {}", signal, short_id(id)),
                .method = "POST",
                .target = fmt::format("/containers/{}/kill?signal={}", url_encode(id), url_encode(signal))};
  const HttpAnswer answer = impl_->ask(call);
  if (answer.ok() || answer.status == 404 || answer.status == 409) return;
  // A container that ends at this very moment is reported as a server error by some engines.
  if (const auto state = inspect_container(id); !state || !state->running) return;
  throw_answer(call.what, answer);
}

void Engine::remove_container(const std::string& id, bool force) {
  HttpCall call{.what = "remove the container " + short_id(id),
                .method = "DELETE",
                .target = fmt::format("/containers/{}?v=1&force={}", url_encode(id), force ? 1 : 0),
                .silence = start_silence};
  const HttpAnswer answer = impl_->ask(call);
  if (answer.ok() || answer.status == 404) return;
  if (!force || answer.status != 409) throw_answer(call.what, answer);
  // Somebody else removes it at this moment. Gone means gone: its network and volumes are removed next.
  for (int i = 0; i < 200; ++i) {
    if (!inspect_container(id)) return;
    std::this_thread::sleep_for(50ms);
  }
  throw_answer(call.what, answer);
}

std::optional<ContainerState> Engine::inspect_container(const std::string& id) {
  HttpCall call{.what = "look at the container " + short_id(id), .target = "/containers/" + url_encode(id) + "/json"};
  const HttpAnswer answer = impl_->must(call, {404});
  if (answer.status == 404) return std::nullopt;
  const json container = parse(answer.body);
  const json& state = at(container, "State");
  if (!state.is_object()) {
    throw EngineError(
        0, fmt::format("cannot {}: the answer of {} says nothing of its state", call.what, endpoint().display()));
  }
  ContainerState result;
  result.id = text_at(container, "Id");
  result.status = text_at(state, "Status");
  result.running = flag_at(state, "Running");
  result.oom_killed = flag_at(state, "OOMKilled");
  result.exit_code = static_cast<int>(number_at(state, "ExitCode"));
  result.error = text_at(state, "Error");
  result.health = text_at(at(state, "Health"), "Status");
  if (result.health == "none") result.health.clear();
  result.pid = number_at(state, "Pid");
  result.labels = labels_at(at(container, "Config"), "Labels");
  for (const json& network : at(at(container, "NetworkSettings"), "Networks")) {
    if (result.ip.empty()) result.ip = text_at(network, "IPAddress");
  }
  return result;
}

int Engine::wait(const std::string& id, std::stop_token stop) {
  HttpCall call{.what = "wait for the container " + short_id(id),
                .method = "POST",
                .target = "/containers/" + url_encode(id) + "/wait",
                .silence = no_limit,
                .stop = std::move(stop)};
  const HttpAnswer answer = impl_->must(call);
  if (answer.stopped) return -1;
  const json body = parse(answer.body);
  if (!at(body, "StatusCode").is_number_integer()) {
    throw EngineError(0, fmt::format("cannot {}: the engine's answer has no exit code", call.what));
  }
  return static_cast<int>(number_at(body, "StatusCode"));
}

std::string Engine::logs(const std::string& id, int tail) {
  std::string text;
  Frames frames([&](Frames::Stream, std::string_view bytes) {
    keep_tail(text, bytes, output_limit);
    return true;
  });
  impl_->must({.what = "read the log of the container " + short_id(id),
               .target = fmt::format("/containers/{}/logs?stdout=1&stderr=1&tail={}", url_encode(id), tail),
               .receive = [&](std::string_view bytes) { return frames.feed(bytes); }});
  if (text.size() > output_limit) text.erase(0, text.size() - output_limit);
  return text;
}

void Engine::attach(const std::string& id, const std::function<void()>& started, const Bytes& bytes,
                    std::stop_token stop) {
  Frames frames([&](Frames::Stream, std::string_view piece) { return bytes(piece); });
  impl_->must({.what = "attach to the container " + short_id(id),
               .method = "POST",
               .target = "/containers/" + url_encode(id) + "/attach?stream=1&stdout=1&stderr=1",
               .silence = no_limit,
               .stop = std::move(stop),
               .started = started,
               .receive = [&](std::string_view piece) { return frames.feed(piece); }});
  if (frames.broken()) {
    throw EngineError(0, fmt::format("cannot read the output of the container {}: it is not framed", short_id(id)));
  }
}

int Engine::exec(const std::string& id, const std::vector<std::string>& command, std::string* output,
                 const std::string& user, std::stop_token stop, std::chrono::milliseconds silence) {
  const std::string what =
      fmt::format("run '{}' in the container {}", command.empty() ? "" : command.front(), short_id(id));
  json body = {{"AttachStdout", true}, {"AttachStderr", true}, {"Cmd", command}};
  if (!user.empty()) body["User"] = user;
  const json created = impl_->must_json(
      {.what = what, .method = "POST", .target = "/containers/" + url_encode(id) + "/exec", .body = dump(body)});
  const std::string exec = url_encode(text_at(created, "Id"));

  Frames frames([&](Frames::Stream, std::string_view bytes) {
    if (output != nullptr) keep_tail(*output, bytes, output_limit);
    return true;
  });
  const HttpAnswer answer = impl_->must({.what = what,
                                         .method = "POST",
                                         .target = "/exec/" + exec + "/start",
                                         .body = R"({"Detach":false,"Tty":false})",
                                         .silence = silence,
                                         .stop = std::move(stop),
                                         .receive = [&](std::string_view bytes) { return frames.feed(bytes); }});
  if (output != nullptr && output->size() > output_limit) output->erase(0, output->size() - output_limit);
  if (answer.stopped && !frames.broken()) return -1;
  // The output ends a moment before the engine has noted the exit code.
  for (int i = 0; i < 200; ++i) {
    const json state = impl_->must_json({.what = what, .target = "/exec/" + exec + "/json"});
    if (!flag_at(state, "Running") && at(state, "ExitCode").is_number_integer()) {
      return static_cast<int>(number_at(state, "ExitCode"));
    }
    std::this_thread::sleep_for(i < 20 ? 2ms : 25ms);
  }
  throw EngineError(0, fmt::format("cannot {}: the engine does not say how it ended", what));
}

// ---- archives

bool Engine::has_path(const std::string& id, const std::string& path) {
  HttpCall call{.what = fmt::format("look for {} in the container {}", path, short_id(id)),
                .method = "HEAD",
                .target = fmt::format("/containers/{}/archive?path={}", url_encode(id), url_encode(path))};
  return impl_->must(call, {404}).status != 404;
}

void Engine::put_archive(const std::string& id, const std::string& path,
                         const std::function<std::string()>& next_tar_bytes) {
  HttpCall call{.what = fmt::format("copy files to {} in the container {}", path, short_id(id)),
                .method = "PUT",
                .target = fmt::format("/containers/{}/archive?path={}", url_encode(id), url_encode(path)),
                .upload = next_tar_bytes,
                .silence = archive_silence};
  try {
    impl_->must(call);
  } catch (const EngineError& error) {
    // An engine that refuses may close before all is sent, and its answer is lost: ask again without the files.
    if (error.status == 0 && !has_path(id, path)) {
      throw EngineError(404, fmt::format("cannot {}: there is no such container or path", call.what));
    }
    throw;
  }
}

void Engine::get_archive(const std::string& id, const std::string& path, const Bytes& bytes) {
  impl_->must({.what = fmt::format("copy {} from the container {}", path, short_id(id)),
               .target = fmt::format("/containers/{}/archive?path={}", url_encode(id), url_encode(path)),
               .silence = archive_silence,
               .receive = bytes});
}

// ---- networks and volumes

std::string Engine::create_network(const std::string& name, const Labels& labels, bool internal) {
  const json body = {
      {"Name", name}, {"CheckDuplicate", true}, {"Driver", "bridge"}, {"Internal", internal}, {"Labels", labels}};
  const json answer = impl_->must_json(
      {.what = "create the network " + name, .method = "POST", .target = "/networks/create", .body = dump(body)});
  return text_at(answer, "Id");
}

void Engine::connect(const std::string& network, const std::string& container,
                     const std::vector<std::string>& aliases) {
  const json body = {{"Container", container}, {"EndpointConfig", {{"Aliases", aliases}}}};
  impl_->must(
      {.what = fmt::format("connect the container {} to the network {}", short_id(container), short_id(network)),
       .method = "POST",
       .target = "/networks/" + url_encode(network) + "/connect",
       .body = dump(body)});
}

void Engine::disconnect(const std::string& network, const std::string& container, bool force) {
  const json body = {{"Container", container}, {"Force", force}};
  impl_->must(
      {.what = fmt::format("disconnect the container {} from the network {}", short_id(container), short_id(network)),
       .method = "POST",
       .target = "/networks/" + url_encode(network) + "/disconnect",
       .body = dump(body)},
      {404});
}

void Engine::remove_network(const std::string& id) {
  impl_->must(
      {.what = "remove the network " + short_id(id), .method = "DELETE", .target = "/networks/" + url_encode(id)},
      {404});
}

void Engine::remove_volume(const std::string& name) {
  impl_->must({.what = "remove the volume " + name, .method = "DELETE", .target = "/volumes/" + url_encode(name)},
              {404});
}

std::vector<Listed> Engine::containers(const std::string& label_filter) {
  const json filter = {{"label", {label_filter}}};
  return impl_->list("list containers", "/containers/json?all=1&filters=" + filters(filter), nullptr, "Id");
}

std::vector<Listed> Engine::networks(const std::string& label_filter) {
  const json filter = {{"label", {label_filter}}};
  return impl_->list("list networks", "/networks?filters=" + filters(filter), nullptr, "Id");
}

std::vector<Listed> Engine::volumes(const std::string& label_filter) {
  const json filter = {{"label", {label_filter}}};
  return impl_->list("list volumes", "/volumes?filters=" + filters(filter), "Volumes", "Name");
}

// ---- events

void Engine::events(const std::string& label_filter, std::int64_t since_nano,
                    const std::function<void(const Event&)>& on_event, std::stop_token stop,
                    const std::function<void()>& connected, std::chrono::milliseconds quiet) {
  Lines lines([&](std::string_view line) {
    const json message = json::parse(line, nullptr, false);
    const json& actor = at(message, "Actor");
    Event event;
    event.action = text_at(message, "Action");
    event.id = text_at(actor, "ID");
    event.time_nano = number_at(message, "timeNano");
    const std::string code = text_at(at(actor, "Attributes"), "exitCode");
    std::from_chars(code.data(), code.data() + code.size(), event.exit_code);
    if (!event.id.empty()) on_event(event);
    return true;
  });
  const json filter = {{"type", {"container"}}, {"event", {"die", "oom"}}, {"label", {label_filter}}};
  std::string target = "/events?filters=" + filters(filter);
  if (since_nano > 0) target += fmt::format("&since={}.{:09}", since_nano / 1'000'000'000, since_nano % 1'000'000'000);

  bool streams = false;
  bool timed_out = false;
  HttpCall call{.what = "follow the Docker engine's events", .target = std::move(target)};
  // The engine answers at once; the same limit then holds between two events.
  call.silence = quiet.count() > 0 ? quiet : no_limit;
  call.stop = stop;
  call.started = [&] {
    streams = true;
    if (connected) connected();
  };
  call.receive = [&](std::string_view bytes) { return lines.feed(bytes); };
  HttpAnswer answer;
  try {
    answer = impl_->ask(call, &timed_out);
  } catch (const EngineError&) {
    if (streams && timed_out) return;
    throw;
  }
  if (stop.stop_requested()) return;
  if (!answer.stopped && !answer.ok()) throw_answer(call.what, answer);
  throw EngineError(0, fmt::format("the Docker engine at {} ended its stream of events", endpoint().display()),
                    "it may have been stopped or restarted");
}

}  // namespace executors::docker
