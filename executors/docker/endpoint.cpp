// Endpoint: where the engine is, as the docker CLI would find it.
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include <fmt/core.h>

#include "executors/docker/engine.h"

namespace executors::docker {
namespace {

constexpr std::string_view default_host = "unix:///var/run/docker.sock";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

[[noreturn]] void refuse(const std::string& host, const std::string& why, const std::string& hint = {}) {
  throw EngineError(0, fmt::format("cannot use the Docker host '{}': {}", host, why),
                    hint.empty() ? "DOCKER_HOST looks like unix:///var/run/docker.sock or tcp://HOST:2376" : hint);
}

void parse_address(const std::string& host, std::string address, Endpoint& endpoint) {
  if (address.ends_with('/')) address.pop_back();
  if (address.find('/') != std::string::npos) refuse(host, "a path after the port is not supported");
  if (address.find('@') != std::string::npos) refuse("…", "a user name in it is not supported");
  std::string port;
  if (address.starts_with('[')) {
    const auto close = address.find(']');
    if (close == std::string::npos) refuse(host, "'[' without ']'");
    endpoint.host = address.substr(1, close - 1);
    port = address.substr(close + 1);
  } else {
    const auto colon = address.find(':');
    endpoint.host = address.substr(0, colon);
    if (colon != std::string::npos) port = address.substr(colon);
  }
  if (endpoint.host.empty()) endpoint.host = "localhost";
  if (port.empty()) return;
  const char* end = port.data() + port.size();
  const auto parsed = std::from_chars(port.data() + 1, end, endpoint.port);
  if (port.front() != ':' || parsed.ec != std::errc() || parsed.ptr != end || endpoint.port < 1 ||
      endpoint.port > 65535) {
    refuse(host, fmt::format("'{}' is no port", port.substr(1)));
  }
}

std::string file_in(const std::string& directory, const char* name) {
  std::string path = directory + '/' + name;
  if (::access(path.c_str(), R_OK) != 0) {
    throw EngineError(0, fmt::format("cannot use TLS for the Docker engine: {} is missing or not readable", path),
                      "set DOCKER_CERT_PATH to the directory of ca.pem, cert.pem and key.pem");
  }
  return path;
}

}  // namespace

std::string Endpoint::display() const {
  if (local()) return "unix://" + socket;
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("tcp://{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

Endpoint Endpoint::from_environment(const std::string& host, const std::string& cert_path, bool tls_verify) {
  std::string text = host.empty() ? environment("DOCKER_HOST") : host;
  if (text.empty()) text = default_host;
  Endpoint endpoint;
  const auto scheme_end = text.find("://");
  const std::string scheme = scheme_end == std::string::npos ? std::string() : text.substr(0, scheme_end);
  const std::string rest = scheme_end == std::string::npos ? std::string() : text.substr(scheme_end + 3);

  if (scheme == "unix") {
    endpoint.socket = rest.empty() ? std::string(default_host.substr(7)) : rest;
    if (!endpoint.socket.starts_with('/')) refuse(text, "the socket's path must be absolute");
    return endpoint;
  }
  if (scheme == "ssh") {
    refuse(text, "ssh:// is not supported",
           "forward the socket (ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST) and set "
           "DOCKER_HOST=unix:///tmp/docker.sock");
  }
  if (scheme != "tcp" && scheme != "http" && scheme != "https") {
    refuse(text, scheme.empty() ? "it has no scheme" : fmt::format("{}:// is not supported", scheme));
  }

  // Like the docker CLI: any value of these switches means yes, and a certificate directory alone means TLS without
  // checking the engine's certificate.
  std::string directory = cert_path.empty() ? environment("DOCKER_CERT_PATH") : cert_path;
  const bool verify = tls_verify || !environment("DOCKER_TLS_VERIFY").empty();
  endpoint.tls = scheme == "https" || verify || !directory.empty() || !environment("DOCKER_TLS").empty();
  endpoint.verify = verify || (scheme == "https" && directory.empty());
  endpoint.port = endpoint.tls ? 2376 : 2375;
  parse_address(text, rest, endpoint);
  if (!endpoint.tls) return endpoint;

  if (directory.empty() && verify) directory = environment("HOME") + "/.docker";
  if (!directory.empty()) {
    if (endpoint.verify) endpoint.ca = file_in(directory, "ca.pem");
    endpoint.cert = file_in(directory, "cert.pem");
    endpoint.key = file_in(directory, "key.pem");
  }
  return endpoint;
}

}  // namespace executors::docker
