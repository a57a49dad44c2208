// Root's hands for an ordinary user: a container that takes over and removes files a job's root made below the state
// directory. Started when first needed, shared by all jobs, and gone when the runner is, however that ends: it reads
// its orders from a FIFO whose only writer is the runner.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "executors/docker/engine.h"
#include "executors/docker/scoped.h"
#include "executors/executor.h"

namespace executors::docker {

// Called concurrently; orders are carried out one at a time. Where the runner itself is root it does them itself.
class Janitor {
 public:
  Janitor(Engine& engine, std::filesystem::path state) : engine_(engine), state_(std::move(state)) {}
  ~Janitor() { close(); }

  // Makes the tree below `path` the runner's own, readable and writable, so that it can be dealt with in-process.
  // `id` and `image` name the job on whose behalf it starts; the image must be on the engine. Throws WorldError.
  void own(const std::filesystem::path& path, const JobId& id, const std::string& image);
  // Removes the tree; in-process as far as that goes. Throws WorldError.
  void remove(const std::filesystem::path& path, const JobId& id, const std::string& image);
  // Ends the container; the next order starts another.
  void close() noexcept;

 private:
  void order(std::string_view verb, const std::filesystem::path& path, const JobId& id, const std::string& image);
  void start(const JobId& id, const std::string& image);
  void stop_holding();
  std::string reply(const std::string& doing);

  Engine& engine_;
  const std::filesystem::path state_;
  std::mutex mutex_;  // one order at a time; guards all below
  ScopedContainer container_;
  std::filesystem::path directory_;  // its FIFOs
  int orders_ = -1, replies_ = -1;
};

}  // namespace executors::docker
