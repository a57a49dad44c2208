// Registry credentials, from where the docker CLI keeps them.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>

#include "executors/docker/engine.h"
#include "executors/docker/engine_http.h"
#include "executors/docker/json.h"
#include "executors/helper_process.h"

namespace executors::docker {
namespace {

using nlohmann::json;

// Docker Hub's key in every docker configuration; a name, not an address that is called.
constexpr const char* hub_key = "https://index.docker.io/v1/";
constexpr auto helper_patience = std::chrono::seconds(30);  // some ask a cloud; none may ask a person
constexpr std::size_t helper_output_limit = 1024 * 1024;

[[noreturn]] void fail(const std::string& text, const std::string& hint) {
  throw EngineError(0, text, hint, "image_pull_failure");
}

// The X-Registry-Auth document. A user named "<token>" is how helpers say that the secret is an identity token.
std::string document(const std::string& server, const std::string& user, const std::string& secret,
                     const std::string& identity_token, const std::string& registry_token) {
  json auth = {{"serveraddress", server}};
  if (!registry_token.empty()) {
    auth["registrytoken"] = registry_token;
  } else if (!identity_token.empty()) {
    auth["identitytoken"] = identity_token;
  } else if (user == "<token>") {
    auth["identitytoken"] = secret;
  } else if (!user.empty()) {
    auth["username"] = user;
    auth["password"] = secret;
  } else {
    return {};
  }
  return dump_json(auth);
}

// By the protocol a helper that fails prints an error's text; whatever looks like credentials all the same (cut in the
// middle, behind other words) is not repeated. The first line, or nothing.
std::string harmless_words(const std::string& output) {
  constexpr std::size_t longest = 200;
  std::string lower = output;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"secret", "username", "{"}) {
    if (lower.find(word) != std::string::npos) return {};
  }
  return output.substr(0, std::min(longest, output.find('\n')));
}

// Empty when the helper knows nothing of the server.
std::string ask_helper(const std::string& helper, const std::string& server) {
  const bool plain = !helper.empty() && std::all_of(helper.begin(), helper.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
  if (!plain) fail(fmt::format("'{}' is no name of a credential helper", helper), "correct docker's config.json");

  const std::string program = "docker-credential-" + helper;
  // Its stderr goes nowhere: helpers answer on stdout, errors too.
  const HelperResult result = [&] {
    try {
      return run_helper({program, "get"}, server + "\n", helper_patience, helper_output_limit);
    } catch (const std::system_error& error) {
      fail(fmt::format("cannot run the credential helper {}: {}", program, error.code().message()),
           "install it, or correct credsStore and credHelpers in docker's config.json");
    }
  }();
  if (result.timed_out) {
    fail(fmt::format("the credential helper {} did not answer within {} s for {}", program, helper_patience.count(),
                     server),
         fmt::format("try it by hand: echo {} | {} get", server, program));
  }
  const json answer = parse_json(result.output);
  if (result.exit_code != 0) {
    if (result.output.starts_with("credentials not found")) return {};
    const std::string words = answer.is_discarded() ? harmless_words(result.output) : "";
    fail(fmt::format("the credential helper {} failed for {} (exit code {}){}{}", program, server, result.exit_code,
                     words.empty() ? "" : ": ", words),
         fmt::format("try it by hand: echo {} | {} get", server, program));
  }
  const std::string user = text_at(answer, "Username");
  if (user.empty()) {
    fail(fmt::format("the credential helper {} gave no credentials for {}: its answer is not understood", program,
                     server),
         fmt::format("try it by hand: echo {} | {} get", server, program));
  }
  return document(server, user, text_at(answer, "Secret"), {}, {});
}

// "https://registry.example.com/v1/" -> "registry.example.com"
std::string host_of(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  return std::string(key.substr(0, key.find('/')));
}

bool is_hub(const std::string& host) {
  return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
}

// The entry of `auths` or `credHelpers` for a registry: its exact key, else any with the same host.
const json* entry_for(const json& entries, const std::string& registry, const std::string& server) {
  if (!entries.is_object()) return nullptr;
  if (const auto exact = entries.find(server); exact != entries.end()) return &*exact;
  for (const auto& [key, value] : entries.items()) {
    const std::string host = host_of(key);
    if (host == registry || (is_hub(host) && is_hub(registry))) return &value;
  }
  return nullptr;
}

std::string from_entry(const json& entry, const std::string& server, const std::string& file) {
  std::string user = text_at(entry, "username");
  std::string secret = text_at(entry, "password");
  if (const std::string packed = text_at(entry, "auth"); !packed.empty()) {
    std::string both = base64_decode(packed);
    both.erase(both.find_last_not_of('\0') + 1);
    const auto colon = both.find(':');
    if (colon == std::string::npos) {
      fail(fmt::format("the credentials for {} in {} cannot be read", server, file), "docker login again");
    }
    user = both.substr(0, colon);
    secret = both.substr(colon + 1);
  }
  return document(server, user, secret, text_at(entry, "identitytoken"), text_at(entry, "registrytoken"));
}

std::string config_file(const std::string& directory) {
  if (!directory.empty()) return directory + "/config.json";
  if (const char* named = std::getenv("DOCKER_CONFIG"); named != nullptr && *named != '\0') {
    return std::string(named) + "/config.json";
  }
  const char* home = std::getenv("HOME");
  return home == nullptr ? std::string() : std::string(home) + "/.docker/config.json";
}

}  // namespace

std::string registry_of(const std::string& image_reference) {
  const auto slash = image_reference.find('/');
  if (slash == std::string::npos) return "docker.io";
  std::string first = image_reference.substr(0, slash);
  const bool host = first.find_first_of(".:") != std::string::npos || first == "localhost" ||
                    std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!host || first == "index.docker.io") return "docker.io";
  return first;
}

std::string registry_auth(const std::string& docker_config_dir, const std::string& image_reference) {
  const std::string path = config_file(docker_config_dir);
  std::ifstream file(path);
  if (!file) {
    if (path.empty() || ::access(path.c_str(), F_OK) != 0) return {};
    fail(fmt::format("cannot read {}: {}", path, std::generic_category().message(errno)), "check its mode and owner");
  }
  std::stringstream text;
  text << file.rdbuf();
  // The parser's own message would repeat a piece of the file.
  const json config = parse_json(text.str());
  if (!config.is_object()) fail(fmt::format("{} is not valid JSON", path), "correct it, or docker login again");

  const std::string registry = registry_of(image_reference);
  const std::string server = registry == "docker.io" ? hub_key : registry;
  std::string helper = text_at(config, "credsStore");
  if (const auto helpers = config.find("credHelpers"); helpers != config.end()) {
    const json* entry = entry_for(*helpers, registry, server);
    if (entry != nullptr && entry->is_string()) helper = entry->get<std::string>();
  }
  if (!helper.empty()) {
    if (std::string found = ask_helper(helper, server); !found.empty()) return found;
  }
  if (const auto auths = config.find("auths"); auths != config.end()) {
    if (const json* entry = entry_for(*auths, registry, server)) return from_entry(*entry, server, path);
  }
  return {};
}

}  // namespace executors::docker
