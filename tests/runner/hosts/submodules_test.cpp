// What a job may choose of its sources: submodules, Git LFS, the history's depth.
#include "runner/hosts/submodules.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runner/hosts/checkouts.h"
#include "runner/hosts/lfs.h"
#include "tests/runner/hosts/git_fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SubmodulePaths, AreThoseThatGitMeans) {
  EXPECT_TRUE(matches_pathspecs({}, "lib"));
  EXPECT_TRUE(matches_pathspecs({"lib"}, "lib"));
  EXPECT_TRUE(matches_pathspecs({"other", "lib/"}, "lib/inner"));
  EXPECT_FALSE(matches_pathspecs({"lib"}, "library"));
  EXPECT_TRUE(matches_pathspecs({"l*"}, "lib"));
  EXPECT_TRUE(matches_pathspecs({":(exclude)other"}, "lib"));
  EXPECT_FALSE(matches_pathspecs({":(exclude)lib"}, "lib"));
  EXPECT_FALSE(matches_pathspecs({"lib", ":(exclude)lib"}, "lib"));
}

TEST(SubmoduleNames, AreReadFromGitsFile) {
  const auto names = submodule_names(
      "# a comment\n[submodule \"a name\"]\n\tpath = lib/a\n\turl = ../a\n[core]\n\tpath = x\n"
      "[submodule \"b\"]\n\turl = u\n  path=\"b dir\"\r\n");
  EXPECT_EQ(names, (std::map<std::string, std::string>{{"lib/a", "a name"}, {"b dir", "b"}}));
}

TEST(LfsPointer, IsReadAsItsSpecificationSays) {
  const std::string oid(64, 'a');
  const std::string text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + oid + "\nsize 12\n";
  const auto pointer = read_pointer(text);
  ASSERT_TRUE(pointer);
  EXPECT_EQ(pointer->oid, oid);
  EXPECT_EQ(pointer->size, 12U);
  EXPECT_FALSE(read_pointer("version https://git-lfs.github.com/spec/v1\noid sha256:../../x\nsize 12\n"));
  EXPECT_FALSE(read_pointer(text + std::string(1024, 'x')));
  EXPECT_FALSE(read_pointer("some text\n"));
}

class SourcesTest : public ::testing::Test {
 protected:
  SourcesTest() {
    inner.commit("inner.c", "1");
    lib.commit("lib.c", "1");
    lib.git("submodule add -q " + inner.path().string() + " inner");
    lib.git("commit -q -m inner");
    repo.commit("a", "1");
    repo.git("submodule add -q --name the-lib " + lib.path().string() + " lib");
    repo.git("commit -q -m lib");
  }
  void check_out() const { repo.git("submodule update -q --init --recursive"); }
  static SourceChoice choice(Submodules submodules, std::vector<std::string> paths = {}) {
    SourceChoice chosen;
    chosen.submodules = submodules;
    chosen.submodule_paths = std::move(paths);
    return chosen;
  }
  Snapshot take(const SourceChoice& chosen, const std::string& revision = {}) const {
    SnapshotOptions options;
    options.choice = chosen;
    options.revision = revision;
    return make_snapshot(repo.path(), dir / "snapshots", options);
  }
  static fs::path tree(const Snapshot& snapshot) { return snapshot.sources().snapshot; }
  static std::set<std::string> paths(const Snapshot& snapshot) {
    std::set<std::string> all;
    for (auto each = fs::recursive_directory_iterator(tree(snapshot)); each != fs::recursive_directory_iterator();
         ++each) {
      if (each->path().filename() == ".git") {
        each.disable_recursion_pending();
      } else if (!each->is_directory() || fs::is_empty(each->path())) {
        all.insert(each->path().lexically_relative(tree(snapshot)).string() + (each->is_directory() ? "/" : ""));
      }
    }
    return all;
  }
  static std::string git_in(const fs::path& where, const std::string& arguments) {
    return shell("git -c safe.directory='*' -C '" + where.string() + "' " + arguments);
  }

  TemporaryDirectory dir;
  GitRepository inner{dir / "inner-origin"};
  GitRepository lib{dir / "lib-origin"};
  GitRepository repo{dir / "project"};
};

// The same of the working tree and of a commit.
class SubmodulesOf : public SourcesTest, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Sources, SubmodulesOf, ::testing::Values("", "HEAD"),
                         [](const auto& revision) { return revision.param.empty() ? "WorkingTree" : "Commit"; });

TEST_P(SubmodulesOf, AreEmptyDirectoriesUnlessTheyAreAskedFor) {
  check_out();
  const Snapshot none = take(choice(Submodules::none), GetParam());
  EXPECT_EQ(paths(none), (std::set<std::string>{".gitmodules", "a", "lib/"}));
  EXPECT_THAT(none.warnings(), IsEmpty());
  const Snapshot normal = take(choice(Submodules::normal), GetParam());
  EXPECT_EQ(paths(normal), (std::set<std::string>{".gitmodules", "a", "lib/.gitmodules", "lib/inner/", "lib/lib.c"}));
  const Snapshot recursive = take(choice(Submodules::recursive), GetParam());
  EXPECT_EQ(paths(recursive),
            (std::set<std::string>{".gitmodules", "a", "lib/.gitmodules", "lib/inner/inner.c", "lib/lib.c"}));
  EXPECT_THAT(recursive.warnings(), IsEmpty());
  EXPECT_EQ(paths(take(choice(Submodules::recursive, {":(exclude)lib"}), GetParam())),
            (std::set<std::string>{".gitmodules", "a", "lib/"}));
}

TEST_P(SubmodulesOf, HaveTheirHistory) {
  check_out();
  const Snapshot snapshot = take(choice(Submodules::recursive), GetParam());
  EXPECT_EQ(git_in(tree(snapshot) / "lib", "rev-parse HEAD"), git_in(repo / "lib", "rev-parse HEAD"));
  EXPECT_EQ(git_in(tree(snapshot) / "lib/inner", "log --format=%s"), "a commit");
  EXPECT_EQ(git_in(tree(snapshot), "status --porcelain"), "");
  EXPECT_THAT(git_in(tree(snapshot), "submodule status"), HasSubstr(git_in(repo / "lib", "rev-parse HEAD") + " lib"));
  EXPECT_THAT(read(snapshot.sources().tracked_list), HasSubstr("lib/.git"));
}

TEST_P(SubmodulesOf, ThatAreNotHereAreWarnedOfOnce) {
  shell("rm -rf '" + (repo / "lib").string() + "' '" + (repo / ".git/modules").string() + "'");
  fs::create_directory(repo / "lib");
  const Snapshot snapshot = take(choice(Submodules::recursive), GetParam());
  EXPECT_EQ(paths(snapshot), (std::set<std::string>{".gitmodules", "a", "lib/"}));
  EXPECT_THAT(snapshot.warnings(), ElementsAre(AllOf(HasSubstr("the submodule lib is not "),
                                                     HasSubstr("`git submodule update --init lib` gets it"))));
  EXPECT_THAT(take(choice(Submodules::none), GetParam()).warnings(), IsEmpty());
}

TEST_F(SourcesTest, ASubmoduleOfACommitIsAtTheCommitThatItNames) {
  check_out();
  const std::string before = git_in(repo / "lib", "rev-parse HEAD");
  shell("cd '" + (repo / "lib").string() + "' && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m new");
  write(repo / "lib/uncommitted", "x");
  const Snapshot snapshot = take(choice(Submodules::normal), "HEAD");
  EXPECT_EQ(git_in(tree(snapshot) / "lib", "rev-parse HEAD"), before);
  EXPECT_FALSE(fs::exists(tree(snapshot) / "lib/uncommitted"));
  EXPECT_TRUE(fs::exists(tree(take(choice(Submodules::normal))) / "lib/uncommitted"));
}

TEST_F(SourcesTest, ACommitThatASubmoduleDoesNotHaveIsAWarning) {
  check_out();
  repo.git("update-index --cacheinfo 160000," + std::string(40, '1') + ",lib");
  repo.git("commit -q -m elsewhere");
  const Snapshot snapshot = take(choice(Submodules::normal), "HEAD");
  EXPECT_THAT(snapshot.warnings(), ElementsAre(HasSubstr("has no commit 11111111 here")));
  EXPECT_TRUE(fs::is_empty(tree(snapshot) / "lib"));
}

TEST_F(SourcesTest, DepthIsThatOfAShallowClone) {
  for (int i = 0; i < 5; ++i) {
    repo.commit("a", std::to_string(i));
  }
  SourceChoice shallow;
  shallow.depth = 2;
  const Snapshot snapshot = take(shallow);
  EXPECT_EQ(git_in(tree(snapshot), "rev-list --count HEAD"), "2");
  EXPECT_EQ(git_in(tree(snapshot), "rev-parse --is-shallow-repository"), "true");
  EXPECT_EQ(git_in(tree(take(SourceChoice{})), "rev-list --count HEAD"), "7");
}

TEST_F(SourcesTest, WithoutCheckoutThereIsOnlyTheRepository) {
  SourceChoice bare;
  bare.checkout = false;
  for (const std::string revision : {"", "HEAD"}) {
    const Snapshot snapshot = take(bare, revision);
    EXPECT_THAT(paths(snapshot), IsEmpty());
    EXPECT_EQ(git_in(tree(snapshot), "show HEAD:a"), "1");
  }
}

TEST_F(SourcesTest, ChoicesThatComeToTheSameShareASnapshot) {
  check_out();
  Checkouts checkouts(repo.path(), dir / "snapshots", {});
  const auto none = checkouts.take({});
  SourceChoice pointers;
  pointers.lfs = false;
  EXPECT_EQ(checkouts.take(pointers).sources.snapshot, none.sources.snapshot);
  EXPECT_EQ(checkouts.take(choice(Submodules::none, {"lib"})).sources.snapshot, none.sources.snapshot);
  EXPECT_NE(checkouts.take(choice(Submodules::normal)).sources.snapshot, none.sources.snapshot);
  EXPECT_EQ(checkouts.size(), 2U);
}

class LfsTest : public ::testing::Test {
 protected:
  LfsTest() {
    write(repo / ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    write(repo / "plain.txt", pointer(content));
    repo.commit("big.bin", pointer(content));
  }
  static std::string sha(const std::string& text) { return shell("printf %s '" + text + "' | sha256sum | cut -c1-64"); }
  static std::string pointer(const std::string& text) {
    return fmt::format("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", sha(text), text.size());
  }
  fs::path object() const {
    const std::string oid = sha(content);
    return repo / ".git/lfs/objects" / oid.substr(0, 2) / oid.substr(2, 2) / oid;
  }
  Snapshot take(bool lfs = true) const {
    SnapshotOptions options;
    options.revision = "HEAD";
    options.choice.lfs = lfs;
    return make_snapshot(repo.path(), dir / "snapshots", options);
  }

  const std::string content = "the large file itself";
  TemporaryDirectory dir;
  GitRepository repo{dir / "project"};
};

TEST_F(LfsTest, ACommitsPointersBecomeTheirFiles) {
  write(object(), content);
  const Snapshot snapshot = take();
  EXPECT_EQ(read(snapshot.sources().snapshot / "big.bin"), content);
  EXPECT_EQ(read(snapshot.sources().snapshot / "plain.txt"), pointer(content)) << "not by its attributes";
  EXPECT_THAT(snapshot.warnings(), IsEmpty());
  EXPECT_EQ(read(take(false).sources().snapshot / "big.bin"), pointer(content)) << "GIT_LFS_SKIP_SMUDGE";
}

TEST_F(LfsTest, AFileThatIsNotHereStaysAPointerUntilItComes) {
  const Snapshot snapshot = take();
  EXPECT_EQ(read(snapshot.sources().snapshot / "big.bin"), pointer(content));
  EXPECT_THAT(snapshot.warnings(), ElementsAre(AllOf(HasSubstr("1 file of Git LFS is not here"), HasSubstr("big.bin"),
                                                     HasSubstr("`git lfs fetch --all` gets them"))));
  write(object(), content);
  EXPECT_EQ(read(take().sources().snapshot / "big.bin"), content);
}

}  // namespace
}  // namespace runner
