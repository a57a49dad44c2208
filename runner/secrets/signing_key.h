// The key that ID tokens are signed with, and those that they can be checked by.
//
// One RSA key of 2048 bits in a PEM file (PKCS #8, mode 0600), made when it is first wanted. Beside it, at FILE.former,
// stand the public halves of those it replaced. JSON Web Signature: RFC 7515, the compact serialization of section 7.1
// and the base64url of appendix C; RS256: RFC 7518, section 3.3; keys as JSON: RFC 7517, sections 4 and 5, and RFC
// 7518, section 6.3.1; a key's id is its thumbprint, RFC 7638 (GitLab's too).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"

namespace runner {

class KeyError : public executors::WorldError {
 public:
  explicit KeyError(const std::string& message, std::string mend = {})
      : WorldError("runner_system_failure", message, std::move(mend)) {}
};

struct PublicKey {
  std::string id;                 // kid
  std::string modulus, exponent;  // base64url
};

class SigningKey {
 public:
  // Makes it where there is none; of two processes that do so at once, both get the same. Throws KeyError: no RSA key,
  // one that others may read or write, no permission, no room.
  static SigningKey open(const std::filesystem::path& file);

  const PublicKey& public_key() const { return public_; }
  // `payload` as it is: JWS compact serialization with {"kid", "typ": "JWT", "alg": "RS256"}.
  std::string sign(std::string_view payload) const;

 private:
  struct Pair;
  explicit SigningKey(std::shared_ptr<const Pair>);
  friend SigningKey rotate_key(const std::filesystem::path&, bool);

  std::shared_ptr<const Pair> pair_;
  PublicKey public_;
};

// A new key in the place of the old one, whose tokens stay good: it is still among published_keys. `revoke`: neither it
// nor any before it is.
SigningKey rotate_key(const std::filesystem::path& file, bool revoke);

// By which tokens can be checked: of the present key, then of the former ones, the newest first.
std::vector<PublicKey> published_keys(const std::filesystem::path& file);

std::string base64url(std::string_view bytes);  // without padding

}  // namespace runner
