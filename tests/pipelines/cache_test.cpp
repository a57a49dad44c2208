// `cache`, `release`, `pages` and what `artifacts` asks of its keywords, read into a Pipeline. What is said about wrong
// ones: golden_test.cpp (caches.yml, releases.yml).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pipelines/parse.h"

namespace pipelines {
namespace {

using Strings = std::vector<std::string>;

// The job `job` of a file without a mistake.
Job job(const std::string& text) {
  const Parsed parsed = parse(text, "pipeline.yml");
  EXPECT_EQ(render(parsed.diagnostics, parsed.sources, false), "");
  for (const Job& one : parsed.pipeline.jobs) {
    if (one.name == "job") {
      return one;
    }
  }
  return parsed.pipeline.jobs.empty() ? Job() : parsed.pipeline.jobs[0];
}

TEST(Cache, OneMapping) {
  const Job read = job(R"(
job:
  script: make
  cache:
    key: $CI_COMMIT_REF_SLUG
    paths: [node_modules/, '*.o']
    untracked: true
    unprotect: true
    when: always
    policy: pull
    fallback_keys: [a, $B]
)");
  ASSERT_EQ(read.caches.size(), 1U);
  const Cache& cache = read.caches[0];
  EXPECT_EQ(cache.key.text, "$CI_COMMIT_REF_SLUG");
  EXPECT_EQ(cache.paths, (Strings{"node_modules/", "*.o"}));
  EXPECT_TRUE(cache.untracked);
  EXPECT_TRUE(cache.unprotect);
  EXPECT_EQ(cache.when, ArtifactsWhen::always);
  EXPECT_EQ(cache.policy, "pull");
  EXPECT_EQ(cache.fallback_keys, (Strings{"a", "$B"}));
}

TEST(Cache, Defaults) {
  const Job read = job("job: {script: make, cache: {paths: [a]}}");
  ASSERT_EQ(read.caches.size(), 1U);
  EXPECT_EQ(read.caches[0].key.text, "default");
  EXPECT_EQ(read.caches[0].policy, "pull-push");
  EXPECT_EQ(read.caches[0].when, ArtifactsWhen::on_success);
  EXPECT_FALSE(read.caches[0].unprotect);
  EXPECT_TRUE(job("job: {script: make}").caches.empty());
  EXPECT_TRUE(job("job: {script: make, cache: []}").caches.empty());
}

TEST(Cache, UpToFour) {
  const Job read = job("job: {script: make, cache: [{paths: [a]}, {paths: [b]}, {paths: [c]}, {paths: [d], key: k}]}");
  ASSERT_EQ(read.caches.size(), 4U);
  EXPECT_EQ(read.caches[3].key.text, "k");
}

TEST(Cache, KeyFiles) {
  const Job read = job(R"(
job:
  script: make
  cache:
    - key: {files: [/package-lock.json, Gemfile.lock], prefix: $CI_JOB_NAME}
      paths: [a]
    - key: {files_commits: [configure.ac]}
      paths: [b]
)");
  ASSERT_EQ(read.caches.size(), 2U);
  EXPECT_EQ(read.caches[0].key.files, (Strings{"package-lock.json", "Gemfile.lock"}));
  EXPECT_EQ(read.caches[0].key.prefix, "$CI_JOB_NAME");
  EXPECT_TRUE(read.caches[0].key.text.empty());
  EXPECT_EQ(read.caches[1].key.files_commits, Strings{"configure.ac"});
}

TEST(Cache, InDefaultAndAsADeprecatedGlobal) {
  EXPECT_EQ(job("default: {cache: {key: k, paths: [a]}}\njob: {script: make}").caches.at(0).key.text, "k");
  EXPECT_EQ(job("cache: {key: g, paths: [a]}\njob: {script: make}").caches.at(0).key.text, "g");
  // A job's own replaces it whole.
  EXPECT_EQ(job("cache: {key: g, paths: [a]}\njob: {script: make, cache: {paths: [b]}}").caches.at(0).key.text,
            "default");
  EXPECT_TRUE(job("cache: {key: g, paths: [a]}\njob: {script: make, cache: []}").caches.empty());
  EXPECT_TRUE(job("cache: {paths: [a]}\njob: {script: make, inherit: {default: false}}").caches.empty());
}

TEST(Release, EveryKeyword) {
  const Job read = job(R"(
job:
  script: make
  release:
    tag_name: v$VERSION
    tag_message: A message
    name: Release $VERSION
    description: ./notes.md
    ref: $CI_COMMIT_SHA
    milestones: [m1, m2]
    released_at: '2021-03-15T08:00:00Z'
    assets:
      links:
        - {name: a, url: https://example.org/a, filepath: /bin/a, link_type: package}
)");
  ASSERT_TRUE(read.release);
  EXPECT_EQ(read.release->tag_name, "v$VERSION");
  EXPECT_EQ(read.release->tag_message, "A message");
  EXPECT_EQ(read.release->name, "Release $VERSION");
  EXPECT_EQ(read.release->description, "./notes.md");
  EXPECT_EQ(read.release->ref, "$CI_COMMIT_SHA");
  EXPECT_EQ(read.release->milestones, (Strings{"m1", "m2"}));
  EXPECT_EQ(read.release->released_at, "2021-03-15T08:00:00Z");
  ASSERT_EQ(read.release->links.size(), 1U);
  EXPECT_EQ(read.release->links[0].url, "https://example.org/a");
  EXPECT_EQ(read.release->links[0].filepath, "/bin/a");
  EXPECT_EQ(read.release->links[0].type, "package");
}

TEST(Pages, TheFolderIsAnArtifact) {
  EXPECT_EQ(job("job: {script: make, pages: true}").artifacts.paths, Strings{"public"});
  EXPECT_EQ(job("job: {script: make, pages: {publish: dist, path_prefix: a, expire_in: 1 day}}").artifacts.paths,
            Strings{"dist"});
  EXPECT_EQ(job("job: {script: make, pages: true, publish: out}").artifacts.paths, Strings{"out"});
  EXPECT_EQ(job("job: {script: make, pages: {publish: a}, artifacts: {paths: [b]}}").artifacts.paths,
            (Strings{"b", "a"}));
  EXPECT_EQ(job("job: {script: make, pages: true, artifacts: {paths: [public]}}").artifacts.paths, Strings{"public"});
}

TEST(Pages, AJobOfThatName) {
  EXPECT_EQ(job("pages: {script: make}").artifacts.paths, Strings{"public"});
  EXPECT_EQ(job("pages: {script: make, publish: dist}").artifacts.paths, Strings{"dist"});
  EXPECT_TRUE(job("pages: {script: make, pages: false}").artifacts.paths.empty());
  EXPECT_TRUE(job("job: {script: make, pages: false}").artifacts.paths.empty());
  EXPECT_TRUE(job("job: {script: make, publish: dist}").artifacts.paths.empty());
}

TEST(Artifacts, WhoMaySeeThem) {
  job("job: {script: make, artifacts: {paths: [a], expose_as: 'My report-1', access: developer}}");
  job("job: {script: make, artifacts: {paths: ['*'], public: false}}");
}

}  // namespace
}  // namespace pipelines
