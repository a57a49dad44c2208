#include "runner/hosts/git_copy.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "runner/hosts/files.h"
#include "runner/hosts/libgit.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using git::check;
using git::into;

// Settings that change what git shows of the same files.
constexpr const char* kept_settings[] = {"core.autocrlf", "core.eol", "core.symlinks", "core.ignorecase",
                                         "core.precomposeunicode"};

class GitCopy {
 public:
  // Of the project: with its remote.
  GitCopy(const git::Opened& opened, const GitCopyOptions& options)
      : GitCopy(opened.repository.get(), options.revision, options.depth) {
    whole_ = opened.prefix.empty();  // below the top the tree does not fit the index
    index_ = options.index && whole_;
    remote_ = read_git(opened.work_tree).remote_url;
  }
  GitCopy(git_repository* repository, std::string revision, unsigned depth)
      : repository_(repository),
        git_dir_(git_repository_path(repository_)),
        common_dir_(git_repository_commondir(repository_)),
        revision_(std::move(revision)),
        depth_(depth) {}

  bool whole() const { return whole_; }
  // Lines for the end of the configuration.
  void configure(const std::string& lines) { settings_ += lines; }

  std::string head() const {
    if (revision_.empty()) {
      return files::read_file(git_dir_ / "HEAD");
    }
    const std::optional<git::Commit> commit = git::find_commit(repository_, revision_);
    return commit ? git::hex(git_commit_id(commit->get())) + "\n" : std::string();
  }

  // The text of a packed-refs file; git::Reference of other worktrees are left out by libgit2 itself.
  std::string packed_refs() const {
    std::map<std::string, std::string> refs;
    git_reference_iterator* raw = nullptr;
    check(git_reference_iterator_new(&raw, repository_), "cannot read the refs");
    const git::Handle<git_reference_iterator, git_reference_iterator_free> each(raw);
    git::Reference reference;
    while (git_reference_next(into(reference), each.get()) == 0) {
      if (git_reference_type(reference.get()) != GIT_REFERENCE_DIRECT) {
        continue;
      }
      const git_oid* id = git_reference_target(reference.get());
      std::string line = git::hex(id);
      git::Object object, peeled;
      std::string below;
      if (std::string_view(git_reference_name(reference.get())).starts_with("refs/tags/") &&
          git_object_lookup(into(object), repository_, id, GIT_OBJECT_ANY) == 0 &&
          git_object_type(object.get()) == GIT_OBJECT_TAG &&
          git_object_peel(into(peeled), object.get(), GIT_OBJECT_ANY) == 0) {
        below = "^" + git::hex(git_object_id(peeled.get())) + "\n";
      }
      refs[git_reference_name(reference.get())] = line + "\n" + below;
    }
    std::string text = "# pack-refs with: peeled fully-peeled sorted \n";
    for (const auto& [name, lines] : refs) {
      text += lines.substr(0, 40) + " " + name + lines.substr(40);
    }
    return text;
  }

  std::string config() const {
    std::string text = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n";
    git::Config config, snapshot;
    if (git_repository_config(into(config), repository_) == 0 &&
        git_config_snapshot(into(snapshot), config.get()) == 0) {
      for (const std::string name : kept_settings) {
        const char* value = nullptr;
        if (git_config_get_string(&value, snapshot.get(), name.c_str()) == 0 && value != nullptr &&
            std::string_view(value).find_first_of("\n\"\\#;") == std::string_view::npos) {
          text += fmt::format("\t{} = {}\n", name.substr(name.find('.') + 1), value);
        }
      }
    }
    if (!remote_.empty() && remote_.find_first_of("\n\"\\") == std::string::npos) {
      text += fmt::format("[remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n", remote_);
    }
    return text + settings_;
  }

  // Where the history is cut: what git's `shallow` file holds besides.
  std::string boundary() const {
    std::string lines;
    const std::optional<git::Commit> head = depth_ == 0 ? std::nullopt : git::find_commit(repository_, revision_);
    if (!head) {
      return lines;
    }
    std::vector<git_oid> row{*git_commit_id(head->get())};
    std::set<std::string> seen{git::hex(row.data())};
    for (unsigned level = 1; !row.empty() && level <= depth_; ++level) {
      std::vector<git_oid> next;
      for (const git_oid& id : row) {
        git::Commit commit;
        if (git_commit_lookup(into(commit), repository_, &id) != 0) {
          continue;  // a clone that is shallow itself
        }
        const unsigned parents = git_commit_parentcount(commit.get());
        if (level == depth_ && parents > 0) {
          lines += git::hex(&id) + "\n";
        }
        for (unsigned parent = 0; parent < parents; ++parent) {
          const git_oid* up = git_commit_parent_id(commit.get(), parent);
          if (seen.insert(git::hex(up)).second) {
            next.push_back(*up);
          }
        }
      }
      row = std::move(next);
    }
    return lines;
  }

  std::string index_stamp() const {
    struct stat status {};
    if (!revision_.empty() || ::stat((git_dir_ / "index").c_str(), &status) != 0) {
      return {};
    }
    return fmt::format("{} {} {}.{}", status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }

  void copy(const fs::path& to) {
    for (const char* directory : {"", "refs/heads", "refs/tags", "objects/info", "objects/pack", "info"}) {
      files::make_directory(to / directory);
    }
    files::write_file(to / "HEAD", head());
    files::write_file(to / "packed-refs", packed_refs());
    files::write_file(to / "config", config());
    // What remotes/origin/HEAD points to: `git describe` and scripts ask for it.
    git::Reference remote_head;
    if (git_reference_lookup(into(remote_head), repository_, "refs/remotes/origin/HEAD") == 0 &&
        git_reference_type(remote_head.get()) == GIT_REFERENCE_SYMBOLIC) {
      files::make_directory(to / "refs/remotes/origin");
      files::write_file(to / "refs/remotes/origin/HEAD",
                        fmt::format("ref: {}\n", git_reference_symbolic_target(remote_head.get())));
    }
    const std::string shallow = files::read_file(common_dir_ / "shallow") + boundary();
    if (!shallow.empty()) {
      files::write_file(to / "shallow", shallow);
    }
    files::copy_file(common_dir_ / "info/exclude", to / "info/exclude", files::file_mode);
    if (index_) {
      copy_index(to);
    }
    std::set<fs::path> seen;
    copy_objects(common_dir_ / "objects", to / "objects", true, seen);
  }

 private:
  void copy_index(const fs::path& to) const {
    if (revision_.empty()) {
      files::copy_file(git_dir_ / "index", to / "index", files::file_mode);
      std::error_code error;
      for (fs::directory_iterator each(git_dir_, error), end; !error && each != end; each.increment(error)) {
        if (each->path().filename().string().starts_with("sharedindex.")) {
          files::copy_file(each->path(), to / each->path().filename(), files::file_mode);
        }
      }
      return;
    }
    const std::optional<git::Commit> commit = git::find_commit(repository_, revision_);
    git::Tree tree;
    git::Index index;
    check(git_commit_tree(into(tree), commit->get()), "cannot read the commit's tree");
    check(git_index_open(into(index), (to / "index").c_str()), "cannot make an index");
    check(git_index_read_tree(index.get(), tree.get()), "cannot make an index");
    check(git_index_write(index.get()), "cannot write the index", "is the disk full?");
    ::chmod((to / "index").c_str(), files::file_mode);
  }

  // Objects are never written again, so a link shares nothing that changes; but one that others may not read must be
  // copied, because its mode is the user's. A repack may move them while we look: then look again.
  void copy_objects(const fs::path& from, const fs::path& to, bool own, std::set<fs::path>& seen) {
    std::error_code error;
    if (!seen.insert(fs::weakly_canonical(from, error)).second || seen.size() > 10) {
      return;
    }
    for (int round = 0; round < 3 && !link_objects(from, to, own); ++round) {
    }
    std::istringstream alternates(files::read_file(from / "info/alternates"));
    for (std::string line; std::getline(alternates, line);) {
      if (!line.empty() && line.front() != '#') {
        copy_objects(line.front() == '/' ? fs::path(line) : from / line, to, false, seen);
      }
    }
  }

  static bool take(const fs::path& from, const fs::path& to) {
    struct stat status {};
    if (::lstat(from.c_str(), &status) != 0) {
      return false;
    }
    if (!S_ISREG(status.st_mode)) {
      return true;
    }
    std::error_code error;
    if (fs::exists(fs::symlink_status(to, error))) {
      return true;
    }
    const bool readable = (status.st_mode & S_IROTH) != 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    return (readable && files::link_file(from, to)) || files::copy_file(from, to, 0444);
  }

  static bool link_objects(const fs::path& from, const fs::path& to, bool own) {
    bool whole = true;
    std::error_code error;
    for (fs::directory_iterator each(from, error), end; !error && each != end; each.increment(error)) {
      const std::string name = each->path().filename().string();
      const bool info = name == "info";
      if ((name.size() != 2 && name != "pack" && !(info && own)) || !each->is_directory(error)) {
        continue;
      }
      files::make_directory(to / name);
      for (fs::directory_iterator object(each->path(), error), last; !error && object != last;
           object.increment(error)) {
        const std::string file = object->path().filename().string();
        if (file.starts_with("tmp_") || file == "alternates" || file == "http-alternates" || file.ends_with(".lock") ||
            (!own && file.starts_with("multi-pack-index"))) {
          continue;
        }
        if (object->is_directory(error)) {
          continue;  // split commit-graphs: git does without
        }
        whole = take(object->path(), to / name / file) && whole;
      }
    }
    return whole && !error;
  }

  git_repository* repository_;
  fs::path git_dir_, common_dir_;
  std::string revision_;
  unsigned depth_;
  bool whole_ = true, index_ = true;
  std::string remote_, settings_;
};

std::string up(const std::string& path, std::size_t more = 0) {
  const fs::path whole(path);
  const auto parts = static_cast<std::size_t>(std::distance(whole.begin(), whole.end())) + more;
  std::string text;
  for (std::size_t i = 0; i < parts; ++i) {
    text += "../";
  }
  return text;
}

// What would end the line, or begin something else, in git's configuration.
bool plain(const std::string& text) { return text.find_first_of("\n\"\\#;") == std::string::npos; }

}  // namespace

std::string git_fingerprint(const fs::path& project_dir, const GitCopyOptions& options,
                            const std::vector<SubmoduleCopy>& submodules) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  if (!opened) {
    return {};
  }
  const GitCopy copy(*opened, options);
  std::string text = copy.head() + "\n" + copy.packed_refs() + "\n" + copy.config() + "\n" + copy.index_stamp() + "\n" +
                     opened->prefix +
                     fmt::format("\n{} {} {}\n", options.depth, options.submodule_depth, options.index);
  for (const SubmoduleCopy& submodule : submodules) {
    const git::Repository repository = open_git_directory(submodule.git_dir);
    const GitCopy of_it(repository.get(), submodule.commit, options.submodule_depth);
    text += submodule.path + "\n" + of_it.head() + "\n" + of_it.packed_refs() + "\n" + of_it.index_stamp() + "\n";
  }
  return text;
}

void copy_git(const fs::path& project_dir, const GitCopyOptions& options, const std::vector<SubmoduleCopy>& submodules,
              const fs::path& to) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  if (!opened || git_repository_head_unborn(opened->repository.get()) == 1) {
    return;
  }
  GitCopy copy(*opened, options);
  if (!copy.whole()) {  // the submodules' paths would not fit
    copy.copy(to);
    return;
  }
  for (const SubmoduleCopy& submodule : submodules) {
    const git::Repository repository = open_git_directory(submodule.git_dir);
    if (!plain(submodule.path) || !plain(submodule.name) || git_repository_head_unborn(repository.get()) == 1) {
      continue;
    }
    GitCopy of_it(repository.get(), submodule.commit, options.submodule_depth);
    of_it.configure(fmt::format("[core]\n\tworktree = {}{}\n", up(submodule.name, 2), submodule.path));
    of_it.copy(to / "modules" / submodule.name);
    files::write_file(to.parent_path() / submodule.path / ".git",
                      fmt::format("gitdir: {}.git/modules/{}\n", up(submodule.path), submodule.name));
    copy.configure(fmt::format("[submodule \"{}\"]\n\tactive = true\n", submodule.name));
  }
  copy.copy(to);
}

}  // namespace runner
