// One small file over HTTP, for `include:remote`.
//
// What a pipeline file may name is not what this machine may be made to ask: only http and https; never loopback,
// link-local and unspecified addresses, nor the addresses at which clouds answer with credentials, neither by number
// nor by name nor by redirect. Every name is resolved once, its addresses are checked, and the connection goes to the
// one that was checked.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipelines/includes.h"

namespace runner {

struct RemoteSettings {
  std::vector<std::string> allowed_hosts;  // HOST or HOST:PORT, exempt from the rule above
  std::filesystem::path cache;             // copies, by the address's hash
  std::chrono::seconds patience{30};       // for all of it
};

struct RemoteFile {
  std::string text;
  std::string warning;  // a copy was taken, because the host did not answer
};

// `integrity`: "sha256-" and the base64 of the content's digest, or empty; a copy that fits is taken without asking.
// `cache_for`: a copy that is younger is taken as well.
std::variant<RemoteFile, pipelines::IncludeFault> read_remote_file(const std::string& address,
                                                                   const std::string& integrity,
                                                                   std::chrono::seconds cache_for,
                                                                   const RemoteSettings&);

// Whether an IP address in numbers may be asked. Exposed for its test.
bool is_public_address(std::string_view ip);

}  // namespace runner
