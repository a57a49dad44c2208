#include "executors/docker/scoped.h"

#include <chrono>
#include <exception>
#include <thread>
#include <utility>

namespace executors::docker {
namespace {

using Clock = std::chrono::steady_clock;

// An engine that is being restarted is back within seconds (measured: 0.6–1.7 s with live-restore, 11–12 s without).
constexpr std::chrono::seconds patience{20};
constexpr std::chrono::milliseconds pause_between{250};

// Removes by `verb` again while the engine is away or busy with it, for as long as `patience`. An engine that is away
// is away for all: they share that time, so that a run with a hundred containers ends as soon as one with a single one.
template <typename Verb>
void insist(Engine& engine, Verb verb) noexcept {
  const auto busy_until = Clock::now() + patience;
  while (true) {
    try {
      verb();
      return;
    } catch (const EngineError& error) {
      const bool away = error.status == 0;
      const bool may_pass = away || error.status == 403 || error.status == 409 || error.status >= 500;
      const auto deadline = away ? engine.absence().deadline(patience) : busy_until;
      if (!may_pass || Clock::now() + pause_between > deadline) return;
    } catch (const std::exception&) {
      return;
    }
    std::this_thread::sleep_for(pause_between);
  }
}

}  // namespace

ScopedContainer& ScopedContainer::operator=(ScopedContainer&& other) noexcept {
  if (this != &other) {
    reset();
    engine_ = other.engine_;
    id_ = std::exchange(other.id_, {});
  }
  return *this;
}

bool ScopedContainer::reset() noexcept {
  if (id_.empty()) return true;
  bool there = true;
  insist(*engine_, [&] { there = engine_->remove_container(id_); });
  id_.clear();
  return there;
}

std::string ScopedContainer::release() { return std::exchange(id_, {}); }

ScopedNetwork& ScopedNetwork::operator=(ScopedNetwork&& other) noexcept {
  if (this != &other) {
    reset();
    engine_ = other.engine_;
    id_ = std::exchange(other.id_, {});
  }
  return *this;
}

void ScopedNetwork::reset() noexcept {
  if (id_.empty()) return;
  insist(*engine_, [this] { engine_->remove_network(id_); });
  id_.clear();
}

ScopedDirectory& ScopedDirectory::operator=(ScopedDirectory&& other) noexcept {
  if (this != &other) {
    reset();
    path_ = std::exchange(other.path_, {});
    remove_ = std::move(other.remove_);
  }
  return *this;
}

void ScopedDirectory::reset() noexcept {
  if (path_.empty()) return;
  try {
    remove_(path_);
  } catch (const std::exception&) {  // stays behind; the next start of the runner sweeps its state directory
  }
  path_.clear();
}

}  // namespace executors::docker
