// What the tests of the store share: a directory that goes, runs with a few jobs, and other processes to kill.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "runner/store/store.h"

namespace runner::test {

namespace fs = std::filesystem;

// Memory rather than a disk that others wait for, where there is enough of it.
inline fs::path scratch() {
  std::error_code error;
  const fs::path memory = "/dev/shm";
  const fs::space_info space = fs::space(memory, error);
  return !error && space.available > (std::uintmax_t{4} << 30U) && ::access(memory.c_str(), W_OK) == 0
             ? memory
             : fs::temp_directory_path();
}

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const fs::path& parent = scratch()) {
    std::string name = (parent / "runner-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error("mkdtemp " + name);
    }
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const fs::path& below) const { return path_ / below; }

 private:
  fs::path path_;
};

inline void write(const fs::path& file, std::string_view bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

inline std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline NewRun new_run(std::size_t jobs = 2) {
  NewRun run;
  run.pipeline_name = "pipeline.yml";
  run.pipeline_text = "hello:\n  script: echo hi\n";
  run.project_dir = "/home/me/project";
  run.ref = "main";
  run.sha = "0123456789abcdef0123456789abcdef01234567";
  run.event = "push";
  run.options = R"({"parallel": 2})";
  run.started = 1'000'000;
  for (std::size_t i = 1; i <= jobs; ++i) {
    run.jobs.push_back({"job " + std::to_string(i), "test"});
  }
  return run;
}

// A process that runs `work(tell)` and then waits to be killed; the constructor returns when `tell` was called.
class Child {
 public:
  explicit Child(const std::function<void(const std::function<void()>& tell)>& work) {
    int pipe[2] = {};
    if (::pipe2(pipe, O_CLOEXEC) != 0) {
      throw std::runtime_error("pipe");
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(pipe[0]);
      try {
        work([&] { (void)!::write(pipe[1], "x", 1); });
      } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
        ::_exit(1);
      }
      for (;;) {
        ::pause();
      }
    }
    ::close(pipe[1]);
    char told = 0;
    told_ = ::read(pipe[0], &told, 1) == 1;
    ::close(pipe[0]);
  }
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  bool told() const { return told_; }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }

 private:
  pid_t pid_ = -1;
  bool told_ = false;
};

}  // namespace runner::test
