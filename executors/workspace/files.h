// Small file operations by directory descriptor, for the sources of this folder. They throw std::system_error.
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "executors/unique_fd.h"

namespace executors {

[[noreturn]] void throw_errno(const std::string& what);  // from errno

// What any user of a container can work in.
constexpr mode_t kDirectoryMode = 0777;
// What is kept of a file's mode, as GitLab's archives do: who may do what. Its owner may always read it, because the
// runner must; set-user-ID and the like go: the layers lie on this host, where everybody could run what is in them.
constexpr mode_t kept_mode(mode_t mode) { return (mode & 0777) | 0400; }
// The mode of a file that cannot stay its owner's: whoever that was may do with it what they could, and so may others.
constexpr mode_t shared_mode(mode_t mode) { return ((kept_mode(mode) >> 6) & 7) * 0111; }

// Opens the directory `relative` ("" is the root itself) below `root` without following any link.
UniqueFd open_below(int root, const std::string& relative);
UniqueFd open_root(const std::filesystem::path&);

struct Name {
  std::string name;
  unsigned char type = DT_UNKNOWN;  // never DT_UNKNOWN when it comes from read_directory
};
std::vector<Name> read_directory(int directory);

inline std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

std::string read_link(int directory, const char* name);

// Copies regular files: by reflink, else in the kernel, else through memory; remembers what the file systems refuse.
// Safe to share between threads.
class FileCopier {
 public:
  // Makes the new file `to_name` with the mode, the times and, where that may be given, the owner of the old one. What
  // is not on the disk of a sparse file is not there in its copy either.
  void copy(int from, const char* name, int to, const char* to_name);

 private:
  void copy_bytes(int in, int out, const struct stat& info);
  void copy_data(int in, int out, off_t size);
  // From where the descriptors stand: `most` bytes, or to the end.
  void copy_range(int in, int out, off_t most);
  std::atomic<bool> reflink_ = true, in_kernel_ = true;
};

// Removes `name` in `directory` with all below it; false when something is left. Follows no link.
bool remove_at(int directory, const char* name) noexcept;

}  // namespace executors
