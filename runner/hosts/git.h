// Git, by libgit2: what a run is told about its commit, which paths changed, which files are the sources.
// Reads only; never writes the user's repository and never runs a program. Throws GitError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "executors/executor.h"

namespace runner {

class GitError : public executors::WorldError {
 public:
  explicit GitError(const std::string& message, std::string mend = {})
      : WorldError("runner_system_failure", message, std::move(mend)) {}
};

// A revision that a person named is not there.
class NoSuchCommit : public GitError {
 public:
  using GitError::GitError;
};

struct GitFacts {
  bool repository = false;          // false: only the project's names below are set
  bool commits = false;             // false: a repository without any commit; sha … are empty
  std::filesystem::path work_tree;  // the repository's top directory; may be above the project
  std::filesystem::path git_dir, common_dir;
  std::string sha, short_sha;      // short: 8 digits
  std::string before_sha;          // HEAD's first parent, or forty zeros
  std::string ref_name, ref_slug;  // branch or tag; a detached HEAD without a tag: the short sha
  std::string branch, tag;         // at most one is set
  std::string tag_message;         // of an annotated tag
  std::string remote_sha;          // where the remote's branch of that name stood when it was last fetched; or empty
  std::string message, title, description;
  std::string author;  // "Name <mail>"
  std::string author_name, author_email;
  std::string timestamp;          // ISO 8601, the committer's: 2024-05-01T10:00:00+02:00
  std::string default_branch;     // origin/HEAD, else init.defaultBranch, main or master if there; else the branch
  std::string remote_url;         // origin's (or the only remote's), without user and password
  std::string server_url;         // https://host[:port] from it; empty when there is no remote or a local one
  std::string project_path;       // group/sub/project from the remote, else the directory's name
  std::string project_name;       // its last component
  std::string project_namespace;  // what is before it; may be empty
  bool dirty = false;             // tracked files differ from HEAD (only when asked for)
};

struct GitQuery {
  std::string revision;  // read this commit instead of HEAD (`--ref`): branch, tag, sha …; empty: HEAD
  bool dirty = false;    // also find out GitFacts::dirty (looks at every file)
  bool tagged = false;  // the tag of the commit, though a branch names it too (`--event tag`); the branch is empty then
};

GitFacts read_git(const std::filesystem::path& project_dir, const GitQuery& = {});

// A merge request as the command line describes it (--mr-…); what it does not say comes from git.
struct MergeRequest {
  std::string iid = "1";
  std::string title, description, milestone;  // title: empty: the commit's
  std::string labels, assignees;              // separated by commas
  bool draft = false, approved = false, squash = false;
};

// What a run is told besides: the command line's options. They only override what is told.
struct RunFacts {
  std::string event = "push";                     // push, merge_request, tag, schedule, web, api, trigger, pre_push …
  std::string branch, tag;                        // --branch, --tag
  std::string target_branch;                      // of a merge request; empty: the default branch
  std::string merge_base;                         // where the merge request's branch left its target; may be empty
  MergeRequest merge_request;                     // with the event merge_request
  std::string schedule;                           // the description of what the event schedule is
  bool protected_ref = false;                     // --protected; the default branch always is
  std::string config_path;                        // the pipeline file, relative to the project where possible
  std::string pipeline_name;                      // workflow:name, expanded
  std::string created_at;                         // ISO 8601, UTC
  std::uint64_t pipeline_iid = 0;                 // the run's id; 0: not known yet, left out
  std::string user_name, user_email, user_login;  // who started it; empty: the commit's author
};

// The predefined variables known when a pipeline is created (the pre-pipeline and pipeline rows of
// docs.gitlab.com/ee/ci/variables/predefined_variables; where that is silent, lib/gitlab/ci/variables/builder.rb);
// usable in rules. Those of a job (CI_JOB_NAME …) are the plan's; the job-only ones, which rules never see
// (CI_JOB_ID, CI_PROJECT_DIR, CI_RUNNER_* …), the job factory's.
std::vector<std::pair<std::string, std::string>> predefined_variables(const GitFacts&, const RunFacts&);

// The event's word in CI_PIPELINE_SOURCE: GitLab's (merge_request is merge_request_event, tag is push), and our own
// pre_push. Empty for an unknown event.
std::string pipeline_source(std::string_view event);

// Whether GitLab knows what a push changed: not for tags, schedules and pipelines that people or programs start, where
// `rules:changes` is true unless it names what to compare with.
bool has_push_diff(std::string_view event);

// Where the ways of `branch` (at the remote, else here) and of the revision (empty: HEAD) parted. Empty where one of
// them is not there, or they have nothing in common.
std::string merge_base(const std::filesystem::path& project_dir, const std::string& branch,
                       std::string_view revision = {});

// Paths below the project that differ between the tree of `base` and the working tree (index and untracked files that
// git does not ignore included), relative to the project. Empty base: HEAD's first parent. As in GitLab, a base that
// went another way counts from where the ways parted (the merge base). `revision`: that commit's tree in place of the
// working tree. Absent when there is nothing to compare with (no repository, no
// parent); a base that is not there is a GitError.
std::optional<std::vector<std::string>> changed_paths(const std::filesystem::path& project_dir, std::string_view base,
                                                      std::string_view revision = {});

// The sources, sorted, relative to the project: tracked files and untracked ones that git does not ignore, as they are
// in the working tree; those of checked-out submodules too. Without a repository: all files. `except`: see
// SnapshotOptions.
struct SourceList {
  std::vector<std::string> paths;    // files and symlinks
  std::vector<std::string> tracked;  // those of them git tracks
};
SourceList source_list(const std::filesystem::path& project_dir, const std::filesystem::path& except = {});

// The files of a commit below the project, sorted.
std::vector<std::string> commit_paths(const std::filesystem::path& project_dir, std::string_view revision);

// The bytes of a file of the project as that commit has it. Absent when it has none; throws for a commit that is not
// there.
std::optional<std::string> file_at(const std::filesystem::path& project_dir, std::string_view revision,
                                   const std::filesystem::path& relative);

std::string git_library_version();  // "1.5.1", for `doctor`

}  // namespace runner
