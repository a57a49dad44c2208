// The images of jobs and services: got by the pull policy, each pulled once however many jobs want it at once, and
// looked at once for what a job needs of it.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "executors/docker/engine.h"
#include "executors/executor.h"
#include "executors/make.h"

namespace executors::docker {

// Called concurrently for different jobs.
class Images {
 public:
  Images(Engine& engine, const DockerSettings& settings) : engine_(engine), settings_(settings) {}

  // Tries each policy in turn. `what` names who wants it, for messages ("job" or "service redis"). Throws WorldError
  // (image_pull_failure) with all that was tried; a stop request breaks a pull off and throws reason "cancelled".
  ImageInfo get(const std::string& reference, const std::string& platform, const std::vector<pipelines::PullPolicy>&,
                const std::string& what, Notices&, const std::stop_token&);

  // Throws WorldError when the created (not started) container's image has no `sh`; asks the engine once per image.
  void require_shell(const ImageInfo&, const std::string& reference, const std::string& container);

  // "image is arm64, host is amd64", or empty when they agree. Asked only when a container would not run: with
  // emulation (binfmt_misc) foreign images do.
  std::string foreign(const ImageInfo&);

 private:
  void pull(const std::string& reference, const std::string& platform, Notices&, const std::stop_token&);

  Engine& engine_;
  const DockerSettings& settings_;
  std::mutex mutex_;  // guards all below
  std::condition_variable_any changed_;
  std::set<std::string> pulling_;                // references being pulled
  std::map<std::string, std::uint64_t> pulled_;  // how often each was pulled
  std::map<std::string, bool> has_shell_;        // by image id
};

}  // namespace executors::docker
