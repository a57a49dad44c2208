// `!reference [job, key, …]` (docs.gitlab.com/ee/ci/yaml/yaml_optimization, "!reference tags"): the value found there.
//
// GitLab's rules (lib/gitlab/ci/config/yaml/tags): resolved after `include` and `extends`, anywhere; what is found may
// hold references itself; one that leads to itself, and one that finds nothing or null, are errors. A reference in a
// list puts a list into it, which script, before_script, after_script, rules and stages flatten (10 deep).
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipelines/extends.h"
#include "pipelines/findings.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

class References {
 public:
  // References that find what stands behind references, one after the other. GitLab has no limit here.
  static constexpr std::size_t most_levels = 100;

  // With `incomplete`, names that are not defined are not reported.
  References(YamlTree& tree, Yaml root, Extends& extends, Findings& findings, bool incomplete)
      : tree_(tree), root_(root), extends_(extends), findings_(findings), incomplete_(incomplete) {}

  // The value with every reference in it replaced. Absent when one is wrong, which is reported once.
  std::optional<Yaml> resolve(Yaml);

 private:
  struct Open {
    NodeIndex reference = 0;
    std::string name;  // "[.job, script]"
  };

  std::optional<Yaml> follow(Yaml reference);
  std::optional<Yaml> find(Yaml reference);
  std::optional<Yaml> rebuild(Yaml container);
  std::optional<Yaml> nothing_found(Yaml at, std::string message, Yaml among);
  bool is_good(Yaml reference);
  void report_circle(Yaml reference);

  YamlTree& tree_;
  Yaml root_;
  Extends& extends_;
  Findings& findings_;
  bool incomplete_;
  std::deque<Open> path_;
  std::unordered_map<NodeIndex, std::optional<NodeIndex>> resolved_;  // containers
  bool exhausted_ = false;
};

}  // namespace pipelines
