// Processes of this host, for the shell executor: started apart from us, named for ever, found with all below them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace executors {

// A process by its number and the time it started at, so that a number used again is not taken for it.
struct ProcessName {
  pid_t pid = -1;
  std::uint64_t start = 0;  // clock ticks since boot
};

// Absent when it is gone; a zombie counts as gone.
std::optional<ProcessName> find_process(pid_t);
bool is_alive(const ProcessName&);

// Starts a program in its own session, its standard streams on `stream` (a terminal becomes the session's own), with
// default signals. Throws std::system_error when it cannot be run.
ProcessName start_detached(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                           const std::string& stream = "/dev/null");

// All that is below a process, zombies left out.
std::vector<pid_t> descendants(pid_t);
// All whose environment has "NAME=VALUE": how to find what is left when nobody stands above it any more.
std::vector<pid_t> processes_with(const std::string& variable);

// Kills what `find` finds until it finds nothing: all are stopped first, so that none makes another meanwhile. `reap`
// is called after each round. False when some are left after 5 s.
bool kill_all(const std::function<std::vector<pid_t>()>& find, const std::function<void()>& reap);

}  // namespace executors
