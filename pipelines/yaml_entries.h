// A mapping under construction, for yaml_tree.cpp: merge keys and duplicate keys need to find what is there already.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipelines/yaml_tree.h"

namespace pipelines {

// An ordered mapping under construction, by the rules of Ruby's Hash: a key that comes again keeps its place.
class EntryTable {
 public:
  struct Slot {
    YamlTree::Entry entry;
    bool merged = false;  // came by `<<`
  };

  void clear() {
    slots_.clear();
    by_key_.clear();
  }

  // The slot that already has this key, or none.
  Slot* find(std::string_view key, const auto& text_of) {
    if (slots_.size() <= few) {
      const auto found = std::ranges::find_if(slots_, [&](const Slot& s) { return text_of(s.entry.key) == key; });
      return found == slots_.end() ? nullptr : &*found;
    }
    if (by_key_.empty()) {
      for (std::uint32_t i = 0; i < slots_.size(); ++i) {
        by_key_.emplace(text_of(slots_[i].entry.key), i);
      }
    }
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &slots_[found->second];
  }

  void append(std::string_view key, Slot slot) {
    if (!by_key_.empty()) {
      by_key_.emplace(key, static_cast<std::uint32_t>(slots_.size()));
    }
    slots_.push_back(slot);
  }

  const std::vector<Slot>& slots() const { return slots_; }

 private:
  static constexpr std::size_t few = 12;
  std::vector<Slot> slots_;
  std::unordered_map<std::string_view, std::uint32_t> by_key_;  // only when there are more than a few
};

}  // namespace pipelines
