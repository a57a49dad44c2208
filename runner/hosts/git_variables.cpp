// The predefined variables of a pipeline, from facts (docs.gitlab.com/ee/ci/variables/predefined_variables; their order
// and spelling follow app/models/project.rb and lib/gitlab/ci/variables/builder/pipeline.rb).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipelines/variables.h"
#include "runner/hosts/git.h"

namespace runner {
namespace {

constexpr std::string_view no_commit = "0000000000000000000000000000000000000000";
// The GitLab whose documentation this language follows.
constexpr std::string_view gitlab_version[] = {"18", "6", "0"};
constexpr std::size_t longest_message = 100'000;    // GitLab's MAX_COMMIT_MESSAGE_SIZE_IN_BYTES
constexpr std::size_t longest_description = 2'700;  // characters of a merge request's description

class Variables {
 public:
  void add(std::string name, std::string value) { list.emplace_back(std::move(name), std::move(value)); }
  void add_known(std::string name, const std::string& value) {  // absent, not empty, when nothing is known
    if (!value.empty()) {
      add(std::move(name), value);
    }
  }
  void add_flag(std::string name, bool value) { add(std::move(name), value ? "true" : "false"); }
  std::vector<std::pair<std::string, std::string>> list;
};

// The facts with the command line's word about the ref laid over them.
struct Ref {
  std::string tag, branch, name;
  bool is_protected = false;
};

Ref ref_of(const GitFacts& git, const RunFacts& run) {
  Ref ref;
  ref.tag = !run.tag.empty() ? run.tag : !run.branch.empty() ? "" : git.tag;
  ref.branch = !run.tag.empty() ? "" : !run.branch.empty() ? run.branch : git.branch;
  ref.name = !ref.tag.empty() ? ref.tag : !ref.branch.empty() ? ref.branch : git.ref_name;
  ref.is_protected = run.protected_ref || (ref.tag.empty() && !ref.name.empty() && ref.name == git.default_branch);
  return ref;
}

struct Server {
  std::string protocol, fqdn, host, port;
};

Server read_server(const std::string& url) {
  Server server;
  const std::size_t begin = url.find("://") + 3;
  server.protocol = url.substr(0, begin - 3);
  server.fqdn = url.substr(begin);
  const std::size_t colon = server.fqdn.rfind(':');
  const bool port = colon != std::string::npos && server.fqdn.find(']', colon) == std::string::npos;
  server.host = port ? server.fqdn.substr(0, colon) : server.fqdn;
  server.port = port ? server.fqdn.substr(colon + 1) : server.protocol == "http" ? "80" : "443";
  return server;
}

// ssh://git@host:2222/…: what a clone by SSH used; else what is usual.
std::string ssh_port(const std::string& remote_url) {
  if (!remote_url.starts_with("ssh://")) {
    return "22";
  }
  const std::size_t begin = remote_url.find('@') == std::string::npos ? 6 : remote_url.find('@') + 1;
  const std::string authority = remote_url.substr(begin, remote_url.find('/', begin) - begin);
  const std::size_t colon = authority.rfind(':');
  return colon == std::string::npos || authority.ends_with(']') ? "22" : authority.substr(colon + 1);
}

// A host that is a GitLab by its name. Where its registry and its pages are is a setting of the server; for GitLab.com
// it is known, for others taken to be as in the documentation's examples. A project file's variables are stronger.
bool is_gitlab(std::string_view host) {
  return host == "gitlab.com" || host.starts_with("gitlab.") || host.find(".gitlab.") != std::string_view::npos;
}

void add_server(Variables& v, const GitFacts& git) {
  v.add("CI_SERVER_NAME", "GitLab");
  v.add("CI_SERVER_VERSION", fmt::format("{}", fmt::join(gitlab_version, ".")));
  v.add("CI_SERVER_VERSION_MAJOR", std::string(gitlab_version[0]));
  v.add("CI_SERVER_VERSION_MINOR", std::string(gitlab_version[1]));
  v.add("CI_SERVER_VERSION_PATCH", std::string(gitlab_version[2]));
  v.add("CI_SERVER_REVISION", "runner");
  v.add("CI_TEMPLATE_REGISTRY_HOST", "registry.gitlab.com");
  v.add("GITLAB_FEATURES", "");
  if (git.server_url.empty()) {
    return;
  }
  const Server server = read_server(git.server_url);
  v.add("CI_SERVER_URL", git.server_url);
  v.add("CI_SERVER_PROTOCOL", server.protocol);
  v.add("CI_SERVER_FQDN", server.fqdn);
  v.add("CI_SERVER_HOST", server.host);
  v.add("CI_SERVER_PORT", server.port);
  v.add("CI_SERVER_SHELL_SSH_HOST", server.host);
  v.add("CI_SERVER_SHELL_SSH_PORT", ssh_port(git.remote_url));
  v.add("CI_API_V4_URL", git.server_url + "/api/v4");
  v.add("CI_API_GRAPHQL_URL", git.server_url + "/api/graphql");
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return text;
}

void add_registry_and_pages(Variables& v, const GitFacts& git) {
  if (git.server_url.empty()) {
    return;
  }
  const Server server = read_server(git.server_url);
  if (!is_gitlab(server.host)) {
    return;
  }
  const std::string path = lower(git.project_path);
  const std::string namespaces = lower(git.project_namespace);
  const std::string root = namespaces.substr(0, namespaces.find('/'));
  v.add("CI_REGISTRY", "registry." + server.host);
  v.add("CI_REGISTRY_IMAGE", "registry." + server.host + "/" + path);
  const std::string proxy = server.host + ":" + server.port;
  v.add("CI_DEPENDENCY_PROXY_SERVER", proxy);
  v.add("CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX", proxy + "/" + root + "/dependency_proxy/containers");
  v.add("CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX", proxy + "/" + namespaces + "/dependency_proxy/containers");
  if (server.host != "gitlab.com" || root.empty()) {
    return;
  }
  // The project named as its own host is the site of the whole namespace.
  const std::string hostname = root + ".gitlab.io";
  const std::string below = path.substr(root.size() + 1);
  v.add("CI_PAGES_DOMAIN", "gitlab.io");
  v.add("CI_PAGES_HOSTNAME", hostname);
  v.add("CI_PAGES_URL", "https://" + hostname + (below == hostname ? "" : "/" + below));
}

void add_project(Variables& v, const GitFacts& git) {
  v.add("CI_PROJECT_ID", "1");
  v.add("CI_PROJECT_NAME", git.project_name);
  v.add("CI_PROJECT_TITLE", git.project_name);
  v.add("CI_PROJECT_DESCRIPTION", "");
  v.add("CI_PROJECT_PATH", git.project_path);
  v.add("CI_PROJECT_PATH_SLUG", pipelines::slug(git.project_path));
  v.add("CI_PROJECT_NAMESPACE", git.project_namespace);
  v.add("CI_PROJECT_NAMESPACE_SLUG", pipelines::slug(git.project_namespace));
  v.add("CI_PROJECT_NAMESPACE_ID", "1");
  v.add("CI_PROJECT_ROOT_NAMESPACE", git.project_namespace.substr(0, git.project_namespace.find('/')));
  v.add("CI_PROJECT_VISIBILITY", "private");
  v.add("CI_PROJECT_REPOSITORY_LANGUAGES", "");
  v.add("CI_PROJECT_CLASSIFICATION_LABEL", "");
  if (!git.server_url.empty()) {
    v.add("CI_PROJECT_URL", git.server_url + "/" + git.project_path);
  }
  v.add_known("CI_DEFAULT_BRANCH", git.default_branch);
}

// What stood on the branch before the push. Zeros for everything that is no push to a branch.
std::string before_sha(const GitFacts& git, const RunFacts& run, const Ref& ref) {
  if (!ref.tag.empty() || !has_push_diff(run.event) || pipeline_source(run.event) == "merge_request_event") {
    return std::string(no_commit);
  }
  if (run.event == "pre_push") {
    return git.remote_sha.empty() ? std::string(no_commit) : git.remote_sha;
  }
  return git.before_sha;
}

void add_commit(Variables& v, const GitFacts& git, const RunFacts& run, const Ref& ref) {
  if (git.commits) {
    v.add("CI_COMMIT_SHA", git.sha);
    v.add("CI_COMMIT_SHORT_SHA", git.short_sha);
    v.add("CI_COMMIT_BEFORE_SHA", before_sha(git, run, ref));
    v.add("CI_COMMIT_TITLE", git.title.substr(0, longest_message));
    v.add("CI_COMMIT_MESSAGE", git.message.substr(0, longest_message));
    v.add_flag("CI_COMMIT_MESSAGE_IS_TRUNCATED", git.message.size() > longest_message);
    v.add("CI_COMMIT_DESCRIPTION", git.description.substr(0, longest_message));
    v.add("CI_COMMIT_AUTHOR", git.author);
    v.add("CI_COMMIT_TIMESTAMP", git.timestamp);
  }
  if (!ref.name.empty()) {
    v.add("CI_COMMIT_REF_NAME", ref.name);
    v.add("CI_COMMIT_REF_SLUG", pipelines::slug(ref.name));
    v.add_flag("CI_COMMIT_REF_PROTECTED", ref.is_protected);
  }
  if (!ref.tag.empty()) {
    v.add("CI_COMMIT_TAG", ref.tag);
    if (ref.tag == git.tag) {
      v.add_known("CI_COMMIT_TAG_MESSAGE", git.tag_message);
    }
  } else if (pipeline_source(run.event) != "merge_request_event") {
    v.add_known("CI_COMMIT_BRANCH", ref.branch);
  }
}

// GitLab's rule for a title that says so itself (MergeRequest::DRAFT_REGEX).
bool is_draft(const std::string& title) {
  const std::string begin = lower(title.substr(0, 8));
  return begin.starts_with("draft:") || begin.starts_with("[draft]") || begin.starts_with("(draft)");
}

// At most so many characters of UTF-8 text.
std::string first_characters(const std::string& text, std::size_t most) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    const bool begins_one = (static_cast<unsigned char>(text[end]) & 0xC0U) != 0x80U;
    if (begins_one && most-- == 0) {
      break;
    }
  }
  return text.substr(0, end);
}

void add_merge_request(Variables& v, const GitFacts& git, const RunFacts& run, const Ref& ref) {
  const MergeRequest& request = run.merge_request;
  const std::string target = run.target_branch.empty() ? git.default_branch : run.target_branch;
  const std::string title = request.title.empty() ? git.title : request.title;
  v.add("CI_MERGE_REQUEST_ID", request.iid);
  v.add("CI_MERGE_REQUEST_IID", request.iid);
  v.add("CI_MERGE_REQUEST_REF_PATH", "refs/merge-requests/" + request.iid + "/head");
  v.add("CI_MERGE_REQUEST_EVENT_TYPE", "detached");
  // Of merged results pipelines only, GitLab says.
  v.add("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "");
  v.add("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "");
  if (!run.merge_base.empty()) {
    v.add("CI_MERGE_REQUEST_DIFF_ID", "1");
    v.add("CI_MERGE_REQUEST_DIFF_BASE_SHA", run.merge_base);
  }
  v.add("CI_MERGE_REQUEST_TITLE", request.draft && !is_draft(title) ? "Draft: " + title : title);
  v.add_flag("CI_MERGE_REQUEST_DRAFT", request.draft || is_draft(title));
  const std::string description = first_characters(request.description, longest_description);
  v.add("CI_MERGE_REQUEST_DESCRIPTION", description);
  v.add_flag("CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED", description.size() < request.description.size());
  v.add_known("CI_MERGE_REQUEST_LABELS", request.labels);
  v.add_known("CI_MERGE_REQUEST_ASSIGNEES", request.assignees);
  v.add_known("CI_MERGE_REQUEST_MILESTONE", request.milestone);
  v.add_flag("CI_MERGE_REQUEST_SQUASH_ON_MERGE", request.squash);
  if (request.approved) {
    v.add_flag("CI_MERGE_REQUEST_APPROVED", true);
  }
  v.add_known("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", target);
  v.add_flag("CI_MERGE_REQUEST_TARGET_BRANCH_PROTECTED", !target.empty() && target == git.default_branch);
  v.add_known("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", ref.branch);
  v.add_flag("CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED", ref.is_protected);
  for (const std::string prefix : {"CI_MERGE_REQUEST_", "CI_MERGE_REQUEST_SOURCE_"}) {
    v.add(prefix + "PROJECT_ID", "1");
    v.add(prefix + "PROJECT_PATH", git.project_path);
    if (!git.server_url.empty()) {
      v.add(prefix + "PROJECT_URL", git.server_url + "/" + git.project_path);
    }
  }
  v.add("CI_OPEN_MERGE_REQUESTS", git.project_path + "!" + request.iid);
}

void add_user(Variables& v, const GitFacts& git, const RunFacts& run) {
  const std::string& name = run.user_name.empty() ? git.author_name : run.user_name;
  const std::string& mail = run.user_email.empty() ? git.author_email : run.user_email;
  v.add("GITLAB_USER_ID", "1");
  v.add_known("GITLAB_USER_NAME", name);
  v.add_known("GITLAB_USER_EMAIL", mail);
  v.add_known("GITLAB_USER_LOGIN", run.user_login.empty() ? mail.substr(0, mail.find('@')) : run.user_login);
}

}  // namespace

std::string pipeline_source(std::string_view event) {
  constexpr std::array same = {"push",
                               "web",
                               "schedule",
                               "api",
                               "trigger",
                               "pipeline",
                               "external",
                               "parent_pipeline",
                               "chat",
                               "webide",
                               "pre_push",
                               "external_pull_request_event",
                               "merge_request_event"};
  if (event == "merge_request") {
    return "merge_request_event";
  }
  if (event == "tag") {
    return "push";  // a tag that was pushed
  }
  return std::ranges::find(same, event) != same.end() ? std::string(event) : std::string();
}

bool has_push_diff(std::string_view event) {
  constexpr std::array with = {"push",
                               "parent_pipeline",
                               "merge_request",
                               "merge_request_event",
                               "webide",
                               "pre_push",
                               "external_pull_request_event"};
  return std::ranges::find(with, event) != with.end();
}

std::vector<std::pair<std::string, std::string>> predefined_variables(const GitFacts& git, const RunFacts& run) {
  const std::string source = pipeline_source(run.event);
  const Ref ref = ref_of(git, run);
  Variables v;
  v.add_flag("CI", true);
  v.add_flag("GITLAB_CI", true);
  v.add("CI_PIPELINE_SOURCE", source.empty() ? run.event : source);
  v.add_known("CI_PIPELINE_CREATED_AT", run.created_at);
  v.add_known("CI_PIPELINE_NAME", run.pipeline_name);
  if (run.pipeline_iid != 0) {
    v.add("CI_PIPELINE_IID", std::to_string(run.pipeline_iid));
  }
  if (source == "schedule") {
    v.add("CI_PIPELINE_SCHEDULE_DESCRIPTION", run.schedule);
  }
  if (source == "trigger") {
    v.add_flag("CI_PIPELINE_TRIGGERED", true);
  }
  v.add_known("CI_CONFIG_PATH", run.config_path);
  add_commit(v, git, run, ref);
  add_project(v, git);
  add_server(v, git);
  add_registry_and_pages(v, git);
  if (source == "merge_request_event") {
    add_merge_request(v, git, run, ref);
  }
  add_user(v, git, run);
  return v.list;
}

}  // namespace runner
