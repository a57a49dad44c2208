#include "pipelines/inputs.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "pipelines/emit.h"
#include "pipelines/input_blocks.h"

namespace pipelines {

struct Inputs::Definition {
  std::string name;
  Mark mark;
  Type type = Type::string;
  bool has_default = false;
  Yaml default_value;
  Yaml options;
  std::shared_ptr<const RE2> regex;
  Yaml rules;
};

namespace {

constexpr Word<Inputs::Type> type_words[] = {
    {"string", Inputs::Type::string},
    {"number", Inputs::Type::number},
    {"boolean", Inputs::Type::boolean},
    {"array", Inputs::Type::array},
};

std::string_view wanted(Inputs::Type type) {
  switch (type) {
    case Inputs::Type::string:
      return "a string";
    case Inputs::Type::number:
      return "a number";
    case Inputs::Type::boolean:
      return "true or false";
    case Inputs::Type::array:
      return "a list";
  }
  return {};
}

bool is_number(ScalarType type) { return type == ScalarType::integer || type == ScalarType::floating; }

using Definition = Inputs::Definition;

bool read_options(Reader& reader, const Key& key, Yaml yaml, Yaml& out) {
  if (!yaml.is_sequence() || yaml.size() == 0) {
    return reader.mistyped(key, yaml, "a list of values");
  }
  if (yaml.size() > Inputs::most_options) {
    return reader.wrong(key, yaml,
                        fmt::format("has {} values; at most {} are allowed", yaml.size(), Inputs::most_options));
  }
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    if (!yaml.item(i).is_scalar()) {
      return reader.wrong(key, yaml.item(i), fmt::format("must be strings or numbers, not {}", describe(yaml.item(i))));
    }
  }
  out = yaml;
  return true;
}

bool read_regex(Reader& reader, const Key& key, Yaml yaml, std::shared_ptr<const RE2>& out) {
  std::string text;
  if (!read(reader, key, yaml, text)) {
    return false;
  }
  RE2::Options options;
  options.set_log_errors(false);
  auto regex = std::make_shared<const RE2>(text, options);
  if (!regex->ok()) {
    return reader.wrong(key, yaml, fmt::format("is no regular expression: {}", regex->error()),
                        "RE2's syntax: no look-around, no back-references");
  }
  out = std::move(regex);
  return true;
}

struct Conditional {
  Yaml condition, options, default_value;
};

template <auto Member>
bool keep(Reader&, const Key&, Yaml yaml, typename MemberClass<decltype(Member)>::type& out) {
  out.*Member = yaml;
  return true;
}

constexpr Field<Conditional> rule_fields[] = {
    {"if", keep<&Conditional::condition>},
    {"options", [](Reader& r, const Key& k, Yaml y, Conditional& o) { return read_options(r, k, y, o.options); }},
    {"default", keep<&Conditional::default_value>},
};

bool read_rules(Reader& reader, const Key& key, Yaml yaml, Definition& out);

constexpr Field<Definition> definition_fields[] = {
    {"type", [](Reader& r, const Key& k, Yaml y, Definition& o) { return r.word(k, y, type_words, o.type); }},
    {"default", keep<&Definition::default_value>},
    {"description",
     [](Reader& r, const Key& k, Yaml y, Definition&) {
       std::string ignored;
       return read(r, k, y, ignored);
     }},
    {"options", [](Reader& r, const Key& k, Yaml y, Definition& o) { return read_options(r, k, y, o.options); }},
    {"regex", [](Reader& r, const Key& k, Yaml y, Definition& o) { return read_regex(r, k, y, o.regex); }},
    {"rules", read_rules},  // the last: a job's inputs have none
};

bool read_rules(Reader& reader, const Key& key, Yaml yaml, Definition& out) {
  if (!yaml.is_sequence() || yaml.size() == 0) {
    return reader.mistyped(key, yaml, "a list of rules");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    Conditional rule;
    good = reader.fields(key, yaml.item(i), rule_fields, rule) && good;
  }
  if (good) {
    out.rules = yaml;
  }
  return good;
}

// What a value is in the middle of a text.
std::string text_of(Yaml value) {
  if (value.is_null()) {
    return {};
  }
  if (value.is_scalar()) {
    return value.is_plain() ? scalar_to_s(value.text()) : std::string(value.text());
  }
  return emit_compact_json(value, Inputs::most_text).value_or("");
}

// Ruby's Shellwords.shellescape, which GitLab's posix_escape is.
std::string posix_escape(std::string_view text) {
  if (text.empty()) {
    return "''";
  }
  constexpr std::string_view plain = "_-.,:+/@";
  std::string out;
  for (const char c : text) {
    const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80;  // of a character that is escaped already
    if (c == '\n') {
      out += "'\n'";
      continue;
    }
    if (!alphanumeric && !continues && plain.find(c) == std::string_view::npos) {
      out += '\\';
    }
    out += c;
  }
  return out;
}

// By characters, as Ruby counts.
std::string truncate(std::string_view text, std::size_t offset, std::size_t length) {
  std::string out;
  std::size_t characters = 0;
  for (const char c : text) {
    const bool begins = (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
    characters += begins ? 1U : 0U;
    if (characters > offset && characters - offset <= length) {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string job_inputs_shape() {
  return R"({"type":"object","additionalProperties":{"type":"object","required":["default"],"properties":{)"
         R"("type":{"enum":["string","number","boolean","array"]},"default":{},"description":{"type":"string"},)"
         R"("options":{"type":"array","maxItems":50},"regex":{"type":"string"}},"additionalProperties":false}})";
}

Inputs::Inputs(YamlTree& tree, Findings& findings, const InputSurroundings& around)
    : tree_(tree), findings_(findings), around_(around) {}
Inputs::~Inputs() = default;

void Inputs::define(Reader& reader, Yaml inputs) {
  const Key spec{nullptr, "spec"};
  define(reader, {&spec, "inputs"}, inputs, false);
}

void Inputs::define_of_job(Reader& reader, Yaml inputs) { define(reader, {nullptr, "inputs"}, inputs, true); }

void Inputs::define(Reader& reader, const Key& key, Yaml inputs, bool of_job) {
  if (!inputs.is_mapping()) {
    reader.mistyped(key, inputs, "a mapping of names");
    return;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Yaml name = inputs.key(i);
    const Yaml body = inputs.value(i);
    Definition definition;
    definition.name = name.text();
    definition.mark = name.mark();
    const Key field{&key, name.text()};
    if (of_job &&
        (body.is_null() || (body.is_mapping() && (!body.find("default") || body.find("default").is_null())))) {
      findings_.error(name.mark(), fmt::format("{} must have a default value", field.quoted()),
                      "the job may run where nobody can give one");
    }
    if (!body.is_null()) {
      const std::span<const Field<Definition>> all(definition_fields);
      reader.fields(field, body, of_job ? all.first(all.size() - 1) : all, definition,
                    of_job ? "a mapping" : "a mapping, or empty");
      definition.has_default = body.find_key("default") || definition.rules;
      definition.default_value = body.find("default");
      for (const std::string_view other : {"options", "default"}) {
        if (const Yaml found = body.find_key(other); definition.rules && found) {
          findings_.error(found.mark(),
                          fmt::format("{} and its `rules` exclude each other", Key{&field, other}.quoted()),
                          "put it into the last rule, without `if`");
        }
      }
    }
    std::erase_if(definitions_, [&](const Definition& known) { return known.name == definition.name; });
    definitions_.push_back(std::move(definition));
  }
}

void Inputs::allow_component(Reader& reader, const Key& key, Yaml names) {
  static constexpr std::string_view known[] = {"name", "sha", "version", "reference"};
  std::vector<std::string> wanted_names;
  if (!read(reader, key, names, wanted_names)) {
    return;
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::ranges::find(known, names.item(i).text()) == std::end(known)) {
      reader.wrong(key, names.item(i), fmt::format("has no \"{}\"", names.item(i).text()),
                   "there are name, sha, version and reference");
    }
  }
  component_ = std::move(wanted_names);
}

const GivenInput* Inputs::given(std::string_view name) const {
  const auto found = std::ranges::find(around_.given, name, &GivenInput::name);
  return found == around_.given.end() ? nullptr : &*found;
}

void Inputs::settle(Reader& reader) {
  check_given();
  // Rules look at the inputs that have none, and at those above.
  for (const bool with_rules : {false, true}) {
    for (Definition& definition : definitions_) {
      if (static_cast<bool>(definition.rules) == with_rules) {
        settle_one(reader, definition);
      }
    }
  }
}

void Inputs::check_given() {
  std::vector<std::string_view> known;
  for (const Definition& definition : definitions_) {
    known.push_back(definition.name);
  }
  for (const GivenInput& input : around_.given) {
    if (std::ranges::find(known, input.name) == known.end()) {
      if (around_.unknown != nullptr) {
        around_.unknown->push_back(input.name);
        continue;
      }
      findings_.error(input.mark, fmt::format("{} has no input \"{}\"", around_.file, input.name),
                      did_you_mean(findings_.suggest(input.name, known),
                                   known.size() <= 10 && !known.empty() ? fmt::format("it has {}", list_words(known))
                                                                        : std::string()));
    }
  }
}

void Inputs::settle_one(Reader& reader, Definition& definition) {
  if (definition.rules) {
    definition.default_value = conditional_default(reader, definition).value_or(Yaml());
  }
  std::optional<Yaml> value;
  const GivenInput* input = given(definition.name);
  if (input != nullptr && !input->value.is_null()) {
    value = checked(definition, input->value, input->mark, false);
  } else if (!definition.has_default) {
    findings_.error(input != nullptr ? input->mark : definition.mark,
                    fmt::format("the input \"{}\" of {} has no value", definition.name, around_.file),
                    "give it one: `include:inputs`, or `--input NAME=VALUE` for the file itself");
  } else if (definition.default_value) {
    value = checked(definition, definition.default_value, definition.default_value.mark(), true);
  } else {
    value = tree_.make_scalar(definition.mark, "", definition.type != Type::string);
  }
  if (value) {
    values_.insert_or_assign(definition.name, *value);
  } else {
    spoilt_ = true;
  }
}

std::optional<Yaml> Inputs::conditional_default(Reader& reader, Definition& definition) {
  const Yaml rules = definition.rules;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Yaml rule = rules.item(i);
    const Yaml condition = rule.find("if");
    if (condition && !condition.is_null() && !rule_matches(reader, condition)) {
      continue;
    }
    const Yaml options = rule.find("options");
    definition.options = options && options.is_sequence() ? options : Yaml();
    if (const Yaml value = rule.find("default")) {
      return value;
    }
    // GitLab: the first of the options.
    return definition.options ? std::optional(definition.options.item(0)) : std::nullopt;
  }
  return std::nullopt;
}

// Inputs in a condition stand where variables do elsewhere.
bool Inputs::rule_matches(Reader& reader, Yaml condition) {
  const Key key{nullptr, "spec:inputs:rules:if"};
  if (!condition.is_string()) {
    return reader.mistyped(key, condition, "a string");
  }
  std::string text;
  std::vector<std::string> names;
  const std::string_view written = condition.text();
  BlockFinder blocks(written);
  std::size_t done = 0;
  while (const std::optional<Block> block = blocks.next()) {
    text += fmt::format("{}$INPUT_{}", written.substr(done, block->begin - done), names.size());
    names.push_back(block->content.starts_with("inputs.") ? block->content.substr(7) : block->content);
    done = block->end;
  }
  text += written.substr(done);
  const auto compiled = Expression::compile(text);
  if (const auto* error = std::get_if<Expression::Error>(&compiled)) {
    return reader.wrong(key, condition, fmt::format("is no condition: {}", error->message), error->hint);
  }
  return std::get<Expression>(compiled).evaluate([&](std::string_view name) -> std::optional<std::string> {
    std::size_t number = names.size();
    if (name.starts_with("INPUT_")) {
      std::from_chars(name.data() + 6, name.data() + name.size(), number);
    }
    const auto value = number < names.size() ? values_.find(names[number]) : values_.end();
    return value == values_.end() ? std::nullopt : std::optional(text_of(value->second));
  });
}

std::optional<Yaml> Inputs::checked(const Definition& definition, Yaml value, Mark at, bool is_default) {
  const std::optional<Yaml> result = typed(definition, value);
  if (!result) {
    findings_.error(at, fmt::format("the {}input \"{}\" must be {}, not {}", is_default ? "default of the " : "",
                                    definition.name, wanted(definition.type), describe(value)));
    return std::nullopt;
  }
  const bool good = allowed(definition, *result, at) && matches_regex(definition, *result, at, is_default);
  return good ? result : std::nullopt;
}

// GitLab reads texts as JSON where another type is wanted, and takes any scalar for a string.
std::optional<Yaml> Inputs::typed(const Definition& definition, Yaml value) {
  const ScalarType type = value.is_scalar() ? scalar_type(value.text()) : ScalarType::null;
  switch (definition.type) {
    case Type::string:
      if (value.is_null()) {
        return tree_.make_scalar(value.mark(), "", false);
      }
      if (!value.is_scalar()) {
        return std::nullopt;
      }
      return value.is_string() && !value.is_plain() ? value : tree_.make_scalar(value.mark(), text_of(value), false);
    case Type::number:
      return is_number(type) ? std::optional(tree_.make_scalar(value.mark(), value.text(), true)) : std::nullopt;
    case Type::boolean:
      return type == ScalarType::boolean ? std::optional(tree_.make_scalar(value.mark(), value.text(), true))
                                         : std::nullopt;
    case Type::array:
      if (value.is_string() && value.text().starts_with('[') && around_.read_text) {
        const std::optional<Yaml> list = around_.read_text(definition.name, value.text());
        return list && list->is_sequence() ? list : std::nullopt;
      }
      return value.is_sequence() ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

bool Inputs::allowed(const Definition& definition, Yaml value, Mark at) {
  if (!definition.options) {
    return true;
  }
  if (definition.type != Type::string && definition.type != Type::number) {
    findings_.error(
        definition.options.mark(),
        fmt::format("the input \"{}\" cannot have `options`: it is {}", definition.name, wanted(definition.type)),
        "only strings and numbers can");
    return false;
  }
  std::vector<std::string> options;
  for (std::size_t i = 0; i < definition.options.size(); ++i) {
    options.push_back(text_of(definition.options.item(i)));
  }
  const std::string text = text_of(value);
  if (std::ranges::find(options, text) != options.end()) {
    return true;
  }
  const std::vector<std::string_view> names(options.begin(), options.end());
  findings_.error(at, fmt::format("the input \"{}\" cannot be \"{}\"", definition.name, text),
                  fmt::format("it can be {}", list_words(names, "or")));
  return false;
}

bool Inputs::matches_regex(const Definition& definition, Yaml value, Mark at, bool is_default) {
  if (!definition.regex) {
    return true;
  }
  if (definition.type != Type::string) {
    findings_.error(
        definition.mark,
        fmt::format("the input \"{}\" cannot have a `regex`: it is {}", definition.name, wanted(definition.type)),
        "only strings can");
    return false;
  }
  if (RE2::PartialMatch(re2::StringPiece(value.text().data(), value.text().size()), *definition.regex)) {
    return true;
  }
  findings_.error(at,
                  fmt::format("the {}input \"{}\" does not match its `regex`", is_default ? "default of the " : "",
                              definition.name),
                  fmt::format("it must match {}", definition.regex->pattern()));
  return false;
}

// --- Blocks ----------------------------------------------------------------------------------------------------------

std::optional<Yaml> Inputs::interpolate(Yaml body) { return spoilt_ ? std::nullopt : walk(body); }

std::optional<Yaml> Inputs::walk(Yaml node) {
  if (node.is_null()) {
    return node;
  }
  if (node.is_scalar()) {
    return scalar(node);
  }
  if (const auto known = walked_.find(node.index()); known != walked_.end()) {
    return known->second ? std::optional(Yaml(tree_, *known->second)) : std::nullopt;
  }
  const std::optional<Yaml> result = rebuild(node);
  walked_.insert_or_assign(node.index(), result ? std::optional(result->index()) : std::nullopt);
  return result;
}

std::optional<Yaml> Inputs::rebuild(Yaml container) {
  std::vector<NodeIndex> children;
  std::vector<YamlTree::Entry> entries;
  std::unordered_map<std::string_view, std::size_t> places;
  bool changed = false;
  bool good = true;
  const auto child = [&](Yaml old) {
    const std::optional<Yaml> walked = walk(old);
    good = good && walked;
    changed = changed || (walked && walked->index() != old.index());
    return walked.value_or(old);
  };
  for (std::size_t i = 0; i < container.size(); ++i) {
    if (!container.is_mapping()) {
      children.push_back(child(container.item(i)).index());
      continue;
    }
    Yaml key = child(container.key(i));
    if (is_container(key.kind())) {
      wrong(container.key(i), "a list cannot be a key");
      good = false;
      key = container.key(i);
    }
    const YamlTree::Entry entry{key.index(), child(container.value(i)).index()};
    const auto [place, is_new] = places.emplace(key.text(), entries.size());
    if (is_new) {
      entries.push_back(entry);
    } else {
      findings_.warning(key.mark(),
                        fmt::format("the key \"{}\" stands twice in this mapping; the last one wins", key.text()),
                        "two inputs have the same value", {Yaml(tree_, entries[place->second].key).mark()});
      entries[place->second] = entry;
    }
  }
  if (!good || exhausted_) {
    return std::nullopt;
  }
  if (!changed) {
    return container;
  }
  const std::optional<Yaml> made = container.is_mapping()
                                       ? tree_.make_mapping(container.mark(), entries)
                                       : tree_.make_sequence(container.mark(), children, container.kind());
  if (made && made->weight() <= Limits::weight) {
    return made;
  }
  exhausted_ = true;
  return wrong(container, "the inputs of this file make far too much of it");
}

std::optional<Yaml> Inputs::wrong(Yaml host, std::string message, std::string hint) {
  findings_.error(host.mark(), std::move(message), std::move(hint));
  return std::nullopt;
}

std::optional<Yaml> Inputs::scalar(Yaml node) {
  const std::string_view written = node.text();
  BlockFinder blocks(written);
  std::optional<Block> block = blocks.next();
  if (!block) {
    return node;
  }
  if (block->begin == 0 && block->end == written.size()) {
    const std::optional<Yaml> value = value_of(node, block->content);
    // Within quotes a list is its text, as in GitLab, which puts the values in before YAML is read.
    if (!value || (is_container(value->kind()) && value->kind() != Kind::reference && node.is_plain())) {
      return value;
    }
    const bool typed_value = value->is_scalar() && !value->is_string();
    return tree_.make_scalar(node.mark(), typed_value && node.is_plain() ? std::string(value->text()) : text_of(*value),
                             node.is_plain());
  }
  std::string text;
  std::size_t done = 0;
  bool good = true;
  for (; block; block = blocks.next()) {
    const std::optional<Yaml> value = value_of(node, block->content);
    if (!value) {
      good = false;  // what else is wrong with it is said, too
      continue;
    }
    text += written.substr(done, block->begin - done);
    text += text_of(*value);
    done = block->end;
    if (text.size() > most_text) {
      return wrong(node, "an input makes this text far too long", fmt::format("at most {} bytes", most_text));
    }
  }
  if (!good) {
    return std::nullopt;
  }
  text += written.substr(done);
  grown_ += text.size();
  if (grown_ > most_growth) {
    if (std::exchange(exhausted_, true)) {
      return std::nullopt;
    }
    return wrong(node, "the inputs of this file make far too much of it",
                 fmt::format("at most {} MB of text", most_growth / (1024 * 1024)));
  }
  return tree_.make_scalar(node.mark(), text, node.is_plain());
}

// Blocks repeat: each is evaluated once.
std::optional<Yaml> Inputs::value_of(Yaml host, std::string_view block) {
  const auto known = blocks_.find(std::string(block));
  if (known != blocks_.end()) {
    return known->second;
  }
  if (exhausted_) {
    return std::nullopt;
  }
  if (blocks_.size() >= most_blocks || block.size() > most_block) {
    exhausted_ = blocks_.size() >= most_blocks;
    return exhausted_ ? wrong(host, "the file has too many `$[[ … ]]` blocks",
                              fmt::format("at most {} different ones", most_blocks))
                      : wrong(host, "a `$[[ … ]]` block is too long", fmt::format("at most {} bytes", most_block));
  }
  return blocks_.emplace(block, evaluate(host, block)).first->second;
}

std::optional<Yaml> Inputs::evaluate(Yaml host, std::string_view block) {
  const std::vector<std::string> parts = split_block(block);
  // These are for later: a job's matrix, and a job's own inputs.
  if (parts[0].starts_with("matrix.") || parts[0].starts_with("job.")) {
    return tree_.make_scalar(host.mark(), fmt::format("$[[ {} ]]", block), false);
  }
  std::optional<Yaml> value = access(host, parts[0]);
  if (parts.size() - 1 > most_functions) {
    return wrong(host, fmt::format("`$[[ {} ]]` has too many functions", block),
                 fmt::format("at most {} are allowed", most_functions));
  }
  for (std::size_t i = 1; value && i < parts.size(); ++i) {
    if (const std::optional<std::string> separator = split_separator(parts[i])) {
      value = split_text(tree_, host.mark(), text_of(*value), *separator);
      continue;
    }
    const std::optional<std::string> text = apply(host, parts[i], *value);
    value = text ? std::optional(tree_.make_scalar(host.mark(), *text, false)) : std::nullopt;
  }
  return value;
}

std::optional<Yaml> Inputs::access(Yaml host, std::string_view path) {
  const std::size_t dot = path.find('.');
  const std::string_view owner = path.substr(0, dot);
  const std::string_view name = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  if (owner == "inputs" && !name.empty()) {
    if (const auto found = values_.find(name); found != values_.end()) {
      return found->second;
    }
    std::vector<std::string_view> known;
    for (const auto& [input, value] : values_) {
      known.push_back(input);
    }
    return wrong(host, fmt::format("there is no input \"{}\"", name),
                 did_you_mean(findings_.suggest(name, known), "define it in the header, below `spec: { inputs: … }`"));
  }
  if (owner == "component" && !name.empty()) {
    const auto found = std::ranges::find(around_.component, name, &std::pair<std::string, std::string>::first);
    if (std::ranges::find(component_, name) == component_.end()) {
      return wrong(host, fmt::format("`component.{}` is not asked for", name),
                   fmt::format("write `spec: {{ component: [{}] }}` in the header", name));
    }
    if (found == around_.component.end()) {
      return wrong(host, fmt::format("`component.{}` has no value: this file is not included as a component", name));
    }
    return tree_.make_scalar(host.mark(), found->second, false);
  }
  return wrong(host, fmt::format("`$[[ {} ]]` names nothing", path), "write `$[[ inputs.NAME ]]`");
}

std::optional<std::string> Inputs::apply(Yaml host, std::string_view function, Yaml value) {
  static const RE2 truncation(R"(truncate\(\s*(\d+)\s*,\s*(\d+)\s*\))");
  const std::string name(function.substr(0, function.find('(')));
  std::string offset, length;
  const bool truncates =
      RE2::FullMatch(re2::StringPiece(function.data(), function.size()), truncation, &offset, &length);
  const bool escapes = function == "posix_escape" || function == "posix_quote";
  if (!truncates && !escapes && function != "expand_vars") {
    wrong(host, fmt::format("there is no function `{}`", function),
          "there are expand_vars, truncate(OFFSET,LENGTH), posix_escape and split('SEPARATOR')");
    return std::nullopt;
  }
  if (!value.is_scalar() || !value.is_string()) {
    wrong(host, fmt::format("`{}` takes a string, not {}", name, describe(value)));
    return std::nullopt;
  }
  if (escapes) {
    return posix_escape(value.text());
  }
  if (!truncates) {
    return expand_vars(host, value.text());
  }
  const auto number = [](const std::string& digits) {
    std::size_t parsed = most_text;  // more than any text has
    std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
    return std::min(parsed, most_text);
  };
  return truncate(value.text(), number(offset), number(length));
}

// One step: values are put in as they are, unknown names stay, masked ones are refused.
std::optional<std::string> Inputs::expand_vars(Yaml host, std::string_view text) {
  bool masked = false;
  std::string expanded = expand_existing(text, [&](std::string_view name) -> std::optional<std::string> {
    const VariableSet::Entry* entry = around_.variables ? around_.variables().find(name) : nullptr;
    masked = masked || (entry != nullptr && entry->masked);
    return entry != nullptr ? std::optional(entry->value) : std::nullopt;
  });
  if (masked) {
    wrong(host, "`expand_vars` cannot expand a masked variable", "it would stand in the pipeline for all to read");
    return std::nullopt;
  }
  return expanded;
}

}  // namespace pipelines
