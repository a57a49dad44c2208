// libgit2 enters here and nowhere else: handles that free themselves, errors as GitError.
// Used by the other files of this room only.
#pragma once

#include <git2.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runner/hosts/git.h"

namespace runner::git {

// One handle of libgit2; frees itself.
template <class T, void (*free)(T*)>
class Handle {
 public:
  Handle() = default;
  Handle(std::nullptr_t) {}  // NOLINT: as a pointer
  explicit Handle(T* raw) : raw_(raw) {}
  Handle(Handle&& other) noexcept : raw_(other.release()) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      raw_ = other.release();
    }
    return *this;
  }
  ~Handle() { reset(); }
  T* get() const { return raw_; }
  explicit operator bool() const { return raw_ != nullptr; }
  T* release() { return std::exchange(raw_, nullptr); }
  void reset() {
    if (raw_ != nullptr) {
      free(release());
    }
  }
  // Where libgit2 puts a new one.
  T** fill() {
    reset();
    return &raw_;
  }

 private:
  T* raw_ = nullptr;
};

using Repository = Handle<git_repository, git_repository_free>;
using Object = Handle<git_object, git_object_free>;
using Commit = Handle<git_commit, git_commit_free>;
using Tree = Handle<git_tree, git_tree_free>;
using Blob = Handle<git_blob, git_blob_free>;
using Reference = Handle<git_reference, git_reference_free>;
using Index = Handle<git_index, git_index_free>;
using Diff = Handle<git_diff, git_diff_free>;
using Config = Handle<git_config, git_config_free>;
using Tag = Handle<git_tag, git_tag_free>;

// `check(git_x_lookup(into(x), …), …)`
template <class T, void (*free)(T*)>
T** into(Handle<T, free>& handle) {
  return handle.fill();
}

// Before anything else of libgit2; may be called again. open() does.
void set_up();

// libgit2's own words for what went wrong last on this thread.
std::string last_words();
// Throws GitError `what: …` when `code` is an error.
void check(int code, std::string_view what, std::string_view mend = {});

// A project within a repository.
struct Opened {
  Repository repository;
  std::filesystem::path work_tree;  // resolved
  std::string prefix;               // the project below it: "" or "sub/dir/"
};
// Absent when there is none around `project_dir`, or the project is a directory that the repository ignores.
std::optional<Opened> open(const std::filesystem::path& project_dir);

// The commit `revision` names ("" is HEAD); absent for HEAD without commits. Throws for what is not there.
std::optional<Commit> find_commit(git_repository*, std::string_view revision);
std::string hex(const git_oid*);

// The tree of `commit` at `prefix`; null when the commit has no such directory.
Tree tree_at(git_repository*, git_commit*, const std::string& prefix);

}  // namespace runner::git
