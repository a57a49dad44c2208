// `spec:inputs` and `$[[ inputs.name ]]` (docs.gitlab.com/ee/ci/inputs; lib/ci/inputs and
// lib/gitlab/ci/config/interpolation).
//
// Values are put into the tree, never into the text: they cannot change the file's structure. Otherwise as in GitLab,
// which writes them into the text: a text that stands alone in an unquoted value is read by YAML's rules there (`true`
// is a boolean), a list that stands alone in a value stays a list, a number or boolean alone in an unquoted value keeps
// its type. A file without a `spec` header is left as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipelines/findings.h"
#include "pipelines/reader.h"
#include "pipelines/variables.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

// A value that was given for an input.
struct GivenInput {
  std::string name;
  Mark mark;
  Yaml value;
};

// What the blocks of one file may say.
struct InputSurroundings {
  std::string file;  // for messages
  std::vector<GivenInput> given;
  std::vector<std::pair<std::string, std::string>> component;  // name, sha, version, reference
  std::function<const VariableSet&()> variables;               // for expand_vars
  // Reads a text that stands for a list (`--input NAME=[…]`); absent after an error.
  std::function<std::optional<Yaml>(const std::string& name, std::string_view text)> read_text;
  // Where those go that are not defined here, because they may be a job's; none: they are errors.
  std::vector<std::string>* unknown = nullptr;
};

std::string job_inputs_shape();

class Inputs {
 public:
  static constexpr std::size_t most_options = 50;
  static constexpr std::size_t most_functions = 3;
  static constexpr std::size_t most_blocks = 10'000;            // different ones
  static constexpr std::size_t most_block = 1024;               // bytes
  static constexpr std::size_t most_text = 1024 * 1024;         // of one value
  static constexpr std::size_t most_growth = 16 * 1024 * 1024;  // of all values together

  enum class Type : std::uint8_t { string, number, boolean, array };
  struct Definition;  // inputs.cpp

  Inputs(YamlTree&, Findings&, const InputSurroundings&);
  ~Inputs();
  Inputs(const Inputs&) = delete;
  Inputs& operator=(const Inputs&) = delete;

  // Definitions (the value of `spec:inputs`); a later one of the same name wins.
  void define(Reader&, Yaml inputs);
  // The same of a job's `inputs`: no rules, and every one has a default (lib/gitlab/ci/config/entry/job_input.rb).
  void define_of_job(Reader&, Yaml inputs);
  // `spec:component`: which of the component's values may be used.
  void allow_component(Reader&, const Key&, Yaml names);
  // Gives every input its value: the given one or the default. Reports what is wrong with them.
  void settle(Reader&);

  const std::map<std::string, Yaml, std::less<>>& values() const { return values_; }

  // The body with every block replaced; absent when one is wrong, which is reported.
  std::optional<Yaml> interpolate(Yaml body);

 private:
  void define(Reader&, const Key&, Yaml inputs, bool of_job);
  std::optional<Yaml> walk(Yaml);
  std::optional<Yaml> rebuild(Yaml container);
  std::optional<Yaml> scalar(Yaml);
  std::optional<Yaml> value_of(Yaml host, std::string_view block);
  std::optional<Yaml> evaluate(Yaml host, std::string_view block);
  std::optional<Yaml> access(Yaml host, std::string_view path);
  std::optional<std::string> apply(Yaml host, std::string_view function, Yaml value);
  std::optional<std::string> expand_vars(Yaml host, std::string_view text);
  std::optional<Yaml> wrong(Yaml host, std::string message, std::string hint = {});

  void check_given();
  const GivenInput* given(std::string_view name) const;
  void settle_one(Reader&, Definition&);
  std::optional<Yaml> conditional_default(Reader&, Definition&);
  bool rule_matches(Reader&, Yaml condition);
  std::optional<Yaml> checked(const Definition&, Yaml value, Mark at, bool is_default);
  std::optional<Yaml> typed(const Definition&, Yaml value);
  bool allowed(const Definition&, Yaml value, Mark at);
  bool matches_regex(const Definition&, Yaml value, Mark at, bool is_default);

  YamlTree& tree_;
  Findings& findings_;
  const InputSurroundings& around_;
  std::vector<Definition> definitions_;
  std::map<std::string, Yaml, std::less<>> values_;
  std::vector<std::string> component_;
  bool spoilt_ = false;  // an input has no value, which is reported
  std::unordered_map<std::string, std::optional<Yaml>> blocks_;
  std::unordered_map<NodeIndex, std::optional<NodeIndex>> walked_;
  std::size_t grown_ = 0;
  bool exhausted_ = false;
};

// A copy of the text in which every block is written with characters that may stand in any plain value, also within
// `[…]` and `{…}`, byte for byte as long. Inputs knows them again. Only for texts that have a `spec` header.
std::string shield_blocks(std::string_view text);
// Whether the text seems to have a `spec` header, and blocks.
bool has_blocks(std::string_view text);

}  // namespace pipelines
