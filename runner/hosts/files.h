// Copying single files for snapshots. Errors are GitErrors that say what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace runner::files {

// The snapshot's modes, whatever the umask.
inline constexpr unsigned directory_mode = 0777, file_mode = 0666, executable_mode = 0777;

[[noreturn]] void fail(std::string_view what, const std::filesystem::path&, int error);

void make_directory(const std::filesystem::path&);  // with those above it; one that exists is fine
// Reflink, else copy_file_range, else read and write. False when `from` is gone.
bool copy_file(const std::filesystem::path& from, const std::filesystem::path& to, unsigned mode);
void write_file(const std::filesystem::path&, std::string_view bytes, unsigned mode = file_mode);
void make_symlink(const std::string& target, const std::filesystem::path&);
std::string read_file(const std::filesystem::path&);  // empty when there is none
// False where links are not possible (another device, not ours, too many): copy instead.
bool link_file(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace runner::files
