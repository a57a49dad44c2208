#include "runner/hosts/snapshot_items.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "runner/hosts/lfs.h"
#include "runner/hosts/libgit.h"
#include "runner/hosts/sources.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using git::check;
using git::into;

// The clock of a file system may stand still this long; see working_tree_items.
constexpr std::int64_t racy_ns = 12'000'000;

std::int64_t wall_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

bool harmless(std::string_view path) {
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    const bool git = part.size() == 4 && ::strncasecmp(part.data(), ".git", 4) == 0;
    if (part.empty() || part == "." || part == ".." || git) {
      return false;
    }
    at = end + 1;
  }
  return true;
}

SnapshotItem empty_directory(std::string path) {
  SnapshotItem item;
  item.path = std::move(path);
  item.stamp = "directory";
  item.directory = true;
  return item;
}

std::string mend(const std::string& path, unsigned level) {
  return level == 0 ? fmt::format("`git submodule update --init {}` gets it", path)
                    : std::string("`git submodule update --init --recursive` gets it");
}

// Where a submodule's repository is to be below .git/modules: where it is in the clone, or else by its path.
std::string module_name(const fs::path& common_dir, const fs::path& git_dir, const std::string& path) {
  const fs::path below = (git_dir / "").parent_path().lexically_relative((common_dir / "modules").lexically_normal());
  return below.empty() || *below.begin() == ".." || *below.begin() == "." ? path : below.string();
}

// The tree of a commit with those of its submodules.
class CommitFiles {
 public:
  CommitFiles(const SourceChoice& choice, fs::path common_dir) : choice_(choice), common_dir_(std::move(common_dir)) {}

  // `place`: of the repository below the project; `prefix`: the part of it that counts.
  void add(git_repository* repository, git_commit* commit, const std::string& prefix, const std::string& place,
           unsigned level) {
    const git::Tree tree = git::tree_at(repository, commit, prefix);
    if (!tree) {
      return;
    }
    Walk walk{*this, prefix, place, repositories_.size(), {}, false};
    repositories_.emplace_back(git_repository_path(repository));
    const std::size_t first = items_.size();
    check(git_tree_walk(tree.get(), GIT_TREEWALK_PRE, &Walk::visit, &walk), "cannot read the commit's tree");
    if (choice_.lfs && walk.attributes) {
      smudge(repository, commit, first);
    }
    if (!walk.links.empty()) {
      add_submodules(repository, commit, walk, level);
    }
  }

  SnapshotItems take() {
    std::ranges::sort(items_, {}, &SnapshotItem::path);
    const auto same = [](const SnapshotItem& a, const SnapshotItem& b) { return a.path == b.path; };
    items_.erase(std::unique(items_.begin(), items_.end(), same), items_.end());
    if (!missing_lfs_.empty()) {
      constexpr std::size_t told = 3;
      const std::size_t count = missing_lfs_.size();
      missing_lfs_.resize(std::min(count, told));
      warnings_.push_back(
          fmt::format("{} file{} of Git LFS {} not here, and stay{} pointers: {}{}; `git lfs fetch --all` gets them",
                      count, count == 1 ? "" : "s", count == 1 ? "is" : "are", count == 1 ? "s" : "",
                      fmt::join(missing_lfs_, ", "), count > told ? " …" : ""));
    }
    return {std::move(items_), std::move(repositories_), std::move(submodules_), std::move(warnings_)};
  }

 private:
  struct Link {
    std::string path;  // below the prefix
    git_oid commit;
  };
  struct Walk {
    CommitFiles& files;
    const std::string& prefix;
    const std::string& place;
    std::size_t repository;
    std::vector<Link> links;
    bool attributes;  // there is a .gitattributes

    static int visit(const char* root, const git_tree_entry* entry, void* payload) {
      Walk& walk = *static_cast<Walk*>(payload);
      const std::string below = std::string(root) + git_tree_entry_name(entry);
      const git_object_t type = git_tree_entry_type(entry);
      if (!harmless(below)) {
        return 0;
      }
      if (type == GIT_OBJECT_COMMIT) {
        walk.links.push_back({below, *git_tree_entry_id(entry)});
      }
      if (type != GIT_OBJECT_BLOB) {
        return 0;
      }
      SnapshotItem item;
      item.path = walk.place + below;
      const git_filemode_t mode = git_tree_entry_filemode(entry);
      item.symlink = mode == GIT_FILEMODE_LINK;
      item.executable = mode == GIT_FILEMODE_BLOB_EXECUTABLE;
      item.tracked = true;
      item.blob = *git_tree_entry_id(entry);
      item.repository = walk.repository;
      item.name = walk.prefix + below;
      item.stamp = fmt::format("{} {:o}", git::hex(&item.blob), static_cast<unsigned>(mode));
      walk.attributes = walk.attributes || below == ".gitattributes" || below.ends_with("/.gitattributes");
      walk.files.items_.push_back(std::move(item));
      return 0;
    }
  };

  void smudge(git_repository* repository, git_commit* commit, std::size_t first) {
    const Lfs lfs(repository, *git_commit_id(commit), true);
    for (std::size_t i = first; i < items_.size(); ++i) {
      SnapshotItem& item = items_[i];
      const std::optional<LfsPointer> pointer = item.symlink ? std::nullopt : lfs.pointer(item.name, item.blob);
      if (!pointer) {
        continue;
      }
      if (auto file = lfs.find(*pointer)) {
        item.lfs = std::move(*file);
        item.stamp += " lfs";
      } else {
        missing_lfs_.push_back(item.path);
      }
    }
  }

  void add_submodules(git_repository* repository, git_commit* commit, const Walk& walk, unsigned level) {
    const auto names = submodule_names(gitmodules(repository, commit));
    for (const Link& link : walk.links) {
      const std::string path = walk.place + link.path;
      if (!wants_submodule(choice_, path, level)) {
        items_.push_back(empty_directory(path));
        continue;
      }
      const auto named = names.find(walk.prefix + link.path);
      const std::string& name = named == names.end() ? path : named->second;
      const git::Repository module = open_submodule(repository, name, walk.prefix + link.path);
      git::Commit there;
      if (!module) {
        warnings_.push_back(
            fmt::format("the submodule {} is not here, its directory is empty: {}", path, mend(path, level)));
        items_.push_back(empty_directory(path));
      } else if (git_commit_lookup(into(there), module.get(), &link.commit) != 0) {
        warnings_.push_back(
            fmt::format("the submodule {} has no commit {} here, its directory is empty: `git -C {} fetch` gets it",
                        path, git::hex(&link.commit).substr(0, 8), path));
        items_.push_back(empty_directory(path));
      } else {
        const fs::path git_dir = git_repository_path(module.get());
        submodules_.push_back({path, module_name(common_dir_, git_dir, path), git_dir, git::hex(&link.commit)});
        add(module.get(), there.get(), "", path + "/", level + 1);
      }
    }
  }

  static std::string gitmodules(git_repository* repository, git_commit* commit) {
    git::Tree tree;
    git_tree_entry* entry = nullptr;
    git::Blob blob;
    if (git_commit_tree(into(tree), commit) != 0 || git_tree_entry_bypath(&entry, tree.get(), ".gitmodules") != 0) {
      return {};
    }
    const git::Handle<git_tree_entry, git_tree_entry_free> owned(entry);
    if (git_blob_lookup(into(blob), repository, git_tree_entry_id(entry)) != 0) {
      return {};
    }
    return {static_cast<const char*>(git_blob_rawcontent(blob.get())),
            static_cast<std::size_t>(git_blob_rawsize(blob.get()))};
  }

  const SourceChoice& choice_;
  const fs::path common_dir_;  // of the project's repository
  std::vector<SnapshotItem> items_;
  std::vector<fs::path> repositories_;
  std::vector<SubmoduleCopy> submodules_;
  std::vector<std::string> warnings_, missing_lfs_;
};

// Decides about the submodules that a walk over the working tree meets.
class SubmodulesMet {
 public:
  SubmodulesMet(const SourceChoice& choice, const fs::path& project, SnapshotItems& into)
      : choice_(choice), project_(project), into_(into) {
    if (const std::optional<git::Opened> opened = git::open(project)) {
      common_dir_ = git_repository_commondir(opened->repository.get());
    }
  }

  bool operator()(const std::string& path, unsigned level, bool checked_out) {
    if (!wants_submodule(choice_, path, level)) {
      return false;
    }
    if (!checked_out) {
      into_.warnings.push_back(
          fmt::format("the submodule {} is not checked out, its directory is empty: {}", path, mend(path, level)));
      return false;
    }
    if (const std::optional<git::Opened> opened = git::open(project_ / path)) {
      const fs::path git_dir = git_repository_path(opened->repository.get());
      into_.submodules.push_back({path, module_name(common_dir_, git_dir, path), git_dir, {}});
    }
    return true;
  }

 private:
  const SourceChoice& choice_;
  const fs::path& project_;
  SnapshotItems& into_;
  fs::path common_dir_;
};

}  // namespace

SnapshotItems working_tree_items(const fs::path& project, const SnapshotOptions& options) {
  SnapshotItems result;
  if (!options.choice.checkout) {
    return result;
  }
  std::int64_t newest = 0;
  const SubmoduleDecision decide = SubmodulesMet(options.choice, project, result);
  for (SourceFile& file : walk_sources(project, options.except, decide)) {
    if (S_ISDIR(file.mode)) {
      result.items.push_back(empty_directory(std::move(file.path)));
      continue;
    }
    SnapshotItem item;
    item.symlink = S_ISLNK(file.mode);
    item.executable = !item.symlink && (file.mode & 0111U) != 0;
    item.tracked = file.tracked;
    item.stamp = fmt::format("{} {} {} {} {} {:o}", file.dev, file.ino, file.size, file.mtime, file.ctime, file.mode);
    item.path = std::move(file.path);
    newest = std::max(newest, file.ctime);
    result.items.push_back(std::move(item));
  }
  // A file changed within the last tick of the file system's clock may change again without its times telling. Once
  // the tick is over, every further change tells, so what is copied from now on is what the stamps say.
  const std::int64_t age = wall_ns() - newest;
  if (age >= 0 && age < racy_ns) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(racy_ns - age));
  }
  return result;
}

SnapshotItems commit_items(const fs::path& project, const SnapshotOptions& options) {
  const std::optional<git::Opened> opened = git::open(project);
  if (!opened) {
    throw GitError(fmt::format("{} is no git repository: there is no commit {}", project.string(), options.revision),
                   "leave --ref out to take the files as they are");
  }
  git_repository* repository = opened->repository.get();
  const std::optional<git::Commit> commit = git::find_commit(repository, options.revision);
  if (!options.choice.checkout) {
    return {};
  }
  CommitFiles files(options.choice, git_repository_commondir(repository));
  files.add(repository, commit->get(), opened->prefix, "", 0);
  return files.take();
}

}  // namespace runner
