// The verbs against a real engine. Needs the image busybox:latest.
#include <archive.h>
#include <archive_entry.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "executors/docker/engine.h"
#include "tests/executors/docker/fake_engine.h"

namespace executors::docker {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::IsSupersetOf;

constexpr const char* image = "busybox:latest";

// Labels all it makes with a value of its own, and removes it all: a test that died before leaves nothing for the next.
class EngineDocker : public testing::Test {
 protected:
  ~EngineDocker() override {
    for (const auto& container : engine_.containers(label())) engine_.remove_container(container.id);
    for (const auto& network : engine_.networks(label())) engine_.remove_network(network.id);
    for (const auto& volume : engine_.volumes(label())) engine_.remove_volume(volume.name);
  }

  static std::string label() { return fmt::format("runner.test=engine-{}", ::getpid()); }
  static Labels labels() { return {{"runner.test", fmt::format("engine-{}", ::getpid())}}; }
  static std::string unique_name(const std::string& what) {
    static std::atomic<int> count = 0;
    return fmt::format("runner-test-{}-{}-{}", what, ::getpid(), ++count);
  }
  std::string create(const std::string& script, json more = json::object(), json host = json::object()) {
    host["NetworkMode"] = host.value("NetworkMode", "none");
    json body = {{"Image", image}, {"Cmd", {"sh", "-c", script}}, {"Labels", labels()}, {"HostConfig", host}};
    body.update(more);
    return engine_.create_container(unique_name("job"), body.dump());
  }

  Engine engine_{Endpoint::from_environment()};
};

template <class Function>
int status_of(Function&& function) {
  try {
    function();
  } catch (const EngineError& error) {
    return error.status;
  }
  return -1;
}

TEST_F(EngineDocker, Info) {
  const EngineInfo info = engine_.info();
  EXPECT_FALSE(info.version.empty());
  EXPECT_GE(info.api_version, "1.41");
  EXPECT_FALSE(info.operating_system.empty());
  EXPECT_FALSE(info.architecture.empty());
  EXPECT_FALSE(info.storage_driver.empty());
  EXPECT_FALSE(info.id.empty());
}

TEST_F(EngineDocker, Images) {
  const auto info = engine_.inspect_image(image);
  ASSERT_TRUE(info) << "the base images are missing";
  EXPECT_TRUE(info->id.starts_with("sha256:"));
  EXPECT_EQ(info->os, "linux");
  EXPECT_FALSE(info->command.empty());
  EXPECT_FALSE(info->has_healthcheck);
  EXPECT_EQ(engine_.inspect_image("runner-test/does-not-exist:1"), std::nullopt);
}

TEST_F(EngineDocker, AContainersLife) {
  const std::string id = create(R"(printf 'out\n\0\377'; echo err >&2; exit 7)");
  EXPECT_EQ(engine_.inspect_container(id)->status, "created");
  std::string got;
  engine_.attach(
      id, [&] { engine_.start(id); },
      [&](std::string_view bytes) {
        got += bytes;
        return true;
      },
      {});
  EXPECT_THAT(got, HasSubstr(std::string("out\n\0\xff", 6)));
  EXPECT_THAT(got, HasSubstr("err\n"));
  EXPECT_EQ(got.size(), 10U);
  EXPECT_EQ(engine_.wait(id, {}), 7);
  const auto state = engine_.inspect_container(id);
  EXPECT_EQ(state->id, id);
  EXPECT_EQ(state->status, "exited");
  EXPECT_FALSE(state->running);
  EXPECT_EQ(state->exit_code, 7);
  EXPECT_THAT(state->labels, IsSupersetOf(labels()));  // and those of the image
  EXPECT_EQ(engine_.logs(id, 10).size(), 12U) << "the log driver makes U+FFFD of the invalid byte";
  engine_.kill(id, "KILL");
  engine_.remove_container(id);
  engine_.remove_container(id);
  engine_.kill(id, "KILL");
  EXPECT_EQ(engine_.inspect_container(id), std::nullopt);
}

TEST_F(EngineDocker, StartingTwiceAndKilling) {
  const std::string id = create("sleep 60");
  engine_.start(id);
  engine_.start(id);
  EXPECT_TRUE(engine_.inspect_container(id)->running);
  EXPECT_GT(engine_.inspect_container(id)->pid, 0);
  std::jthread killer([&] {
    std::this_thread::sleep_for(50ms);
    engine_.kill(id, "KILL");
  });
  EXPECT_EQ(engine_.wait(id, {}), 137);
}

TEST_F(EngineDocker, WaitGivesUpWhenToldTo) {
  const std::string id = create("sleep 60");
  engine_.start(id);
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  const auto begin = steady_clock::now();
  EXPECT_EQ(engine_.wait(id, source.get_token()), -1);
  EXPECT_LT(steady_clock::now() - begin, 1s);
}

TEST_F(EngineDocker, ErrorsInTheEnginesWords) {
  try {
    engine_.create_container(unique_name("x"), R"({"Image":"runner-test/does-not-exist:1"})");
    FAIL();
  } catch (const EngineError& error) {
    EXPECT_EQ(error.status, 404);
    EXPECT_THAT(error.what(), HasSubstr("No such image"));
  }
  const std::string name = unique_name("twice");
  const std::string body = json{{"Image", image}, {"Labels", labels()}}.dump();
  engine_.create_container(name, body);
  EXPECT_EQ(status_of([&] { engine_.create_container(name, body); }), 409);
  EXPECT_EQ(status_of([&] { engine_.start("no-such-container"); }), 404);
  EXPECT_EQ(status_of([&] { engine_.exec(name, {"true"}); }), 409) << "it is not running";
  EXPECT_GE(status_of([&] { engine_.create_container(name, "no json"); }), 400);
  const std::string missing = create("true", {{"Entrypoint", {"/no/such/program"}}});
  EXPECT_GE(status_of([&] { engine_.start(missing); }), 400);
}

TEST_F(EngineDocker, AMegabyteOfLinesIsComplete) {
  const std::string id = create("yes 0123456789abcdef | head -n 300000");
  std::size_t bytes = 0;
  engine_.attach(
      id, [&] { engine_.start(id); },
      [&](std::string_view piece) {
        bytes += piece.size();
        return true;
      },
      {});
  EXPECT_EQ(bytes, 300000U * 17U);
  EXPECT_LE(engine_.logs(id, 100000).size(), 65536U);
  EXPECT_TRUE(engine_.logs(id, 2) == "0123456789abcdef\n0123456789abcdef\n");
}

TEST_F(EngineDocker, TwentyAtATimeAndTheirDeaths) {
  Deaths deaths(engine_, label());
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      const std::string id = create(fmt::format("echo job {}; exit {}", i, i));
      deaths.watch(id);
      std::string got;
      engine_.attach(
          id, [&] { engine_.start(id); },
          [&](std::string_view bytes) {
            got += bytes;
            return true;
          },
          {});
      const auto death = deaths.wait(id, 30s);
      EXPECT_EQ(got, fmt::format("job {}\n", i));
      if (death && death->exit_code == i && !death->oom) ++right;
      deaths.forget(id);
      engine_.remove_container(id);
    });
  }
  threads.clear();
  EXPECT_EQ(right, 20);
  EXPECT_TRUE(deaths.engine_answers());
}

TEST_F(EngineDocker, ADeathBeforeAnybodyListened) {
  const std::string id = create("exit 9");
  engine_.start(id);
  engine_.wait(id, {});
  Engine slow{Endpoint::from_environment()};
  Deaths deaths(slow, label());
  deaths.watch(id);  // before the stream is open, most likely; at the latest its next look finds it
  const auto death = deaths.wait(id, 30s);
  ASSERT_TRUE(death);
  EXPECT_EQ(death->exit_code, 9);
}

TEST_F(EngineDocker, OutOfMemory) {
  Deaths deaths(engine_, label());
  const std::string id = create("tail /dev/zero", json::object(), {{"Memory", 16 << 20}, {"MemorySwap", 16 << 20}});
  deaths.watch(id);
  engine_.start(id);
  const auto death = deaths.wait(id, 60s);
  ASSERT_TRUE(death);
  EXPECT_EQ(death->exit_code, 137);
  // The event may come after the end.
  for (int i = 0; i < 200 && !deaths.oom_seen(id); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(deaths.oom_seen(id));
  EXPECT_TRUE(deaths.poll(id)->oom);
  EXPECT_TRUE(engine_.inspect_container(id)->oom_killed);
}

TEST_F(EngineDocker, EventsFromThePast) {
  const std::string id = create("exit 3");
  std::int64_t time = 0;
  std::stop_source source;
  engine_.events(
      label(), 0,
      [&](const Engine::Event& event) {
        time = event.time_nano;
        source.request_stop();
      },
      source.get_token(), [&] { engine_.start(id); }, 30s);
  ASSERT_GT(time, 0);
  std::vector<Engine::Event> events;
  engine_.events(
      label(), time, [&](const Engine::Event& event) { events.push_back(event); }, {}, {}, 300ms);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().id, id);
  EXPECT_EQ(events.back().action, "die");
  EXPECT_EQ(events.back().exit_code, 3);
}

TEST_F(EngineDocker, Exec) {
  const std::string id = create("sleep 60");
  engine_.start(id);
  std::string output;
  EXPECT_EQ(engine_.exec(id, {"sh", "-c", "echo out; echo err >&2; exit 3"}, &output), 3);
  EXPECT_THAT(output, HasSubstr("out\n"));
  EXPECT_THAT(output, HasSubstr("err\n"));
  output.clear();
  EXPECT_EQ(engine_.exec(id, {"id", "-u"}, &output, "1234:1234"), 0);
  EXPECT_EQ(output, "1234\n");
  EXPECT_EQ(engine_.exec(id, {"sh", "-c", "yes | head -c 1000000"}, &output), 0);
  EXPECT_EQ(output.size(), 65536U);
  EXPECT_NE(engine_.exec(id, {"/no/such/program"}), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(engine_.exec(id, {"true"}), 0);
}

// A tar of one file.
std::string tar_of(const std::string& name, const std::string& content) {
  std::string tar;
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  archive_write_open(
      writer, &tar, nullptr,
      [](archive*, void* into, const void* bytes, std::size_t size) {
        static_cast<std::string*>(into)->append(static_cast<const char*>(bytes), size);
        return static_cast<la_ssize_t>(size);
      },
      nullptr);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
  archive_write_header(writer, entry);
  archive_write_data(writer, content.data(), content.size());
  archive_entry_free(entry);
  archive_write_free(writer);
  return tar;
}

TEST_F(EngineDocker, ArchivesThereAndBack) {
  const std::string id = create("true");
  std::string content;
  for (std::int64_t i = 0; content.size() < 3'000'000; ++i) content += std::to_string(i * 7919);
  const std::string tar = tar_of("file", content);
  std::size_t at = 0;
  engine_.put_archive(id, "/tmp", [&] {
    const std::string piece = tar.substr(at, 100'000);
    at += piece.size();
    return piece;
  });
  EXPECT_TRUE(engine_.has_path(id, "/tmp/file"));
  EXPECT_FALSE(engine_.has_path(id, "/tmp/other"));
  EXPECT_FALSE(engine_.has_path("no-such-container", "/tmp"));

  std::string back;
  engine_.get_archive(id, "/tmp/file", [&](std::string_view bytes) {
    back += bytes;
    return true;
  });
  EXPECT_NE(back.find(content), std::string::npos);
  std::size_t got = 0;
  engine_.get_archive(id, "/tmp/file", [&](std::string_view bytes) {
    got += bytes.size();
    return got < 100'000;
  });
  EXPECT_LT(got, 1'000'000U);

  EXPECT_EQ(status_of([&] { engine_.get_archive(id, "/nope", [](std::string_view) { return true; }); }), 404);
  at = 0;
  EXPECT_EQ(status_of([&] {
              engine_.put_archive(id, "/nope", [&] {
                const std::string piece = tar.substr(at, 100'000);
                at += piece.size();
                return piece;
              });
            }),
            404);
}

TEST_F(EngineDocker, Networks) {
  const std::string network = engine_.create_network(unique_name("net"), labels());
  ASSERT_EQ(engine_.networks(label()).size(), 1U);
  EXPECT_EQ(engine_.networks(label())[0].id, network);
  EXPECT_EQ(engine_.networks(label())[0].labels, labels());

  const std::string server = create("nc -l -p 80 -e echo hello", json::object(), {{"NetworkMode", network}});
  engine_.disconnect(network, server, true);
  engine_.connect(network, server, {"web", "www"});
  engine_.start(server);
  EXPECT_FALSE(engine_.inspect_container(server)->ip.empty());
  const std::string client = create("for i in 1 2 3 4 5 6 7 8 9; do nc www 80 && exit; sleep 0.2; done", json::object(),
                                    {{"NetworkMode", network}});
  std::string got;
  engine_.attach(
      client, [&] { engine_.start(client); },
      [&](std::string_view bytes) {
        got += bytes;
        return true;
      },
      {});
  EXPECT_EQ(got, "hello\n");
  engine_.remove_container(server);
  engine_.remove_container(client);
  engine_.disconnect(network, server, true);
  engine_.remove_network(network);
  engine_.remove_network(network);
  EXPECT_TRUE(engine_.networks(label()).empty());
}

TEST_F(EngineDocker, Volumes) {
  const std::string name = unique_name("volume");
  const json mount = {
      {"Type", "volume"}, {"Source", name}, {"Target", "/v"}, {"VolumeOptions", {{"Labels", labels()}}}};
  const std::string id = create("true", json::object(), {{"Mounts", json::array({mount})}});
  ASSERT_EQ(engine_.volumes(label()).size(), 1U);
  EXPECT_EQ(engine_.volumes(label())[0].name, name);
  EXPECT_EQ(status_of([&] { engine_.remove_volume(name); }), 409);
  engine_.remove_container(id);
  engine_.remove_volume(name);
  engine_.remove_volume(name);
  EXPECT_TRUE(engine_.volumes(label()).empty());
}

TEST_F(EngineDocker, ListsStoppedOnesToo) {
  const std::string id = create("true");
  const auto found = engine_.containers(label());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, id);
  EXPECT_EQ(found[0].state, "created");
  EXPECT_TRUE(found[0].name.starts_with("runner-test-job-"));
  EXPECT_THAT(found[0].labels, IsSupersetOf(labels()));
  EXPECT_TRUE(engine_.containers("runner.test=nobody").empty());
}

TEST_F(EngineDocker, AnImageThatCannotBeHad) {
  const auto begin = steady_clock::now();
  try {
    engine_.pull("127.0.0.1:1/no/such:image", "", R"({"username":"u","password":"hunter2"})", {}, {});
    FAIL();
  } catch (const EngineError& error) {
    EXPECT_EQ(error.reason, "image_pull_failure");
    EXPECT_THAT(error.what(), HasSubstr("cannot pull the image 127.0.0.1:1/no/such:image"));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("hunter2")));
  }
  EXPECT_GT(steady_clock::now() - begin, 2s) << "network trouble is tried again";
  EXPECT_EQ(status_of([&] { engine_.pull("Not A Reference", "", "", {}, {}); }), 400);
}

}  // namespace
}  // namespace executors::docker
