// What the engine is asked to make: JobSpec and settings in, JSON bodies of POST /containers/create out. Pure: the
// same input gives the same text (tests/golden/container holds the pairs).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "executors/docker/engine.h"
#include "executors/executor.h"
#include "executors/make.h"

namespace executors::docker {

// What carries the project's directory into a container.
struct ProjectMount {
  enum class Kind : std::uint8_t { none, overlay, bind };
  Kind kind = Kind::none;
  std::string options;           // overlay: the mount's option string
  std::filesystem::path source;  // bind
};

// How a container comes to its network.
struct Attachment {
  enum class Kind : std::uint8_t {
    disabled,   // loopback only, and no network hook: the fastest start there is
    bridge,     // an endpoint of its own on the engine's default bridge
    container,  // the network namespace of another container
    network,    // a user-defined network, under `aliases`
  };
  Kind kind = Kind::disabled;
  std::string id;
  std::vector<std::string> aliases;
};

// What the job's container is to run, `script` being a text for `sh`. An entrypoint that is a shell which takes its
// text as one argument (`["/bin/sh", "-c"]`) gets just that.
std::vector<std::string> job_command(const JobSpec&, const ImageInfo&, const std::string& script);
// The job's container. The image's ENTRYPOINT stays unless the job gives one.
// `job_directory` (host path, mounted at /.job) is empty where the engine is elsewhere.
std::string job_container(const JobSpec&, const DockerSettings&, const ProjectMount&, const Attachment&,
                          const std::filesystem::path& job_directory, const std::vector<std::string>& command);
// Services do not see the project's directory: an overlay cannot be mounted twice.
std::string service_container(const JobSpec&, const ServiceSpec&, const DockerSettings&, const Attachment&);
// A container that only holds a network namespace on the default bridge.
std::string pause_container(const JobSpec&, const DockerSettings&);
// Root's hands on the state directory (mounted at /s), and nothing else: no network, two capabilities, a read-only
// root. Removed by the engine when it ends, which it does by itself when the runner dies.
std::string janitor_container(const JobId&, const std::string& image, const std::filesystem::path& state,
                              const std::string& command);

enum class Kind : std::uint8_t { job, service, pause, janitor };
Labels labels(const JobId&, Kind);

inline constexpr std::string_view job_mount = "/.job";

}  // namespace executors::docker
