#include "executors/docker/pull_progress.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace executors::docker {
namespace {

constexpr double download_share = 0.7;
// What a layer counts for before its size is known; most are small, and one must not stall the percentage.
constexpr std::uint64_t assumed_size = 1024 * 1024;

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return 0;
  const double number = found->get<double>();
  return number > 0 && number < 1e18 ? static_cast<std::uint64_t>(number) : 0;
}

}  // namespace

PullMessage parse_pull_message(std::string_view line) {
  PullMessage message;
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return message;
  message.status = text_of(json, "status");
  message.layer = text_of(json, "id");
  message.error = text_of(json, "error");
  if (const auto detail = json.find("errorDetail"); detail != json.end() && detail->is_object()) {
    if (const std::string text = text_of(*detail, "message"); !text.empty()) message.error = text;
  }
  if (const auto detail = json.find("progressDetail"); detail != json.end() && detail->is_object()) {
    message.current = number_of(*detail, "current");
    message.total = number_of(*detail, "total");
  }
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
