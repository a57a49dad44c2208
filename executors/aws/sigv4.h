// Signature Version 4 (docs.aws.amazon.com, "AWS Signature Version 4 for API requests": "Create a signed AWS API
// request", "Authenticating Requests: Using Query Parameters"). Pure: no clock, no environment, no socket.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace executors::aws {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct AccessKey {
  std::string id, secret;
  std::string session_token;  // empty: a long-lived key
};

struct Scope {
  std::string service;  // the signing name: "ecs", "elasticloadbalancing", "s3"
  std::string region;
  std::chrono::sys_seconds time;
};

inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";

struct Unsigned {
  std::string method;
  std::string url;             // absolute, path and query percent-encoded, exactly as it will be sent
  Headers headers;             // all of them are signed; without Host, which is the URL's
  std::string payload_sha256;  // 64 lower-case hexadecimal digits, or unsigned_payload (S3 alone)
};

struct Signature {
  std::string canonical_request, string_to_sign;  // what a 403 is compared with
  Headers headers;                                // to be added: X-Amz-Date, Authorization and the like
};

Signature sign(const AccessKey&, const Scope&, const Unsigned&);

// The URL with its signature in the query; good for `validity`, at most seven days. Headers beside Host are not signed.
std::string presign(const AccessKey&, const Scope&, const std::string& method, const std::string& url,
                    std::chrono::seconds validity);

std::string sha256_hex(std::string_view bytes);
// RFC 3986, section 2.3: all but A-Z a-z 0-9 - . _ ~ is written as %XX. With `slashes`, '/' stays.
std::string percent_encoded(std::string_view text, bool slashes = false);

}  // namespace executors::aws
