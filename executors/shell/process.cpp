#include "executors/shell/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "executors/unique_fd.h"

namespace executors {
namespace {

struct Stat {
  char state = 0;
  pid_t parent = -1;
  std::uint64_t start = 0;
};

std::optional<std::string> read_proc(pid_t pid, const char* file) {
  const UniqueFd fd(::open(("/proc/" + std::to_string(pid) + "/" + file).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  std::array<char, 4096> block;
  ssize_t got = 0;
  while ((got = ::read(fd.get(), block.data(), block.size())) > 0)
    text.append(block.data(), static_cast<std::size_t>(got));
  if (got < 0) return std::nullopt;
  return text;
}

// proc(5): "pid (name) state ppid …"; the name may hold anything, so the fields count from the last parenthesis.
std::optional<Stat> read_stat(pid_t pid) {
  const auto text = read_proc(pid, "stat");
  if (!text) return std::nullopt;
  const auto end = text->rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(end + 1);
  Stat stat;
  for (int field = 3; field <= 22 && !rest.empty(); ++field) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const auto word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    if (field == 3 && !word.empty()) stat.state = word.front();
    if (field == 4) std::from_chars(word.data(), word.data() + word.size(), stat.parent);
    if (field == 22) std::from_chars(word.data(), word.data() + word.size(), stat.start);
  }
  return stat;
}

bool is_gone(const Stat& stat) { return stat.state == 'Z' || stat.state == 'X'; }

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };
  const std::unique_ptr<DIR, Close> proc(::opendir("/proc"));
  if (!proc) return pids;
  while (const dirent* entry = ::readdir(proc.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size()) pids.push_back(pid);
  }
  return pids;
}

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class SpawnAttributes {
 public:
  SpawnAttributes() { ::posix_spawnattr_init(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));  // execve's signature, not its deed
  all.push_back(nullptr);
  return all;
}

}  // namespace

std::optional<ProcessName> find_process(pid_t pid) {
  const auto stat = read_stat(pid);
  if (!stat || is_gone(*stat)) return std::nullopt;
  return ProcessName{pid, stat->start};
}

bool is_alive(const ProcessName& process) {
  const auto found = find_process(process.pid);
  return found && found->start == process.start;
}

ProcessName start_detached(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                           const std::string& stream) {
  FileActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), 0, stream.c_str(), O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), 0, 1);
  ::posix_spawn_file_actions_adddup2(actions.get(), 0, 2);
  ::posix_spawn_file_actions_addclosefrom_np(actions.get(), 3);

  SpawnAttributes attributes;
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(attributes.get(), &none);
  ::posix_spawnattr_setsigdefault(attributes.get(), &all);
  ::posix_spawnattr_setflags(attributes.get(), POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, words.at(0).c_str(), actions.get(), attributes.get(), pointers(words).data(),
                                  pointers(environment).data());
  if (error != 0) throw std::system_error(error, std::generic_category(), words[0]);
  const auto stat = read_stat(pid);  // it is ours to wait for, so it is there, if only as a zombie
  return {pid, stat ? stat->start : 0};
}

std::vector<pid_t> descendants(pid_t root) {
  std::unordered_map<pid_t, std::vector<pid_t>> children;
  for (const pid_t pid : all_processes()) {
    if (const auto stat = read_stat(pid); stat && !is_gone(*stat)) children[stat->parent].push_back(pid);
  }
  std::vector<pid_t> found = {root};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto below = children.find(found[i]);
    if (below != children.end()) found.insert(found.end(), below->second.begin(), below->second.end());
  }
  found.erase(found.begin());
  return found;
}

std::vector<pid_t> processes_with(const std::string& variable) {
  const std::string wanted = variable + '\0';
  std::vector<pid_t> found;
  for (const pid_t pid : all_processes()) {
    const auto environment = read_proc(pid, "environ");
    if (!environment) continue;
    const auto at = environment->find(wanted);
    if (at != std::string::npos && (at == 0 || (*environment)[at - 1] == '\0')) found.push_back(pid);
  }
  return found;
}

bool kill_all(const std::function<std::vector<pid_t>()>& find, const std::function<void()>& reap) {
  using namespace std::chrono_literals;
  const auto end = std::chrono::steady_clock::now() + 5s;
  for (auto pause = 1ms; std::chrono::steady_clock::now() < end; pause = std::min(pause * 2, 50ms)) {
    const auto pids = find();
    if (pids.empty()) return true;
    for (const pid_t pid : pids) ::kill(pid, SIGSTOP);
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    if (reap) reap();
    std::this_thread::sleep_for(pause);
    if (reap) reap();
  }
  return false;
}

}  // namespace executors
