#include "pipelines/shape.h"

#include <fmt/format.h>

#include <initializer_list>

namespace pipelines {
namespace {

constexpr const char* text_shape = R"({"type":"string"})";

}  // namespace

std::string shape_of(const std::string*) { return text_shape; }
std::string shape_of(const bool*) { return R"({"type":"boolean"})"; }
std::string shape_of(const std::vector<std::string>*) { return list_shape(text_shape); }
std::string shape_of(const std::chrono::seconds*) {
  return R"({"anyOf":[{"type":"string","minLength":1},{"type":"number","minimum":0}]})";
}

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += std::string("\\") + c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string any_shape_of(std::initializer_list<std::string> shapes) {
  std::string text;
  for (const std::string& shape : shapes) text += (text.empty() ? "" : ",") + shape;
  return R"({"anyOf":[)" + text + "]}";
}

std::string list_shape(const std::string& item, std::string_view more) {
  return R"({"type":"array","items":)" + item + std::string(more) + "}";
}

std::string enumeration_shape(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ",") + json_string(word);
  return R"({"enum":[)" + text + "]}";
}

std::string property_shape(std::string_view name, Support support, std::string_view note, const Shape& shape) {
  const std::string key = json_string(name) + ":";
  switch (support) {
    case Support::done:
      return key + any_shape_of({shape.json ? shape.json() : std::string(missing_shape), R"({"type":"null"})"});
    case Support::left_out:
      return key + R"({"description":)" + json_string(fmt::format("Left out: {}.", note)) + "}";
    case Support::refused:
      return key + R"({"type":"null","description":)" + json_string(fmt::format("Not supported yet: {}.", note)) + "}";
  }
  return {};
}

namespace shapes {

std::string anything() { return "{}"; }
std::string string_or_list() { return any_shape_of({text_shape, list_shape(text_shape)}); }
std::string commands() { return R"({"$ref":"#/definitions/commands"})"; }
std::string names() { return R"({"$ref":"#/definitions/names"})"; }
std::string includes() {
  const std::string one = R"({"type":["string","object"]})";
  return any_shape_of({one, list_shape(one)});
}
std::string matrix() {
  const std::string value = R"({"type":["string","number","boolean"]})";
  const std::string values = any_shape_of({value, list_shape(value, R"(,"minItems":1)")});
  return list_shape(R"({"type":"object","minProperties":1,"additionalProperties":)" + values + "}", R"(,"minItems":1)");
}
std::string exit_codes() {
  const std::string code = R"({"type":"integer","minimum":0,"maximum":255})";
  return any_shape_of({code, list_shape(code)});
}

}  // namespace shapes
}  // namespace pipelines
