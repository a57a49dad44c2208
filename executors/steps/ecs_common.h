// What the two steps of ECS have in common.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "executors/aws/ecs.h"
#include "executors/aws/task_definition.h"
#include "executors/steps/context.h"

namespace executors::steps {

// The revision that the step is to use: `reference` (a file of the project, a family or an ARN) with the changes.
// Registered unless the newest revision of the family says the same; once, also across a restart: `name` is its entry
// in the journal. The difference is shown.
aws::EcsTaskDefinition task_definition_with(Context&, aws::Ecs&, std::string_view name, std::string_view reference,
                                            const aws::TaskChanges&, const aws::Tags& tags);

// Where a container's log goes, as far as it can be read again: the awslogs driver with a stream prefix.
struct LogPlace {
  std::string group, region, prefix;
  std::string stream(std::string_view container, std::string_view task) const;
};
std::optional<LogPlace> log_place(const nlohmann::json& task_definition, std::string_view container);

// Why tasks stopped, with the last lines of what their containers said, into the job's log. What cannot be had is
// said, and fails nothing.
void explain_stopped(Context&, const std::vector<aws::EcsTask>&, const nlohmann::json& task_definition, int log_lines,
                     const std::stop_token&);

// "exit code 1", "no exit code: it never started, or was killed (OutOfMemoryError: …)".
std::string end_of(const aws::EcsContainer&);

}  // namespace executors::steps
