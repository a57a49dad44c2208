#include "runner/hosts/lfs.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_pointer = 1024;  // bytes, exclusive (docs/spec.md)

fs::path objects_of(git_repository* repository) {
  const fs::path common = git_repository_commondir(repository);
  git::Config config;
  git::Config snapshot;
  const char* storage = nullptr;
  if (git_repository_config(git::into(config), repository) == 0 &&
      git_config_snapshot(git::into(snapshot), config.get()) == 0 &&
      git_config_get_string(&storage, snapshot.get(), "lfs.storage") == 0 && storage != nullptr && *storage != '\0') {
    return common / storage / "objects";
  }
  return common / "lfs" / "objects";
}

}  // namespace

std::optional<LfsPointer> read_pointer(std::string_view text) {
  constexpr std::string_view version = "version https://git-lfs.github.com/spec/v1\n";
  constexpr std::string_view hash = "\noid sha256:";
  constexpr std::string_view length = "\nsize ";
  constexpr std::size_t digits = 64;
  if (text.size() >= longest_pointer || !text.starts_with(version)) {
    return std::nullopt;
  }
  const std::size_t oid = text.find(hash);
  const std::size_t size = text.find(length);
  if (oid == std::string_view::npos || size == std::string_view::npos) {
    return std::nullopt;
  }
  LfsPointer pointer;
  pointer.oid = text.substr(oid + hash.size(), digits);
  const bool good = pointer.oid.size() == digits && std::ranges::all_of(pointer.oid, [](char c) {
                      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                    });
  const char* begin = text.data() + size + length.size();
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), pointer.size);
  if (!good || error != std::errc() || end == begin) {
    return std::nullopt;
  }
  return pointer;
}

Lfs::Lfs(git_repository* repository, const git_oid& commit, bool attributes)
    : repository_(repository), commit_(commit), attributes_(attributes) {
  if (attributes_) {
    objects_ = objects_of(repository);
  }
}

std::optional<LfsPointer> Lfs::pointer(const std::string& path, const git_oid& blob) const {
  if (!attributes_) {
    return std::nullopt;
  }
  git_attr_options options{};  // its macro leaves fields out, which is a warning
  options.version = GIT_ATTR_OPTIONS_VERSION;
  options.flags = GIT_ATTR_CHECK_INDEX_ONLY | GIT_ATTR_CHECK_NO_SYSTEM | GIT_ATTR_CHECK_INCLUDE_COMMIT;
  options.attr_commit_id = commit_;
  const char* filter = nullptr;
  if (git_attr_get_ext(&filter, repository_, &options, path.c_str(), "filter") != 0 || filter == nullptr ||
      std::string_view(filter) != "lfs") {
    return std::nullopt;
  }
  git::Blob object;
  if (git_blob_lookup(git::into(object), repository_, &blob) != 0) {
    return std::nullopt;
  }
  const auto size = static_cast<std::size_t>(git_blob_rawsize(object.get()));
  return read_pointer({static_cast<const char*>(git_blob_rawcontent(object.get())), size});
}

std::optional<fs::path> Lfs::find(const LfsPointer& pointer) const {
  const fs::path file = objects_ / pointer.oid.substr(0, 2) / pointer.oid.substr(2, 2) / pointer.oid;
  std::error_code error;
  if (!fs::is_regular_file(file, error) || fs::file_size(file, error) != pointer.size || error) {
    return std::nullopt;
  }
  return file;
}

}  // namespace runner
