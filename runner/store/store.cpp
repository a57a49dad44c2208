#include "runner/store/store.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

UnixMs unix_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::queued:
      return "queued";
    case JobState::running:
      return "running";
    case JobState::final:
      return "final";
  }
  return "unknown";
}

double RunRow::seconds(UnixMs now) const {
  return static_cast<double>(std::max<UnixMs>(0, finished.value_or(now) - started)) / 1000.0;
}

Packed pack(std::string_view bytes, std::string& room) {
  constexpr std::size_t worth_trying = 256;  // below, the frame costs what is saved
  if (bytes.size() < worth_trying) {
    return {0, bytes};
  }
  room.resize(ZSTD_compressBound(bytes.size()));
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  const std::size_t size = ZSTD_compressCCtx(context.get(), room.data(), room.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size) != 0 || size > bytes.size() - bytes.size() / 20) {
    return {0, bytes};
  }
  return {1, std::string_view(room).substr(0, size)};
}

std::string unpack(std::int64_t codec, std::string_view stored, std::size_t size) {
  if (codec == 0) {
    return std::string(stored);
  }
  std::string bytes(size, '\0');
  const std::size_t got = ZSTD_decompress(bytes.data(), bytes.size(), stored.data(), stored.size());
  if (codec != 1 || ZSTD_isError(got) != 0 || got != size) {
    throw StoreError(StoreFault::corrupt, "a stored piece cannot be unpacked: the database is damaged");
  }
  return bytes;
}

Store::Impl::Impl(const Options& given)
    : options(given), database(options), processes(options.file.string() + ".lock") {
  owner = database.read("read the database's id", [](Connection& c) {
    Query query(c, "SELECT value FROM meta WHERE key = 'owner'");
    return query.step() ? query.text(0) : std::string();
  });
}

Store::Store(const Options& options) : impl_(std::make_unique<Impl>(options)) {}
Store::~Store() = default;

const std::filesystem::path& Store::file() const { return impl_->options.file; }
const std::string& Store::owner() const { return impl_->owner; }

std::filesystem::path Store::default_file(std::string_view xdg_state_home, std::string_view home) {
  // The XDG specification: a relative path is to be ignored.
  const std::filesystem::path base = xdg_state_home.starts_with('/') ? std::filesystem::path(xdg_state_home)
                                                                     : std::filesystem::path(home) / ".local" / "state";
  return base / "runner" / "runner.db";
}

std::uint64_t Store::change_counter() const { return impl_->database.data_version(); }

std::string Store::check() const {
  return impl_->database.read("check the database", [](Connection& c) {
    std::string found;
    Query query(c, "PRAGMA quick_check(20)");
    while (query.step()) {
      found += (found.empty() ? "" : "\n") + query.text(0);
    }
    return found;
  });
}

void Store::backup(const std::filesystem::path& to) const {
  impl_->database.outside_transaction("copy the database",
                                      [&](Connection& c) { Query(c, "VACUUM INTO ?", to.string()).run(); });
}

}  // namespace runner
