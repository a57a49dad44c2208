// One destructor undoes one thing. None of them throws: what the engine would not remove in time stays behind with
// our labels, for `runner doctor --clean`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "executors/docker/engine.h"

namespace executors::docker {

// A container, by id or name: killed and removed with its anonymous volumes.
class ScopedContainer {
 public:
  ScopedContainer() = default;
  ScopedContainer(Engine& engine, std::string id) : engine_(&engine), id_(std::move(id)) {}
  ScopedContainer(ScopedContainer&& other) noexcept : engine_(other.engine_), id_(std::move(other.id_)) {
    other.id_.clear();
  }
  ScopedContainer& operator=(ScopedContainer&& other) noexcept;
  ~ScopedContainer() { reset(); }

  const std::string& id() const { return id_; }
  bool reset() noexcept;  // removes it now; false when it was gone, perhaps without its anonymous volumes
  std::string release();  // lets it be

 private:
  Engine* engine_ = nullptr;
  std::string id_;
};

// A user-defined network.
class ScopedNetwork {
 public:
  ScopedNetwork() = default;
  ScopedNetwork(Engine& engine, std::string id) : engine_(&engine), id_(std::move(id)) {}
  ScopedNetwork(ScopedNetwork&& other) noexcept : engine_(other.engine_), id_(std::move(other.id_)) {
    other.id_.clear();
  }
  ScopedNetwork& operator=(ScopedNetwork&& other) noexcept;
  ~ScopedNetwork() { reset(); }

  const std::string& id() const { return id_; }
  void reset() noexcept;
  void release() { id_.clear(); }  // lets it be

 private:
  Engine* engine_ = nullptr;
  std::string id_;
};

// A directory on the host, removed by `remove`, which knows how to deal with other users' files in it.
class ScopedDirectory {
 public:
  using Remove = std::function<void(const std::filesystem::path&)>;
  ScopedDirectory() = default;
  ScopedDirectory(std::filesystem::path path, Remove remove) : path_(std::move(path)), remove_(std::move(remove)) {}
  ScopedDirectory(ScopedDirectory&& other) noexcept : path_(std::move(other.path_)), remove_(std::move(other.remove_)) {
    other.path_.clear();
  }
  ScopedDirectory& operator=(ScopedDirectory&& other) noexcept;
  ~ScopedDirectory() { reset(); }

  const std::filesystem::path& path() const { return path_; }
  void reset() noexcept;
  void release() { path_.clear(); }  // lets it be

 private:
  std::filesystem::path path_;
  Remove remove_;
};

}  // namespace executors::docker
