// `extends` (docs.gitlab.com/ee/ci/yaml/#extends): a job takes the keywords of other jobs, hidden ones or not.
//
// GitLab's rules (lib/gitlab/ci/config/extendable): bases are merged in the order of the list, the job itself last;
// see merge.h; at most 11 levels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipelines/findings.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

class Extends {
 public:
  static constexpr unsigned most_levels = 11;

  // `root`: the file's mapping. Finds every wrong `extends` at once: unknown and unfit bases, circles, too many levels.
  // With `incomplete`, unknown bases are not reported.
  Extends(YamlTree&, Yaml root, Findings&, bool incomplete);

  // The body of the root's i-th entry (a mapping) with its bases merged in. Absent when its `extends` is wrong, or that
  // of a base is; that has been reported then.
  std::optional<Yaml> resolve(std::uint32_t entry);

  // The root's entry of this name, whatever it is.
  std::optional<std::uint32_t> find(std::string_view name) const;

 private:
  enum class State : std::uint8_t { fresh, open, good, broken };
  struct Entry {
    State state = State::fresh;
    unsigned levels = 0;
    std::vector<std::uint32_t> bases;
    std::optional<Yaml> resolved;
  };
  struct Visit {
    std::uint32_t entry = 0;
    std::size_t next_base = 0;
  };

  std::string_view name(std::size_t entry) const { return root_.key(entry).text(); }
  void examine(std::uint32_t first);
  void open(std::uint32_t entry);
  void close(std::uint32_t entry);
  bool read_bases(std::uint32_t entry);
  bool add_base(std::uint32_t entry, Yaml base);
  void report_circle(const std::vector<Visit>& path, std::uint32_t entry);
  std::optional<Yaml> merge_bases(std::uint32_t entry);
  std::optional<Yaml> merge(Yaml under, Yaml over);

  YamlTree& tree_;
  Yaml root_;
  Findings& findings_;
  bool incomplete_;
  std::unordered_map<std::string_view, std::uint32_t> by_name_;
  std::vector<Entry> entries_;
  bool exhausted_ = false;  // Limits::merged_entries are used up
};

}  // namespace pipelines
