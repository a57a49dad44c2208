// `runner completion bash|zsh|fish`: completion scripts made from the CLI11 model, so they cannot go stale.
#pragma once

#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace runner {

// The script for a shell ("bash", "zsh" or "fish"); throws std::invalid_argument for another. Arguments called JOB (or
// JOBS) are completed by running the hidden command `runner __jobs [FILE]`, which prints one job name a line.
std::string completion_script(const CLI::App& program, std::string_view shell);

}  // namespace runner
