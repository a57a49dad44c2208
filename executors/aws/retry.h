// When a call is made again (AWS SDKs and Tools Reference Guide, "Retry behavior", mode "standard"). Pure.
#pragma once

#include <chrono>
#include <string_view>

namespace executors::aws {

// What it would mean if a call whose answer was lost had reached the service after all.
enum class Repeat {
  read,   // nothing
  same,   // nothing more: the service knows the call by its token or its name
  never,  // a second effect: only repeated when it certainly had none
};

enum class Trouble {
  none,         // the service's answer, good or bad: not repeated
  throttled,    // refused before it was looked at
  busy,         // 5xx: it may have acted
  unreachable,  // nothing was sent
  cut,          // sent, and no answer
  expired,      // the credentials are too old: once, with new ones
  skewed,       // our clock is wrong: once, with the service's
};

Trouble trouble_of(int status, std::string_view code);

bool may_repeat(Repeat, Trouble);

// Attempts in all, and so much patience between two: `random` in [0, 1); never more than 20 s.
inline constexpr int most_attempts = 10;
std::chrono::milliseconds pause_before(int attempt, double random);

}  // namespace executors::aws
