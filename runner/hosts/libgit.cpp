#include "runner/hosts/libgit.h"

#include <fmt/format.h>

#include <array>
#include <system_error>

namespace runner::git {
namespace fs = std::filesystem;

// Once per process, at the first use; never shut down, since threads may still be at it.
void set_up() {
  static const bool done = [] {
    git_libgit2_init();
    // We only read, and nothing a repository configures is run (libgit2 runs no hooks, filters or pagers on reading):
    // a repository of another user, as root or in a container, is no danger.
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    // Extensions that do not change what we read.
    std::array<const char*, 4> harmless = {"worktreeconfig", "partialclone", "preciousobjects", "relativeworktrees"};
    git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, harmless.data(), harmless.size());
    return true;
  }();
  (void)done;
}

std::string last_words() {
  const git_error* error = git_error_last();
  return error != nullptr && error->message != nullptr ? error->message : "unknown error";
}

void check(int code, std::string_view what, std::string_view mend) {
  if (code < 0) {
    throw GitError(fmt::format("{}: {}", what, last_words()), std::string(mend));
  }
}

std::optional<Opened> open(const fs::path& project_dir) {
  set_up();
  std::error_code error;
  const fs::path project = fs::canonical(project_dir, error);
  if (error) {
    throw GitError(fmt::format("cannot open the project {}: {}", project_dir.string(), error.message()));
  }
  Opened opened;
  const int code = git_repository_open_ext(into(opened.repository), project.c_str(), 0, nullptr);
  if (code == GIT_ENOTFOUND) {
    return std::nullopt;
  }
  if (code == GIT_EOWNER) {
    throw GitError(fmt::format("the repository around {} belongs to another user", project.string()),
                   fmt::format("git config --global --add safe.directory {}", project.string()));
  }
  check(code, fmt::format("cannot open the git repository around {}", project.string()),
        "`git status` there says more; a repository with SHA-256 objects or reftables cannot be read yet");
  const char* work_tree = git_repository_workdir(opened.repository.get());
  if (work_tree == nullptr) {
    throw GitError(fmt::format("{} is a bare repository: it has no working tree", project.string()),
                   "clone it, or make a worktree with `git worktree add`");
  }
  opened.work_tree = fs::canonical(work_tree, error);
  const fs::path below = project.lexically_relative(opened.work_tree);
  if (error || below.empty() || *below.begin() == "..") {
    return std::nullopt;  // core.worktree points elsewhere
  }
  if (below != ".") {
    opened.prefix = below.string() + "/";
    int ignored = 0;
    if (git_ignore_path_is_ignored(&ignored, opened.repository.get(), below.c_str()) == 0 && ignored != 0) {
      return std::nullopt;  // a project of its own that happens to lie there, below build/ say
    }
  }
  return opened;
}

std::string hex(const git_oid* id) {
  std::array<char, GIT_OID_HEXSZ + 1> text{};
  git_oid_tostr(text.data(), text.size(), id);
  return text.data();
}

std::optional<Commit> find_commit(git_repository* repository, std::string_view revision) {
  if (revision.empty() && git_repository_head_unborn(repository) == 1) {
    return std::nullopt;
  }
  const std::string name = revision.empty() ? "HEAD" : std::string(revision);
  const auto find = [&](const std::string& spec, Object& object) {
    return spec.find('\0') == std::string::npos ? git_revparse_single(into(object), repository, spec.c_str()) : -1;
  };
  Object object;
  int code = find(name, object);
  if (code < 0) {
    code = find("origin/" + name, object);  // a branch that was not checked out yet
  }
  Object commit;
  if (code == 0) {
    code = git_object_peel(into(commit), object.get(), GIT_OBJECT_COMMIT);
  }
  if (code < 0) {
    throw NoSuchCommit(fmt::format("there is no commit {} in {}", name, git_repository_path(repository)),
                       git_repository_is_shallow(repository) == 1
                           ? "the clone is shallow: `git fetch --unshallow` gets the rest"
                           : "`git fetch` first, or name another; `git log --oneline --all` lists them");
  }
  return Commit(reinterpret_cast<git_commit*>(commit.release()));
}

Tree tree_at(git_repository* repository, git_commit* commit, const std::string& prefix) {
  Tree tree;
  check(git_commit_tree(into(tree), commit), "cannot read the commit's tree");
  if (prefix.empty()) {
    return tree;
  }
  git_tree_entry* entry = nullptr;
  if (git_tree_entry_bypath(&entry, tree.get(), prefix.substr(0, prefix.size() - 1).c_str()) != 0) {
    return nullptr;
  }
  const Handle<git_tree_entry, git_tree_entry_free> owned(entry);
  Tree below;
  if (git_tree_entry_type(entry) != GIT_OBJECT_TREE ||
      git_tree_lookup(into(below), repository, git_tree_entry_id(entry)) != 0) {
    return nullptr;
  }
  return below;
}

}  // namespace runner::git

namespace runner {

std::string git_library_version() {
  int major = 0, minor = 0, patch = 0;
  git_libgit2_version(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace runner
