#include "runner/hosts/checkout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "runner/hosts/files.h"
#include "runner/hosts/git_copy.h"
#include "runner/hosts/libgit.h"
#include "runner/hosts/snapshot_items.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using git::check;
using git::into;

constexpr std::string_view in_the_making = "tmp.";
constexpr std::string_view format = "snapshot 1\n";  // first line of `index`

std::string hash(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < 16; ++i) {
    hex += fmt::format("{:02x}", digest[i]);
  }
  return hex;
}

std::int64_t wall_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::string random_name() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}", source(), source());
}

// A shared or exclusive flock on a snapshot's `lock`: users share it, whoever removes it has it alone.
class Lock {
 public:
  static std::optional<Lock> take(const fs::path& snapshot, int how, bool create = false) {
    const fs::path path = snapshot / "lock";
    Lock lock(::open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
    struct stat mine {
    }, there{};
    if (lock.file_ < 0 || ::flock(lock.file_, how | LOCK_NB) != 0 || ::fstat(lock.file_, &mine) != 0 ||
        ::stat(path.c_str(), &there) != 0 || mine.st_ino != there.st_ino) {
      return std::nullopt;  // gone or going
    }
    return lock;
  }
  Lock(Lock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Lock& operator=(Lock&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~Lock() {
    if (file_ >= 0) {
      ::close(file_);
    }
  }
  void touch() const { ::futimens(file_, nullptr); }  // most recently used

 private:
  explicit Lock(int file) : file_(file) {}
  int file_;
};

struct Found {
  std::string name;
  std::int64_t used = 0;
};

// The snapshots below `root`, the most recently used first.
std::vector<Found> list_snapshots(const fs::path& root) {
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator each(root, error), end; !error && each != end; each.increment(error)) {
    struct stat status {};
    if (::stat((each->path() / "lock").c_str(), &status) == 0 || ::stat(each->path().c_str(), &status) == 0) {
      found.push_back(
          {each->path().filename().string(), status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec});
    }
  }
  std::ranges::sort(found, [](const Found& a, const Found& b) { return a.used > b.used; });
  return found;
}

// `index`: the format's line, the project, then path NUL stamp NUL for each file.
std::string write_index(const std::string& project, const std::vector<SnapshotItem>& items) {
  std::string text(format);
  text += project + '\0';
  for (const SnapshotItem& item : items) {
    text += item.path + '\0' + item.stamp + '\0';
  }
  return text;
}

using Stamps = std::unordered_map<std::string, std::string>;
std::optional<Stamps> read_index(const fs::path& file, const std::string& project) {
  const std::string text = files::read_file(file);
  if (!text.starts_with(format)) {
    return std::nullopt;
  }
  std::size_t at = format.size();
  const auto next = [&] {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    std::string part = text.substr(at, end - at);
    at = end + 1;
    return part;
  };
  if (next() != project) {
    return std::nullopt;
  }
  Stamps stamps;
  while (at < text.size()) {
    std::string path = next();
    stamps[std::move(path)] = next();
  }
  return stamps;
}

// An earlier snapshot to link from, kept from being removed meanwhile.
struct Base {
  fs::path tree;
  Stamps stamps;
  Lock lock;
};

std::optional<Base> find_base(const fs::path& root, const std::string& project) {
  for (const Found& found : list_snapshots(root)) {
    if (found.name.starts_with(in_the_making)) {
      continue;
    }
    std::optional<Lock> lock = Lock::take(root / found.name, LOCK_SH);
    if (!lock) {
      continue;
    }
    if (std::optional<Stamps> stamps = read_index(root / found.name / "index", project)) {
      return Base{root / found.name / "tree", std::move(*stamps), std::move(*lock)};
    }
  }
  return std::nullopt;
}

void in_threads(unsigned threads, const std::function<void(unsigned)>& work) {
  std::vector<std::exception_ptr> failures(threads);
  {
    std::vector<std::jthread> helpers;
    for (unsigned i = 0; i < threads; ++i) {
      helpers.emplace_back([&, i] {
        try {
          work(i);
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
    }
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

// Fills `tree` with the items, from `base` where the stamps are equal.
class Builder {
 public:
  Builder(fs::path project, const SnapshotOptions& options, const std::vector<fs::path>& repositories,
          const std::optional<Base>& base, fs::path tree)
      : project_(std::move(project)),
        options_(options),
        repositories_(repositories),
        base_(base),
        tree_(std::move(tree)) {}

  void build(std::vector<SnapshotItem>& items) {
    make_directories(items);
    std::atomic<std::size_t> next{0};
    const unsigned threads = items.size() < 64 ? 1 : std::max(1U, options_.threads);
    in_threads(threads, [&](unsigned) {
      Repositories repositories(repositories_);  // handles are one thread's
      constexpr std::size_t portion = 64;
      for (std::size_t begin = next.fetch_add(portion); begin < items.size() && !failed_;
           begin = next.fetch_add(portion)) {
        if (options_.stop.stop_requested()) {
          throw GitError("the snapshot of the sources was stopped");
        }
        try {
          for (std::size_t i = begin; i < std::min(begin + portion, items.size()); ++i) {
            if (!items[i].symlink && !items[i].directory) {
              place(items[i], repositories);
            }
          }
        } catch (...) {
          failed_ = true;
          throw;
        }
        const std::size_t portions = placed_ += portion;
        if (options_.progress) {
          options_.progress(std::min(portions, items.size()), items.size());
        }
      }
    });
    // Symlinks last: nothing is ever written through one, whatever a repository says.
    Repositories repositories(repositories_);
    for (SnapshotItem& item : items) {
      if (item.symlink) {
        place_symlink(item, repositories);
      }
    }
    std::erase_if(items, [](const SnapshotItem& item) { return item.path.empty(); });
  }

  std::uint64_t copied() const { return copied_; }

 private:
  // Opened when they are asked for.
  class Repositories {
   public:
    explicit Repositories(const std::vector<fs::path>& git_dirs) : git_dirs_(git_dirs), opened_(git_dirs.size()) {}
    git_repository* at(std::size_t number) {
      git::Repository& opened = opened_.at(number);
      if (!opened) {
        opened = open_git_directory(git_dirs_[number]);
      }
      return opened.get();
    }

   private:
    const std::vector<fs::path>& git_dirs_;
    std::vector<git::Repository> opened_;
  };

  void make_directories(const std::vector<SnapshotItem>& items) const {
    std::set<std::string> made;
    for (const SnapshotItem& item : items) {
      if (item.directory) {
        files::make_directory(tree_ / item.path);
      }
      const std::size_t slash = item.path.rfind('/');
      if (slash != std::string::npos && made.insert(item.path.substr(0, slash)).second) {
        files::make_directory(tree_ / item.path.substr(0, slash));
      }
    }
  }

  void place(SnapshotItem& item, Repositories& repositories) {
    const fs::path to = tree_ / item.path;
    if (base_) {
      const auto known = base_->stamps.find(item.path);
      if (known != base_->stamps.end() && known->second == item.stamp &&
          files::link_file(base_->tree / item.path, to)) {
        return;
      }
    }
    const unsigned mode = item.executable ? files::executable_mode : files::file_mode;
    const bool of_commit = !options_.revision.empty() && item.lfs.empty();
    if (of_commit) {
      files::write_file(to, blob(repositories.at(item.repository), item), mode);
    } else if (!files::copy_file(item.lfs.empty() ? project_ / item.path : item.lfs, to, mode)) {
      item.path.clear();  // removed while we looked
      return;
    }
    ++copied_;
  }

  void place_symlink(SnapshotItem& item, Repositories& repositories) {
    std::string target;
    if (!options_.revision.empty()) {
      target = blob(repositories.at(item.repository), item);
    } else {
      std::error_code error;
      target = fs::read_symlink(project_ / item.path, error).string();
      if (error) {
        item.path.clear();
        return;
      }
    }
    files::make_symlink(target, tree_ / item.path);
    ++copied_;
  }

  static std::string blob(git_repository* repository, const SnapshotItem& item) {
    git::Blob object;
    check(git_blob_lookup(into(object), repository, &item.blob), fmt::format("cannot read {} of the commit", item.path),
          "`git fsck` tells what is missing");
    if (item.symlink) {
      return {static_cast<const char*>(git_blob_rawcontent(object.get())),
              static_cast<std::size_t>(git_blob_rawsize(object.get()))};
    }
    git_blob_filter_options options = GIT_BLOB_FILTER_OPTIONS_INIT;  // line ends, as a checkout has them
    git_buf bytes = GIT_BUF_INIT;
    check(git_blob_filter(&bytes, object.get(), item.name.c_str(), &options),
          fmt::format("cannot read {} of the commit", item.path));
    std::string text(bytes.ptr, bytes.size);
    git_buf_dispose(&bytes);
    return text;
  }

  const fs::path project_;
  const SnapshotOptions& options_;
  const std::vector<fs::path>& repositories_;
  const std::optional<Base>& base_;
  const fs::path tree_;
  std::atomic<std::size_t> placed_{0};
  std::atomic<std::uint64_t> copied_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace

struct Snapshot::Impl {
  fs::path directory;
  std::string name;
  bool reused = false;
  std::uint64_t files = 0, copied = 0;
  Lock lock;
  std::vector<std::string> warnings;
};

std::string to_text(const SourceChoice& choice) {
  if (!choice.checkout) {
    return fmt::format("depth {} nothing", choice.depth);
  }
  std::string text = fmt::format("depth {} {}", choice.depth, choice.lfs ? "lfs" : "pointers");
  if (choice.submodules != Submodules::none) {
    text += fmt::format(" {} {} {}", choice.submodules == Submodules::normal ? "normal" : "recursive",
                        choice.submodule_depth, fmt::join(choice.submodule_paths, " "));
  }
  return text;
}

bool has_submodules(const fs::path& project_dir, const std::string& revision) {
  const std::optional<git::Opened> opened = git::open(project_dir);
  std::error_code error;
  return opened && (revision.empty() ? fs::exists(opened->work_tree / ".gitmodules", error)
                                     : file_at(opened->work_tree, revision, ".gitmodules").has_value());
}

Snapshot::Snapshot(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Snapshot::Snapshot(Snapshot&&) noexcept = default;
Snapshot& Snapshot::operator=(Snapshot&&) noexcept = default;
Snapshot::~Snapshot() = default;

executors::Sources Snapshot::sources() const { return {impl_->directory / "tree", impl_->directory / "tracked"}; }
const std::string& Snapshot::name() const { return impl_->name; }
bool Snapshot::reused() const { return impl_->reused; }
std::uint64_t Snapshot::files() const { return impl_->files; }
std::uint64_t Snapshot::copied() const { return impl_->copied; }
const std::vector<std::string>& Snapshot::warnings() const { return impl_->warnings; }

Snapshot make_snapshot(const fs::path& project_dir, const fs::path& root, const SnapshotOptions& options) {
  std::error_code error;
  const fs::path project = fs::canonical(project_dir, error);
  if (error) {
    throw GitError(fmt::format("cannot open the project {}: {}", project_dir.string(), error.message()));
  }
  fs::create_directories(root, error);
  if (error) {
    files::fail("make", root, error.value());
  }
  if (options.progress) {
    options.progress(0, 0);
  }
  SnapshotItems found =
      options.revision.empty() ? working_tree_items(project, options) : commit_items(project, options);
  std::vector<SnapshotItem>& items = found.items;
  const GitCopyOptions copy{options.revision, options.choice.depth, options.choice.submodule_depth,
                            options.choice.checkout};
  const std::string fingerprint_text = write_index(project.string(), items);
  const std::string name = hash(fingerprint_text + '\1' + options.revision + '\1' +
                                (options.git ? git_fingerprint(project, copy, found.submodules) : std::string()));
  const auto use = [&](Lock lock, bool reused, std::uint64_t copied) {
    lock.touch();
    return Snapshot(std::make_unique<Snapshot::Impl>(Snapshot::Impl{
        fs::absolute(root) / name, name, reused, items.size(), copied, std::move(lock), found.warnings}));
  };

  for (int round = 0;; ++round) {
    if (std::optional<Lock> lock = Lock::take(root / name, LOCK_SH)) {
      return use(std::move(*lock), true, 0);
    }
    const std::optional<Base> base = find_base(root, project.string());
    const fs::path building = root / (std::string(in_the_making) + random_name());
    files::make_directory(building / "tree");
    try {
      std::optional<Lock> lock = Lock::take(building, LOCK_SH, true);
      if (!lock) {
        files::fail("lock", building, errno);
      }
      Builder builder(project, options, found.repositories, base, building / "tree");
      builder.build(items);
      if (options.git) {
        copy_git(project, copy, found.submodules, building / "tree" / ".git");
      }
      std::string tracked;
      for (const SnapshotItem& item : items) {
        if (item.tracked) {
          tracked += item.path + '\0';
        }
      }
      for (const SubmoduleCopy& submodule : found.submodules) {
        tracked += submodule.path + "/.git" + '\0';  // copy_git's
      }
      files::write_file(building / "tracked", tracked, 0644);
      files::write_file(building / "index", write_index(project.string(), items), 0644);
      if (::rename(building.c_str(), (root / name).c_str()) == 0) {
        return use(std::move(*lock), false, builder.copied());
      }
      if ((errno != ENOTEMPTY && errno != EEXIST) || round > 5) {
        files::fail("put in place", root / name, errno);
      }
    } catch (...) {
      fs::remove_all(building, error);
      throw;
    }
    fs::remove_all(building, error);  // another process was faster
  }
}

Snapshot open_snapshot(const fs::path& root, const std::string& name) {
  std::optional<Lock> lock;
  if (name.find('/') == std::string::npos && !name.starts_with('.')) {
    lock = Lock::take(root / name, LOCK_SH);
  }
  if (!lock) {
    throw GitError(fmt::format("the sources of that run ({}) are gone", name), "start a new run");
  }
  return Snapshot(std::make_unique<Snapshot::Impl>(
      Snapshot::Impl{fs::absolute(root) / name, name, true, 0, 0, std::move(*lock), {}}));
}

bool is_outdated(const Snapshot& snapshot, const fs::path& project_dir, const SnapshotOptions& options) {
  std::error_code error;
  const fs::path project = fs::canonical(project_dir, error);
  if (error) {
    return true;
  }
  return files::read_file(snapshot.impl_->directory / "index") !=
         write_index(project.string(), working_tree_items(project, options).items);
}

std::size_t prune_snapshots(const fs::path& root, std::size_t keep, const std::vector<std::string>& spare) {
  std::size_t removed = 0;
  std::size_t kept = 0;
  for (const Found& found : list_snapshots(root)) {
    const bool unfinished = found.name.starts_with(in_the_making);
    if (!unfinished && (kept < keep || std::ranges::find(spare, found.name) != spare.end())) {
      ++kept;
      continue;
    }
    std::error_code error;
    const std::optional<Lock> lock = Lock::take(root / found.name, LOCK_EX);
    if (!lock) {
      // In use, or just begun; or what was left of a removal that was cut short.
      constexpr std::int64_t hour_ns = 3'600'000'000'000;
      if (unfinished && wall_ns() - found.used > hour_ns && !fs::exists(root / found.name / "lock", error)) {
        fs::remove_all(root / found.name, error);
        ++removed;
      }
      continue;
    }
    // Away from its name first, so that nobody begins to use half of it.
    const fs::path gone = root / (std::string(in_the_making) + random_name());
    if (::rename((root / found.name).c_str(), gone.c_str()) == 0) {
      fs::remove_all(gone, error);
      ++removed;
    }
  }
  return removed;
}

}  // namespace runner
