// What the engine is asked to make, as golden files: tests/golden/container/NAME.json. To accept what is made now:
// RUNNER_ACCEPT=1 executors_tests --gtest_filter='ContainerSpec*'. Besides, what of the workspace is pure.
#include "executors/docker/container_spec.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "executors/docker/attached_job.h"
#include "executors/docker/workspace.h"
#include "tests/executors/sandbox.h"

namespace executors::docker {
namespace {

namespace fs = std::filesystem;

void expect_golden(const std::string& name, const std::string& made) {
  const fs::path file = fs::path(RUNNER_SOURCE_DIR) / "tests/golden/container" / (name + ".json");
  if (std::getenv("RUNNER_ACCEPT") != nullptr) write_file(file, made + "\n");
  EXPECT_EQ(made + "\n", read_file(file)) << "RUNNER_ACCEPT=1 accepts what is made now";
}

JobSpec plain_spec() {
  JobSpec spec;
  spec.id = {"0123456789abcdef0123456789abcdef", 7, 3, 1, "unit test"};
  spec.directory = "/state/j/7-3-1";
  spec.project_dir = "/builds/group/project";
  spec.image = "node:18";
  return spec;
}

TEST(ContainerSpec, PlainJob) {
  const ProjectMount mount{ProjectMount::Kind::overlay, "lowerdir=/s/base,upperdir=/s/up,workdir=/s/wk,userxattr", {}};
  expect_golden("plain", job_container(plain_spec(), {}, mount, {Attachment::Kind::bridge, {}, {}},
                                       "/state/j/7-3-1/.job", {"sh", "-c", "BOOT"}));
}

// docs.gitlab.com/ci/docker/using_docker_images, "Override the entrypoint of an image": ["/bin/sh", "-c"].
TEST(ContainerSpec, AnEntrypointThatIsAShellGetsTheScriptAsItsText) {
  using Words = std::vector<std::string>;
  const auto command = [](const std::optional<Words>& own, const Words& of_the_image) {
    JobSpec spec = plain_spec();
    spec.entrypoint = own;
    ImageInfo image;
    image.entrypoint = of_the_image;
    return job_command(spec, image, "BOOT");
  };
  const Words as_text = {"BOOT"};
  const Words as_words = {"sh", "-c", "BOOT"};
  EXPECT_EQ(command(Words{"/bin/sh", "-c"}, {}), as_text);
  EXPECT_EQ(command(Words{"/usr/bin/env", "bash", "-lc"}, {}), as_text);
  EXPECT_EQ(command(std::nullopt, {"/bin/bash", "-c"}), as_text);
  EXPECT_EQ(command(std::nullopt, {}), as_words);
  EXPECT_EQ(command(Words{""}, {"/bin/sh", "-c"}), as_words);
  EXPECT_EQ(command(Words{}, {"/bin/sh", "-c"}), as_words);
  EXPECT_EQ(command(Words{"/bin/sh", "-c", "exec \"$0\" \"$@\""}, {}), as_words);
  EXPECT_EQ(command(Words{"docker-entrypoint.sh"}, {}), as_words);
  EXPECT_EQ(command(Words{"python", "-c"}, {}), as_words);
  EXPECT_EQ(command(Words{"/bin/sh", "--rpc"}, {}), as_words);
}

TEST(ContainerSpec, EverySetting) {
  JobSpec spec = plain_spec();
  spec.image_user = "1000:1000";
  spec.entrypoint = std::vector<std::string>{""};
  DockerSettings settings;
  settings.cpus = 1.5;
  settings.memory = std::uint64_t{512} << 20;
  settings.pids = 100;
  settings.volumes = {"/etc/ssl/company.pem:/etc/ssl/certs/company.pem:ro"};
  settings.environment = {{"HTTPS_PROXY", "http://proxy:3128"}};
  const ProjectMount mount{ProjectMount::Kind::bind, {}, "/state/j/7-3-1/up"};
  expect_golden("every-setting", job_container(spec, settings, mount, {Attachment::Kind::container, "abc123", {}},
                                               "/state/j/7-3-1/.job", {"sh", "-c", "BOOT"}));
}

TEST(ContainerSpec, NoNetworkAndEngineElsewhere) {
  JobSpec spec = plain_spec();
  spec.entrypoint = std::vector<std::string>{};
  DockerSettings settings;
  settings.privileged = true;
  settings.environment = {{"GIT_CONFIG_COUNT", "0"}};  // the administrator's own
  expect_golden("elsewhere", job_container(spec, settings, {}, {}, {}, {"sh", "-c", "BOOT"}));
}

TEST(ContainerSpec, Service) {
  JobSpec spec = plain_spec();
  ServiceSpec service;
  service.image = "postgres:15";
  service.aliases = {"postgres", "db"};
  service.command = {"postgres", "-c", "fsync=off"};
  service.environment = {{"POSTGRES_PASSWORD", "x"}};
  service.user = "postgres:postgres";
  expect_golden("service", service_container(spec, service, {}, {Attachment::Kind::network, "net1", service.aliases}));
}

TEST(ContainerSpec, PauseAndJanitor) {
  expect_golden("pause", pause_container(plain_spec(), {}));
  expect_golden("janitor", janitor_container(plain_spec().id, "node:18", "/state", "LOOP"));
}

TEST(ContainerSpec, AnInvalidByteIsReplacedNotThrown) {
  JobSpec spec = plain_spec();
  spec.id.name = "caf\xe9";
  EXPECT_NE(std::string::npos, pause_container(spec, {}).find("caf\xef\xbf\xbd"));
}

TEST(OverlayOptions, EscapesWhatSeparates) {
  EXPECT_EQ("lowerdir=/s/b:/s/a,upperdir=/s/up,workdir=/s/wk,userxattr",
            overlay_options({"/s/b", "/s/a"}, "/s/up", "/s/wk"));
  EXPECT_EQ("lowerdir=/a\\:b\\,c\\\\d,upperdir=/u:p\\,x,workdir=/w,userxattr",
            overlay_options({"/a:b,c\\d"}, "/u:p,x", "/w"));
}

TEST(Workspace, LowersComeTopDownAndManyBecomeOne) {
  const TemporaryDirectory place;
  JobSpec spec = plain_spec();
  spec.directory = place / "job";
  fs::create_directory(spec.directory);
  spec.sources.snapshot = place / "base";
  write_file(place / "base/f", "base");
  for (int i = 0; i < 3; ++i) {
    spec.inputs.push_back(place / ("in" + std::to_string(i)));
    write_file(spec.inputs.back() / "f", "input " + std::to_string(i));
  }
  const Workspace few = Workspace::overlay(spec);
  ASSERT_EQ(5U, few.layers().top_down.size());
  EXPECT_EQ(spec.directory / "up", few.upper());
  EXPECT_EQ(place / "in2", few.layers().top_down[1]);
  EXPECT_EQ(place / "base", few.layers().top_down[4]);
  EXPECT_EQ(few.layers().top_down, Workspace::found(spec).layers().top_down);
  EXPECT_EQ(fs::perms::all, fs::status(few.upper()).permissions());

  fs::remove_all(spec.directory);
  fs::create_directory(spec.directory);
  for (int i = 3; i < 150; ++i) {
    spec.inputs.push_back(place / ("in" + std::to_string(i)));
    write_file(spec.inputs.back() / "d/f", "deep " + std::to_string(i));
  }
  const Workspace many = Workspace::overlay(spec);
  ASSERT_EQ(3U, many.layers().top_down.size());
  EXPECT_LE(many.mount().options.size(), longest_options);
  EXPECT_EQ("deep 149", read_file(many.layers().top_down[1] / "d/f"));
  EXPECT_EQ("input 2", read_file(many.layers().top_down[1] / "f"));
  EXPECT_EQ("input 0", read_file(place / "in0/f"));
  EXPECT_EQ(many.layers().top_down, Workspace::found(spec).layers().top_down);
}

TEST(Workspace, MergingLetsALaterKindOfFileWin) {
  const TemporaryDirectory place;
  write_file(place / "a/x/inner", "1");
  write_file(place / "a/y", "2");
  write_file(place / "b/x", "file over directory");
  write_file(place / "b/y/inner", "directory over file");
  merge_by_links({place / "a", place / "b"}, place / "to");
  EXPECT_EQ("file over directory", read_file(place / "to/x"));
  EXPECT_EQ("directory over file", read_file(place / "to/y/inner"));
  EXPECT_EQ("1", read_file(place / "a/x/inner"));
}

TEST(Workspace, WithoutSourcesTheUpperIsMountedByItself) {
  const TemporaryDirectory place;
  JobSpec spec = plain_spec();
  spec.directory = place / "job";
  fs::create_directory(spec.directory);
  const Workspace bare = Workspace::overlay(spec);
  EXPECT_EQ(ProjectMount::Kind::bind, bare.mount().kind);
  EXPECT_EQ(1U, bare.layers().top_down.size());
}

TEST(LiteralPrefix, IsTheDirectoryAGlobCannotLeave) {
  EXPECT_EQ("dist", literal_prefix("dist"));
  EXPECT_EQ("dist", literal_prefix("dist/"));
  EXPECT_EQ("dist/js", literal_prefix("./dist/js/*.map"));
  EXPECT_EQ("dist", literal_prefix("dist/**/x"));
  EXPECT_EQ("", literal_prefix("*.log"));
  EXPECT_EQ("", literal_prefix("a*/b"));
  EXPECT_EQ("", literal_prefix("."));
}

// One write, and every cut of it.
TEST(MarkScanner, FindsMarksAtEveryCut) {
  const std::string mark = "mark-5e5f:";
  const std::string stream = "out\nmark-mark-5e5f:x mark-5e5f: no" + mark + "3\nafter" + mark + "0\n";
  const auto scan = [&](std::size_t cut) {
    std::string got;
    MarkScanner scanner(
        mark, [&](std::string_view text) { got += text; }, [&](int code) { got += "<" + std::to_string(code) + ">"; });
    scanner.feed(std::string_view(stream).substr(0, cut));
    scanner.feed(std::string_view(stream).substr(cut));
    scanner.finish();
    return got;
  };
  const std::string expected = "out\nmark-mark-5e5f:x mark-5e5f: no<3>after<0>";
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) EXPECT_EQ(expected, scan(cut)) << cut;
  std::string got;
  MarkScanner scanner(
      mark, [&](std::string_view text) { got += text; }, [&](int code) { got += "<" + std::to_string(code) + ">"; });
  for (const char c : stream) scanner.feed({&c, 1});
  scanner.finish();
  EXPECT_EQ(expected, got);
}

TEST(MarkScanner, ACutMarkAtTheEndIsText) {
  std::string got;
  MarkScanner scanner(
      "mark:", [&](std::string_view text) { got += text; }, [&](int) { got += "<>"; });
  scanner.feed("xmark:1");
  EXPECT_EQ("x", got);
  scanner.finish();
  EXPECT_EQ("xmark:1", got);
}

}  // namespace
}  // namespace executors::docker
