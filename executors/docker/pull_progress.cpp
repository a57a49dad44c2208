#include "executors/docker/pull_progress.h"

#include <fmt/core.h>

#include <algorithm>

#include "executors/docker/json.h"

namespace executors::docker {
namespace {

constexpr double download_share = 0.7;
// What a layer counts for before its size is known; most are small, and one must not stall the percentage.
constexpr std::uint64_t assumed_size = 1024 * 1024;

// Bytes: some engines write them as floating point.
std::uint64_t bytes_at(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = at(object, key);
  const double number = value.is_number() ? value.get<double>() : 0;
  return number > 0 && number < 1e18 ? static_cast<std::uint64_t>(number) : 0;
}

}  // namespace

PullMessage parse_pull_message(std::string_view line) {
  PullMessage message;
  const nlohmann::json json = parse_json(line);
  message.status = text_at(json, "status");
  message.layer = text_at(json, "id");
  message.error = text_at(at(json, "errorDetail"), "message");
  if (message.error.empty()) message.error = text_at(json, "error");
  message.current = bytes_at(at(json, "progressDetail"), "current");
  message.total = bytes_at(at(json, "progressDetail"), "total");
  return message;
}

bool PullSummary::add(const PullMessage& message) {
  // The first message names the repository and has the tag for its id.
  if (message.layer.empty() || message.status.starts_with("Pulling from")) return false;
  const std::string before = text();
  Layer& layer = layers_[message.layer];
  const double part = message.total == 0
                          ? 0.0
                          : std::min(1.0, static_cast<double>(message.current) / static_cast<double>(message.total));
  double done = 0;
  if (message.status == "Downloading") {
    layer.size = std::max(layer.size, message.total);
    done = download_share * part;
  } else if (message.status == "Verifying Checksum" || message.status == "Download complete") {
    done = download_share;
  } else if (message.status == "Extracting") {
    done = download_share + (1 - download_share) * part * 0.99;  // whole only when the engine says so
  } else if (message.status == "Pull complete" || message.status == "Already exists") {
    done = 1;
  }
  layer.done = std::max(layer.done, done);

  double sum = 0;
  double all = 0;
  for (const auto& [id, one] : layers_) {
    const auto weight = static_cast<double>(one.size == 0 ? assumed_size : one.size);
    sum += weight * one.done;
    all += weight;
  }
  percent_ = std::max(percent_, static_cast<int>(100 * sum / all));
  return text() != before;
}

std::string PullSummary::text() const {
  if (layers_.empty()) return fmt::format("pulling {}", reference_);
  const auto done =
      std::count_if(layers_.begin(), layers_.end(), [](const auto& layer) { return layer.second.done >= 1; });
  return fmt::format("pulling {}: {} of {} layer{}, {} %", reference_, done, layers_.size(),
                     layers_.size() == 1 ? "" : "s", percent_);
}

}  // namespace executors::docker
