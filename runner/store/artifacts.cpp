// Artifacts in: walk the tree, hash on two threads, store what is new, write down the tree.
//
// A tree row is made first, without a digest, and every piece is tied to it in the transaction that finds or adds the
// piece: gc never sees a piece without a user. When the tree is complete it gets the digest of its list; one that is
// there already is used in its place.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>
#include <tuple>

#include "executors/workspace/files.h"
#include "runner/store/chunks.h"
#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

namespace {

// Files from here on are remembered one by one; smaller ones are hashed faster than looked up.
constexpr std::uint64_t worth_knowing = 256 * 1024;
// A thread's batch: bytes and pieces per transaction. Log writers wait for one such transaction at most.
constexpr std::size_t batch_bytes = chunk_size;
constexpr std::size_t batch_pieces = 4096;
// The clock of a file system may stand still this long: a file changed later than this before it was read may change
// again without its times telling. (One tick at 100 Hz and some.)
constexpr std::int64_t racy_ns = 12'000'000;

[[noreturn]] void raise(const char* what, const std::filesystem::path& path, int error) {
  throw StoreError(StoreFault::other,
                   fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(error)));
}

std::int64_t nanoseconds(const struct timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

struct File {
  TreeEntry entry;
  std::uint64_t dev = 0, ino = 0;
  std::int64_t mtime = 0, ctime = 0;
  std::uint64_t links = 1;
  bool sparse = false;
  std::size_t first = 0, count = 0;  // its pieces in Walk::digests and ids
  bool known = false;                // its pieces are stored already, found by what stat says
};

std::size_t pieces_of(std::uint64_t size) { return static_cast<std::size_t>((size + chunk_size - 1) / chunk_size); }

// What stat says of a file: when this is the same, so is the content.
std::string stamp_of(const File& file) {
  std::string stamp;
  const auto put = [&](auto number) { stamp.append(reinterpret_cast<const char*>(&number), sizeof number); };
  put(file.dev);
  put(file.ino);
  put(file.entry.size);
  put(file.mtime);
  put(file.ctime);
  put(static_cast<std::uint8_t>(file.entry.type));
  put(file.entry.mode);
  put(file.entry.owner);
  return stamp;
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) {
      ::close(number_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

// The things of a directory tree in the order of their paths; sockets, FIFOs and devices are left out.
struct Walk {
  std::filesystem::path root;
  std::vector<File> files;
  std::vector<Digest> digests;
  std::vector<std::int64_t> ids;  // chunk ids; 0: not stored yet
  std::uint64_t bytes = 0, count = 0;
  std::int64_t newest_ctime = 0;

  explicit Walk(std::filesystem::path directory) : root(std::move(directory)) {
    const Descriptor top(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (top.get() < 0) {
      raise("read", root, errno);
    }
    descend(root, "");
    std::ranges::sort(files, {}, [](const File& file) -> const std::string& { return file.entry.path; });
    std::size_t pieces = 0;
    for (File& file : files) {
      if (file.entry.is_file()) {
        file.first = pieces;
        file.count = pieces_of(file.entry.size);
        pieces += file.count;
        bytes += file.entry.size;
        newest_ctime = std::max(newest_ctime, file.ctime);
      }
      count += file.entry.type != TreeEntry::Type::directory ? 1 : 0;
    }
    digests.resize(pieces);
    ids.assign(pieces, 0);
  }

  void descend(const std::filesystem::path& directory, const std::string& prefix) {
    std::error_code error;
    bool empty = true;
    for (std::filesystem::directory_iterator each(directory, error), end; !error && each != end;
         each.increment(error)) {
      empty = false;
      struct stat status {};
      if (::lstat(each->path().c_str(), &status) != 0) {
        raise("read", each->path(), errno);
      }
      File file;
      file.entry.path = prefix + each->path().filename().string();
      if (S_ISDIR(status.st_mode)) {
        descend(each->path(), file.entry.path + "/");
        continue;
      }
      if (S_ISLNK(status.st_mode)) {
        file.entry.type = TreeEntry::Type::symlink;
        file.entry.target = std::filesystem::read_symlink(each->path(), error).string();
        if (error) {
          break;
        }
      } else if (S_ISREG(status.st_mode)) {
        file.entry.type = (status.st_mode & 0111U) != 0 ? TreeEntry::Type::executable : TreeEntry::Type::file;
        file.entry.size = static_cast<std::uint64_t>(status.st_size);
        file.entry.mtime = nanoseconds(status.st_mtim);
        file.entry.mode = static_cast<std::uint16_t>(executors::kept_mode(status.st_mode));
        file.entry.owner = status.st_uid;
        constexpr std::int64_t block = 512;  // of st_blocks, whatever the file system's
        file.sparse = status.st_blocks * block < status.st_size;
      } else {
        continue;
      }
      file.dev = status.st_dev;
      file.ino = status.st_ino;
      file.mtime = nanoseconds(status.st_mtim);
      file.ctime = nanoseconds(status.st_ctim);
      file.links = status.st_nlink;
      files.push_back(std::move(file));
    }
    if (error) {
      raise("read", directory, error.value());
    }
    if (empty && !prefix.empty()) {
      File file;
      file.entry.type = TreeEntry::Type::directory;
      file.entry.path = prefix.substr(0, prefix.size() - 1);
      files.push_back(std::move(file));
    }
  }

  Digest stat_digest() const {
    std::string all;
    for (const File& file : files) {
      all += file.entry.path;
      all += '\0';
      all += file.entry.target;
      all += '\0';
      all += stamp_of(file);
    }
    return sha256(all);
  }

  Digest content_digest() const {
    std::string all;
    for (const File& file : files) {
      all += fmt::format("{}{}\n{}{}\n{}{}\n", static_cast<int>(file.entry.type), file.entry.size,
                         file.entry.path.size(), file.entry.path, file.entry.target.size(), file.entry.target);
      if (file.entry.is_file()) {
        all += fmt::format("{:o} {}\n", file.entry.mode, file.entry.owner);
      }
      for (std::size_t i = 0; i < file.count; ++i) {
        all += bytes_of(digests[file.first + i]);
      }
    }
    return sha256(all);
  }

  bool racy(std::int64_t read_at) const { return newest_ctime + racy_ns > read_at; }
};

std::int64_t wall_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

// Hands out pieces of files in order; two threads share one large file.
class Work {
 public:
  Work(const Walk& walk, std::stop_token stop) : walk_(walk), stop_(std::move(stop)) {}
  struct Piece {
    const File* file = nullptr;
    std::size_t number = 0;
  };
  std::optional<Piece> next() {
    const std::scoped_lock lock(mutex_);
    if (stop_.stop_requested()) {
      throw StoreError(StoreFault::other, "storing the artifacts was stopped");
    }
    while (!failed_ && file_ < walk_.files.size()) {
      const File& file = walk_.files[file_];
      if (number_ < file.count && !file.known) {
        return Piece{&file, number_++};
      }
      ++file_;
      number_ = 0;
    }
    return std::nullopt;
  }
  void fail() {
    const std::scoped_lock lock(mutex_);
    failed_ = true;
  }

 private:
  const Walk& walk_;
  std::stop_token stop_;
  std::mutex mutex_;
  std::size_t file_ = 0, number_ = 0;
  bool failed_ = false;
};

}  // namespace

// Stores one tree; its destructor gives up what is not complete.
class TreeStorer {
 public:
  TreeStorer(Store::Impl& store, Walk& walk, std::stop_token stop)
      : store_(store), walk_(walk), files_(store.chunk_directory()), work_(walk, std::move(stop)) {
    const std::int64_t self = store_.processes.self(store_.database);
    const std::scoped_lock lock(store_.trees_mutex);
    tree_ = store_.database.write("store artifacts", [&](Connection& c) {
      Query(c, "INSERT INTO trees(process) VALUES(?)", self).run();
      return c.last_id();
    });
    store_.trees_in_the_making.insert(tree_);
  }
  TreeStorer(const TreeStorer&) = delete;
  TreeStorer& operator=(const TreeStorer&) = delete;
  ~TreeStorer() {
    {
      const std::scoped_lock lock(store_.trees_mutex);
      store_.trees_in_the_making.erase(tree_);
    }
    if (!complete_) {
      try {
        store_.remove_tree(tree_);
      } catch (...) {  // the disk is full, say: gc finds it
      }
    }
  }

  // `use(connection, tree)` is called in the transaction that completes the tree (or finds an equal one): gc never sees
  // a complete tree without a user.
  ArtifactId store(const Store::Impl::UseTree& use) {
    recall_files();
    const std::int64_t read_at = wall_ns();
    {
      // Two threads: one waits for the disk while the other hashes, and more would not be fair to the jobs.
      std::exception_ptr failure;
      std::jthread helper;
      if (walk_.digests.size() > 1) {
        helper = std::jthread([&] {
          try {
            store_pieces();
          } catch (...) {
            failure = std::current_exception();
            work_.fail();
          }
        });
      }
      try {
        store_pieces();
      } catch (...) {
        work_.fail();
        throw;
      }
      if (helper.joinable()) {
        helper.join();
      }
      if (failure) {
        std::rethrow_exception(failure);
      }
    }
    return finish(read_at, use);
  }

 private:
  struct Pending {
    std::size_t index = 0;  // in Walk::digests
    std::string_view bytes;
    std::optional<WrittenChunk> written;
  };

  // By which stamp a file may be known. A job that passes on what it was given links it from the layer where it stood,
  // and layers are never written to: while the other name is there, it is the same content.
  std::string known_stamp(const File& file) const {
    if (file.links > 1) {
      const std::scoped_lock lock(store_.stood_mutex);
      const auto found = store_.stood.find({file.dev, file.ino});
      struct stat status {};
      if (found != store_.stood.end() && ::lstat(found->second.path.c_str(), &status) == 0 &&
          status.st_dev == file.dev && status.st_ino == file.ino) {
        File then = file;
        then.ctime = found->second.ctime;
        if (stamp_of(then) == found->second.stamp) {
          return found->second.stamp;
        }
      }
    }
    return stamp_of(file);
  }

  // Files that have not changed since they were last stored: their digests are known, and their pieces are tied.
  void recall_files() {
    std::vector<File*> candidates;
    for (File& file : walk_.files) {
      if (file.entry.is_file() && file.entry.size >= worth_knowing) {
        candidates.push_back(&file);
      }
    }
    if (candidates.empty()) {
      return;
    }
    store_.database.write("store artifacts", [&](Connection& c) {
      for (File* file : candidates) {
        const std::string stamp = known_stamp(*file);
        Query query(c, "SELECT digests FROM known_files WHERE dev = ? AND ino = ? AND stamp = ?", file->dev, file->ino,
                    db::Blob(stamp));
        if (!query.step() || query.bytes(0).size() != file->count * sizeof(Digest)) {
          continue;
        }
        std::vector<std::int64_t> ids;
        for (std::size_t i = 0; i < file->count; ++i) {
          Digest& digest = walk_.digests[file->first + i];
          std::memcpy(digest.data(), query.bytes(0).data() + i * sizeof(Digest), sizeof(Digest));
          const std::optional<KnownChunk> chunk = lookup_chunk(c, digest);
          if (!chunk || !chunk->trusted) {
            break;
          }
          ids.push_back(chunk->id);
        }
        if (ids.size() == file->count) {
          for (std::size_t i = 0; i < ids.size(); ++i) {
            tie(c, ids[i]);
            walk_.ids[file->first + i] = ids[i];
          }
          file->known = true;
        }
      }
    });
  }

  static bool worth_keeping(const File& file, std::int64_t read_at) {
    return file.entry.is_file() && file.entry.size >= worth_knowing && file.ctime + racy_ns <= read_at;
  }

  void tie(Connection& c, std::int64_t chunk) const {
    Query(c, "INSERT OR IGNORE INTO tree_chunks(tree, chunk) VALUES(?, ?)", tree_, chunk).run();
  }

  void store_pieces() {
    std::string arena(batch_bytes + chunk_size, '\0');
    std::string room;
    std::vector<Pending> batch;
    std::size_t used = 0;
    while (const std::optional<Work::Piece> piece = work_.next()) {
      const File& file = *piece->file;
      const std::uint64_t from = piece->number * chunk_size;
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_size, file.entry.size - from));
      read_piece(file, from, arena.data() + used, size);
      Pending pending;
      pending.index = file.first + piece->number;
      pending.bytes = std::string_view(arena).substr(used, size);
      walk_.digests[pending.index] = sha256(pending.bytes);
      batch.push_back(std::move(pending));
      used += size;
      if (used >= batch_bytes || batch.size() >= batch_pieces) {
        commit(batch, room);
        used = 0;
      }
    }
    commit(batch, room);
  }

  static bool in_a_hole(int input, std::uint64_t from, std::size_t size) {
    const off_t data = ::lseek(input, static_cast<off_t>(from), SEEK_DATA);
    return data < 0 ? errno == ENXIO : static_cast<std::uint64_t>(data) >= from + size;
  }

  void read_piece(const File& file, std::uint64_t from, char* to, std::size_t size) const {
    const std::filesystem::path path = walk_.root / file.entry.path;
    const Descriptor input(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (input.get() < 0) {
      raise("read", path, errno);
    }
    if (file.sparse && in_a_hole(input.get(), from, size)) {
      std::memset(to, 0, size);
      return;
    }
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got = ::pread(input.get(), to + have, size - have, static_cast<off_t>(from + have));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        raise("read", path, errno);
      }
      if (got == 0) {
        throw StoreError(StoreFault::other, fmt::format("{} changed while it was being stored", path.string()));
      }
      have += static_cast<std::size_t>(got);
    }
  }

  // Finds out which pieces are new, writes those, then ties all of them to the tree in one transaction.
  void commit(std::vector<Pending>& batch, std::string& room) {
    if (batch.empty()) {
      return;
    }
    std::vector<Pending*> wanted;
    store_.database.read("store artifacts", [&](Connection& c) {
      for (Pending& pending : batch) {
        const std::optional<KnownChunk> chunk = lookup_chunk(c, walk_.digests[pending.index]);
        if (!chunk || !(chunk->trusted || verify(c, chunk->id))) {
          wanted.push_back(&pending);
        }
      }
    });
    while (true) {
      std::vector<std::string> unused;  // files of pieces that another thread stored first
      std::vector<Pending*> vanished;
      try {
        for (Pending* pending : wanted) {
          if (!pending->written) {
            pending->written = files_.write(pending->bytes, room);
          }
        }
        store_.database.write("store artifacts", [&](Connection& c) {
          unused.clear();
          vanished.clear();
          for (Pending& pending : batch) {
            add(c, pending, unused, vanished);
          }
        });
      } catch (...) {
        for (const Pending& pending : batch) {
          if (pending.written) {
            files_.remove(pending.written->name);
          }
        }
        throw;
      }
      for (const std::string& name : unused) {
        files_.remove(name);
      }
      if (vanished.empty()) {
        break;
      }
      for (Pending& pending : batch) {  // gc was faster: what is stored now is tied, the rest is written
        pending.written.reset();
      }
      wanted = std::move(vanished);
    }
    batch.clear();
  }

  void add(Connection& c, Pending& pending, std::vector<std::string>& unused, std::vector<Pending*>& vanished) {
    const Digest& digest = walk_.digests[pending.index];
    const std::optional<KnownChunk> known = lookup_chunk(c, digest);
    std::int64_t id = known ? known->id : 0;
    if (known && known->trusted) {
      if (pending.written && !pending.written->name.empty()) {
        unused.push_back(pending.written->name);
      }
    } else if (!pending.written) {
      vanished.push_back(&pending);
      return;
    } else {
      const WrittenChunk& chunk = *pending.written;
      const auto name = chunk.name.empty() ? std::optional<std::string>() : std::optional(chunk.name);
      const auto data = chunk.name.empty() ? std::optional(db::Blob(chunk.inline_data)) : std::optional<db::Blob>();
      if (known) {  // its file did not outlive a power failure: mended for all who use it
        Query(c, "UPDATE chunks SET stored = ?, codec = ?, data = ?, name = ?, boot = ?, synced = 0 WHERE id = ?",
              chunk.stored, chunk.codec, data, name, Processes::boot(), id)
            .run();
      } else {
        Query(c, "INSERT INTO chunks(digest, size, stored, codec, data, name, boot) VALUES(?, ?, ?, ?, ?, ?, ?)",
              db::Blob(bytes_of(digest)), pending.bytes.size(), chunk.stored, chunk.codec, data, name,
              Processes::boot())
            .run();
        id = c.last_id();
      }
    }
    tie(c, id);
    walk_.ids[pending.index] = id;
  }

  // A piece written before the host was started anew: whether it reached the disk. Found whole, it is trusted again.
  bool verify(Connection& c, std::int64_t id) {
    try {
      load_chunk(c, files_, id);
    } catch (const StoreError&) {
      return false;
    }
    store_.database.write("store artifacts", [&](Connection& writer) {
      Query(writer, "UPDATE chunks SET synced = 1 WHERE id = ?", id).run();
    });
    return true;
  }

  ArtifactId finish(std::int64_t read_at, const Store::Impl::UseTree& use) {
    const Digest digest = walk_.content_digest();
    std::vector<TreeEntry> entries;
    entries.reserve(walk_.files.size());
    for (File& file : walk_.files) {
      TreeEntry entry = file.entry;
      for (std::size_t i = 0; i < file.count; ++i) {
        entry.chunks.push_back(walk_.ids[file.first + i]);
      }
      entries.push_back(std::move(entry));
    }
    const std::string manifest = encode_manifest(entries);
    const Digest stat_digest = walk_.stat_digest();
    const std::int64_t now = unix_now();
    bool own = false;
    const ArtifactId artifact = store_.database.write("store artifacts", [&](Connection& c) {
      std::int64_t id = tree_;
      {
        Query equal(c, "SELECT id FROM trees WHERE digest = ?", db::Blob(bytes_of(digest)));
        if (equal.step()) {
          id = equal.integer(0);
        }
      }
      own = id == tree_;
      if (own) {
        Query(c, "UPDATE trees SET digest = ?, files = ?, bytes = ?, manifest = ? WHERE id = ?",
              db::Blob(bytes_of(digest)), walk_.count, walk_.bytes, db::Blob(manifest), id)
            .run();
      }
      for (const File& file : walk_.files) {
        if (worth_keeping(file, read_at)) {
          const std::string stamp = stamp_of(file);
          const std::string_view known(walk_.digests[file.first].data(), file.count * sizeof(Digest));
          Query(c, "INSERT OR REPLACE INTO known_files(dev, ino, stamp, digests, seen) VALUES(?, ?, ?, ?, ?)", file.dev,
                file.ino, db::Blob(stamp), db::Blob(known), now)
              .run();
        }
      }
      if (!walk_.racy(read_at)) {
        Query(c, "INSERT OR REPLACE INTO known_trees(stamp, tree, seen) VALUES(?, ?, ?)",
              db::Blob(bytes_of(stat_digest)), id, now)
            .run();
      }
      return use(c, id, own);
    });
    complete_ = own;
    const std::scoped_lock lock(store_.stood_mutex);
    for (const File& file : walk_.files) {
      if (worth_keeping(file, read_at)) {
        store_.stood[{file.dev, file.ino}] = {walk_.root / file.entry.path, file.ctime, stamp_of(file)};
      }
    }
    return artifact;
  }

  Store::Impl& store_;
  Walk& walk_;
  const ChunkFiles files_;
  Work work_;
  std::int64_t tree_ = 0;
  bool complete_ = false;
};

namespace {

ArtifactId add_artifact(Connection& c, const AttemptKey& key, std::string_view kind, std::string_view name,
                        std::int64_t tree, std::optional<UnixMs> expires) {
  Query(c,
        "INSERT INTO artifacts(run, job, attempt, kind, name, tree, created, expires) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        key.run, key.job, key.attempt, kind, name, tree, unix_now(), expires)
      .run();
  return static_cast<ArtifactId>(c.last_id());
}

}  // namespace

ArtifactId Store::Impl::keep_tree(const std::filesystem::path& directory, std::stop_token stop, const UseTree& use) {
  Walk walk(directory);
  const std::int64_t now = wall_ns();
  if (walk.bytes > 4 * chunk_size && walk.newest_ctime <= now && walk.racy(now)) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(racy_ns));  // so that it is known the next time
  }
  const Digest stat_digest = walk.stat_digest();
  const std::optional<ArtifactId> unchanged = database.write("store artifacts", [&](Connection& c) {
    Query query(
        c,
        "SELECT t.id FROM known_trees k JOIN trees t ON t.id = k.tree WHERE k.stamp = ? AND t.digest IS NOT NULL "
        "AND NOT EXISTS(SELECT 1 FROM tree_chunks u JOIN chunks p ON p.id = u.chunk WHERE u.tree = t.id "
        "AND p.name IS NOT NULL AND NOT p.synced AND p.boot <> ?)",
        db::Blob(bytes_of(stat_digest)), Processes::boot());
    return query.step() ? std::optional(use(c, query.integer(0), false)) : std::nullopt;
  });
  if (unchanged) {
    return *unchanged;
  }
  TreeStorer storer(*this, walk, std::move(stop));
  return storer.store(use);
}

ArtifactId Store::store_tree(const AttemptKey& key, std::string_view kind, std::string_view name,
                             const std::filesystem::path& directory, std::optional<UnixMs> expires,
                             const std::stop_token& stop) {
  return impl_->keep_tree(directory, stop, [&](Connection& c, std::int64_t tree, bool) {
    return add_artifact(c, key, kind, name, tree, expires);
  });
}

std::vector<ArtifactRow> Store::list_artifacts(RunId run) const {
  return impl_->database.read("list the artifacts", [&](Connection& c) {
    std::vector<ArtifactRow> rows;
    Query query(
        c,
        "SELECT a.id, a.run, a.job, a.attempt, ifnull(j.name, ''), a.kind, a.name, t.files, t.bytes, a.created, "
        "a.expires FROM artifacts a JOIN trees t ON t.id = a.tree "
        "LEFT JOIN jobs j ON j.run = a.run AND j.job = a.job WHERE a.run = ? ORDER BY a.id",
        run);
    while (query.step()) {
      ArtifactRow row;
      row.id = query.count(0);
      row.key = {query.count(1), static_cast<std::uint32_t>(query.integer(2)),
                 static_cast<std::uint32_t>(query.integer(3))};
      row.job_name = query.text(4);
      row.kind = query.text(5);
      row.name = query.text(6);
      row.files = query.count(7);
      row.bytes = query.count(8);
      row.created = query.integer(9);
      row.expires = query.maybe(10);
      rows.push_back(std::move(row));
    }
    return rows;
  });
}

std::uint64_t Store::chunk_count() const {
  return impl_->database.read("count the pieces", [](Connection& c) {
    Query query(c, "SELECT count(*) FROM chunks");
    query.step();
    return query.count(0);
  });
}

}  // namespace runner
