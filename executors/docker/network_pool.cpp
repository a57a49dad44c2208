#include "executors/docker/network_pool.h"

#include <exception>
#include <random>
#include <set>

namespace executors::docker {
namespace {

std::string random_word() {
  std::random_device device;
  std::string word;
  for (int i = 0; i < 4; ++i) word += "0123456789abcdef"[device() % 16];
  return word;
}

}  // namespace

NetworkPool::NetworkPool(Engine& engine, Deaths& deaths, const DockerSettings& settings, Reaper& reaper)
    : engine_(engine), deaths_(deaths), settings_(settings), reaper_(reaper), word_(random_word()) {}

NetworkPool::Lease::~Lease() {
  if (pool_ != nullptr && held() && !spoilt_) pool_->give_back(run_, std::move(pause_));
}

NetworkPool::Lease NetworkPool::lease(const JobSpec& spec, bool more) {
  {
    const std::scoped_lock lock(mutex_);
    std::vector<ScopedContainer>& free = free_[spec.id.run];
    while (!free.empty()) {
      ScopedContainer pause = std::move(free.back());
      free.pop_back();
      if (!deaths_.poll(pause.id())) return {*this, spec.id.run, std::move(pause)};
      deaths_.forget(pause.id());
      reaper_.destroy(std::move(pause));
    }
  }
  if (!more) return {};
  const std::string name = "r-" + spec.id.owner.substr(0, 8) + "-" + std::to_string(spec.id.run) + "-p" +
                           std::to_string(++number_) + "-" + word_;
  ScopedContainer pause(engine_, engine_.create_container(name, pause_container(spec, settings_), spec.platform));
  deaths_.watch(pause.id());
  engine_.start(pause.id());
  return {*this, spec.id.run, std::move(pause)};
}

NetworkPool::Lease NetworkPool::adopt(std::uint64_t run, const std::string& container) {
  if (container.empty()) return {};
  return {*this, run, ScopedContainer(engine_, container)};
}

void NetworkPool::give_back(std::uint64_t run, ScopedContainer pause) {
  const std::scoped_lock lock(mutex_);
  free_[run].push_back(std::move(pause));
}

void NetworkPool::clear() {
  std::map<std::uint64_t, std::vector<ScopedContainer>> gone;
  {
    const std::scoped_lock lock(mutex_);
    gone.swap(free_);
  }
  for (auto& [run, pauses] : gone) {
    for (ScopedContainer& pause : pauses) {
      deaths_.forget(pause.id());
      reaper_.destroy(std::move(pause));
    }
  }
}

void NetworkPool::sweep(const std::string& owner, std::uint64_t run) noexcept {
  try {
    const std::vector<Listed> all = engine_.containers("runner.owner=" + owner);
    const auto label = [](const Listed& listed, const std::string& name) {
      const auto at = listed.labels.find(name);
      return at == listed.labels.end() ? std::string() : at->second;
    };
    std::set<std::string> used;
    for (const Listed& listed : all) used.insert(label(listed, "runner.pause"));
    for (const Listed& listed : all) {
      const bool idle = label(listed, "runner.kind") == "pause" && label(listed, "runner.run") == std::to_string(run) &&
                        !used.contains(listed.id) && !listed.name.ends_with("-" + word_);
      if (idle) reaper_.destroy(ScopedContainer(engine_, listed.id));
    }
  } catch (const std::exception&) {  // `runner doctor --clean` finds them
  }
}

}  // namespace executors::docker
