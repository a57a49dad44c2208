#include "runner/run/run_steps.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "pipelines/moa.h"

namespace runner {
namespace {

using pipelines::MoaError;
using pipelines::MoaValue;
using pipelines::VariableSet;

void put(MoaValue& object, const std::string& name, std::string value) {
  object.keys.push_back(name);
  object.items.push_back(MoaValue::of(std::move(value)));
}

MoaValue variables_object(const VariableSet& variables, bool predefined_only) {
  MoaValue object;
  object.type = MoaValue::Type::object;
  for (const auto& [name, entry] : variables.entries()) {
    const bool shown = name.starts_with("CI_") || name.starts_with("DOCKER_") || name.starts_with("GITLAB_");
    if (!entry.file && (shown || !predefined_only)) put(object, name, entry.value);
  }
  return object;
}

class Evaluation {
 public:
  Evaluation(const VariableSet& variables, const std::string& project_dir, const executors::Environment& own)
      : variables_(variables), project_dir_(project_dir), own_(own) {}

  // The text; absent after an error.
  std::optional<std::string> text(const std::string& written) {
    if (!pipelines::has_moa(written)) return written;
    const auto result = pipelines::interpolate(written, [this](std::string_view name) { return look_up(name); });
    if (const auto* error = std::get_if<MoaError>(&result)) {
      complaint_ = error->message + (error->hint.empty() ? "" : " (" + error->hint + ")");
      return std::nullopt;
    }
    return std::get<MoaValue>(result).str();
  }
  const std::string& complaint() const { return complaint_; }

 private:
  std::optional<MoaValue> look_up(std::string_view name) const {
    if (name == "vars" || name == "job") return variables_object(variables_, name == "job");
    if (name == "work_dir") return MoaValue::of(project_dir_);
    if (name != "env") return std::nullopt;
    MoaValue environment = variables_object(variables_, false);
    for (const auto& [own, value] : own_) put(environment, own, value);
    return environment;
  }

  const VariableSet& variables_;
  const std::string& project_dir_;
  const executors::Environment& own_;
  std::string complaint_;
};

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + '\'';
}

}  // namespace

std::vector<executors::WorkStep> work_steps(const std::vector<pipelines::RunStep>& steps, const VariableSet& variables,
                                            const std::string& project_dir) {
  std::vector<executors::WorkStep> result;
  result.reserve(steps.size());
  for (const pipelines::RunStep& step : steps) {
    executors::WorkStep& made = result.emplace_back();
    made.name = step.name;
    Evaluation evaluation(variables, project_dir, made.environment);
    bool good = true;
    for (const auto& [name, value] : step.env) {
      const std::optional<std::string> text = evaluation.text(value);
      good = good && text;
      made.environment.emplace_back(name, text.value_or(""));
    }
    const std::optional<std::string> script = evaluation.text(step.script);
    made.script = good && script
                      ? *script
                      : fmt::format("printf '%s\\n' {} >&2; exit 1",
                                    shell_quoted(fmt::format("step {}: {}", step.name, evaluation.complaint())));
  }
  return result;
}

}  // namespace runner
