// The verbs against engines that fail: what a real one cannot be made to do at will.
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "executors/docker/engine.h"
#include "executors/docker/engine_http.h"
#include "tests/executors/docker/fake_engine.h"

namespace executors::docker {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Request = FakeEngine::Request;
using Connection = FakeEngine::Connection;

struct Failure {
  int status = -1;
  std::string text, hint, reason;
};

template <class Function>
Failure failure_of(Function&& function) {
  try {
    function();
  } catch (const EngineError& error) {
    return {error.status, error.what(), error.hint, error.reason};
  }
  return {};
}

FakeEngine::Handler always(int status, std::string body) {
  return [=](const Request&, Connection& connection) { connection.answer(status, body); };
}

TEST(EngineVersion, IsNegotiatedOnceAndTheLower) {
  for (const auto& [theirs, spoken] :
       {std::pair("1.41", "/v1.41/"), {"1.43", "/v1.43/"}, {"1.52", "/v1.44/"}, {"2.0", "/v1.44/"}}) {
    FakeEngine fake(always(404, R"({"message":"no such image"})"), theirs);
    Engine engine(fake.endpoint());
    engine.inspect_image("a");
    engine.inspect_image("b");
    EXPECT_EQ(fake.pings(), 1);
    EXPECT_TRUE(fake.requests().at(1).target.starts_with(spoken)) << fake.requests().at(1).target;
  }
}

TEST(EngineVersion, ByManyThreads) {
  FakeEngine fake(always(404, R"({"message":"no such image"})"));
  Engine engine(fake.endpoint());
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_EQ(engine.inspect_image("a"), std::nullopt); });
}

TEST(EngineVersion, TooOldOrNoneAtAll) {
  FakeEngine old(always(200, "{}"), "1.40");
  Engine engine(old.endpoint());
  const Failure failure = failure_of([&] { engine.info(); });
  EXPECT_EQ(failure.text,
            "the Docker engine at " + old.endpoint().display() + " speaks API 1.40; 1.41 is needed (Docker 20.10)");
  EXPECT_EQ(failure.hint, "update the Docker engine");
  FakeEngine other(always(200, "{}"), "");
  Engine none(other.endpoint());
  EXPECT_EQ(failure_of([&] { none.info(); }).text,
            "what answers at " + other.endpoint().display() + " is not a Docker engine: it names no API version");
}

TEST(EngineErrors, TheEnginesWordsAreShown) {
  FakeEngine fake(always(500, R"({"message":"mkdir /var/lib/docker/x: no space left on device\n"})"));
  Engine engine(fake.endpoint());
  const Failure failure = failure_of([&] { engine.create_container("r-1", "{}"); });
  EXPECT_EQ(failure.status, 500);
  EXPECT_EQ(failure.text,
            "cannot create the container r-1: mkdir /var/lib/docker/x: no space left on device (the Docker engine's "
            "answer 500)");
  EXPECT_THAT(failure.hint, HasSubstr("docker system df"));
  EXPECT_EQ(failure.reason, "runner_system_failure");
}

TEST(EngineErrors, GarbageForJson) {
  FakeEngine fake(always(200, "<html>proxy</html>"));
  Engine engine(fake.endpoint());
  EXPECT_THAT(failure_of([&] { engine.info(); }).text, HasSubstr("is not JSON"));
  EXPECT_THAT(failure_of([&] { engine.create_container("a", "{}"); }).text, HasSubstr("is not JSON"));
  EXPECT_THAT(failure_of([&] { engine.inspect_container("a"); }).text, HasSubstr("says nothing of its state"));
  EXPECT_THAT(failure_of([&] { engine.wait("a", {}); }).text, HasSubstr("no exit code"));
  FakeEngine plain(always(502, "Bad\nGateway\n"));
  Engine behind(plain.endpoint());
  EXPECT_EQ(failure_of([&] { behind.start("abc"); }).text,
            "cannot start the container abc: Bad Gateway (the Docker engine's answer 502)");
}

TEST(EngineErrors, NullsAndMissingFieldsAreNothing) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target.find("/volumes") != std::string::npos) return connection.answer(200, R"({"Volumes":null})");
    if (request.target.find("/networks") != std::string::npos) return connection.answer(200, "null");
    if (request.target.find("/images/") != std::string::npos)
      return connection.answer(200, R"({"Id":"i","Config":null})");
    if (request.target.find("/containers/json") != std::string::npos) {
      return connection.answer(
          200, R"([{"Id":"1","Names":null,"Labels":null},{"Id":"2","Names":["/n"],"Labels":{"a":"b"}}])");
    }
    connection.answer(
        200, R"({"Id":"c","State":{"Status":"exited","Health":null},"NetworkSettings":{"Networks":{"a":null}}})");
  });
  Engine engine(fake.endpoint());
  EXPECT_TRUE(engine.volumes("a=b").empty());
  EXPECT_TRUE(engine.networks("a=b").empty());
  EXPECT_EQ(engine.inspect_image("x")->id, "i");
  const auto containers = engine.containers("a=b");
  ASSERT_EQ(containers.size(), 2U);
  EXPECT_EQ(containers[1].name, "n");
  EXPECT_EQ(containers[1].labels, (Labels{{"a", "b"}}));
  EXPECT_EQ(engine.inspect_container("c")->status, "exited");
}

TEST(EngineErrors, GoneIsSuccessWhereItSaysSo) {
  FakeEngine fake(always(404, R"({"message":"no such thing"})"));
  Engine engine(fake.endpoint());
  engine.kill("a", "TERM");
  engine.remove_container("a");
  engine.remove_network("a");
  engine.remove_volume("a");
  engine.disconnect("n", "a", true);
  EXPECT_EQ(engine.inspect_container("a"), std::nullopt);
  EXPECT_FALSE(engine.has_path("a", "/x"));
  EXPECT_EQ(failure_of([&] { engine.start("a"); }).status, 404);
  EXPECT_EQ(failure_of([&] { engine.get_archive("a", "/x", [](std::string_view) { return true; }); }).status, 404);
  EXPECT_EQ(failure_of([&] { engine.attach("a", {}, [](std::string_view) { return true; }, {}); }).status, 404);
}

TEST(EngineErrors, ARemovalInProgressIsWaitedFor) {
  std::atomic<int> looks = 0;
  FakeEngine fake([&](const Request& request, Connection& connection) {
    if (request.method == "DELETE")
      return connection.answer(409, R"({"message":"removal of container a is already in progress"})");
    if (++looks < 3) return connection.answer(200, R"({"Id":"a","State":{"Status":"removing"}})");
    connection.answer(404, "{}");
  });
  Engine(fake.endpoint()).remove_container("a");
  EXPECT_EQ(looks, 3);
}

TEST(EngineErrors, AnUploadThatIsRefusedEarly) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.method == "HEAD") connection.answer(404);
    // PUT: closes with most of the body unread
  });
  Engine engine(fake.endpoint());
  int pieces = 0;
  const Failure failure = failure_of([&] {
    engine.put_archive("a", "/refused", [&] { return ++pieces < 50 ? std::string(65536, 'x') : std::string(); });
  });
  EXPECT_EQ(failure.status, 404);
  EXPECT_EQ(failure.text, "cannot copy files to /refused in the container a: there is no such container or path");
}

TEST(EngineErrors, AHangingEngineIsNoticed) {
  FakeEngine fake([](const Request&, Connection&) {});
  Engine engine(fake.endpoint());
  engine.ping(100ms);  // answers
  FakeEngine hanging([](const Request&, Connection&) {}, "hang");
  Engine stopped(hanging.endpoint());
  EXPECT_EQ(failure_of([&] { stopped.ping(100ms); }).text, "cannot reach the Docker engine: the Docker engine at " +
                                                               hanging.endpoint().display() +
                                                               " did not answer within 100 ms");
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(30ms);
    source.request_stop();
  });
  stopped.ping(1min, source.get_token());
  EXPECT_EQ(stopped.wait("a", source.get_token()), -1);
  EXPECT_EQ(failure_of([&] { stopped.pull("a", "", "", {}, source.get_token()); }).text, "pulling a was cancelled");
}

// ---- pull

std::string pull_stream(std::initializer_list<std::string_view> lines) {
  std::string text;
  for (const auto line : lines) text.append(line).append("\r\n");
  return text;
}

TEST(EnginePull, AsksAsTheDockerCommandLineDoes) {
  FakeEngine fake(always(200, ""));
  Engine engine(fake.endpoint());
  for (const char* reference :
       {"node", "node:18", "localhost:5000/a/b", "localhost:5000/a/b:1", "a@sha256:00", "a:1@sha256:00"}) {
    engine.pull(reference, "", "", {}, {});
  }
  engine.pull("a", "linux/arm64", R"({"username":"ü","password":"?>"})", {}, {});
  std::vector<std::string> targets;
  for (const auto& request : fake.requests()) targets.push_back(request.target.substr(request.target.find('?') + 1));
  EXPECT_THAT(targets, ElementsAre("fromImage=node&tag=latest", "fromImage=node&tag=18",
                                   "fromImage=localhost%3A5000%2Fa%2Fb&tag=latest",
                                   "fromImage=localhost%3A5000%2Fa%2Fb&tag=1", "fromImage=a&tag=sha256%3A00",
                                   "fromImage=a&tag=sha256%3A00", "fromImage=a&tag=latest&platform=linux%2Farm64"));
  EXPECT_EQ(base64_decode(fake.requests().back().headers.at("x-registry-auth")), R"({"username":"ü","password":"?>"})");
  EXPECT_EQ(fake.requests().front().headers.count("x-registry-auth"), 0U);
}

TEST(EnginePull, TellsProgress) {
  FakeEngine fake([](const Request&, Connection& connection) {
    connection.begin_chunks();
    const std::string text = pull_stream(
        {R"({"status":"Pulling from library/a","id":"latest"})", R"({"status":"Pulling fs layer","id":"x"})",
         R"({"status":"Download complete","id":"x"})", R"({"status":"Pull complete","id":"x"})"});
    for (const char byte : text) connection.chunk({&byte, 1});
    connection.chunk("");
  });
  std::vector<std::string> texts;
  Engine(fake.endpoint()).pull("a", "", "", [&](const PullProgress& progress) { texts.push_back(progress.text); }, {});
  EXPECT_THAT(texts, ElementsAre("pulling a", "pulling a: 0 of 1 layer, 0 %", "pulling a: 0 of 1 layer, 70 %",
                                 "pulling a: 1 of 1 layer, 100 %"));
}

TEST(EnginePull, AnErrorInsideTheStream) {
  FakeEngine fake(always(
      200,
      pull_stream({R"({"status":"Pulling from library/a","id":"latest"})",
                   R"({"errorDetail":{"message":"manifest for a:9 not found: manifest unknown: x"},"error":"e"})"})));
  Engine engine(fake.endpoint());
  const Failure failure = failure_of([&] { engine.pull("a:9", "", "", {}, {}); });
  EXPECT_EQ(failure.text, "cannot pull the image a:9: manifest for a:9 not found: manifest unknown: x");
  EXPECT_EQ(failure.status, 404);
  EXPECT_EQ(failure.reason, "image_pull_failure");
  EXPECT_THAT(failure.hint, HasSubstr("check the name, the tag and the platform"));
  EXPECT_EQ(fake.requests().size(), 1U);
}

TEST(EnginePull, DeniedIsNotTriedAgainAndNoSecretIsTold) {
  FakeEngine fake(always(
      404,
      R"({"message":"pull access denied for r.example.com/a, repository does not exist or may require 'docker login': denied"})"));
  Engine engine(fake.endpoint());
  const Failure failure = failure_of([&] { engine.pull("r.example.com/a", "", R"({"password":"hunter2"})", {}, {}); });
  EXPECT_EQ(failure.status, 401);
  EXPECT_EQ(failure.hint, "check the name; if the image is private: docker login r.example.com");
  EXPECT_THAT(failure.text,
              AllOf(HasSubstr("pull access denied"), Not(HasSubstr("hunter2")), Not(HasSubstr(base64url("hunter2")))));
  EXPECT_EQ(fake.requests().size(), 1U);
}

TEST(EnginePull, TroubleIsTriedTwiceMore) {
  std::atomic<int> calls = 0;
  FakeEngine fake([&](const Request&, Connection& connection) {
    switch (++calls) {
      case 1:
        return connection.answer(500, R"({"message":"Get https://r/v2/: dial tcp: i/o timeout"})");
      case 2:
        return;  // breaks off
      default:
        return connection.answer(200, "");
    }
  });
  std::vector<std::string> texts;
  Engine(fake.endpoint()).pull("a", "", "", [&](const PullProgress& progress) { texts.push_back(progress.text); }, {});
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(texts.at(1), "pulling a: failed, trying again");
}

TEST(EnginePull, TroubleThatStays) {
  FakeEngine fake(always(200, pull_stream({R"({"error":"unexpected EOF"})"})));
  Engine engine(fake.endpoint());
  const Failure failure = failure_of([&] { engine.pull("a", "", "", {}, {}); });
  EXPECT_EQ(failure.text, "cannot pull the image a: unexpected EOF");
  EXPECT_EQ(failure.status, 500);
  EXPECT_EQ(failure.reason, "image_pull_failure");
  EXPECT_EQ(fake.requests().size(), 3U);
}

TEST(EnginePull, NoEngineIsAPullFailureToo) {
  Endpoint endpoint;
  endpoint.socket = "/nonexistent.sock";
  Engine engine(endpoint);
  EXPECT_EQ(failure_of([&] { engine.pull("a", "", "", {}, {}); }).reason, "image_pull_failure");
}

TEST(EnginePull, AStopRequestBreaksItOff) {
  FakeEngine fake([](const Request&, Connection& connection) {
    connection.begin_chunks();
    connection.chunk("{}\r\n");
    connection.hold();
  });
  Engine engine(fake.endpoint());
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  const auto begin = steady_clock::now();
  EXPECT_EQ(failure_of([&] { engine.pull("a", "", "", {}, source.get_token()); }).text, "pulling a was cancelled");
  EXPECT_LT(steady_clock::now() - begin, 1s);
}

TEST(EnginePull, AStopRequestEndsThePauseBetweenTwoTries) {
  FakeEngine fake(always(500, "{}"));
  Engine engine(fake.endpoint());
  std::stop_source source;
  const auto begin = steady_clock::now();
  const auto stop = [&](const PullProgress& progress) {
    if (progress.text.ends_with("trying again")) source.request_stop();
  };
  EXPECT_EQ(failure_of([&] { engine.pull("a", "", "", stop, source.get_token()); }).status, 500);
  EXPECT_LT(steady_clock::now() - begin, 400ms);
}

// ---- attach, exec, events

TEST(EngineAttach, UnpacksFramesAndSaysWhenItIsOn) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target.find("raw") != std::string::npos) {
      connection.begin_stream();
      return connection.send("a terminal's output");
    }
    connection.begin_stream();
    for (const char byte : frame(1, "out ") + frame(2, "err")) connection.send({&byte, 1});
  });
  Engine engine(fake.endpoint());
  std::string got;
  const auto take = [&](std::string_view bytes) {
    got += bytes;
    return true;
  };
  engine.attach("a", [&] { got += "started: "; }, take, {});
  EXPECT_EQ(got, "started: out err");
  EXPECT_THAT(failure_of([&] { engine.attach("raw", {}, take, {}); }).text, HasSubstr("it is not framed"));
}

TEST(EngineExec, WaitsForTheExitCode) {
  std::atomic<int> looks = 0;
  FakeEngine fake([&](const Request& request, Connection& connection) {
    if (request.target.ends_with("/containers/a/exec")) return connection.answer(201, R"({"Id":"e1"})");
    if (request.target.ends_with("/exec/e1/json")) {
      if (++looks < 3) return connection.answer(200, R"({"Running":true,"ExitCode":null})");
      return connection.answer(200, R"({"Running":false,"ExitCode":3})");
    }
    connection.begin_stream();
    connection.send(frame(1, "hi"));
    if (nlohmann::json::parse(request.body).at("Tty") != false) connection.hold();
  });
  Engine engine(fake.endpoint());
  std::string output;
  EXPECT_EQ(engine.exec("a", {"sh", "-c", "true"}, &output, "1000:1000"), 3);
  EXPECT_EQ(output, "hi");
  const auto body = nlohmann::json::parse(fake.requests().at(0).body);
  EXPECT_EQ(body.at("User"), "1000:1000");
  EXPECT_EQ(body.at("Cmd"), (nlohmann::json{"sh", "-c", "true"}));
}

TEST(EngineExec, ThatSaysNothingForTooLong) {
  FakeEngine fake([&](const Request& request, Connection& connection) {
    if (request.target.ends_with("/containers/a/exec")) return connection.answer(201, R"({"Id":"e1"})");
    connection.begin_stream();
    connection.hold();
  });
  Engine engine(fake.endpoint());
  EXPECT_THAT(failure_of([&] { engine.exec("a", {"sleep"}, nullptr, {}, {}, 100ms); }).text,
              HasSubstr("did not answer within 100 ms"));
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(30ms);
    source.request_stop();
  });
  EXPECT_EQ(engine.exec("a", {"sleep"}, nullptr, {}, source.get_token()), -1);
}

std::string event(const std::string& action, const std::string& id, int code, std::int64_t time) {
  return nlohmann::json{{"Type", "container"},
                        {"Action", action},
                        {"Actor", {{"ID", id}, {"Attributes", {{"exitCode", std::to_string(code)}}}}},
                        {"timeNano", time}}
             .dump() +
         "\n";
}

TEST(EngineEvents, StopQuietAndEnd) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    connection.begin_chunks();
    connection.chunk("not json\n" + event("die", "a", 7, 42));
    if (request.target.find("since=1.000000002") != std::string::npos) return connection.chunk("");
    connection.hold();
  });
  Engine engine(fake.endpoint());
  std::vector<Engine::Event> events;
  const auto take = [&](const Engine::Event& one) { events.push_back(one); };
  bool connected = false;
  engine.events(
      "l=v", 0, take, {}, [&] { connected = true; }, 100ms);  // returns for the quiet
  EXPECT_TRUE(connected);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].action, "die");
  EXPECT_EQ(events[0].id, "a");
  EXPECT_EQ(events[0].exit_code, 7);
  EXPECT_EQ(events[0].time_nano, 42);

  std::stop_source source;
  engine.events(
      "l=v", 0, [&](const Engine::Event&) { source.request_stop(); }, source.get_token());
  EXPECT_THAT(failure_of([&] { engine.events("l=v", 1'000'000'002, take, {}); }).text,
              HasSubstr("ended its stream of events"));
}

TEST(EngineDeaths, AreNotMissedWhenTheStreamBreaks) {
  std::atomic<int> streams = 0;
  std::promise<void> watched;  // what ends before it is watched is nobody's
  FakeEngine fake([&](const Request& request, Connection& connection) {
    if (request.target.find("/events") != std::string::npos) {
      connection.begin_chunks();
      if (++streams > 1) {
        connection.hold();
        return;
      }
      watched.get_future().wait_for(30s);
      return connection.chunk(event("oom", "a", 0, 1'000'000'000) + event("die", "a", 137, 2'000'000'000));
    }
    if (streams < 2) return connection.answer(200, R"({"State":{"Status":"running","Running":true}})");
    if (request.target.find("/b/") != std::string::npos) {
      return connection.answer(200, R"({"State":{"Status":"exited","ExitCode":5,"OOMKilled":true}})");
    }
    if (request.target.find("/c/") != std::string::npos) return connection.answer(404, "{}");
    connection.answer(200, R"({"State":{"Status":"created"}})");
  });
  Engine engine(fake.endpoint());
  Deaths deaths(engine, "l=v");
  for (const char* id : {"a", "b", "c", "d"}) deaths.watch(id);
  EXPECT_EQ(deaths.poll("a"), std::nullopt);
  watched.set_value();
  const auto a = deaths.wait("a", 30s);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->exit_code, 137);
  EXPECT_TRUE(a->oom);
  EXPECT_TRUE(deaths.oom_seen("a"));
  const auto b = deaths.wait("b", 30s);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->exit_code, 5);
  EXPECT_TRUE(b->oom);
  const auto c = deaths.wait("c", 30s);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->exit_code, -1);
  EXPECT_FALSE(deaths.wait("d", 50ms));
  EXPECT_FALSE(deaths.wait("unknown", 1min)) << "not watched: returns at once";
  // It answers as soon as all that is watched has been looked at.
  for (int i = 0; i < 3000 && !deaths.engine_answers(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(deaths.engine_answers());
  deaths.forget("a");
  EXPECT_FALSE(deaths.poll("a"));
  // The second stream asks for what came after the last event.
  bool since = false;
  for (const auto& request : fake.requests())
    since = since || request.target.find("since=2.000000000") != std::string::npos;
  EXPECT_TRUE(since);
}

TEST(EngineDeaths, SayThatNoEngineAnswers) {
  Endpoint endpoint;
  endpoint.socket = "/nonexistent.sock";
  Engine engine(endpoint);
  Deaths deaths(engine, "l=v");
  deaths.watch("a");
  for (int i = 0; i < 200 && deaths.engine_answers(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(deaths.engine_answers());
  EXPECT_FALSE(deaths.wait("a", 10ms));
}

TEST(EngineAbsence, IsOneForAllUntilTheEngineAnswers) {
  Absence absence;
  const auto first = absence.deadline(20s);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(absence.deadline(20s), first);
  EXPECT_EQ(absence.deadline(21s), first + 1s);
  absence.over();
  EXPECT_GE(absence.deadline(20s), first + 20ms);
}

TEST(EngineAbsence, IsOverWithAnyAnswer) {
  std::atomic<bool> down = false;
  FakeEngine fake([&](const Request&, Connection& connection) {
    if (!down) connection.answer(404, "{}");
  });
  Engine engine(fake.endpoint());
  engine.remove_network("n");  // after the first contact
  down = true;
  const auto first = engine.absence().deadline(20s);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(failure_of([&] { engine.remove_network("n"); }).status, 0);
  EXPECT_EQ(engine.absence().deadline(20s), first);
  down = false;
  engine.remove_network("n");
  EXPECT_GE(engine.absence().deadline(20s), first + 20ms);
}

TEST(EngineDeaths, EndAtOnceWithAHangingEngine) {
  for (const char* first_contact : {"1.41", "hang"}) {
    FakeEngine fake([](const Request&, Connection& connection) { connection.hold(); }, first_contact);
    Engine engine(fake.endpoint());
    const auto begin = steady_clock::now();
    {
      Deaths deaths(engine, "l=v");
      std::this_thread::sleep_for(50ms);
    }
    EXPECT_LT(steady_clock::now() - begin, 1s);
  }
}

}  // namespace
}  // namespace executors::docker
