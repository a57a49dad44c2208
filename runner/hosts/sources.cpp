#include "runner/hosts/sources.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>
#include <unordered_set>

#include "runner/hosts/ignore_exceptions.h"
#include "runner/hosts/libgit.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using git::check;
using git::into;

// What the index of one repository says, below the project.
struct Tracked {
  std::unordered_set<std::string> files;
  std::unordered_set<std::string> directories;  // those with tracked files in them
  std::unordered_set<std::string> submodules;
};

Tracked read_index(const git::Opened& opened) {
  Tracked tracked;
  git::Index index;
  check(git_repository_index(into(index), opened.repository.get()), "cannot read the git index");
  const std::size_t count = git_index_entrycount(index.get());
  tracked.files.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const git_index_entry* entry = git_index_get_byindex(index.get(), i);
    const std::string_view full = entry->path;
    if (!full.starts_with(opened.prefix)) {
      continue;
    }
    std::string path(full.substr(opened.prefix.size()));
    for (std::size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0;
         slash = path.rfind('/', slash - 1)) {
      if (!tracked.directories.insert(path.substr(0, slash)).second) {
        break;
      }
    }
    (entry->mode == GIT_FILEMODE_COMMIT ? tracked.submodules : tracked.files).insert(std::move(path));
  }
  return tracked;
}

// One walk over the directories; git is asked only about what it does not track. (libgit2's status would hash every
// file whose times do not fit the index, at each run.)
class Walker {
 public:
  Walker(fs::path except, const SubmoduleDecision& decide, std::vector<SourceFile>& out,
         std::vector<std::string>* directories)
      : except_(std::move(except)), decide_(decide), out_(out), directories_(directories) {
    std::error_code error;
    except_is_directory_ = fs::is_directory(except_, error);
  }

  // `place`: of this repository below the outermost project, "" or "sub/".
  void walk_repository(const fs::path& project, const std::string& place, bool all_tracked, unsigned level = 0) {
    const std::optional<git::Opened> opened = git::open(project);
    const Tracked tracked = opened ? read_index(*opened) : Tracked{};
    IgnoreExceptions exceptions(project);
    const Repository repository{opened ? &*opened : nullptr, tracked, exceptions, project, place, all_tracked, level};
    descend(repository, "");
  }

 private:
  struct Repository {
    const git::Opened* opened;  // null: no git, all files are taken
    const Tracked& tracked;
    IgnoreExceptions& exceptions;
    const fs::path& project;
    const std::string& place;
    bool count_as_tracked;  // false within an untracked repository
    unsigned level;         // how many repositories are around it
  };

  bool excluded(const std::string& path) const {
    const std::string& except = except_.native();
    if (except.empty() || !path.starts_with(except)) {
      return false;
    }
    return path.size() == except.size() || path[except.size()] == '/' || !except_is_directory_;
  }

  static bool ignored(const Repository& repository, const std::string& path, bool directory) {
    int answer = 0;
    return repository.opened != nullptr &&
           git_ignore_path_is_ignored(&answer, repository.opened->repository.get(),
                                      (repository.opened->prefix + path).c_str()) == 0 &&
           answer != 0 && !repository.exceptions.take_out(path, directory);
  }

  void descend(const Repository& repository, const std::string& prefix) {
    const fs::path directory = repository.project / prefix;
    if (directories_ != nullptr) {
      directories_->push_back(repository.place + prefix);
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
    if (!stream) {
      if (errno == ENOENT) {
        return;
      }
      throw GitError(fmt::format("cannot read the directory {}: {}", directory.string(), std::strerror(errno)),
                     "make it readable, or let git ignore it");
    }
    const int handle = ::dirfd(stream.get());
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == ".." || name == ".git") {
        continue;
      }
      visit(repository, handle, prefix + std::string(name), entry->d_name, entry->d_type);
    }
  }

  void visit(const Repository& repository, int handle, const std::string& path, const char* name, unsigned char type) {
    struct stat status {};
    bool known = false;
    if (type == DT_UNKNOWN || type == DT_REG || type == DT_LNK) {
      if (::fstatat(handle, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return;  // gone meanwhile
      }
      known = true;
    }
    if (!except_.empty() && excluded((repository.project / path).native())) {
      return;
    }
    if (type == DT_DIR || (known && S_ISDIR(status.st_mode))) {
      visit_directory(repository, path);
      return;
    }
    if (!known || !(S_ISREG(status.st_mode) || S_ISLNK(status.st_mode))) {
      return;
    }
    const bool tracked = repository.tracked.files.contains(path);
    if (!tracked && ignored(repository, path, false)) {
      return;
    }
    SourceFile file;
    file.path = repository.place + path;
    file.dev = status.st_dev;
    file.ino = status.st_ino;
    file.size = static_cast<std::uint64_t>(status.st_size);
    file.mtime = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
    file.ctime = status.st_ctim.tv_sec * 1'000'000'000 + status.st_ctim.tv_nsec;
    file.mode = status.st_mode;
    file.tracked = tracked && repository.count_as_tracked;
    out_.push_back(std::move(file));
  }

  void visit_directory(const Repository& repository, const std::string& path) {
    const bool submodule = repository.tracked.submodules.contains(path);
    if (!submodule && !repository.tracked.directories.contains(path) && ignored(repository, path, true)) {
      return;
    }
    std::error_code error;
    const bool checked_out =
        repository.opened != nullptr && fs::exists(fs::symlink_status(repository.project / path / ".git", error));
    if (submodule && decide_ && !(decide_(repository.place + path, repository.level, checked_out) && checked_out)) {
      SourceFile empty;
      empty.path = repository.place + path;
      empty.mode = S_IFDIR;
      out_.push_back(std::move(empty));
      return;
    }
    if (checked_out) {
      walk_repository(repository.project / path, repository.place + path + "/",
                      submodule && repository.count_as_tracked, repository.level + 1);
      return;
    }
    descend(repository, path + "/");
  }

  fs::path except_;
  bool except_is_directory_ = false;
  const SubmoduleDecision& decide_;
  std::vector<SourceFile>& out_;
  std::vector<std::string>* directories_;
};

}  // namespace

std::vector<SourceFile> walk_sources(const fs::path& project_dir, const fs::path& except,
                                     const SubmoduleDecision& decide, std::vector<std::string>* directories) {
  std::error_code error;
  const fs::path project = fs::canonical(project_dir, error);
  if (error) {
    throw GitError(fmt::format("cannot open the project {}: {}", project_dir.string(), error.message()));
  }
  fs::path own = except.empty() ? fs::path() : fs::weakly_canonical(except, error);
  if (!own.empty() && (own == project || project.native().starts_with(own.native() + "/"))) {
    own.clear();  // the whole project would be left out
  }
  std::vector<SourceFile> files;
  Walker(own, decide, files, directories).walk_repository(project, "", true);
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

SourceList source_list(const fs::path& project_dir, const fs::path& except) {
  SourceList list;
  for (SourceFile& file : walk_sources(project_dir, except)) {
    if (file.tracked) {
      list.tracked.push_back(file.path);
    }
    list.paths.push_back(std::move(file.path));
  }
  return list;
}

std::vector<std::string> commit_paths(const fs::path& project_dir, std::string_view revision) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  std::vector<std::string> paths;
  if (!opened) {
    return paths;
  }
  const std::optional<git::Commit> commit = git::find_commit(opened->repository.get(), revision);
  const git::Tree tree = commit ? git::tree_at(opened->repository.get(), commit->get(), opened->prefix) : nullptr;
  if (!tree) {
    return paths;
  }
  check(git_tree_walk(
            tree.get(), GIT_TREEWALK_PRE,
            [](const char* root, const git_tree_entry* entry, void* payload) {
              if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB) {
                static_cast<std::vector<std::string>*>(payload)->push_back(std::string(root) +
                                                                           git_tree_entry_name(entry));
              }
              return 0;
            },
            &paths),
        "cannot read the commit's tree");
  std::ranges::sort(paths);
  return paths;
}

std::optional<std::string> file_at(const fs::path& project_dir, std::string_view revision, const fs::path& relative) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  if (!opened) {
    throw GitError(fmt::format("{} is no git repository: there is no commit {}", project_dir.string(), revision));
  }
  const std::optional<git::Commit> commit = git::find_commit(opened->repository.get(), revision);
  const git::Tree tree = commit ? git::tree_at(opened->repository.get(), commit->get(), opened->prefix) : nullptr;
  git_tree_entry* raw = nullptr;
  if (!tree || git_tree_entry_bypath(&raw, tree.get(), relative.c_str()) != 0) {
    return std::nullopt;
  }
  const git::Handle<git_tree_entry, git_tree_entry_free> entry(raw);
  git::Blob blob;
  if (git_tree_entry_type(raw) != GIT_OBJECT_BLOB ||
      git_blob_lookup(into(blob), opened->repository.get(), git_tree_entry_id(raw)) != 0) {
    return std::nullopt;
  }
  return std::string(static_cast<const char*>(git_blob_rawcontent(blob.get())),
                     static_cast<std::size_t>(git_blob_rawsize(blob.get())));
}

namespace {

// What a branch changed: from where it left `base` on. A base that HEAD is an ancestor of is compared as it is.
git::Commit comparison_base(git_repository* repository, git_commit* base, git_commit* head) {
  git_oid common;
  git::Commit merge_base;
  if (head != nullptr && git_merge_base(&common, repository, git_commit_id(base), git_commit_id(head)) == 0 &&
      git_oid_equal(&common, git_commit_id(head)) == 0 &&
      git_commit_lookup(into(merge_base), repository, &common) == 0) {
    return merge_base;
  }
  check(git_commit_lookup(into(merge_base), repository, git_commit_id(base)), "cannot read the commit");
  return merge_base;
}

}  // namespace

std::string merge_base(const fs::path& project_dir, const std::string& branch, std::string_view revision) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  if (!opened || branch.empty()) {
    return {};
  }
  git_repository* repository = opened->repository.get();
  const auto peeled = [&](const std::string& name) {
    git::Object object;
    git::Object commit;
    if (git_revparse_single(into(object), repository, name.c_str()) == 0) {
      git_object_peel(into(commit), object.get(), GIT_OBJECT_COMMIT);
    }
    return commit;
  };
  git::Object target = peeled("refs/remotes/origin/" + branch);
  if (!target) {  // not fetched, or no remote
    target = peeled("refs/heads/" + branch);
  }
  const std::optional<git::Commit> head = git::find_commit(repository, revision);
  git_oid common;
  if (!target || !head ||
      git_merge_base(&common, repository, git_object_id(target.get()), git_commit_id(head->get())) != 0) {
    return {};
  }
  return git::hex(&common);
}

std::optional<std::vector<std::string>> changed_paths(const fs::path& project_dir, std::string_view base,
                                                      std::string_view revision) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  if (!opened) {
    if (!base.empty()) {
      throw GitError(fmt::format("{} is no git repository: there is no commit {}", project_dir.string(), base));
    }
    return std::nullopt;
  }
  git_repository* repository = opened->repository.get();
  const std::optional<git::Commit> head = git::find_commit(repository, revision);
  git::Commit from;
  if (!base.empty()) {
    const std::optional<git::Commit> named = git::find_commit(repository, base);
    from = comparison_base(repository, named->get(), head ? head->get() : nullptr);
  } else if (!head || git_commit_parent(into(from), head->get(), 0) != 0) {
    return std::nullopt;  // the first commit, or a shallow clone's last
  }

  git::Tree from_tree;
  check(git_commit_tree(into(from_tree), from.get()), "cannot read the commit to compare with");
  git_diff_options options = GIT_DIFF_OPTIONS_INIT;
  options.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_RECURSE_UNTRACKED_DIRS | GIT_DIFF_INCLUDE_TYPECHANGE |
                  GIT_DIFF_DISABLE_PATHSPEC_MATCH;
  std::string below = opened->prefix;
  char* pathspec = below.data();
  if (!below.empty()) {
    options.pathspec = {&pathspec, 1};
  }
  git::Diff diff;
  if (revision.empty()) {
    check(git_diff_tree_to_workdir_with_index(into(diff), repository, from_tree.get(), &options),
          "cannot compare the working tree");
  } else {
    git::Tree to_tree;
    check(git_commit_tree(into(to_tree), head->get()), "cannot read the commit's tree");
    check(git_diff_tree_to_tree(into(diff), repository, from_tree.get(), to_tree.get(), &options),
          "cannot compare the commits");
  }
  std::set<std::string> paths;
  for (std::size_t i = 0; i < git_diff_num_deltas(diff.get()); ++i) {
    const git_diff_delta* delta = git_diff_get_delta(diff.get(), i);
    for (const char* path : {delta->old_file.path, delta->new_file.path}) {
      if (path != nullptr && std::string_view(path).starts_with(opened->prefix)) {
        paths.insert(path + opened->prefix.size());
      }
    }
  }
  return std::vector<std::string>(paths.begin(), paths.end());
}

}  // namespace runner
