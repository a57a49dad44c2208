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

// Removes by `verb` again while the engine is away or busy with it, for as long as `patience`.
template <typename Verb>
void insist(Verb verb) noexcept {
  const auto deadline = Clock::now() + patience;
  while (true) {
    try {
      verb();
      return;
    } catch (const EngineError& error) {
      const bool may_pass = error.status == 0 || error.status == 403 || error.status == 409 || error.status >= 500;
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
  insist([&] { there = engine_->remove_container(id_); });
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
  insist([this] { engine_->remove_network(id_); });
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
