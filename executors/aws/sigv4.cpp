#include "executors/aws/sigv4.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <stdexcept>

namespace executors::aws {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

std::string hex(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    fmt::format_to(std::back_inserter(text), "{:02x}", static_cast<unsigned char>(byte));
  }
  return text;
}

std::string hmac(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // OpenSSL reads bytes as unsigned char.
  const auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, message.size(), digest.data(), &size) ==
      nullptr) {
    throw std::runtime_error("OpenSSL has no HMAC-SHA256");
  }
  return {digest.begin(), digest.begin() + size};
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return result;
}

// Spaces at the ends go, those within become one.
std::string folded(std::string_view value) {
  std::string result;
  for (const char c : value) {
    if (c != ' ' && c != '\t') {
      result += c;
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

struct UrlParts {
  std::string host;  // with its port, where that is not the scheme's own
  std::string path;  // "/" at least
  std::string query;
};

UrlParts parts_of(const std::string& url) {
  const std::size_t scheme_end = url.find("://");
  if (scheme_end == std::string::npos) throw std::invalid_argument("no absolute address: " + url);
  const std::string_view scheme(url.data(), scheme_end);
  const std::size_t host_begin = scheme_end + 3;
  const std::size_t path_begin = std::min(url.find_first_of("/?", host_begin), url.size());
  UrlParts parts;
  parts.host = url.substr(host_begin, path_begin - host_begin);
  const std::string_view own_port = scheme == "https" ? ":443" : ":80";
  if (parts.host.ends_with(own_port)) parts.host.resize(parts.host.size() - own_port.size());
  const std::size_t query_begin = std::min(url.find('?', path_begin), url.size());
  parts.path = url.substr(path_begin, query_begin - path_begin);
  if (parts.path.empty()) parts.path = "/";
  if (query_begin < url.size()) parts.query = url.substr(query_begin + 1);
  return parts;
}

// RFC 3986, section 5.2.4, and empty segments fold.
std::string normalised(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
    begin = end + 1;
  }
  std::string result = "/";
  for (std::size_t i = 0; i < kept.size(); ++i) {
    result += kept[i];
    if (i + 1 < kept.size() || path.ends_with('/')) result += '/';
  }
  return result;
}

std::string canonical_path(const std::string& path, const std::string& service) {
  return service == "s3" ? path : percent_encoded(normalised(path), /*slashes=*/true);
}

// Sorted by name, then by value, both as they are encoded.
std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (std::size_t begin = 0; begin < query.size();) {
    const std::size_t end = std::min(query.find('&', begin), query.size());
    const std::string_view pair = query.substr(begin, end - begin);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (!pair.empty()) pairs.emplace_back(pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size())));
    begin = end + 1;
  }
  std::ranges::sort(pairs);
  std::string result;
  for (const auto& [name, value] : pairs) result += fmt::format("{}{}={}", result.empty() ? "" : "&", name, value);
  return result;
}

std::string date_time(std::chrono::sys_seconds time) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string credential_scope(const Scope& scope) {
  return fmt::format("{}/{}/{}/aws4_request", date_time(scope.time).substr(0, 8), scope.region, scope.service);
}

std::string signature_of(const AccessKey& key, const Scope& scope, const std::string& string_to_sign) {
  std::string derived = "AWS4" + key.secret;
  for (const std::string& part :
       {date_time(scope.time).substr(0, 8), scope.region, scope.service, std::string("aws4_request")}) {
    derived = hmac(derived, part);
  }
  return hex(hmac(derived, string_to_sign));
}

std::string string_to_sign(const Scope& scope, const std::string& canonical_request) {
  return fmt::format("{}\n{}\n{}\n{}", algorithm, date_time(scope.time), credential_scope(scope),
                     sha256_hex(canonical_request));
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL has no SHA-256");
  }
  return hex(std::string(digest.begin(), digest.begin() + size));
}

std::string percent_encoded(std::string_view text, bool slashes) {
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~' || (slashes && c == '/');
    if (plain) {
      result += c;
    } else {
      fmt::format_to(std::back_inserter(result), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

Signature sign(const AccessKey& key, const Scope& scope, const Unsigned& request) {
  const UrlParts url = parts_of(request.url);
  Signature result;
  result.headers.emplace_back("X-Amz-Date", date_time(scope.time));
  if (!key.session_token.empty()) result.headers.emplace_back("X-Amz-Security-Token", key.session_token);
  if (scope.service == "s3") result.headers.emplace_back("X-Amz-Content-SHA256", request.payload_sha256);

  std::map<std::string, std::string> signed_headers{{"host", url.host}};
  for (const Headers* headers : {&request.headers, &std::as_const(result.headers)}) {
    for (const auto& [name, value] : *headers) signed_headers[lower(name)] = folded(value);
  }
  std::string lines;
  std::string names;
  for (const auto& [name, value] : signed_headers) {
    lines += fmt::format("{}:{}\n", name, value);
    names += (names.empty() ? "" : ";") + name;
  }
  result.canonical_request =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, canonical_path(url.path, scope.service),
                  canonical_query(url.query), lines, names, request.payload_sha256);
  result.string_to_sign = string_to_sign(scope, result.canonical_request);
  result.headers.emplace_back(
      "Authorization", fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", algorithm, key.id,
                                   credential_scope(scope), names, signature_of(key, scope, result.string_to_sign)));
  return result;
}

std::string presign(const AccessKey& key, const Scope& scope, const std::string& method, const std::string& url,
                    std::chrono::seconds validity) {
  const UrlParts parts = parts_of(url);
  std::string query = fmt::format(
      "X-Amz-Algorithm={}&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders=host", algorithm,
      percent_encoded(fmt::format("{}/{}", key.id, credential_scope(scope))), date_time(scope.time), validity.count());
  if (!key.session_token.empty()) query += "&X-Amz-Security-Token=" + percent_encoded(key.session_token);
  if (!parts.query.empty()) query = parts.query + "&" + query;
  const std::string payload = scope.service == "s3" ? std::string(unsigned_payload) : sha256_hex("");
  const std::string canonical =
      fmt::format("{}\n{}\n{}\nhost:{}\n\nhost\n{}", method, canonical_path(parts.path, scope.service),
                  canonical_query(query), parts.host, payload);
  return fmt::format("{}?{}&X-Amz-Signature={}", url.substr(0, std::min(url.find('?'), url.size())), query,
                     signature_of(key, scope, string_to_sign(scope, canonical)));
}

}  // namespace executors::aws
