// Files of a project that is only in memory, and of others, for the tests of `include`.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "pipelines/includes.h"
#include "pipelines/parse.h"

namespace pipelines {

class FakeIncludes : public Includes {
 public:
  std::map<std::string, std::string> files;      // of origin 0
  std::map<std::string, std::string> other;      // of origin 1: the project group/other
  std::map<std::string, std::string> elsewhere;  // addresses, templates and components
  std::vector<IncludeRequest> asked;

  std::variant<IncludedFile, IncludeFault> read(const IncludeRequest& request, Origin from) override {
    asked.push_back(request);
    const bool in_other = request.kind == IncludeKind::project || (request.kind == IncludeKind::local && from == 1);
    const bool local = request.kind == IncludeKind::local || request.kind == IncludeKind::project;
    const auto& where = !local ? elsewhere : in_other ? other : files;
    const auto found = where.find(request.location);
    if (found == where.end()) {
      return IncludeFault{"there is no " + request.location + " in the project", ""};
    }
    IncludedFile file{(in_other ? "other:" : "") + request.location, found->second, in_other ? 1U : 0U, {}, {}};
    if (request.kind == IncludeKind::component) {
      file.component = {{"name", "deploy"}, {"version", "1.2.3"}};
    }
    return file;
  }

  std::vector<std::string> paths(Origin origin) override {
    std::vector<std::string> names;
    for (const auto& [name, text] : origin == 0 ? files : other) {
      names.push_back(name);
    }
    return names;
  }
};

// Parses as the file pipeline.yml of the project.
struct Composed {
  FakeIncludes includes;
  VariableSet variables;
  std::vector<std::pair<std::string, std::string>> inputs;

  Context context() {
    Context context;
    context.includes = &includes;
    context.variables = [this] { return variables; };
    context.path = "pipeline.yml";
    context.inputs = inputs;
    return context;
  }
  Parsed parse(std::string_view text) { return pipelines::parse(text, "pipeline.yml", context()); }

  // "FILE:LINE:COLUMN: message | hint" for each diagnostic.
  std::string said(std::string_view text) {
    const Parsed parsed = parse(text);
    std::string all;
    for (const Diagnostic& d : parsed.diagnostics) {
      all += parsed.sources.at(d.mark.source).name + ":" + std::to_string(d.mark.line) + ":" +
             std::to_string(d.mark.column) + ": " + (d.severity == Severity::warning ? "warning: " : "") + d.message +
             (d.hint.empty() ? "" : " | " + d.hint) + "\n";
    }
    return all;
  }
};

}  // namespace pipelines
