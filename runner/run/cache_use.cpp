#include "runner/run/cache_use.h"

#include <fmt/core.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <utility>

#include "pipelines/glob.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

std::string sha1(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha1(), nullptr);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

// Git's name of a file's content; empty when there is no such file.
std::string blob_id(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(file, error);
  std::string content;
  if (fs::is_symlink(status)) {
    content = fs::read_symlink(file, error).string();
  } else if (fs::is_regular_file(status)) {
    std::ifstream in(file, std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(in), {});
  } else {
    return {};
  }
  return sha1(fmt::format("blob {}", content.size()) + '\0' + content);
}

std::vector<std::string> tracked_files(const fs::path& list) {
  std::ifstream in(list, std::ios::binary);
  std::vector<std::string> files;
  for (std::string file; std::getline(in, file, '\0');) files.push_back(std::move(file));
  return files;
}

std::string digest_of(std::set<std::string> ids) {
  ids.erase("");
  if (ids.empty()) return "default";
  std::string all;
  for (const auto& id : ids) all += (all.empty() ? "" : "-") + id;
  return sha1(all);
}

std::string digest_of_contents(const std::vector<std::string>& patterns, const executors::Sources& sources) {
  std::set<std::string> ids;
  for (const auto& pattern : patterns) {
    if (pattern.empty()) continue;
    if (pattern.find('*') == std::string::npos) {
      const fs::path path = fs::path(pattern).lexically_normal();
      if (path.is_relative() && *path.begin() != "..") ids.insert(blob_id(sources.snapshot / path));
      continue;
    }
    const pipelines::Glob glob(pattern);
    for (const auto& file : tracked_files(sources.tracked_list)) {
      if (glob.matches(file)) ids.insert(blob_id(sources.snapshot / file));
    }
  }
  return digest_of(std::move(ids));
}

// What GitLab puts before a key of files without a prefix: two caches of a job with the same files are two.
std::string default_prefix(const pipelines::CacheKey& key, std::size_t index) {
  std::string prefix = std::to_string(index);
  for (std::size_t i = 0; i < key.files.size(); ++i) {
    prefix += "_" + key.files[i].substr(0, key.files[i].find('.'));
  }
  return prefix;
}

std::string key_text(const pipelines::CacheKey& key, std::size_t index, const CacheScene& scene) {
  if (key.files.empty() && key.files_commits.empty()) return key.text;
  std::string digest;
  if (!key.files.empty()) {
    digest = digest_of_contents(key.files, scene.sources);
  } else {
    std::set<std::string> ids;
    for (const auto& path : key.files_commits) {
      if (scene.last_commit) ids.insert(scene.last_commit(path));
    }
    digest = digest_of(std::move(ids));
  }
  return (key.prefix.empty() ? default_prefix(key, index) : key.prefix) + "-" + digest;
}

bool read_policy(const std::string& text, CacheUse& use) {
  use.pull = text.empty() || text == "pull-push" || text == "pull";
  use.push = text.empty() || text == "pull-push" || text == "push";
  return use.pull || use.push;
}

std::vector<std::string> keys_of(const pipelines::Cache& cache, std::size_t index, const CacheScene& scene) {
  const std::string suffix = scene.protected_ref && !cache.unprotect ? "-protected" : "-non_protected";
  std::vector<std::string> keys;
  keys.push_back(clean_key(scene.variables.expand(key_text(cache.key, index, scene) + suffix)));
  const auto add = [&](std::string key) {
    if (!key.empty() && std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
  };
  for (const auto& fallback : cache.fallback_keys) add(clean_key(scene.variables.expand(fallback + suffix)));
  // The author's own word: it may not get at what a protected branch has made.
  if (const auto* last = scene.variables.find("CACHE_FALLBACK_KEY")) {
    if (std::string key = clean_key(scene.variables.expand(last->value)); !key.ends_with("-protected")) {
      add(std::move(key));
    }
  }
  return keys;
}

}  // namespace

std::string clean_key(std::string_view key) {
  std::string text;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const std::string_view three = key.substr(i, 3);
    const auto is = [&](const char* upper, const char* lower) { return three == upper || three == lower; };
    if (is("%2F", "%2f") || is("%5C", "%5c")) {
      text += '/';
      i += 2;
    } else if (three == "%2E" || three == "%2e") {
      text += '.';
      i += 2;
    } else {
      text += key[i] == '\\' ? '/' : key[i];
    }
  }
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, '/');) {
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(std::move(part));
  }
  while (!parts.empty()) {
    std::string& last = parts.back();
    last.erase(last.find_last_not_of(" \t\r\n\v\f") + 1);
    if (!last.empty()) break;
    parts.pop_back();
  }
  std::string clean;
  for (const auto& part : parts) clean += (clean.empty() ? "" : "/") + part;
  return clean;
}

std::vector<CacheUse> cache_uses(const std::vector<pipelines::Cache>& caches, const CacheScene& scene,
                                 std::vector<std::string>& warnings) {
  std::vector<CacheUse> uses;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    const pipelines::Cache& cache = caches[i];
    if (!cache.any_paths()) continue;  // as in GitLab: without paths there is nothing to keep
    CacheUse use;
    if (const std::string policy = scene.variables.expand(cache.policy); !read_policy(policy, use)) {
      warnings.push_back(
          fmt::format(R"(cache: its policy {} is "{}", not pull-push, pull or push: this cache is not used)",
                      cache.policy, policy));
      continue;
    }
    use.keys = keys_of(cache, i, scene);
    if (use.keys.front().empty()) {
      warnings.push_back(
          fmt::format("cache: of its key \"{}\" nothing is left that could name it: it is not used", cache.key.text));
      continue;
    }
    use.what.number = uses.size();
    use.index = i;
    for (const auto& path : cache.paths) use.what.paths.push_back(scene.variables.expand(path));
    use.what.untracked = cache.untracked;
    use.what.when = cache.when;
    uses.push_back(std::move(use));
  }
  return uses;
}

}  // namespace runner
