// Artifacts out. Directories are opened one by one below the destination, never through a symlink, so that nothing
// is written outside it whatever stands in the way.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "executors/workspace/files.h"
#include "runner/store/chunks.h"
#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

namespace {

std::vector<TreeEntry> load_tree(const db::Database& database, ArtifactId id) {
  return database.read("read an artifact", [&](Connection& c) {
    Query query(c, "SELECT t.manifest FROM artifacts a JOIN trees t ON t.id = a.tree WHERE a.id = ?", id);
    if (!query.step()) {
      throw StoreError(StoreFault::missing, fmt::format("there is no artifact {}", id), "it may have expired");
    }
    return decode_manifest(query.bytes(0));
  });
}

std::vector<TreeEntry> load_cached(const db::Database& database, std::uint64_t tree) {
  return database.read("read a cache", [&](Connection& c) {
    Query query(c, "SELECT manifest FROM trees WHERE id = ? AND digest IS NOT NULL", tree);
    if (!query.step()) {
      throw StoreError(StoreFault::missing, "the cache has just been replaced or removed");
    }
    return decode_manifest(query.bytes(0));
  });
}

bool harmless(std::string_view path) {
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos) {
      return false;
    }
    at = end + 1;
  }
  return true;
}

class Destination {
 public:
  Destination(std::filesystem::path root, TakenFor whom) : root_(std::move(root)), open_to_all_(whom == TakenFor::job) {
    std::error_code error;
    std::filesystem::create_directories(root_, error);
    top_ = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top_ < 0 || (open_to_all_ && ::fchmod(top_, executors::kDirectoryMode) != 0)) {
      raise("open", "");
    }
  }
  ~Destination() {
    leave();
    ::close(top_);
  }
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;

  // The directory of `path`, made with all above it; valid until the next call. `name` gets the last component.
  int directory_of(const std::string& path, std::string& name) {
    const std::size_t slash = path.rfind('/');
    name = slash == std::string::npos ? path : path.substr(slash + 1);
    enter(slash == std::string::npos ? "" : path.substr(0, slash));
    return current_ >= 0 ? current_ : top_;
  }

  void enter(const std::string& directory) {
    if (directory == current_path_) {
      return;
    }
    leave();
    int at = top_;
    for (std::size_t begin = 0; begin < directory.size();) {
      const std::size_t end = std::min(directory.find('/', begin), directory.size());
      const int next = open_or_make(at, directory.substr(begin, end - begin));
      const int error = errno;
      if (at != top_) {
        ::close(at);
      }
      if (next < 0) {
        errno = error;
        raise("make", directory);
      }
      at = next;
      begin = end + 1;
    }
    current_ = at == top_ ? -1 : at;
    current_path_ = directory;
  }

  [[noreturn]] void raise(const char* what, const std::string& path) const {
    const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    throw StoreError(
        full ? StoreFault::full : StoreFault::other,
        fmt::format("cannot {} {}: {}", what, (root_ / path).string(), std::generic_category().message(errno)),
        full ? "free some space on that disk" : "");
  }

 private:
  int open_or_make(int at, const std::string& name) const {
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int next = ::openat(at, name.c_str(), flags);
    if (next >= 0) {
      return next;
    }
    if (errno == ENOTDIR || errno == ELOOP) {
      ::unlinkat(at, name.c_str(), 0);  // a file or a symlink where a directory belongs
    }
    if (::mkdirat(at, name.c_str(), executors::kDirectoryMode) != 0 && errno != EEXIST) {
      return -1;
    }
    next = ::openat(at, name.c_str(), flags);
    if (next >= 0 && open_to_all_) {  // mkdirat minds the umask
      ::fchmod(next, executors::kDirectoryMode);
    }
    return next;
  }
  void leave() {
    if (current_ >= 0) {
      ::close(current_);
    }
    current_ = -1;
    current_path_.clear();
  }

  std::filesystem::path root_;
  bool open_to_all_ = false;
  int top_ = -1;
  int current_ = -1;  // -1: the top itself
  std::string current_path_;
};

constexpr std::size_t block = 4096;  // less is no hole in any file system

bool is_zero(std::string_view bytes) {
  return bytes.front() == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// How much of the beginning of `bytes` is to be left out as a hole (`zero`) or to be written, in whole blocks.
std::size_t stretch(std::string_view bytes, bool zero) {
  std::size_t size = 0;
  while (size < bytes.size() && is_zero(bytes.substr(size, block)) == zero) {
    size += std::min(block, bytes.size() - size);
  }
  return size;
}

// A file that is being written from its beginning to its end. False: errno says why.
class Growing {
 public:
  explicit Growing(int file) : file_(file) {}
  bool add(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t hole = stretch(bytes, true);
      at_ += static_cast<off_t>(hole);
      bytes.remove_prefix(hole);
      const std::size_t data = stretch(bytes, false);
      if (!write(bytes.substr(0, data))) {
        return false;
      }
      bytes.remove_prefix(data);
    }
    return true;
  }
  bool end() const { return written_ == at_ || ::ftruncate(file_, at_) == 0; }

 private:
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t wrote = ::pwrite(file_, bytes.data(), bytes.size(), at_);
      if (wrote < 0 && errno != EINTR) {
        return false;
      }
      const ssize_t done = std::max<ssize_t>(wrote, 0);
      bytes.remove_prefix(static_cast<std::size_t>(done));
      at_ += done;
      written_ = at_;
    }
    return true;
  }

  int file_;
  off_t at_ = 0;
  off_t written_ = 0;  // up to where the file reaches
};

// Whoever takes files out for a job may be another user than who stored them.
void give_to_owner(int file, const TreeEntry& entry) {
  const uid_t user = ::geteuid();
  const bool its_own =
      entry.owner == user || entry.owner == 0 || ::fchown(file, entry.owner, static_cast<gid_t>(-1)) == 0;
  ::fchmod(file, its_own ? entry.mode : executors::shared_mode(entry.mode));
}

}  // namespace

std::vector<ArtifactFile> Store::list_files(ArtifactId id) const {
  std::vector<ArtifactFile> files;
  for (TreeEntry& entry : load_tree(impl_->database, id)) {
    if (entry.type == TreeEntry::Type::directory) {
      continue;
    }
    ArtifactFile file;
    file.path = std::move(entry.path);
    file.size = entry.size;
    file.executable = entry.type == TreeEntry::Type::executable;
    if (entry.type == TreeEntry::Type::symlink) {
      file.link = std::move(entry.target);
    }
    files.push_back(std::move(file));
  }
  return files;
}

void Store::read_file(ArtifactId id, std::string_view path, const std::function<void(std::string_view)>& sink) const {
  for (const TreeEntry& entry : load_tree(impl_->database, id)) {
    if (entry.path == path && entry.is_file()) {
      const ChunkFiles files(impl_->chunk_directory());
      for (const std::int64_t chunk : entry.chunks) {
        sink(impl_->database.read("read an artifact", [&](Connection& c) { return load_chunk(c, files, chunk); }));
      }
      return;
    }
  }
  throw StoreError(StoreFault::missing, fmt::format("there is no file {} in artifact {}", path, id));
}

std::string Store::read_file(ArtifactId id, std::string_view path, std::size_t max) const {
  std::string bytes;
  read_file(id, path, [&](std::string_view part) {
    if (bytes.size() + part.size() > max) {
      throw StoreError(StoreFault::other, fmt::format("{} is larger than {} bytes", path, max));
    }
    bytes += part;
  });
  return bytes;
}

void Store::extract(ArtifactId id, const std::filesystem::path& directory, TakenFor whom,
                    const std::stop_token& stop) const {
  impl_->extract(load_tree(impl_->database, id), directory, whom, stop);
}

void Store::extract_tree(std::uint64_t tree, const std::filesystem::path& directory, TakenFor whom,
                         const std::stop_token& stop) const {
  impl_->extract(load_cached(impl_->database, tree), directory, whom, stop);
}

void Store::Impl::extract(std::vector<TreeEntry> entries, const std::filesystem::path& directory, TakenFor whom,
                          const std::stop_token& stop) const {
  const ChunkFiles files(chunk_directory());
  Destination destination(directory, whom);
  // Symlinks last: nothing of this artifact is looked up through them.
  std::stable_partition(entries.begin(), entries.end(),
                        [](const TreeEntry& e) { return e.type != TreeEntry::Type::symlink; });
  for (const TreeEntry& entry : entries) {
    if (stop.stop_requested()) {
      throw StoreError(StoreFault::other, "taking the artifacts out was stopped");
    }
    if (!harmless(entry.path)) {
      throw StoreError(StoreFault::corrupt, fmt::format("the artifact names the path {}", entry.path));
    }
    if (entry.type == TreeEntry::Type::directory) {
      destination.enter(entry.path);
      continue;
    }
    std::string name;
    const int parent = destination.directory_of(entry.path, name);
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
      destination.raise("replace", entry.path);
    }
    if (entry.type == TreeEntry::Type::symlink) {
      if (::symlinkat(entry.target.c_str(), parent, name.c_str()) != 0) {
        destination.raise("make", entry.path);
      }
      continue;
    }
    const int file = ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry.mode);
    if (file < 0) {
      destination.raise("make", entry.path);
    }
    const std::unique_ptr<const int, void (*)(const int*)> closing(&file, [](const int* open) { ::close(*open); });
    Growing content(file);
    const auto give_up = [&] {
      const int error = errno;
      ::unlinkat(parent, name.c_str(), 0);  // not half a file
      errno = error;
      destination.raise("write", entry.path);
    };
    for (const std::int64_t chunk : entry.chunks) {
      const std::string bytes =
          database.read("read an artifact", [&](Connection& c) { return load_chunk(c, files, chunk); });
      if (!content.add(bytes)) {
        give_up();
      }
    }
    if (!content.end()) {
      give_up();
    }
    if (whom == TakenFor::job) {
      give_to_owner(file, entry);
    }
    if (entry.mtime > 0) {
      constexpr std::int64_t second = 1'000'000'000;
      const struct timespec time { entry.mtime / second, entry.mtime % second };
      const struct timespec times[2] = {time, time};
      ::futimens(file, times);  // build tools compare them; where it cannot be, they build anew
    }
  }
}

}  // namespace runner
