// Amazon CloudWatch Logs (docs.aws.amazon.com, Amazon CloudWatch Logs API Reference). All throw what Caller throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "executors/aws/caller.h"

namespace executors::aws {

struct LogEvent {
  std::int64_t time = 0;  // milliseconds since 1970
  std::string message;
};

struct LogPage {
  std::vector<LogEvent> events;  // the oldest first
  std::string next;              // the token of the page after it; the same as was asked with: nothing new yet
};

class Logs {
 public:
  explicit Logs(Caller& caller) : caller_(caller) {}

  // From the beginning, or from `next` of an earlier page on. Absent: there is no such stream, or not yet.
  std::optional<LogPage> forward(std::string_view group, std::string_view stream, const std::string& next,
                                 const std::stop_token& = {});
  // The newest so many. Absent as above.
  std::optional<std::vector<LogEvent>> tail(std::string_view group, std::string_view stream, int lines,
                                            const std::stop_token& = {});

 private:
  std::optional<LogPage> read(const nlohmann::json& parameters, const std::stop_token&);
  Caller& caller_;
};

}  // namespace executors::aws
