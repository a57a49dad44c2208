// What the readers of built-in steps have in common: rows whose values have bounds, a form or a unit. A value with a
// variable in it is checked when that is known, by what carries the step out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "pipelines/reader.h"
#include "pipelines/steps.h"

namespace pipelines {

// No variable in it: what it says is known.
inline bool is_literal(std::string_view text) { return text.find('$') == std::string_view::npos; }

// The keyword is there and not null.
bool is_given(Yaml mapping, std::string_view name);

// Each of `names` that is not given is reported.
bool require(Reader&, const Key&, Yaml mapping, std::initializer_list<std::string_view> names, std::string hint = {});
// At most one of `names`. Reports the second; false then.
bool exclusive(Reader&, const Key&, Yaml mapping, std::initializer_list<std::string_view> names, std::string hint = {});
// Each of `names` that is given is reported: `KEY:NAME` WHY.
bool refuse(Reader&, const Key&, Yaml mapping, std::initializer_list<std::string_view> names, std::string_view why,
            std::string hint = {});
// `names` of which one mapping wants exactly one entry: `deploy`, `scan`, `bake`.
bool is_one_kind(Reader&, const Key&, Yaml, const std::vector<std::string_view>& names, std::string example);

// --- rows ------------------------------------------------------------------------------------------------------------

template <class T>
struct Bare {
  using type = T;
};
template <class T>
struct Bare<std::optional<T>> {
  using type = T;
};

// A row that reads its member the way of one of the structs below: {"wait", as<&EcsTask::wait, Lasting{1}>}.
template <auto Member, auto How>
struct RowAs {
  using Owner = typename MemberClass<decltype(Member)>::type;
  using Value = typename Bare<typename MemberClass<decltype(Member)>::value>::type;
  static constexpr Shape shape{[] { return How.shape(static_cast<const Value*>(nullptr)); }};
  static bool read_it(Reader& reader, const Key& key, Yaml yaml, Owner& out) {
    Value value{};
    if (!How.read(reader, key, yaml, value)) return false;
    out.*Member = std::move(value);
    return true;
  }
  constexpr explicit operator typename Field<Owner>::Reads() const { return &read_it; }
};
template <auto Member, auto How>
inline constexpr RowAs<Member, How> as{};

inline constexpr int any_number = std::numeric_limits<int>::max();

struct Number {
  int least = 0, most = any_number;
  bool read(Reader&, const Key&, Yaml, int& out) const;
  std::string shape(const int*) const;
};

// `90%` or 90.
struct Percent {
  int least = 0, most = 100;
  bool read(Reader&, const Key&, Yaml, int& out) const;
  std::string shape(const int*) const;
};

// A number that a variable may give, kept as a text.
struct NumberText {
  int least = 0, most = any_number;
  bool read(Reader&, const Key&, Yaml, std::string& out) const;
  std::string shape(const std::string*) const;
};

// A duration, in seconds.
struct Lasting {
  std::int64_t least = 0, most = std::numeric_limits<std::int64_t>::max();
  bool read(Reader&, const Key&, Yaml, std::chrono::seconds& out) const;
  std::string shape(const std::chrono::seconds*) const;
};
inline constexpr Lasting some_time{1};

// One word of a table; into an enum, or the word itself into a text.
template <auto& Words>
struct OneOf {
  template <class T>
  bool read(Reader& reader, const Key& key, Yaml yaml, T& out) const {
    std::remove_cvref_t<decltype(Words[0].value)> value{};
    if (!reader.word(key, yaml, Words, value)) return false;
    out = T(value);
    return true;
  }
  template <class T>
  std::string shape(const T*) const {
    return words<Words>.json();
  }
};

// What a text must look like: `KEY` WRONG: "TEXT".
struct Form {
  bool (*fits)(std::string_view) = nullptr;  // none: anything but nothing
  std::string_view wrong, example;
};
inline constexpr Form not_empty{};

bool check_form(Reader&, const Key&, Yaml, std::string_view text, const Form&);

template <auto& How>
struct Text {
  bool read(Reader& reader, const Key& key, Yaml yaml, std::string& out) const {
    return pipelines::read(reader, key, yaml, out) && check_form(reader, key, yaml, out, How);
  }
  std::string shape(const std::string*) const { return R"({"type":"string","minLength":1})"; }
};
inline constexpr Text<not_empty> some_text{};

bool read_texts(Reader&, const Key&, Yaml, const Form&, std::size_t most, std::vector<std::string>& out);

// One or several texts, not none.
template <auto& How>
struct Texts {
  std::size_t most = 1000;
  bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<std::string>& out) const {
    return read_texts(reader, key, yaml, How, most, out);
  }
  std::string shape(const std::vector<std::string>*) const { return texts_shape(); }
  static std::string texts_shape();
};
std::string one_or_several_shape();
template <auto& How>
std::string Texts<How>::texts_shape() {
  return one_or_several_shape();
}
inline constexpr Texts<not_empty> some_texts{};

// A mapping of names to values; numbers and booleans as variables have them (read_value).
bool read(Reader&, const Key&, Yaml, TextMap& out);

// AWS's rules for tags: 50, 128 and 256 characters, none of AWS's own.
struct Tags {
  bool read(Reader&, const Key&, Yaml, TextMap& out) const;
  std::string shape(const TextMap*) const;
};

// --- forms of several steps ------------------------------------------------------------------------------------------

namespace forms {
bool is_arn(std::string_view);
bool is_bucket(std::string_view);
bool is_address(std::string_view);  // of the web
inline constexpr Form arn{is_arn, "is no ARN", "for example arn:aws:iam::123456789012:role/deploy"};
inline constexpr Form bucket{is_bucket, "is no bucket's name",
                             "3 to 63 lower-case letters, digits, dots and hyphens, for example ci-artifacts"};
inline constexpr Form address{is_address, "is no address", "for example https://example.com"};
}  // namespace forms

// --- the kinds, each in a file of its own ----------------------------------------------------------------------------

bool read(Reader&, const Key&, Yaml, EcsDeploy& out);
bool read(Reader&, const Key&, Yaml, EcsTask& out);
bool read(Reader&, const Key&, Yaml, AsgDeploy& out);
bool read(Reader&, const Key&, Yaml, CloudFormation& out);
bool read(Reader&, const Key&, Yaml, Terraform& out);
bool read(Reader&, const Key&, Yaml, PackerBake& out);
bool read(Reader&, const Key&, Yaml, RetireScan& out);
bool read(Reader&, const Key&, Yaml, ImageBuild& out);
bool read(Reader&, const Key&, Yaml, RollbackStep& out);

}  // namespace pipelines
