// Any bytes as a pipeline file: parse, say what is wrong, and plan what is right. What must hold besides "no crash":
// a mark points into the text, a message is one line, and a pipeline without errors can be planned and run to its end.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pipelines/parse.h"
#include "pipelines/plan.h"
#include "pipelines/progress.h"

namespace {

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void check_mark(const pipelines::Mark& mark, std::string_view text) {
  std::size_t lines = 1;
  for (const char c : text) {
    lines += c == '\n' ? 1 : 0;
  }
  require(mark.source == 0 && mark.line <= lines && mark.column <= text.size() + 1);
}

void run_to_the_end(const pipelines::Plan& plan) {
  pipelines::Progress progress(plan);
  progress.begin();
  while (const auto job = progress.next()) {
    progress.finish(*job, *job % 3 == 1 ? pipelines::Outcome::failed : pipelines::Outcome::passed, false);
  }
  require(progress.done());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const pipelines::Parsed parsed = pipelines::parse(text, "fuzz.yml");
  for (const pipelines::Diagnostic& diagnostic : parsed.diagnostics) {
    require(!diagnostic.message.empty());
    check_mark(diagnostic.mark, parsed.sources[0].text);
    for (const pipelines::Mark& mark : diagnostic.others) {
      check_mark(mark, parsed.sources[0].text);
    }
  }
  const std::string rendered = pipelines::render(parsed.diagnostics, parsed.sources, size % 2 == 0);
  require(rendered.empty() == parsed.diagnostics.empty());
  if (pipelines::has_errors(parsed.diagnostics)) {
    return 0;
  }
  const pipelines::Plan plan = pipelines::make_plan(parsed.pipeline, {}, {});
  if (!pipelines::has_errors(plan.diagnostics)) {
    run_to_the_end(plan);
  }
  return 0;
}
