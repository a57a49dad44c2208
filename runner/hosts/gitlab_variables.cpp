#include "runner/hosts/gitlab_variables.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace runner {
namespace {

using nlohmann::json;

constexpr long per_page = 100;                        // GitLab's most
constexpr int most_pages = 100;                       // no project has 10,000 variables: a server that goes astray
constexpr std::size_t most_bytes = 64 * 1024 * 1024;  // of one page

struct Response {
  long status = 0;
  std::string body, next_page;
};

extern "C" {
static std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& body = static_cast<Response*>(target)->body;
  if (body.size() + size * count > most_bytes) return 0;
  body.append(bytes, size * count);
  return size * count;
}

static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* target) {
  constexpr std::string_view wanted = "x-next-page:";
  std::string_view line(bytes, size * count);
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
  if (line.size() > wanted.size() && std::ranges::equal(line.substr(0, wanted.size()), wanted, same)) {
    line.remove_prefix(wanted.size());
    auto& next = static_cast<Response*>(target)->next_page;
    next.clear();
    std::ranges::copy_if(line, std::back_inserter(next), [](char c) { return c >= '0' && c <= '9'; });
  }
  return size * count;
}
}

class Client {
 public:
  explicit Client(const GitLabAccess& access) : access_(access), curl_(curl_easy_init(), &curl_easy_cleanup) {
    if (!curl_) throw GitLabError("libcurl cannot be started");
    const std::string token = "PRIVATE-TOKEN: " + access.token;
    headers_.reset(curl_slist_append(nullptr, token.c_str()));
  }

  // All pages. Absent where the server says that there is no such thing, or none for this token.
  std::optional<json> list(const std::string& path) {
    json all = json::array();
    std::string page = "1";
    for (int count = 0; !page.empty(); ++count) {
      if (count == most_pages) throw GitLabError(fmt::format("{} has more pages than there can be", access_.url));
      const std::string address = fmt::format("{}/api/v4{}?per_page={}&page={}", access_.url, path, per_page, page);
      Response response = get(address);
      if (response.status == 403 || response.status == 404) return std::nullopt;
      refuse_failure(response);
      json items = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
      if (!items.is_array()) throw GitLabError(fmt::format("{} did not answer with a list of variables", access_.url));
      for (json& item : items) all.push_back(std::move(item));
      page = response.next_page;
    }
    return all;
  }

  std::string escaped(const std::string& text) const {
    const std::unique_ptr<char, decltype(&curl_free)> result(
        curl_easy_escape(curl_.get(), text.data(), static_cast<int>(text.size())), &curl_free);
    return result ? result.get() : "";
  }

 private:
  Response get(const std::string& address) {
    Response response;
    char words[CURL_ERROR_SIZE] = "";
    CURL* curl = curl_.get();
    curl_easy_setopt(curl, CURLOPT_URL, address.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);  // the token is for this server alone
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(access_.patience.count()));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &response);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &response);
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
    if (code != CURLE_OK) {
      throw GitLabError(fmt::format("{}: {}", access_.url, words[0] != '\0' ? words : curl_easy_strerror(code)));
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
    return response;
  }

  void refuse_failure(const Response& response) const {
    if (response.status == 200) return;
    if (response.status == 401) throw GitLabError(fmt::format("{} refuses the token (401)", access_.url));
    if (response.status >= 300 && response.status < 400) {
      throw GitLabError(
          fmt::format("{} sends us elsewhere ({}); name the right address in `url`", access_.url, response.status));
    }
    throw GitLabError(fmt::format("{} answered {}", access_.url, response.status));
  }

  const GitLabAccess& access_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  std::unique_ptr<curl_slist, FreeList> headers_;
};

void add(const json& items, GitLabVariables& out) {
  std::vector<ProjectVariable> level;
  for (const json& item : items) {
    const auto text = [&](const char* key, const char* otherwise) {
      return item.contains(key) && item.at(key).is_string() ? item.at(key).get<std::string>() : std::string(otherwise);
    };
    const auto flag = [&](const char* key) {
      return item.contains(key) && item.at(key).is_boolean() && item.at(key).get<bool>();
    };
    ProjectVariable variable;
    variable.name = text("key", "");
    if (variable.name.empty()) continue;
    if (!item.contains("value") || !item.at("value").is_string()) {
      out.hidden.push_back(variable.name);
      continue;
    }
    variable.value = text("value", "");
    variable.environment_scope = text("environment_scope", "*");
    variable.file = text("variable_type", "env_var") == "file";
    variable.masked = flag("masked") || flag("hidden");
    variable.is_protected = flag("protected");
    variable.raw = flag("raw");
    level.push_back(std::move(variable));
  }
  lay_over(out.variables, level);
}

}  // namespace

GitLabVariables read_gitlab_variables(const GitLabAccess& access, const std::string& project_path) {
  Client client(access);
  GitLabVariables all;
  for (std::size_t slash = project_path.find('/'); slash != std::string::npos;
       slash = project_path.find('/', slash + 1)) {
    const std::string group = client.escaped(project_path.substr(0, slash));
    if (const std::optional<json> items = client.list("/groups/" + group + "/variables")) add(*items, all);
  }
  const std::optional<json> items = client.list("/projects/" + client.escaped(project_path) + "/variables");
  if (!items) {
    throw GitLabError(
        fmt::format("{} has no project {}, or the token may not read its variables", access.url, project_path));
  }
  add(*items, all);
  return all;
}

}  // namespace runner
