#include "executors/docker/reaper.h"

namespace executors::docker {
namespace {

constexpr std::chrono::milliseconds moment{20};

}  // namespace

Reaper::~Reaper() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Reaper::later(std::function<void()> task) {
  {
    const std::scoped_lock lock(mutex_);
    tasks_.push_back({std::move(task), std::chrono::steady_clock::now() + moment});
    if (threads_.size() < wanted_) threads_.emplace_back([this] { work(); });
  }
  changed_.notify_all();
}

void Reaper::settle() {
  std::unique_lock lock(mutex_);
  ++settling_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return tasks_.empty() && busy_ == 0; });
  --settling_;
}

void Reaper::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    if (!ending_ && settling_ == 0 && tasks_.front().from > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, tasks_.front().from);
      continue;
    }
    std::function<void()> task = std::move(tasks_.front().run);
    tasks_.pop_front();
    ++busy_;
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    --busy_;
    changed_.notify_all();
  }
}

}  // namespace executors::docker
