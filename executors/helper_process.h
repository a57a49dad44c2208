// A small program that is asked one thing and answers at once: Docker's credential helpers, AWS's credential_process.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace executors {

struct HelperResult {
  int exit_code = -1;  // -1: ended by a signal
  bool timed_out = false;
  std::string output;
};

// Runs `arguments` (the program is looked up in PATH) with `input` on stdin, which has to fit into a pipe (64 KiB); its
// stderr goes nowhere. Killed, with all that it started, after `patience` or when it says more than `most_bytes`.
// Throws std::system_error when it cannot be started.
HelperResult run_helper(std::vector<std::string> arguments, std::string_view input, std::chrono::milliseconds patience,
                        std::size_t most_bytes);

}  // namespace executors
