#include "runner/hosts/checkouts.h"

#include <utility>

namespace runner {

Checkouts::Checkouts(std::filesystem::path project, std::filesystem::path root, SnapshotOptions how)
    : project_(std::move(project)),
      root_(std::move(root)),
      how_(std::move(how)),
      submodules_(has_submodules(project_, how_.revision)) {}

void Checkouts::tell(Made made) {
  const std::lock_guard lock(mutex_);
  made_ = std::move(made);
  for (const auto& [choice, snapshot] : taken_) made_(choice, snapshot);
}

void Checkouts::put(std::string choice, Snapshot snapshot) {
  const std::lock_guard lock(mutex_);
  taken_.insert_or_assign(std::move(choice), std::move(snapshot));
}

Checkouts::Taken Checkouts::take(const SourceChoice& choice) {
  const std::lock_guard lock(mutex_);
  const Snapshot& snapshot = find(simplified(choice));
  return {snapshot.sources(), snapshot.warnings()};
}

std::size_t Checkouts::size() const {
  const std::lock_guard lock(mutex_);
  return taken_.size();
}

// Choices that come to the same share a snapshot.
SourceChoice Checkouts::simplified(SourceChoice choice) const {
  if (!submodules_ || !choice.checkout) choice.submodules = Submodules::none;
  if (choice.submodules == Submodules::none) {
    choice.submodule_paths.clear();
    choice.submodule_depth = 0;
  }
  if (how_.revision.empty() || !choice.checkout) choice.lfs = true;  // the working tree is as it is
  return choice;
}

const Snapshot& Checkouts::find(const SourceChoice& choice) {
  const std::string name = to_text(choice);
  if (const auto found = taken_.find(name); found != taken_.end()) return found->second;
  SnapshotOptions how = how_;
  how.choice = choice;
  const Snapshot& made = taken_.emplace(name, make_snapshot(project_, root_, how)).first->second;
  if (made_) made_(name, made);
  return made;
}

}  // namespace runner
