// Moa, the expression language between `${{` and `}}` (docs.gitlab.com/ci/functions/moa): of jobs' `inputs` and of
// `run` steps. Evaluated whole: literals, operators, lists, objects, property access, str(), num() and bool().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pipelines {

struct MoaValue {
  enum class Type : std::uint8_t { null, boolean, number, text, list, object };  // in the order of comparison
  Type type = Type::null;
  bool truth = false;
  double number = 0;
  std::string text;
  std::vector<MoaValue> items;    // of a list; of an object: the values
  std::vector<std::string> keys;  // of an object

  static MoaValue of(bool);
  static MoaValue of(double);
  static MoaValue of(std::string);
  bool truthy() const;
  std::string str() const;  // in the middle of a text, and by str(): lists and objects as JSON, null as <null>
  const MoaValue* find(std::string_view key) const;
};

struct MoaError {
  std::size_t offset = 0;  // in bytes, in the whole text
  std::string message;     // one line, no full stop
  std::string hint;        // may be empty
};

// What a name stands for; absent: there is none of that name.
using MoaLookup = std::function<std::optional<MoaValue>(std::string_view name)>;

// The text with every `${{ … }}` replaced, `\${{` as `${{`. One that is the whole text keeps its type. Values grow to
// at most 1 MiB.
std::variant<MoaValue, MoaError> interpolate(std::string_view text, const MoaLookup&);
// Only whether the expressions can be read.
std::optional<MoaError> check_syntax(std::string_view text);
bool has_moa(std::string_view text);

}  // namespace pipelines
