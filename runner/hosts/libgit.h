// libgit2 enters here and nowhere else: handles that free themselves, errors as GitError.
// Used by the other files of this room only.
#pragma once

#include <git2.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runner/hosts/git.h"

namespace runner::git {

template <class T, void (*free)(T*)>
struct Free {
  void operator()(T* handle) const { free(handle); }
};
template <class T, void (*free)(T*)>
using Handle = std::unique_ptr<T, Free<T, free>>;

using Repository = Handle<git_repository, git_repository_free>;
using Object = Handle<git_object, git_object_free>;
using Commit = Handle<git_commit, git_commit_free>;
using Tree = Handle<git_tree, git_tree_free>;
using Blob = Handle<git_blob, git_blob_free>;
using Reference = Handle<git_reference, git_reference_free>;
using Index = Handle<git_index, git_index_free>;
using Diff = Handle<git_diff, git_diff_free>;
using Remote = Handle<git_remote, git_remote_free>;
using Config = Handle<git_config, git_config_free>;
using Tag = Handle<git_tag, git_tag_free>;

// Passes a pointer for libgit2 to fill: `check(git_x_lookup(into(x), …), …)`.
template <class H>
class Into {
 public:
  explicit Into(H& handle) : handle_(handle) {}
  ~Into() { handle_.reset(raw_); }
  Into(const Into&) = delete;
  Into& operator=(const Into&) = delete;
  operator typename H::pointer*() { return &raw_; }  // NOLINT: that is its purpose

 private:
  H& handle_;
  typename H::pointer raw_ = nullptr;
};
template <class H>
Into<H> into(H& handle) {
  return Into<H>(handle);
}

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
