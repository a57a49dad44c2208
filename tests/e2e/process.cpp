#include "tests/e2e/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

extern char** environ;

namespace e2e {
namespace {

using Steady = std::chrono::steady_clock;

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

struct Pipe {
  int read = -1, write = -1;
  explicit Pipe(bool terminal = false) {
    int ends[2];
    if (terminal) {
      winsize size{24, 100, 0, 0};
      if (openpty(&read, &write, nullptr, nullptr, &size) != 0) throw std::runtime_error("openpty");
      fcntl(read, F_SETFD, FD_CLOEXEC);
      fcntl(write, F_SETFD, FD_CLOEXEC);
    } else {
      if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
      read = ends[0];
      write = ends[1];
    }
  }
};

}  // namespace

Process::Process(const Arguments& command, const std::map<std::string, std::string>& environment,
                 const Options& options)
    : options_(options), name_(command.at(0)), started_(Steady::now()) {
  for (std::size_t i = 1; i < command.size(); ++i) name_ += " " + command[i];
  std::vector<std::string> words = options.before;
  words.insert(words.end(), command.begin(), command.end());
  std::vector<std::string> settings;
  for (const auto& [name, value] : environment) settings.push_back(name + "=" + value);
  const std::vector<char*> argv = pointers(words), envp = pointers(settings);

  Pipe out(options.terminal), err;
  std::optional<Pipe> in;
  if (options.input) in.emplace();
  int file = -1;
  if (!options.output.empty()) {
    file = open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) throw std::runtime_error("cannot write " + options.output.string());
  }
  const std::string directory = options.directory.string();
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    // Only what is async-signal-safe from here on.
    if (options.terminal)
      setsid();
    else
      setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(in ? in->read : options.terminal ? out.write : null, STDIN_FILENO);
    dup2(file >= 0 ? file : out.write, STDOUT_FILENO);
    dup2(err.write, STDERR_FILENO);
    if (!directory.empty() && chdir(directory.c_str()) != 0) _exit(126);
    environ = const_cast<char**>(envp.data());
    execvp(argv[0], argv.data());
    _exit(127);
  }
  if (!options.terminal) setpgid(pid_, pid_);
  close(null);
  close(out.write);
  close(err.write);
  if (file >= 0) close(file);
  out_ = out.read;
  err_ = err.read;
  if (in) {
    close(in->read);
    in_ = in->write;
    writer_ = std::thread([this] {
      std::string_view rest = *options_.input;
      while (!rest.empty()) {
        const ssize_t n = write(in_, rest.data(), rest.size());
        if (n <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(n));
      }
      close(in_);
    });
  }
  out_reader_ = std::thread([this] { read(out_, out_text_); });
  err_reader_ = std::thread([this] { read(err_, err_text_); });
}

Process::~Process() {
  if (!status_) {
    ::kill(-pid_, SIGKILL);
    reap(true);
  }
  // Whoever holds the ends of the pipes has to let go; close them if it does not.
  for (std::thread* thread : {&out_reader_, &err_reader_, &writer_}) {
    if (thread->joinable()) thread->join();
  }
  close(out_);
  close(err_);
}

void Process::read(int fd, std::string& into) {
  std::vector<char> buffer(1 << 18);
  while (true) {
    pollfd ready{fd, POLLIN, 0};
    poll(&ready, 1, 200);
    if ((ready.revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
      // A process that outlives the program may hold the pipe: what matters is the program itself.
      const std::lock_guard lock(mutex_);
      if (status_) break;
      continue;
    }
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    const std::lock_guard lock(mutex_);
    into.append(buffer.data(), static_cast<std::size_t>(n));
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  --open_;
  changed_.notify_all();
}

void Process::type(std::string_view text) const { (void)!write(out_, text.data(), text.size()); }

void Process::resize(unsigned short rows, unsigned short columns) const {
  const winsize size{rows, columns, 0, 0};
  ioctl(out_, TIOCSWINSZ, &size);
}

bool Process::echoes() const {
  termios state{};
  return tcgetattr(out_, &state) == 0 && (state.c_lflag & ECHO) != 0;
}

void Process::signal(int number) {
  if (running()) ::kill(pid_, number);
}

void Process::interrupt() {
  if (running()) ::kill(-pid_, SIGINT);
}

void Process::kill_group() { ::kill(-pid_, SIGKILL); }

void Process::watch_size() {
  std::error_code gone;
  if (std::filesystem::read_symlink("/proc/" + std::to_string(pid_) + "/exe", gone) ==
      std::filesystem::read_symlink("/proc/self/exe", gone)) {
    return;  // still we: the program has not begun
  }
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) peak_kib_ = std::max<std::uint64_t>(peak_kib_, std::stoull(line.substr(6)));
  }
}

bool Process::reap(bool block) {
  if (status_) return true;
  int status = 0;
  const pid_t ended = waitpid(pid_, &status, block ? 0 : WNOHANG);
  if (ended != pid_) return false;
  const std::lock_guard lock(mutex_);
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return true;
}

bool Process::running() { return !reap(false); }

bool Process::wait_for(std::string_view text, std::chrono::seconds patience) {
  const auto end = Steady::now() + patience;
  std::unique_lock lock(mutex_);
  const auto printed = [&] {
    return out_text_.find(text) != std::string::npos || err_text_.find(text) != std::string::npos;
  };
  while (!printed()) {
    if (open_ == 0 || Steady::now() > end) {
      ADD_FAILURE() << name_ << "\nnever printed \"" << text << "\"\nout:\n" << out_text_ << "\nerr:\n" << err_text_;
      return false;
    }
    changed_.wait_for(lock, std::chrono::milliseconds(100));
  }
  return true;
}

std::string Process::out() const {
  const std::lock_guard lock(mutex_);
  return out_text_;
}

std::string Process::err() const {
  const std::lock_guard lock(mutex_);
  return err_text_;
}

Ended Process::wait() {
  const auto end = started_ + options_.timeout;
  while (!reap(false)) {
    watch_size();
    if (Steady::now() > end) {
      ::kill(-pid_, SIGKILL);
      reap(true);
      ADD_FAILURE() << name_ << "\nwas still running after " << options_.timeout.count() << " s\nout:\n"
                    << out().substr(0, 4000) << "\nerr:\n"
                    << err().substr(0, 4000);
      break;
    }
    std::unique_lock lock(mutex_);
    // At the end of its output it is about to end.
    if (open_ == 0) {
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } else {
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
  }
  Ended ended;
  ended.seconds = std::chrono::duration<double>(Steady::now() - started_).count();
  for (std::thread* thread : {&out_reader_, &err_reader_, &writer_}) {
    if (thread->joinable()) thread->join();
  }
  ended.code = *status_;
  ended.out = out();
  ended.err = err();
  ended.peak_kib = peak_kib_;
  return ended;
}

Ended run_program(const Arguments& command, const Options& options) {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto& [name, value] : options.env) {
    if (value)
      environment[name] = *value;
    else
      environment.erase(name);
  }
  return Process(command, environment, options).wait();
}

std::string sh(const std::string& script) {
  Options options;
  options.timeout = std::chrono::seconds(180);
  Ended ended = run_program({"bash", "-c", "set -euo pipefail\n" + script}, options);
  if (ended.code != 0) {
    throw std::runtime_error(script + "\nfailed with " + std::to_string(ended.code) + ": " + ended.out + ended.err);
  }
  return ended.out;
}

}  // namespace e2e
