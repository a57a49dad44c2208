// `runner doctor`: is everything there that a run needs, and what did dead runs leave behind?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/config/config.h"
#include "runner/store/store.h"

namespace runner {

struct Check {
  enum class State : std::uint8_t { good, doubtful, bad };
  State state = State::good;
  std::string name;     // "engine", "disk", …
  std::string message;  // one line: what was found
  std::string hint;     // what to do; empty when nothing is
};

// Looks at everything, one check after the other, each whatever the others found. Never throws for what it looks at.
//
// `clean`: gives up the unfinished runs of this database that no living process drives, and removes the containers,
// networks and volumes they left. Never those of another owner, of a run that is driven, or of another host's run, nor
// what a person asked to be kept.
std::vector<Check> examine(const Config&, bool clean);

// Removes what `exec --keep` left of these runs, all of it: `runner doctor --remove`. Throws UsageError where there is
// nothing of a run, or where the run still goes on; StoreError; WorldError.
std::vector<Check> remove_kept(const Config&, const std::vector<std::uint64_t>& runs);

// When a run that another process had begun is over: removes what that one had made for it in Docker beside its running
// jobs and its children's (pause containers, sandboxes made ready for jobs that then were not needed). Nobody else
// knows of these. What a person asked to be kept stays. Throws WorldError.
void clear_after_predecessor(const Store&, const executors::DockerSettings&, RunId);

std::string checks_text(const std::vector<Check>&, bool colour);
std::string checks_json(const std::vector<Check>&);  // an array of name, state (ok, warning, error), message, hint
bool any_bad(const std::vector<Check>&);

}  // namespace runner
