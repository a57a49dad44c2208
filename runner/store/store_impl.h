// What the store's files share. Each public method is in the file of its chapter: runs, logs, artifacts, leases, gc.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runner/store/database.h"

namespace runner {

// zstd -1 where it saves a twentieth; `codec` as in the tables logs and chunks.
struct Packed {
  int codec = 0;
  std::string_view bytes;  // into `room` or into what was given
};
Packed pack(std::string_view bytes, std::string& room);
std::string unpack(std::int64_t codec, std::string_view stored, std::size_t size);

struct TreeEntry;  // chunks.h

// This process among those that share the database: alive as long as it holds its lock.
class Processes {
 public:
  explicit Processes(std::filesystem::path lock_file) : lock_file_(std::move(lock_file)) {}
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;
  // This process's id, registered at its first use.
  std::int64_t self(db::Database&);
  std::int64_t registered() const { return id_; }  // 0: not yet
  // Whether the process `id` lives, as far as this host can tell; one of another host does. For use in a transaction.
  bool alive(db::Connection&, std::int64_t id);
  static const std::string& host();
  static const std::string& boot();

 private:
  int lock_file();  // opened at its first use
  const std::filesystem::path lock_file_;
  std::mutex registering_;  // held over a transaction
  std::mutex opening_;      // taken within transactions
  std::atomic<std::int64_t> id_{0};
  int lock_ = -1;
};

struct Store::Impl {
  explicit Impl(const Options&);
  ~Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Options options;
  db::Database database;
  std::string owner;
  mutable Processes processes;

  // logs.cpp: the thread that commits what the LogWriters gathered.
  struct Flusher;
  std::shared_ptr<Flusher> flusher;  // made with the first log
  std::mutex flusher_mutex;

  // artifacts.cpp
  std::filesystem::path chunk_directory() const { return options.file.string() + ".chunks"; }
  std::mutex trees_mutex;
  std::set<std::int64_t> trees_in_the_making;
  // Where this process found large files that it stored, and the stamp they are known by. A hard link made since is the
  // same file with another change time.
  struct Stood {
    std::filesystem::path path;
    std::int64_t ctime = 0;
    std::string stamp;
  };
  std::mutex stood_mutex;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Stood> stood;  // by device and inode
  // Stores what is below `directory`, once: `use` is called in the transaction that completes or finds the tree, so
  // that gc never sees a complete tree without a user. Returns what `use` did.
  using UseTree = std::function<ArtifactId(db::Connection&, std::int64_t tree, bool stored)>;
  ArtifactId keep_tree(const std::filesystem::path& directory, std::stop_token, const UseTree&);
  void extract(std::vector<TreeEntry>, const std::filesystem::path& directory, TakenFor, const std::stop_token&) const;
  std::vector<std::int64_t> unused_trees();
  // Gives up a tree: its references, then the pieces nobody else has. Returns what that gave back.
  GcResult remove_tree(std::int64_t tree);

  // leases.cpp; in a transaction. False when another living process has it.
  bool claim(db::Connection&, std::int64_t self, RunId, std::uint32_t job);
};

inline std::string attempt_name(const AttemptKey& key) {
  return "run " + std::to_string(key.run) + ", job " + std::to_string(key.job) + ", attempt " +
         std::to_string(key.attempt);
}

}  // namespace runner
