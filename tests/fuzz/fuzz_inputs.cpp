// A main file, and the files it may include, put apart by lines of `%%%`: `spec:inputs`, `include` and `!reference`.
// Composing ends, stays bounded, and what was composed is the same pipeline when it is read again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipelines/parse.h"

namespace {

class Parts : public pipelines::Includes {
 public:
  explicit Parts(std::string_view text) {
    constexpr std::string_view line = "%%%\n";
    while (!text.empty()) {
      const std::size_t end = text.find(line);
      parts_.push_back(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + line.size());
    }
    parts_.resize(std::max<std::size_t>(parts_.size(), 1));
  }
  std::string_view main() const { return parts_[0]; }

  std::variant<pipelines::IncludedFile, pipelines::IncludeFault> read(const pipelines::IncludeRequest& request,
                                                                      pipelines::Origin) override {
    for (std::size_t i = 1; i < parts_.size(); ++i) {
      const std::string name = std::to_string(i) + ".yml";
      if (request.location == name) {
        return pipelines::IncludedFile{name, std::string(parts_[i]), 0, {}, {{"name", "part"}}};
      }
    }
    return pipelines::IncludeFault{"there is no such file", ""};
  }
  std::vector<std::string> paths(pipelines::Origin) override {
    std::vector<std::string> names;
    for (std::size_t i = 1; i < parts_.size(); ++i) {
      names.push_back(std::to_string(i) + ".yml");
    }
    return names;
  }

 private:
  std::vector<std::string_view> parts_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Parts parts(std::string_view(reinterpret_cast<const char*>(data), size));
  pipelines::Context context;
  context.includes = &parts;
  context.path = "0.yml";
  context.inputs = {{"given", "[1, 2]"}};
  if (parts.main().find("given") == std::string_view::npos) {
    context.inputs.clear();
  }
  const pipelines::Preview shown = pipelines::preview(parts.main(), "0.yml", context, pipelines::PreviewForm::yaml);
  pipelines::render(shown.parsed.diagnostics, shown.parsed.sources, false);
  if (pipelines::has_errors(shown.parsed.diagnostics)) {
    return 0;
  }
  const pipelines::Parsed again = pipelines::parse(shown.text, "again.yml");
  if (pipelines::has_errors(again.diagnostics) || again.pipeline.jobs.size() != shown.parsed.pipeline.jobs.size()) {
    std::abort();
  }
  if (!shown.parsed.composed.empty()) {
    const pipelines::Parsed composed = pipelines::parse(shown.parsed.composed, "composed.yml");
    if (pipelines::has_errors(composed.diagnostics) ||
        composed.pipeline.jobs.size() != shown.parsed.pipeline.jobs.size()) {
      std::abort();
    }
  }
  return 0;
}
