#include "pipelines/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace pipelines {

void Findings::error(Mark mark, std::string message, std::string hint, std::vector<Mark> others) {
  ++errors_;
  add({Severity::error, mark, std::move(message), std::move(hint), std::move(others)});
}

void Findings::warning(Mark mark, std::string message, std::string hint, std::vector<Mark> others) {
  add({Severity::warning, mark, std::move(message), std::move(hint), std::move(others)});
}

void Findings::warning_once(Mark mark, std::string message, std::string hint) {
  add({Severity::warning, mark, std::move(message), std::move(hint), {}}, false);
}

void Findings::circle(std::string_view message, const std::vector<CircleMember>& members, std::string hint) {
  constexpr std::size_t shown = 100;
  std::string names;
  std::vector<Mark> others;
  for (std::size_t i = 0; i < std::min(members.size(), shown); ++i) {
    names += fmt::format("{} -> ", members[i].name);
    if (i > 0) {
      others.push_back(members[i].mark);
    }
  }
  if (members.size() > shown) {
    names += fmt::format("({} more) -> ", members.size() - shown);
  }
  error(members.front().mark, fmt::format("{}: {}{}", message, names, members.front().name), std::move(hint),
        std::move(others));
}

void Findings::add(Diagnostic diagnostic, bool place_matters) {
  std::string identity = diagnostic.message;
  if (place_matters) {
    identity += fmt::format("@{}:{}:{}", diagnostic.mark.source, diagnostic.mark.line, diagnostic.mark.column);
  }
  if (found_.size() >= limit) {
    // The set stops growing too: repetitions among the hidden ones are counted, which harms nobody.
    if (!seen_.contains(identity)) {
      ++hidden_;
    }
    return;
  }
  if (seen_.insert(std::move(identity)).second) {
    found_.push_back(std::move(diagnostic));
  }
}

std::string_view Findings::suggest(std::string_view word, const std::vector<std::string_view>& candidates) {
  return ++suggestions_ > most_suggestions ? std::string_view() : nearest(word, candidates);
}

std::vector<Diagnostic> Findings::take() {
  std::ranges::stable_sort(found_, {}, [](const Diagnostic& diagnostic) {
    return std::tuple(diagnostic.mark.source, diagnostic.mark.line, diagnostic.mark.column);
  });
  if (hidden_ > 0) {
    // An error if any error is among the hidden: what stands above may be warnings only.
    const bool errors_shown = has_errors(found_);
    found_.push_back({errors_ > 0 && !errors_shown ? Severity::error : Severity::warning,
                      found_.back().mark,
                      fmt::format("{} further messages are not shown", hidden_),
                      "mend the first ones",
                      {}});
  }
  return std::exchange(found_, {});
}

std::string did_you_mean(std::string_view suggestion, std::string otherwise) {
  return suggestion.empty() ? std::move(otherwise) : fmt::format("did you mean \"{}\"?", suggestion);
}

}  // namespace pipelines
