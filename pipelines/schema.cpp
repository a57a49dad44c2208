#include "pipelines/schema.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <vector>

#include "pipelines/keywords.h"
#include "pipelines/shape.h"

namespace pipelines {
namespace {

// A list may hold lists, to any depth.
std::string nested(std::string_view name, bool alone) {
  const std::string list = fmt::format(
      R"({{"type":"array","items":{{"anyOf":[{{"type":"string"}},{{"$ref":"#/definitions/{}"}}]}}}})", name);
  return alone ? any_shape_of({R"({"type":"string"})", list}) : list;
}

std::string job_properties() {
  std::string text;
  for (const JobKeyword& row : job_keywords()) {
    text +=
        (text.empty() ? "" : ",") + property_shape(row.field.name, row.field.support, row.field.note, row.field.shape);
  }
  return text;
}

// A job's own keyword, by reference.
std::string same_as_in_job(std::string_view keyword) {
  return fmt::format("{}:{{\"$ref\":\"#/definitions/job/properties/{}\"}}", json_string(keyword), keyword);
}

// Without a `script` of its own a job takes one from what it extends, or has another kind of work.
std::string job() {
  std::string work;
  std::vector<std::string_view> keywords = {"script", "extends", "trigger", "run"};
  keywords.insert(keywords.end(), std::begin(step_keywords), std::end(step_keywords));
  for (const std::string_view keyword : keywords) {
    work += fmt::format("{}{{\"required\":[\"{}\"]}}", work.empty() ? "" : ",", keyword);
  }
  return R"({"type":"object","properties":{)" + job_properties() + R"(},"additionalProperties":false,"anyOf":[)" +
         work + "]}";
}

std::string defaults() {
  std::string properties;
  for (const JobKeyword& row : job_keywords()) {
    if (row.in_default) properties += (properties.empty() ? "" : ",") + same_as_in_job(row.field.name);
  }
  return R"({"type":"object","properties":{)" + properties + R"(},"additionalProperties":false})";
}

std::string globals() {
  std::string text;
  for (const Field<PipelineDraft>& row : global_keywords()) {
    const bool of_job = is_job_keyword(row.name) && row.name != "variables";
    text += (text.empty() ? "" : ",") +
            (of_job ? same_as_in_job(row.name) : property_shape(row.name, row.support, row.note, row.shape));
  }
  return text;
}

}  // namespace

std::string schema() {
  return R"({"$schema":"http://json-schema.org/draft-07/schema#","title":"A pipeline of runner",)"
         R"("description":"Made by `runner schema` from the parser's tables of keywords.",)"
         R"("type":"object","minProperties":1,"properties":{)" +
         globals() + R"(},"patternProperties":{"^\\.":{}},"additionalProperties":{"$ref":"#/definitions/job"},)" +
         R"("definitions":{"job":)" + job() + R"(,"default":)" + defaults() + R"(,"commands":)" +
         nested("commands", true) + R"(,"names":)" + nested("names", false) + R"(,"needs":)" + needs_definition() +
         R"(,"rules":)" + rules_definition() + R"(,"workflow_rules":)" + workflow_rules_definition() + "}}";
}

}  // namespace pipelines
