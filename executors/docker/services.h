// The services of one job: containers on a network of the job's own, under their aliases, waited for until they
// listen. As in GitLab a service that does not come up is a warning, and the job's own business.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "executors/docker/engine.h"
#include "executors/docker/image.h"
#include "executors/docker/scoped.h"
#include "executors/executor.h"
#include "executors/make.h"

namespace executors::docker {

class Services {
 public:
  Services() = default;
  Services(Services&&) noexcept = default;
  Services& operator=(Services&&) noexcept = default;

  // Makes the network and starts the services. Throws WorldError (image_pull_failure names the service).
  static Services start(Engine&, Deaths&, Images&, const DockerSettings&, const JobSpec&, Notices&,
                        const std::stop_token&);
  // Those of a job whose runner died.
  static Services adopt(Engine&, const std::string& network, const std::vector<std::string>& containers);

  // Until each is healthy (where its image has a health check) or listens on its exposed ports; at most 30 s. What is
  // not by then, or ended, is warned of by name, with its last lines.
  void wait(Deaths&, Images&, Notices&, const std::stop_token&);

  void release();  // lets them be

  bool any() const { return !running_.empty(); }
  const std::string& network() const { return network_.id(); }
  std::vector<std::string> containers() const;

  // CI_DEBUG_SERVICES: what they print, line by line, each behind the service's names as gitlab-runner has it
  // (docs.gitlab.com/ci/services, "Capturing service container logs"). One thread for each service; they end with this.
  class Watch {
   public:
    using Lines = std::function<void(std::string_view)>;  // whole lines; from any of the threads
    Watch(const Services&, bool from_the_beginning, const Lines&);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    std::vector<std::jthread> threads_;
  };

 private:
  struct Running {
    ScopedContainer container;
    std::string names;  // all its aliases, for its log; may be empty
    std::string name;   // its first alias and its image, for messages
    ImageInfo image;
    bool failed = false;  // did not start, and that was told
    std::chrono::steady_clock::time_point started;
  };
  enum class Ready : std::uint8_t { yes, not_yet, ended, unhealthy };
  Ready look(const Running&, Deaths&);
  void warn(const Running&, const std::string& what, Notices&);

  Engine* engine_ = nullptr;
  ScopedNetwork network_;  // outlives its containers
  std::vector<Running> running_;
};

}  // namespace executors::docker
