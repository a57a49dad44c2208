#include "runner/run/kept.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

namespace runner {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path file_of(const fs::path& run_directory) { return run_directory / "kept.json"; }

json to_json(const KeptJob& kept) {
  return {{"job", kept.job},
          {"number", kept.number},
          {"attempt", kept.attempt},
          {"resource", kept.resource},
          {"image", kept.image},
          {"enter", kept.what.enter},
          {"container", kept.what.container},
          {"network", kept.what.network},
          {"pause", kept.what.pause},
          {"services", kept.what.services}};
}

KeptJob from_json(const json& object) {
  KeptJob kept;
  kept.job = object.at("job");
  kept.number = object.at("number");
  kept.attempt = object.at("attempt");
  kept.resource = object.at("resource");
  kept.image = object.at("image");
  kept.what.enter = object.at("enter");
  kept.what.container = object.at("container");
  kept.what.network = object.at("network");
  kept.what.pause = object.at("pause");
  kept.what.services = object.at("services").get<std::vector<std::string>>();
  return kept;
}

}  // namespace

void remember_kept(const fs::path& run_directory, const KeptJob& kept) {
  std::vector<KeptJob> all = kept_jobs(run_directory);
  std::erase_if(all, [&](const KeptJob& other) { return other.resource == kept.resource; });
  all.push_back(kept);
  json document = json::array();
  for (const KeptJob& each : all) document.push_back(to_json(each));
  const fs::path making = run_directory / "kept.json.new";
  std::ofstream stream(making, std::ios::trunc);
  stream << document.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  stream.close();
  std::error_code error;
  if (stream) fs::rename(making, file_of(run_directory), error);
  if (!stream || error) {
    throw executors::WorldError("runner_system_failure", "cannot write " + file_of(run_directory).string());
  }
}

std::vector<KeptJob> kept_jobs(const fs::path& run_directory) {
  std::ifstream stream(file_of(run_directory));
  const json document = json::parse(stream, nullptr, false);
  std::vector<KeptJob> all;
  if (!document.is_array()) return all;
  try {
    for (const json& object : document) all.push_back(from_json(object));
  } catch (const json::exception&) {  // not ours; has_kept() keeps it all the same
  }
  return all;
}

bool has_kept(const fs::path& run_directory) {
  std::error_code ignored;
  return fs::exists(file_of(run_directory), ignored);
}

std::map<RunId, std::vector<KeptJob>> all_kept_jobs(const fs::path& work_directory) {
  std::map<RunId, std::vector<KeptJob>> all;
  std::error_code error;
  for (fs::directory_iterator each(work_directory, error), end; !error && each != end; each.increment(error)) {
    const std::string name = each->path().filename().string();
    RunId run = 0;
    const auto [last, failed] = std::from_chars(name.data(), name.data() + name.size(), run);
    if (failed != std::errc() || last != name.data() + name.size() || !has_kept(each->path())) continue;
    all[run] = kept_jobs(each->path());
  }
  return all;
}

}  // namespace runner
