#include "runner/cli/plan_flags.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

namespace runner {
namespace {

// What a simulated event is told; all of them are nothing without it.
void add_event_flags(CLI::App& command, PlanFlags& flags) {
  command.add_option("--event", flags.event,
                     "push, merge_request, tag, schedule, web, api, trigger, pipeline, parent_pipeline or pre_push");
  command.add_flag("--protected", flags.is_protected, "the branch or tag is protected (the default branch always is)");
  command.add_option("--schedule", flags.schedule, "the description of a schedule")->type_name("TEXT");
  command.add_option("--trigger-payload", flags.trigger_payload, "what the webhook of a trigger sent")
      ->type_name("TEXT|@FILE");
  command.add_option("--target-branch", flags.target_branch, "of a merge request (default: the default branch)");
  MergeRequest& request = flags.merge_request;
  command.add_option("--mr-iid", request.iid, "a merge request's number (default: 1)")->type_name("N");
  command.add_option("--mr-title", request.title, "its title (default: the commit's)")->type_name("TEXT");
  command.add_option("--mr-description", request.description, "its description")->type_name("TEXT");
  command.add_option("--mr-labels", request.labels, "its labels, separated by commas")->type_name("A,B");
  command.add_option("--mr-assignees", request.assignees, "its assignees, separated by commas")->type_name("A,B");
  command.add_option("--mr-milestone", request.milestone, "its milestone")->type_name("TEXT");
  command.add_flag("--mr-draft", request.draft, "it is a draft");
  command.add_flag("--mr-approved", request.approved, "it is approved");
  command.add_flag("--mr-squash", request.squash, "it is squashed when it is merged");
}

bool describes_a_merge_request(const PlanFlags& flags) {
  const MergeRequest& request = flags.merge_request;
  return !flags.target_branch.empty() || request.iid != "1" || !request.title.empty() || !request.description.empty() ||
         !request.labels.empty() || !request.assignees.empty() || !request.milestone.empty() || request.draft ||
         request.approved || request.squash;
}

std::string payload(const std::string& text) {
  if (!text.starts_with('@')) return text;
  std::ifstream file(text.substr(1), std::ios::binary);
  if (!file) throw UsageError(fmt::format("--trigger-payload {}: {}", text, std::strerror(errno)));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void refuse_what_does_not_fit(const PlanFlags& flags) {
  const bool merge_request = flags.event.starts_with("merge_request");
  if (!merge_request && describes_a_merge_request(flags)) {
    throw UsageError(
        "--target-branch and --mr-… describe a merge request\n"
        "hint: add --event merge_request");
  }
  if (merge_request && !flags.tag.empty()) {
    throw UsageError("--tag and --event merge_request: a merge request is made from a branch");
  }
  if (!flags.schedule.empty() && flags.event != "schedule") {
    throw UsageError("--schedule describes a schedule\nhint: add --event schedule");
  }
  if (!flags.trigger_payload.empty() && flags.event != "trigger") {
    throw UsageError("--trigger-payload is what a trigger sent\nhint: add --event trigger");
  }
  if (flags.event == "tag" && !flags.branch.empty()) {
    throw UsageError("--branch and --event tag: the push of a tag has no branch\nhint: say --tag NAME");
  }
}

}  // namespace

void PlanFlags::add_to(CLI::App& command) {
  command.add_option("words", words, "the pipeline file (if it exists or ends in .yml), then jobs")
      ->type_name("[FILE] [JOB...]");
  command.add_option("--variable", variables, "a variable, stronger than the file's")
      ->type_name("K=V")
      ->allow_extra_args(false);
  add_secrets(command, *this);
  command
      .add_option("--input", inputs,
                  "a value for one of the file's `spec:inputs`, and for the `inputs` of each JOB that has it")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command.add_option("--project", project, "the folder that jobs see as their sources")->type_name("DIR");
  command.add_option("--branch", branch, "what the run is told its branch is");
  command.add_option("--tag", tag, "what the run is told its tag is");
  add_event_flags(command, *this);
  command.add_option("--since", since, "what `changes` compares with (default: HEAD's parent)")->type_name("REF");
  command.add_option("--ref", revision, "this commit's sources, not the working tree's")->type_name("REF");
  command.add_flag("--needs", needs, "with JOB: also what it needs");
}

void PlanFlags::add_secrets(CLI::App& command, PlanFlags& flags) {
  command.add_option("--env-file", flags.env_files, "variables from a file of NAME=VALUE lines; masked")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      .add_option("--secret", flags.secrets,
                  "a masked variable: NAME (from the environment, or asked for), NAME=VALUE or NAME=@FILE")
      ->type_name("NAME")
      ->allow_extra_args(false);
}

std::vector<NamedValue> PlanFlags::masked() const {
  std::vector<NamedValue> masked;
  for (const auto& path : env_files) {
    for (auto& value : read_env_file(path)) masked.push_back(std::move(value));
  }
  for (const auto& secret : secrets) masked.push_back(read_secret(secret));
  return masked;
}

PlanOptions PlanFlags::options(Words& found) const {
  refuse_what_does_not_fit(*this);
  PlanOptions options;
  options.event = event;
  options.branch = branch;
  options.tag = tag;
  options.target_branch = target_branch;
  options.merge_request = merge_request;
  options.schedule = schedule;
  options.trigger_payload = payload(trigger_payload);
  options.protected_ref = is_protected;
  options.since = since;
  options.revision = revision;
  for (const auto& text : variables) {
    options.variables.push_back(parse_assignment(text, "--variable"));
    refuse_wrong_name(options.variables.back().name, "--variable");
  }
  for (const auto& text : inputs) options.inputs.push_back(parse_assignment(text, "--input"));
  options.jobs = std::move(found.jobs);
  options.with_needs = needs;
  return options;
}

}  // namespace runner
