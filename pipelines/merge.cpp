#include "pipelines/merge.h"

#include <cstddef>
#include <unordered_map>
#include <vector>

namespace pipelines {

std::optional<Yaml> deep_merge(YamlTree& tree, Yaml under, Yaml over, std::string_view replaced) {
  constexpr std::size_t few = 24;
  std::vector<YamlTree::Entry> entries;
  entries.reserve(under.size() + over.size());
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < under.size(); ++i) {
    if (under.size() > few) {
      places.emplace(under.key(i).text(), i);
    }
    entries.push_back({under.key(i).index(), under.value(i).index()});
  }
  const auto find = [&](std::string_view key) {
    if (!places.empty()) {
      const auto found = places.find(key);
      return found == places.end() ? entries.size() : found->second;
    }
    std::size_t i = 0;
    while (i < under.size() && under.key(i).text() != key) {
      ++i;
    }
    return i == under.size() ? entries.size() : i;
  };
  for (std::size_t i = 0; i < over.size(); ++i) {
    const Yaml key = over.key(i);
    const Yaml value = over.value(i);
    const std::size_t place = find(key.text());
    if (place == entries.size()) {
      entries.push_back({key.index(), value.index()});
      continue;
    }
    const Yaml below(tree, entries[place].value);
    if (below.is_mapping() && value.is_mapping() && (replaced.empty() || key.text() != replaced)) {
      const std::optional<Yaml> merged = deep_merge(tree, below, value);
      if (!merged) {
        return std::nullopt;
      }
      entries[place] = {key.index(), merged->index()};
    } else {
      entries[place] = {key.index(), value.index()};
    }
  }
  return tree.make_mapping(over.mark(), entries);
}

}  // namespace pipelines
