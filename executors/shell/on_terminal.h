// A program of this host on a person's terminal, by a pseudo-terminal of its own: Ctrl-C is its signal, not ours.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "executors/executor.h"

namespace executors {

// Returns when it has ended; a stop request hangs up on it. Throws WorldError when it cannot be started.
void run_on_terminal(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                     const Terminal&, const std::stop_token&);

}  // namespace executors
