// The services of one job: containers on a network of the job's own, under their aliases, waited for until they
// listen. As in GitLab a service that does not come up is a warning, and the job's own business.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
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

 private:
  struct Running {
    ScopedContainer container;
    std::string name;  // its first alias and its image, for messages
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
