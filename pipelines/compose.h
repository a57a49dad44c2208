// From files to one mapping: `include` and `spec:inputs` (docs.gitlab.com/ee/ci/yaml/includes, #include, #spec).
//
// As in GitLab (lib/gitlab/ci/config/external): of each file, first its inputs are put in, then what it includes is
// merged under it (merge.h) in the order of the list, a later one over an earlier one; then the next step is taken by
// parse.cpp: `extends`, `!reference`, keywords. A file that includes nothing and has no header costs nothing here.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipelines/findings.h"
#include "pipelines/includes.h"
#include "pipelines/inputs.h"
#include "pipelines/reader.h"
#include "pipelines/rules.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

class Composer {
 public:
  static constexpr std::size_t most_includes = 150;  // GitLab's limit, nested ones counted

  Composer(YamlTree&, Findings&, const Context&);
  ~Composer();
  Composer(const Composer&) = delete;
  Composer& operator=(const Composer&) = delete;

  struct Composed {
    Yaml root;                             // a mapping without `include`
    bool incomplete = false;               // something could not be included, which is reported
    bool changed = false;                  // it is not the file's own document
    std::vector<std::string> unclaimed{};  // of Context::inputs, where jobs are named: those that the file has not
  };
  // Absent after at least one error.
  std::optional<Composed> compose(std::string_view text, std::string_view name);

  // The files, in the order in which marks count them. Call once, when the tree is not used any more.
  std::vector<Source> take_sources();

 private:
  struct File;   // a text that was read
  struct Level;  // a file on the way from the main file to here
  struct Entry;  // one item of `include`

  File& add_file(std::string name, std::string_view text, Origin);
  bool parse_file(File&);
  std::optional<Yaml> settle(File&, const Level&, std::vector<GivenInput>);
  void read_header(File&, Inputs&, Reader&, const Level&);
  void include_definitions(Yaml include, Inputs&, Reader&, const Level&);
  std::optional<Yaml> include_all(Yaml body, const Level&);
  std::optional<Yaml> without_include(Yaml body);
  void merge(std::optional<Yaml>& merged, Yaml over, bool& good);

  std::vector<Entry> read_entries(Yaml include, const Level&);
  void read_entry(Yaml item, const Level&, std::vector<Entry>&);
  void read_mapping(Yaml item, const Level&, std::vector<Entry>&);
  bool make_requests(Entry, const Level&, std::vector<Entry>&);
  bool make_local(Entry, const Level&, std::vector<Entry>&);
  bool matches(const std::vector<Rule>&, const Level&);

  std::optional<Yaml> include_one(const Entry&, const Level&);
  File* fetch(const Entry&, const Level&);
  bool check_circle(const Entry&, const std::string& identity, const Level&);
  bool refuse(Yaml at, const Level&, std::string message, std::string hint);

  const VariableSet& variables();
  const VariableSet& expanded();
  std::string expand(std::string_view text);
  // Without the values of masked variables, which an address may hold.
  std::string masked(std::string text);

  YamlTree& tree_;
  Findings& findings_;
  const Context& context_;
  std::deque<File> files_;  // by source
  std::map<std::string, File*> by_identity_;
  std::map<std::string, IncludeFault> faults_;  // nothing is asked for twice
  std::optional<VariableSet> variables_, expanded_;
  std::map<Origin, std::unique_ptr<std::pair<Facts, std::optional<RuleMatcher>>>> matchers_;
  std::size_t included_ = 0;
  std::size_t text_bytes_ = 0;
  bool incomplete_ = false;
  bool changed_ = false;
  std::vector<std::string> unclaimed_;
  bool full_ = false;  // too many, or too much: reported once
};

}  // namespace pipelines
