// For tests of the job directory: a temporary directory, a sink and notices that remember, and the bootstrap in a
// process namespace of its own (it signals every process that it sees).
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"
#include "executors/job_directory.h"

namespace executors {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "runner-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class KeptLog : public LogSink {
 public:
  void write(std::string_view bytes) override {
    const std::lock_guard lock(mutex_);
    bytes_ += bytes;
  }
  std::string bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }
  // Waits until the text has come.
  bool await(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds(20)) const {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (bytes().find(text) == std::string::npos) {
      if (std::chrono::steady_clock::now() > end) return false;
      ::usleep(2000);
    }
    return true;
  }

 private:
  mutable std::mutex mutex_;
  std::string bytes_;
};

class KeptNotices : public Notices {
 public:
  void status(std::string_view) override {}
  void warning(std::string_view line) override { warnings.emplace_back(line); }
  std::vector<std::string> warnings;
};

// The stream with its section markers as "<section_start NAME>": no times.
inline std::string timeless(std::string stream) {
  for (const std::string_view edge : {"start", "end"}) {
    const std::string head = "section_" + std::string(edge) + ":";
    constexpr std::string_view kTail = "\r\x1b[0K";
    for (std::size_t at = 0; (at = stream.find(head, at)) != std::string::npos;) {
      const auto tail = stream.find(kTail, at);
      const auto name = at + head.size() + 11;  // ten digits and a colon
      if (tail == std::string::npos || tail < name) break;
      stream.replace(at, tail + kTail.size() - at,
                     "<section_" + std::string(edge) + " " + stream.substr(name, tail - name) + ">");
    }
  }
  return stream;
}

// What a program prints; for set-up only.
inline int run_program(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  if (::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0) return 127;
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline std::vector<std::string> in_own_process_namespace(std::vector<std::string> words) {
  std::vector<std::string> all = {"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"};
  if (::geteuid() != 0) all.insert(all.begin() + 1, {"--user", "--map-root-user"});
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

inline bool can_make_process_namespaces() {
  static const bool can = run_program(in_own_process_namespace({"true"})) == 0;
  return can;
}

// A PATH whose `sh` is the shell that is asked for, and which has a bash only if that is it.
inline std::filesystem::path path_with(const std::string& shell, const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  for (const char* tool :
       {"awk",    "cat", "chmod", "cp",  "dd",     "env",   "false", "grep", "head", "id",       "ln", "ls", "mkdir",
        "mkfifo", "mv",  "rm",    "seq", "setsid", "sleep", "touch", "tr",   "true", "truncate", "wc", "yes"}) {
    const auto found = std::filesystem::path("/usr/bin") / tool;
    if (std::filesystem::exists(found)) std::filesystem::create_symlink(found, directory / tool);
  }
  std::filesystem::create_symlink(shell == "busybox" ? "/usr/bin/busybox" : "/bin/" + shell, directory / "sh");
  if (shell == "bash") std::filesystem::create_symlink("/bin/bash", directory / "bash");
  return directory;
}

// The container of a job: its bootstrap, under a PID 1 that reaps (as `docker --init` does).
class Bootstrap {
 public:
  Bootstrap(const std::filesystem::path& job, const std::filesystem::path& path, bool linger = false) {
    // The outer shell is PID 1 of the namespace; the bootstrap its child, as below docker-init.
    const std::vector<std::string> words = in_own_process_namespace(
        {"/bin/dash", "-c", "PATH=$1 sh -c \"$2\" & while kill -0 $! 2>/dev/null; do wait $!; done", "init",
         path.string(), bootstrap_script(job.string(), linger)});
    std::vector<char*> arguments;
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    // A process group of its own: killed before it has asked to take its child along, unshare would leave that behind,
    // and it would take the go from the next one.
    posix_spawnattr_t group;
    ::posix_spawnattr_init(&group);
    ::posix_spawnattr_setflags(&group, POSIX_SPAWN_SETPGROUP);
    const int failed = ::posix_spawnp(&pid_, arguments[0], nullptr, &group, arguments.data(), environ);
    ::posix_spawnattr_destroy(&group);
    if (failed != 0) std::abort();
  }
  Bootstrap(const Bootstrap&) = delete;
  Bootstrap& operator=(const Bootstrap&) = delete;
  ~Bootstrap() {
    kill();
    int status = 0;
    if (!reaped_) ::waitpid(pid_, &status, 0);
  }
  void kill() {
    if (!reaped_) ::kill(-pid_, SIGKILL);  // and with its first process all that is in the namespace
  }
  bool dead() {
    int status = 0;
    if (!reaped_ && ::waitpid(pid_, &status, WNOHANG) == pid_) reaped_ = true;
    return reaped_;
  }

 private:
  pid_t pid_ = -1;
  std::atomic<bool> reaped_ = false;
};

}  // namespace executors
