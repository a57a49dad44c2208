#include "executors/steps/ecs_common.h"

#include <fmt/core.h>

#include <algorithm>

#include "executors/aws/logs.h"
#include "pipelines/steps.h"

namespace executors::steps {
namespace {

using aws::short_name;
using nlohmann::json;

constexpr const char* run_tag = "runner:job";  // which job of ours registered a revision: Context::token
constexpr int most_registrations = 6;

aws::Tags tags_in(const json& document) {
  aws::Tags tags;
  if (!document.contains("tags") || !document.at("tags").is_array()) return tags;
  for (const json& each : document.at("tags")) tags[each.value("key", "")] = each.value("value", "");
  return tags;
}

// The newest of the family; absent where nothing of it is registered.
std::optional<aws::EcsTaskDefinition> newest(aws::Ecs& ecs, const std::string& family, const std::stop_token& stop) {
  try {
    return ecs.task_definition(family, stop);
  } catch (const aws::CallError& error) {
    if (error.trouble == aws::Trouble::none && error.is("ClientException")) return std::nullopt;
    throw;
  }
}

// Two at once are refused by a plain ClientException.
bool is_another_registration(const aws::CallError& error) {
  return error.fault.message.find("Too many concurrent attempts") != std::string::npos;
}

aws::EcsTaskDefinition register_patiently(Context& context, aws::Ecs& ecs, const json& document,
                                          const aws::Tags& tags) {
  for (int attempt = 1;; ++attempt) {
    try {
      return ecs.register_task_definition(document, tags, context.stop());
    } catch (const aws::CallError& error) {
      if (!is_another_registration(error) || attempt >= most_registrations) throw;
      context.say(fmt::format("{}; trying again", error.what()));
      context.pause(aws::pause_before(attempt + 1, 0.5), context.stop());
    }
  }
}

void show_difference(Context& context, const json& before, const json& after) {
  for (const std::string& line : aws::difference(before, after)) context.say("  " + line);
}

}  // namespace

aws::EcsTaskDefinition task_definition_with(Context& context, aws::Ecs& ecs, std::string_view name,
                                            std::string_view reference, const aws::TaskChanges& changes,
                                            const aws::Tags& tags) {
  if (const auto known = context.remembered(name)) {
    return ecs.task_definition(known->at("arn"), context.stop());
  }
  json document;
  aws::Tags all;
  std::optional<aws::EcsTaskDefinition> base;
  const bool from_file = pipelines::is_task_definition_file(reference);
  if (from_file) {
    document = aws::parse_task_definition(context.read_file(reference), reference);
    all = tags_in(document);
    base = newest(ecs, document.at("family").get<std::string>(), context.stop());
  } else {
    base = ecs.task_definition(reference, context.stop());
    document = base->document;
    all = base->tags;
  }
  document = aws::changed(std::move(document), changes);
  document.erase("tags");
  for (const auto& [key, value] : tags) all[key] = value;

  if (base && aws::same_task(document, base->document)) {
    context.say(fmt::format("{} says this already: no new revision", short_name(base->arn)));
    context.remember(name, [&] { return Facts{{"arn", base->arn}}; });
    return *base;
  }
  if (base) {
    context.say(fmt::format("{} and what is to be registered:", short_name(base->arn)));
    show_difference(context, base->document, document);
  }
  const std::string token = context.token();
  all[run_tag] = token;
  const std::string family = document.value("family", "");
  const Facts made = context.once(
      name, {{"family", family}},
      [&]() -> std::optional<Facts> {
        const auto found = newest(ecs, family, context.stop());
        const auto tag = found ? found->tags.find(run_tag) : aws::Tags::const_iterator{};
        if (!found || tag == found->tags.end() || tag->second != token) return std::nullopt;
        return Facts{{"arn", found->arn}};
      },
      [&] {
        return Facts{{"arn", register_patiently(context, ecs, document, all).arn}};
      });
  aws::EcsTaskDefinition result = ecs.task_definition(made.at("arn"), context.stop());
  context.say(fmt::format("registered {}", short_name(result.arn)));
  return result;
}

std::string LogPlace::stream(std::string_view container, std::string_view task) const {
  return fmt::format("{}/{}/{}", prefix, container, task);
}

std::optional<LogPlace> log_place(const json& task_definition, std::string_view container) {
  const json containers = task_definition.value("containerDefinitions", json::array());
  for (const json& each : containers) {
    if (each.value("name", "") != container || !each.contains("logConfiguration")) continue;
    const json& log = each.at("logConfiguration");
    if (!log.is_object() || log.value("logDriver", "") != "awslogs") return std::nullopt;
    const json options = log.value("options", json::object());
    LogPlace place{options.value("awslogs-group", ""), options.value("awslogs-region", ""),
                   options.value("awslogs-stream-prefix", "")};
    if (place.group.empty() || place.prefix.empty()) return std::nullopt;
    return place;
  }
  return std::nullopt;
}

std::string end_of(const aws::EcsContainer& container) {
  const std::string reason = container.reason.empty() ? "" : fmt::format(" ({})", container.reason);
  if (container.exit_code) return fmt::format("exit code {}{}", *container.exit_code, reason);
  return fmt::format("no exit code: it never started, or was killed{}", reason);
}

void explain_stopped(Context& context, const std::vector<aws::EcsTask>& tasks, const json& task_definition,
                     int log_lines, const std::stop_token& stop) {
  for (const auto& task : tasks) {
    context.say(fmt::format("task {} stopped: {}{}", task.id,
                            task.stopped_reason.empty() ? "no reason given" : task.stopped_reason,
                            task.stop_code.empty() ? "" : fmt::format(" ({})", task.stop_code)));
    for (const auto& container : task.containers) {
      const std::string health =
          container.health.empty() || container.health == "UNKNOWN" ? "" : fmt::format(", {}", container.health);
      context.say(fmt::format("  container {}: {}{}", container.name, end_of(container), health));
      const auto place = log_place(task_definition, container.name);
      if (!place || log_lines == 0 || (!place->region.empty() && place->region != context.aws().region())) continue;
      try {
        aws::Logs logs(context.aws().of(aws::services::logs));
        const auto lines = logs.tail(place->group, place->stream(container.name, task.id), log_lines, stop);
        if (!lines) continue;
        for (const auto& line : *lines) context.say(fmt::format("    | {}", line.message));
      } catch (const aws::CallError& error) {
        context.say(fmt::format("    its log cannot be read: {}", error.what()));
      }
    }
  }
}

}  // namespace executors::steps
