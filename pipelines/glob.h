// Path patterns: GitLab's artifact globs (doublestar) and `rules:changes`/`exists` globs
// (Ruby File.fnmatch with PATHNAME | DOTMATCH | EXTGLOB): `*`, `?`, `[a-z]`, `[!a]`, `{a,b}`, `**/`.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pipelines {

// One compiled pattern over '/'-separated relative paths without a leading "./".
class Glob {
 public:
  explicit Glob(std::string_view pattern);  // a malformed pattern matches its own text literally
  ~Glob();
  Glob(Glob&&) noexcept;
  Glob& operator=(Glob&&) noexcept;

  bool matches(std::string_view path) const;
  // True when some path below the directory `dir` might match: lets a walk skip whole trees.
  bool may_match_below(std::string_view dir) const;
  // The part before the first component with a meta character ("src/gen" of "src/gen/**/*.c"); empty when none.
  const std::string& fixed_prefix() const;
  const std::string& text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipelines
