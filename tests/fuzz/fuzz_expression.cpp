// Any bytes as a `rules:if`: an error points into the text; what compiles can be evaluated and explained.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "pipelines/expression.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto compiled = pipelines::Expression::compile(text);
  if (const auto* error = std::get_if<pipelines::Expression::Error>(&compiled)) {
    if (error->offset > size || error->message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto lookup = [&](std::string_view name) -> std::optional<std::string> {
    switch (name.size() % 4) {
      case 0:
        return std::nullopt;
      case 1:
        return std::string("/a.*b/i");
      case 2:
        return std::string();
      default:
        return std::string(text.substr(0, 64));
    }
  };
  const auto& expression = std::get<pipelines::Expression>(compiled);
  if (expression.evaluate(lookup) != expression.evaluate(lookup) || expression.text() != text) {
    std::abort();
  }
  expression.explain(lookup);
  return 0;
}
