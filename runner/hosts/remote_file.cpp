#include "runner/hosts/remote_file.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <httplib.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <system_error>

namespace runner {
namespace {

namespace fs = std::filesystem;
using pipelines::IncludeFault;
using std::chrono::steady_clock;

// A little more than the parser takes, so that it is the parser that says so.
constexpr std::size_t most_bytes = 11'000'000;
constexpr int most_redirects = 5;

struct Address {
  bool tls = true;
  std::string host;
  int port = 443;
  std::string path = "/";
  std::string origin() const { return fmt::format("{}:{}", host, port); }
};

std::optional<Address> read_address(std::string_view url) {
  Address address;
  if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
    address.tls = false;
    address.port = 80;
  } else {
    return std::nullopt;
  }
  if (std::any_of(url.begin(), url.end(), [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; })) {
    return std::nullopt;
  }
  url = url.substr(0, url.find('#'));
  const std::size_t end = std::min(url.find_first_of("/?"), url.size());
  std::string_view authority = url.substr(0, end);
  if (end < url.size()) address.path = (url[end] == '?' ? "/" : "") + std::string(url.substr(end));
  if (authority.find('@') != std::string_view::npos) return std::nullopt;  // user and password
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    address.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
  } else {
    address.host = authority.substr(0, authority.find(':'));
    authority.remove_prefix(address.host.size());
  }
  if (authority.starts_with(':')) {
    const std::string digits(authority.substr(1));
    if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) {
      return std::nullopt;
    }
    address.port = std::stoi(digits);
  } else if (!authority.empty()) {
    return std::nullopt;
  }
  return address.host.empty() || address.port < 1 || address.port > 65535 ? std::nullopt : std::optional(address);
}

bool is_public(std::uint32_t ip) {  // host order
  const auto in = [ip](std::uint32_t network, unsigned bits) { return (ip ^ network) >> (32U - bits) == 0; };
  return !in(0x00000000, 8) &&   // this host
         !in(0x7F000000, 8) &&   // loopback
         !in(0xA9FE0000, 16) &&  // link-local, and most clouds' metadata
         !in(0x64646400, 24) &&  // 100.100.100.200, Alibaba's metadata
         !in(0xA83F8110, 32) &&  // 168.63.129.16, Azure's
         !in(0xC00000C0, 32) &&  // 192.0.0.192, Oracle's
         !in(0xE0000000, 3);     // multicast, reserved, broadcast
}

std::uint32_t big_endian(const unsigned char* bytes) {
  return (static_cast<std::uint32_t>(bytes[0]) << 24U) | (static_cast<std::uint32_t>(bytes[1]) << 16U) |
         (static_cast<std::uint32_t>(bytes[2]) << 8U) | bytes[3];
}

bool is_public(const std::array<unsigned char, 16>& ip) {
  static constexpr std::array<unsigned char, 16> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  static constexpr std::array<unsigned char, 16> translated = {0x00, 0x64, 0xFF, 0x9B};
  static constexpr std::array<unsigned char, 16> metadata = {0xFD, 0x00, 0x0E, 0xC2, 0, 0, 0,    0,
                                                             0,    0,    0,    0,    0, 0, 0x02, 0x54};
  const auto same = [&](const auto& other, std::size_t bytes) {
    return std::equal(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(bytes), other.begin());
  };
  if (same(mapped, 12) || same(translated, 12)) return is_public(big_endian(ip.data() + 12));
  if (ip[0] == 0x20 && ip[1] == 0x02) return is_public(big_endian(ip.data() + 2));  // 6to4
  if (same(std::array<unsigned char, 16>{}, 12)) return false;                      // ::, ::1 and old IPv4 forms
  return !(ip[0] == 0xFE && (ip[1] & 0xC0U) == 0x80) && ip[0] != 0xFF && ip != metadata;
}

// The first of the host's addresses in numbers, when all of them may be asked; else why not.
std::variant<std::string, IncludeFault> resolve(const Address& address, const RemoteSettings& settings) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(address.host.c_str(), nullptr, &hints, &found); code != 0) {
    return IncludeFault{fmt::format("the host {} cannot be found: {}", address.host, gai_strerror(code)), ""};
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  const auto allowed = [&](const std::string& name) {
    return std::find(settings.allowed_hosts.begin(), settings.allowed_hosts.end(), name) !=
           settings.allowed_hosts.end();
  };
  const bool exempt = allowed(address.host) || allowed(address.origin());
  std::string first;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) continue;
    const std::string ip = text.data();
    if (!exempt && !is_public_address(ip)) {
      return IncludeFault{
          fmt::format("{} is refused: {} is an address of this machine, its link or its cloud", address.host, ip),
          fmt::format("`allowed_hosts = [\"{}\"]` below [include] in the configuration allows it", address.host)};
    }
    if (first.empty()) first = ip;
  }
  if (first.empty()) return IncludeFault{fmt::format("the host {} has no address", address.host), ""};
  return first;
}

struct Answer {
  int status = 0;
  std::string location, body;
};

std::variant<Answer, IncludeFault> ask(const Address& address, const std::string& ip,
                                       steady_clock::time_point deadline) {
  const bool bare6 = address.host.find(':') != std::string::npos;
  const std::string host = bare6 ? '[' + address.host + ']' : address.host;
  httplib::Client client(fmt::format("{}://{}:{}", address.tls ? "https" : "http", host, address.port));
  if (!bare6) client.set_hostname_addr_map({{address.host, ip}});
  client.set_follow_location(false);
  client.set_connection_timeout(std::chrono::seconds(10));
  client.set_read_timeout(std::chrono::seconds(10));
  Answer answer;
  bool too_late = false, too_large = false;
  const auto result =
      client.Get(address.path, httplib::Headers{{"User-Agent", "runner"}}, [&](const char* bytes, std::size_t size) {
        too_late = steady_clock::now() > deadline;
        too_large = answer.body.size() + size > most_bytes;
        if (too_late || too_large) return false;
        answer.body.append(bytes, size);
        return true;
      });
  if (too_large) return IncludeFault{fmt::format("{} sends more than 10 MB", address.host), ""};
  if (!result) {
    return IncludeFault{fmt::format("{} does not answer: {}", address.origin(),
                                    too_late ? "it takes too long" : httplib::to_string(result.error())),
                        ""};
  }
  answer.status = result->status;
  answer.location = result->get_header_value("Location");
  return answer;
}

// Where a redirect leads; relative ones too.
std::string next_address(const Address& from, const std::string& location) {
  if (location.find("://") != std::string::npos) return location;
  if (location.starts_with("//")) return (from.tls ? "https:" : "http:") + location;
  const std::string origin = fmt::format("{}://{}", from.tls ? "https" : "http", from.origin());
  if (location.starts_with('/')) return origin + location;
  return origin + from.path.substr(0, from.path.rfind('/') + 1) + location;
}

std::variant<std::string, IncludeFault> download(const std::string& url, const RemoteSettings& settings) {
  const auto deadline = steady_clock::now() + settings.patience;
  std::string at = url;
  std::string chain = url;
  const auto say = [&](IncludeFault fault) {
    if (at != url) fault.message += fmt::format(" ({})", chain);
    return fault;
  };
  for (int hop = 0; hop <= most_redirects; ++hop) {
    const std::optional<Address> address = read_address(at);
    if (!address) {
      return say({fmt::format("{} is no address that can be included", at),
                  "only https:// and http://, without user and password"});
    }
    const auto ip = resolve(*address, settings);
    if (const auto* fault = std::get_if<IncludeFault>(&ip)) return say(*fault);
    auto answer = ask(*address, std::get<std::string>(ip), deadline);
    if (const auto* fault = std::get_if<IncludeFault>(&answer)) return say(*fault);
    auto& got = std::get<Answer>(answer);
    if (got.status == 200) return std::move(got.body);
    const bool redirect = got.status >= 301 && got.status <= 308 && got.status != 304 && !got.location.empty();
    if (!redirect) return say({fmt::format("{} answers {}", at, got.status), ""});
    at = next_address(*address, got.location);
    chain += " -> " + at;
  }
  return say({fmt::format("{} redirects too often", url), ""});
}

std::string sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

bool fits(std::string_view text, const std::string& integrity) {
  return integrity.empty() || integrity == "sha256-" + base64(sha256(text));
}

fs::path copy_of(const std::string& address, const RemoteSettings& settings) {
  std::string name;
  for (const char c : sha256(address)) name += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return settings.cache / name;
}

std::optional<std::string> read_copy(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

// A copy is a comfort: where it cannot be kept, nothing is said.
void keep_copy(const fs::path& path, const std::string& text) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  const fs::path fresh = path.string() + fmt::format(".{}", getpid());
  std::ofstream out(fresh, std::ios::binary);
  out << text;
  out.close();
  if (out) {
    fs::rename(fresh, path, ignored);
  } else {
    fs::remove(fresh, ignored);
  }
}

bool is_younger(const fs::path& path, std::chrono::seconds than) {
  std::error_code error;
  const auto written = fs::last_write_time(path, error);
  return !error && fs::file_time_type::clock::now() - written < than;
}

}  // namespace

bool is_public_address(std::string_view ip) {
  const std::string text(ip.substr(0, ip.find('%')));  // fe80::1%eth0
  in_addr four{};
  if (inet_pton(AF_INET, text.c_str(), &four) == 1) return is_public(ntohl(four.s_addr));
  std::array<unsigned char, 16> six{};
  return inet_pton(AF_INET6, text.c_str(), six.data()) == 1 && is_public(six);
}

std::variant<RemoteFile, IncludeFault> read_remote_file(const std::string& address, const std::string& integrity,
                                                        std::chrono::seconds cache_for,
                                                        const RemoteSettings& settings) {
  constexpr std::size_t digest_size = 7 + 44;  // "sha256-" and the base64 of 32 bytes
  if (!integrity.empty() && (!integrity.starts_with("sha256-") || integrity.size() != digest_size)) {
    return IncludeFault{fmt::format("`integrity` is no SHA-256 digest: {}", integrity),
                        "`openssl dgst -sha256 -binary FILE | openssl base64 -A` makes what follows `sha256-`"};
  }
  if (!read_address(address)) {
    return IncludeFault{fmt::format("{} is no address that can be included", address),
                        "only https:// and http://, without user and password"};
  }
  const fs::path copy = copy_of(address, settings);
  std::optional<std::string> kept = settings.cache.empty() ? std::nullopt : read_copy(copy);
  if (kept && !fits(*kept, integrity)) kept.reset();
  if (kept && (!integrity.empty() || is_younger(copy, cache_for))) return RemoteFile{std::move(*kept), {}};

  auto answer = download(address, settings);
  if (auto* fault = std::get_if<IncludeFault>(&answer)) {
    // Refused is refused; a host that is away need not stop anybody's work.
    const bool away = fault->message.find(" does not answer: ") != std::string::npos ||
                      fault->message.find(" cannot be found: ") != std::string::npos;
    if (!away || !kept) return std::move(*fault);
    return RemoteFile{std::move(*kept), fmt::format("{}; a copy from an earlier run is taken", fault->message)};
  }
  auto& text = std::get<std::string>(answer);
  if (!fits(text, integrity)) {
    return IncludeFault{fmt::format("{} is not what `integrity` says", address),
                        fmt::format("its digest is sha256-{}", base64(sha256(text)))};
  }
  if (!settings.cache.empty()) keep_copy(copy, text);
  return RemoteFile{std::move(text), {}};
}

}  // namespace runner
