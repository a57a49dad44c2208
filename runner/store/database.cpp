#include "runner/store/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "executors/unique_fd.h"

namespace runner::db {
namespace {

using Clock = std::chrono::steady_clock;

// SQLite's own wait; transact() goes on until Options::patience. Short, so that a stop of the program is not held up.
constexpr std::chrono::milliseconds busy_wait{2'000};

bool no_space(int system_error) { return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG; }

StoreFault fault_of(const SQLite::Exception& error, int system_error) {
  switch (error.getErrorCode() & 0xff) {
    case SQLITE_FULL:
      return StoreFault::full;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return StoreFault::locked;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return StoreFault::corrupt;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return no_space(system_error) ? StoreFault::full : StoreFault::other;
    default:
      return StoreFault::other;
  }
}

std::string mend_for(StoreFault fault, const std::filesystem::path& file, bool making_room) {
  const std::string name = file.string();
  switch (fault) {
    case StoreFault::full:
      if (making_room) {
        return fmt::format("remove something else on the disk of {}: a megabyte is enough to go on with this", name);
      }
      return fmt::format("free some space on the disk of {}, for example with `runner gc`", name);
    case StoreFault::locked:
      return fmt::format("another process holds {} for long; see who with `fuser {}`", name, name);
    case StoreFault::corrupt:
      return fmt::format("move {} away (with its -wal and -shm) or rescue it with `sqlite3 {} .recover`", name, name);
    default:
      return fmt::format("check the permissions and the disk of {}, or name another one with --database", name);
  }
}

}  // namespace

Connection::Connection(const std::filesystem::path& file, int flags, std::chrono::milliseconds busy)
    : handle_(file.string(), flags | SQLite::OPEN_NOMUTEX, static_cast<int>(busy.count())) {}

SQLite::Statement& Connection::prepared(const char* sql) {
  auto& statement = statements_[sql];
  if (!statement) {
    try {
      statement = std::make_unique<SQLite::Statement>(handle_, sql);
    } catch (...) {
      statements_.erase(sql);
      throw;
    }
  }
  statement->tryReset();
  return *statement;
}

Database::Database(const Store::Options& options) : options_(options) {
  const std::filesystem::path directory = options_.file.parent_path();
  std::error_code ignored;
  if (!options_.read_only && !directory.empty() && !std::filesystem::exists(directory, ignored)) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
      throw StoreError(no_space(error.value()) ? StoreFault::full : StoreFault::other,
                       fmt::format("cannot make {}: {}", directory.string(), error.message()),
                       "name another place with --database or RUNNER_DATABASE");
    }
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  }
  if (options_.read_only) {
    read("open the database", [&](Connection& c) {
      Query version(c, "PRAGMA user_version");
      version.step();
      if (version.integer(0) > schema_version()) {
        throw StoreError(StoreFault::newer, fmt::format("{} was written by a newer version of runner", file().string()),
                         "use that version");
      }
    });
    return;
  }
  open_writer();
  if (!options_.make_room) restore_ballast();  // gc does when it has made room
}

Database::~Database() = default;

// What a connection that writes needs before its first transaction.
void Database::set_up(Connection& connection, bool fresh) const {
  if (fresh) {  // only its owner reads it; the -wal and -shm files take this mode over
    std::error_code ignored;
    std::filesystem::permissions(options_.file,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, ignored);
  }
  std::int64_t version = 0;
  {
    Query query(connection, "PRAGMA user_version");
    query.step();
    version = query.integer(0);
  }
  if (version == 0) {
    connection.run("PRAGMA auto_vacuum = INCREMENTAL");  // has effect in an empty database only
  }
  if (version <= schema_version()) {  // a newer one is not touched
    connection.run("PRAGMA journal_mode = WAL");
  }
  connection.run("PRAGMA synchronous = NORMAL");
  connection.run("PRAGMA wal_autocheckpoint = 4000");  // 16 MB: a checkpoint waits for the disk
  connection.run("PRAGMA journal_size_limit = 33554432");
  connection.run("PRAGMA cache_size = -8192");
  if (version == schema_version()) {
    return;
  }
  connection.run("BEGIN IMMEDIATE");
  try {
    migrate(connection, options_.file);
    connection.run("COMMIT");
  } catch (...) {
    connection.handle().tryExec("ROLLBACK");
    throw;
  }
}

void Database::open_writer() {
  const auto deadline = Clock::now() + options_.patience;
  const bool fresh = !std::filesystem::exists(options_.file);
  bool has_ballast = options_.make_room;
  for (;;) {
    std::unique_ptr<Connection> connection;
    try {
      connection = std::make_unique<Connection>(options_.file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_wait);
      set_up(*connection, fresh);
      writer_ = std::move(connection);
      return;
    } catch (const SQLite::Exception& error) {
      const int last = errno;
      const int kept = connection ? sqlite3_system_errno(connection->handle().getHandle()) : 0;
      const StoreFault fault = fault_of(error, no_space(kept) ? kept : last);
      if (fault == StoreFault::full && has_ballast) {
        has_ballast = false;
        drop_ballast();
        continue;
      }
      // Two processes that make the same database: the change to WAL may answer "busy" without waiting.
      if (fault != StoreFault::locked || Clock::now() > deadline) {
        raise(error, fault, "open the database");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

std::unique_ptr<Connection> Database::open_reader(std::string_view what) const {
  try {
    auto connection = std::make_unique<Connection>(
        options_.file, options_.read_only ? SQLite::OPEN_READONLY : SQLite::OPEN_READWRITE, busy_wait);
    connection->run("PRAGMA query_only = ON");
    connection->run("PRAGMA cache_size = -1024");
    return connection;
  } catch (const SQLite::Exception& error) {
    rethrow(error, what);
  }
}

Database::Lent::Lent(const Database& database, std::string_view what) : owner(database) {
  {
    const std::scoped_lock lock(owner.reading_);
    if (!owner.idle_.empty()) {
      connection = std::move(owner.idle_.back());
      owner.idle_.pop_back();
    }
  }
  if (!connection) {
    connection = owner.open_reader(what);
  }
}

Database::Lent::~Lent() {
  const std::scoped_lock lock(owner.reading_);
  if (owner.idle_.size() < 4) {
    owner.idle_.push_back(std::move(connection));
  }
}

// synchronous=NORMAL leaves commits of the write-ahead log to the kernel (sqlite.org/pragma.html#pragma_synchronous);
// its frames have checksums, so whoever syncs the file has what was committed.
void Database::sync() const {
  const std::string file = options_.file.string() + "-wal";
  const executors::UniqueFd log(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!log && errno == ENOENT) return;  // checkpointed, and that syncs
  if (!log || fdatasync(log.get()) != 0) {
    throw StoreError(StoreFault::other, fmt::format("cannot write {} to the disk: {}", file, std::strerror(errno)));
  }
}

std::uint64_t Database::data_version() const {
  const std::scoped_lock lock(watching_);
  if (!watcher_) {
    watcher_ = open_reader("watch the database");
  }
  try {
    Query version(*watcher_, "PRAGMA data_version");
    version.step();
    return version.count(0);
  } catch (const SQLite::Exception& error) {
    rethrow(error, "watch the database");
  }
}

void Database::outside_transaction(std::string_view what, const std::function<void(Connection&)>& body) {
  const std::scoped_lock lock(writing_);
  try {
    body(*writer_);
  } catch (const SQLite::Exception& error) {
    rethrow(error, what);
  }
}

void Database::transact(std::string_view what, Urgency urgency, const std::function<void(Connection&)>& body) {
  if (!writer_) {
    throw StoreError(StoreFault::other, fmt::format("cannot {}: {} was opened for reading", what, file().string()));
  }
  const auto deadline = Clock::now() + options_.patience;
  bool had_ballast = urgency == Urgency::result;
  const std::scoped_lock lock(writing_);
  for (;;) {
    bool begun = false;
    try {
      writer_->run("BEGIN IMMEDIATE");
      begun = true;
      body(*writer_);
      writer_->run("COMMIT");
      return;
    } catch (const SQLite::Exception& error) {
      // SQLite keeps the system's error for some statements only, not for COMMIT; errno still has it there.
      const int last = errno;
      const int kept = sqlite3_system_errno(writer_->handle().getHandle());
      const StoreFault fault = fault_of(error, no_space(kept) ? kept : last);
      if (begun) {
        writer_->handle().tryExec("ROLLBACK");
      }
      if (fault == StoreFault::full && had_ballast) {
        had_ballast = false;
        drop_ballast();
        continue;
      }
      if (fault != StoreFault::locked || Clock::now() > deadline) {
        raise(error, fault, what);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    } catch (...) {
      if (begun) {
        writer_->handle().tryExec("ROLLBACK");
      }
      throw;
    }
  }
}

void Database::rethrow(const SQLite::Exception& error, std::string_view what) const {
  raise(error, fault_of(error, errno), what);
}

void Database::raise(const SQLite::Exception& error, StoreFault fault, std::string_view what) const {
  // SQLite says only of some errors that they come of a full disk.
  const bool unsaid = fault == StoreFault::full && (error.getErrorCode() & 0xff) != SQLITE_FULL;
  throw StoreError(
      fault,
      fmt::format("cannot {} in {}: {}{}", what, file().string(), unsaid ? "the disk is full: " : "", error.what()),
      mend_for(fault, file(), options_.make_room));
}

std::filesystem::path Database::ballast_file() const { return options_.file.string() + ".ballast"; }

void Database::drop_ballast() noexcept { ::unlink(ballast_file().c_str()); }

// Space that is given up when the disk is full, so that SQLite, which needs space even to delete, can go on.
void Database::restore_ballast() noexcept {
  std::error_code error;
  if (options_.ballast == 0 || std::filesystem::file_size(ballast_file(), error) == options_.ballast) {
    return;
  }
  const int file = ::open(ballast_file().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    return;
  }
  if (::posix_fallocate(file, 0, static_cast<off_t>(options_.ballast)) != 0) {
    ::unlink(ballast_file().c_str());
  }
  ::close(file);
}

}  // namespace runner::db
