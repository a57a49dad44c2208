#include "executors/docker/image.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace executors::docker {
namespace {

using pipelines::PullPolicy;

std::string_view to_string(PullPolicy policy) {
  switch (policy) {
    case PullPolicy::always:
      return "always";
    case PullPolicy::if_not_present:
      return "if-not-present";
    case PullPolicy::never:
      return "never";
  }
  return "?";
}

// The engine says x86_64 and aarch64 of itself (uname -m) and amd64 and arm64 of images (GOARCH).
std::string_view go_architecture(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> names = {{{"x86_64", "amd64"},
                                                                                   {"aarch64", "arm64"},
                                                                                   {"armv7l", "arm"},
                                                                                   {"armv6l", "arm"},
                                                                                   {"i686", "386"},
                                                                                   {"i386", "386"}}};
  const auto found = std::find_if(names.begin(), names.end(), [name](const auto& pair) { return pair.first == name; });
  return found == names.end() ? name : found->second;
}

// "linux/arm64/v8" asks for what an image of linux and arm64 is.
bool suits(const ImageInfo& image, const std::string& platform) {
  if (platform.empty()) return true;
  const std::string own = image.os + "/" + image.architecture;
  return platform == own || platform == image.architecture || platform.starts_with(own + "/");
}

// Directories where a shell may be: the image's own PATH, then the usual ones.
std::vector<std::string> shell_places(const ImageInfo& image) {
  std::vector<std::string> places = {"/bin", "/usr/bin", "/busybox"};
  for (const std::string& entry : image.environment) {
    if (!entry.starts_with("PATH=")) continue;
    std::string_view rest = std::string_view(entry).substr(5);
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      const std::string place(rest.substr(0, end));
      if (place.starts_with('/') && std::find(places.begin(), places.end(), place) == places.end())
        places.push_back(place);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return places;
}

}  // namespace

ImageInfo Images::get(const std::string& reference, const std::string& platform, const std::vector<PullPolicy>& asked,
                      const std::string& what, Notices& notices, const std::stop_token& stop) {
  std::vector<PullPolicy> policies = !asked.empty() ? asked : settings_.pull_policy;
  if (policies.empty()) policies = {PullPolicy::if_not_present};
  std::string tried;
  std::string hint;
  for (const PullPolicy policy : policies) {
    try {
      if (policy != PullPolicy::always) {
        std::optional<ImageInfo> local = engine_.inspect_image(reference);
        if (local && suits(*local, platform)) return std::move(*local);
        if (policy == PullPolicy::never) {
          tried += (tried.empty() ? "" : "; ") + std::string("never: it is not on the engine");
          if (hint.empty()) hint = "pull it beforehand, or allow pull_policy: if-not-present";
          continue;
        }
      }
      pull(reference, platform, notices, stop);
      if (std::optional<ImageInfo> pulled = engine_.inspect_image(reference)) return std::move(*pulled);
      tried += (tried.empty() ? "" : "; ") + std::string(to_string(policy)) + ": pulled, but gone again";
    } catch (const WorldError& error) {
      if (error.reason != "image_pull_failure") throw;  // no engine, cancelled: no policy can help
      tried += (tried.empty() ? "" : "; ") + std::string(to_string(policy)) + ": " + error.what();
      if (!error.hint.empty()) hint = error.hint;
      if (policy != policies.back())
        notices.warning("image " + reference + ", policy " + std::string(to_string(policy)) + ": " + error.what());
    }
  }
  throw WorldError("image_pull_failure", what + ": no image " + reference + " (" + tried + ")", hint);
}

void Images::pull(const std::string& reference, const std::string& platform, Notices& notices,
                  const std::stop_token& stop) {
  const std::string key = reference + " " + platform;
  std::unique_lock lock(mutex_);
  const std::uint64_t before = pulled_[key];
  if (pulling_.contains(key)) notices.status("waiting for another job's pull of " + reference);
  // Whoever pulls may fail or be cancelled: then the next one tries for itself.
  const bool free = changed_.wait(lock, stop, [&] { return !pulling_.contains(key); });
  if (!free || stop.stop_requested()) throw WorldError("cancelled", "cancelled while pulling " + reference);
  if (pulled_[key] != before) return;
  pulling_.insert(key);
  lock.unlock();

  const auto finish = [&](bool done) {
    const std::scoped_lock relock(mutex_);
    pulling_.erase(key);
    if (done) ++pulled_[key];
    changed_.notify_all();
  };
  try {
    notices.status("pulling " + reference);
    engine_.pull(
        reference, platform, registry_auth(settings_.docker_config, reference),
        [&](const PullProgress& progress) { notices.status(progress.text); }, stop);
    finish(true);
  } catch (const WorldError& error) {
    finish(false);
    if (stop.stop_requested()) throw WorldError("cancelled", "cancelled while pulling " + reference);
    if (error.reason == "image_pull_failure") throw;
    // A registry or a credential helper that fails is still an image that cannot be had; a missing engine is not.
    const auto* engine_error = dynamic_cast<const EngineError*>(&error);
    if (engine_error != nullptr && engine_error->status == 0) throw;
    throw WorldError("image_pull_failure", error.what(), error.hint);
  }
}

void Images::require_shell(const ImageInfo& image, const std::string& reference, const std::string& container) {
  std::optional<bool> known;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = has_shell_.find(image.id); found != has_shell_.end()) known = found->second;
  }
  if (!known) {
    const std::vector<std::string> places = shell_places(image);
    try {
      known = std::any_of(places.begin(), places.end(),
                          [&](const std::string& place) { return engine_.has_path(container, place + "/sh"); });
    } catch (const EngineError& error) {
      // It cannot mount the container. Here it does not say why; the start, which fails as well, does.
      if (error.status >= 500) return;
      throw;
    }
    const std::scoped_lock lock(mutex_);
    has_shell_[image.id] = *known;
  }
  if (!*known)
    throw WorldError("runner_system_failure", "image " + reference + " has no sh, which a job's script needs",
                     "use an image with a shell; many have a variant tagged -debug or -alpine");
}

std::string Images::foreign(const ImageInfo& image) {
  const std::string host(go_architecture(engine_.info().architecture));
  if (host.empty() || image.architecture.empty() || host == image.architecture) return {};
  return "image is " + image.architecture + ", host is " + host;
}

}  // namespace executors::docker
