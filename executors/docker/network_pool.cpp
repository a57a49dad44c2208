#include "executors/docker/network_pool.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

namespace executors::docker {
namespace {

// Waiting for one costs nothing but time, and making one takes 200 ms (more where much else goes on) and another 100
// to remove: so it is waited for about as long as the last took to make.
constexpr std::chrono::milliseconds usual_making{200}, longest_wait{2000};

std::string random_word() {
  std::random_device device;
  std::string word;
  for (int i = 0; i < 4; ++i) word += "0123456789abcdef"[device() % 16];
  return word;
}

}  // namespace

NetworkPool::NetworkPool(Engine& engine, Deaths& deaths, const DockerSettings& settings, Reaper& reaper)
    : engine_(engine),
      deaths_(deaths),
      settings_(settings),
      reaper_(reaper),
      cores_(std::max(1U, std::thread::hardware_concurrency())),
      word_(random_word()),
      making_(usual_making) {}

NetworkPool::Lease::~Lease() {
  if (pool_ == nullptr || !held()) return;
  pool_->give_back(run_, std::move(pause_), announced_, spoilt_);
}

void NetworkPool::Lease::announce() {
  if (pool_ == nullptr || !held() || spoilt_ || announced_) return;
  announced_ = true;
  const std::scoped_lock lock(pool_->mutex_);
  ++pool_->runs_[run_].announced;
}

void NetworkPool::Lease::keep() {
  if (pool_ == nullptr || !held()) return;
  pool_->deaths_.forget(pause_.release());
  const std::scoped_lock lock(pool_->mutex_);
  Run& run = pool_->runs_[run_];
  --run.lent;
  if (announced_) --run.announced;
  pool_->changed_.notify_all();
}

NetworkPool::Lease NetworkPool::lease(const JobSpec& spec, bool more) {
  {
    std::unique_lock lock(mutex_);
    Run& run = runs_[spec.id.run];
    // Jobs come in any order: once one has said that it is the last, that stays, until all have ended.
    run.ending = !more || (run.ending && run.lent > 0);
    auto since = std::chrono::steady_clock::now();
    while (true) {
      while (!run.free.empty()) {
        ScopedContainer pause = std::move(run.free.back());
        run.free.pop_back();
        if (deaths_.poll(pause.id())) {
          discard(std::move(pause));
          continue;
        }
        if (run.ending && run.waiting == 0)
          for (ScopedContainer& other : std::exchange(run.free, {})) discard(std::move(other));
        ++run.lent;
        return {*this, spec.id.run, std::move(pause)};
      }
      // On a machine that starts as many as it can already, more of them do not make it faster: each costs as much as
      // three joined jobs. Jobs that take their time get their own after a moment.
      const bool busy = run.making >= cores_;
      const auto now = std::chrono::steady_clock::now();
      if (busy) since = now;
      const auto until = since + std::min<std::chrono::steady_clock::duration>(making_ + making_ / 2, longest_wait);
      if (now >= until || (run.announced == 0 && run.lent < cores_)) break;
      ++run.waiting;
      changed_.wait_until(lock, until);
      --run.waiting;
      if (busy) since = std::chrono::steady_clock::now();
    }
    if (!more) return {};
    ++run.lent;  // before it stands, so that those that come together do not all make one
    ++run.making;
  }
  const auto made = [&](bool well) {
    const std::scoped_lock lock(mutex_);
    Run& run = runs_[spec.id.run];
    --run.making;
    if (!well) --run.lent;
    changed_.notify_all();
  };
  try {
    Lease lease = make(spec);
    made(true);
    return lease;
  } catch (...) {
    made(false);
    throw;
  }
}

NetworkPool::Lease NetworkPool::make(const JobSpec& spec) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string name = "r-" + spec.id.owner.substr(0, 8) + "-" + std::to_string(spec.id.run) + "-p" +
                           std::to_string(++number_) + "-" + word_;
  ScopedContainer pause(engine_, engine_.create_container(name, pause_container(spec, settings_), spec.platform));
  deaths_.watch(pause.id());
  engine_.start(pause.id());
  const std::scoped_lock lock(mutex_);
  making_ = std::chrono::steady_clock::now() - begin;
  return {*this, spec.id.run, std::move(pause)};
}

NetworkPool::Lease NetworkPool::adopt(std::uint64_t run, const std::string& container) {
  if (container.empty()) return {};
  const std::scoped_lock lock(mutex_);
  ++runs_[run].lent;
  return {*this, run, ScopedContainer(engine_, container)};
}

void NetworkPool::give_back(std::uint64_t number, ScopedContainer pause, bool announced, bool spoilt) {
  const std::scoped_lock lock(mutex_);
  Run& run = runs_[number];
  --run.lent;
  if (announced) --run.announced;
  if (spoilt || (run.ending && run.waiting == 0)) {
    discard(std::move(pause));
  } else {
    run.free.push_back(std::move(pause));
  }
  changed_.notify_all();
}

void NetworkPool::discard(ScopedContainer pause) {
  deaths_.forget(pause.id());
  reaper_.destroy(std::move(pause));
}

void NetworkPool::clear() {
  const std::scoped_lock lock(mutex_);
  for (auto& [number, run] : runs_)
    for (ScopedContainer& pause : std::exchange(run.free, {})) discard(std::move(pause));
}

}  // namespace executors::docker
