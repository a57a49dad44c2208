#include "runner/hosts/git.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <vector>

#include "pipelines/variables.h"
#include "runner/hosts/libgit.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using git::check;
using git::into;

constexpr std::string_view no_commit = "0000000000000000000000000000000000000000";

std::string text(const char* words) { return words == nullptr ? std::string() : std::string(words); }

std::string iso_time(git_time_t seconds, int offset_minutes) {
  const std::time_t local = static_cast<std::time_t>(seconds) + offset_minutes * 60;
  std::tm parts{};
  ::gmtime_r(&local, &parts);
  const int offset = offset_minutes < 0 ? -offset_minutes : offset_minutes;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}{}{:02}:{:02}", parts, offset_minutes < 0 ? '-' : '+', offset / 60,
                     offset % 60);
}

struct Url {
  std::string clean;   // without user and password, but ssh keeps its user
  std::string server;  // https://host[:port]
  std::string path;    // group/project
};

std::string project_path_of(std::string_view path) {
  while (path.ends_with('/')) {
    path.remove_suffix(1);
  }
  if (path.ends_with(".git")) {
    path.remove_suffix(4);
  }
  // It becomes a directory's name in the jobs: nothing surprising in it.
  std::string clean;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    std::string part;
    for (const char c : path.substr(at, end - at)) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                         c == '_' || c == '-' || c == '+' || static_cast<unsigned char>(c) >= 0x80;
      part += plain ? c : '-';
    }
    if (!part.empty() && part != "." && part != "..") {
      clean += (clean.empty() ? "" : "/") + part;
    }
    at = end + 1;
  }
  return clean;
}

Url read_url(const std::string& url) {
  Url result;
  const std::size_t scheme_end = url.find("://");
  if (scheme_end == std::string::npos) {
    const std::size_t colon = url.find(':');
    if (colon == std::string::npos || url.find('/') < colon) {  // a path on this host
      result.clean = url;
      result.path = project_path_of(fs::path(project_path_of(url)).filename().string());
      return result;
    }
    const std::string host = url.substr(url.find('@') < colon ? url.find('@') + 1 : 0, colon);  // user@host:path
    result.clean = url;
    result.server = "https://" + host.substr(0, host.find(':'));
    result.path = project_path_of(url.substr(colon + 1));
    return result;
  }
  const std::string scheme = url.substr(0, scheme_end);
  const std::size_t begin = scheme_end + 3;
  const std::size_t slash = std::min(url.find('/', begin), url.size());
  const std::string authority = url.substr(begin, slash - begin);
  const std::size_t at = authority.rfind('@');
  const std::string host = at == std::string::npos ? authority : authority.substr(at + 1);
  const std::string user = at == std::string::npos ? "" : authority.substr(0, at);
  const std::string path = url.substr(slash);
  const bool ssh = scheme.find("ssh") != std::string::npos;
  result.clean = scheme + "://" + (ssh && !user.empty() ? user.substr(0, user.find(':')) + "@" : "") + host + path;
  if (scheme == "file") {
    result.path = project_path_of(fs::path(project_path_of(path)).filename().string());
    return result;
  }
  result.path = project_path_of(path);
  if (scheme == "http" || scheme == "https") {
    result.server = scheme + "://" + host;
  } else {
    result.server = "https://" + host.substr(0, host.find(':'));
  }
  return result;
}

class Reader {
 public:
  Reader(git::Opened opened, GitFacts& facts)
      : opened_(std::move(opened)), repository_(opened_.repository.get()), facts_(facts) {}

  void read(const GitQuery& query) {
    facts_.repository = true;
    facts_.work_tree = opened_.work_tree;
    facts_.git_dir = fs::path(git_repository_path(repository_)).parent_path();  // without the slash at the end
    facts_.common_dir = fs::path(git_repository_commondir(repository_)).parent_path();
    read_remote();
    read_ref(query.revision);
    if (const std::optional<git::Commit> commit = git::find_commit(repository_, query.revision)) {
      read_commit(commit->get(), query.tagged);
    }
    if (!facts_.tag.empty() && query.tagged) {
      facts_.branch.clear();
    }
    read_remote_sha();
    if (facts_.ref_name.empty()) {
      facts_.ref_name = !facts_.tag.empty() ? facts_.tag : !facts_.branch.empty() ? facts_.branch : facts_.short_sha;
    }
    facts_.ref_slug = pipelines::slug(facts_.ref_name);
    read_default_branch();
    if (query.dirty && facts_.commits) {
      read_dirty();
    }
  }

 private:
  // Straight from the configuration: libgit2 1.5's own look-up of remotes leaks 20 KB for each entry it passes by.
  void read_remote() {
    git::Config config;
    git_config_iterator* raw = nullptr;
    if (git_repository_config(into(config), repository_) != 0 || git_config_iterator_new(&raw, config.get()) != 0) {
      return;
    }
    const git::Handle<git_config_iterator, git_config_iterator_free> each(raw);
    std::map<std::string, std::string> remotes;
    std::vector<std::pair<std::string, std::string>> rewrites;  // prefix, what stands for it
    git_config_entry* entry = nullptr;
    while (git_config_next(&entry, each.get()) == 0) {
      const std::string name = entry->name;
      const auto between = [&](std::string_view prefix, std::string_view suffix) {
        return name.starts_with(prefix) && name.ends_with(suffix) && name.size() > prefix.size() + suffix.size()
                   ? name.substr(prefix.size(), name.size() - prefix.size() - suffix.size())
                   : std::string();
      };
      if (const std::string remote = between("remote.", ".url"); !remote.empty()) {
        remotes.emplace(remote, text(entry->value));
      } else if (const std::string base = between("url.", ".insteadof"); !base.empty()) {
        rewrites.emplace_back(text(entry->value), base);
      }
    }
    const auto found = remotes.contains("origin") ? remotes.find("origin") : remotes.begin();
    if (found == remotes.end() || (found->first != "origin" && remotes.size() > 1)) {
      return;
    }
    remote_ = found->first;
    std::string address = found->second;
    std::pair<std::string, std::string> longest;
    for (const auto& rewrite : rewrites) {
      if (rewrite.first.size() > longest.first.size() && address.starts_with(rewrite.first)) {
        longest = rewrite;
      }
    }
    address.replace(0, longest.first.size(), longest.second);
    const Url url = read_url(address);
    facts_.remote_url = url.clean;
    facts_.server_url = url.server;
    facts_.project_path = url.path;
  }

  // Branch or tag, from what the user named or from HEAD.
  void read_ref(const std::string& revision) {
    git::Reference reference;
    if (!revision.empty()) {
      git::Object object;
      if (git_revparse_ext(into(object), into(reference), repository_, revision.c_str()) != 0) {
        if (git_revparse_ext(into(object), into(reference), repository_, ("origin/" + revision).c_str()) != 0) {
          return;  // find_commit tells
        }
      }
      if (!reference) {
        return;
      }
      if (std::string_view(git_reference_name(reference.get())) != "HEAD") {
        name_ref(git_reference_name(reference.get()));
        return;
      }
    }
    if (git_reference_lookup(into(reference), repository_, "HEAD") == 0 &&
        git_reference_type(reference.get()) == GIT_REFERENCE_SYMBOLIC) {
      name_ref(text(git_reference_symbolic_target(reference.get())));
    }
  }

  void name_ref(const std::string& full) {
    const auto after = [&](std::string_view prefix) {
      return full.starts_with(prefix) ? full.substr(prefix.size()) : std::string();
    };
    facts_.branch = after("refs/heads/");
    facts_.tag = after("refs/tags/");
    if (const std::string remote = after("refs/remotes/"); !remote.empty()) {
      facts_.branch = remote.substr(remote.find('/') + 1);
    }
  }

  void read_commit(git_commit* commit, bool tagged) {
    facts_.commits = true;
    facts_.sha = git::hex(git_commit_id(commit));
    facts_.short_sha = facts_.sha.substr(0, 8);
    facts_.before_sha =
        git_commit_parentcount(commit) > 0 ? git::hex(git_commit_parent_id(commit, 0)) : std::string(no_commit);
    facts_.message = text(git_commit_message(commit));
    facts_.title = facts_.message.substr(0, facts_.message.find('\n'));
    // GitLab's rule: a long title stays in the description.
    facts_.description = facts_.message;
    if (facts_.title.size() < 100) {
      facts_.description.erase(0, std::min(facts_.title.size() + 1, facts_.description.size()));
      facts_.description.erase(0, facts_.description.find_first_not_of('\n'));
    }
    const git_signature* author = git_commit_author(commit);
    facts_.author_name = text(author->name);
    facts_.author_email = text(author->email);
    facts_.author = fmt::format("{} <{}>", facts_.author_name, facts_.author_email);
    facts_.timestamp = iso_time(git_commit_time(commit), git_commit_time_offset(commit));
    if (facts_.branch.empty() || tagged) {
      find_tag(git_commit_id(commit));
    }
  }

  // The tag on a commit that no branch names: an annotated one before a plain one, then the last by name.
  void find_tag(const git_oid* commit) {
    struct Search {
      git_repository* repository;
      const git_oid* commit;
      const std::string& wanted;
      std::string name, message;
      bool annotated = false;
    } search{repository_, commit, facts_.tag, {}, {}, false};
    git_tag_foreach(
        repository_,
        [](const char* name, git_oid* id, void* payload) {
          auto& found = *static_cast<Search*>(payload);
          const std::string short_name = std::string(name).substr(std::string_view("refs/tags/").size());
          git::Tag tag;
          git::Object target;
          const bool annotated = git_tag_lookup(into(tag), found.repository, id) == 0;
          if (annotated && git_tag_peel(into(target), tag.get()) != 0) {
            return 0;
          }
          const bool here = git_oid_equal(annotated ? git_object_id(target.get()) : id, found.commit) != 0;
          const bool better = found.name.empty() || (annotated && !found.annotated) ||
                              (annotated == found.annotated && short_name > found.name);
          if (here && (found.wanted.empty() ? better : short_name == found.wanted)) {
            found.name = short_name;
            found.annotated = annotated;
            found.message = annotated ? text(git_tag_message(tag.get())) : std::string();
          }
          return 0;
        },
        &search);
    if (facts_.tag.empty()) {
      facts_.tag = search.name;
    }
    facts_.tag_message = search.message;
    while (facts_.tag_message.ends_with('\n')) {
      facts_.tag_message.pop_back();
    }
  }

  void read_remote_sha() {
    git_oid id;
    const std::string name = "refs/remotes/" + remote_ + "/" + facts_.branch;
    if (!remote_.empty() && !facts_.branch.empty() && git_reference_name_to_id(&id, repository_, name.c_str()) == 0) {
      facts_.remote_sha = git::hex(&id);
    }
  }

  bool has_branch(const std::string& name) const {
    git::Reference reference;
    return git_reference_lookup(into(reference), repository_, ("refs/heads/" + name).c_str()) == 0 ||
           git_reference_lookup(into(reference), repository_, ("refs/remotes/" + remote_ + "/" + name).c_str()) == 0;
  }

  void read_default_branch() {
    git::Reference head;
    const std::string prefix = "refs/remotes/" + (remote_.empty() ? "origin" : remote_) + "/";
    if (git_reference_lookup(into(head), repository_, (prefix + "HEAD").c_str()) == 0 &&
        git_reference_type(head.get()) == GIT_REFERENCE_SYMBOLIC) {
      const std::string target = text(git_reference_symbolic_target(head.get()));
      if (target.starts_with(prefix)) {
        facts_.default_branch = target.substr(prefix.size());
        return;
      }
    }
    git::Config config, snapshot;
    const char* configured = nullptr;
    if (git_repository_config(into(config), repository_) == 0 &&
        git_config_snapshot(into(snapshot), config.get()) == 0) {
      git_config_get_string(&configured, snapshot.get(), "init.defaultbranch");
    }
    for (const std::string& candidate : {text(configured), std::string("main"), std::string("master")}) {
      if (!candidate.empty() && has_branch(candidate)) {
        facts_.default_branch = candidate;
        return;
      }
    }
    facts_.default_branch = facts_.branch;
  }

  void read_dirty() {
    const std::optional<git::Commit> head = git::find_commit(repository_, "");
    git::Tree tree;
    git::Diff diff;
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    check(git_commit_tree(into(tree), head->get()), "cannot read HEAD");
    check(git_diff_tree_to_workdir_with_index(into(diff), repository_, tree.get(), &options),
          "cannot compare the working tree with HEAD");
    facts_.dirty = git_diff_num_deltas(diff.get()) > 0;
  }

  git::Opened opened_;
  git_repository* repository_;
  GitFacts& facts_;
  std::string remote_;
};

}  // namespace

GitFacts read_git(const fs::path& project_dir, const GitQuery& query) {
  GitFacts facts;
  if (std::optional<git::Opened> opened = git::open(project_dir)) {
    Reader(std::move(*opened), facts).read(query);
  } else if (!query.revision.empty()) {
    throw GitError(fmt::format("{} is no git repository: there is no commit {}", project_dir.string(), query.revision),
                   "leave --ref out to take the files as they are");
  }
  if (facts.project_path.empty()) {
    std::error_code error;
    facts.project_path = project_path_of(fs::canonical(project_dir, error).filename().string());
  }
  if (facts.project_path.empty()) {
    facts.project_path = "project";
  }
  const std::size_t slash = facts.project_path.rfind('/');
  facts.project_name = slash == std::string::npos ? facts.project_path : facts.project_path.substr(slash + 1);
  facts.project_namespace = slash == std::string::npos ? "" : facts.project_path.substr(0, slash);
  return facts;
}

}  // namespace runner
