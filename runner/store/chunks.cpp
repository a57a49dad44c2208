#include "runner/store/chunks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <system_error>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

namespace {

// Up to here a piece lives in its row: SQLite reads and writes small things faster than files.
constexpr std::size_t inline_limit = 32 * 1024;

[[noreturn]] void raise(const char* what, const std::filesystem::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw StoreError(full ? StoreFault::full : StoreFault::other,
                   fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(error)),
                   full ? "free some space on that disk, for example with `runner gc`" : "");
}

std::string random_name() {
  thread_local std::random_device source;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", source(), source(), source(), source());
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(file, bytes.data(), bytes.size());
    if (wrote < 0) {
      if (errno == EINTR) {
        continue;
      }
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

void put_number(std::string& out, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) {
    out += static_cast<char>(0x80 | (number & 0x7f));
  }
  out += static_cast<char>(number);
}

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if ((byte & 0x80U) == 0) {
        break;
      }
    }
    return value;
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) {
      throw StoreError(StoreFault::corrupt, "an artifact's list of files is damaged");
    }
    const std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }
  std::string_view text() { return take(number()); }
  bool done() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

}  // namespace

Digest sha256(std::string_view bytes) {
  Digest digest{};
  // Fetched once: EVP_sha256() looks its implementation up at every use, which costs more than hashing a small file.
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                                     &EVP_MD_CTX_free);
  unsigned length = 0;
  if (EVP_DigestInit_ex2(context.get(), algorithm, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), &length) != 1) {
    throw StoreError(StoreFault::other, "SHA-256 is not available in this OpenSSL");
  }
  return digest;
}

WrittenChunk ChunkFiles::write(std::string_view bytes, std::string& room) const {
  const Packed packed = pack(bytes, room);
  WrittenChunk chunk;
  chunk.codec = packed.codec;
  chunk.stored = packed.bytes.size();
  if (packed.bytes.size() <= inline_limit) {
    chunk.inline_data = packed.bytes;
    return chunk;
  }
  chunk.name = random_name();
  const std::filesystem::path file = path(chunk.name);
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  int descriptor = ::open(file.c_str(), flags, 0600);
  if (descriptor < 0 && errno == ENOENT) {
    ::mkdir(directory_.c_str(), 0700);
    ::mkdir(file.parent_path().c_str(), 0700);
    descriptor = ::open(file.c_str(), flags, 0600);
  }
  if (descriptor < 0) {
    raise("make", file, errno);
  }
  const bool wrote = write_all(descriptor, packed.bytes);
  int error = errno;
  if (::close(descriptor) != 0 && wrote) {
    error = errno;
    ::unlink(file.c_str());
    raise("write", file, error);
  }
  if (!wrote) {
    ::unlink(file.c_str());
    raise("write", file, error);
  }
  return chunk;
}

std::string ChunkFiles::read(const std::string& name, std::size_t size) const {
  const std::filesystem::path file = path(name);
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) {
    throw StoreError(StoreFault::corrupt,
                     fmt::format("cannot read {}: {}", file.string(), std::generic_category().message(errno)),
                     "a part of this artifact is gone: run its job again");
  }
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(descriptor, bytes.data() + have, size - have);
    if (got <= 0) {
      break;
    }
    have += static_cast<std::size_t>(got);
  }
  ::close(descriptor);
  bytes.resize(have);
  return bytes;
}

void ChunkFiles::remove(const std::string& name) const noexcept {
  if (!name.empty()) {
    ::unlink(path(name).c_str());
  }
}

std::size_t ChunkFiles::remove_strays(db::Database& database, std::int64_t seconds) const {
  std::size_t removed = 0;
  const std::time_t before = std::time(nullptr) - seconds;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator each(directory_, error), end; !error && each != end;
       each.increment(error)) {
    struct stat status {};
    if (::lstat(each->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_mtime > before) {
      continue;
    }
    const std::string name = each->path().filename().string();
    const bool known = database.read("look for stray pieces", [&](Connection& c) {
      return Query(c, "SELECT 1 FROM chunks WHERE name = ?", name).step();
    });
    if (!known && ::unlink(each->path().c_str()) == 0) {
      ++removed;
    }
  }
  return removed;
}

void ChunkFiles::sync() const noexcept {
  const int directory = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::syncfs(directory);
    ::close(directory);
  }
}

std::string load_chunk(Connection& c, const ChunkFiles& files, std::int64_t id) {
  Query query(c, "SELECT digest, size, stored, codec, data, name FROM chunks WHERE id = ?", id);
  const auto damaged = [] {
    return StoreError(StoreFault::corrupt, "a part of this artifact is damaged or gone",
                      "run the job that made it again");
  };
  if (!query.step()) {
    throw damaged();
  }
  const std::string stored = query.null(5) ? query.text(4) : files.read(query.text(5), query.count(2));
  std::string bytes;
  try {
    bytes = unpack(query.integer(3), stored, query.count(1));
  } catch (const StoreError&) {
    throw damaged();
  }
  if (bytes_of(sha256(bytes)) != query.bytes(0)) {
    throw damaged();
  }
  return bytes;
}

std::optional<KnownChunk> lookup_chunk(Connection& c, const Digest& digest) {
  Query query(c, "SELECT id, name IS NULL OR synced OR boot = ? FROM chunks WHERE digest = ?", Processes::boot(),
              db::Blob(bytes_of(digest)));
  if (!query.step()) {
    return std::nullopt;
  }
  return KnownChunk{query.integer(0), query.integer(1) != 0};
}

std::string encode_manifest(const std::vector<TreeEntry>& entries) {
  std::string bytes;
  put_number(bytes, 3);  // the format's version
  for (const TreeEntry& entry : entries) {
    put_number(bytes, static_cast<std::uint64_t>(entry.type));
    put_text(bytes, entry.path);
    if (entry.type == TreeEntry::Type::symlink) {
      put_text(bytes, entry.target);
    } else if (entry.is_file()) {
      put_number(bytes, entry.size);
      put_number(bytes, static_cast<std::uint64_t>(std::max<std::int64_t>(0, entry.mtime)));
      put_number(bytes, entry.mode);
      put_number(bytes, entry.owner);
      put_number(bytes, entry.chunks.size());
      for (const std::int64_t id : entry.chunks) {
        put_number(bytes, static_cast<std::uint64_t>(id));
      }
    }
  }
  std::string room;
  const Packed packed = pack(bytes, room);
  std::string manifest;
  put_number(manifest, static_cast<std::uint64_t>(packed.codec));
  put_number(manifest, bytes.size());
  manifest += packed.bytes;
  return manifest;
}

std::vector<TreeEntry> decode_manifest(std::string_view manifest) {
  Reader head(manifest);
  const std::uint64_t codec = head.number();
  const std::uint64_t size = head.number();
  std::size_t at = 1;
  for (std::uint64_t rest = size; rest >= 0x80; rest >>= 7) {
    ++at;
  }
  const std::string bytes = unpack(static_cast<std::int64_t>(codec), manifest.substr(1 + at), size);
  Reader reader(bytes);
  const std::uint64_t version = reader.number();  // 1 knew no times, 2 no modes
  if (version < 1 || version > 3) {
    throw StoreError(StoreFault::newer, "an artifact's list of files was written by a newer version of runner");
  }
  std::vector<TreeEntry> entries;
  while (!reader.done()) {
    TreeEntry entry;
    entry.type = static_cast<TreeEntry::Type>(reader.number());
    entry.path = reader.text();
    if (entry.type == TreeEntry::Type::symlink) {
      entry.target = reader.text();
    } else if (entry.is_file()) {
      entry.size = reader.number();
      entry.mtime = version < 2 ? 0 : static_cast<std::int64_t>(reader.number());
      entry.mode = entry.type == TreeEntry::Type::executable ? 0777 : 0666;
      if (version >= 3) {
        entry.mode = static_cast<std::uint16_t>(reader.number());
        entry.owner = static_cast<std::uint32_t>(reader.number());
      }
      entry.chunks.resize(reader.number());
      for (std::int64_t& id : entry.chunks) {
        id = static_cast<std::int64_t>(reader.number());
      }
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace runner
