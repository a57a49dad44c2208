// Engine::pull: the request, the stream of messages that answers it, and what its failures mean.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>

#include "executors/docker/engine_impl.h"
#include "executors/docker/frames.h"
#include "executors/docker/pull_progress.h"

namespace executors::docker {

using namespace std::chrono_literals;

namespace {

using Ask = std::function<HttpAnswer(const HttpCall&)>;

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

void pull_once(const Ask& ask, const std::string& reference, const std::string& target, const std::string& auth,
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

}  // namespace

void Engine::pull(const std::string& reference, const std::string& platform, const std::string& auth,
                  const std::function<void(const PullProgress&)>& progress, const std::stop_token& stop) {
  const std::string target = pull_target(reference, platform);
  const Ask ask = [this](const HttpCall& call) { return impl_->ask(call); };
  constexpr std::array pauses{500ms, 2000ms};  // a registry's hiccup; longer trouble is for the job's own `retry`
  std::mutex mutex;
  std::condition_variable_any pause;
  for (std::size_t attempt = 0;; ++attempt) {
    try {
      pull_once(ask, reference, target, auth, progress, stop);
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

}  // namespace executors::docker
