// Who drives what. A process that may hold leases is registered and holds a lock on its own byte of FILE.lock: the
// kernel lets go of it the moment the process dies, however it dies, so nobody has to send heartbeats, and a process
// id used again cannot be mistaken for the old one. Open-file-description locks, because they survive the closing of
// other descriptors of the same file and are not the fork's.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "runner/store/store_impl.h"

namespace runner {

using db::Connection;
using db::Query;

namespace {

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// When this process began, in clock ticks since boot: field 22 of /proc/self/stat, counted behind the name.
std::int64_t start_ticks() {
  const std::string line = first_line("/proc/self/stat");
  std::size_t at = line.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) {
    at = line.find(' ', at + 1);
  }
  return at == std::string::npos ? 0 : std::strtoll(line.c_str() + at, nullptr, 10);
}

struct flock lock_of(std::int64_t id) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = id;
  lock.l_len = 1;
  return lock;
}

}  // namespace

const std::string& Processes::host() {
  static const std::string name = [] {
    char buffer[256] = {};
    ::gethostname(buffer, sizeof buffer - 1);
    return std::string(buffer) + " " + first_line("/etc/machine-id");
  }();
  return name;
}

const std::string& Processes::boot() {
  static const std::string id = first_line("/proc/sys/kernel/random/boot_id");
  return id;
}

Processes::~Processes() {
  if (lock_ >= 0) {
    ::close(lock_);
  }
}

int Processes::lock_file() {
  const std::scoped_lock guard(opening_);
  if (lock_ < 0) {
    lock_ = ::open(lock_file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }
  return lock_;
}

std::int64_t Processes::self(db::Database& database) {
  const std::scoped_lock guard(registering_);
  if (id_ != 0) {
    return id_;
  }
  const int file = lock_file();
  if (file < 0) {
    throw StoreError(errno == ENOSPC ? StoreFault::full : StoreFault::other,
                     fmt::format("cannot open {}: {}", lock_file_.string(), std::generic_category().message(errno)),
                     "the database's directory must be writable");
  }
  std::random_device random;
  const std::string token = fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
  const std::int64_t id = database.write(
      "register this process",
      [&](Connection& c) {
        Query(c, "INSERT INTO processes(host, boot, pid, started, token) VALUES(?, ?, ?, ?, ?)", host(), boot(),
              ::getpid(), start_ticks(), token)
            .run();
        return c.last_id();
      },
      db::Urgency::result);
  struct flock lock = lock_of(id);
  if (::fcntl(file, F_OFD_SETLK, &lock) != 0) {
    throw StoreError(StoreFault::other,
                     fmt::format("cannot lock {}: {}", lock_file_.string(), std::generic_category().message(errno)),
                     "the database must be on a local file system");
  }
  id_ = id;
  return id;
}

bool Processes::alive(Connection& c, std::int64_t id) {
  if (id == id_) {
    return true;
  }
  {
    Query process(c, "SELECT host, boot FROM processes WHERE id = ?", id);
    if (!process.step()) {
      return false;
    }
    if (process.text(1) != boot()) {
      return process.text(0) != host();  // this host has been started anew since; another host cannot be asked
    }
  }
  const int file = lock_file();
  if (file < 0) {
    return true;
  }
  struct flock lock = lock_of(id);
  return ::fcntl(file, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

bool Store::Impl::claim(Connection& c, std::int64_t self, RunId run, std::uint32_t job) {
  std::int64_t holder = 0;
  {
    Query lease(c, "SELECT process FROM leases WHERE run = ? AND job = ?", run, job);
    holder = lease.step() ? lease.integer(0) : 0;
  }
  if (holder == self) {
    return true;
  }
  if (holder != 0 && processes.alive(c, holder)) {
    return false;
  }
  Query(c, "INSERT INTO leases(run, job, process) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET process = excluded.process",
        run, job, self)
      .run();
  return true;
}

namespace {

std::vector<RunId> unfinished(db::Database& database, Processes& processes, bool driven) {
  return database.read("look for unfinished runs", [&](Connection& c) {
    std::vector<std::pair<RunId, std::int64_t>> found;
    {
      Query query(c,
                  "SELECT r.id, ifnull(l.process, 0) FROM runs r LEFT JOIN leases l ON l.run = r.id AND l.job = 0 "
                  "WHERE r.outcome IS NULL ORDER BY r.id");
      while (query.step()) {
        found.emplace_back(query.count(0), query.integer(1));
      }
    }
    std::vector<RunId> runs;
    for (const auto& [run, process] : found) {
      if ((process != 0 && processes.alive(c, process)) == driven) {
        runs.push_back(run);
      }
    }
    return runs;
  });
}

}  // namespace

std::vector<RunId> Store::orphaned_runs() const { return unfinished(impl_->database, impl_->processes, false); }
std::vector<RunId> Store::driven_runs() const { return unfinished(impl_->database, impl_->processes, true); }

bool Store::adopt_run(RunId run) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  return impl_->database.write("take over a run", [&](Connection& c) {
    {
      Query query(c, "SELECT 1 FROM runs WHERE id = ? AND outcome IS NULL", run);
      if (!query.step()) {
        return false;
      }
    }
    if (!impl_->claim(c, self, run, 0)) {
      return false;
    }
    std::vector<std::uint32_t> jobs;
    {
      Query query(c, "SELECT job FROM leases WHERE run = ? AND job <> 0", run);
      while (query.step()) {
        jobs.push_back(static_cast<std::uint32_t>(query.integer(0)));
      }
    }
    for (const std::uint32_t job : jobs) {
      impl_->claim(c, self, run, job);  // one that another process drives stays there
    }
    return true;
  });
}

void Store::release_run(RunId run) {
  const std::int64_t self = impl_->processes.self(impl_->database);
  impl_->database.write(
      "let go of a run",
      [&](Connection& c) { Query(c, "DELETE FROM leases WHERE run = ? AND process = ?", run, self).run(); },
      db::Urgency::result);
}

}  // namespace runner
