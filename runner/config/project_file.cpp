#include "runner/config/project_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "pipelines/diagnostic.h"
#include "pipelines/variables.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

// The fields of a variable's table: the only list of them.
struct VariableField {
  std::string_view name;
  std::string ProjectVariable::*text;
  bool ProjectVariable::*flag;
};
constexpr VariableField variable_fields[] = {
    {"value", &ProjectVariable::value, nullptr},   {"environment_scope", &ProjectVariable::environment_scope, nullptr},
    {"masked", nullptr, &ProjectVariable::masked}, {"protected", nullptr, &ProjectVariable::is_protected},
    {"file", nullptr, &ProjectVariable::file},     {"raw", nullptr, &ProjectVariable::raw},
};
constexpr std::string_view tables[] = {"variables", "secrets", "gitlab"};
constexpr std::string_view gitlab_keys[] = {"url", "token"};

class Reader {
 public:
  Reader(ProjectFile& file, const std::string& text) : file_(file) {
    try {
      root_ = toml::parse(text, file.path.string());
    } catch (const toml::parse_error& error) {
      throw ConfigError(at(error.source()) + ": " + std::string(error.description()));
    }
  }

  void read() {
    for (const auto& [key, node] : root_) {
      const std::string_view name = key.str();
      if (std::ranges::find(tables, name) == std::end(tables)) {
        // A variable at the top is the likeliest mistake of all.
        unknown(key, "unknown table or key", {std::begin(tables), std::end(tables)},
                node.is_table() ? "" : "a variable stands below [variables] or [secrets]");
      } else if (!node.is_table()) {
        complain(key, name, "expected a table", fmt::format("write [{}]", name));
      }
    }
    for (const std::string_view name : {tables[0], tables[1]}) {
      if (const toml::table* table = root_[name].as_table()) read_variables(*table, name == "secrets");
    }
    if (const toml::table* table = root_["gitlab"].as_table()) read_gitlab(*table);
    if (!complaints_.empty()) throw ConfigError(complaints_);
  }

 private:
  std::string at(const toml::source_region& source) const {
    return fmt::format("{}:{}:{}", file_.path.string(), source.begin.line, source.begin.column);
  }

  void complain(const toml::key& key, std::string_view what, std::string_view message, const std::string& hint = {}) {
    complaints_ += fmt::format("{}{}: {}: {}{}", complaints_.empty() ? "" : "\n", at(key.source()), what, message,
                               hint.empty() ? "" : "\nhint: " + hint);
  }

  void unknown(const toml::key& key, std::string_view message, const std::vector<std::string_view>& known,
               const std::string& otherwise = {}) {
    const std::string_view near = pipelines::nearest(key.str(), known);
    const std::string list = fmt::format("there are: {}", fmt::join(known, ", "));
    complain(key, key.str(), message,
             !near.empty()       ? fmt::format("did you mean {}?", near)
             : otherwise.empty() ? list
                                 : otherwise);
  }

  void read_variables(const toml::table& table, bool secret) {
    for (const auto& [key, node] : table) {
      if (!pipelines::is_variable_name(key.str())) {
        complain(key, key.str(), "a variable's name has letters, digits and _ only, no digit first");
        continue;
      }
      if (const toml::array* scopes = node.as_array()) {
        for (const toml::node& item : *scopes) read_variable(key, item, secret);
      } else {
        read_variable(key, node, secret);
      }
    }
  }

  void read_variable(const toml::key& key, const toml::node& node, bool secret) {
    ProjectVariable variable;
    variable.name = key.str();
    variable.masked = secret;
    if (const auto* text = node.as_string()) {
      variable.value = text->get();
    } else if (const toml::table* table = node.as_table()) {
      if (!read_fields(*table, variable)) return;
      if (!table->contains("value")) return complain(key, key.str(), "has no `value`");
    } else {
      return complain(key, key.str(), "expected a string or a table", "write it between quotes");
    }
    file_.variables.push_back(std::move(variable));
  }

  bool read_fields(const toml::table& table, ProjectVariable& variable) {
    bool good = true;
    for (const auto& [key, node] : table) {
      const auto* field = std::ranges::find(variable_fields, key.str(), &VariableField::name);
      if (field == std::end(variable_fields)) {
        std::vector<std::string_view> known;
        for (const VariableField& each : variable_fields) known.push_back(each.name);
        unknown(key, fmt::format("unknown key of the variable {}", variable.name), known);
        good = false;
      } else if (field->text != nullptr && node.is_string()) {
        variable.*field->text = node.as_string()->get();
      } else if (field->flag != nullptr && node.is_boolean()) {
        variable.*field->flag = node.as_boolean()->get();
      } else {
        complain(key, key.str(), field->text != nullptr ? "expected a string" : "expected true or false");
        good = false;
      }
    }
    return good;
  }

  void read_gitlab(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const auto* text = node.as_string();
      if (std::ranges::find(gitlab_keys, key.str()) == std::end(gitlab_keys)) {
        unknown(key, "unknown key in [gitlab]", {std::begin(gitlab_keys), std::end(gitlab_keys)});
      } else if (text == nullptr) {
        complain(key, key.str(), "expected a string");
      } else {
        (key.str() == "url" ? file_.gitlab_url : file_.gitlab_token) = text->get();
      }
    }
    while (file_.gitlab_url.ends_with('/')) file_.gitlab_url.pop_back();
  }

  ProjectFile& file_;
  toml::table root_;
  std::string complaints_;
};

std::optional<std::string> read_text(const fs::path& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw ConfigError(fmt::format("{}: cannot read the project's file: {}", path.string(), std::strerror(errno)));
  }
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

void warn_of_readers(ProjectFile& file) {
  struct stat status {};
  const bool secrets = !file.gitlab_token.empty() || std::ranges::any_of(file.variables, &ProjectVariable::masked);
  if (secrets && stat(file.path.c_str(), &status) == 0 && (status.st_mode & 077U) != 0) {
    file.warnings.push_back(
        fmt::format("{0} has secrets and others may read it\nhint: chmod 600 '{0}'", file.path.string()));
  }
}

}  // namespace

fs::path project_file_path(std::string_view host, std::string_view project_path, const EnvironmentLookup& environment) {
  fs::path base;
  // The XDG specification has relative paths ignored.
  if (const auto named = environment("XDG_CONFIG_HOME"); named && named->starts_with('/')) {
    base = *named;
  } else if (const auto home = environment("HOME"); home && !home->empty()) {
    base = fs::path(*home) / ".config";
  } else {
    return {};
  }
  const fs::path below(std::string(project_path) + ".toml");
  return base / "runner" / "projects" / (host.empty() ? "local" : std::string(host)) / below.relative_path();
}

ProjectFile load_project_file(const fs::path& path) {
  ProjectFile file;
  file.path = path;
  if (path.empty()) return file;
  const std::optional<std::string> text = read_text(path);
  if (!text) return file;
  Reader(file, *text).read();
  warn_of_readers(file);
  return file;
}

void lay_over(std::vector<ProjectVariable>& weaker, const std::vector<ProjectVariable>& stronger) {
  std::erase_if(weaker, [&](const ProjectVariable& old) {
    return std::ranges::any_of(stronger, [&](const ProjectVariable& each) {
      return each.name == old.name &&
             (each.environment_scope == "*" || each.environment_scope == old.environment_scope);
    });
  });
  weaker.insert(weaker.end(), stronger.begin(), stronger.end());
}

}  // namespace runner
