#include "runner/hosts/include_files.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <system_error>

#include "runner/hosts/git.h"
#include "runner/hosts/libgit.h"
#include "runner/hosts/remote_file.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using pipelines::IncludedFile;
using pipelines::IncludeFault;
using pipelines::IncludeKind;
using pipelines::IncludeRequest;
using pipelines::Origin;
using Answer = std::variant<IncludedFile, IncludeFault>;

constexpr std::size_t most_bytes = 11'000'000;  // a little more than the parser takes: it says so

bool is_below(const fs::path& path, const fs::path& directory) {
  const fs::path relative = path.lexically_relative(directory);
  return !relative.empty() && *relative.begin() != "..";
}

// --- Commits ---------------------------------------------------------------------------------------------------------

// A clone at one commit. Throws GitError.
struct Clone {
  git::Repository repository;
  git::Tree tree;
  std::string sha;
};

git::Repository open_clone(const fs::path& path) {
  git::set_up();
  git::Repository repository;
  git::check(git_repository_open_ext(git::into(repository), path.c_str(), 0, nullptr),
             fmt::format("{} is no git repository", path.string()));
  return repository;
}

std::vector<std::string> tags_of(git_repository* repository) {
  std::vector<std::string> tags;
  git_strarray names{};
  git::check(git_tag_list(&names, repository), "cannot list the tags");
  for (std::size_t i = 0; i < names.count; ++i) tags.emplace_back(names.strings[i]);
  git_strarray_dispose(&names);
  return tags;
}

bool names_commit(const fs::path& path, const std::string& revision) {
  try {
    return git::find_commit(open_clone(path).get(), revision).has_value();
  } catch (const NoSuchCommit&) {
    return false;
  }
}

std::string some_tags(std::vector<std::string> tags) {
  constexpr std::size_t shown = 5;
  if (tags.empty()) return "its clone has no tags; `git fetch --tags` there";
  const bool more = tags.size() > shown;
  if (more) tags.erase(tags.begin(), tags.end() - shown);
  return fmt::format("a version is a tag like 1.2.3; its tags are {}{}", more ? "…, " : "", fmt::join(tags, ", "));
}

Clone open_commit(git::Repository repository, const std::string& revision, const std::string& prefix) {
  Clone clone;
  clone.repository = std::move(repository);
  const std::optional<git::Commit> commit = git::find_commit(clone.repository.get(), revision);
  if (!commit) throw GitError("the repository has no commit yet");
  clone.sha = git::hex(git_commit_id(commit->get()));
  clone.tree = git::tree_at(clone.repository.get(), commit->get(), prefix);
  return clone;
}

// A regular file of the commit; absent when there is none.
std::optional<std::string> file_of(const Clone& clone, const std::string& path) {
  git_tree_entry* raw = nullptr;
  if (!clone.tree || git_tree_entry_bypath(&raw, clone.tree.get(), path.c_str()) != 0) return std::nullopt;
  const git::Handle<git_tree_entry, git_tree_entry_free> entry(raw);
  const git_filemode_t mode = git_tree_entry_filemode(raw);
  if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE) return std::nullopt;
  git::Blob blob;
  git::check(git_blob_lookup(git::into(blob), clone.repository.get(), git_tree_entry_id(raw)), "cannot read " + path);
  const auto size = std::min<std::size_t>(static_cast<std::size_t>(git_blob_rawsize(blob.get())), most_bytes);
  return std::string(static_cast<const char*>(git_blob_rawcontent(blob.get())), size);
}

std::vector<std::string> paths_of(const Clone& clone) {
  std::vector<std::string> paths;
  if (!clone.tree) return paths;
  git::check(git_tree_walk(
                 clone.tree.get(), GIT_TREEWALK_PRE,
                 [](const char* root, const git_tree_entry* entry, void* payload) {
                   if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB) {
                     static_cast<std::vector<std::string>*>(payload)->push_back(std::string(root) +
                                                                                git_tree_entry_name(entry));
                   }
                   return 0;
                 },
                 &paths),
             "cannot read the commit's tree");
  std::sort(paths.begin(), paths.end());
  return paths;
}

// --- Versions --------------------------------------------------------------------------------------------------------

using Version = std::array<std::uint64_t, 3>;

// "1.2.3" or "v1.2.3", without a prerelease.
std::optional<Version> read_version(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  Version version{};
  for (std::size_t i = 0; i < version.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version[i]);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (i + 1 < version.size()) {
      if (!text.starts_with('.')) return std::nullopt;
      text.remove_prefix(1);
    }
  }
  return text.empty() || text.starts_with('+') ? std::optional(version) : std::nullopt;
}

// What "1" and "1.2" ask for; empty for anything else.
std::vector<std::uint64_t> read_partial(std::string_view text) {
  std::vector<std::uint64_t> parts;
  while (true) {
    std::uint64_t part = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), part);
    if (error != std::errc()) return {};
    parts.push_back(part);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return parts.size() <= 2 ? parts : std::vector<std::uint64_t>{};
    if (!text.starts_with('.')) return {};
    text.remove_prefix(1);
  }
}

// --- The seam --------------------------------------------------------------------------------------------------------

class Files : public pipelines::Includes {
 public:
  explicit Files(IncludeSettings settings) : settings_(std::move(settings)) {}

  Answer read(const IncludeRequest& request, Origin from) override {
    try {
      switch (request.kind) {
        case IncludeKind::local:
          return read_local(request.location, from);
        case IncludeKind::remote:
          return read_remote(request);
        case IncludeKind::project:
          return read_project(request);
        case IncludeKind::preset:
          return read_template(request.location);
        case IncludeKind::component:
          return read_component(request.location);
        case IncludeKind::artifact:
          return read_artifact(request);
      }
    } catch (const GitError& error) {
      return IncludeFault{error.what(), error.hint};
    }
    return IncludeFault{};
  }

  std::vector<std::string> paths(Origin origin) override {
    if (const Place* place = place_of(origin)) return paths_of(place->clone);
    if (origin != 0) return {};
    if (!own_paths_) {
      own_paths_ = settings_.revision.empty() ? source_list(settings_.project, settings_.except).paths
                                              : commit_paths(settings_.project, settings_.revision);
    }
    return *own_paths_;
  }

  std::optional<std::vector<std::string>> project_paths(const std::string& project, const std::string& ref) override {
    try {
      const auto origin = place(project, ref, "");
      if (const auto* number = std::get_if<Origin>(&origin)) return paths(*number);
    } catch (const GitError&) {  // no such ref: what is asked for is not known
    }
    return std::nullopt;
  }

 private:
  // An origin other than the main file's project.
  struct Place {
    std::string name;  // "group/project@main"
    Clone clone;
  };
  static constexpr Origin nowhere = 0xFFFF'FFFF;  // what comes from the network and from templates

  const Place* place_of(Origin origin) const {
    return origin != 0 && origin <= places_.size() ? &*places_[origin - 1] : nullptr;
  }

  Answer read_local(const std::string& path, Origin from) {
    if (from == nowhere) {
      return IncludeFault{fmt::format("`local: {}` has no project to look in: its file comes from outside", path),
                          "include it by its own address"};
    }
    if (const Place* place = place_of(from)) return from_place(from, *place, path);
    if (!settings_.revision.empty()) {
      if (!own_) own_ = open_own(settings_.revision);
      std::optional<std::string> text = file_of(*own_, path);
      if (text) return IncludedFile{path, std::move(*text), 0, {}, {}};
      return IncludeFault{fmt::format("there is no {} in the commit {}", path, settings_.revision),
                          "with --ref, files are taken from the commit"};
    }
    return from_working_tree(path);
  }

  Answer from_working_tree(const std::string& path) const {
    std::error_code error;
    const fs::path root = fs::canonical(settings_.project, error);
    const fs::path file = fs::canonical(root / path, error);
    if (error || !fs::is_regular_file(file, error)) {
      return IncludeFault{fmt::format("there is no {} in the project", path),
                          "paths begin at the project's top, wherever the file stands that includes them"};
    }
    if (!is_below(file, root)) {
      return IncludeFault{fmt::format("{} is a link that leads out of the project", path), "put the file there itself"};
    }
    std::optional<std::string> text = read_file(file);
    if (!text) return IncludeFault{fmt::format("{} cannot be read", path), ""};
    return IncludedFile{path, std::move(*text), 0, {}, {}};
  }

  // What a job left is no more trusted than a repository: its links lead nowhere else.
  Answer read_artifact(const IncludeRequest& request) const {
    const auto trees = settings_.artifacts.find(request.job);
    if (trees == settings_.artifacts.end()) {
      return IncludeFault{fmt::format("there are no artifacts of {}", request.job),
                          "the job must be among the `needs`, or in an earlier stage, and leave `artifacts`"};
    }
    for (auto tree = trees->second.rbegin(); tree != trees->second.rend(); ++tree) {
      std::error_code error;
      const fs::path root = fs::canonical(*tree, error);
      const fs::path file = fs::canonical(root / request.location, error);
      if (error || !is_below(file, root) || !fs::is_regular_file(file, error)) continue;
      if (std::optional<std::string> text = read_file(file)) {
        return IncludedFile{fmt::format("{} of {}", request.location, request.job), std::move(*text), 0, {}, {}};
      }
    }
    return IncludeFault{fmt::format("there is no {} among the artifacts of {}", request.location, request.job), ""};
  }

  static std::optional<std::string> read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::string text(most_bytes, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad() || !in.is_open()) return std::nullopt;
    text.resize(static_cast<std::size_t>(in.gcount()));
    text.shrink_to_fit();
    return text;
  }

  static Answer from_place(Origin origin, const Place& place, const std::string& path) {
    std::optional<std::string> text = file_of(place.clone, path);
    if (!text) return IncludeFault{fmt::format("there is no {} in {}", path, place.name), ""};
    return IncludedFile{place.name + ":" + path, std::move(*text), origin, {}, {}};
  }

  Answer read_project(const IncludeRequest& request) {
    const auto origin = place(request.project, request.ref, "");
    if (const auto* fault = std::get_if<IncludeFault>(&origin)) return *fault;
    const Origin number = std::get<Origin>(origin);
    return from_place(number, *place_of(number), request.location);
  }

  // Where the project is; an empty path: it is not known.
  fs::path find_clone(const std::string& project) const {
    const auto& projects = settings_.projects;
    const auto named =
        std::find_if(projects.begin(), projects.end(), [&](const auto& p) { return p.first == project; });
    if (named != projects.end()) return named->second;
    return settings_.project_path && project == settings_.project_path() ? settings_.project : fs::path();
  }

  static IncludeFault not_configured(const std::string& project) {
    return {fmt::format("the project {} is not known here", project),
            fmt::format("say where its clone is: `\"{}\" = \"/path/to/clone\"` below [include.projects] in the "
                        "configuration",
                        project)};
  }

  // `other`: another name of the project ("" for none).
  std::variant<Origin, IncludeFault> place(const std::string& project, const std::string& ref,
                                           const std::string& other) {
    const std::string name = ref.empty() ? project : fmt::format("{}@{}", project, ref);
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (places_[i]->name == name) return static_cast<Origin>(i + 1);
    }
    fs::path path = find_clone(project);
    if (path.empty() && !other.empty()) path = find_clone(other);
    if (path.empty()) return not_configured(other.empty() ? project : other);
    if (path.string().find("://") != std::string::npos || !path.is_absolute()) {
      return IncludeFault{fmt::format("[include.projects] \"{}\" is no absolute path: {}", project, path.string()),
                          "clone it (`git clone --mirror URL`) and name the folder"};
    }
    auto made = std::make_unique<Place>();
    made->name = name;
    made->clone = path == settings_.project ? open_own(ref) : open_commit(open_clone(path), ref, "");
    places_.push_back(std::move(made));
    return static_cast<Origin>(places_.size());
  }

  // The project may be a folder of a repository.
  Clone open_own(const std::string& ref) const {
    std::optional<git::Opened> opened = git::open(settings_.project);
    if (!opened) throw GitError("the project is in no git repository");
    const std::string prefix = opened->prefix;
    return open_commit(std::move(opened->repository), ref, prefix);
  }

  Answer read_template(const std::string& name) {
    if (settings_.templates.empty()) {
      return IncludeFault{fmt::format("`template: {}`: there are no templates here", name),
                          "say where they are: `templates = \"/path\"` below [include] in the configuration; GitLab's "
                          "are in its repository's lib/gitlab/ci/templates"};
    }
    std::error_code error;
    const fs::path root = fs::canonical(settings_.templates, error);
    if (error)
      return IncludeFault{fmt::format("[include] templates: {}: {}", settings_.templates.string(), error.message()),
                          ""};
    // As in GitLab, the ending may be left out.
    for (const char* ending : {"", ".gitlab-ci.yml"}) {
      const fs::path file = fs::canonical(root / (name + ending), error);
      if (error || !is_below(file, root) || !fs::is_regular_file(file, error)) continue;
      if (std::optional<std::string> text = read_file(file)) {
        return IncludedFile{"template " + name, std::move(*text), nowhere, {}, {}};
      }
    }
    return IncludeFault{fmt::format("there is no template {}", name),
                        fmt::format("templates are looked for in {}", settings_.templates.string())};
  }

  Answer read_remote(const IncludeRequest& request) const {
    const RemoteSettings remote{settings_.allowed_hosts, settings_.cache, std::chrono::seconds(30)};
    auto answer = read_remote_file(request.location, request.integrity, request.cache_for, remote);
    if (auto* fault = std::get_if<IncludeFault>(&answer)) return std::move(*fault);
    auto& file = std::get<RemoteFile>(answer);
    return IncludedFile{request.location, std::move(file.text), nowhere, std::move(file.warning), {}};
  }

  // HOST/GROUP/PROJECT/NAME@VERSION
  Answer read_component(const std::string& address) {
    const std::size_t at = address.rfind('@');
    const std::string path = address.substr(0, at);
    const std::size_t host_end = path.find('/');
    const std::size_t name_begin = path.rfind('/');
    if (at == std::string::npos || at + 1 == address.size() || host_end == name_begin ||
        name_begin + 1 == path.size()) {
      return IncludeFault{fmt::format("{} is no component", address), "write HOST/GROUP/PROJECT/NAME@VERSION"};
    }
    const std::string full = path.substr(0, name_begin);
    const std::string project = full.substr(host_end + 1);
    const std::string name = path.substr(name_begin + 1);
    std::string version = address.substr(at + 1);
    const std::string reference = version;

    fs::path clone = find_clone(full);
    if (clone.empty()) clone = find_clone(project);
    if (clone.empty()) return not_configured(project);
    if (version == "~latest" || !read_partial(version).empty()) {
      const std::vector<std::string> tags = tags_of(open_clone(clone).get());
      const std::string tag = highest_version(tags, version);
      if (tag.empty() && (version == "~latest" || !names_commit(clone, version))) {
        return IncludeFault{fmt::format("{} has no version {}", project, version), some_tags(tags)};
      }
      // As GitLab looks for it (lib/gitlab/ci/components/instance_path.rb): a shorthand first, then a tag or a branch.
      if (!tag.empty()) version = tag;
    }
    const auto origin = place(full, version, project);
    if (const auto* fault = std::get_if<IncludeFault>(&origin)) return *fault;
    const Origin number = std::get<Origin>(origin);
    const Place& found = *place_of(number);
    for (const std::string& file : {"templates/" + name + ".yml", "templates/" + name + "/template.yml"}) {
      if (std::optional<std::string> text = file_of(found.clone, file)) {
        return IncludedFile{found.name + ":" + file,
                            std::move(*text),
                            number,
                            {},
                            {{"name", name}, {"sha", found.clone.sha}, {"version", version}, {"reference", reference}}};
      }
    }
    return IncludeFault{fmt::format("{} has no component {} at {}", project, name, version),
                        fmt::format("it would be templates/{0}.yml or templates/{0}/template.yml", name)};
  }

  IncludeSettings settings_;
  std::optional<Clone> own_;  // at settings_.revision
  std::vector<std::unique_ptr<Place>> places_;
  std::optional<std::vector<std::string>> own_paths_;
};

}  // namespace

std::string highest_version(const std::vector<std::string>& tags, std::string_view wanted) {
  const std::vector<std::uint64_t> partial = wanted == "~latest" ? std::vector<std::uint64_t>{} : read_partial(wanted);
  std::optional<Version> best;
  std::string best_tag;
  for (const std::string& tag : tags) {
    const std::optional<Version> version = read_version(tag);
    if (!version || !std::equal(partial.begin(), partial.end(), version->begin())) continue;
    if (!best || *version > *best) {
      best = version;
      best_tag = tag;
    }
  }
  return best_tag;
}

std::unique_ptr<pipelines::Includes> make_includes(IncludeSettings settings) {
  return std::make_unique<Files>(std::move(settings));
}

}  // namespace runner
