// Waits for changes of a project's sources (`runner exec --watch`), by inotify.
//
// What inotify says is only the reason to look: whether something changed is found out by walking the sources as a
// snapshot does (source_list(): what git ignores is none of them, by whichever of its files) and comparing what stat
// says. So a lost event, an overflow or a storm of them costs a look and nothing else, and what happens in ignored
// folders and in .git wakes nobody.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace runner {

class TreeWatch {
 public:
  struct Options {
    std::filesystem::path project;
    std::vector<std::filesystem::path> files;    // watched besides, wherever they are and though git ignores them
    std::filesystem::path except;                // see SnapshotOptions::except
    std::vector<std::filesystem::path> outputs;  // what we write ourselves: files and directories that never count
    std::chrono::milliseconds quiet{200};        // changes are told when there were none for so long …
    std::chrono::milliseconds patience{2000};    // … or when the first is so long ago
    std::chrono::milliseconds polling{1000};     // between looks where inotify is not to be had
  };
  // Throws GitError for a project that cannot be read.
  explicit TreeWatch(Options);
  ~TreeWatch();
  TreeWatch(const TreeWatch&) = delete;
  TreeWatch& operator=(const TreeWatch&) = delete;

  // The paths that changed since the last call, or since the constructor: relative to the project, sorted; others
  // absolute. Blocks until there are any; absent: stopped.
  std::optional<std::vector<std::string>> wait(const std::stop_token&);

  // Why inotify is not to be had, with what to do about it; empty as long as it is. Then the project is looked at every
  // Options::polling.
  const std::string& trouble() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace runner
