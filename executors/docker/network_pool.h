// Pause containers: each holds a network namespace on the default bridge and is leased to one job at a time. Joining
// one costs a third of an endpoint of one's own (the network hook, veth and iptables leave the path).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "executors/docker/container_spec.h"
#include "executors/docker/engine.h"
#include "executors/docker/reaper.h"
#include "executors/docker/scoped.h"

namespace executors::docker {

// A pause container serves jobs of one run only. Called concurrently.
class NetworkPool {
 public:
  NetworkPool(Engine& engine, Deaths& deaths, const DockerSettings& settings, Reaper& reaper);
  ~NetworkPool() { clear(); }

  // Held by a job for as long as its container exists; given back by the destructor.
  class Lease {
   public:
    Lease() = default;
    Lease(NetworkPool& pool, std::uint64_t run, ScopedContainer pause)
        : pool_(&pool), run_(run), pause_(std::move(pause)) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) noexcept = default;  // only onto one that holds nothing
    ~Lease();
    bool held() const { return !pause_.id().empty(); }
    const std::string& container() const { return pause_.id(); }
    void spoil() { spoilt_ = true; }  // not fit for another job: destroyed, not given back
    void keep();                      // it stays with its job for good, also after clear(): no other job gets it
    void announce();                  // will be given back shortly: whoever wants one may wait for it

   private:
    NetworkPool* pool_ = nullptr;
    std::uint64_t run_ = 0;
    ScopedContainer pause_;
    bool spoilt_ = false, announced_ = false;
  };

  // A free one of the run, or one that becomes free shortly; else, when `more` jobs are to come, a new one of the job's
  // own image; else none. Once no more are to come, the others are removed as they become free.
  Lease lease(const JobSpec&, bool more);
  // The pause container that a job of a dead runner holds.
  Lease adopt(std::uint64_t run, const std::string& container);
  // Removes all free ones.
  void clear();

 private:
  struct Run {
    std::vector<ScopedContainer> free;
    unsigned announced = 0, lent = 0, waiting = 0, making = 0;
    bool ending = false;  // no further job is to come
  };
  void give_back(std::uint64_t run, ScopedContainer pause, bool announced, bool spoilt);
  Lease make(const JobSpec&);
  void discard(ScopedContainer pause);

  Engine& engine_;
  Deaths& deaths_;
  const DockerSettings& settings_;
  Reaper& reaper_;
  std::atomic<std::uint32_t> number_ = 0;
  const unsigned cores_;
  const std::string word_;  // tells this process's names from those of a runner that died
  std::mutex mutex_;        // guards all below
  std::condition_variable changed_;
  std::map<std::uint64_t, Run> runs_;
  std::chrono::steady_clock::duration making_;  // what the last one took to make
};

}  // namespace executors::docker
