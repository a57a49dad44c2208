#include "executors/docker/json.h"

namespace executors::docker {

using nlohmann::json;

json parse_json(std::string_view text) { return json::parse(text, nullptr, false); }

const json& at(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

std::string text_at(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

bool flag_at(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::int64_t number_at(const json& object, const char* key, std::int64_t otherwise) {
  const json& value = at(object, key);
  return value.is_number_integer() ? value.get<std::int64_t>() : otherwise;
}

std::vector<std::string> texts_at(const json& object, const char* key) {
  std::vector<std::string> texts;
  for (const json& value : at(object, key)) {
    if (value.is_string()) texts.push_back(value.get<std::string>());
  }
  return texts;
}

std::map<std::string, std::string> labels_at(const json& object, const char* key) {
  std::map<std::string, std::string> labels;
  const json& found = at(object, key);
  if (!found.is_object()) return labels;
  for (const auto& [name, value] : found.items()) {
    if (value.is_string()) labels[name] = value.get<std::string>();
  }
  return labels;
}

std::string dump_json(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace executors::docker
