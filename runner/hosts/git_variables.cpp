// The predefined variables of a pipeline, from facts (docs.gitlab.com/ee/ci/variables/predefined_variables).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipelines/variables.h"
#include "runner/hosts/git.h"

namespace runner {
namespace {

class Variables {
 public:
  void add(std::string name, std::string value) { list.emplace_back(std::move(name), std::move(value)); }
  void add_known(std::string name, const std::string& value) {  // absent, not empty, when nothing is known
    if (!value.empty()) {
      add(std::move(name), value);
    }
  }
  std::vector<std::pair<std::string, std::string>> list;
};

void add_server(Variables& variables, const std::string& url) {
  if (url.empty()) {
    return;
  }
  const std::size_t begin = url.find("://") + 3;
  const std::string protocol = url.substr(0, begin - 3);
  const std::string authority = url.substr(begin);
  const std::size_t colon = authority.rfind(':');
  const bool port = colon != std::string::npos && authority.find(']', colon) == std::string::npos;
  variables.add("CI_SERVER_URL", url);
  variables.add("CI_SERVER_PROTOCOL", protocol);
  variables.add("CI_SERVER_FQDN", authority);
  variables.add("CI_SERVER_HOST", port ? authority.substr(0, colon) : authority);
  variables.add("CI_SERVER_PORT", port ? authority.substr(colon + 1) : protocol == "http" ? "80" : "443");
  variables.add("CI_API_V4_URL", url + "/api/v4");
  variables.add("CI_API_GRAPHQL_URL", url + "/api/graphql");
}

}  // namespace

std::string pipeline_source(std::string_view event) {
  constexpr std::array same = {"push",
                               "web",
                               "schedule",
                               "api",
                               "trigger",
                               "pipeline",
                               "parent_pipeline",
                               "external",
                               "chat",
                               "webide",
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

std::vector<std::pair<std::string, std::string>> predefined_variables(const GitFacts& git, const RunFacts& run) {
  const std::string source = pipeline_source(run.event);
  const bool merge_request = source == "merge_request_event";
  const std::string tag = !run.tag.empty() ? run.tag : !run.branch.empty() ? "" : git.tag;
  const std::string branch = !run.tag.empty() ? "" : !run.branch.empty() ? run.branch : git.branch;
  const std::string ref = !tag.empty() ? tag : !branch.empty() ? branch : git.ref_name;

  Variables v;
  v.add("CI", "true");
  v.add("GITLAB_CI", "true");
  v.add("CI_PIPELINE_SOURCE", source.empty() ? run.event : source);
  v.add_known("CI_PIPELINE_CREATED_AT", run.created_at);
  v.add_known("CI_PIPELINE_NAME", run.pipeline_name);
  if (run.pipeline_iid != 0) {
    v.add("CI_PIPELINE_IID", std::to_string(run.pipeline_iid));
  }
  v.add_known("CI_CONFIG_PATH", run.config_path);

  if (git.commits) {
    v.add("CI_COMMIT_SHA", git.sha);
    v.add("CI_COMMIT_SHORT_SHA", git.short_sha);
    v.add("CI_COMMIT_BEFORE_SHA", git.before_sha);
    v.add("CI_COMMIT_TITLE", git.title);
    v.add("CI_COMMIT_MESSAGE", git.message);
    v.add("CI_COMMIT_DESCRIPTION", git.description);
    v.add("CI_COMMIT_AUTHOR", git.author);
    v.add("CI_COMMIT_TIMESTAMP", git.timestamp);
  }
  if (!ref.empty()) {
    v.add("CI_COMMIT_REF_NAME", ref);
    v.add("CI_COMMIT_REF_SLUG", pipelines::slug(ref));
    v.add("CI_COMMIT_REF_PROTECTED", tag.empty() && ref == git.default_branch ? "true" : "false");
  }
  if (!tag.empty()) {
    v.add("CI_COMMIT_TAG", tag);
    if (tag == git.tag) {
      v.add_known("CI_COMMIT_TAG_MESSAGE", git.tag_message);
    }
  } else if (!merge_request) {
    v.add_known("CI_COMMIT_BRANCH", branch);
  }
  v.add_known("CI_DEFAULT_BRANCH", git.default_branch);

  v.add("CI_PROJECT_ID", "1");
  v.add("CI_PROJECT_NAME", git.project_name);
  v.add("CI_PROJECT_TITLE", git.project_name);
  v.add("CI_PROJECT_PATH", git.project_path);
  v.add("CI_PROJECT_PATH_SLUG", pipelines::slug(git.project_path));
  v.add("CI_PROJECT_NAMESPACE", git.project_namespace);
  v.add("CI_PROJECT_ROOT_NAMESPACE", git.project_namespace.substr(0, git.project_namespace.find('/')));
  v.add("CI_PROJECT_VISIBILITY", "private");
  if (!git.server_url.empty()) {
    v.add("CI_PROJECT_URL", git.server_url + "/" + git.project_path);
  }
  add_server(v, git.server_url);
  v.add("CI_SERVER_NAME", "runner");

  if (merge_request) {
    const std::string target = run.target_branch.empty() ? git.default_branch : run.target_branch;
    v.add("CI_MERGE_REQUEST_ID", "1");
    v.add("CI_MERGE_REQUEST_IID", "1");
    v.add("CI_MERGE_REQUEST_EVENT_TYPE", "detached");
    v.add("CI_MERGE_REQUEST_REF_PATH", "refs/merge-requests/1/head");
    v.add_known("CI_MERGE_REQUEST_TITLE", git.title);
    v.add_known("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", branch);
    v.add_known("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", target);
    v.add("CI_MERGE_REQUEST_PROJECT_ID", "1");
    v.add("CI_MERGE_REQUEST_PROJECT_PATH", git.project_path);
    v.add("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", git.project_path);
    if (!git.server_url.empty()) {
      v.add("CI_MERGE_REQUEST_PROJECT_URL", git.server_url + "/" + git.project_path);
      v.add("CI_MERGE_REQUEST_SOURCE_PROJECT_URL", git.server_url + "/" + git.project_path);
    }
  }

  const std::string& name = run.user_name.empty() ? git.author_name : run.user_name;
  const std::string& mail = run.user_email.empty() ? git.author_email : run.user_email;
  v.add("GITLAB_USER_ID", "1");
  v.add_known("GITLAB_USER_NAME", name);
  v.add_known("GITLAB_USER_EMAIL", mail);
  v.add_known("GITLAB_USER_LOGIN", run.user_login.empty() ? mail.substr(0, mail.find('@')) : run.user_login);
  return v.list;
}

}  // namespace runner
