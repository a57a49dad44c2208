// The exceptions ("!pattern") in ignore files below the top of the sources (gitignore(5)). libgit2 1.5 drops one that
// undoes no rule of its own file (src/ignore.c, does_negate_rule), where git lets it undo those of the files above.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace runner {

class IgnoreExceptions {
 public:
  explicit IgnoreExceptions(std::filesystem::path top) : top_(std::move(top)) {}

  // Whether the ignore files between the top and `path`, the nearest first, say that it is not ignored after all. The
  // top's own is not looked at: there libgit2 is right. Asked only of what is ignored else.
  bool take_out(const std::string& path, bool directory);

 private:
  struct Rule {
    std::vector<std::string> parts;  // of the pattern; "**" is any number of directories
    bool exception = false, directories_only = false;
  };
  const std::vector<Rule>& rules_of(const std::string& directory);

  std::filesystem::path top_;
  std::unordered_map<std::string, std::vector<Rule>> rules_;  // by directory
};

}  // namespace runner
