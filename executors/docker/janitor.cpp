#include "executors/docker/janitor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>
#include <string_view>
#include <system_error>

#include "executors/docker/container_spec.h"
#include "executors/workspace/tree.h"

namespace executors::docker {
namespace {

namespace fs = std::filesystem;

// Owning 10,000 files takes 0.13 s (measured); a tree of millions on a slow disk may take minutes.
constexpr std::chrono::minutes longest_order{10};
constexpr std::chrono::seconds longest_start{60};
constexpr int tick_milliseconds = 500;

// Runs as root in a container that sees only the state directory. Ends when the runner is gone: its end of `go` closes.
std::string loop(const std::string& directory) {
  const std::string user = std::to_string(::geteuid());
  const std::string group = std::to_string(::getegid());
  // Files keep their modes. But whose they were is lost: what a third user's job may do with its own, others may then
  // (shared_mode). Without `find` that goes for all.
  return "cd /s/" + directory +
         " || exit 1; exec 3<go 4>re; "
         "for c in chown chmod rm; do command -v $c >/dev/null 2>&1 || { echo \"no $c\" >&4; exit 1; }; done; "
         "if command -v find >/dev/null 2>&1; then own() { "
         "find \"$1\" ! -user 0 ! -user " +
         user + " ! -type l -exec chmod go=u {} + && chown -Rh " + user + ":" + group +
         " \"$1\" && chmod -R u+rX \"$1\" && find \"$1\" -type d ! -perm -200 -exec chmod u+w {} +; }; "
         "else own() { chown -Rh " +
         user + ":" + group +
         " \"$1\" && chmod -R u+rwX,go=u \"$1\"; }; fi; "
         "echo ready >&4; "
         "while read -r op arg <&3; do cd /s; case $op in "
         "own) own \"$arg\";; "
         "rm) rm -rf \"$arg\";; esac 2>/dev/null; echo $? >&4; done";
}

bool plain(std::string_view text) {
  return !text.empty() && text.find("..") == std::string_view::npos &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-") ==
             std::string_view::npos &&
         text.front() != '/' && text.front() != '-';
}

WorldError failure(const std::string& message, std::string hint = {}) {
  return WorldError("runner_system_failure", message, std::move(hint));
}

std::string random_word() {
  std::random_device device;
  std::string word;
  for (int i = 0; i < 8; ++i) word += "0123456789abcdef"[device() % 16];
  return word;
}

}  // namespace

void Janitor::own(const fs::path& path, const JobId& id, const std::string& image) {
  if (::geteuid() == 0) return;  // root reads and renames everything as it is
  order("own", path, id, image);
}

void Janitor::remove(const fs::path& path, const JobId& id, const std::string& image) {
  // The overlay's own directory has no permissions at all, but is empty after most jobs.
  ::rmdir((path / "wk" / "work").c_str());
  if (remove_tree(path) || ::geteuid() == 0) return;
  order("rm", path, id, image);
}

void Janitor::order(std::string_view verb, const fs::path& path, const JobId& id, const std::string& image) {
  const std::string relative = path.lexically_relative(state_).string();
  if (!plain(relative)) throw failure("not below the state directory, or not a plain name: " + path.string());
  const std::scoped_lock lock(mutex_);
  for (int attempt = 0;; ++attempt) {
    if (orders_ < 0) start(id, image);
    try {
      const std::string line = std::string(verb) + " " + relative + "\n";
      if (::write(orders_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        throw failure("cannot speak to the container that takes over files");
      const std::string code = reply(std::string(verb) + " " + relative);
      if (code != "0")
        throw WorldError("artifacts_failed", "files made by the job's root could not be taken over: " + path.string());
      return;
    } catch (const WorldError& error) {
      if (error.reason == "artifacts_failed") throw;
      stop_holding();  // it died or hangs: another one, once
      if (attempt > 0) throw;
    }
  }
}

void Janitor::start(const JobId& id, const std::string& image) {
  const std::string word = random_word();
  directory_ = state_ / (".jan-" + word);
  std::error_code error;
  if (!fs::create_directory(directory_, error) || ::mkfifo((directory_ / "go").c_str(), 0600) != 0 ||
      ::mkfifo((directory_ / "re").c_str(), 0600) != 0)
    throw failure("cannot make " + directory_.string());
  // Read and write: opening does not wait for the other side. The container never opens `go` for writing, so it
  // sees the end when we are gone.
  orders_ = ::open((directory_ / "go").c_str(), O_RDWR | O_CLOEXEC);
  replies_ = ::open((directory_ / "re").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  try {
    if (orders_ < 0 || replies_ < 0) throw failure("cannot open the FIFOs in " + directory_.string());
    const std::string name = "r-" + id.owner.substr(0, 8) + "-janitor-" + word;
    container_ = ScopedContainer(
        engine_,
        engine_.create_container(name, janitor_container(id, image, state_, loop(directory_.filename().string()))));
    engine_.start(container_.id());
    const std::string ready = reply("start");
    if (ready != "ready")
      throw failure("files made by the job's root cannot be taken over: image " + image + " has " + ready,
                    "use an image with chown, chmod and rm, or run the runner as root");
  } catch (...) {
    stop_holding();
    throw;
  }
}

std::string Janitor::reply(const std::string& doing) {
  const auto limit =
      doing == "start" ? std::chrono::milliseconds(longest_start) : std::chrono::milliseconds(longest_order);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::string line;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd waiting{replies_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, tick_milliseconds);
    if (ready > 0) {
      char c = 0;
      while (::read(replies_, &c, 1) == 1) {
        if (c == '\n') return line;
        line += c;
      }
    } else if (ready == 0) {
      const std::optional<ContainerState> state = engine_.inspect_container(container_.id());
      if (!state || !state->running) throw failure("the container that takes over files ended during: " + doing);
    }
  }
  throw failure("the container that takes over files does not answer: " + doing);
}

void Janitor::stop_holding() {
  if (orders_ >= 0) ::close(orders_);
  if (replies_ >= 0) ::close(replies_);
  orders_ = replies_ = -1;
  container_.reset();
  if (!directory_.empty()) remove_tree(directory_);
  directory_.clear();
}

void Janitor::close() noexcept {
  const std::scoped_lock lock(mutex_);
  stop_holding();
}

}  // namespace executors::docker
