// Copies and removals of whole trees.
#include "executors/workspace/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "executors/workspace/files.h"

namespace executors {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kThreads = 2;  // measured: two are twice as fast as one, eight slower again
constexpr std::size_t kBatch = 256;  // files in one piece of work, so that a huge directory is shared out too

// Copies one tree with several threads. The pieces of work are a stack, so few directories are open at a time.
class TreeCopy {
 public:
  TreeCopy(const fs::path& from, const fs::path& to, bool replace)
      : from_(open_root(from)), to_(open_root(to)), replace_(replace) {}

  void run() {
    push({});
    {
      std::vector<std::jthread> helpers;
      for (std::size_t i = 1; i < kThreads; ++i) helpers.emplace_back([this] { work(); });
      work();
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Piece {
    std::string directory;    // relative
    std::vector<Name> names;  // empty: the whole directory
  };

  void push(Piece piece) {
    const std::lock_guard lock(mutex_);
    pieces_.push_back(std::move(piece));
    ++unfinished_;
    changed_.notify_one();
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !pieces_.empty() || unfinished_ == 0 || error_; });
      if (pieces_.empty() || error_) return;
      const Piece piece = std::move(pieces_.back());
      pieces_.pop_back();
      lock.unlock();
      std::exception_ptr error;
      try {
        const UniqueFd from = open_below(from_.get(), piece.directory);
        const UniqueFd to = open_below(to_.get(), piece.directory);
        if (piece.names.empty()) {
          copy_directory(piece.directory, from.get(), to.get());
        } else {
          copy_files(piece.directory, piece.names, from.get(), to.get());
        }
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error && !error_) error_ = error;
      if (--unfinished_ == 0 || error_) changed_.notify_all();
    }
  }

  void copy_directory(const std::string& directory, int from, int to) {
    std::vector<Name> files;
    for (Name& entry : read_directory(from)) {
      if (entry.type == DT_DIR) {
        make_directory(directory, entry.name, to);
        push({join(directory, entry.name), {}});
      } else if (entry.type == DT_REG || entry.type == DT_LNK) {  // no sockets, FIFOs and devices
        files.push_back(std::move(entry));
        if (files.size() == kBatch) push({directory, std::exchange(files, {})});
      }
    }
    copy_files(directory, files, from, to);
  }

  void make_directory(const std::string& directory, const std::string& name, int to) {
    if (::mkdirat(to, name.c_str(), 0700) != 0) {
      struct stat info = {};
      const bool exists = replace_ && errno == EEXIST;
      if (!exists) throw_errno(join(directory, name));
      if (::fstatat(to, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) return;
      if (!remove_at(to, name.c_str()) || ::mkdirat(to, name.c_str(), 0700) != 0) throw_errno(join(directory, name));
    }
    if (::fchmodat(to, name.c_str(), kDirectoryMode, 0) != 0) throw_errno(join(directory, name));
  }

  void copy_files(const std::string& directory, const std::vector<Name>& files, int from, int to) {
    for (const Name& file : files) {
      try {
        try {
          copy_file(file, from, to);
        } catch (const std::system_error& error) {
          if (!replace_ || error.code() != std::errc::file_exists || !remove_at(to, file.name.c_str())) throw;
          copy_file(file, from, to);
        }
      } catch (const std::system_error& error) {
        throw std::system_error(error.code(), join(directory, file.name));
      }
    }
  }

  void copy_file(const Name& file, int from, int to) {
    const char* name = file.name.c_str();
    if (file.type == DT_REG) return copier_.copy(from, name, to, name);
    if (::symlinkat(read_link(from, name).c_str(), to, name) != 0) throw_errno(file.name);
  }

  const UniqueFd from_, to_;
  const bool replace_;
  FileCopier copier_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<Piece> pieces_;
  std::size_t unfinished_ = 0;
  std::exception_ptr error_;
};

void copy(const fs::path& from, const fs::path& to, bool replace) {
  try {
    TreeCopy(from, to, replace).run();
  } catch (const std::system_error& error) {
    throw WorldError(
        "runner_system_failure", "cannot copy " + from.string() + " to " + to.string() + ": " + error.what(),
        error.code() == std::errc::no_space_on_device ? "the disk is full: free some space (runner gc) and start again"
                                                      : "");
  }
}

}  // namespace

void copy_tree(const fs::path& from, const fs::path& to) {
  if (::mkdir(to.c_str(), 0700) != 0 || ::chmod(to.c_str(), kDirectoryMode) != 0) {
    throw WorldError("runner_system_failure",
                     "cannot make " + to.string() + ": " + std::generic_category().message(errno));
  }
  copy(from, to, false);
}

void overlay_copy(const std::vector<fs::path>& inputs, const fs::path& to) {
  for (const auto& input : inputs) copy(input, to, true);
}

bool remove_tree(const fs::path& path) noexcept { return remove_at(AT_FDCWD, path.c_str()); }

}  // namespace executors
