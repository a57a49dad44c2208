// Variables by name, with GitLab's precedence and its places of expansion. Values are expanded after parsing,
// never the text of the file.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipelines/pipeline.h"

namespace pipelines {

// From weak to strong (docs.gitlab.com/ee/ci/variables, "CI/CD variable precedence"). A stronger layer hides a weaker.
enum class Precedence : std::uint8_t { predefined, global, workflow_rule, job, rule, dotenv, project, pipeline };

// A flat set of variables. A later set() of the same or a stronger layer replaces; of a weaker one is ignored.
class VariableSet {
 public:
  struct Entry {
    std::string value;
    Precedence precedence = Precedence::predefined;
    bool expand = true;
    bool masked = false;
    bool file = false;
  };
  void set(std::string_view name, std::string value, Precedence, bool expand = true, bool masked = false,
           bool file = false);
  void set(const Variable&, Precedence);
  void set_all(const Variables&, Precedence);
  const Entry* find(std::string_view name) const;
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }

  // The set with every value's references replaced by the values of this set, recursively: what a job sees, of which
  // GitLab does one part (`$v`, `${v}` and `%v%`; lib/gitlab/ci/variables/collection.rb) and gitlab-runner the rest
  // (common/spec/variables.go, os.Expand): unknown names and the shell's own (`$1`, `$?`, `${v:-x}`) become empty, but
  // for `%v%`, which only GitLab knows; `$$` stays for one `$`. The references within a cycle (A=$B, B=$A) are left as
  // written; entries with expand=false, and files, are kept literal. The result's entries are all expand=false: it is
  // not to be expanded again.
  // Bounded: a value grows to at most 1 MiB, all of them together by at most 16 MiB; what would grow beyond is left
  // as written.
  VariableSet expanded() const;

  // From now on a reference to a file is its path, PREFIX and its name, as in a job. Before, its content, as where
  // GitLab itself expands (expand_file_refs).
  void put_files_at(std::string prefix) { files_ = std::move(prefix); }
  // Where a file is; empty: not known.
  std::string path_of(std::string_view name) const;

  // Replaces references in `text` from this set (already expanded): for image names, artifact paths and the like.
  // Unknown names, and the shell's own, become empty (gitlab-runner's os.Expand); `$$` is one `$`; `%v%` is no
  // reference here.
  std::string expand(std::string_view text) const;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
  std::string files_;  // what their paths begin with; empty: not known
};

// A project's variable that only jobs of some environments get (docs.gitlab.com/ee/ci/environments, "Limit the
// environment scope of a CI/CD variable").
struct ScopedVariable {
  std::string scope;  // an environment's name; `*` stands for any text
  std::string name;
  VariableSet::Entry entry;
};
// Whether the scope is the environment's. The empty name is that of a job without environment: only `*` is its.
bool scope_matches(std::string_view scope, std::string_view environment);

// The same over any source of values: what VariableSet::expand does with find().
std::string expand(std::string_view text,
                   const std::function<std::optional<std::string>(std::string_view name)>& lookup);

// GitLab's own way with names of files, refs and the like (lib/expand_variables.rb, expand_existing): `$v`, `${v}`,
// `%v%`; unknown names are left as written.
std::string expand_existing(std::string_view text,
                            const std::function<std::optional<std::string>(std::string_view name)>& lookup);

struct Dotenv {
  std::vector<std::pair<std::string, std::string>> variables;
  std::vector<std::string> warnings;  // "line 3: …": lines that are no KEY=value
  std::string refused;                // of a report: the first such line, for which GitLab takes none of it
};
// A `reports:dotenv` or --env-file text: KEY=value lines, no expansion; space around key and value is dropped. Keys are
// letters, digits and '_'; a later line wins (both are returned, in order). At most `limit` bytes are read, whole lines
// only. An --env-file may have `#` comments and blank lines, and one pair of quotes around a value is removed; a
// `report` keeps its quotes and is refused for any other line, also for comments and blank ones, as in GitLab
// (app/services/ci/parse_dotenv_artifact_service.rb).
Dotenv parse_dotenv(std::string_view text, std::size_t limit, bool report = false);

// Whether a shell can have a variable of this name: letters, digits and '_', no digit first.
bool is_variable_name(std::string_view name);

// CI_COMMIT_REF_SLUG's rule: lower case, each character but a-z0-9 becomes '-', at most `limit` bytes, then no '-' at
// the ends.
std::string slug(std::string_view text, std::size_t limit = 63);

}  // namespace pipelines
