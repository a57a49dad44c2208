// Where the parser's parts put what they find. Drops repetitions (one mistake in a template that 100 jobs extend is one
// mistake) and bounds the number, so that a hostile file costs no more than an honest one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "pipelines/diagnostic.h"

namespace pipelines {

struct CircleMember {
  std::string_view name;
  Mark mark;
};

class Findings {
 public:
  // Nobody mends more than this in one go; what comes after is counted, and said in a last line.
  static constexpr std::size_t limit = 1000;

  void error(Mark, std::string message, std::string hint = {}, std::vector<Mark> others = {});
  void warning(Mark, std::string message, std::string hint = {}, std::vector<Mark> others = {});
  // A warning that is said once for the whole pipeline, at its first place (`cache` is left out …).
  void warning_once(Mark, std::string message, std::string hint = {});

  // An error at the first member's place: `MESSAGE: a -> b -> a`, in full unless it is absurdly long.
  void circle(std::string_view message, const std::vector<CircleMember>&, std::string hint);

  std::size_t errors() const { return errors_; }  // all that were found, repetitions included

  // nearest(), but only for the first few times: it is linear in the candidates. So is making a list of many
  // candidates, which is worth it only while suggests() is true.
  std::string_view suggest(std::string_view word, const std::vector<std::string_view>& candidates);
  bool suggests() const { return suggestions_ < most_suggestions; }

  // Everything, in the order of the places.
  std::vector<Diagnostic> take();

 private:
  static constexpr std::size_t most_suggestions = 50;

  void add(Diagnostic, bool place_matters = true);

  std::vector<Diagnostic> found_;
  std::unordered_set<std::string> seen_;
  std::size_t errors_ = 0;
  std::size_t hidden_ = 0;
  std::size_t suggestions_ = 0;
};

// The hint `did you mean "x"?`, or the other hint when nothing is near.
std::string did_you_mean(std::string_view suggestion, std::string otherwise = {});

}  // namespace pipelines
