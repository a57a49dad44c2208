#include "pipelines/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <tuple>

#include "pipelines/duration.h"

namespace pipelines {
namespace {

// Jobs may take far more from the tree than the file holds, by `extends` and `default`. Memory is about this much.
constexpr std::uint64_t most_taken = 128 * 1024 * 1024;

// GitLab's limit for lists in lists, which `!reference` makes.
constexpr int deepest_list = 10;

std::string quote_it(Yaml yaml) {
  return yaml.is_scalar() && !yaml.text().empty() ? fmt::format("quote it: \"{}\"", yaml.text()) : std::string();
}

// One string of a list. `number` counts from 1.
bool read_item(Reader& reader, const Key& key, Yaml item, std::size_t number, std::string& out) {
  if (item.is_string()) {
    out = item.text();
    return true;
  }
  std::string hint = quote_it(item);
  if (item.is_mapping() && item.size() > 0) {
    // - echo "a: b" is a mapping to YAML: the commonest mistake of all.
    hint = fmt::format("quote the whole item: YAML takes `{}: ` for a key", item.key(0).text().substr(0, 40));
  } else if (item.is_sequence()) {
    hint = "write its items one by one";
  }
  reader.findings().error(item.mark(),
                          fmt::format("item {} of {} must be a string, not {}", number, key.quoted(), describe(item)),
                          std::move(hint));
  return false;
}

bool flatten(Reader& reader, const Key& key, Yaml list, int depth, std::vector<std::string>& out,
             std::vector<Mark>* marks) {
  bool good = true;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Yaml item = list.item(i);
    if (!item.is_sequence()) {
      good = read_item(reader, key, item, i + 1, out.emplace_back()) && good;
      if (marks != nullptr) {
        marks->push_back(item.mark());
      }
    } else if (depth >= deepest_list) {
      good = reader.wrong(key, item, fmt::format("is nested too deeply: at most {} lists in each other", deepest_list));
    } else {
      good = flatten(reader, key, item, depth + 1, out, marks) && good;
    }
  }
  return good;
}

}  // namespace

std::string Key::path() const {
  return owner == nullptr ? std::string(name) : fmt::format("{}:{}", owner->path(), name);
}

std::string_view describe(Yaml yaml) {
  switch (yaml.kind()) {
    case Kind::mapping:
      return "a mapping";
    case Kind::sequence:
      return "a list";
    case Kind::reference:
      return "a `!reference`";
    case Kind::null:
      return "empty";
    case Kind::scalar:
      break;
  }
  switch (yaml.type()) {
    case ScalarType::null:
      return "empty";
    case ScalarType::boolean:
      return "a boolean";
    case ScalarType::integer:
    case ScalarType::floating:
      return "a number";
    case ScalarType::string:
      break;
  }
  return "a string";
}

std::string list_words(const std::vector<std::string_view>& words, std::string_view last) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) {
      text += i + 1 == words.size() ? fmt::format(" {} ", last) : ", ";
    }
    text += words[i];
  }
  return text;
}

bool Reader::mistyped(const Key& key, Yaml yaml, std::string_view wanted, std::string hint) {
  if (hint.empty() && wanted.find("string") != std::string_view::npos) {
    hint = quote_it(yaml);
  }
  findings_.error(yaml.mark(), fmt::format("{} must be {}, not {}", key.quoted(), wanted, describe(yaml)),
                  std::move(hint));
  return false;
}

bool Reader::wrong(const Key& key, Yaml yaml, std::string_view message, std::string hint) {
  findings_.error(yaml.mark(), fmt::format("{} {}", key.quoted(), message), std::move(hint));
  return false;
}

bool Reader::not_done(const Key& key, Yaml key_node, Support support, std::string_view note) {
  if (support == Support::left_out) {
    findings_.warning_once(key_node.mark(), fmt::format("{} is left out", key.quoted()), std::string(note));
    return true;
  }
  findings_.error(key_node.mark(), fmt::format("{} is not supported yet", key.quoted()), std::string(note));
  return false;
}

void Reader::unknown(std::string_view where, Yaml key_node, const std::vector<std::string_view>& known) {
  const std::string_view name = key_node.text();
  findings_.error(key_node.mark(), fmt::format("unknown keyword \"{}\" in {}", name, where),
                  did_you_mean(findings_.suggest(name, known),
                               known.size() <= 10 ? fmt::format("known here: {}", list_words(known)) : std::string()));
}

std::optional<Expression> Reader::expression(const Key& key, Yaml yaml) {
  if (!yaml.is_string()) {
    mistyped(key, yaml, "a string", yaml.is_mapping() ? "quote the whole expression" : "");
    return std::nullopt;
  }
  if (const auto found = expressions_.find(yaml.text()); found != expressions_.end()) {
    return found->second;
  }
  auto compiled = Expression::compile(yaml.text());
  if (const auto* error = std::get_if<Expression::Error>(&compiled)) {
    findings_.error(yaml.mark_at(error->offset), error->message, error->hint);
    return std::nullopt;
  }
  return expressions_.emplace(yaml.text(), std::get<Expression>(std::move(compiled))).first->second;
}

std::string Reader::entry_around(Mark mark) {
  const auto place = [](const Mark& m) { return std::tuple(m.source, m.line, m.column); };
  if (entries_.empty()) {
    for (std::size_t i = 0; i < root_.size(); ++i) {
      entries_.emplace_back(root_.key(i).mark(), root_.key(i).text());
    }
    std::ranges::sort(entries_, {}, [&](const auto& entry) { return place(entry.first); });
  }
  const auto after = std::ranges::upper_bound(entries_, place(mark), {}, [&](const auto& e) { return place(e.first); });
  if (after == entries_.begin()) {
    return "this file";
  }
  if (std::prev(after)->first.source != mark.source) {
    return "this file";
  }
  const std::string_view name = std::prev(after)->second;
  if (name.starts_with('.')) {
    return fmt::format("\"{}\"", name);
  }
  return name == "default" ? std::string("`default`") : fmt::format("job \"{}\"", name);
}

bool Reader::charge(Yaml yaml, std::uint64_t times) {
  charged_ += times * yaml.weight();
  if (charged_ <= most_taken) {
    return true;
  }
  findings_.error(yaml.mark(),
                  "the jobs of this file take far too much from each other by `extends`, `default` and `parallel`",
                  fmt::format("at most {} MB in all", most_taken / (1024 * 1024)));
  return false;
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::string& out) {
  if (!yaml.is_string()) {
    return reader.mistyped(key, yaml, "a string");
  }
  out = yaml.text();
  return true;
}

bool read(Reader& reader, const Key& key, Yaml yaml, bool& out) {
  if (!yaml.is_scalar() || yaml.type() != ScalarType::boolean) {
    const bool quoted = yaml.is_scalar() && scalar_type(yaml.text()) == ScalarType::boolean;
    return reader.mistyped(key, yaml, "true or false", quoted ? "remove the quotes" : "");
  }
  out = scalar_is_true(yaml.text());
  return true;
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<std::string>& out) {
  if (!yaml.is_sequence()) {
    return reader.mistyped(key, yaml, "a list of strings",
                           yaml.is_scalar() ? fmt::format("write `{}: [{}]`", key.name, yaml.text()) : std::string());
  }
  bool good = true;
  out.clear();
  out.reserve(yaml.size());
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = read_item(reader, key, yaml.item(i), i + 1, out.emplace_back()) && good;
  }
  return good;
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::chrono::seconds& out) {
  constexpr std::string_view examples = "for example `3h 30m`, `2 weeks` or `90 seconds`";
  if (!yaml.is_scalar() || yaml.type() == ScalarType::boolean) {
    return reader.mistyped(key, yaml, "a duration", std::string(examples));
  }
  const std::optional<std::chrono::seconds> duration = parse_duration(yaml.text());
  if (!duration) {
    return reader.wrong(key, yaml, fmt::format("is no duration: \"{}\"", yaml.text()), std::string(examples));
  }
  if (*duration < std::chrono::seconds::zero()) {
    return reader.wrong(key, yaml, "cannot be negative");
  }
  out = *duration;
  return true;
}

bool check_environment_name(Reader& reader, const Key& key, Yaml yaml, std::string_view name) {
  const bool fits = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-_/${}. ").find(static_cast<char>(c)) != std::string_view::npos;
  });
  return (fits && name.front() != '/' && name.back() != '/') ||
         reader.wrong(key, yaml, "may have letters, digits, spaces and -_/${}. only, and no slash at its ends");
}

bool read_string_or_list(Reader& reader, const Key& key, Yaml yaml, std::vector<std::string>& out) {
  if (yaml.is_string()) {
    out.assign(1, std::string(yaml.text()));
    return true;
  }
  return yaml.is_sequence() ? read(reader, key, yaml, out)
                            : reader.mistyped(key, yaml, "a string or a list of strings");
}

bool read_commands(Reader& reader, const Key& key, Yaml yaml, std::vector<std::string>& out, std::vector<Mark>* marks) {
  if (marks != nullptr) {
    marks->clear();
  }
  if (!yaml.is_sequence()) {
    if (marks != nullptr) {
      marks->push_back(yaml.mark());
    }
    return read_string_or_list(reader, key, yaml, out);
  }
  out.clear();
  out.reserve(yaml.size());
  return flatten(reader, key, yaml, 1, out, marks);
}

bool read_exit_codes(Reader& reader, const Key& key, Yaml yaml, std::vector<int>& out) {
  const auto one = [&](Yaml item) {
    const std::optional<std::int64_t> code =
        item.is_scalar() && item.type() == ScalarType::integer ? scalar_integer(item.text()) : std::nullopt;
    if (!code || *code < 0 || *code > 255) {
      return reader.wrong(key, item, "must be a number from 0 to 255, or a list of them");
    }
    out.push_back(static_cast<int>(*code));
    return true;
  };
  out.clear();
  if (!yaml.is_sequence()) {
    return one(yaml);
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    good = one(yaml.item(i)) && good;
  }
  return good;
}

}  // namespace pipelines
