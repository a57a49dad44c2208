// From the tree to values: the machinery of the keyword tables.
//
// A keyword is one row of a table: its name, the function that reads it, and whether it is carried out. The same rows
// name the keywords in "did you mean" and make the JSON schema (schema.h). Tables stand in read_*.cpp, those of jobs
// and of the file in keywords.cpp. A reader that meets a wrong type says so once and leaves the value as it was.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipelines/expression.h"
#include "pipelines/findings.h"
#include "pipelines/pipeline.h"
#include "pipelines/shape.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

// A keyword as messages call it: `timeout`, `artifacts:reports:junit`. Lives on the stack while its value is read.
struct Key {
  const Key* owner = nullptr;  // none at the top of a job or of the file
  std::string_view name;
  std::string path() const;
  std::string quoted() const { return '`' + path() + '`'; }
};

class Reader;

template <class T>
using ReadsInto = bool (*)(Reader&, const Key&, Yaml, T&);

// A row. member<&T::m> brings its shape along; a reader of its own is given one, `{"when", read_when,
// words<job_when>}`, or SchemaTest.EveryKeywordHasAShape fails.
template <class T>
struct Field {
  using Reads = ReadsInto<T>;
  std::string_view name;
  Reads read = nullptr;
  Support support = Support::done;
  std::string_view note = {};  // the hint, where it is not done
  Shape shape = {};

  constexpr Field(std::string_view keyword, Reads reader, Shape value = {})
      : name(keyword), read(reader), shape(value) {}
  constexpr Field(std::string_view keyword, std::nullptr_t, Support how, std::string_view hint = {})
      : name(keyword), support(how), note(hint) {}
  template <class Shaped>
  requires requires { Shaped::shape; }
  constexpr Field(std::string_view keyword, Shaped reader)
      : name(keyword), read(static_cast<Reads>(reader)), shape(Shaped::shape) {}
};

template <class T>
struct Word {
  std::string_view text;
  T value;
};

class Reader {
 public:
  // `root`: the file's mapping, to say in which job a mistake stands.
  Reader(Findings& findings, Yaml root) : findings_(findings), root_(root) {}

  Findings& findings() { return findings_; }

  // `KEY` must be WANTED, not a list. Always false, so that readers can return it.
  bool mistyped(const Key&, Yaml, std::string_view wanted, std::string hint = {});
  // One sentence about the value of a keyword, at its place: `KEY` MESSAGE. Always false.
  bool wrong(const Key&, Yaml, std::string_view message, std::string hint = {});

  // A mapping by its table. True when it was one, whatever its entries were.
  template <class T, std::size_t N>
  bool fields(const Key& key, Yaml yaml, const Field<T> (&table)[N], T& out, std::string_view wanted = "a mapping") {
    return fields(key, yaml, std::span<const Field<T>>(table), out, wanted);
  }
  template <class T>
  bool fields(const Key&, Yaml, std::span<const Field<T>>, T& out, std::string_view wanted = "a mapping");

  template <class T, std::size_t N>
  bool word(const Key&, Yaml, const Word<T> (&table)[N], T& out);

  // Says what a keyword that is not carried out means for the author. False when the pipeline cannot run without it.
  bool not_done(const Key&, Yaml key_node, Support, std::string_view note);
  void unknown(std::string_view where, Yaml key_node, const std::vector<std::string_view>& known);

  // `if`, compiled once for every text.
  std::optional<Expression> expression(const Key&, Yaml);

  // The top-level entry in which a place stands: `job "build"`, `".base"`, `default`.
  std::string entry_around(Mark);

  // Counts what a job takes from the tree. False, after one error, when all jobs together take far too much.
  bool charge(Yaml, std::uint64_t times = 1);

 private:
  Findings& findings_;
  Yaml root_;
  std::vector<std::pair<Mark, std::string_view>> entries_;  // by place, when first asked for
  std::unordered_map<std::string_view, Expression> expressions_;
  std::uint64_t charged_ = 0;
};

// What a node is, for messages: "a mapping", "a number", "empty".
std::string_view describe(Yaml);

// `a, b and c`.
std::string list_words(const std::vector<std::string_view>& words, std::string_view last = "and");

// The readers of simple values. Each returns whether `out` was set.
bool read(Reader&, const Key&, Yaml, std::string& out);
bool read(Reader&, const Key&, Yaml, bool& out);
bool read(Reader&, const Key&, Yaml, std::vector<std::string>& out);  // a list of strings
bool read(Reader&, const Key&, Yaml, std::chrono::seconds& out);      // not negative
bool read_string_or_list(Reader&, const Key&, Yaml, std::vector<std::string>& out);
// Lists in lists are flattened. `marks`, if any: where each of them stands.
bool read_commands(Reader&, const Key&, Yaml, std::vector<std::string>& out, std::vector<Mark>* marks = nullptr);
bool read_exit_codes(Reader&, const Key&, Yaml, std::vector<int>& out);  // a number or a list of numbers

// GitLab's rule for the names of environments and resource groups: letters, digits, spaces and -_/${}. , and no slash
// at the ends (lib/gitlab/regex.rb, environment_name_regex). False after it was said.
bool check_environment_name(Reader&, const Key&, Yaml, std::string_view name);

// The readers of GitLab's structures.
bool read(Reader&, const Key&, Yaml, Image& out);
bool read(Reader&, const Key&, Yaml, std::vector<Service>& out);
bool read(Reader&, const Key&, Yaml, Variables& out);  // of a job, a rule or a service
bool read_global_variables(Reader&, const Key&, Yaml, Variables& out);
std::string global_variables_shape();
bool read(Reader&, const Key&, Yaml, std::vector<Need>& out);  // of a rule: jobs of this pipeline
// Of a job: also those of other pipelines.
bool read_needs(Reader&, const Key&, Yaml, std::vector<Need>& out, std::vector<UpstreamNeed>& upstream);
bool read(Reader&, const Key&, Yaml, std::vector<RunStep>& out);  // `run`
bool read(Reader&, const Key&, Yaml, std::vector<Rule>& out);
bool read(Reader&, const Key&, Yaml, Workflow& out);
bool read_include_rules(Reader&, const Key&, Yaml, std::vector<Rule>& out);
bool read(Reader&, const Key&, Yaml, Policy& out);  // `only`, `except`
// `parallel:matrix`, here or in `needs`: the variables of each instance, at most 200.
bool read_matrix(Reader&, const Key&, Yaml, std::vector<Variables>& out);
// What GitLab calls that instance: `job: [a, b]`.
std::string instance_name(std::string_view job, const Variables& row);
// A variable's value: GitLab's to_s of the YAML value.
bool read_value(Reader&, const Key&, Yaml, std::string& out);
bool read(Reader&, const Key&, Yaml, Artifacts& out);
bool read(Reader&, const Key&, Yaml, std::vector<Cache>& out);
bool read(Reader&, const Key&, Yaml, Pages& out);
bool read(Reader&, const Key&, Yaml, Release& out);
bool read(Reader&, const Key&, Yaml, std::vector<IdToken>& out);
bool read(Reader&, const Key&, Yaml, std::vector<Secret>& out);
bool read(Reader&, const Key&, Yaml, AllowFailure& out);
bool read(Reader&, const Key&, Yaml, Retry& out);
bool read(Reader&, const Key&, Yaml, Environment& out);
bool read(Reader&, const Key&, Yaml, Downstream& out);
// Built-in steps, and what stands beside them.
bool read_scan(Reader&, const Key&, Yaml, std::optional<Step>& out);
bool read_image_build(Reader&, const Key&, Yaml, std::optional<Step>& out);
bool read_bake(Reader&, const Key&, Yaml, std::optional<Step>& out);
bool read_deploy(Reader&, const Key&, Yaml, std::optional<Step>& out);
bool read_rollback(Reader&, const Key&, Yaml, std::optional<Step>& out);
std::string scan_shape();
std::string bake_shape();
std::string deploy_shape();
bool read(Reader&, const Key&, Yaml, AwsSettings& out);
bool read(Reader&, const Key&, Yaml, Monitor& out);
bool read(Reader&, const Key&, Yaml, std::vector<Notify>& out);
bool read(Reader&, const Key&, Yaml, S3Artifacts& out);
bool read(Reader&, const Key&, Yaml, CloudwatchLogs& out);
bool read_coverage(Reader&, const Key&, Yaml, std::string& out);  // RE2 text without its slashes
bool read_start_in(Reader&, const Key&, Yaml, std::chrono::seconds& out);

template <class T>
bool read(Reader& reader, const Key& key, Yaml yaml, std::optional<T>& out) {
  T value{};
  if (!read(reader, key, yaml, value)) {
    return false;
  }
  out = std::move(value);
  return true;
}

template <class>
struct MemberClass;
template <class C, class M>
struct MemberClass<M C::*> {
  using type = C;
  using value = M;
};

// A row's reader that reads into one member: {"name", member<&Image::name>}.
template <auto Member>
struct MemberReader {
  using Owner = typename MemberClass<decltype(Member)>::type;
  static constexpr Shape shape = shape_for<typename MemberClass<decltype(Member)>::value>;
  static bool read_member(Reader& reader, const Key& key, Yaml yaml, Owner& out) {
    return read(reader, key, yaml, out.*Member);
  }
  constexpr explicit operator typename Field<Owner>::Reads() const { return &read_member; }
  bool operator()(Reader& reader, const Key& key, Yaml yaml, Owner& out) const {
    return read_member(reader, key, yaml, out);
  }
};
template <auto Member>
inline constexpr MemberReader<Member> member{};

// For what is checked and then not used, because it only matters on GitLab's server.
template <class Value>
struct CheckedReader {
  static constexpr Shape shape = shape_for<Value>;
  template <class T>
  static bool check(Reader& reader, const Key& key, Yaml yaml, T&) {
    Value value{};
    return read(reader, key, yaml, value);
  }
  template <class T>
  constexpr explicit operator ReadsInto<T>() const {
    return &check<T>;
  }
};
template <class Value>
inline constexpr CheckedReader<Value> checked{};

// The shape of a mapping, from its table; `required`: JSON texts of names, separated by commas.
template <class T>
std::string mapping_shape(std::span<const Field<T>> table, std::string_view required = {}) {
  std::string properties;
  for (const Field<T>& row : table) {
    properties += (properties.empty() ? "" : ",") + property_shape(row.name, row.support, row.note, row.shape);
  }
  return R"({"type":"object","properties":{)" + properties + R"(},"required":[)" + std::string(required) +
         R"(],"additionalProperties":false})";
}
template <class T, std::size_t N>
std::string mapping_shape(const Field<T> (&table)[N], std::string_view required = {}) {
  return mapping_shape(std::span<const Field<T>>(table), required);
}

template <class T>
bool Reader::fields(const Key& key, Yaml yaml, std::span<const Field<T>> table, T& out, std::string_view wanted) {
  if (!yaml.is_mapping()) {
    return mistyped(key, yaml, wanted);
  }
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const Yaml name = yaml.key(i);
    const Field<T>* row = nullptr;
    for (const Field<T>& candidate : table) {
      if (candidate.name == name.text()) {
        row = &candidate;
        break;
      }
    }
    if (row == nullptr) {
      std::vector<std::string_view> known;
      for (const Field<T>& candidate : table) {
        known.push_back(candidate.name);
      }
      unknown(key.quoted(), name, known);
      continue;
    }
    // Null is GitLab's "not specified", everywhere.
    if (yaml.value(i).is_null()) {
      continue;
    }
    const Key field{&key, row->name};
    if (row->support == Support::done) {
      row->read(*this, field, yaml.value(i), out);
    } else {
      not_done(field, name, row->support, row->note);
    }
  }
  return true;
}

template <class T, std::size_t N>
bool Reader::word(const Key& key, Yaml yaml, const Word<T> (&table)[N], T& out) {
  if (yaml.is_scalar()) {
    for (const Word<T>& row : table) {
      if (row.text == yaml.text()) {
        out = row.value;
        return true;
      }
    }
  }
  std::vector<std::string_view> words;
  for (const Word<T>& row : table) {
    words.push_back(row.text);
  }
  if (!yaml.is_scalar()) {
    return mistyped(key, yaml, list_words(words, "or"));
  }
  findings_.error(yaml.mark(),
                  key.quoted() + " must be " + list_words(words, "or") + ", not \"" + std::string(yaml.text()) + "\"",
                  did_you_mean(findings_.suggest(yaml.text(), words)));
  return false;
}

}  // namespace pipelines
