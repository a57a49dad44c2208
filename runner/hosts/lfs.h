// Git LFS (git-lfs' docs/spec.md): a commit holds a small pointer file in place of the large one, which lies in the
// clone below lfs/objects. Only read here, and never fetched.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "runner/hosts/libgit.h"

namespace runner {

struct LfsPointer {
  std::string oid;  // SHA-256, 64 hexadecimal digits
  std::uint64_t size = 0;
};
// Absent when the text is no pointer.
std::optional<LfsPointer> read_pointer(std::string_view text);

// The files that Git LFS keeps of one commit of one repository.
class Lfs {
 public:
  // `attributes`: whether a .gitattributes of the commit speaks of LFS; without, nothing is ever looked up.
  Lfs(git_repository*, const git_oid& commit, bool attributes);
  // The pointer that `path` is, when it is one by its attributes and its content.
  std::optional<LfsPointer> pointer(const std::string& path, const git_oid& blob) const;
  // Where the file itself lies; absent when it is not in this clone.
  std::optional<std::filesystem::path> find(const LfsPointer&) const;

 private:
  git_repository* repository_;
  git_oid commit_;
  bool attributes_;
  std::filesystem::path objects_;
};

}  // namespace runner
