#include "executors/docker/services.h"

#include <arpa/inet.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>

#include "executors/docker/container_spec.h"
#include "executors/unique_fd.h"

namespace executors::docker {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds longest_wait{30};  // GitLab's wait_for_services_timeout
constexpr std::chrono::milliseconds begins{100};  // a command that fails at once has ended by then
constexpr std::chrono::milliseconds first_pause{5}, longest_pause{200};
constexpr int connect_milliseconds = 200;
constexpr int told_lines = 50;

std::optional<std::uint16_t> tcp_port(std::string_view exposed) {
  const std::size_t slash = exposed.find('/');
  if (slash != std::string_view::npos && exposed.substr(slash) != "/tcp") return std::nullopt;
  const std::string_view digits = exposed.substr(0, slash);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return port;
}

bool accepts(const std::string& ip, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) return false;
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd waiting{fd.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, connect_milliseconds) != 1) return false;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

// Where the container's address is not reachable from here its own table of sockets tells: lines of /proc/net/tcp
// with state 0A (listening) and the port in hexadecimal.
bool listens_inside(Engine& engine, const std::string& container, std::uint16_t port) {
  std::string table;
  if (engine.exec(container, {"cat", "/proc/net/tcp", "/proc/net/tcp6"}, &table) != 0 && table.empty())
    return true;  // nothing to ask with: taken on trust
  std::istringstream lines(table);
  std::string number, local, remote, state, rest;
  while (lines >> number >> local >> remote >> state && std::getline(lines, rest)) {
    const std::size_t colon = local.rfind(':');
    if (state != "0A" || colon == std::string::npos) continue;
    unsigned found = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), found, 16);
    if (found == port) return true;
  }
  return false;
}

// A name belongs to the first service that asks for it, as in GitLab: the others do without, and one that is left with
// none is not started.
std::vector<ServiceSpec> with_names_of_their_own(const std::vector<ServiceSpec>& services, Notices& notices) {
  std::vector<ServiceSpec> result;
  std::set<std::string> taken;
  for (ServiceSpec service : services) {
    const auto is_taken = [&](const std::string& alias) {
      if (taken.insert(alias).second) return false;
      notices.warning("service " + service.image + ": the name " + alias + " is another service's already");
      return true;
    };
    std::erase_if(service.aliases, is_taken);
    if (service.aliases.empty())
      notices.warning("service " + service.image + " has no name left and is not started; give it an alias");
    else
      result.push_back(std::move(service));
  }
  return result;
}

std::string because_foreign(Images& images, const ImageInfo& image) {
  try {
    const std::string foreign = images.foreign(image);
    return foreign.empty() ? "" : " (" + foreign + ")";
  } catch (const EngineError&) {  // it is only an explanation
    return {};
  }
}

}  // namespace

Services Services::start(Engine& engine, Deaths& deaths, Images& images, const DockerSettings& settings,
                         const JobSpec& spec, Notices& notices, const std::stop_token& stop) {
  Services services;
  services.engine_ = &engine;
  const std::vector<ServiceSpec> wanted = with_names_of_their_own(spec.services, notices);
  std::vector<ImageInfo> infos;
  infos.reserve(wanted.size());
  for (const ServiceSpec& service : wanted)
    infos.push_back(
        images.get(service.image, service.platform, service.pull_policy, "service " + service.image, notices, stop));
  services.network_ =
      ScopedNetwork(engine, engine.create_network(spec.id.resource_name(), labels(spec.id, Kind::service)));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const ServiceSpec& service = wanted[i];
    const std::string name = spec.id.resource_name() + "-s" + std::to_string(i + 1);
    const Attachment attachment{Attachment::Kind::network, services.network_.id(), service.aliases};
    Running running;
    running.names = fmt::format("{}", fmt::join(service.aliases, "-"));
    running.name = service.aliases.empty() || service.aliases.front() == service.image
                       ? service.image
                       : service.aliases.front() + " (" + service.image + ")";
    running.image = std::move(infos[i]);
    try {
      running.container = ScopedContainer(
          engine,
          engine.create_container(name, service_container(spec, service, settings, attachment), service.platform));
      deaths.watch(running.container.id());
      engine.start(running.container.id());
      running.started = Clock::now();
    } catch (const EngineError& error) {
      // Started without success is a service that does not come up; an engine that does not answer is not.
      if (error.status == 0 || running.container.id().empty()) throw;
      notices.warning("service " + running.name + " did not start: " + error.what());
      running.failed = true;
    }
    services.running_.push_back(std::move(running));
  }
  return services;
}

Services Services::adopt(Engine& engine, const std::string& network, const std::vector<std::string>& containers) {
  Services services;
  services.engine_ = &engine;
  if (!network.empty()) services.network_ = ScopedNetwork(engine, network);
  for (const std::string& id : containers) {
    services.running_.emplace_back();
    services.running_.back().container = ScopedContainer(engine, id);
  }
  return services;
}

Services::Ready Services::look(const Running& running, Deaths& deaths) {
  if (deaths.poll(running.container.id())) return Ready::ended;
  std::vector<std::uint16_t> ports;
  for (const std::string& exposed : running.image.exposed_ports)
    if (const auto port = tcp_port(exposed)) ports.push_back(*port);
  if (!running.image.has_healthcheck && ports.empty())  // nothing to ask: it lives, and has had time to begin
    return Clock::now() - running.started < begins ? Ready::not_yet : Ready::yes;
  const std::optional<ContainerState> state = engine_->inspect_container(running.container.id());
  if (!state || !state->running) return Ready::ended;
  if (running.image.has_healthcheck && !state->health.empty()) {
    if (state->health == "healthy") return Ready::yes;
    return state->health == "unhealthy" ? Ready::unhealthy : Ready::not_yet;
  }
  const bool local = engine_->endpoint().local() && !state->ip.empty();
  // Any of them: an image may expose ports for protocols its command has not switched on.
  const bool open = ports.empty() || std::any_of(ports.begin(), ports.end(), [&](std::uint16_t port) {
                      return local ? accepts(state->ip, port) : listens_inside(*engine_, running.container.id(), port);
                    });
  return open ? Ready::yes : Ready::not_yet;
}

void Services::wait(Deaths& deaths, Images& images, Notices& notices, const std::stop_token& stop) {
  const auto deadline = Clock::now() + longest_wait;
  std::vector<const Running*> waiting;
  for (const Running& running : running_)
    if (!running.failed) waiting.push_back(&running);
  auto pause = first_pause;
  while (!waiting.empty() && !stop.stop_requested()) {
    const bool late = Clock::now() > deadline;
    std::erase_if(waiting, [&](const Running* running) {
      switch (look(*running, deaths)) {
        case Ready::yes:
          return true;
        case Ready::ended:
          warn(*running, "ended before the job began" + because_foreign(images, running->image), notices);
          return true;
        case Ready::unhealthy:
          warn(*running, "says it is unhealthy", notices);
          return true;
        case Ready::not_yet:
          break;
      }
      if (late) warn(*running, "was not ready after 30 s", notices);
      return late;
    });
    if (waiting.empty()) return;
    notices.status("waiting for service " + waiting.front()->name);
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, longest_pause);
  }
}

void Services::warn(const Running& running, const std::string& what, Notices& notices) {
  std::string log;
  try {
    log = engine_->logs(running.container.id(), told_lines);
  } catch (const WorldError& error) {
    log = error.what();
  }
  notices.warning("service " + running.name + " " + what + (log.empty() ? " and wrote nothing" : "; its last lines:"));
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) notices.warning("  " + line);
}

Services::Watch::Watch(const Services& services, bool from_the_beginning, const Lines& lines) {
  for (const Running& running : services.running_) {
    if (running.failed) continue;
    const std::string id = running.container.id();
    const std::string prefix = "[service:" + (running.names.empty() ? id.substr(0, 12) : running.names) + "] ";
    threads_.emplace_back([engine = services.engine_, id, prefix, from_the_beginning, lines](std::stop_token stop) {
      std::string held;  // a line without its end
      const auto pass = [&](std::string_view bytes) {
        held += bytes;
        for (std::size_t end = held.find('\n'); end != std::string::npos; end = held.find('\n')) {
          lines(prefix + held.substr(0, end + 1));
          held.erase(0, end + 1);
        }
        return true;
      };
      try {
        engine->follow_logs(id, from_the_beginning, pass, std::move(stop));
      } catch (const WorldError&) {  // it is gone, or the engine is: there is nothing more to show
      }
      if (!held.empty()) lines(prefix + held + "\n");
    });
  }
}

Services::Watch::~Watch() {
  for (std::jthread& thread : threads_) thread.request_stop();  // all at once, before one is waited for
}

std::vector<std::string> Services::containers() const {
  std::vector<std::string> ids;
  for (const Running& running : running_) ids.push_back(running.container.id());
  return ids;
}

void Services::release() {
  for (Running& running : running_) running.container.release();
  running_.clear();
  network_.release();
}

}  // namespace executors::docker
