// The paths of `include:local` and `include:project:file`.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "pipelines/includes.h"

namespace pipelines {

// From the project's top, without its leading slashes; or why it is refused: not YAML's extension, `..`, an address.
std::variant<std::string, IncludeFault> include_path(std::string_view written);

bool has_yaml_extension(std::string_view path);  // .yml or .yaml, upper case too

// GitLab's patterns (Repository#search_files_by_wildcard_path): `*` is anything but a slash, `**` anything at all.
bool include_pattern_matches(std::string_view pattern, std::string_view path);

}  // namespace pipelines
