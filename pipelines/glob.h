// Path patterns: GitLab's artifact globs (doublestar) and `rules:changes`/`exists` globs
// (Ruby File.fnmatch with PATHNAME | DOTMATCH | EXTGLOB): `*`, `?`, `[a-z]`, `[!a]`, `{a,b}`, `**/`, `\` to quote.
//
// `*` and `?` never match a '/', but do match a leading dot. `**` is special only as a whole component; it stands for
// any number of directories, none included. The two dialects differ in a trailing `**`: "src/**" is everything below
// src (and src itself) to doublestar, one component to fnmatch ("src/**/*" is everything below to both).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pipelines {

enum class GlobDialect : std::uint8_t { doublestar, fnmatch };

// One compiled pattern over '/'-separated relative paths without a leading "./".
//
// A pattern names exactly what it says: Glob("dist") and Glob("dist/") match the path "dist" and nothing below it.
// Whoever wants a directory's name to mean its content (artifacts do) tests Glob("dist") and Glob("dist/**").
// Matching takes time in proportion to pattern times path at worst, whatever the pattern.
class Glob {
 public:
  // A malformed pattern (an open bracket or brace, a backslash at the end, more than 1024 alternatives or 16 KiB)
  // matches its own text literally. A leading "./", doubled and trailing slashes are dropped.
  explicit Glob(std::string_view pattern, GlobDialect dialect = GlobDialect::doublestar);
  ~Glob();
  Glob(Glob&&) noexcept;
  Glob& operator=(Glob&&) noexcept;

  bool matches(std::string_view path) const;
  // True when some path below the directory `dir` ("" is the root) might match: lets a walk skip whole trees.
  bool may_match_below(std::string_view dir) const;
  // The part before the first component with a meta character ("src/gen" of "src/gen/**/*.c"); empty when none.
  // Every path that matches is this or lies below it.
  const std::string& fixed_prefix() const;
  const std::string& text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipelines
