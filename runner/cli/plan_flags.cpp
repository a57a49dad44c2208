#include "runner/cli/plan_flags.h"

#include <CLI/CLI.hpp>
#include <utility>

namespace runner {

void PlanFlags::add_to(CLI::App& command) {
  command.add_option("words", words, "the pipeline file (if it exists or ends in .yml), then jobs")
      ->type_name("[FILE] [JOB...]");
  command.add_option("--variable", variables, "a variable, stronger than the file's")
      ->type_name("K=V")
      ->allow_extra_args(false);
  command.add_option("--input", inputs, "a value for one of the file's `spec:inputs`")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command.add_option("--project", project, "the folder that jobs see as their sources")->type_name("DIR");
  command.add_option("--branch", branch, "what the run is told its branch is");
  command.add_option("--tag", tag, "what the run is told its tag is");
  command.add_option("--event", event, "push, merge_request, tag, schedule, web, api, trigger or parent_pipeline");
  command.add_option("--target-branch", target_branch, "of a merge request");
  command.add_option("--since", since, "what `changes` compares with (default: HEAD's parent)")->type_name("REF");
  command.add_option("--ref", revision, "this commit's sources, not the working tree's")->type_name("REF");
  command.add_flag("--needs", needs, "with JOB: also what it needs");
}

PlanOptions PlanFlags::options(Words& found) const {
  PlanOptions options;
  options.event = event;
  options.branch = branch;
  options.tag = tag;
  options.target_branch = target_branch;
  options.since = since;
  options.revision = revision;
  for (const auto& text : variables) options.variables.push_back(parse_assignment(text, "--variable"));
  for (const auto& text : inputs) options.inputs.push_back(parse_assignment(text, "--input"));
  options.jobs = std::move(found.jobs);
  options.with_needs = needs;
  return options;
}

}  // namespace runner
