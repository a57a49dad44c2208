// The three consoles, for make_console alone.
#pragma once

#include <memory>

#include "runner/run/console.h"

namespace runner {

std::unique_ptr<Observer> make_pretty_console(const ConsoleOptions&);
std::unique_ptr<Observer> make_plain_console(const ConsoleOptions&);
std::unique_ptr<Observer> make_json_console(const ConsoleOptions&);

}  // namespace runner
