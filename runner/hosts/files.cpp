#include "runner/hosts/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

#include "runner/hosts/git.h"

namespace runner::files {

namespace fs = std::filesystem;

namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) {
      ::close(number_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

void copy_bytes(int from, int to, const fs::path& source, const fs::path& target) {
  std::array<char, 64 * 1024> buffer{};
  for (;;) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      fail("read", source, errno);
    }
    if (got == 0) {
      return;
    }
    for (ssize_t done = 0; done < got;) {
      const ssize_t wrote = ::write(to, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (wrote < 0 && errno != EINTR) {
        fail("write", target, errno);
      }
      done += wrote > 0 ? wrote : 0;
    }
  }
}

int create(const fs::path& to, unsigned mode) {
  const int file = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file < 0) {
    fail("make", to, errno);
  }
  ::fchmod(file, mode);
  return file;
}

}  // namespace

void fail(std::string_view what, const fs::path& path, int error) {
  std::string mend;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    mend = "free some space on that disk, for example with `runner gc`";
  } else if (error == EACCES || error == EPERM) {
    mend = "make it readable for this user, or let git ignore it";
  }
  throw GitError(fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(error)), mend);
}

void make_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), directory_mode) == 0) {
    ::chmod(path.c_str(), directory_mode);
    return;
  }
  if (errno == ENOENT && path.has_parent_path()) {
    make_directory(path.parent_path());
    make_directory(path);
  } else if (errno != EEXIST) {
    fail("make", path, errno);
  }
}

bool copy_file(const fs::path& from, const fs::path& to, unsigned mode) {
  const Descriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (source.get() < 0) {
    if (errno == ENOENT || errno == ELOOP) {
      return false;
    }
    fail("read", from, errno);
  }
  struct stat status {};
  if (::fstat(source.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return false;
  }
  const Descriptor target(create(to, mode));
  if (status.st_size == 0) {
    return true;
  }
  if (::ioctl(target.get(), FICLONE, source.get()) == 0) {
    return true;
  }
  for (bool first = true;; first = false) {
    const ssize_t copied = ::copy_file_range(source.get(), nullptr, target.get(), nullptr, std::size_t{1} << 30U, 0);
    if (copied == 0) {
      // Some file systems answer 0 for what they cannot copy so.
      if (first) {
        copy_bytes(source.get(), target.get(), from, to);
      }
      return true;
    }
    if (copied < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO) {
        fail("write", to, errno);
      }
      copy_bytes(source.get(), target.get(), from, to);
      return true;
    }
  }
}

void write_file(const fs::path& path, std::string_view bytes, unsigned mode) {
  const Descriptor file(create(path, mode));
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(file.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno != EINTR) {
      fail("write", path, errno);
    }
    bytes.remove_prefix(wrote > 0 ? static_cast<std::size_t>(wrote) : 0);
  }
}

void make_symlink(const std::string& target, const fs::path& path) {
  if (::symlink(target.c_str(), path.c_str()) != 0) {
    fail("make", path, errno);
  }
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool link_file(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) {
    return true;
  }
  if (errno == ENOSPC || errno == EDQUOT) {
    fail("make", to, errno);
  }
  return false;
}

}  // namespace runner::files
