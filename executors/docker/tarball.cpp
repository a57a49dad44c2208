#include "executors/docker/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "executors/unique_fd.h"
#include "executors/workspace/files.h"

namespace executors::docker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_size = 256 * 1024;
constexpr std::size_t most_waiting = 4 * 1024 * 1024;  // bytes between the engine's connection and the disk

WorldError failure(const std::string& message) { return WorldError("runner_system_failure", message); }

struct EntryDeleter {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
using Entry = std::unique_ptr<archive_entry, EntryDeleter>;

// Bytes from the thread that reads the engine's answer to the one that writes files.
class Pipe {
 public:
  bool push(std::string_view bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ < most_waiting || closed_; });
    if (closed_) return false;
    pieces_.emplace_back(bytes);
    waiting_ += bytes.size();
    changed_.notify_all();
    return true;
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  // Empty at the end.
  std::string pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !pieces_.empty() || closed_; });
    if (pieces_.empty()) return {};
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    waiting_ -= piece.size();
    changed_.notify_all();
    return piece;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_;
  std::size_t waiting_ = 0;
  bool closed_ = false;
};

}  // namespace

struct TarStream::Impl {
  struct Item {
    enum class Kind : std::uint8_t { directory, file, fifo, tree } kind;
    std::string path;
    std::string content;
    fs::path from;
  };
  std::deque<Item> items;
  archive* writer = nullptr;
  std::string out;
  bool ended = false;
  // Where in a tree we are.
  std::optional<fs::recursive_directory_iterator> walk;
  std::string walk_path;
  fs::path walk_root;
  // Which file we are in.
  UniqueFd file;
  std::uint64_t left = 0;

  void check(int code, const std::string& what) const {
    if (code < ARCHIVE_WARN) {
      const char* text = archive_error_string(writer);
      throw failure("cannot pack " + what + ": " + (text == nullptr ? "?" : text));
    }
  }
  void header(const std::string& path, mode_t type, mode_t mode, std::uint64_t size, const std::string& link = {},
              const struct stat* status = nullptr) {
    const Entry entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), path.c_str());
    archive_entry_set_filetype(entry.get(), type);
    archive_entry_set_perm(entry.get(), mode);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    if (!link.empty()) archive_entry_set_symlink(entry.get(), link.c_str());
    if (status != nullptr) {
      archive_entry_set_mtime(entry.get(), status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
      archive_entry_set_uid(entry.get(), status->st_uid);
      archive_entry_set_gid(entry.get(), status->st_gid);
    }
    check(archive_write_header(writer, entry.get()), path);
  }
  void data(std::string_view bytes) {
    if (!bytes.empty() && archive_write_data(writer, bytes.data(), bytes.size()) < 0) check(ARCHIVE_FATAL, "a file");
  }
  void one(const std::string& path, const fs::path& from);
  void step();
};

// One thing of a tree. What disappears meanwhile is left out: the snapshot does not change, but its owner may be told
// to remove it.
void TarStream::Impl::one(const std::string& path, const fs::path& from) {
  struct stat status {};
  if (::lstat(from.c_str(), &status) != 0) return;
  if (S_ISDIR(status.st_mode)) {
    header(path, AE_IFDIR, kDirectoryMode, 0, {}, &status);
  } else if (S_ISLNK(status.st_mode)) {
    std::error_code error;
    header(path, AE_IFLNK, 0777, 0, fs::read_symlink(from, error).string(), &status);
  } else if (S_ISREG(status.st_mode)) {
    file = UniqueFd(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) throw failure("cannot read " + from.string() + ": " + std::strerror(errno));
    left = static_cast<std::uint64_t>(status.st_size);
    header(path, AE_IFREG, kept_mode(status.st_mode), left, {}, &status);
  }
}

void TarStream::Impl::step() {
  if (file) {
    std::array<char, 64 * 1024> buffer;
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), left);
    const ssize_t got = wanted == 0 ? 0 : ::read(file.get(), buffer.data(), wanted);
    if (got < 0) throw failure(std::string("cannot read a file: ") + std::strerror(errno));
    data({buffer.data(), static_cast<std::size_t>(got)});
    left -= static_cast<std::uint64_t>(got);
    if (left == 0 || got == 0) file.reset();
    return;
  }
  if (walk) {
    if (*walk == fs::recursive_directory_iterator()) {
      walk.reset();
      return;
    }
    const fs::path from = (*walk)->path();
    one(walk_path + "/" + from.lexically_relative(walk_root).string(), from);
    std::error_code error;
    walk->increment(error);
    if (error) throw failure("cannot read " + from.string() + ": " + error.message());
    return;
  }
  if (items.empty()) {
    check(archive_write_close(writer), "the end");
    ended = true;
    return;
  }
  const Item item = std::move(items.front());
  items.pop_front();
  switch (item.kind) {
    case Item::Kind::directory:
      header(item.path, AE_IFDIR, 0777, 0);
      return;
    case Item::Kind::fifo:
      header(item.path, AE_IFIFO, 0666, 0);
      return;
    case Item::Kind::file:
      header(item.path, AE_IFREG, 0666, item.content.size());
      data(item.content);
      return;
    case Item::Kind::tree:
      one(item.path, item.from);
      walk_path = item.path;
      walk_root = item.from;
      std::error_code error;
      walk.emplace(item.from, error);
      if (error) throw failure("cannot read " + item.from.string() + ": " + error.message());
      return;
  }
}

TarStream::TarStream() : impl_(std::make_unique<Impl>()) {
  impl_->writer = archive_write_new();
  archive_write_set_format_gnutar(impl_->writer);
  archive_write_set_bytes_in_last_block(impl_->writer, 1);
  const auto write = [](archive*, void* self, const void* bytes, std::size_t size) -> la_ssize_t {
    static_cast<Impl*>(self)->out.append(static_cast<const char*>(bytes), size);
    return static_cast<la_ssize_t>(size);
  };
  impl_->check(archive_write_open(impl_->writer, impl_.get(), nullptr, write, nullptr), "anything");
}

TarStream::~TarStream() { archive_write_free(impl_->writer); }

void TarStream::add_directory(const std::string& path) {
  impl_->items.push_back({Impl::Item::Kind::directory, path, {}, {}});
}
void TarStream::add_file(const std::string& path, std::string content) {
  impl_->items.push_back({Impl::Item::Kind::file, path, std::move(content), {}});
}
void TarStream::add_fifo(const std::string& path) { impl_->items.push_back({Impl::Item::Kind::fifo, path, {}, {}}); }
void TarStream::add_tree(const std::string& path, const fs::path& from) {
  impl_->items.push_back({Impl::Item::Kind::tree, path, {}, from});
}

std::string TarStream::next() {
  while (!impl_->ended && impl_->out.size() < piece_size) impl_->step();
  return std::exchange(impl_->out, {});
}

namespace {

struct Reading {
  Pipe pipe;
  std::string piece;  // libarchive reads from it until it asks for the next
};

void extract(archive* reader, const fs::path& to) {
  const std::unique_ptr<archive, int (*)(archive*)> disk(archive_write_disk_new(), archive_write_free);
  const uid_t user = ::geteuid();
  archive_write_disk_set_options(disk.get(), ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                 ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_UNLINK |
                                                 ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_SPARSE |
                                                 (user == 0 ? ARCHIVE_EXTRACT_OWNER : 0));
  const auto fail = [](archive* who, const std::string& what) {
    const char* text = archive_error_string(who);
    const bool full = archive_errno(who) == ENOSPC;
    throw WorldError("artifacts_failed", "cannot unpack " + what + ": " + (text == nullptr ? "?" : text),
                     full ? "free some space, for instance by `runner gc`" : "");
  };
  archive_entry* entry = nullptr;
  while (true) {
    const int code = archive_read_next_header(reader, &entry);
    if (code == ARCHIVE_EOF) return;
    if (code < ARCHIVE_WARN) fail(reader, "the engine's archive");
    const std::string path = archive_entry_pathname(entry);
    const char* hard = archive_entry_hardlink(entry);
    const auto type = archive_entry_filetype(entry);
    if (hard == nullptr && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) continue;
    // Only root may leave a file to whose it is there (as Janitor::own).
    const auto owner = archive_entry_uid(entry);
    const bool orphaned = user != 0 && owner != 0 && owner != static_cast<la_int64_t>(user);
    const mode_t mode = archive_entry_perm(entry);
    archive_entry_set_perm(entry, type == AE_IFDIR ? kDirectoryMode : orphaned ? shared_mode(mode) : kept_mode(mode));
    archive_entry_set_pathname(entry, (to / fs::path(path).relative_path()).c_str());
    if (hard != nullptr) archive_entry_set_hardlink(entry, (to / fs::path(hard).relative_path()).c_str());
    if (archive_write_header(disk.get(), entry) < ARCHIVE_WARN) fail(disk.get(), path);
    const void* bytes = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    int got = ARCHIVE_OK;
    while ((got = archive_read_data_block(reader, &bytes, &size, &offset)) == ARCHIVE_OK)
      if (archive_write_data_block(disk.get(), bytes, size, offset) < ARCHIVE_WARN) fail(disk.get(), path);
    if (got != ARCHIVE_EOF) fail(reader, path);
    if (archive_write_finish_entry(disk.get()) < ARCHIVE_WARN) fail(disk.get(), path);
  }
}

}  // namespace

bool fetch_tree(Engine& engine, const std::string& container, const std::string& path, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to, error);
  // Links in the way to our own directory are ours, and must not look like the archive's.
  const fs::path real = fs::canonical(to, error);
  if (error) throw failure("cannot make " + to.string() + ": " + error.message());
  Reading reading;
  std::exception_ptr engine_failed;
  std::thread getter([&] {
    try {
      engine.get_archive(container, path, [&](std::string_view bytes) { return reading.pipe.push(bytes); });
    } catch (...) {
      engine_failed = std::current_exception();
    }
    reading.pipe.close();
  });
  std::exception_ptr disk_failed;
  try {
    const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
    archive_read_support_format_tar(reader.get());
    archive_read_support_format_empty(reader.get());
    const auto read = [](archive*, void* self, const void** bytes) -> la_ssize_t {
      auto& from = *static_cast<Reading*>(self);
      from.piece = from.pipe.pop();
      *bytes = from.piece.data();
      return static_cast<la_ssize_t>(from.piece.size());
    };
    if (archive_read_open(reader.get(), &reading, nullptr, read, nullptr) < ARCHIVE_WARN)
      throw failure("cannot read the engine's archive of " + path);
    extract(reader.get(), real);
    while (!reading.pipe.pop().empty()) {  // the padding behind the last entry
    }
  } catch (...) {
    disk_failed = std::current_exception();
    reading.pipe.close();
  }
  getter.join();
  if (engine_failed) {
    try {
      std::rethrow_exception(engine_failed);
    } catch (const EngineError& engine_error) {
      if (engine_error.status == 404) return false;
      throw;
    }
  }
  if (disk_failed) std::rethrow_exception(disk_failed);
  return true;
}

}  // namespace executors::docker
