// For preview(): parallel jobs as jobs of their own, under the names that GitLab gives them. What names a parallel job
// in `needs`, `dependencies` and `rules:needs` names its instances then.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipelines/keywords.h"
#include "pipelines/pipeline.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

class WrittenOut {
 public:
  // `parallels`: by the names that the author wrote. Both must outlive this.
  WrittenOut(YamlTree&, const Pipeline&, const std::map<std::string, Parallel, std::less<>>& parallels);

  // Adds the entries of the job that the author wrote as `key`, with everything resolved. False when it is too much.
  bool add(Yaml key, Yaml body, std::vector<YamlTree::Entry>& out);

 private:
  bool add_one(const Job&, Yaml key, Yaml body, std::vector<YamlTree::Entry>& out);
  Yaml value_of(const Job&, std::string_view keyword, Yaml value);
  Yaml variables(const Job&, Yaml written);
  Yaml needs(const std::vector<Need>&, const std::vector<UpstreamNeed>&, Mark);
  Yaml rules(const Job&, Yaml list, std::size_t& rule);
  std::vector<std::string> instances(const std::string& name) const;

  Yaml text(Mark mark, std::string_view text) { return tree_.make_scalar(mark, text, false); }
  YamlTree::Entry entry(Mark mark, std::string_view key, Yaml value) {
    return {text(mark, key).index(), value.index()};
  }
  Yaml mapping(Mark, const std::vector<YamlTree::Entry>&);
  Yaml list(Mark, const std::vector<NodeIndex>&);

  YamlTree& tree_;
  const Pipeline& pipeline_;
  const std::map<std::string, Parallel, std::less<>>& parallels_;
  std::unordered_map<std::string_view, std::vector<const Job*>> jobs_;  // by the name that the author wrote
  bool full_ = false;
};

}  // namespace pipelines
