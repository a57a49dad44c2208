#include "pipelines/extends.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipelines/merge.h"
#include "pipelines/reader.h"

namespace pipelines {

Extends::Extends(YamlTree& tree, Yaml root, Findings& findings, bool incomplete)
    : tree_(tree), root_(root), findings_(findings), incomplete_(incomplete), entries_(root.size()) {
  by_name_.reserve(root.size());
  for (std::uint32_t i = 0; i < root.size(); ++i) {
    by_name_.emplace(name(i), i);
  }
  for (std::uint32_t i = 0; i < root.size(); ++i) {
    examine(i);
  }
}

// Depth first, without recursion: a hostile chain may be as long as the file.
void Extends::examine(std::uint32_t first) {
  if (entries_[first].state != State::fresh) {
    return;
  }
  std::vector<Visit> path;
  open(first);
  path.push_back({first});
  while (!path.empty()) {
    Visit& visit = path.back();
    const std::vector<std::uint32_t>& bases = entries_[visit.entry].bases;
    if (visit.next_base == bases.size()) {
      close(visit.entry);
      path.pop_back();
      continue;
    }
    const std::uint32_t base = bases[visit.next_base++];
    if (entries_[base].state == State::open) {
      report_circle(path, base);
      entries_[visit.entry].state = State::broken;  // close() keeps that
    } else if (entries_[base].state == State::fresh) {
      open(base);
      path.push_back({base});
    }
  }
}

void Extends::open(std::uint32_t entry) {
  entries_[entry].state = State::open;
  if (!read_bases(entry)) {
    entries_[entry].bases.clear();
    entries_[entry].levels = most_levels + 1;
  }
}

void Extends::close(std::uint32_t index) {
  Entry& entry = entries_[index];
  bool good = entry.state != State::broken && entry.levels == 0;
  unsigned levels = 0;
  for (const std::uint32_t base : entry.bases) {
    good = good && entries_[base].state == State::good;
    levels = std::max(levels, entries_[base].levels + 1);
  }
  entry.levels = levels;
  // Said for the first that goes beyond; what extends it is broken like it.
  if (good && levels > most_levels) {
    const Yaml extends = root_.value(index).find("extends");
    findings_.error(extends.mark(), fmt::format("`extends` of \"{}\" goes through {} levels", name(index), levels),
                    fmt::format("at most {} are allowed", most_levels));
    good = false;
  }
  entry.state = good ? State::good : State::broken;
}

bool Extends::read_bases(std::uint32_t entry) {
  const Yaml body = root_.value(entry);
  const Yaml extends = body.is_mapping() ? body.find("extends") : Yaml();
  if (!extends || extends.is_null()) {
    return true;
  }
  if (extends.is_string()) {
    return add_base(entry, extends);
  }
  if (!extends.is_sequence()) {
    findings_.error(extends.mark(),
                    fmt::format("`extends` must be a job's name or a list of names, not {}", describe(extends)));
    return false;
  }
  bool good = true;
  for (std::size_t i = 0; i < extends.size(); ++i) {
    if (!extends.item(i).is_string()) {
      findings_.error(extends.item(i).mark(), fmt::format("item {} of `extends` must be a job's name, not {}", i + 1,
                                                          describe(extends.item(i))));
      good = false;
    } else {
      good = add_base(entry, extends.item(i)) && good;
    }
  }
  return good;
}

bool Extends::add_base(std::uint32_t entry, Yaml base) {
  const auto found = by_name_.find(base.text());
  if (found == by_name_.end()) {
    if (!incomplete_) {
      std::vector<std::string_view> known;
      for (std::size_t i = 0; findings_.suggests() && i < root_.size(); ++i) {
        if (i != entry && root_.value(i).is_mapping()) {  // not the job itself
          known.push_back(name(i));
        }
      }
      findings_.error(base.mark(), fmt::format("\"{}\" extends \"{}\", which is not defined", name(entry), base.text()),
                      did_you_mean(findings_.suggest(base.text(), known)));
    }
    return false;
  }
  if (!root_.value(found->second).is_mapping()) {
    findings_.error(base.mark(),
                    fmt::format("\"{}\" extends \"{}\", which is {}", name(entry), base.text(),
                                describe(root_.value(found->second))),
                    "only mappings can be extended", {root_.key(found->second).mark()});
    return false;
  }
  entries_[entry].bases.push_back(found->second);
  return true;
}

void Extends::report_circle(const std::vector<Visit>& path, std::uint32_t entry) {
  const auto begin = std::ranges::find(path, entry, &Visit::entry);
  std::vector<CircleMember> members;
  for (auto visit = begin; visit != path.end(); ++visit) {
    members.push_back({name(visit->entry), root_.value(visit->entry).find("extends").mark()});
  }
  findings_.circle("`extends` goes in a circle", members, "take one of them out of the circle");
}

std::optional<std::uint32_t> Extends::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Yaml> Extends::resolve(std::uint32_t index) {
  Entry& entry = entries_[index];
  if (entry.state == State::good && !entry.resolved) {
    entry.resolved = merge_bases(index);
    if (!entry.resolved) {
      entry.state = State::broken;
    }
  }
  return entry.resolved;
}

std::optional<Yaml> Extends::merge(Yaml under, Yaml over) {
  return exhausted_ ? std::nullopt : deep_merge(tree_, under, over, "extends");
}

std::optional<Yaml> Extends::merge_bases(std::uint32_t index) {
  // Recursion is bounded: a good entry has at most `most_levels` below it.
  const Yaml body = root_.value(index);
  std::optional<Yaml> merged;
  for (const std::uint32_t base : entries_[index].bases) {
    const std::optional<Yaml> under = resolve(base);
    merged = under && merged ? merge(*merged, *under) : under;
    if (!merged) {
      break;
    }
  }
  if (entries_[index].bases.empty()) {
    return body;
  }
  if (merged) {
    merged = merge(*merged, body);
  }
  if (!merged && !exhausted_) {
    exhausted_ = true;
    findings_.error(root_.key(index).mark(), "the jobs of this file extend far too much",
                    fmt::format("at most {} million keywords are merged", Limits::merged_entries / 1'000'000));
  }
  return merged;
}

}  // namespace pipelines
