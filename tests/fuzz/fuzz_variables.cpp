// Lines of NAME=value: expanding is bounded, ends, and changes nothing when done twice.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pipelines/variables.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pipelines::VariableSet set;
  const pipelines::Dotenv dotenv = pipelines::parse_dotenv(text, 64 * 1024);
  for (const auto& [name, value] : dotenv.variables) {
    set.set(name, value, pipelines::Precedence::job, name.size() % 5 != 0);
  }
  const pipelines::VariableSet expanded = set.expanded();
  if (expanded.entries().size() != set.entries().size()) {
    std::abort();
  }
  std::size_t bytes = 0;
  for (const auto& [name, entry] : expanded.entries()) {
    bytes += entry.value.size();
  }
  if (bytes > size + (32U << 20U)) {
    std::abort();
  }
  expanded.expand(text);
  if (pipelines::slug(text).size() > 63) {
    std::abort();
  }
  return 0;
}
