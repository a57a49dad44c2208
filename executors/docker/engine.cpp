#include "executors/docker/engine.h"

#include <fmt/core.h>

#include <thread>

#include "executors/docker/engine_impl.h"

namespace executors::docker {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

std::string label_filters(const std::string& label) { return url_encode(dump_json({{"label", {label}}})); }

}  // namespace

Engine::Engine(Endpoint endpoint) : impl_(std::make_unique<Impl>(std::move(endpoint))) {}
Engine::~Engine() = default;
const Endpoint& Engine::endpoint() const { return impl_->http.endpoint(); }
Absence& Engine::absence() { return impl_->absence; }
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
  const json image = parse_json(answer.body);
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

bool Engine::remove_container(const std::string& id, bool force) {
  HttpCall call{.what = "remove the container " + short_id(id),
                .method = "DELETE",
                .target = fmt::format("/containers/{}?v=1&force={}", url_encode(id), force ? 1 : 0),
                .silence = start_silence};
  const HttpAnswer answer = impl_->ask(call);
  if (answer.ok()) return true;
  if (answer.status == 404) return false;
  if (!force || answer.status != 409) throw_answer(call.what, answer);
  // Somebody else removes it at this moment. Gone means gone: its network and volumes are removed next.
  for (int i = 0; i < 200; ++i) {
    if (!inspect_container(id)) return false;
    std::this_thread::sleep_for(50ms);
  }
  throw_answer(call.what, answer);
}

std::optional<ContainerState> Engine::inspect_container(const std::string& id) {
  HttpCall call{.what = "look at the container " + short_id(id), .target = "/containers/" + url_encode(id) + "/json"};
  const HttpAnswer answer = impl_->must(call, {404});
  if (answer.status == 404) return std::nullopt;
  const json container = parse_json(answer.body);
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
  const json body = parse_json(answer.body);
  if (!at(body, "StatusCode").is_number_integer()) {
    throw EngineError(0, fmt::format("cannot {}: the engine's answer has no exit code", call.what));
  }
  return static_cast<int>(number_at(body, "StatusCode"));
}

// ---- networks and volumes

std::string Engine::create_network(const std::string& name, const Labels& labels, bool internal) {
  const json body = {
      {"Name", name}, {"CheckDuplicate", true}, {"Driver", "bridge"}, {"Internal", internal}, {"Labels", labels}};
  const json answer = impl_->must_json(
      {.what = "create the network " + name, .method = "POST", .target = "/networks/create", .body = dump_json(body)});
  return text_at(answer, "Id");
}

void Engine::connect(const std::string& network, const std::string& container,
                     const std::vector<std::string>& aliases) {
  const json body = {{"Container", container}, {"EndpointConfig", {{"Aliases", aliases}}}};
  impl_->must(
      {.what = fmt::format("connect the container {} to the network {}", short_id(container), short_id(network)),
       .method = "POST",
       .target = "/networks/" + url_encode(network) + "/connect",
       .body = dump_json(body)});
}

void Engine::disconnect(const std::string& network, const std::string& container, bool force) {
  const json body = {{"Container", container}, {"Force", force}};
  impl_->must(
      {.what = fmt::format("disconnect the container {} from the network {}", short_id(container), short_id(network)),
       .method = "POST",
       .target = "/networks/" + url_encode(network) + "/disconnect",
       .body = dump_json(body)},
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
  return impl_->list("list containers", "/containers/json?all=1&filters=" + label_filters(label_filter), nullptr, "Id");
}

std::vector<Listed> Engine::networks(const std::string& label_filter) {
  return impl_->list("list networks", "/networks?filters=" + label_filters(label_filter), nullptr, "Id");
}

std::vector<Listed> Engine::volumes(const std::string& label_filter) {
  return impl_->list("list volumes", "/volumes?filters=" + label_filters(label_filter), "Volumes", "Name");
}

}  // namespace executors::docker
