// What the value of a keyword may look like, as JSON Schema (draft-07, json-schema.org/draft-07): for the editors'
// schema that schema.h makes. What can be said by types and words alone; the rest only the parser knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/pipeline.h"

namespace pipelines {

struct Parallel;  // keywords.h

// Whether a keyword of GitLab's is carried out here.
enum class Support : std::uint8_t {
  done,
  left_out,  // the pipeline means the same without it, or nearly: one warning
  refused,   // without it something else would run than was meant: an error
};

// Makes the JSON text when it is asked for; null where nobody has told. What is not told is `missing_shape` in the
// schema, which a test refuses.
struct Shape {
  std::string (*json)() = nullptr;
};
inline constexpr std::string_view missing_shape = R"({"$comment":"no shape"})";

// The shapes of types: what read() takes for them. Those of structures stand beside their tables, in read_*.cpp.
std::string shape_of(const std::string*);
std::string shape_of(const bool*);
std::string shape_of(const std::vector<std::string>*);
std::string shape_of(const std::chrono::seconds*);
std::string shape_of(const Image*);
std::string shape_of(const std::vector<Service>*);
std::string shape_of(const Variables*);
std::string shape_of(const std::vector<Need>*);
std::string shape_of(const std::vector<RunStep>*);
std::string shape_of(const std::vector<Rule>*);
std::string shape_of(const Workflow*);
std::string shape_of(const Artifacts*);
std::string shape_of(const std::vector<Cache>*);
std::string shape_of(const Policy*);  // `only`, `except`
std::string shape_of(const Parallel*);
std::string shape_of(const Downstream*);
std::string shape_of(const Release*);
std::string shape_of(const Pages*);
std::string shape_of(const std::vector<IdToken>*);
std::string shape_of(const std::vector<Secret>*);
std::string shape_of(const AllowFailure*);
std::string shape_of(const Retry*);
std::string shape_of(const Environment*);
std::string shape_of(const TextMap*);
std::string shape_of(const RetireScan*);
std::string shape_of(const ImageBuild*);
std::string shape_of(const PackerBake*);
std::string shape_of(const EcsDeploy*);
std::string shape_of(const EcsTask*);
std::string shape_of(const AsgDeploy*);
std::string shape_of(const CloudFormation*);
std::string shape_of(const Terraform*);
std::string shape_of(const RollbackStep*);
std::string shape_of(const AwsSettings*);
std::string shape_of(const Monitor*);
std::string shape_of(const std::vector<Notify>*);
std::string shape_of(const S3Artifacts*);
std::string shape_of(const CloudwatchLogs*);
template <class T>
std::string shape_of(const T*) {
  return std::string(missing_shape);
}
template <class T>
std::string shape_of(const std::optional<T>*) {
  return shape_of(static_cast<const T*>(nullptr));
}
template <class T>
inline constexpr Shape shape_for{[] { return shape_of(static_cast<const T*>(nullptr)); }};

std::string json_string(std::string_view text);                               // quoted and escaped
std::string any_shape_of(std::initializer_list<std::string> shapes);          // anyOf
std::string list_shape(const std::string& item, std::string_view more = {});  // more: `,"maxItems":50`
std::string enumeration_shape(const std::vector<std::string_view>& words);
// `"name": shape`, where null is "not specified"; what is left out may be anything, what is refused only null.
std::string property_shape(std::string_view name, Support, std::string_view note, const Shape&);

// Shapes of several keywords.
namespace shapes {
std::string anything();
std::string string_or_list();
std::string commands();    // a string or a list, lists in it are flattened
std::string exit_codes();  // a number or a list of numbers
std::string names();       // lists in lists are flattened
std::string includes();    // what `include` takes: paths, mappings, lists of them
std::string matrix();      // of `parallel`
}  // namespace shapes

// The words of a table: words<job_when>.
template <auto& Words>
inline constexpr Shape words{[] {
  std::vector<std::string_view> all;
  for (const auto& row : Words) all.push_back(row.text);
  return enumeration_shape(all);
}};

// The definitions that refer to themselves: lists of rules in lists of rules, needs in lists of needs.
std::string needs_definition();
std::string rules_definition();
std::string workflow_rules_definition();

}  // namespace pipelines
