// What a new revision of a task definition says (Amazon ECS API Reference, RegisterTaskDefinition), and in what it
// differs from another. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace executors::aws {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

struct TaskChanges {
  NamedTexts images;  // container: image
  std::string image;  // of every container that runs the same repository
  std::vector<std::pair<std::string, NamedTexts>> environment, secrets;  // by container
  std::string cpu, memory;                                               // of the task
};

// What the author's changes do not fit. In one line.
class TaskDefinitionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file's text: the parameters of RegisterTaskDefinition, or what DescribeTaskDefinition answers. `file` is for
// messages. Throws TaskDefinitionError.
nlohmann::json parse_task_definition(std::string_view text, std::string_view file);

// Everything that is not changed stays as it is, empty values too. Throws TaskDefinitionError, naming the containers
// that there are.
nlohmann::json changed(nlohmann::json document, const TaskChanges&);

// Whether registering `wanted` would only repeat `registered`: the order of keys, and of lists whose order means
// nothing, does not count, nor do values that ECS fills in.
bool same_task(const nlohmann::json& wanted, const nlohmann::json& registered);

// One line for each value that differs: "~ containerDefinitions[app].image: a:1 → a:2". Values of environment
// variables and of a log driver's options are not shown: what is secret among them is not known.
std::vector<std::string> difference(const nlohmann::json& before, const nlohmann::json& after);

// All images, in order, none twice.
std::vector<std::string> images_of(const nlohmann::json& document);

// Without tag and digest.
std::string_view repository_of(std::string_view image);

}  // namespace executors::aws
