// The first line is the pattern, the rest the path. A match below a directory may not be ruled out for that directory.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pipelines/glob.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t newline = text.find('\n');
  if (newline == std::string_view::npos) {
    return 0;
  }
  const std::string_view pattern = text.substr(0, newline);
  const std::string_view path = text.substr(newline + 1);
  for (const auto dialect : {pipelines::GlobDialect::doublestar, pipelines::GlobDialect::fnmatch}) {
    const pipelines::Glob glob(pattern, dialect);
    const bool clean = path.find("//") == std::string_view::npos && !path.starts_with('/') && !path.ends_with('/');
    if (!glob.matches(path) || !clean) {
      continue;
    }
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
      if (!glob.may_match_below(path.substr(0, slash))) {
        std::abort();
      }
    }
  }
  return 0;
}
