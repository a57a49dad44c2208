// What a pull's stream of messages amounts to, as one line for people. Pure; fed by Engine::pull.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace executors::docker {

// One message of the stream: {"status":"Downloading","id":"0a1b…","progressDetail":{"current":1,"total":2}}.
struct PullMessage {
  std::string status, layer, error;
  std::uint64_t current = 0, total = 0;
};
// A line that is not such a message gives an empty one: engines differ, and progress is never worth a failure.
PullMessage parse_pull_message(std::string_view line);

class PullSummary {
 public:
  explicit PullSummary(std::string reference) : reference_(std::move(reference)) {}
  // True when the text has changed.
  bool add(const PullMessage&);
  // "pulling node:18", then "pulling node:18: 3 of 7 layers, 45 %". The percentage never falls.
  std::string text() const;

 private:
  struct Layer {
    double done = 0;  // of 1: the download counts for 0.7 of it, unpacking for the rest
    std::uint64_t size = 0;
  };
  std::string reference_;
  std::map<std::string, Layer> layers_;
  int percent_ = 0;
};

}  // namespace executors::docker
