#include "pipelines/read_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "pipelines/duration.h"

namespace pipelines {
namespace {

std::string range_of(int least, int most, std::string_view unit = {}) {
  return most == any_number ? fmt::format("{}{} or more", least, unit) : fmt::format("{} to {}{}", least, most, unit);
}

std::optional<int> number_in(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::optional<int> number_of(Yaml yaml) {
  if (!yaml.is_scalar() || yaml.type() != ScalarType::integer) return std::nullopt;
  const std::optional<std::int64_t> number = scalar_integer(yaml.text());
  const bool fits = number && *number >= std::numeric_limits<int>::min() && *number <= any_number;
  return fits ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

std::string integer_shape(int least, int most) {
  return most == any_number ? fmt::format(R"({{"type":"integer","minimum":{}}})", least)
                            : fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", least, most);
}

}  // namespace

bool is_given(Yaml mapping, std::string_view name) {
  const Yaml value = mapping.find(name);
  return value && !value.is_null();
}

bool require(Reader& reader, const Key& key, Yaml mapping, std::initializer_list<std::string_view> names,
             std::string hint) {
  bool good = true;
  for (const std::string_view name : names) {
    good = (is_given(mapping, name) || reader.wrong(key, mapping, fmt::format("needs `{}`", name), hint)) && good;
  }
  return good;
}

bool exclusive(Reader& reader, const Key& key, Yaml mapping, std::initializer_list<std::string_view> names,
               std::string hint) {
  std::string_view first;
  for (const std::string_view name : names) {
    if (!is_given(mapping, name)) continue;
    if (!first.empty()) {
      reader.findings().error(mapping.find_key(name).mark(),
                              fmt::format("{} has both `{}` and `{}`", key.quoted(), first, name),
                              hint.empty() ? "keep one of them" : std::move(hint), {mapping.find_key(first).mark()});
      return false;
    }
    first = name;
  }
  return true;
}

bool refuse(Reader& reader, const Key& key, Yaml mapping, std::initializer_list<std::string_view> names,
            std::string_view why, std::string hint) {
  bool good = true;
  for (const std::string_view name : names) {
    if (is_given(mapping, name)) good = reader.wrong({&key, name}, mapping.find_key(name), why, hint);
  }
  return good;
}

bool is_one_kind(Reader& reader, const Key& key, Yaml yaml, const std::vector<std::string_view>& names,
                 std::string example) {
  std::string_view first;
  bool any = false;
  for (const std::string_view name : names) {
    any = any || yaml.find_key(name);
    if (!is_given(yaml, name)) continue;
    if (!first.empty()) {
      return reader.wrong(key, yaml.find_key(name),
                          fmt::format("can be one thing only, not `{}` and `{}`", first, name), "make two jobs of it");
    }
    first = name;
  }
  if (!first.empty()) return true;
  // Of an unknown keyword that stands alone its own message is enough.
  if (any || yaml.size() == 0) {
    return reader.wrong(key, yaml, fmt::format("is empty: it needs {}", list_words(names, "or")), std::move(example));
  }
  return false;
}

bool Number::read(Reader& reader, const Key& key, Yaml yaml, int& out) const {
  const std::optional<int> number = number_of(yaml);
  if (!number || *number < least || *number > most) {
    return reader.wrong(key, yaml, fmt::format("must be a number, {}", range_of(least, most)));
  }
  out = *number;
  return true;
}

std::string Number::shape(const int*) const { return integer_shape(least, most); }

bool Percent::read(Reader& reader, const Key& key, Yaml yaml, int& out) const {
  std::optional<int> number = number_of(yaml);
  if (yaml.is_string() && yaml.text().ends_with('%')) number = number_in(yaml.text().substr(0, yaml.text().size() - 1));
  if (!number || *number < least || *number > most) {
    return reader.wrong(key, yaml, fmt::format("must be a percentage, {}", range_of(least, most, "%")),
                        fmt::format("for example `{}: {}%`", key.name, std::min(std::max(least, 90), most)));
  }
  out = *number;
  return true;
}

std::string Percent::shape(const int*) const {
  return any_shape_of({integer_shape(least, most), R"({"type":"string","pattern":"^[0-9]+%$"})"});
}

bool NumberText::read(Reader& reader, const Key& key, Yaml yaml, std::string& out) const {
  if (yaml.is_string() && !is_literal(yaml.text())) {
    out = yaml.text();
    return true;
  }
  const std::optional<int> number = yaml.is_string() ? number_in(yaml.text()) : number_of(yaml);
  if (!number || *number < least || *number > most) {
    return reader.wrong(key, yaml, fmt::format("must be a number, {}, or a variable", range_of(least, most)));
  }
  out = std::to_string(*number);
  return true;
}

std::string NumberText::shape(const std::string*) const {
  return any_shape_of({integer_shape(least, most), R"({"type":"string","pattern":"^[0-9]+$|[$]"})"});
}

bool Lasting::read(Reader& reader, const Key& key, Yaml yaml, std::chrono::seconds& out) const {
  if (!pipelines::read(reader, key, yaml, out)) return false;
  if (out.count() < least) {
    return reader.wrong(key, yaml,
                        least <= 1 ? "must be longer than nothing" : fmt::format("must be {} seconds or more", least));
  }
  return out.count() <= most || reader.wrong(key, yaml,
                                             most % 3600 == 0 ? fmt::format("can be at most {} hours", most / 3600)
                                                              : fmt::format("can be at most {} seconds", most));
}

std::string Lasting::shape(const std::chrono::seconds* none) const { return shape_of(none); }

bool check_form(Reader& reader, const Key& key, Yaml yaml, std::string_view text, const Form& form) {
  if (text.empty()) {
    return reader.wrong(key, yaml, "cannot be empty", std::string(form.example));
  }
  if (form.fits == nullptr || !is_literal(text) || form.fits(text)) return true;
  return reader.wrong(key, yaml, fmt::format("{}: \"{}\"", form.wrong, text), std::string(form.example));
}

std::string one_or_several_shape() {
  const std::string one = R"({"type":"string","minLength":1})";
  return any_shape_of({one, list_shape(one, R"(,"minItems":1)")});
}

bool read_texts(Reader& reader, const Key& key, Yaml yaml, const Form& form, std::size_t most,
                std::vector<std::string>& out) {
  if (!read_string_or_list(reader, key, yaml, out)) return false;
  if (out.empty()) return reader.wrong(key, yaml, "cannot be empty");
  if (out.size() > most) return reader.wrong(key, yaml, fmt::format("can be at most {}", most));
  bool good = true;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Yaml item = yaml.is_sequence() ? yaml.item(i) : yaml;
    good = check_form(reader, key, item, out[i], form) && good;
    if (std::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(i), out[i]) !=
        out.begin() + static_cast<std::ptrdiff_t>(i)) {
      good = reader.wrong(key, item, fmt::format("has \"{}\" twice", out[i]));
    }
  }
  return good;
}

std::string shape_of(const TextMap*) {
  return R"({"type":"object","additionalProperties":{"type":["string","number","boolean","null"]}})";
}

bool read(Reader& reader, const Key& key, Yaml yaml, TextMap& out) {
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of names to values",
                           yaml.is_sequence() ? "write `NAME: value` without the `- `" : "");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    auto& [name, value] = out.emplace_back();
    name = yaml.key(i).text();
    if (name.empty()) good = reader.wrong(key, yaml.key(i), "has an empty name");
    good = read_value(reader, {&key, yaml.key(i).text()}, yaml.value(i), value) && good;
  }
  return good;
}

bool Tags::read(Reader& reader, const Key& key, Yaml yaml, TextMap& out) const {
  constexpr std::size_t most = 50, longest_key = 128, longest_value = 256;
  if (!pipelines::read(reader, key, yaml, out)) return false;
  if (out.size() > most) return reader.wrong(key, yaml, fmt::format("can be at most {}", most));
  bool good = true;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto& [name, value] = out[i];
    if (name.size() > longest_key || value.size() > longest_value) {
      good = reader.wrong(key, yaml.key(i),
                          fmt::format("may have names of {} and values of {} characters", longest_key, longest_value));
    }
    if (name.starts_with("aws:")) {
      good = reader.wrong(key, yaml.key(i), fmt::format("cannot have \"{}\": `aws:` is AWS's own", name));
    }
  }
  return good;
}

std::string Tags::shape(const TextMap* none) const { return shape_of(none); }

namespace forms {

bool is_arn(std::string_view text) { return text.starts_with("arn:") && std::ranges::count(text, ':') >= 5; }

bool is_bucket(std::string_view text) {
  const auto small = [](unsigned char c) { return std::isdigit(c) != 0 || (c >= 'a' && c <= 'z'); };
  return text.size() >= 3 && text.size() <= 63 && small(static_cast<unsigned char>(text.front())) &&
         small(static_cast<unsigned char>(text.back())) &&
         std::ranges::all_of(text, [&](unsigned char c) { return small(c) || c == '-' || c == '.'; });
}

bool is_address(std::string_view text) {
  const std::size_t begin = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : 0;
  return begin > 0 && text.size() > begin && text.find(' ') == std::string_view::npos;
}

}  // namespace forms

// --- which step ------------------------------------------------------------------------------------------------------

namespace {

template <class T>
bool read_kind(Reader& reader, const Key& key, Yaml yaml, Step& out) {
  T step;
  const bool good = read(reader, key, yaml, step);
  out = std::move(step);
  return good;
}

constexpr Field<Step> scan_fields[] = {{"retire", read_kind<RetireScan>, shape_for<RetireScan>}};
constexpr Field<Step> bake_fields[] = {{"packer", read_kind<PackerBake>, shape_for<PackerBake>}};
constexpr Field<Step> deploy_fields[] = {
    {"ecs", read_kind<EcsDeploy>, shape_for<EcsDeploy>},
    {"ecs_task", read_kind<EcsTask>, shape_for<EcsTask>},
    {"asg", read_kind<AsgDeploy>, shape_for<AsgDeploy>},
    {"cloudformation", read_kind<CloudFormation>, shape_for<CloudFormation>},
    {"terraform", read_kind<Terraform>, shape_for<Terraform>},
};

template <std::size_t N>
bool read_one_of(Reader& reader, const Key& key, Yaml yaml, const Field<Step> (&table)[N], const char* example,
                 std::optional<Step>& out) {
  if (!yaml.is_mapping()) return reader.mistyped(key, yaml, "a mapping", example);
  std::vector<std::string_view> names;
  for (const Field<Step>& row : table) names.push_back(row.name);
  const bool one = is_one_kind(reader, key, yaml, names, example);
  Step step;
  if (!reader.fields(key, yaml, table, step) || !one) return false;
  out = std::move(step);
  return true;
}

std::string not_empty_shape(const std::string& mapping) {
  return mapping.substr(0, mapping.size() - 1) + R"(,"minProperties":1})";
}

}  // namespace

bool read_scan(Reader& reader, const Key& key, Yaml yaml, std::optional<Step>& out) {
  return read_one_of(reader, key, yaml, scan_fields, "for example `scan: { retire: { severity: high } }`", out);
}

bool read_bake(Reader& reader, const Key& key, Yaml yaml, std::optional<Step>& out) {
  return read_one_of(reader, key, yaml, bake_fields, "for example `bake: { packer: { template: image.pkr.hcl } }`",
                     out);
}

bool read_deploy(Reader& reader, const Key& key, Yaml yaml, std::optional<Step>& out) {
  return read_one_of(reader, key, yaml, deploy_fields,
                     "for example `deploy: { ecs: { cluster: prod, service: web, image: $IMAGE } }`", out);
}

bool read_image_build(Reader& reader, const Key& key, Yaml yaml, std::optional<Step>& out) {
  ImageBuild step;
  const bool good = read(reader, key, yaml, step);
  out = std::move(step);
  return good;
}

bool read_rollback(Reader& reader, const Key& key, Yaml yaml, std::optional<Step>& out) {
  RollbackStep step;
  const bool good = read(reader, key, yaml, step);
  out = std::move(step);
  return good;
}

std::string scan_shape() { return not_empty_shape(mapping_shape(scan_fields)); }
std::string bake_shape() { return not_empty_shape(mapping_shape(bake_fields)); }
std::string deploy_shape() { return not_empty_shape(mapping_shape(deploy_fields)); }

}  // namespace pipelines
