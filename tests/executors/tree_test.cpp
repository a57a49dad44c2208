// Copies of trees, the merged view of overlay layers, and artifacts.
#include "executors/workspace/tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <functional>
#include <map>
#include <set>

#include "executors/workspace/artifact_filter.h"
#include "executors/workspace/merged_view.h"
#include "tests/executors/sandbox.h"

namespace executors {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

mode_t mode_of(const fs::path& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}
ino_t inode_of(const fs::path& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// Path → content ("-> target" for links, "/" for directories).
std::map<std::string, std::string> content(const fs::path& root) {
  std::map<std::string, std::string> all;
  if (!fs::exists(root)) return all;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const auto path = fs::relative(entry.path().parent_path(), root) / entry.path().filename();
    const auto name = path.lexically_normal().string();
    if (entry.is_symlink()) {
      all[name] = "-> " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_directory()) {
      all[name] = "/";
    } else {
      all[name] = read_file(entry.path());
    }
  }
  return all;
}
using Content = std::map<std::string, std::string>;

// `levels` directories with long names, each in the last one: far longer than any path may be.
void make_deep(const fs::path& root, int levels) {
  fs::create_directories(root);
  const std::string name(200, 'd');
  UniqueFd directory(::open(root.c_str(), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < levels; ++i) {
    ASSERT_EQ(::mkdirat(directory.get(), name.c_str(), 0700), 0);
    directory = UniqueFd(::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(directory);
  }
}

void whiteout(const fs::path& path) {
  fs::create_directories(path.parent_path());
  ASSERT_EQ(::mknod(path.c_str(), S_IFCHR | 0666, makedev(0, 0)), 0);
}

TEST(CopyTree, CopiesFilesLinksAndNormalModes) {
  const TemporaryDirectory directory;
  const auto from = directory / "from";
  write_file(from / "a/b/file", "text");
  write_file(from / "tool", "#!/bin/sh");
  write_file(from / "empty", "");
  fs::create_symlink("/etc/passwd", from / "link");
  fs::create_symlink("nowhere", from / "a/dangling");
  fs::create_directory(from / "void");
  ::chmod((from / "tool").c_str(), 0750);
  ::chmod((from / "a/b/file").c_str(), 0400);
  ::chmod((from / "a/b").c_str(), 0500);
  ASSERT_EQ(::mkfifo((from / "fifo").c_str(), 0600), 0);
  const mode_t before = ::umask(0077);
  copy_tree(from, directory / "to");
  ::umask(before);
  EXPECT_EQ(content(directory / "to"), (Content{{"a", "/"},
                                                {"a/b", "/"},
                                                {"a/b/file", "text"},
                                                {"a/dangling", "-> nowhere"},
                                                {"empty", ""},
                                                {"link", "-> /etc/passwd"},
                                                {"tool", "#!/bin/sh"},
                                                {"void", "/"}}));
  EXPECT_EQ(mode_of(directory / "to"), 0777U);
  EXPECT_EQ(mode_of(directory / "to/a/b"), 0777U);
  EXPECT_EQ(mode_of(directory / "to/a/b/file"), 0400U);
  EXPECT_EQ(mode_of(directory / "to/tool"), 0750U);
  EXPECT_EQ(mode_of(from / "tool"), 0750U);  // the user's own is never touched
  EXPECT_EQ(fs::last_write_time(from / "tool"), fs::last_write_time(directory / "to/tool"));
  ::chmod((from / "a/b").c_str(), 0700);
}

std::int64_t blocks_of(const fs::path& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_blocks : -1;
}

TEST(CopyTree, HolesStayHoles) {
  const TemporaryDirectory directory;
  constexpr std::uintmax_t size = 64 << 20;
  write_file(directory / "from/hole", "");
  fs::resize_file(directory / "from/hole", size);
  write_file(directory / "from/mixed", std::string(10'000, 'x'));
  fs::resize_file(directory / "from/mixed", size);
  {
    std::fstream file(directory / "from/mixed", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(32 << 20);
    file << "in the middle";
  }
  if (blocks_of(directory / "from/mixed") > 1000) GTEST_SKIP() << "this file system has no holes";
  copy_tree(directory / "from", directory / "to");
  for (const char* name : {"hole", "mixed"}) {
    EXPECT_EQ(fs::file_size(directory / "to" / name), size) << name;
    EXPECT_LE(blocks_of(directory / "to" / name), blocks_of(directory / "from" / name) + 64) << name;
    EXPECT_TRUE(read_file(directory / "to" / name) == read_file(directory / "from" / name)) << name;
  }
}

TEST(CopyTree, OwnersAreKeptWhereTheyMayBe) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  const TemporaryDirectory directory;
  write_file(directory / "from/file", "text");
  ::chmod((directory / "from/file").c_str(), 0600);
  ASSERT_EQ(::chown((directory / "from/file").c_str(), 1234, 1235), 0);
  copy_tree(directory / "from", directory / "to");
  struct stat info = {};
  ASSERT_EQ(::lstat((directory / "to/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1234U);
  EXPECT_EQ(info.st_gid, 1235U);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
}

TEST(CopyTree, ManyFilesInOneDirectoryAndInMany) {
  const TemporaryDirectory directory;
  const auto from = directory / "from";
  fs::create_directories(from / "flat");
  for (int i = 0; i < 3000; ++i) std::ofstream(from / "flat" / std::to_string(i)) << i;
  for (int i = 0; i < 500; ++i) write_file(from / "deep" / std::to_string(i % 20) / std::to_string(i) / "file", "x");
  copy_tree(from, directory / "to");
  EXPECT_EQ(content(from), content(directory / "to"));
}

TEST(CopyTree, SaysWhatIsMissing) {
  const TemporaryDirectory directory;
  try {
    copy_tree(directory / "none", directory / "to");
    FAIL();
  } catch (const WorldError& error) {
    EXPECT_THAT(error.what(), HasSubstr("No such file"));
    EXPECT_EQ(error.reason, "runner_system_failure");
  }
}

TEST(OverlayCopy, LaterInputsWinOverAnythingThatIsThere) {
  const TemporaryDirectory directory;
  const auto to = directory / "to";
  write_file(to / "same", "old");
  write_file(to / "kept", "kept");
  write_file(to / "directory/x", "x");
  write_file(to / "file", "file");
  fs::create_directory_symlink("/etc", to / "link");
  write_file(directory / "1/same", "first");
  write_file(directory / "1/directory", "now a file");
  write_file(directory / "1/file/inner", "now a directory");
  write_file(directory / "1/link/passwd", "not the host's");
  write_file(directory / "2/same", "second");
  overlay_copy({directory / "1", directory / "2"}, to);
  EXPECT_EQ(content(to), (Content{{"same", "second"},
                                  {"kept", "kept"},
                                  {"directory", "now a file"},
                                  {"file", "/"},
                                  {"file/inner", "now a directory"},
                                  {"link", "/"},
                                  {"link/passwd", "not the host's"}}));
}

TEST(RemoveTree, RemovesWhatIsReadOnlyAndFollowsNothing) {
  const TemporaryDirectory directory;
  write_file(directory / "outside/file", "safe");
  const auto tree = directory / "tree";
  write_file(tree / "a/b/c", "x");
  fs::create_directory_symlink(directory / "outside", tree / "link");
  ::chmod((tree / "a/b").c_str(), 0);
  ::chmod((tree / "a").c_str(), 0500);
  EXPECT_TRUE(remove_tree(tree));
  EXPECT_FALSE(fs::exists(tree));
  EXPECT_EQ(read_file(directory / "outside/file"), "safe");
  EXPECT_TRUE(remove_tree(directory / "none"));
  fs::create_directory_symlink(directory / "outside", directory / "link");
  EXPECT_TRUE(remove_tree(directory / "link"));
  EXPECT_EQ(read_file(directory / "outside/file"), "safe");
}

TEST(RemoveTree, DeeperThanAnyPath) {
  const TemporaryDirectory directory;
  make_deep(directory / "tree", 3000);
  EXPECT_TRUE(remove_tree(directory / "tree"));
  EXPECT_FALSE(fs::exists(directory / "tree"));
}

TEST(ArtifactPatterns, RelativeToTheProject) {
  EXPECT_EQ(relative_pattern("dist/", "/p"), "dist");
  EXPECT_EQ(relative_pattern("./a//b/.", "/p"), "a/b");
  EXPECT_EQ(relative_pattern("a/../b", "/p"), "b");
  EXPECT_EQ(relative_pattern("/p/dist", "/p"), "dist");
  EXPECT_EQ(relative_pattern("/p", "/p/"), "");
  EXPECT_EQ(relative_pattern(".", "/p"), "");
  EXPECT_EQ(relative_pattern("/project/x", "/p"), std::nullopt);
  EXPECT_EQ(relative_pattern("/etc/passwd", "/p"), std::nullopt);
  EXPECT_EQ(relative_pattern("../x", "/p"), std::nullopt);
  EXPECT_EQ(relative_pattern("a/../../x", "/p"), std::nullopt);
  EXPECT_EQ(relative_pattern("**/../x", "/p"), std::nullopt);
  EXPECT_EQ(relative_pattern("/p/../x", "/p"), std::nullopt);
  EXPECT_FALSE(leaves_project("a/b", "../c"));
  EXPECT_TRUE(leaves_project("a/b", "../../c"));
  EXPECT_TRUE(leaves_project("b", "x/../../c"));
  EXPECT_TRUE(leaves_project("b", "/etc"));
  EXPECT_FALSE(leaves_project("b", "c"));
}

class Collect : public testing::Test {
 protected:
  // The workspace of these tests: up over low.
  std::vector<Collected> take(bool passed = true) {
    notices_.warnings.clear();
    return collect({{up_, low_}}, "/builds/p", tracked_, spec_, passed, layer_, notices_);
  }
  bool opaque(const fs::path& path) {
    fs::create_directories(path);
    return ::setxattr(path.c_str(), "user.overlay.opaque", "y", 1, 0) == 0;
  }

  TemporaryDirectory directory_;
  fs::path up_ = directory_ / "up", low_ = directory_ / "low", layer_ = directory_ / "layers/1",
           tracked_ = directory_ / "tracked";
  ArtifactsSpec spec_;
  KeptNotices notices_;
};

TEST_F(Collect, ADirectoryOfTheJobIsMovedAsAWhole) {
  write_file(up_ / "dist/a/file", "a");
  write_file(up_ / "dist/tool", "t");
  write_file(up_ / "other", "o");
  fs::create_directories(up_ / "dist/empty");
  ::chmod((up_ / "dist/tool").c_str(), 0700);
  ::chmod((up_ / "dist/a").c_str(), 0700);
  const auto inode = inode_of(up_ / "dist");
  spec_.paths = {"dist/"};
  const auto taken = take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].kind, "archive");
  EXPECT_EQ(taken[0].directory, layer_);
  EXPECT_EQ(taken[0].files, 2U);
  EXPECT_EQ(taken[0].bytes, 2U);
  EXPECT_EQ(content(layer_),
            (Content{{"dist", "/"}, {"dist/a", "/"}, {"dist/a/file", "a"}, {"dist/empty", "/"}, {"dist/tool", "t"}}));
  EXPECT_EQ(inode_of(layer_ / "dist"), inode);
  EXPECT_EQ(mode_of(layer_ / "dist/a"), 0777U);
  EXPECT_EQ(mode_of(layer_ / "dist/tool"), 0700U);
  EXPECT_EQ(mode_of(layer_), 0777U);
  EXPECT_THAT(notices_.warnings, IsEmpty());
}

TEST_F(Collect, FilesKeepTheirModes) {
  const std::map<std::string, std::pair<mode_t, mode_t>> files = {
      {"key", {0600, 0600}},    {"read-only", {0444, 0444}}, {"plain", {0644, 0644}},     {"tool", {04755, 0755}},
      {"group", {02770, 0770}}, {"nobody's", {0000, 0400}},  {"write-only", {0200, 0600}}};
  for (const char* directory : {"whole", "part"}) {
    for (const auto& [name, modes] : files) {
      write_file(up_ / directory / name, name);
      ASSERT_EQ(::chmod((up_ / directory / name).c_str(), modes.first), 0);
    }
  }
  fs::create_hard_link(up_ / "part/key", up_ / "part/other name");  // is copied
  write_file(low_ / "part/handed on", "x");
  ::chmod((low_ / "part/handed on").c_str(), 0440);
  const auto inode = inode_of(low_ / "part/handed on");
  spec_.paths = {"whole", "part/*"};
  take();
  for (const char* directory : {"whole", "part"}) {
    for (const auto& [name, modes] : files) {
      EXPECT_EQ(mode_of(layer_ / directory / name), modes.second) << directory << "/" << name;
      EXPECT_EQ(read_file(layer_ / directory / name), name);
    }
  }
  EXPECT_EQ(mode_of(layer_ / "part/other name"), 0600U);
  EXPECT_EQ(mode_of(layer_ / "part/handed on"), 0440U);
  EXPECT_EQ(inode_of(layer_ / "part/handed on"), inode) << "not copied";
}

TEST_F(Collect, TheMergedViewIsTaken) {
  write_file(low_ / "dist/kept", "low");
  write_file(low_ / "dist/changed", "low");
  write_file(low_ / "dist/removed", "low");
  write_file(low_ / "dist/gone/x", "low");
  write_file(low_ / "dist/sub/deep/x", "low");
  write_file(up_ / "dist/changed", "up");
  write_file(up_ / "dist/new/x", "up");
  whiteout(up_ / "dist/removed");
  whiteout(up_ / "dist/gone");
  const auto inode = inode_of(low_ / "dist/kept");
  ::chmod((low_ / "dist/kept").c_str(), 0666);
  spec_.paths = {"dist"};
  const auto taken = take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"},
                                      {"dist/kept", "low"},
                                      {"dist/changed", "up"},
                                      {"dist/new", "/"},
                                      {"dist/new/x", "up"},
                                      {"dist/sub", "/"},
                                      {"dist/sub/deep", "/"},
                                      {"dist/sub/deep/x", "low"}}));
  EXPECT_EQ(inode_of(layer_ / "dist/kept"), inode);  // shared: nobody writes to either
  EXPECT_EQ(content(low_).size(), 9U);
}

TEST_F(Collect, AnOpaqueDirectoryHidesWhatIsBelow) {
  write_file(low_ / "dist/old", "low");
  if (!opaque(up_ / "dist")) GTEST_SKIP() << "no user attributes on this file system";
  write_file(up_ / "dist/new", "up");
  ASSERT_TRUE(opaque(up_ / "dist/inner"));
  spec_.paths = {"dist"};
  const auto taken = take();
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"}, {"dist/inner", "/"}, {"dist/new", "up"}}));
  for (const char* name : {"dist", "dist/inner"}) {
    char value = 0;
    EXPECT_LT(::getxattr((layer_ / name).c_str(), "user.overlay.opaque", &value, 1), 0) << name;
  }
}

TEST_F(Collect, ThreeLayersAndKindsThatChange) {
  const auto mid = directory_ / "mid";
  write_file(low_ / "a/x", "low");
  write_file(low_ / "b/x", "low");
  write_file(low_ / "c", "low");
  write_file(mid / "a", "a file hides the directory below");
  whiteout(mid / "b");
  write_file(mid / "c/x", "mid");
  write_file(up_ / "a/y", "up");  // as overlayfs would have made it, but for the mark
  write_file(up_ / "b/y", "up");
  spec_.paths = {"*"};
  collect({{up_, mid, low_}}, "", {}, spec_, true, layer_, notices_);
  EXPECT_EQ(content(layer_),
            (Content{{"a", "/"}, {"a/y", "up"}, {"b", "/"}, {"b/y", "up"}, {"c", "/"}, {"c/x", "mid"}}));
}

TEST_F(Collect, GlobsAndExclude) {
  for (const char* name : {"dist/a.js", "dist/a.map", "dist/sub/b.js", "dist/sub/b.map", "src/c.js", "top.js"}) {
    write_file(up_ / name, name);
  }
  spec_.paths = {"dist/", "*.js"};
  spec_.exclude = {"dist/**/*.map"};
  take();
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"},
                                      {"dist/a.js", "dist/a.js"},
                                      {"dist/sub", "/"},
                                      {"dist/sub/b.js", "dist/sub/b.js"},
                                      {"top.js", "top.js"}}));
  EXPECT_THAT(notices_.warnings, IsEmpty());
}

TEST_F(Collect, ADirectoryMatchedByAGlobIsTakenWithAllBelow) {
  write_file(up_ / "pkg-1/sub/x", "1");
  write_file(up_ / "pkg-2/x", "2");
  write_file(low_ / "pkg-2/y", "2");
  spec_.paths = {"pkg-*"};
  take();
  EXPECT_EQ(content(layer_), (Content{{"pkg-1", "/"},
                                      {"pkg-1/sub", "/"},
                                      {"pkg-1/sub/x", "1"},
                                      {"pkg-2", "/"},
                                      {"pkg-2/x", "2"},
                                      {"pkg-2/y", "2"}}));
}

TEST_F(Collect, TheProjectItself) {
  write_file(up_ / "a", "1");
  write_file(low_ / "b/c", "2");
  spec_.paths = {"/builds/p"};
  take();
  EXPECT_EQ(content(layer_), (Content{{"a", "1"}, {"b", "/"}, {"b/c", "2"}}));
}

TEST_F(Collect, AbsolutePatternsBelowTheProjectAndPathsOutside) {
  write_file(up_ / "dist/x", "1");
  spec_.paths = {"/builds/p/dist", "/etc/passwd", "../secret", "missing/"};
  const auto taken = take();
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"}, {"dist/x", "1"}}));
  EXPECT_THAT(notices_.warnings,
              ElementsAre("artifacts: /etc/passwd lies outside the project's directory: nothing taken",
                          "artifacts: ../secret lies outside the project's directory: nothing taken",
                          "artifacts: missing/ matched nothing"));
}

TEST_F(Collect, NothingMatchedIsNothingTaken) {
  write_file(up_ / "a", "1");
  spec_.paths = {"dist/"};
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_THAT(notices_.warnings, ElementsAre("artifacts: dist/ matched nothing"));
  EXPECT_FALSE(fs::exists(layer_));
  EXPECT_THAT(collect({{directory_ / "none"}}, "", {}, spec_, true, layer_, notices_), IsEmpty());
}

TEST_F(Collect, LinksOutOfTheProjectFifosAndSocketsAreLeftOut) {
  for (const char* place : {"whole", "merged"}) {
    const auto at = up_ / place;
    write_file(at / "file", "1");
    fs::create_symlink("/etc/passwd", at / "absolute");
    fs::create_symlink("../../../etc/passwd", at / "climbing");
    fs::create_symlink("file", at / "inside");
    fs::create_directory_symlink("../" + std::string(place), at / "self");
    ASSERT_EQ(::mkfifo((at / "fifo").c_str(), 0600), 0);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {AF_UNIX, {}};
    (at / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
  }
  write_file(low_ / "merged/low", "2");
  spec_.paths = {"whole", "merged"};
  take();
  Content expected = {{"merged", "/"}, {"merged/low", "2"}, {"whole", "/"}};
  for (const std::string place : {"whole", "merged"}) {
    expected[place + "/file"] = "1";
    expected[place + "/inside"] = "-> file";
    expected[place + "/self"] = "-> ../" + place;
  }
  EXPECT_EQ(content(layer_), expected);
  ASSERT_EQ(notices_.warnings.size(), 6U);  // five and how many more
  EXPECT_THAT(notices_.warnings.back(), HasSubstr("3 more left out"));
}

TEST_F(Collect, AFileWithAnotherNameIsCopied) {
  write_file(directory_ / "precious", "1");
  ::chmod((directory_ / "precious").c_str(), 0600);
  fs::create_directories(up_ / "dist");
  fs::create_hard_link(directory_ / "precious", up_ / "dist/file");
  fs::create_hard_link(directory_ / "precious", up_ / "single");
  spec_.paths = {"dist", "single"};
  take();
  EXPECT_EQ(read_file(layer_ / "dist/file"), "1");
  EXPECT_EQ(read_file(layer_ / "single"), "1");
  EXPECT_NE(inode_of(layer_ / "dist/file"), inode_of(directory_ / "precious"));
  EXPECT_NE(inode_of(layer_ / "single"), inode_of(directory_ / "precious"));
  EXPECT_EQ(mode_of(directory_ / "precious"), 0600U);
}

TEST_F(Collect, AppendingToAnInheritedFileLeavesTheStoredOneAlone) {
  write_file(low_ / "dist/file", "stored");
  ::chmod((low_ / "dist/file").c_str(), 0666);
  write_file(up_ / "dist/file", "stored and more");  // what overlayfs's copy-up makes of an append
  spec_.paths = {"dist"};
  take();
  EXPECT_EQ(read_file(low_ / "dist/file"), "stored");
  EXPECT_EQ(read_file(layer_ / "dist/file"), "stored and more");
}

TEST_F(Collect, Untracked) {
  write_file(tracked_, std::string("src/a\0top\0.gitignore\0", 21));
  for (const char* name : {"src/a", "top", ".gitignore"}) write_file(low_ / name, "tracked");
  write_file(low_ / "notes", "untracked from the beginning");
  write_file(up_ / "top", "changed");
  write_file(up_ / "src/made", "1");
  write_file(up_ / "build/x/y", "2");
  write_file(up_ / ".git/HEAD", "3");
  write_file(up_ / "core.log", "4");
  spec_.untracked = true;
  spec_.exclude = {"*.log"};
  take();
  EXPECT_EQ(content(layer_), (Content{{"build", "/"},
                                      {"build/x", "/"},
                                      {"build/x/y", "2"},
                                      {"notes", "untracked from the beginning"},
                                      {"src", "/"},
                                      {"src/made", "1"}}));
}

TEST_F(Collect, WhenSelectsTheArchiveButNotTheReports) {
  write_file(up_ / "dist/report.xml", "<x/>");
  write_file(up_ / "build.env", "A=1");
  spec_.paths = {"dist"};
  spec_.reports = {{"junit", {"dist/*.xml"}}, {"dotenv", {"build.env"}}, {"cobertura", {"none.xml"}}};
  auto taken = take(false);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].kind, "junit");
  EXPECT_EQ(taken[0].directory, fs::path(layer_.string() + ".reports") / "junit");
  EXPECT_EQ(read_file(taken[0].directory / "dist/report.xml"), "<x/>");
  EXPECT_EQ(taken[1].kind, "dotenv");
  EXPECT_THAT(notices_.warnings, ElementsAre("artifacts: reports: cobertura: none.xml matched nothing"));
  EXPECT_FALSE(fs::exists(layer_));
  remove_tree(layer_.string() + ".reports");

  spec_.when = pipelines::ArtifactsWhen::on_failure;
  taken = take(false);
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"}, {"dist/report.xml", "<x/>"}}));
  EXPECT_NE(inode_of(layer_ / "dist/report.xml"), inode_of(taken[0].directory / "dist/report.xml"));
}

TEST_F(Collect, UnreadableThingsOfTheOwnerAreMadeReadable) {
  write_file(up_ / "dist/secret/file", "1");
  ::chmod((up_ / "dist/secret/file").c_str(), 0);
  ::chmod((up_ / "dist/secret").c_str(), 0);
  ::chmod((up_ / "dist").c_str(), 0);
  spec_.paths = {"dist"};
  take();
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"}, {"dist/secret", "/"}, {"dist/secret/file", "1"}}));
}

TEST_F(Collect, TwentyThousandFiles) {
  for (int i = 0; i < 20000; ++i) {
    const auto at = up_ / "dist" / std::to_string(i % 50);
    if (i < 50) fs::create_directories(at);
    std::ofstream(at / std::to_string(i)) << i;
  }
  spec_.paths = {"dist/**/*"};
  const auto begin = std::chrono::steady_clock::now();
  const auto taken = take();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::cerr << "20,000 files: " << seconds.count() << " s\n";
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].files, 20000U);
  EXPECT_LT(seconds.count(), 10);
}

TEST_F(Collect, ADeepTreeDoesNoHarm) {
  make_deep(up_ / "dist", 300);
  write_file(up_ / "dist/file", "x");
  spec_.paths = {"dist"};
  take();
  EXPECT_EQ(read_file(layer_ / "dist/file"), "x");
  EXPECT_THAT(notices_.warnings, ElementsAre(HasSubstr("is too long and left out")));
  EXPECT_TRUE(remove_tree(layer_));
  EXPECT_TRUE(remove_tree(up_));
}

TEST_F(Collect, AFullDiskSaysWhichFile) {
  const auto small = directory_ / "small";
  fs::create_directories(small);
  if (::geteuid() != 0 || ::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "needs a small file system: only root can mount one";
  }
  write_file(up_ / "dist/big", std::string(1 << 20, 'x'));
  spec_.paths = {"dist"};
  layer_ = small / "layer";
  try {
    take();
    ADD_FAILURE();
  } catch (const WorldError& error) {
    EXPECT_EQ(error.reason, "artifacts_failed");
    EXPECT_STREQ(error.what(), "artifacts: cannot store dist/big: No space left on device");
    EXPECT_THAT(error.hint, HasSubstr("the disk is full"));
  }
  EXPECT_FALSE(fs::exists(layer_));
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

// --- caches ----------------------------------------------------------------------------------------------------------

class CollectCaches : public Collect {
 protected:
  static constexpr auto hour = std::chrono::hours(1);
  // Of a job that began now: what was laid out before is older.
  std::vector<CollectedCache> take_caches(bool passed = true, bool more = false) {
    notices_.warnings.clear();
    return collect_caches({layers_}, "/builds/p", tracked_, caches_, passed, more, layer_, begun_, notices_);
  }
  CacheSpec& cache(std::vector<std::string> paths, const fs::path& restored = {}) {
    CacheSpec& made = caches_.emplace_back();
    made.number = caches_.size() - 1;
    made.paths = std::move(paths);
    made.restored = restored;
    return made;
  }
  // A restored cache with two files and a directory, as a layer between the job's own and the sources.
  void restore() {
    write_file(restored_ / "node_modules/a/index.js", "1");
    write_file(restored_ / "node_modules/b.js", "2");
    write_file(low_ / "source.c", "s");
    fs::create_directories(up_);
    layers_ = {up_, restored_, low_};
    cache({"node_modules/"}, restored_);
  }
  fs::path restored_ = directory_ / "c/7";
  std::vector<fs::path> layers_ = {up_, low_};
  std::vector<CacheSpec> caches_;
  std::chrono::system_clock::time_point begun_ = std::chrono::system_clock::now() + hour;
};

TEST_F(CollectCaches, IsTakenBesideTheArtifacts) {
  write_file(up_ / "node_modules/a", "1");
  write_file(up_ / "dist/b", "2");
  cache({"node_modules"});
  spec_.paths = {"dist", "node_modules"};
  const auto taken = take_caches(true, true);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_FALSE(taken[0].unchanged);
  EXPECT_EQ(taken[0].tree.files, 1U);
  EXPECT_EQ(content(taken[0].tree.directory), (Content{{"node_modules", "/"}, {"node_modules/a", "1"}}));
  take();
  EXPECT_EQ(content(layer_), (Content{{"dist", "/"}, {"dist/b", "2"}, {"node_modules", "/"}, {"node_modules/a", "1"}}));
}

TEST_F(CollectCaches, TheLastTakerMovesWholeDirectories) {
  write_file(up_ / "node_modules/a", "1");
  const auto inode = inode_of(up_ / "node_modules");
  cache({"node_modules"});
  EXPECT_EQ(inode_of(take_caches().at(0).tree.directory / "node_modules"), inode);
}

TEST_F(CollectCaches, When) {
  write_file(up_ / "a", "1");
  cache({"a"}).when = pipelines::ArtifactsWhen::on_failure;
  EXPECT_THAT(take_caches(true), IsEmpty());
  EXPECT_FALSE(takes_caches(caches_, true));
  EXPECT_TRUE(takes_caches(caches_, false));
  EXPECT_EQ(take_caches(false).size(), 1U);
}

TEST_F(CollectCaches, PathsWithoutAMatchAreAWarning) {
  write_file(up_ / "a", "1");
  cache({"nothing"});
  EXPECT_THAT(take_caches(), IsEmpty());
  EXPECT_THAT(notices_.warnings, ElementsAre("cache: nothing matched nothing"));
}

TEST_F(CollectCaches, AsRestored) {
  restore();
  ASSERT_EQ(take_caches().size(), 1U);
  EXPECT_TRUE(take_caches()[0].unchanged);
  write_file(up_ / "other/file", "beside it");
  EXPECT_TRUE(take_caches()[0].unchanged);
  fs::create_directories(up_ / "node_modules");  // copied up, and nothing was changed in it
  EXPECT_TRUE(take_caches()[0].unchanged);
}

TEST_F(CollectCaches, NotAsRestored) {
  const std::vector<std::function<void()>> changes = {
      [&] { write_file(up_ / "node_modules/new", "3"); },
      [&] { write_file(up_ / "node_modules/b.js", "2"); },  // written anew, if only the same
      [&] { write_file(up_ / "node_modules/a/index.js", "9"); },
      [&] { fs::create_directories(up_ / "node_modules/empty"); },
      [&] {
        fs::create_directories(up_ / "node_modules");
        if (::mknod((up_ / "node_modules/b.js").c_str(), S_IFCHR, makedev(0, 0)) != 0)
          write_file(up_ / "node_modules/x", "");
      },
      [&] { caches_[0].paths = {"node_modules/a"}; },
      [&] { caches_[0].paths.emplace_back("source.c"); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    caches_.clear();
    remove_tree(up_);
    remove_tree(layer_.string() + ".caches");
    restore();
    changes[i]();
    ASSERT_EQ(take_caches(true, true).size(), 1U);
    remove_tree(layer_.string() + ".caches");
    EXPECT_FALSE(take_caches(true, true)[0].unchanged);
  }
}

// Where there are no layers: a copy is the same while nobody touched it since the job began.
TEST_F(CollectCaches, ACopyIsAsRestoredByItsTimes) {
  restore();
  const fs::path workspace = directory_ / "ws";
  fs::create_directories(workspace);
  overlay_copy({restored_}, workspace);
  layers_ = {workspace};
  EXPECT_TRUE(take_caches(true, true).at(0).unchanged);
  begun_ = std::chrono::system_clock::now() - hour;  // it may have been touched
  EXPECT_FALSE(take_caches(true, true).at(0).unchanged);
  remove_tree(layer_.string() + ".caches");
  begun_ += 2 * hour;
  write_file(workspace / "node_modules/b.js", "longer");
  EXPECT_FALSE(take_caches(true, true).at(0).unchanged);
}

TEST_F(CollectCaches, AnUnchangedOneCostsNextToNothing) {
  restore();
  for (int i = 0; i < 20000; ++i) {
    const auto at = restored_ / "node_modules" / std::to_string(i % 50);
    if (i < 50) fs::create_directories(at);
    std::ofstream(at / std::to_string(i)) << i;
  }
  const auto timed = [](const auto& what) {
    const auto begin = std::chrono::steady_clock::now();
    what();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double unchanged = timed([&] { EXPECT_TRUE(take_caches().at(0).unchanged); });
  write_file(up_ / "node_modules/new", "x");
  const double changed = timed([&] { EXPECT_FALSE(take_caches().at(0).unchanged); });
  std::cerr << "20,000 files: unchanged " << unchanged << " s, taken " << changed << " s\n";
  EXPECT_LT(unchanged * 20, changed);
}

}  // namespace
}  // namespace executors
