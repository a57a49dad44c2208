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

// The snapshot's modes: what any user of a container can work with.
constexpr mode_t kDirectoryMode = 0777;
constexpr mode_t normal_mode(mode_t mode) { return (mode & 0111) != 0 ? 0777 : 0666; }

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
  // Makes the new file `to_name` with a normal mode and the times of the old one.
  void copy(int from, const char* name, int to, const char* to_name);

 private:
  void copy_bytes(int in, int out);
  std::atomic<bool> reflink_ = true, in_kernel_ = true;
};

// Removes `name` in `directory` with all below it; false when something is left. Follows no link.
bool remove_at(int directory, const char* name) noexcept;

}  // namespace executors
