// Pieces of artifacts by the SHA-256 of their bytes: small ones in the database, others each in a file of its own
// under FILE.chunks, which is as fast as the disk and keeps the one writer of the database free. What a file is called
// says nothing of its content and is never used again, so that one process may remove what another stores anew.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/store/database.h"

namespace runner {

// Large enough that a 200 MB file is 100 rows, small enough that two threads hold little.
inline constexpr std::size_t chunk_size = 2 * 1024 * 1024;

using Digest = std::array<char, 32>;
Digest sha256(std::string_view bytes);
inline std::string_view bytes_of(const Digest& digest) { return {digest.data(), digest.size()}; }

// A piece that is written but not known to the database yet.
struct WrittenChunk {
  int codec = 0;
  std::size_t stored = 0;
  std::string inline_data;  // when name is empty
  std::string name;
};

class ChunkFiles {
 public:
  explicit ChunkFiles(std::filesystem::path directory) : directory_(std::move(directory)) {}
  WrittenChunk write(std::string_view bytes, std::string& room) const;
  // The stored bytes; StoreError{corrupt} when the file is gone.
  std::string read(const std::string& name, std::size_t size) const;
  void remove(const std::string& name) const noexcept;
  // Files nobody knows and that are older than `seconds`: what a process that died left.
  std::size_t remove_strays(db::Database&, std::int64_t seconds) const;
  void sync() const noexcept;

 private:
  std::filesystem::path path(const std::string& name) const { return directory_ / name.substr(0, 2) / name; }
  std::filesystem::path directory_;
};

// The bytes of a chunk, verified against its digest.
std::string load_chunk(db::Connection&, const ChunkFiles&, std::int64_t id);

// What lookup_chunk knows of a digest.
struct KnownChunk {
  std::int64_t id = 0;
  bool trusted = true;  // false: written before the host was started anew, perhaps never on the disk: look at it first
};
std::optional<KnownChunk> lookup_chunk(db::Connection&, const Digest&);

// One thing of a tree. `chunks` are ids in the database.
struct TreeEntry {
  enum class Type : std::uint8_t { file = 0, executable = 1, symlink = 2, directory = 3 };
  Type type = Type::file;
  std::string path;
  std::uint64_t size = 0;
  std::uint16_t mode = 0666;  // of a file: kept_mode (executors/workspace/files.h), or wider
  std::uint32_t owner = 0;    // of a file: its user's number
  std::int64_t mtime = 0;     // nanoseconds since 1970; 0: not known. No part of what a tree is found again by
  std::string target;
  std::vector<std::int64_t> chunks;
  bool is_file() const { return type == Type::file || type == Type::executable; }
};

// Table trees, column manifest.
std::string encode_manifest(const std::vector<TreeEntry>&);
std::vector<TreeEntry> decode_manifest(std::string_view);

}  // namespace runner
