// Parsing and planning against yaml-cpp's bare event pass over the same text (the floor of whoever uses yaml-cpp).
//
//   parse_bench [ROUNDS] [--write FILE JOBS]
//
// 2,000 and 20,000 generated jobs; the sides take turns, so that what the machine does besides hits both. Medians of
// ROUNDS (default 9), the ratio to the floor, the growth from 2,000 to 20,000, and the most memory the process had.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pipelines/parse.h"
#include "pipelines/plan.h"

namespace {

using pipelines::Facts;
using pipelines::Parsed;
using pipelines::Plan;
using pipelines::Trigger;

// A pipeline as a big monorepo's generator writes it: templates, stages, needs, rules, variables, scripts.
std::string generate(int jobs) {
  std::string text = R"(stages: [build, test, package, deploy]

variables:
  REGISTRY: registry.example.com/group
  BUILD_TYPE: release

default:
  image: alpine:3.20
  retry: 1
  interruptible: true

.base:
  before_script:
    - apk add --no-cache make git
    - git config --global --add safe.directory "$CI_PROJECT_DIR"
  variables:
    CACHE_DIR: .cache
  artifacts:
    expire_in: 1 week
    paths:
      - out/

)";
  constexpr std::string_view stages[] = {"build", "test", "package", "deploy"};
  for (int i = 0; i < jobs; ++i) {
    const int component = i / 4;
    const int stage = i % 4;
    text += fmt::format("{}-component-{}:\n  extends: .base\n  stage: {}\n", stages[stage], component, stages[stage]);
    text += fmt::format("  variables:\n    COMPONENT: component-{}\n    LEVEL: \"{}\"\n", component, stage);
    if (stage > 0) {
      text += fmt::format("  needs:\n    - {}-component-{}\n", stages[stage - 1], component);
    }
    text += fmt::format(
        "  script:\n    - echo \"{} of component {}\"\n    - make -C components/{} {}\n    - |\n"
        "      if [ -n \"$VERBOSE\" ]; then\n        cat out/log.txt\n      fi\n",
        stages[stage], component, component, stages[stage]);
    text += fmt::format(
        "  rules:\n    - if: $CI_COMMIT_BRANCH == \"main\"\n    - if: $CI_PIPELINE_SOURCE == \"merge_request_event\"\n"
        "      changes:\n        - components/{}/**/*\n\n",
        component);
  }
  return text;
}

class Nothing : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override { ++events; }
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override { ++events; }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override { ++events; }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    ++events;
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    ++events;
  }
  void OnMapEnd() override {}
  std::size_t events = 0;
};

void bare_events(const std::string& text) {
  Nothing nothing;
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  while (parser.HandleNextDocument(nothing)) {
  }
  if (nothing.events == 0) {
    std::abort();
  }
}

Parsed parse_all(const std::string& text, int jobs) {
  Parsed parsed = pipelines::parse(text, "bench.yml");
  if (parsed.pipeline.jobs.size() != static_cast<std::size_t>(jobs) || pipelines::has_errors(parsed.diagnostics)) {
    fmt::print(stderr, "{}", pipelines::render(parsed.diagnostics, parsed.sources, false));
    std::exit(1);
  }
  return parsed;
}

void parse_and_plan(const std::string& text, int jobs) {
  const Parsed parsed = parse_all(text, jobs);
  Trigger trigger;
  trigger.variables.set("CI_COMMIT_BRANCH", "main", pipelines::Precedence::predefined);
  const Plan plan = pipelines::make_plan(parsed.pipeline, trigger, Facts{});
  if (plan.included_count() != static_cast<std::size_t>(jobs)) {
    std::exit(1);
  }
}

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

struct Result {
  double floor = 0;
  double parse = 0;
  double both = 0;
};

Result measure(int jobs, int rounds) {
  const std::string text = generate(jobs);
  std::vector<double> floor;
  std::vector<double> parse;
  std::vector<double> both;
  for (int round = 0; round < rounds; ++round) {
    floor.push_back(seconds([&] { bare_events(text); }));
    parse.push_back(seconds([&] { parse_all(text, jobs); }));
    both.push_back(seconds([&] { parse_and_plan(text, jobs); }));
  }
  const Result result{median(floor), median(parse), median(both)};
  fmt::print(
      "{:6} jobs, {:5.2f} MB: events {:7.4f} s; parse {:7.4f} s, {:.2f} of it; parse and plan {:7.4f} s, {:.2f} of "
      "it\n",
      jobs, static_cast<double>(text.size()) / 1e6, result.floor, result.parse, result.parse / result.floor,
      result.both, result.both / result.floor);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--write") {
    std::ofstream(argv[2]) << generate(std::atoi(argv[3]));
    return 0;
  }
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 9;
  fmt::print("{} cores, {} rounds, medians\n", std::thread::hardware_concurrency(), rounds);
  const Result small = measure(2000, rounds);
  fmt::print("peak memory {:.0f} MB\n", peak_megabytes());
  const Result large = measure(20000, rounds);
  fmt::print("20,000 jobs take {:.1f} times as long as 2,000 (events: {:.1f}); peak memory {:.0f} MB\n",
             large.both / small.both, large.floor / small.floor, peak_megabytes());
  return 0;
}
