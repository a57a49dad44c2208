#include "pipelines/written_out.h"

#include <algorithm>

namespace pipelines {

WrittenOut::WrittenOut(YamlTree& tree, const Pipeline& pipeline,
                       const std::map<std::string, Parallel, std::less<>>& parallels)
    : tree_(tree), pipeline_(pipeline), parallels_(parallels) {
  for (const Job& job : pipeline_.jobs) {
    jobs_[job.written_name()].push_back(&job);
  }
}

bool WrittenOut::add(Yaml key, Yaml body, std::vector<YamlTree::Entry>& out) {
  const auto found = jobs_.find(key.text());
  if (found == jobs_.end()) {
    return true;  // another job took its place
  }
  return std::ranges::all_of(found->second, [&](const Job* job) { return add_one(*job, key, body, out); });
}

bool WrittenOut::add_one(const Job& job, Yaml key, Yaml body, std::vector<YamlTree::Entry>& out) {
  std::vector<YamlTree::Entry> entries;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const std::string_view keyword = body.key(i).text();
    if (keyword == "extends" || (keyword == "parallel" && !job.origin.empty())) {
      continue;
    }
    entries.push_back({body.key(i).index(), value_of(job, keyword, body.value(i)).index()});
  }
  if (!job.origin.empty() && !body.find_key("variables")) {
    entries.push_back(entry(body.mark(), "variables", variables(job, Yaml())));
  }
  out.push_back(
      {(job.origin.empty() ? key : text(key.mark(), job.name)).index(), mapping(body.mark(), entries).index()});
  return !full_;
}

Yaml WrittenOut::value_of(const Job& job, std::string_view keyword, Yaml value) {
  if (keyword == "variables" && !job.origin.empty()) {
    return variables(job, value);
  }
  if (parallels_.empty() || value.is_null()) {
    return value;
  }
  if (keyword == "needs" && job.needs) {
    return needs(*job.needs, job.upstream_needs, value.mark());
  }
  if (keyword == "dependencies" && job.dependencies) {
    std::vector<NodeIndex> items;
    for (const std::string& name : *job.dependencies) {
      for (const std::string& instance : instances(name)) {
        items.push_back(text(value.mark(), instance).index());
      }
    }
    return list(value.mark(), items);
  }
  if (keyword == "rules" && job.rules &&
      std::ranges::any_of(*job.rules, [](const Rule& rule) { return rule.needs.has_value(); })) {
    std::size_t rule = 0;
    return rules(job, value, rule);
  }
  return value;
}

// What `parallel` gives the instance, over what the author wrote.
Yaml WrittenOut::variables(const Job& job, Yaml written) {
  const Parallel& parallel = parallels_.find(job.origin)->second;
  Variables given = parallel.matrix.empty() ? Variables() : parallel.matrix[job.node_index - 1];
  for (const auto& [name, number] : {std::pair("CI_NODE_INDEX", job.node_index), {"CI_NODE_TOTAL", job.node_total}}) {
    Variable& variable = given.emplace_back();
    variable.name = name;
    variable.value = std::to_string(number);
  }
  std::vector<YamlTree::Entry> entries;
  for (std::size_t i = 0; written && written.is_mapping() && i < written.size(); ++i) {
    if (std::ranges::find(given, written.key(i).text(), &Variable::name) == given.end()) {
      entries.push_back({written.key(i).index(), written.value(i).index()});
    }
  }
  for (const Variable& variable : given) {
    entries.push_back(entry(job.mark, variable.name, text(job.mark, variable.value)));
  }
  return mapping(job.mark, entries);
}

std::vector<std::string> WrittenOut::instances(const std::string& name) const {
  std::vector<std::string> names;
  if (const auto found = parallels_.contains(name) ? jobs_.find(name) : jobs_.end(); found != jobs_.end()) {
    for (const Job* job : found->second) {
      names.push_back(job->name);
    }
    return names;
  }
  return {name};
}

Yaml WrittenOut::needs(const std::vector<Need>& needs, const std::vector<UpstreamNeed>& upstream, Mark mark) {
  const auto flag = [&](bool value) { return tree_.make_scalar(mark, value ? "true" : "false", true); };
  std::vector<NodeIndex> items;
  for (const Need& need : needs) {
    for (const std::string& name : instances(need.job)) {
      std::vector<YamlTree::Entry> entries = {entry(mark, "job", text(mark, name))};
      if (!need.artifacts) entries.push_back(entry(mark, "artifacts", flag(false)));
      if (need.optional) entries.push_back(entry(mark, "optional", flag(true)));
      items.push_back((entries.size() == 1 ? text(mark, name) : mapping(mark, entries)).index());
    }
  }
  for (const UpstreamNeed& need : upstream) {
    std::vector<YamlTree::Entry> entries = {entry(mark, "pipeline", text(mark, need.pipeline)),
                                            entry(mark, "job", text(mark, need.job))};
    if (!need.artifacts) entries.push_back(entry(mark, "artifacts", flag(false)));
    items.push_back(mapping(mark, entries).index());
  }
  return list(mark, items);
}

// `rule` counts them as they were read: lists in lists are one list.
Yaml WrittenOut::rules(const Job& job, Yaml written, std::size_t& rule) {
  std::vector<NodeIndex> items;
  for (std::size_t i = 0; i < written.size(); ++i) {
    const Yaml item = written.item(i);
    if (item.is_sequence()) {
      items.push_back(rules(job, item, rule).index());
      continue;
    }
    const std::optional<std::vector<Need>>& own = (*job.rules)[rule++].needs;
    std::vector<YamlTree::Entry> entries;
    for (std::size_t j = 0; j < item.size(); ++j) {
      const bool replaced = own && item.key(j).text() == "needs";
      entries.push_back(
          {item.key(j).index(), (replaced ? needs(*own, {}, item.value(j).mark()) : item.value(j)).index()});
    }
    items.push_back(mapping(item.mark(), entries).index());
  }
  return list(written.mark(), items);
}

Yaml WrittenOut::mapping(Mark mark, const std::vector<YamlTree::Entry>& entries) {
  const std::optional<Yaml> made = tree_.make_mapping(mark, entries);
  full_ = full_ || !made;
  return made ? *made : tree_.make_scalar(mark, "", true);
}

Yaml WrittenOut::list(Mark mark, const std::vector<NodeIndex>& items) {
  const std::optional<Yaml> made = tree_.make_sequence(mark, items);
  full_ = full_ || !made;
  return made ? *made : tree_.make_scalar(mark, "", true);
}

}  // namespace pipelines
