// The seam through which the parser reads other files (`include`). This room opens none itself: who calls parse() gives
// an Includes, or none, and then `include` is an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pipelines/plan.h"
#include "pipelines/variables.h"

namespace pipelines {

// Where a file comes from: a project at a commit, or nowhere that has files. Numbered by the Includes; 0 is the project
// of the main file. An included file's own `local` is looked up in its origin.
using Origin = std::uint32_t;

enum class IncludeKind : std::uint8_t { local, remote, project, preset, component, artifact };

struct IncludeRequest {
  IncludeKind kind = IncludeKind::local;
  // local, project: a path from the project's top, without a leading slash, `..` or `*`; remote: the address; preset:
  // the name of a `template`; component: HOST/PATH/NAME@VERSION; artifact: a path from the project's top.
  std::string location;
  std::string project, ref;          // project; ref may be empty
  std::string integrity;             // remote: "sha256-…" or empty
  std::chrono::seconds cache_for{};  // remote: how old a copy may be
  std::string job{};                 // artifact: whose
  friend bool operator==(const IncludeRequest&, const IncludeRequest&) = default;
};

struct IncludedFile {
  std::string name;  // as diagnostics call it: "ci/build.yml", "https://…", "group/project@main:ci/build.yml"
  std::string text;
  Origin origin = 0;
  std::string warning;  // something the author should know; usually empty
  // Of a component: name, sha, version, reference, for `$[[ component.name ]]`.
  std::vector<std::pair<std::string, std::string>> component;
};

struct IncludeFault {
  std::string message;  // one line: "there is no ci/build.yml in the project"
  std::string hint;
};

class Includes {
 public:
  Includes() = default;
  Includes(const Includes&) = delete;
  Includes& operator=(const Includes&) = delete;
  virtual ~Includes() = default;

  // `from`: the including file's origin. Blocks until the file is there.
  virtual std::variant<IncludedFile, IncludeFault> read(const IncludeRequest&, Origin from) = 0;
  // The files of an origin, sorted: for `local` with a pattern, and include:rules:exists.
  virtual std::vector<std::string> paths(Origin) = 0;
  // The files of a project at a ref (empty: its HEAD), for rules:exists:project; absent: it is not known here.
  virtual std::optional<std::vector<std::string>> project_paths(const std::string& /*project*/,
                                                                const std::string& /*ref*/) {
    return std::nullopt;
  }
};

// What composing one pipeline from files needs from outside.
struct Context {
  Includes* includes = nullptr;            // none: `include` is refused
  std::function<VariableSet()> variables;  // those known before there is a pipeline; asked at most once, if at all
  Facts facts;                             // include:rules, of the main file's project
  std::string path;                        // the main file in its project, where it stands in it
  std::vector<std::pair<std::string, std::string>> inputs;  // of the main file, as text (`--input NAME=VALUE`)
  // Those of the jobs that are named on the command line: `inputs` may be theirs too.
  std::vector<std::string> jobs{};
  bool artifacts = false;  // a child pipeline's: its files may be artifacts of its parent's jobs
};

}  // namespace pipelines
