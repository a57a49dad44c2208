// Trees as tar streams, for engines that see nothing of this host's file system.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "executors/docker/engine.h"

namespace executors::docker {

// Writes a tar piece by piece as it is asked for, so that a tree of any size passes through little memory.
// Directories get mode 0777; files have the modes and owners that they have on the host.
class TarStream {
 public:
  TarStream();
  ~TarStream();
  TarStream(const TarStream&) = delete;
  TarStream& operator=(const TarStream&) = delete;

  void add_directory(const std::string& path);
  void add_file(const std::string& path, std::string content);
  void add_fifo(const std::string& path);
  // The tree below `from`, its root included, as `path`; whatever is added later wins over it.
  void add_tree(const std::string& path, const std::filesystem::path& from);

  // The next piece; empty at the end. Throws WorldError when a file cannot be read.
  std::string next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Gets `path` of a container, which need not run, as `to`/<its last component>. Only directories, regular files and
// symbolic links are made, none of them outside `to` or through a link. False when there is no such path.
// Throws WorldError.
bool fetch_tree(Engine&, const std::string& container, const std::string& path, const std::filesystem::path& to);

}  // namespace executors::docker
