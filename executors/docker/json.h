// Reading other programs' JSON without trusting it: the engine leaves out or nulls what it does not have, and engines
// differ. What is missing or of another type reads as empty; nothing here throws.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace executors::docker {

// A document that is none becomes a discarded one.
nlohmann::json parse_json(std::string_view);
std::string dump_json(const nlohmann::json&);  // never throws: invalid UTF-8 is replaced

const nlohmann::json& at(const nlohmann::json& object, const char* key);
std::string text_at(const nlohmann::json& object, const char* key);
bool flag_at(const nlohmann::json& object, const char* key);
std::int64_t number_at(const nlohmann::json& object, const char* key, std::int64_t otherwise = 0);
std::vector<std::string> texts_at(const nlohmann::json& object, const char* key);
std::map<std::string, std::string> labels_at(const nlohmann::json& object, const char* key);

}  // namespace executors::docker
