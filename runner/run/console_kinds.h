// The three consoles, for make_console alone.
#pragma once

#include <memory>

#include "runner/run/console.h"

namespace runner {

std::unique_ptr<Console> make_pretty_console(const ConsoleOptions&);
std::unique_ptr<Console> make_plain_console(const ConsoleOptions&);
std::unique_ptr<Console> make_json_console(const ConsoleOptions&);

}  // namespace runner
