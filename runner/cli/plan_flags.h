// The words and flags that say what is planned: the same for `exec` and `plan`.
#pragma once

#include <string>
#include <vector>

#include "runner/cli/load.h"

namespace CLI {
class App;
}

namespace runner {

struct PlanFlags {
  std::vector<std::string> words;  // [FILE] [JOB…]
  std::vector<std::string> variables, inputs, secrets, env_files;
  std::string project, branch, tag, event = "push", target_branch, since, revision, schedule, trigger_payload;
  MergeRequest merge_request;
  bool needs = false, is_protected = false;

  void add_to(CLI::App& command);
  static void add_secrets(CLI::App& command, PlanFlags&);  // add_to() does; alone for `resume`
  // Without masked values; the jobs are taken out of `words`. Throws UsageError.
  PlanOptions options(Words& words) const;
  // Of --env-file, then --secret. Asks for secrets that are nowhere else. Throws UsageError.
  std::vector<NamedValue> masked() const;
};

}  // namespace runner
