// SQLite, by SQLiteCpp: the only header that knows them. One writing connection behind a mutex, reading connections as
// many as are needed at once, errors as StoreError, transactions that wait and try again.
// Used by the other files of this room only.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "runner/store/store.h"

namespace runner::db {

// Bound without a copy: the bytes must outlive the Query.
struct Blob {
  const void* data = nullptr;
  std::size_t size = 0;
  explicit Blob(const std::string&& temporary) = delete;
  explicit Blob(const std::string& bytes) : Blob(std::string_view(bytes)) {}
  explicit Blob(std::string_view bytes) : data(bytes.data()), size(bytes.size()) {}
};

// One handle and its prepared statements, by the address of their text (string literals).
class Connection {
 public:
  Connection(const std::filesystem::path& file, int flags, std::chrono::milliseconds busy);
  SQLite::Statement& prepared(const char* sql);
  void run(const char* sql) { handle_.exec(sql); }
  int changes() const { return handle_.getChanges(); }
  std::int64_t last_id() const { return handle_.getLastInsertRowid(); }
  SQLite::Database& handle() { return handle_; }

 private:
  SQLite::Database handle_;
  std::unordered_map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
};

// One use of a prepared statement; ends its read transaction when it goes. `sql` must be a literal.
class Query {
 public:
  template <class... Values>
  Query(Connection& connection, const char* sql, const Values&... values) : statement_(connection.prepared(sql)) {
    (bind(values), ...);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { statement_.tryReset(); }

  bool step() { return statement_.executeStep(); }
  void run() {
    while (statement_.executeStep()) {
    }
  }
  // Column `index` of the current row, from 0.
  std::int64_t integer(int index) const { return statement_.getColumn(index).getInt64(); }
  std::uint64_t count(int index) const { return static_cast<std::uint64_t>(integer(index)); }
  bool null(int index) const { return statement_.getColumn(index).isNull(); }
  std::string text(int index) const { return std::string(bytes(index)); }
  std::optional<std::int64_t> maybe(int index) const {
    return null(index) ? std::nullopt : std::optional(integer(index));
  }
  std::optional<double> maybe_real(int index) const {
    return null(index) ? std::nullopt : std::optional(statement_.getColumn(index).getDouble());
  }
  // Valid until the next step.
  std::string_view bytes(int index) const {
    const SQLite::Column column = statement_.getColumn(index);
    const auto* data = static_cast<const char*>(column.getBlob());
    return data == nullptr ? std::string_view{} : std::string_view(data, static_cast<std::size_t>(column.getBytes()));
  }

 private:
  template <class Value>
  void bind(const Value& value) {
    ++index_;
    if constexpr (std::is_same_v<Value, Blob>) {
      statement_.bindNoCopy(index_, value.size == 0 ? "" : value.data, static_cast<int>(value.size));
    } else if constexpr (std::is_enum_v<Value> || std::is_integral_v<Value>) {
      statement_.bind(index_, static_cast<std::int64_t>(value));
    } else if constexpr (std::is_floating_point_v<Value>) {
      statement_.bind(index_, static_cast<double>(value));
    } else if constexpr (std::is_convertible_v<Value, std::string_view>) {
      statement_.bind(index_, std::string(std::string_view(value)));
    } else {  // an optional, or std::nullopt
      if constexpr (!std::is_same_v<Value, std::nullopt_t>) {
        if (value) {
          --index_;
          bind(*value);
          return;
        }
      }
      statement_.bind(index_);
    }
  }

  SQLite::Statement& statement_;
  int index_ = 0;
};

enum class Urgency : std::uint8_t {
  ordinary,  // a full disk is told at once
  result,    // what must not be lost: the ballast is given up for it
};

class Database {
 public:
  explicit Database(const Store::Options&);
  ~Database();

  // Runs `body(Connection&)` in one BEGIN IMMEDIATE transaction and commits. The body may run again from its start
  // when the database was busy, so it must not touch anything else before it returns.
  template <class Body>
  auto write(std::string_view what, Body&& body, Urgency urgency = Urgency::ordinary) {
    using Result = std::invoke_result_t<Body&, Connection&>;
    if constexpr (std::is_void_v<Result>) {
      transact(what, urgency, [&](Connection& c) { body(c); });
    } else {
      std::optional<Result> result;
      transact(what, urgency, [&](Connection& c) { result.emplace(body(c)); });
      return std::move(*result);
    }
  }
  // Runs `body(Connection&)` on a reading connection of its own.
  template <class Body>
  auto read(std::string_view what, Body&& body) const {
    Lent reader(*this, what);
    try {
      return body(*reader.connection);
    } catch (const SQLite::Exception& error) {
      rethrow(error, what);
    }
  }

  // What was committed survives a power failure from now on, not only a `kill -9`.
  void sync() const;
  std::uint64_t data_version() const;
  // What cannot run within a transaction (PRAGMA, VACUUM INTO), on the writing connection.
  void outside_transaction(std::string_view what, const std::function<void(Connection&)>& body);
  const std::filesystem::path& file() const { return options_.file; }
  void drop_ballast() noexcept;
  void restore_ballast() noexcept;

 private:
  struct Lent {  // a reading connection, given back at the end
    Lent(const Database&, std::string_view what);
    ~Lent();
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    const Database& owner;
    std::unique_ptr<Connection> connection;
  };

  void transact(std::string_view what, Urgency, const std::function<void(Connection&)>&);
  [[noreturn]] void rethrow(const SQLite::Exception&, std::string_view what) const;
  [[noreturn]] void raise(const SQLite::Exception&, StoreFault, std::string_view what) const;
  std::unique_ptr<Connection> open_reader(std::string_view what) const;
  void open_writer();
  void set_up(Connection&, bool fresh) const;
  std::filesystem::path ballast_file() const;

  Store::Options options_;
  std::mutex writing_;
  std::unique_ptr<Connection> writer_;  // null when read_only
  mutable std::mutex reading_;
  mutable std::vector<std::unique_ptr<Connection>> idle_;
  mutable std::mutex watching_;
  mutable std::unique_ptr<Connection> watcher_;  // data_version compares on one connection only
};

// schema.cpp: brings the database to this program's version; StoreError{newer} when it is beyond. Within a transaction.
void migrate(Connection&, const std::filesystem::path& file);
inline constexpr int application_id = 0x72756e72;  // "runr", for file(1) and against foreign databases
int schema_version();

}  // namespace runner::db
