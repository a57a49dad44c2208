#include "executors/workspace/files.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>
#include <system_error>

namespace executors {
namespace {

struct CloseDirectory {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using DirectoryStream = std::unique_ptr<DIR, CloseDirectory>;

DirectoryStream stream_of(int directory) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return nullptr;
  DirectoryStream stream(::fdopendir(copy.get()));
  if (stream) copy.release();
  return stream;
}

bool is_dots(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

unsigned char type_of(int directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type;
  struct stat info = {};
  if (::fstatat(directory, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return DT_REG;
  return static_cast<unsigned char>(IFTODT(info.st_mode));
}

bool refuses(int error) {
  return error == EOPNOTSUPP || error == EXDEV || error == EINVAL || error == ENOSYS || error == ENOTTY ||
         error == EPERM || error == EBADF;
}

// Below this depth a tree is removed by moving it up to the root of the removal first: no path is too deep, and the
// descriptors stay few.
constexpr int kDeep = 64;

class Removal {
 public:
  explicit Removal(int root) : root_(root) {}

  bool clear(int directory, int depth) {
    const auto stream = stream_of(directory);
    if (!stream) return false;
    bool all = true;
    while (const dirent* entry = ::readdir(stream.get())) {
      if (!is_dots(entry->d_name)) all = remove(directory, entry->d_name, type_of(directory, *entry), depth) && all;
    }
    return all;
  }
  bool moved() { return std::exchange(moved_, false); }

 private:
  bool remove(int directory, const char* name, unsigned char type, int depth) {
    if (type != DT_DIR) {
      if (::unlinkat(directory, name, 0) == 0 || errno == ENOENT) return true;
      if (errno != EACCES && errno != EPERM) return false;
      ::fchmod(directory, 0700);  // a read-only directory
      return ::unlinkat(directory, name, 0) == 0;
    }
    if (::unlinkat(directory, name, AT_REMOVEDIR) == 0) return true;
    if (errno == EACCES || errno == EPERM) ::fchmod(directory, 0700);
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd inner(::openat(directory, name, kFlags));
    if (!inner && errno == EACCES && ::fchmodat(directory, name, 0700, 0) == 0) {
      inner = UniqueFd(::openat(directory, name, kFlags));
    }
    if (!inner) return false;
    if (depth >= kDeep) {
      const std::string up = ".removed-" + std::to_string(++moves_);
      if (::renameat(directory, name, root_, up.c_str()) == 0) return moved_ = true;
    }
    clear(inner.get(), depth + 1);
    return ::unlinkat(directory, name, AT_REMOVEDIR) == 0;
  }

  int root_;
  int moves_ = 0;
  bool moved_ = false;
};

}  // namespace

void throw_errno(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

UniqueFd open_root(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw_errno(path.string());
  return fd;
}

UniqueFd open_below(int root, const std::string& relative) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const char* path = relative.empty() ? "." : relative.c_str();
  struct open_how how = {};
  how.flags = kFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how)));
  // Kernels before 5.6, and seccomp filters of that time: only the last component is checked then; the walk has seen
  // the others as directories.
  if (!fd && (errno == ENOSYS || errno == EPERM)) fd = UniqueFd(::openat(root, path, kFlags));
  if (!fd) throw_errno(relative);
  return fd;
}

std::vector<Name> read_directory(int directory) {
  const auto stream = stream_of(directory);
  if (!stream) throw_errno("cannot read a directory");
  std::vector<Name> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    if (!is_dots(entry->d_name)) names.push_back({entry->d_name, type_of(directory, *entry)});
  }
  return names;
}

std::string read_link(int directory, const char* name) {
  std::array<char, PATH_MAX> target = {};
  const ssize_t size = ::readlinkat(directory, name, target.data(), target.size());
  if (size < 0) throw_errno(name);
  return {target.data(), static_cast<std::size_t>(size)};
}

namespace {

// Whether the copy belongs to whom the original does.
bool give_to_owner(int out, const struct stat& info) {
  return info.st_uid == ::geteuid() || ::fchown(out, info.st_uid, info.st_gid) == 0;
}

}  // namespace

void FileCopier::copy(int from, const char* name, int to, const char* to_name) {
  constexpr int kIn = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  UniqueFd in(::openat(from, name, kIn));
  struct stat info = {};
  if (!in && errno == EACCES && ::fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
      ::fchmodat(from, name, kept_mode(info.st_mode), 0) == 0) {
    in = UniqueFd(::openat(from, name, kIn));
  }
  if (!in || ::fstat(in.get(), &info) != 0) throw_errno(name);
  const UniqueFd out(::openat(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) throw_errno(to_name);
  try {
    if (info.st_size > 0) copy_bytes(in.get(), out.get(), info);
    const std::array<timespec, 2> times = {info.st_atim, info.st_mtim};
    const mode_t mode = give_to_owner(out.get(), info) ? kept_mode(info.st_mode) : shared_mode(info.st_mode);
    if (::fchmod(out.get(), mode) != 0) throw_errno(to_name);
    ::futimens(out.get(), times.data());  // a build tool compares them; not worth failing for
  } catch (...) {
    ::unlinkat(to, to_name, 0);
    throw;
  }
}

void FileCopier::copy_bytes(int in, int out, const struct stat& info) {
  if (reflink_) {
    if (::ioctl(out, FICLONE, in) == 0) return;
    if (!refuses(errno)) throw_errno("cannot copy");
    reflink_ = false;
  }
  constexpr off_t kBlock = 512;  // of st_blocks, whatever the file system's
  if (info.st_blocks * kBlock < info.st_size) return copy_data(in, out, info.st_size);
  copy_range(in, out, std::numeric_limits<off_t>::max());
}

void FileCopier::copy_data(int in, int out, off_t size) {
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(in, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    off_t hole = data < 0 ? -1 : ::lseek(in, data, SEEK_HOLE);
    if (hole < 0) hole = size;  // a file system that does not know
    const off_t begin = std::max(data, at);
    if (::lseek(in, begin, SEEK_SET) < 0 || ::lseek(out, begin, SEEK_SET) < 0) throw_errno("cannot copy");
    copy_range(in, out, hole - begin);
    at = hole;
  }
  if (::ftruncate(out, size) != 0) throw_errno("cannot copy");
}

void FileCopier::copy_range(int in, int out, off_t most) {
  constexpr off_t kMost = off_t{1} << 30;
  while (in_kernel_ && most > 0) {
    const ssize_t done =
        ::copy_file_range(in, nullptr, out, nullptr, static_cast<std::size_t>(std::min(most, kMost)), 0);
    if (done == 0) return;
    if (done > 0) most -= done;
    if (done > 0 || errno == EINTR) continue;
    if (!refuses(errno)) throw_errno("cannot copy");
    in_kernel_ = false;  // both descriptors stand where they stood: go on below
  }
  std::vector<char> buffer(most > 0 ? std::size_t{256} << 10 : 0);
  while (most > 0) {
    const auto wanted = static_cast<std::size_t>(std::min(most, static_cast<off_t>(buffer.size())));
    const ssize_t got = ::read(in, buffer.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read");
    if (got == 0) return;
    most -= got;
    for (ssize_t done = 0; done < got;) {
      const ssize_t wrote = ::write(out, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (wrote < 0 && errno != EINTR) throw_errno("cannot write");
      done += std::max<ssize_t>(wrote, 0);
    }
  }
}

bool remove_at(int directory, const char* name) noexcept {
  try {
    if (::unlinkat(directory, name, 0) == 0 || errno == ENOENT) return true;
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd root(::openat(directory, name, kFlags));
    if (!root && errno == EACCES && ::fchmodat(directory, name, 0700, 0) == 0) {
      root = UniqueFd(::openat(directory, name, kFlags));
    }
    if (!root) return errno == ENOENT;
    Removal removal(root.get());
    do {
      removal.clear(root.get(), 0);
    } while (removal.moved());
    return ::unlinkat(directory, name, AT_REMOVEDIR) == 0;
  } catch (...) {
    return false;
  }
}

}  // namespace executors
