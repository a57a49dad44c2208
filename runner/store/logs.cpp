// Logs: pieces in the order they came, each with the place it has in the log, so that any byte is found by one look-up.
//
// One thread per store (Flusher) commits what all writers gathered, so that twenty jobs that talk cost one transaction
// every 50 ms, not twenty.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <list>
#include <utility>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;
using Clock = std::chrono::steady_clock;

namespace {

// What a reader that follows waits at most; the eye does not see less.
constexpr std::chrono::milliseconds flush_interval{50};
// Worth a transaction before the interval is over.
constexpr std::size_t much = 256 * 1024;
// A writer waits when so much is not stored yet (a slow disk): memory stays bounded.
constexpr std::size_t too_much = 4 * 1024 * 1024;
// Pieces compress well from here on, and reading from the middle unpacks no more than this.
constexpr std::size_t piece = 128 * 1024;

struct LogPlace {
  std::int64_t attempt = 0;
  std::uint64_t size = 0, cursor = 0, left_out = 0;
};

LogPlace find_log(Connection& c, const AttemptKey& key) {
  Query query(c,
              "SELECT id, log_size, log_cursor, log_left_out FROM attempts WHERE run = ? AND job = ? AND attempt = ?",
              key.run, key.job, key.attempt);
  if (!query.step()) {
    throw StoreError(StoreFault::missing, fmt::format("there is no {}", attempt_name(key)));
  }
  return {query.integer(0), query.count(1), query.count(2), query.count(3)};
}

struct PackedPiece {
  int codec = 0;
  std::size_t size = 0;
  std::string bytes;
};

std::vector<PackedPiece> pack_pieces(std::string_view bytes) {
  std::vector<PackedPiece> pieces;
  std::string room;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const std::string_view part = bytes.substr(0, piece);
    const Packed packed = pack(part, room);
    pieces.push_back({packed.codec, part.size(), std::string(packed.bytes)});
  }
  return pieces;
}

// Adds pieces where the log ends and moves the cursor with them.
void append(Connection& c, std::int64_t attempt, const std::vector<PackedPiece>& pieces, std::uint64_t cursor,
            std::uint64_t left_out) {
  std::uint64_t end = 0;
  {
    Query query(c, "SELECT log_size FROM attempts WHERE id = ?", attempt);
    if (!query.step()) {
      throw StoreError(StoreFault::missing, "the run of this log has been removed");
    }
    end = query.count(0);
  }
  for (const PackedPiece& each : pieces) {
    Query(c, "INSERT INTO logs(attempt, start, size, codec, data) VALUES(?, ?, ?, ?, ?)", attempt, end, each.size,
          each.codec, db::Blob(each.bytes))
        .run();
    end += each.size;
  }
  Query(c, "UPDATE attempts SET log_size = ?, log_cursor = max(log_cursor, ?), log_left_out = ? WHERE id = ?", end,
        cursor, left_out, attempt)
      .run();
}

std::string human_size(std::uint64_t bytes) {
  if (bytes >= 1'000'000 && bytes % 1'000'000 == 0) {
    return fmt::format("{} MB", bytes / 1'000'000);
  }
  if (bytes >= 1024 && bytes % 1024 == 0) {
    return fmt::format("{} KiB", bytes / 1024);
  }
  return fmt::format("{} bytes", bytes);
}

}  // namespace

// The writer's half is called from the job's thread, take() and the rest from the flusher's; `mutex` guards all.
struct LogWriter::Impl {
  Store::Impl& store;
  std::int64_t attempt = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::string waiting;       // to be stored
  std::uint64_t cursor = 0;  // covered once `waiting` is stored
  bool told = false;         // the cursor or left_out moved without bytes
  bool storing = false;      // what take() took is not committed yet
  struct Failure {
    StoreFault fault;
    std::string message, mend;
  };
  std::optional<Failure> failure;
  std::optional<Clock::time_point> failing_since;
  bool closed = false;

  std::uint64_t stored = 0;  // bytes of the log so far, with those on their way
  bool over = false;         // the limit is reached
  struct Kept {
    std::string bytes;
    std::uint64_t cursor;  // behind them
  };
  std::deque<Kept> tail;  // over the limit: at least the last log_tail bytes
  std::size_t tail_bytes = 0;
  std::uint64_t left_out = 0;

  explicit Impl(Store::Impl& s) : store(s) {}

  // All with the mutex held.
  void check() const {
    if (failure) {
      throw StoreError(failure->fault, failure->message, failure->mend);
    }
  }

  void take_in(std::string_view bytes, std::uint64_t raw_cursor) {
    if (!over) {  // the write that crosses the limit is taken whole, so that the cursor always names a place
      const std::uint64_t limit = store.options.log_limit;
      waiting += bytes;
      stored += bytes.size();
      cursor = raw_cursor;
      if (stored > limit) {
        over = true;
        waiting +=
            fmt::format("\nlog limit reached ({}): what follows is left out but for the last {}; the job goes on\n",
                        human_size(limit), human_size(store.options.log_tail));
      }
      return;
    }
    tail.push_back({std::string(bytes), raw_cursor});
    tail_bytes += bytes.size();
    while (!tail.empty() && tail_bytes - tail.front().bytes.size() >= store.options.log_tail) {
      left_out += tail.front().bytes.size();
      cursor = tail.front().cursor;
      told = true;
      tail_bytes -= tail.front().bytes.size();
      tail.pop_front();
    }
  }

  void close_tail() {
    if (tail.empty()) {
      return;
    }
    std::string last;
    for (const Kept& each : tail) {
      last += each.bytes;
    }
    if (last.size() > store.options.log_tail) {
      left_out += last.size() - store.options.log_tail;
      last.erase(0, last.size() - store.options.log_tail);
    }
    if (left_out > 0) {
      waiting += fmt::format("\n[{} bytes left out]\n", left_out);
    }
    waiting += last;
    cursor = tail.back().cursor;
    tail.clear();
    tail_bytes = 0;
  }
};

struct Store::Impl::Flusher {
  explicit Flusher(Store::Impl& s) : store(s), thread([this](const std::stop_token& stop) { work(stop); }) {}
  ~Flusher() {
    thread.request_stop();
    wake.notify_all();
  }

  void add(const std::shared_ptr<LogWriter::Impl>& writer) {
    const std::scoped_lock lock(mutex);
    writers.push_back(writer);
  }
  void poke(bool now) {
    const std::scoped_lock lock(mutex);
    const bool news = !dirty || (now && !urgent);
    dirty = true;
    urgent = urgent || now;
    if (news) {
      wake.notify_all();
    }
  }

  void work(const std::stop_token& stop) {
    Clock::time_point last = Clock::now() - flush_interval;
    while (!stop.stop_requested()) {
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, stop, [&] { return dirty; });
        // The first bytes after a silence go at once; what follows is gathered.
        wake.wait_until(lock, stop, last + flush_interval, [&] { return urgent; });
        dirty = urgent = false;
      }
      store_all();
      last = Clock::now();
    }
  }

  struct Load {
    std::shared_ptr<LogWriter::Impl> writer;
    std::string bytes;
    std::vector<PackedPiece> pieces;
    std::uint64_t cursor = 0, left_out = 0;
  };

  std::vector<Load> gather() {
    std::vector<std::shared_ptr<LogWriter::Impl>> living;
    {
      const std::scoped_lock lock(mutex);
      std::erase_if(writers, [](const auto& writer) { return writer.expired(); });
      for (const auto& writer : writers) {
        if (auto alive = writer.lock()) {
          living.push_back(std::move(alive));
        }
      }
    }
    std::vector<Load> loads;
    for (auto& writer : living) {
      const std::scoped_lock lock(writer->mutex);
      if (writer->failure || (writer->waiting.empty() && !writer->told)) {
        continue;
      }
      Load load;
      load.bytes.swap(writer->waiting);
      load.cursor = writer->cursor;
      load.left_out = writer->left_out;
      writer->told = false;
      writer->storing = true;
      load.writer = std::move(writer);
      loads.push_back(std::move(load));
    }
    return loads;
  }

  void store_all() {
    std::vector<Load> loads = gather();
    if (loads.empty()) {
      return;
    }
    for (Load& load : loads) {
      load.pieces = pack_pieces(load.bytes);
    }
    try {
      store.database.write(
          "store logs",
          [&](Connection& c) {
            for (const Load& load : loads) {
              append(c, load.writer->attempt, load.pieces, load.cursor, load.left_out);
            }
          },
          db::Urgency::ordinary);
    } catch (const StoreError& error) {
      if (loads.size() > 1 && error.fault == StoreFault::missing) {
        one_by_one(loads);
      } else {
        for (Load& load : loads) {
          put_back(load, {error.fault, error.what(), error.hint});
        }
      }
      return;
    } catch (const std::exception& error) {
      for (Load& load : loads) {
        put_back(load, {StoreFault::other, error.what(), {}});
      }
      return;
    }
    for (Load& load : loads) {
      done(load);
    }
  }

  // A log whose run is gone must not spoil the others'.
  void one_by_one(std::vector<Load>& loads) {
    for (Load& load : loads) {
      try {
        store.database.write("store a log", [&](Connection& c) {
          append(c, load.writer->attempt, load.pieces, load.cursor, load.left_out);
        });
        done(load);
      } catch (const StoreError& error) {
        put_back(load, {error.fault, error.what(), error.hint});
      }
    }
  }

  static void done(Load& load) {
    const std::scoped_lock lock(load.writer->mutex);
    load.writer->storing = false;
    load.writer->failing_since.reset();
    load.writer->changed.notify_all();
  }

  // A full disk and a held database may pass: try again until patience ends.
  void put_back(Load& load, LogWriter::Impl::Failure failure) {
    bool again = false;
    {
      const std::scoped_lock lock(load.writer->mutex);
      LogWriter::Impl& writer = *load.writer;
      writer.waiting.insert(0, load.bytes);
      writer.told = true;
      writer.storing = false;
      if (!writer.failing_since) {
        writer.failing_since = Clock::now();
      }
      again = (failure.fault == StoreFault::full || failure.fault == StoreFault::locked) &&
              Clock::now() - *writer.failing_since < store.options.patience;
      if (!again) {
        writer.failure = std::move(failure);
      }
      writer.changed.notify_all();
    }
    if (again) {
      poke(false);
    }
  }

  Store::Impl& store;
  std::mutex mutex;
  std::condition_variable_any wake;
  bool dirty = false, urgent = false;
  std::list<std::weak_ptr<LogWriter::Impl>> writers;
  std::jthread thread;  // last: it uses all of the above
};

LogWriter::LogWriter(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
LogWriter::LogWriter(LogWriter&&) noexcept = default;

LogWriter& LogWriter::operator=(LogWriter&& other) noexcept {
  if (this != &other) {
    LogWriter ending(std::move(*this));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

LogWriter::~LogWriter() {
  if (!impl_) {
    return;
  }
  try {
    flush();
  } catch (...) {  // told only by flush() and close()
  }
}

void LogWriter::write(std::string_view bytes, std::uint64_t raw_cursor) {
  bool now = false;
  {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait(lock, [&] { return impl_->failure || impl_->waiting.size() < too_much; });
    impl_->check();
    const bool idle = impl_->waiting.empty();
    impl_->take_in(bytes, raw_cursor);
    now = impl_->waiting.size() >= much;
    if (!idle && !now) {
      return;  // the flusher knows already
    }
  }
  impl_->store.flusher->poke(now);
}

void LogWriter::flush() {
  impl_->store.flusher->poke(true);
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock,
                      [&] { return impl_->failure || (impl_->waiting.empty() && !impl_->told && !impl_->storing); });
  impl_->check();
}

void LogWriter::close() {
  {
    const std::scoped_lock lock(impl_->mutex);
    if (!impl_->closed) {
      impl_->closed = true;
      impl_->close_tail();
    }
  }
  flush();
}

bool LogWriter::limited() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->over;
}

LogWriter Store::open_log(const AttemptKey& key) {
  const LogPlace place = impl_->database.read("open a log", [&](Connection& c) { return find_log(c, key); });
  auto writer = std::make_shared<LogWriter::Impl>(*impl_);
  writer->attempt = place.attempt;
  writer->stored = place.size;
  writer->cursor = place.cursor;
  writer->left_out = place.left_out;
  writer->over = place.size > impl_->options.log_limit;  // the notice is in it
  const std::scoped_lock lock(impl_->flusher_mutex);
  if (!impl_->flusher) {
    impl_->flusher = std::make_shared<Impl::Flusher>(*impl_);
  }
  impl_->flusher->add(writer);
  return LogWriter(std::move(writer));
}

void Store::append_log(const AttemptKey& key, std::string_view bytes, std::uint64_t raw_cursor) {
  const std::vector<PackedPiece> pieces = pack_pieces(bytes);
  impl_->database.write("store a log", [&](Connection& c) {
    const LogPlace place = find_log(c, key);
    append(c, place.attempt, pieces, raw_cursor, place.left_out);
  });
}

std::uint64_t Store::log_size(const AttemptKey& key) const {
  return impl_->database.read("read a log", [&](Connection& c) { return find_log(c, key).size; });
}

std::string Store::read_log(const AttemptKey& key, std::uint64_t offset, std::size_t max) const {
  return impl_->database.read("read a log", [&](Connection& c) {
    const LogPlace place = find_log(c, key);
    std::string bytes;
    if (max == 0 || offset >= place.size) {
      return bytes;
    }
    Query query(c,
                "SELECT start, size, codec, data FROM logs WHERE attempt = ?1 AND start >= "
                "(SELECT max(start) FROM logs WHERE attempt = ?1 AND start <= ?2) ORDER BY start",
                place.attempt, offset);
    while (bytes.size() < max && query.step()) {
      const std::uint64_t start = query.count(0);
      const std::string unpacked = unpack(query.integer(2), query.bytes(3), query.count(1));
      const std::string_view wanted = std::string_view(unpacked).substr(
          start < offset ? std::min<std::size_t>(offset - start, unpacked.size()) : 0);
      bytes += wanted.substr(0, max - bytes.size());
    }
    return bytes;
  });
}

std::uint64_t Store::read_log(const AttemptKey& key, std::uint64_t offset,
                              const std::function<void(std::string_view)>& sink) const {
  // Piece by piece, each in a read transaction of its own: a long one would keep the WAL from being emptied.
  for (;;) {
    const std::string bytes = read_log(key, offset, 8 * piece);
    if (bytes.empty()) {
      return offset;
    }
    sink(bytes);
    offset += bytes.size();
  }
}

std::string Store::log_tail(const AttemptKey& key, std::size_t lines, std::size_t max_bytes) const {
  if (lines == 0) {
    return {};
  }
  const std::uint64_t size = log_size(key);
  const std::uint64_t from = size > max_bytes ? size - max_bytes : 0;
  std::string bytes = read_log(key, from, max_bytes);
  std::size_t at = bytes.size();
  if (at > 0 && bytes.back() == '\n') {
    --at;  // the end of the last line, not of one before it
  }
  for (; lines > 0 && at > 0; --lines) {
    const std::size_t newline = bytes.rfind('\n', at - 1);
    if (newline == std::string::npos) {
      return bytes;
    }
    at = newline;
  }
  return lines > 0 ? bytes : bytes.substr(at + 1);
}

}  // namespace runner
