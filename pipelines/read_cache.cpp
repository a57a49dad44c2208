// `cache` (docs.gitlab.com/ci/yaml/#cache; GitLab's lib/gitlab/ci/config/entry/cache.rb, caches.rb, key.rb, files.rb).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr std::size_t most_caches = 4;
constexpr std::size_t most_key_files = 2;
constexpr std::size_t most_fallback_keys = 5;

constexpr Word<ArtifactsWhen> when_words[] = {
    {"on_success", ArtifactsWhen::on_success},
    {"on_failure", ArtifactsWhen::on_failure},
    {"always", ArtifactsWhen::always},
};

// %2F and %2E are '/' and '.', as GitLab's check sees them.
std::string unescaped(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : std::tolower(static_cast<unsigned char>(c)) - 'a' + 10;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) != 0 &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2])) != 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool read_key_text(Reader& reader, const Key& key, Yaml yaml, std::string& out) {
  if (!read(reader, key, yaml, out)) {
    return false;
  }
  const std::string plain = unescaped(out);
  if (plain.find('/') != std::string::npos) {
    return reader.wrong(key, yaml, "cannot contain the \"/\" character", "a branch without one is $CI_COMMIT_REF_SLUG");
  }
  return (plain != "." && plain != "..") || reader.wrong(key, yaml, R"(cannot be "." or "..")");
}

bool read_key_prefix(Reader& reader, const Key& key, Yaml yaml, CacheKey& out) {
  return read_key_text(reader, key, yaml, out.prefix);
}

template <auto Member>
bool read_key_files(Reader& reader, const Key& key, Yaml yaml, CacheKey& out) {
  std::vector<std::string> files;
  if (!read(reader, key, yaml, files)) {
    return false;
  }
  if (files.empty() || files.size() > most_key_files) {
    return reader.wrong(key, yaml, fmt::format("must be a list of 1 or {} files", most_key_files));
  }
  for (std::string& file : files) {
    file.erase(0, file.find_first_not_of('/'));
  }
  out.*Member = std::move(files);
  return true;
}

std::string key_files_shape() {
  return list_shape(R"({"type":"string"})", fmt::format(R"(,"minItems":1,"maxItems":{})", most_key_files));
}

constexpr Field<CacheKey> key_fields[] = {
    {"files", read_key_files<&CacheKey::files>, Shape{key_files_shape}},
    {"files_commits", read_key_files<&CacheKey::files_commits>, Shape{key_files_shape}},
    {"prefix", read_key_prefix, shape_for<std::string>},
};

bool read_key(Reader& reader, const Key& key, Yaml yaml, Cache& out) {
  if (yaml.is_string()) {
    return read_key_text(reader, key, yaml, out.key.text);
  }
  CacheKey made;
  if (!reader.fields(key, yaml, key_fields, made, "a string or a mapping")) {
    return false;
  }
  const bool files = static_cast<bool>(yaml.find("files"));
  const bool commits = static_cast<bool>(yaml.find("files_commits"));
  if (files == commits) {
    return reader.wrong(key, yaml,
                        files ? "cannot have both `files` and `files_commits`" : "needs `files` or `files_commits`",
                        "for example `key: { files: [package-lock.json] }`");
  }
  out.key = std::move(made);
  return true;
}

bool read_policy(Reader& reader, const Key& key, Yaml yaml, Cache& out) {
  static constexpr std::string_view words[] = {"pull-push", "pull", "push"};
  if (!read(reader, key, yaml, out.policy)) {
    return false;
  }
  if (out.policy.starts_with('$') || std::ranges::find(words, out.policy) != std::end(words)) {
    return true;
  }
  return reader.wrong(key, yaml, fmt::format("must be pull-push, pull, push or a variable, not \"{}\"", out.policy),
                      did_you_mean(reader.findings().suggest(out.policy, {std::begin(words), std::end(words)})));
}

bool read_cache_when(Reader& reader, const Key& key, Yaml yaml, Cache& out) {
  return reader.word(key, yaml, when_words, out.when);
}

bool read_fallback_keys(Reader& reader, const Key& key, Yaml yaml, Cache& out) {
  if (!read(reader, key, yaml, out.fallback_keys)) {
    return false;
  }
  return out.fallback_keys.size() <= most_fallback_keys ||
         reader.wrong(key, yaml, fmt::format("can be at most {}", most_fallback_keys));
}

constexpr Shape key_shape{[] { return any_shape_of({R"({"type":"string"})", mapping_shape(key_fields)}); }};
constexpr Shape fallback_shape{
    [] { return list_shape(R"({"type":"string"})", fmt::format(R"(,"maxItems":{})", most_fallback_keys)); }};
constexpr Shape policy_shape{[] {
  return any_shape_of({enumeration_shape({"pull-push", "pull", "push"}), R"({"type":"string","pattern":"^\\$"})"});
}};

constexpr Field<Cache> cache_fields[] = {
    {"key", read_key, key_shape},
    {"paths", member<&Cache::paths>},
    {"untracked", member<&Cache::untracked>},
    {"unprotect", member<&Cache::unprotect>},
    {"when", read_cache_when, words<when_words>},
    {"policy", read_policy, policy_shape},
    {"fallback_keys", read_fallback_keys, fallback_shape},
};

bool read_one(Reader& reader, const Key& key, Yaml yaml, Cache& out) {
  out.mark = yaml.mark();
  return reader.fields(key, yaml, cache_fields, out, "a mapping or a list of mappings");
}

}  // namespace

std::string shape_of(const std::vector<Cache>*) {
  return any_shape_of({mapping_shape(cache_fields),
                       list_shape(mapping_shape(cache_fields), fmt::format(R"(,"maxItems":{})", most_caches))});
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<Cache>& out) {
  std::vector<Cache> caches;
  bool good = true;
  if (!yaml.is_sequence()) {
    good = read_one(reader, key, yaml, caches.emplace_back());
  } else if (yaml.size() > most_caches) {
    good = reader.wrong(key, yaml, fmt::format("can be at most {} caches", most_caches));
  }
  for (std::size_t i = 0; good && yaml.is_sequence() && i < yaml.size(); ++i) {
    good = read_one(reader, key, yaml.item(i), caches.emplace_back()) && good;
  }
  if (good) {
    out = std::move(caches);
  }
  return good;
}

}  // namespace pipelines
