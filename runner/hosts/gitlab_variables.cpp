#include "runner/hosts/gitlab_variables.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "runner/hosts/api_client.h"

namespace runner {
namespace {

using nlohmann::json;

constexpr long per_page = 100;   // GitLab's most
constexpr int most_pages = 100;  // no project has 10,000 variables: a server that goes astray

class Client {
 public:
  explicit Client(const GitLabAccess& access) : access_(access), http_({access.patience, {}, {}, {}}) {}

  // All pages. Absent where the server says that there is no such thing, or none for this token.
  std::optional<json> list(const std::string& path) {
    json all = json::array();
    std::string page = "1";
    for (int count = 0; !page.empty(); ++count) {
      if (count == most_pages) throw GitLabError(fmt::format("{} has more pages than there can be", access_.url));
      const std::string address = fmt::format("{}/api/v4{}?per_page={}&page={}", access_.url, path, per_page, page);
      const ApiResponse response = get(address);
      if (response.status == 403 || response.status == 404) return std::nullopt;
      refuse_failure(response);
      json items = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
      if (!items.is_array()) throw GitLabError(fmt::format("{} did not answer with a list of variables", access_.url));
      for (json& item : items) all.push_back(std::move(item));
      page = response.header("x-next-page");
    }
    return all;
  }

 private:
  ApiResponse get(const std::string& address) {
    try {
      return http_.send({"GET", address, {"PRIVATE-TOKEN: " + access_.token}, {}});
    } catch (const ApiError& error) {
      throw GitLabError(error.what());
    }
  }

  void refuse_failure(const ApiResponse& response) const {
    if (response.status == 200) return;
    if (response.status == 401) throw GitLabError(fmt::format("{} refuses the token (401)", access_.url));
    if (response.status >= 300 && response.status < 400) {
      throw GitLabError(
          fmt::format("{} sends us elsewhere ({}); name the right address in `url`", access_.url, response.status));
    }
    throw GitLabError(fmt::format("{} answered {}", access_.url, response.status));
  }

  const GitLabAccess& access_;
  ApiClient http_;
};

void add(const json& items, GitLabVariables& out) {
  std::vector<ProjectVariable> level;
  for (const json& item : items) {
    const auto text = [&](const char* key, const char* otherwise) {
      return item.contains(key) && item.at(key).is_string() ? item.at(key).get<std::string>() : std::string(otherwise);
    };
    const auto flag = [&](const char* key) {
      return item.contains(key) && item.at(key).is_boolean() && item.at(key).get<bool>();
    };
    ProjectVariable variable;
    variable.name = text("key", "");
    if (variable.name.empty()) continue;
    if (!item.contains("value") || !item.at("value").is_string()) {
      out.hidden.push_back(variable.name);
      continue;
    }
    variable.value = text("value", "");
    variable.environment_scope = text("environment_scope", "*");
    variable.file = text("variable_type", "env_var") == "file";
    variable.masked = flag("masked") || flag("hidden");
    variable.is_protected = flag("protected");
    variable.raw = flag("raw");
    level.push_back(std::move(variable));
  }
  lay_over(out.variables, level);
}

}  // namespace

GitLabVariables read_gitlab_variables(const GitLabAccess& access, const std::string& project_path) {
  Client client(access);
  GitLabVariables all;
  for (std::size_t slash = project_path.find('/'); slash != std::string::npos;
       slash = project_path.find('/', slash + 1)) {
    const std::string group = url_escaped(project_path.substr(0, slash));
    if (const std::optional<json> items = client.list("/groups/" + group + "/variables")) add(*items, all);
  }
  const std::optional<json> items = client.list("/projects/" + url_escaped(project_path) + "/variables");
  if (!items) {
    throw GitLabError(
        fmt::format("{} has no project {}, or the token may not read its variables", access.url, project_path));
  }
  add(*items, all);
  return all;
}

}  // namespace runner
