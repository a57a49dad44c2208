// One job in a container: what prepare() made, and what run() does with it.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "executors/docker/attached_job.h"
#include "executors/docker/engine.h"
#include "executors/docker/image.h"
#include "executors/docker/janitor.h"
#include "executors/docker/network_pool.h"
#include "executors/docker/reaper.h"
#include "executors/docker/scoped.h"
#include "executors/docker/services.h"
#include "executors/docker/workspace.h"
#include "executors/executor.h"
#include "executors/job_directory.h"
#include "executors/make.h"

namespace executors::docker {

// What all jobs of an executor share. Members are destroyed from the last to the first.
struct Shared {
  explicit Shared(DockerSettings);
  const DockerSettings settings;
  Engine engine;
  Deaths deaths;
  Images images;
  Janitor janitor;
  Reaper reaper;
  NetworkPool pool;
  std::atomic<bool> hurried = false;
};

// The first process of a container, seen from the host: tells whether it lives when the engine does not say.
class InitProcess {
 public:
  InitProcess() = default;
  // Absent (known() is false) where the engine's processes cannot be seen from here.
  InitProcess(std::int64_t pid, const std::string& container);
  bool known() const { return pid_ > 0; }
  bool gone() const;

 private:
  std::int64_t pid_ = 0;
  std::string started_;  // its start time, against a process that has got the same number since
};

// All that was made for one job. Destroyed from the last to the first: container, services, network lease, directory.
struct Sandbox {
  explicit Sandbox(Shared& for_shared) : shared(for_shared) {}
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  void let_be();  // nothing of it is removed any more

  Shared& shared;
  JobSpec spec;
  ImageInfo image;
  ScopedDirectory directory;
  NetworkPool::Lease lease;
  Services services;
  ScopedContainer container;
  InitProcess init;
  std::optional<Workspace> workspace;   // absent: archive
  std::optional<JobDirectory> job;      // absent: archive
  std::optional<AttachedJob> attached;  // archive only
  // For a job found again.
  bool adopted = false;
  std::uint64_t log_bytes_kept = 0;
  std::optional<Deaths::Death> died;  // before it was found

 private:
  void remove_volumes() noexcept;
};

class DockerExecution final : public Execution {
 public:
  explicit DockerExecution(std::unique_ptr<Sandbox> box) : box_(std::move(box)) {}
  ~DockerExecution() override;
  std::string handle() const override;
  JobResult run(const Work&, LogSink&, Notices&, std::stop_token) override;
  void enter(const Work&, const Terminal&, const std::stop_token&) override;
  Kept keep(const Work&) override;

 private:
  bool lingers(const JobDirectory::Followed&);
  Environment exported();
  void put_shell(const Work&);
  bool give_go(const Work&, const std::stop_token&);
  JobResult never_began(Notices&);
  void refuse_foreign_image();
  bool dead();
  std::optional<Deaths::Death> death();
  // Blocks until the container is dead; what is known of its end.
  std::optional<Deaths::Death> await_end();
  bool out_of_memory(const std::optional<Deaths::Death>&, int exit_code);
  void explain(JobResult&, const JobDirectory::Followed&);
  void take_artifacts(const Work&, JobResult&, bool lives, Notices&);

  std::unique_ptr<Sandbox> box_;
  std::optional<std::chrono::steady_clock::time_point> silent_since_;
  bool engine_was_away_ = false;
  std::chrono::system_clock::time_point begun_;  // when the go was given; of an adopted job: not known
};

}  // namespace executors::docker
