#include "runner/hosts/commits.h"

#include <fmt/core.h>

#include <optional>
#include <system_error>
#include <vector>

#include "runner/hosts/libgit.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using git::check;
using git::into;

using Walk = git::Handle<git_revwalk, git_revwalk_free>;
using Entry = git::Handle<git_tree_entry, git_tree_entry_free>;
using Signature = git::Handle<git_signature, git_signature_free>;

constexpr std::size_t most_commits = 200'000;  // some seconds

// What stands at a path in a commit; absent: nothing.
std::optional<git_oid> entry_at(git_commit* commit, const std::string& path) {
  git::Tree tree;
  check(git_commit_tree(into(tree), commit), "cannot read a commit");
  Entry entry;
  if (git_tree_entry_bypath(into(entry), tree.get(), path.c_str()) != 0) return std::nullopt;
  return *git_tree_entry_id(entry.get());
}

bool same(const std::optional<git_oid>& a, const std::optional<git_oid>& b) {
  return a.has_value() == b.has_value() && (!a || git_oid_equal(&*a, &*b) != 0);
}

// As `git log -1 PATH`: a merge that took one side's state did not change it.
bool changes(git_commit* commit, const std::string& path) {
  const auto here = entry_at(commit, path);
  const unsigned parents = git_commit_parentcount(commit);
  for (unsigned i = 0; i < parents; ++i) {
    git::Commit parent;
    if (git_commit_parent(into(parent), commit, i) != 0) continue;  // a shallow clone ends here
    if (same(here, entry_at(parent.get(), path))) return false;
  }
  return here.has_value() || parents > 0;
}

Signature tagger(git_repository* repository) {
  Signature signature;
  if (git_signature_default(into(signature), repository) != 0) {
    check(git_signature_now(into(signature), "runner", "runner@localhost"), "cannot name the tag's author");
  }
  return signature;
}

}  // namespace

std::string last_commit_of(const fs::path& project_dir, std::string_view revision, std::string_view path) {
  const auto opened = git::open(project_dir);
  if (!opened) return {};
  git_repository* repository = opened->repository.get();
  const auto start = git::find_commit(repository, revision);
  if (!start) return {};
  const std::string whole = opened->prefix + fs::path(path).lexically_normal().string();
  if (!entry_at(start->get(), whole)) return {};
  Walk walk;
  check(git_revwalk_new(into(walk), repository), "cannot walk the commits");
  git_revwalk_sorting(walk.get(), GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
  check(git_revwalk_push(walk.get(), git_commit_id(start->get())), "cannot walk the commits");
  git_oid id{};
  for (std::size_t n = 0; n < most_commits && git_revwalk_next(&id, walk.get()) == 0; ++n) {
    git::Commit commit;
    check(git_commit_lookup(into(commit), repository, &id), "cannot read a commit");
    if (changes(commit.get(), whole)) return git::hex(&id);
  }
  return {};
}

bool has_tag(const fs::path& project_dir, const std::string& name) {
  const auto opened = git::open(project_dir);
  git_oid id{};
  return opened && git_reference_name_to_id(&id, opened->repository.get(), ("refs/tags/" + name).c_str()) == 0;
}

TagMade make_tag(const fs::path& project_dir, const std::string& name, const std::string& ref,
                 const std::string& message) {
  TagMade made;
  const auto opened = git::open(project_dir);
  if (!opened) {
    made.repository = false;
    return made;
  }
  git_repository* repository = opened->repository.get();
  const std::string reference = "refs/tags/" + name;
  if (git_reference_is_valid_name(reference.c_str()) == 0) {
    throw GitError(fmt::format("\"{}\" cannot be a tag's name", name), "git does not allow it");
  }
  made.existed = has_tag(project_dir, name);
  const auto commit = git::find_commit(repository, made.existed ? reference : ref);
  if (!commit) throw GitError("there is no commit yet that could be tagged", "commit first");
  made.sha = git::hex(git_commit_id(commit->get()));
  if (made.existed) return made;
  git_oid id{};
  const auto* target = reinterpret_cast<const git_object*>(commit->get());
  if (message.empty()) {
    check(git_tag_create_lightweight(&id, repository, name.c_str(), target, 0), "cannot make the tag " + name);
  } else {
    const Signature author = tagger(repository);
    check(git_tag_create(&id, repository, name.c_str(), target, author.get(), message.c_str(), 0),
          "cannot make the tag " + name);
  }
  return made;
}

std::string project_identity(const fs::path& project_dir) {
  const GitFacts facts = read_git(project_dir);
  std::error_code error;
  const fs::path here = fs::weakly_canonical(project_dir, error);
  if (facts.server_url.empty() || !facts.repository) return here.string();
  const std::string below = here.lexically_relative(fs::weakly_canonical(facts.work_tree, error)).string();
  return facts.server_url + "/" + facts.project_path + (below == "." || below.empty() ? "" : "//" + below);
}

}  // namespace runner
