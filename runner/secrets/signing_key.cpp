#include "runner/secrets/signing_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "executors/unique_fd.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using executors::UniqueFd;

constexpr unsigned bits = 2048;  // what GitLab's own key has
constexpr std::size_t largest_file = 1 << 20;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Bio = std::unique_ptr<BIO, Free>;

[[noreturn]] void fail(const std::string& what, const fs::path& file) {
  throw KeyError(fmt::format("cannot {} the key of ID tokens, {}: {}", what, file.string(), std::strerror(errno)));
}

[[noreturn]] void unusable(const fs::path& file, const std::string& why) {
  ERR_clear_error();
  throw KeyError(fmt::format("{} cannot sign ID tokens: {}", file.string(), why),
                 "move it away to have a new one made, or name another in [id_tokens] key");
}

// The text of a file; absent: there is none.
std::optional<std::string> read_file(const fs::path& file, struct stat& info) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd || ::fstat(fd.get(), &info) != 0) fail("read", file);
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t got = 0; (got = ::read(fd.get(), part.data(), part.size())) != 0;) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", file);
    text.append(part.data(), static_cast<std::size_t>(got));
    if (text.size() > largest_file) unusable(file, "it is no PEM file");
  }
  return text;
}

// A whole file under a name of its own in the same directory, on the disk before it gets its real name.
fs::path write_beside(const fs::path& file, const std::string& text) {
  std::error_code ignored;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), ignored);  // what fails is told below
  std::string name = file.string() + ".XXXXXX";
  const UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));  // 0600
  if (!fd) fail("write", file);
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t done = ::write(fd.get(), left.data(), left.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) break;
    left.remove_prefix(static_cast<std::size_t>(done));
  }
  if (!left.empty() || ::fsync(fd.get()) != 0) {
    const int error = errno;
    ::unlink(name.c_str());
    errno = error;
    fail("write", file);
  }
  return name;
}

void rename_over(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  const int error = errno;
  ::unlink(from.c_str());
  errno = error;
  fail("write", to);
}

std::string bytes_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

Bio reading(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

Key generate() {
  Key key(EVP_RSA_gen(bits));
  if (!key) throw KeyError("OpenSSL could not make a key for ID tokens");
  return key;
}

std::string private_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    throw KeyError("OpenSSL could not write a key for ID tokens");
  }
  return bytes_of(bio.get());
}

std::string public_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PUBKEY(bio.get(), key) != 1) throw KeyError("OpenSSL could not write a public key");
  return bytes_of(bio.get());
}

// Nobody is asked for a password.
int no_password(char*, int, int, void*) { return -1; }

Key read_key(const fs::path& file, const std::string& text, const struct stat& info) {
  if ((info.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    throw KeyError(
        fmt::format("{}: others may read or change the key that ID tokens are signed with", file.string()),
        fmt::format("chmod 600 {}; if somebody may have had it: runner issuer rotate --revoke", file.string()));
  }
  const Bio bio = reading(text);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) unusable(file, "it is no private key in PEM form, or has a password");
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) unusable(file, "it is no RSA key");
  if (EVP_PKEY_get_bits(key.get()) < static_cast<int>(bits)) {
    unusable(file, fmt::format("it has {} bits; RS256 wants {} or more", EVP_PKEY_get_bits(key.get()), bits));
  }
  return key;
}

std::optional<Key> load(const fs::path& file) {
  struct stat info = {};
  const std::optional<std::string> text = read_file(file, info);
  if (!text) return std::nullopt;
  return read_key(file, *text, info);
}

std::string number(const EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) throw KeyError("OpenSSL does not tell a key's numbers");
  const std::unique_ptr<BIGNUM, Free> number(raw);
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number.get())), '\0');
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  return base64url(bytes);
}

// RFC 7638: the members that make the key, in the order of the alphabet, without space.
PublicKey public_of(const EVP_PKEY* key) {
  PublicKey result;
  result.modulus = number(key, OSSL_PKEY_PARAM_RSA_N);
  result.exponent = number(key, OSSL_PKEY_PARAM_RSA_E);
  const std::string text = fmt::format(R"({{"e":"{}","kty":"RSA","n":"{}"}})", result.exponent, result.modulus);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  result.id = base64url({reinterpret_cast<const char*>(digest.data()), size});
  return result;
}

fs::path former_file(const fs::path& file) { return file.string() + ".former"; }

std::string former_text(const fs::path& file) {
  struct stat info = {};
  return read_file(former_file(file), info).value_or("");
}

std::vector<PublicKey> read_former(const fs::path& file) {
  const std::string text = former_text(file);
  const Bio bio = reading(text);
  std::vector<PublicKey> keys;
  for (;;) {
    const Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr));
    if (!key) break;
    if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA) keys.push_back(public_of(key.get()));
  }
  ERR_clear_error();  // that nothing more is there is one
  std::ranges::reverse(keys);
  return keys;
}

// One rotation at a time.
UniqueFd lock(const fs::path& file) {
  const fs::path beside = file.string() + ".lock";
  UniqueFd fd(::open(beside.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd || ::flock(fd.get(), LOCK_EX) != 0) fail("lock", beside);
  return fd;
}

}  // namespace

std::string base64url(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

struct SigningKey::Pair {
  Key key;
};

SigningKey::SigningKey(std::shared_ptr<const Pair> pair)
    : pair_(std::move(pair)), public_(public_of(pair_->key.get())) {}

SigningKey SigningKey::open(const fs::path& file) {
  std::optional<Key> key = load(file);
  if (!key) {
    const fs::path made = write_beside(file, private_pem(generate().get()));
    // Not a rename: of two that are here at once, the first wins.
    const bool linked = ::link(made.c_str(), file.c_str()) == 0;
    const int error = errno;
    ::unlink(made.c_str());
    errno = error;
    if (!linked && errno != EEXIST) fail("write", file);
    key = load(file);
    if (!key) fail("read", file);
  }
  return SigningKey(std::make_shared<const Pair>(Pair{std::move(*key)}));
}

std::string SigningKey::sign(std::string_view payload) const {
  const nlohmann::ordered_json header{{"kid", public_.id}, {"typ", "JWT"}, {"alg", "RS256"}};
  std::string text = base64url(header.dump()) + '.' + base64url(payload);
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  std::size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, pair_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size()) != 1) {
    throw KeyError("OpenSSL could not sign an ID token");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes, text.size()) !=
      1) {
    throw KeyError("OpenSSL could not sign an ID token");
  }
  signature.resize(size);
  return text + '.' + base64url(signature);
}

SigningKey rotate_key(const fs::path& file, bool revoke) {
  std::error_code ignored;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), ignored);
  const UniqueFd held = lock(file);
  // The former keys first: what is interrupted here has published too many, never too few.
  if (revoke) {
    if (::unlink(former_file(file).c_str()) != 0 && errno != ENOENT) fail("remove", former_file(file));
  } else if (const std::optional<Key> old = load(file)) {
    rename_over(write_beside(former_file(file), former_text(file) + public_pem(old->get())), former_file(file));
  }
  Key key = generate();
  rename_over(write_beside(file, private_pem(key.get())), file);
  return SigningKey(std::make_shared<const SigningKey::Pair>(SigningKey::Pair{std::move(key)}));
}

std::vector<PublicKey> published_keys(const fs::path& file) {
  std::vector<PublicKey> keys{SigningKey::open(file).public_key()};
  for (PublicKey& key : read_former(file)) {
    if (std::ranges::find(keys, key.id, &PublicKey::id) == keys.end()) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace runner
