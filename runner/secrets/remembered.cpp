#include "runner/secrets/remembered.h"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>

#include "pipelines/masked_values.h"

namespace runner {
namespace {

constexpr std::uint64_t cost = 4096, block_size = 8, lanes = 1;
constexpr std::uint64_t most_memory = 32 * 1024 * 1024;
constexpr std::size_t hash_bytes = 16;

// A mark is `begins SALT:HASH:NAME ends`. No YAML text has these characters but as escapes, which marks are written as.
constexpr char begins = '\x02', ends = '\x03';
constexpr std::string_view written_begin = "\\u0002";

std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

bool stands_in(const std::string& text, const NamedSecrets& secrets) {
  std::vector<std::string> values;
  for (const auto& [name, value] : secrets) values.push_back(value);
  const SecretSet set(values);
  return !set.empty() && redact(set, text) != text;
}

// Cuts around each mark; `put` says what stands in its place.
std::string replace_marks(std::string_view text, const std::function<std::string(std::string_view)>& put) {
  std::string out;
  for (std::size_t begin = 0; (begin = text.find(begins)) != std::string_view::npos;) {
    const std::size_t end = text.find(ends, begin);
    if (end == std::string_view::npos) break;
    out += text.substr(0, begin);
    out += put(text.substr(begin + 1, end - begin - 1));
    text.remove_prefix(end + 1);
  }
  return out += text;
}

}  // namespace

std::string random_salt() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) throw std::runtime_error("no random numbers");
  return hex(bytes.data(), bytes.size());
}

std::string slow_hash(std::string_view value, std::string_view salt) {
  std::array<unsigned char, hash_bytes> hash{};
  if (EVP_PBE_scrypt(value.data(), value.size(), reinterpret_cast<const unsigned char*>(salt.data()), salt.size(), cost,
                     block_size, lanes, most_memory, hash.data(), hash.size()) != 1) {
    throw std::runtime_error("cannot hash a secret");
  }
  return hex(hash.data(), hash.size());
}

std::string storable_name(const SecretSet& secrets, std::string_view name, std::string_view salt) {
  std::string shown = redact(secrets, name);
  return shown == name ? shown : fmt::format("{} #{}", shown, slow_hash(name, salt));
}

std::string without_secrets(const std::string& text, const NamedSecrets& secrets) {
  NamedSecrets all = pipelines::masked_values(text);
  if (all.empty() && !stands_in(text, secrets)) return text;
  all.insert(all.end(), secrets.begin(), secrets.end());
  std::erase_if(all, [](const auto& one) { return one.second.empty(); });
  // The longest first: one may be a part of another.
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  const std::string salt = random_salt();
  std::map<std::string, std::string> marks;
  for (const auto& [name, value] : all) {
    if (marks.contains(value)) continue;
    marks[value] = fmt::format("{}{}:{}:{}{}", begins, salt, slow_hash(value, salt), name, ends);
  }
  const auto cut = [&](std::string_view scalar) {
    std::string out(scalar);
    for (const auto& [name, value] : all) {
      if (too_short(value)) {
        if (out == value) return marks.at(value);
      } else {
        replace_all(out, value, marks.at(value));
      }
    }
    return out;
  };
  return pipelines::rewrite_scalars(text, cut).value_or("");
}

bool lacks_secrets(std::string_view text) { return text.find(written_begin) != std::string_view::npos; }

PutBack with_secrets(const std::string& text, const NamedSecrets& known) {
  PutBack result;
  std::map<std::string, std::string> values;  // by salt and hash
  std::vector<std::string> hashed;            // salts
  const auto put = [&](std::string_view mark) -> std::string {
    const std::size_t colon = mark.find(':');
    const std::size_t second = colon == std::string_view::npos ? colon : mark.find(':', colon + 1);
    if (second == std::string_view::npos) return std::string(mark);
    const std::string salt(mark.substr(0, colon));
    if (std::find(hashed.begin(), hashed.end(), salt) == hashed.end()) {
      hashed.push_back(salt);
      for (const auto& [name, value] : known) values[salt + ':' + slow_hash(value, salt)] = value;
    }
    const auto found = values.find(std::string(mark.substr(0, second)));
    if (found != values.end()) return found->second;
    const std::string name(mark.substr(second + 1));
    if (std::find(result.missing.begin(), result.missing.end(), name) == result.missing.end()) {
      result.missing.push_back(name);
    }
    return {};
  };
  result.text = pipelines::rewrite_scalars(text, [&](std::string_view scalar) {
                  return replace_marks(scalar, put);
                }).value_or("");
  return result;
}

}  // namespace runner
