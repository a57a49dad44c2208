#include "executors/aws/logs.h"

namespace executors::aws {

using nlohmann::json;

std::optional<LogPage> Logs::read(const json& parameters, const std::stop_token& stop) {
  try {
    const json answer = caller_.json("GetLogEvents", parameters, Repeat::read, stop);
    LogPage page;
    page.next = answer.value("nextForwardToken", "");
    for (const json& each : answer.value("events", json::array())) {
      page.events.push_back({each.value("timestamp", std::int64_t{0}), each.value("message", "")});
    }
    return page;
  } catch (const CallError& error) {
    if (error.is("ResourceNotFoundException")) return std::nullopt;
    throw;
  }
}

std::optional<LogPage> Logs::forward(std::string_view group, std::string_view stream, const std::string& next,
                                     const std::stop_token& stop) {
  json parameters{{"logGroupName", group}, {"logStreamName", stream}, {"startFromHead", true}};
  if (!next.empty()) parameters["nextToken"] = next;
  return read(parameters, stop);
}

std::optional<std::vector<LogEvent>> Logs::tail(std::string_view group, std::string_view stream, int lines,
                                                const std::stop_token& stop) {
  auto page =
      read({{"logGroupName", group}, {"logStreamName", stream}, {"startFromHead", false}, {"limit", lines}}, stop);
  if (!page) return std::nullopt;
  return std::move(page->events);
}

}  // namespace executors::aws
