// Deaths: the ends of containers, from one stream of events.
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "executors/docker/engine.h"

namespace executors::docker {
namespace {

using namespace std::chrono_literals;

// A stream that is quiet for this long is asked for again: that shows an engine that hangs or a connection that is
// dead without a sign, and finds an end that the engine forgot to tell. Costs a few milliseconds.
constexpr auto quiet_limit = 20s;
constexpr auto ping_patience = 10s;
constexpr auto shortest_pause = 50ms;
constexpr auto longest_pause = 1000ms;

}  // namespace

struct Deaths::Impl {
  Impl(Engine& the_engine, std::string filter)
      : engine(the_engine),
        label_filter(std::move(filter)),
        thread([this](const std::stop_token& stop) { follow(stop); }) {}

  struct Watched {
    std::optional<Death> death;
    bool oom = false;
    bool signalled = false;  // by the engine, whoever asked it to; it tells of that before the end
  };

  Engine& engine;
  const std::string label_filter;
  mutable std::mutex mutex;
  std::condition_variable_any changed;
  std::map<std::string, Watched> watched;  // guarded
  bool answers = true;                     // guarded
  std::int64_t last_event = 0;             // of the thread
  std::jthread thread;                     // last: it uses all of the above

  void follow(const std::stop_token& stop) {
    std::chrono::milliseconds pause = shortest_pause;
    while (!stop.stop_requested()) {
      try {
        engine.events(
            label_filter, last_event, [this](const Engine::Event& event) { note(event); }, stop,
            [&] {
              inspect_watched();
              set_answers(true);
              pause = shortest_pause;
            },
            quiet_limit);
        engine.ping(ping_patience, stop);
      } catch (const std::exception&) {
        // Whatever it was, the answer is the same: say that there is none, and try again.
        set_answers(false);
        std::unique_lock lock(mutex);
        changed.wait_for(lock, stop, pause, [] { return false; });
        pause = std::min<std::chrono::milliseconds>(2 * pause, longest_pause);
      }
    }
  }

  void set_answers(bool value) {
    const std::lock_guard lock(mutex);
    answers = value;
  }

  void note(const Engine::Event& event) {
    last_event = std::max(last_event, event.time_nano);
    const std::lock_guard lock(mutex);
    const auto found = watched.find(event.id);
    if (found == watched.end()) return;
    Watched& one = found->second;
    if (event.action == "oom") {
      one.oom = true;
      if (one.death) one.death->oom = true;  // it may come after the end
    } else if (event.action == "kill") {
      one.signalled = true;
    } else if (event.action == "die" && !one.death) {
      one.death = Death{.exit_code = event.exit_code, .oom = one.oom, .by_itself = !one.signalled};
    }
    changed.notify_all();
  }

  // What ended while nobody listened. The engine streams already: an end after this look is an event.
  void inspect_watched() {
    std::vector<std::string> ids;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [id, one] : watched) {
        if (!one.death) ids.push_back(id);
      }
    }
    for (const std::string& id : ids) {
      const auto state = engine.inspect_container(id);
      const bool over = !state || state->status == "exited" || state->status == "dead" || state->status == "removing";
      const std::lock_guard lock(mutex);
      const auto found = watched.find(id);
      if (found == watched.end()) continue;
      Watched& one = found->second;
      one.oom = one.oom || (state && state->oom_killed);
      if (over && !one.death) {
        one.death = Death{.exit_code = state ? state->exit_code : -1, .oom = one.oom};
        changed.notify_all();
      }
    }
  }
};

Deaths::Deaths(Engine& engine, std::string label_filter)
    : impl_(std::make_unique<Impl>(engine, std::move(label_filter))) {}
Deaths::~Deaths() = default;

void Deaths::watch(const std::string& id) {
  const std::lock_guard lock(impl_->mutex);
  impl_->watched.try_emplace(id);
}

void Deaths::forget(const std::string& id) {
  const std::lock_guard lock(impl_->mutex);
  impl_->watched.erase(id);
  impl_->changed.notify_all();
}

std::optional<Deaths::Death> Deaths::poll(const std::string& id) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->watched.find(id);
  return found == impl_->watched.end() ? std::nullopt : found->second.death;
}

std::optional<Deaths::Death> Deaths::wait(const std::string& id, std::chrono::milliseconds patience) {
  std::unique_lock lock(impl_->mutex);
  std::optional<Death> death;
  impl_->changed.wait_for(lock, patience, [&] {
    const auto found = impl_->watched.find(id);
    if (found == impl_->watched.end()) return true;
    death = found->second.death;
    return death.has_value();
  });
  return death;
}

bool Deaths::oom_seen(const std::string& id) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->watched.find(id);
  return found != impl_->watched.end() && found->second.oom;
}

bool Deaths::engine_answers() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->answers;
}

}  // namespace executors::docker
