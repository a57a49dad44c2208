// The Docker engine as `runner doctor` sees it: what it is, and what dead runners left on it. Narrow on purpose, so
// that the program need not know the engine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "executors/executor.h"
#include "executors/make.h"

namespace executors {

struct EngineReport {
  std::string endpoint;  // "unix:///var/run/docker.sock"
  bool local = false;    // on this host
  std::string version, api_version, storage_driver, cgroup_version, operating_system;
  bool live_restore = false;
};

// Something labelled with DockerSettings::owner.
struct Leftover {
  enum class Kind : std::uint8_t { container, network, volume };
  Kind kind = Kind::container;
  std::string id, name;
  std::string state;      // of a container: running, exited, …
  std::uint64_t run = 0;  // 0: it does not say
  std::string job;
};

class EngineDoctor {
 public:
  explicit EngineDoctor(const DockerSettings&);  // throws WorldError on an endpoint that is none
  ~EngineDoctor();
  EngineDoctor(const EngineDoctor&) = delete;
  EngineDoctor& operator=(const EngineDoctor&) = delete;

  std::string endpoint() const;
  EngineReport report();              // throws WorldError
  std::vector<Leftover> leftovers();  // containers first, then networks and volumes: the order to remove them in
  void remove(const Leftover&);       // gone already is success; throws WorldError
  // A tree below DockerSettings::state, also files in it that a job's root made, which `image` (on the engine) has the
  // hands for. Throws WorldError.
  void remove_tree(const std::filesystem::path&, const JobId&, const std::string& image);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace executors
