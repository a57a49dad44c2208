#include "runner/run/releases.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runner/hosts/commits.h"
#include "runner/secrets/remembered.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_description = 1'000'000;  // GitLab's limit, in characters

std::string notes_json(const pipelines::Release& release, const TagMade& tag) {
  nlohmann::ordered_json links = nlohmann::ordered_json::array();
  for (const auto& link : release.links) {
    nlohmann::ordered_json one{{"name", link.name}, {"url", link.url}};
    if (!link.filepath.empty()) one["filepath"] = link.filepath;
    if (!link.type.empty()) one["link_type"] = link.type;
    links.push_back(std::move(one));
  }
  const nlohmann::ordered_json notes{
      {"tag_name", release.tag_name},       {"name", release.name.empty() ? release.tag_name : release.name},
      {"description", release.description}, {"sha", tag.sha},
      {"tag_message", release.tag_message}, {"milestones", release.milestones},
      {"released_at", release.released_at}, {"links", std::move(links)}};
  return notes.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

pipelines::Release redacted(pipelines::Release release, const SecretSet& secrets) {
  for (std::string* text :
       {&release.tag_message, &release.name, &release.ref, &release.released_at, &release.description}) {
    *text = redact(secrets, *text);
  }
  for (std::string& milestone : release.milestones) milestone = redact(secrets, milestone);
  for (auto& link : release.links) {
    for (std::string* text : {&link.name, &link.url, &link.filepath}) *text = redact(secrets, *text);
  }
  return release;
}

}  // namespace

bool may_name_file(const std::string& description) {
  return !description.empty() && description.size() < 4096 &&
         description.find_first_of(" \t\r\n\v\f") == std::string::npos;
}

std::string take_description(const std::string& description, std::vector<executors::Collected>& collected) {
  const auto found =
      std::find_if(collected.begin(), collected.end(), [](const auto& part) { return part.kind == description_kind; });
  if (found == collected.end()) return description;
  const fs::path file = (found->directory / fs::path(description).relative_path()).lexically_normal();
  collected.erase(found);
  std::error_code error;
  if (!fs::is_regular_file(fs::symlink_status(file, error))) return description;
  std::ifstream in(file, std::ios::binary);
  std::string text(std::min<std::uintmax_t>(fs::file_size(file, error), longest_description), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

std::vector<std::string> make_release(Store& store, const ReleaseScene& scene, const AttemptKey& key,
                                      const pipelines::Release& release, const SecretSet& secrets,
                                      executors::Notices& notices) {
  if (release.tag_name.empty()) throw ReleaseError("release: its tag_name is empty once its variables are known");
  pipelines::Release stored = redacted(release, secrets);
  stored.tag_name = storable_name(secrets, release.tag_name, store.owner());
  const auto earlier = store.find_release(scene.project, stored.tag_name);
  if (earlier && has_tag(scene.project_dir, release.tag_name)) {
    throw ReleaseError(fmt::format("release: {} exists already, made by run {}; `git tag -d {}` takes it back",
                                   release.tag_name, earlier->key.run, release.tag_name));
  }
  TagMade tag;
  try {
    tag = make_tag(scene.project_dir, release.tag_name, release.ref.empty() ? scene.revision : release.ref,
                   release.tag_message);
  } catch (const GitError& error) {
    throw ReleaseError(fmt::format("release: {}{}", error.what(), error.hint.empty() ? "" : " (" + error.hint + ")"));
  }
  store.add_release({scene.project, stored.tag_name, key, unix_now(), notes_json(stored, tag)});
  const std::string name = release.name.empty() ? release.tag_name : release.name;
  std::vector<std::string> lines;
  if (!tag.repository) {
    notices.warning(fmt::format("release {}: there is no git repository to tag; only its notes are kept", name));
  } else {
    lines.push_back(fmt::format("Release {}: tag {} {} {}", name, release.tag_name,
                                tag.existed ? "exists already and is left as it is, at" : "made at",
                                tag.sha.substr(0, 8)));
  }
  if (!release.links.empty()) {
    lines.push_back(fmt::format("Its links: {}", fmt::join(
                                                     [&] {
                                                       std::vector<std::string> names;
                                                       for (const auto& link : release.links)
                                                         names.push_back(link.name + " " + link.url);
                                                       return names;
                                                     }(),
                                                     ", ")));
  }
  return lines;
}

}  // namespace runner
