#include "executors/aws/task_definition.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "executors/aws/ecs.h"

namespace executors::aws {
namespace {

using nlohmann::json;

json& containers_of(json& document) {
  json& containers = document["containerDefinitions"];
  if (!containers.is_array()) containers = json::array();
  return containers;
}

std::string name_of(const json& object) {
  const auto found = object.is_object() ? object.find("name") : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

json& container(json& document, const std::string& name) {
  std::vector<std::string> known;
  for (json& each : containers_of(document)) {
    if (name_of(each) == name) return each;
    known.push_back(name_of(each));
  }
  throw TaskDefinitionError(fmt::format("the task definition {} has no container {}; it has {}",
                                        document.value("family", ""), name, fmt::join(known, ", ")));
}

// A list of {"name", `value_key`}: a name that is there gets the value in its place.
void set_named(json& object, const char* list, const char* value_key, const NamedTexts& values) {
  json& all = object[list];
  if (!all.is_array()) all = json::array();
  for (const auto& [name, value] : values) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const json& each) { return name_of(each) == name; });
    if (found != all.end())
      (*found)[value_key] = value;
    else
      all.push_back({{"name", name}, {value_key, value}});
  }
}

std::string image_of(const json& container) {
  const auto found = container.find("image");
  return found != container.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void replace_image(json& document, const std::string& image) {
  bool any = false;
  std::vector<std::string> known;
  for (json& each : containers_of(document)) {
    known.push_back(image_of(each));
    if (repository_of(image_of(each)) != repository_of(image)) continue;
    each["image"] = image;
    any = true;
  }
  if (any) return;
  throw TaskDefinitionError(fmt::format(
      "no container of the task definition {} runs an image of {}; they run {}: name the container with `images`",
      document.value("family", ""), repository_of(image), fmt::join(known, ", ")));
}

// Lists of things with names mean the same in any order.
json by_name(const json& value) {
  if (value.is_object()) {
    json result = json::object();
    for (const auto& [key, each] : value.items()) result[key] = by_name(each);
    return result;
  }
  if (!value.is_array()) return value;
  json result = json::array();
  for (const json& each : value) result.push_back(by_name(each));
  const bool named = !result.empty() &&
                     std::all_of(result.begin(), result.end(), [](const json& each) { return !name_of(each).empty(); });
  if (named) {
    std::sort(result.begin(), result.end(), [](const json& a, const json& b) { return name_of(a) < name_of(b); });
  }
  return result;
}

// What ECS answers where nothing was said.
bool is_filled_in(const std::string& key, const json& value, const json& around) {
  if (value.is_null()) return true;
  if (key == "essential") return value == true;
  if (value.is_array() || value.is_object() || value.is_string()) {
    if (value.empty() || value == "") return true;
  }
  if (value.is_number() && value == 0) return true;
  if (value.is_boolean() && value == false) return true;
  if (key == "protocol") return value == "tcp";
  if (key == "hostPort") return around.value("containerPort", json()) == value;
  if (key == "networkMode") return value == "bridge";
  return false;
}

bool same_value(const json& wanted, const json& registered) {
  if (wanted.is_object() && registered.is_object()) {
    const auto covered = [](const json& from, const json& other) {
      return std::all_of(from.items().begin(), from.items().end(), [&](const auto& each) {
        const auto there = other.find(each.key());
        return there == other.end() ? is_filled_in(each.key(), each.value(), from) : same_value(each.value(), *there);
      });
    };
    return covered(wanted, registered) && covered(registered, wanted);
  }
  if (wanted.is_array() && registered.is_array()) {
    return std::equal(wanted.begin(), wanted.end(), registered.begin(), registered.end(), same_value);
  }
  // A file may have "256" where ECS answers with a text, or the other way round.
  if (wanted.is_number() != registered.is_number() && wanted.is_primitive() && registered.is_primitive()) {
    const auto words = [](const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
    return words(wanted) == words(registered);
  }
  return wanted == registered;
}

// Passwords stand in environments too, and nobody told us of them.
bool may_be_secret(std::string_view path) {
  return path.find(".environment[") != std::string_view::npos || path.find(".options.") != std::string_view::npos ||
         path.find("repositoryCredentials") != std::string_view::npos;
}

std::string shown(const std::string& path, const std::string& value) {
  return may_be_secret(path) ? "(not shown)" : value;
}

void flatten(const json& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, each] : value.items()) flatten(each, path.empty() ? key : path + "." + key, out);
  } else if (value.is_array() && !value.empty()) {
    std::size_t number = 0;
    for (const json& each : value) {
      const std::string name = name_of(each);
      flatten(each, fmt::format("{}[{}]", path, name.empty() ? std::to_string(number) : name), out);
      ++number;
    }
  } else if (!value.is_null() && !(value.is_structured() && value.empty())) {
    out[path] =
        value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
  }
}

}  // namespace

json parse_task_definition(std::string_view text, std::string_view file) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::parse_error& error) {
    throw TaskDefinitionError(fmt::format("{}: no JSON: {}", file, error.what()));
  }
  if (document.is_object() && document.contains("taskDefinition") && document.at("taskDefinition").is_object()) {
    const json tags = document.value("tags", json());
    document = document.at("taskDefinition");
    if (tags.is_array()) document["tags"] = tags;
  }
  if (!document.is_object()) throw TaskDefinitionError(fmt::format("{}: a task definition is a JSON object", file));
  if (!document.contains("family") || !document.at("family").is_string()) {
    throw TaskDefinitionError(fmt::format("{}: the task definition has no `family`", file));
  }
  if (!document.contains("containerDefinitions") || !document.at("containerDefinitions").is_array() ||
      document.at("containerDefinitions").empty()) {
    throw TaskDefinitionError(fmt::format("{}: the task definition has no `containerDefinitions`", file));
  }
  return registrable(document);
}

json changed(json document, const TaskChanges& changes) {
  for (const auto& [name, image] : changes.images) container(document, name)["image"] = image;
  if (!changes.image.empty()) replace_image(document, changes.image);
  for (const auto& [name, values] : changes.environment) {
    set_named(container(document, name), "environment", "value", values);
  }
  for (const auto& [name, values] : changes.secrets) {
    set_named(container(document, name), "secrets", "valueFrom", values);
  }
  if (!changes.cpu.empty()) document["cpu"] = changes.cpu;
  if (!changes.memory.empty()) document["memory"] = changes.memory;
  return document;
}

bool same_task(const json& wanted, const json& registered) {
  const auto bare = [](json document) {
    document.erase("tags");
    return by_name(document);
  };
  return same_value(bare(wanted), bare(registered));
}

std::vector<std::string> difference(const json& before, const json& after) {
  std::map<std::string, std::string> was;
  std::map<std::string, std::string> is;
  flatten(before, "", was);
  flatten(after, "", is);
  std::vector<std::string> lines;
  for (const auto& [path, value] : is) {
    const auto found = was.find(path);
    if (found == was.end())
      lines.push_back(fmt::format("+ {}: {}", path, shown(path, value)));
    else if (found->second != value)
      lines.push_back(may_be_secret(path) ? fmt::format("~ {}: another value", path)
                                          : fmt::format("~ {}: {} → {}", path, found->second, value));
  }
  for (const auto& [path, value] : was) {
    if (!is.contains(path)) lines.push_back(fmt::format("- {}: {}", path, shown(path, value)));
  }
  return lines;
}

std::vector<std::string> images_of(const json& document) {
  std::vector<std::string> images;
  const auto found = document.find("containerDefinitions");
  if (found == document.end()) return images;
  for (const json& each : *found) {
    const std::string image = image_of(each);
    if (!image.empty() && std::find(images.begin(), images.end(), image) == images.end()) images.push_back(image);
  }
  return images;
}

std::string_view repository_of(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const auto slash = image.rfind('/');
  const auto tag = image.find(':', slash == std::string_view::npos ? 0 : slash);
  return image.substr(0, tag);
}

}  // namespace executors::aws
