#include "runner/hosts/tree_watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "executors/unique_fd.h"
#include "runner/hosts/git.h"
#include "runner/hosts/sources.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

// What tells one state of a file from another. Not the change time: a hard link made elsewhere changes it.
using Stamp = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::int64_t, std::uint32_t>;
using Seen = std::map<std::string, Stamp>;

std::optional<Stamp> stamp_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return Stamp{status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
               status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec, status.st_mode};
}

bool is_in(const fs::path& path, const fs::path& place) {
  const std::string& inner = path.native();
  const std::string& outer = place.native();
  return inner.starts_with(outer) && (inner.size() == outer.size() || inner[outer.size()] == '/');
}

constexpr std::uint32_t interesting = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO |
                                      IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;

std::string words_for(int error) {
  if (error == ENOSPC) {
    return "the system's limit of watched directories (fs.inotify.max_user_watches) is reached\n"
           "hint: `sudo sysctl fs.inotify.max_user_watches=524288` raises it";
  }
  if (error == EMFILE) {
    return "the system's limit of watching programs (fs.inotify.max_user_instances) is reached\n"
           "hint: `sudo sysctl fs.inotify.max_user_instances=1024` raises it";
  }
  return fmt::format("the system does not let us watch directories: {}", std::strerror(error));
}

}  // namespace

struct TreeWatch::Impl {
  explicit Impl(Options asked) : options(std::move(asked)) {
    options.project = fs::canonical(options.project);
    for (fs::path& output : options.outputs) output = fs::weakly_canonical(fs::absolute(output));
    for (fs::path& file : options.files) file = fs::absolute(file).lexically_normal();
    wake = executors::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    inotify = executors::UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify) give_up(errno);
    seen = look();
  }

  void give_up(int error) {
    trouble = words_for(error);
    inotify.reset();
    watched.clear();
  }

  // The sources as they are now. New directories are watched before they are looked into: what appears meanwhile is
  // found by another look.
  Seen look() {
    while (true) {
      std::vector<std::string> directories;
      Seen found;
      for (const SourceFile& file : walk_sources(options.project, options.except, {}, &directories)) {
        if (is_output(options.project / file.path)) continue;
        found[file.path] = Stamp{file.dev, file.ino, file.size, file.mtime, file.mode};
      }
      for (const fs::path& file : options.files) {
        std::string name = file.lexically_relative(options.project).string();
        if (name.empty() || name.starts_with("..")) name = file.string();
        if (const auto stamp = stamp_of(file)) found[name] = *stamp;
        directories.push_back(file.parent_path().string());
      }
      if (!watch(directories)) return found;
    }
  }

  bool is_output(const fs::path& path) const {
    return std::any_of(options.outputs.begin(), options.outputs.end(),
                       [&](const fs::path& output) { return is_in(path, output); });
  }

  // Whether any of them is new.
  bool watch(const std::vector<std::string>& directories) {
    if (!inotify) return false;
    bool any = false;
    std::set<int> wanted;
    for (const std::string& directory : directories) {
      const int number = ::inotify_add_watch(inotify.get(), (options.project / directory).c_str(), interesting);
      if (number < 0 && (errno == ENOSPC || errno == EMFILE || errno == ENOMEM)) {
        give_up(errno);
        return false;
      }
      if (number < 0) continue;  // gone meanwhile, or not ours to read
      any = watched.insert(number).second || any;
      wanted.insert(number);
    }
    for (auto each = watched.begin(); each != watched.end();) {
      if (wanted.contains(*each)) {
        ++each;
        continue;
      }
      ::inotify_rm_watch(inotify.get(), *each);  // moved out of the project, or ignored by now
      each = watched.erase(each);
    }
    return any;
  }

  // Waits for an event; false: none until then.
  bool wait_for_event(std::optional<Steady::time_point> until) {
    int timeout = -1;
    if (until) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - Steady::now());
      timeout = static_cast<int>(std::max<std::chrono::milliseconds::rep>(0, left.count()));
    }
    std::array<pollfd, 2> fds{pollfd{wake.get(), POLLIN, 0}, pollfd{inotify.get(), POLLIN, 0}};
    ::poll(fds.data(), inotify ? 2 : 1, timeout);
    return inotify && (fds[1].revents & POLLIN) != 0 && drain();
  }

  // Whether there was more among them than the ends of watches that we took away ourselves.
  bool drain() {
    alignas(inotify_event) std::array<char, 64 * 1024> buffer{};
    bool any = false;
    while (true) {
      const ssize_t size = ::read(inotify.get(), buffer.data(), buffer.size());
      if (size <= 0) return any;
      for (ssize_t at = 0; at < size;) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        at += static_cast<ssize_t>(sizeof event) + event.len;
        if ((event.mask & IN_IGNORED) != 0) {
          watched.erase(event.wd);
        } else {
          any = true;
        }
      }
    }
  }

  // Lets a burst pass. An editor saves by several steps, a checkout takes its time.
  void settle(const std::stop_token& stop) {
    const auto latest = Steady::now() + options.patience;
    while (!stop.stop_requested()) {
      const auto quiet_at = std::min(latest, Steady::now() + options.quiet);
      if (!wait_for_event(quiet_at) && Steady::now() >= quiet_at) return;
      if (Steady::now() >= latest) return;
    }
  }

  std::vector<std::string> changes() {
    Seen now = look();
    std::vector<std::string> paths;
    const auto note = [&](const Seen& one, const Seen& other) {
      for (const auto& [path, stamp] : one) {
        const auto found = other.find(path);
        if (found == other.end() || found->second != stamp) paths.push_back(path);
      }
    };
    note(now, seen);
    note(seen, now);
    std::ranges::sort(paths);
    const auto twice = std::ranges::unique(paths);
    paths.erase(twice.begin(), twice.end());
    seen = std::move(now);
    return paths;
  }

  Options options;
  executors::UniqueFd wake, inotify;
  std::set<int> watched;
  Seen seen;
  std::string trouble;
};

TreeWatch::TreeWatch(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
TreeWatch::~TreeWatch() = default;

const std::string& TreeWatch::trouble() const { return impl_->trouble; }

std::optional<std::vector<std::string>> TreeWatch::wait(const std::stop_token& stop) {
  Impl& self = *impl_;
  std::uint64_t left_over = 0;
  while (::read(self.wake.get(), &left_over, sizeof left_over) > 0) {
  }
  const std::stop_callback wake(stop, [&self] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(self.wake.get(), &one, sizeof one);
  });
  while (!stop.stop_requested()) {
    if (self.inotify) {
      if (!self.wait_for_event(std::nullopt)) continue;
      self.settle(stop);
    } else {
      self.wait_for_event(Steady::now() + self.options.polling);
    }
    if (stop.stop_requested()) break;
    try {
      std::vector<std::string> paths = self.changes();
      if (!paths.empty()) return paths;
    } catch (const GitError&) {
      // In the middle of a change: the index is being written, a directory cannot be read. There is a next look.
      self.wait_for_event(Steady::now() + self.options.polling);
    }
  }
  return std::nullopt;
}

}  // namespace runner
