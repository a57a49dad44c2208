#include "pipelines/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

std::string name_of(Yaml reference) {
  std::string name;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    name += fmt::format("{}{}", i == 0 ? "" : ", ", reference.item(i).text());
  }
  return fmt::format("[{}]", name);
}

}  // namespace

// Recursion is bounded: at most Limits::depth levels for each of at most `most_levels` references.
std::optional<Yaml> References::resolve(Yaml value) {
  if (!is_container(value.kind())) {
    return value;
  }
  if (const auto known = resolved_.find(value.index()); known != resolved_.end()) {
    return known->second ? std::optional(Yaml(tree_, *known->second)) : std::nullopt;
  }
  const std::optional<Yaml> result = value.is_reference() ? follow(value) : rebuild(value);
  resolved_.insert_or_assign(value.index(), result ? std::optional(result->index()) : std::nullopt);
  return result;
}

std::optional<Yaml> References::follow(Yaml reference) {
  if (!is_good(reference)) {
    return std::nullopt;
  }
  if (std::ranges::find(path_, reference.index(), &Open::reference) != path_.end()) {
    report_circle(reference);
    return std::nullopt;
  }
  if (path_.size() >= most_levels) {
    findings_.error(reference.mark(), fmt::format("`!reference {}` goes through too many others", name_of(reference)),
                    fmt::format("at most {} may follow each other", most_levels));
    return std::nullopt;
  }
  path_.push_back({reference.index(), name_of(reference)});
  std::optional<Yaml> found = find(reference);
  if (found) {
    found = resolve(*found);
  }
  path_.pop_back();
  return found;
}

bool References::is_good(Yaml reference) {
  if (reference.size() == 0) {
    findings_.error(reference.mark(), "`!reference` is empty", "for example `!reference [.job, script]`");
    return false;
  }
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const Yaml item = reference.item(i);
    if (!item.is_string()) {
      findings_.error(item.mark(), fmt::format("item {} of `!reference` must be a name, not {}", i + 1, describe(item)),
                      "for example `!reference [.job, script]`");
      return false;
    }
  }
  return true;
}

std::optional<Yaml> References::find(Yaml reference) {
  const std::string_view first = reference.item(0).text();
  const std::optional<std::uint32_t> entry = extends_.find(first);
  if (!entry) {
    return nothing_found(reference.item(0), fmt::format("there is no \"{}\"", first), root_);
  }
  const Yaml top = root_.value(*entry);
  std::optional<Yaml> value = top.is_mapping() ? extends_.resolve(*entry) : top;
  if (!value) {
    return std::nullopt;  // its `extends` is wrong, and reported
  }
  for (std::size_t i = 1; i < reference.size(); ++i) {
    const Yaml name = reference.item(i);
    const std::string_view owner = reference.item(i - 1).text();
    if (!value->is_mapping()) {
      return nothing_found(name, fmt::format("\"{}\" is {}", owner, describe(*value)), {});
    }
    const Yaml inner = value->find(name.text());
    if (!inner) {
      return nothing_found(name, fmt::format("\"{}\" has no \"{}\"", owner, name.text()), *value);
    }
    value = inner;
  }
  if (value->is_null()) {
    return nothing_found(reference.item(reference.size() - 1),
                         fmt::format("\"{}\" is empty", reference.item(reference.size() - 1).text()), {});
  }
  return value;
}

std::optional<Yaml> References::nothing_found(Yaml at, std::string message, Yaml among) {
  if (!incomplete_) {
    std::vector<std::string_view> known;
    for (std::size_t i = 0; findings_.suggests() && among && i < among.size(); ++i) {
      known.push_back(among.key(i).text());
    }
    findings_.error(at.mark(), fmt::format("`!reference {}` finds nothing: {}", path_.back().name, message),
                    did_you_mean(findings_.suggest(at.text(), known)));
  }
  return std::nullopt;
}

void References::report_circle(Yaml reference) {
  std::vector<CircleMember> members;
  for (auto open = std::ranges::find(path_, reference.index(), &Open::reference); open != path_.end(); ++open) {
    members.push_back({open->name, Yaml(tree_, open->reference).mark()});
  }
  findings_.circle("`!reference` goes in a circle", members, "take one of them out of the circle");
}

std::optional<Yaml> References::rebuild(Yaml container) {
  std::vector<NodeIndex> children;
  children.reserve(container.size() * 2);
  bool changed = false;
  bool good = true;
  for (std::size_t i = 0; i < container.size(); ++i) {
    const Yaml child = container.is_mapping() ? container.value(i) : container.item(i);
    const std::optional<Yaml> resolved = resolve(child);
    good = good && resolved;  // the others are looked at too: all errors at once
    if (container.is_mapping()) {
      children.push_back(container.key(i).index());
    }
    children.push_back(resolved ? resolved->index() : child.index());
    changed = changed || (resolved && resolved->index() != child.index());
  }
  if (!good || exhausted_) {
    return std::nullopt;
  }
  if (!changed) {
    return container;
  }
  std::vector<YamlTree::Entry> entries;
  for (std::size_t i = 0; container.is_mapping() && i < children.size(); i += 2) {
    entries.push_back({children[i], children[i + 1]});
  }
  const std::optional<Yaml> made = container.is_mapping() ? tree_.make_mapping(container.mark(), entries)
                                                          : tree_.make_sequence(container.mark(), children);
  if (made && made->weight() <= Limits::weight) {
    return made;
  }
  exhausted_ = true;
  findings_.error(container.mark(), "the references (`!reference`) of this file expand to far too much",
                  fmt::format("at most {} levels and {} million values are read", Limits::depth,
                              Limits::merged_entries / 1'000'000));
  return std::nullopt;
}

}  // namespace pipelines
