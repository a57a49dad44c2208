// `runner completion bash|zsh|fish`: completion scripts made from the CLI11 model, so they cannot go stale.
//
// What a word may be is read off the model too: an option whose help begins `a, b or c` takes one of these; a type
// name with FILE or DIR takes paths; arguments whose type name has JOB are completed with what the hidden command
// `runner __jobs [FILE]` prints, one job name a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace runner {

// The script for a shell ("bash", "zsh" or "fish"); empty for another.
std::string completion_script(const CLI::App& program, std::string_view shell);

// The words a help text begins with: "pretty (on a terminal), plain or json (…)" has pretty, plain and json.
std::vector<std::string> choices_of(std::string_view help);

}  // namespace runner
