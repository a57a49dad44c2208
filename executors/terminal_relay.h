// Carries bytes between a person's terminal and a shell somewhere else, until one side ends.
#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>
#include <string_view>

#include "executors/executor.h"

namespace executors {

// The shell's side.
struct FarEnd {
  int descriptor = -1;                                  // readable when read() will not wait
  std::function<bool()> pending;                        // there is more to read that the descriptor does not tell of
  std::function<std::size_t(char*, std::size_t)> read;  // some bytes; 0: the end
  std::function<bool(std::string_view)> write;          // false: it is gone
  std::function<void(int columns, int rows)> resize;
  std::function<bool()> over;  // asked once a second: the shell has ended, though something holds its output open
};

// Returns when the shell or the terminal has ended, or at a stop request. The terminal's size is looked at five times a
// second: a handler for SIGWINCH would interrupt the system calls of every other thread.
void relay(const Terminal&, const FarEnd&, const std::stop_token&);

// All of it, also where somebody made the descriptor non-blocking; false when nobody reads any more.
bool write_whole(int descriptor, std::string_view bytes);

}  // namespace executors
