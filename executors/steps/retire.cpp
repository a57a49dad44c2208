// scan.retire: retire.js in the job's sandbox; what it found is judged and told here.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <fstream>
#include <iterator>

#include "executors/job_directory.h"
#include "executors/steps/retire_report.h"
#include "executors/steps/steps.h"

namespace executors::steps {
namespace {

constexpr const char* folder = ".runner-retire";  // in the project's directory, for the time of the scan
constexpr const char* kind = "retire";

std::string options_of(const pipelines::RetireScan& step) {
  std::string options = fmt::format("--path {} --exitwith 0", shell_word(step.path));
  if (!step.database.empty()) options += " --jsrepo " + shell_word(step.database);
  if (!step.ignore.empty()) options += " --ignorefile " + shell_word(step.ignore);
  return options;
}

// The tool of the image, else the project's own.
ToolRun scan_of(const pipelines::RetireScan& step) {
  const std::string options = options_of(step);
  ToolRun run;
  run.script = {
      "retire=$(command -v retire || true)\n"
      "if [ -z \"$retire\" ] && [ -x node_modules/.bin/retire ]; then retire=$PWD/node_modules/.bin/retire; fi\n"
      "if [ -z \"$retire\" ]; then\n"
      "  echo \"scan.retire needs the tool retire: it is neither in PATH ($PATH)${CI_JOB_IMAGE:+ of the image "
      "$CI_JOB_IMAGE} nor in node_modules/.bin; take an image that has it, or add it to the project's packages\"\n"
      "  exit 127\n"
      "fi",
      fmt::format("mkdir -p {}", folder),
      fmt::format("\"$retire\" {} --outputformat json --outputpath {}/retire.json", options, folder),
      fmt::format("\"$retire\" {} --outputformat cyclonedxJSON --outputpath {}/cyclonedx.json", options, folder),
  };
  run.collect = {{kind, {fmt::format("{}/retire.json", folder)}, /*may_miss=*/true},
                 {"cyclonedx", {fmt::format("{}/cyclonedx.json", folder)}, /*may_miss=*/true}};
  return run;
}

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

JobResult run_step(const pipelines::RetireScan& step, Context& context) {
  const ToolEnd end = context.run_tool("scan", scan_of(step));
  const std::filesystem::path file = end.file(kind);
  if (file.empty()) {
    if (end.result.outcome != pipelines::Outcome::passed) return end.result;
    return failed("retire passed and wrote no report");
  }
  for (const Collected& report : end.result.collected) context.report(report);
  RetireReport report;
  try {
    report = parse_retire(read_all(file), context.project_dir());
  } catch (const RetireError& error) {
    throw StepFailed(error.what());
  }
  if (!report.errors.empty()) {
    throw StepFailed(fmt::format("retire could not scan: {} (name a file by `database` where its own cannot be had)",
                                 fmt::join(report.errors, "; ")));
  }
  if (end.result.outcome != pipelines::Outcome::passed) return end.result;
  context.say(table_of(report));
  context.report("sarif", "retire.sarif", sarif_of(report, {}));
  context.report("junit", "retire.xml", junit_of(report, step.severity));
  context.output("RETIRE_FINDINGS", std::to_string(report.total()));
  for (const Severity each : {Severity::none, Severity::low, Severity::medium, Severity::high, Severity::critical}) {
    context.output("RETIRE_" + variable_part(to_string(each)),
                   std::to_string(report.counts[static_cast<std::size_t>(each)]));
  }
  if (!reaches(report, step.severity)) return passed();
  return failed(step.severity == Severity::none
                    ? fmt::format("retire found {} vulnerabilities", report.total())
                    : fmt::format("retire found vulnerabilities of severity {} or above", to_string(step.severity)));
}

}  // namespace executors::steps
