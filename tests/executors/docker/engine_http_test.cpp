// One call at a time, against engines that misbehave and over TLS.
#include "executors/docker/engine_http.h"

#include <gmock/gmock.h>
#include <httplib.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <thread>

#include "tests/executors/docker/fake_engine.h"

namespace executors::docker {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::HasSubstr;
using Request = FakeEngine::Request;
using Connection = FakeEngine::Connection;

struct Failure {
  int status = -1;
  std::string text, hint;
};

Failure failure_of(const Endpoint& endpoint, HttpCall call, bool* timed_out = nullptr) {
  call.what = "do it";
  if (call.target.empty()) call.target = "/x";
  try {
    EngineHttp(endpoint).call(call, timed_out);
  } catch (const EngineError& error) {
    return {error.status, error.what(), error.hint};
  }
  return {};
}

HttpCall stream_call(std::string& into) {
  HttpCall call{.what = "do it", .target = "/x"};
  call.receive = [&into](std::string_view bytes) {
    into += bytes;
    return true;
  };
  return call;
}

TEST(EngineHttp, AnswersAreValues) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target == "/missing") return connection.answer(404, R"({"message":"no"})", "X-Some-Header: v\r\n");
    if (request.target == "/nothing") return connection.answer(204);
    connection.answer(200, request.method + " " + request.body);
  });
  const EngineHttp http(fake.endpoint());
  const HttpAnswer missing = http.call({.what = "", .target = "/missing"});
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, R"({"message":"no"})");
  EXPECT_EQ(missing.headers.at("x-some-header"), "v");
  EXPECT_FALSE(missing.ok());
  EXPECT_EQ(http.call({.what = "", .method = "DELETE", .target = "/nothing"}).status, 204);
  EXPECT_EQ(http.call({.what = "", .method = "POST", .target = "/a?b=c%2Fd", .body = "{}"}).body, "POST {}");
  EXPECT_EQ(http.call({.what = "", .method = "HEAD", .target = "/missing"}).status, 404);

  const Request sent = fake.requests().at(2);
  EXPECT_EQ(sent.target, "/a?b=c%2Fd");
  EXPECT_EQ(sent.headers.at("host"), "docker");
  EXPECT_EQ(sent.headers.at("content-type"), "application/json");
  EXPECT_EQ(sent.headers.at("accept-encoding"), "identity");
}

TEST(EngineHttp, AnErrorsBodyDoesNotGoToTheReceiver) {
  FakeEngine fake([](const Request&, Connection& connection) { connection.answer(500, "oh no"); });
  std::string got;
  bool started = false;
  HttpCall call = stream_call(got);
  call.started = [&] { started = true; };
  const HttpAnswer answer = EngineHttp(fake.endpoint()).call(call);
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "oh no");
  EXPECT_EQ(got, "");
  EXPECT_FALSE(started);
}

TEST(EngineHttp, StreamsOfEveryKind) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target == "/chunks") {
      connection.begin_chunks();
      connection.chunk("one ");
      connection.chunk("two");
      connection.chunk("");
    } else {
      connection.begin_stream();
      connection.send("one ");
      connection.send("two");
    }
  });
  for (const char* target : {"/chunks", "/raw"}) {
    std::string got;
    HttpCall call = stream_call(got);
    call.target = target;
    call.started = [&] { got += "started "; };
    EXPECT_EQ(EngineHttp(fake.endpoint()).call(call).status, 200);
    EXPECT_EQ(got, "started one two") << target;
  }
}

TEST(EngineHttp, UploadsInPieces) {
  FakeEngine fake([](const Request&, Connection& connection) { connection.answer(200); });
  int piece = 0;
  HttpCall call{.what = "", .method = "PUT", .target = "/x"};
  call.upload = [&] { return ++piece <= 3 ? std::string(2, static_cast<char>('a' + piece)) : std::string(); };
  EXPECT_EQ(EngineHttp(fake.endpoint()).call(call).status, 200);
  EXPECT_EQ(fake.requests().at(0).body, "2\r\nbb\r\n2\r\ncc\r\n2\r\ndd\r\n0\r\n\r\n");
}

TEST(EngineHttp, ExceptionsPassThrough) {
  struct Mine {};
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.method == "PUT") return;
    connection.begin_stream();
    connection.send("bytes");
    connection.hold(2s);
  });
  const EngineHttp http(fake.endpoint());
  HttpCall receiving{.what = "", .target = "/x", .receive = [](std::string_view) -> bool { throw Mine(); }};
  EXPECT_THROW(http.call(receiving), Mine);
  HttpCall starting{.what = "", .target = "/x", .started = [] { throw Mine(); }};
  EXPECT_THROW(http.call(starting), Mine);
  HttpCall uploading{.what = "", .method = "PUT", .target = "/x", .upload = []() -> std::string { throw Mine(); }};
  EXPECT_THROW(http.call(uploading), Mine);
}

TEST(EngineHttp, AReceiverThatHasEnoughEndsTheCall) {
  FakeEngine fake([](const Request&, Connection& connection) {
    connection.begin_stream();
    connection.send("bytes");
    connection.hold();
  });
  HttpCall call{.what = "", .target = "/x", .receive = [](std::string_view) { return false; }};
  EXPECT_TRUE(EngineHttp(fake.endpoint()).call(call).stopped);
}

TEST(EngineHttp, AStopRequestReachesACallWhereverItWaits) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target == "/stream") connection.begin_stream();
    if (request.target == "/chunks") connection.begin_chunks();
    connection.hold();
  });
  for (const char* target : {"/answer", "/stream", "/chunks"}) {
    for (const auto delay : {0ms, 1ms, 50ms}) {
      std::stop_source source;
      std::string got;
      HttpCall call = stream_call(got);
      call.target = target;
      call.stop = source.get_token();
      std::jthread stopper([&] {
        std::this_thread::sleep_for(delay);
        source.request_stop();
      });
      const auto begin = steady_clock::now();
      EXPECT_TRUE(EngineHttp(fake.endpoint()).call(call).stopped) << target;
      EXPECT_LT(steady_clock::now() - begin, 5s) << target;
    }
  }
}

TEST(EngineHttp, ManyStopsAtRandomMoments) {
  FakeEngine fake([](const Request&, Connection& connection) {
    connection.begin_chunks();
    for (int i = 0; i < 50; ++i) connection.chunk("some bytes");
    connection.hold();
  });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 40; ++i) {
    threads.emplace_back([&fake, i] {
      std::stop_source source;
      std::string got;
      HttpCall call = stream_call(got);
      call.stop = source.get_token();
      std::jthread stopper([&source, i] {
        std::this_thread::sleep_for(std::chrono::microseconds(i * 97));
        source.request_stop();
      });
      EXPECT_TRUE(EngineHttp(fake.endpoint()).call(call).stopped);
    });
  }
}

TEST(EngineHttp, AnEngineThatHangsIsGivenUp) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target == "/stream") connection.begin_stream();
    connection.hold();
  });
  bool timed_out = false;
  const Failure silent = failure_of(fake.endpoint(), {.what = "", .target = "/silent", .silence = 200ms}, &timed_out);
  EXPECT_EQ(silent.status, 0);
  EXPECT_EQ(silent.text,
            "cannot do it: the Docker engine at " + fake.endpoint().display() + " did not answer within 200 ms");
  EXPECT_TRUE(timed_out);
  timed_out = false;
  EXPECT_THAT(failure_of(fake.endpoint(), {.what = "", .target = "/stream", .silence = 200ms}, &timed_out).text,
              HasSubstr("did not answer within 200 ms"));
  EXPECT_TRUE(timed_out);
}

TEST(EngineHttp, AConnectionThatBreaks) {
  FakeEngine fake([](const Request& request, Connection& connection) {
    if (request.target == "/head") connection.send("HTTP/1.1 200 OK\r\nContent-Le");
    if (request.target == "/length") connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    if (request.target == "/chunks") {
      connection.begin_chunks();
      connection.chunk("only this");
    }
    if (request.target == "/garbage") connection.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
  });
  for (const char* target : {"/nothing", "/head", "/length", "/chunks", "/garbage"}) {
    bool timed_out = false;
    const Failure failure = failure_of(fake.endpoint(), {.what = "", .target = target}, &timed_out);
    EXPECT_EQ(failure.text,
              "cannot do it: the Docker engine at " + fake.endpoint().display() + " broke the connection off")
        << target;
    EXPECT_FALSE(timed_out);
    EXPECT_THAT(failure.hint, HasSubstr("stopped or restarted"));
  }
}

TEST(EngineHttp, NoSocket) {
  Endpoint endpoint;
  endpoint.socket = "/nonexistent/docker.sock";
  const Failure failure = failure_of(endpoint, {});
  EXPECT_EQ(failure.status, 0);
  EXPECT_EQ(failure.text,
            "cannot do it: no Docker engine answers at unix:///nonexistent/docker.sock: there is no such socket");
  EXPECT_EQ(failure.hint, "is it running? Start it, or set DOCKER_HOST, or use --executor shell");
}

TEST(EngineHttp, NobodyListens) {
  const TemporaryDirectory directory;
  Endpoint endpoint;
  endpoint.socket = directory.write("docker.sock", "a plain file");
  EXPECT_EQ(failure_of(endpoint, {}).text,
            "cannot do it: no Docker engine answers at unix://" + endpoint.socket + ": the connection was refused");
  Endpoint tcp;
  tcp.host = "127.0.0.1";
  tcp.port = 1;
  EXPECT_EQ(failure_of(tcp, {}).text,
            "cannot do it: no Docker engine answers at tcp://127.0.0.1:1: the connection was refused");
  tcp.host = "no-such-host.invalid";
  EXPECT_THAT(failure_of(tcp, {}).text, HasSubstr("the host 'no-such-host.invalid' is not known"));
}

TEST(EngineHttp, NotPermitted) {
  FakeEngine fake([](const Request&, Connection& connection) { connection.answer(200); });
  ::chmod(fake.endpoint().socket.c_str(), 0);
  const uid_t user = ::geteuid();
  if (user == 0) {
    ::chmod(fake.directory().c_str(), 0755);
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const Failure failure = failure_of(fake.endpoint(), {});
  if (user == 0) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_EQ(failure.text, "cannot do it: your user may not use " + fake.endpoint().display() + " (Permission denied)");
  EXPECT_THAT(failure.hint, HasSubstr("group docker"));
}

TEST(EngineHttp, Encodings) {
  EXPECT_EQ(url_encode("a/b:c@d é{}\""), "a%2Fb%3Ac%40d%20%C3%A9%7B%7D%22");
  EXPECT_EQ(base64url(""), "");
  EXPECT_EQ(base64url("f"), "Zg==");
  EXPECT_EQ(base64url("fo"), "Zm8=");
  EXPECT_EQ(base64url("foo"), "Zm9v");
  EXPECT_EQ(base64url("\xff\xef\xbe?"), "_---Pw==");
  EXPECT_EQ(base64_decode("Zm9vYg=="), "foob");
  EXPECT_EQ(base64_decode("Zm9vYg"), "foob");
  EXPECT_EQ(base64_decode("/+++"), "\xff\xef\xbe");
}

// ---- TLS

template <class T, void (*free)(T*)>
struct Free {
  void operator()(T* pointer) const { free(pointer); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;

struct Identity {
  Key key{EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")};  // EVP_EC_gen() casts const away
  Certificate certificate{X509_new()};
};

Identity make_identity(const char* name, const char* alternative_names, const Identity* issuer) {
  Identity identity;
  X509* certificate = identity.certificate.get();
  static long serial = 1;
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer != nullptr ? issuer->certificate.get() : certificate));
  X509_set_pubkey(certificate, identity.key.get());
  const auto extend = [&](int what, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  };
  if (issuer == nullptr) extend(NID_basic_constraints, "critical,CA:TRUE");
  if (alternative_names != nullptr) extend(NID_subject_alt_name, alternative_names);
  X509_sign(certificate, (issuer != nullptr ? issuer->key : identity.key).get(), EVP_sha256());
  return identity;
}

void write_pem(const std::string& directory, const std::string& certificate, const std::string& key,
               const Identity& identity) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen((directory + '/' + certificate).c_str(), "w"), std::fclose);
  PEM_write_X509(file.get(), identity.certificate.get());
  if (key.empty()) return;
  file.reset(std::fopen((directory + '/' + key).c_str(), "w"));
  PEM_write_PrivateKey(file.get(), identity.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

class EngineTls : public testing::Test {
 protected:
  EngineTls() {
    write_pem(directory_.path(), "ca.pem", "", authority_);
    write_pem(directory_.path(), "cert.pem", "key.pem", make_identity("client", nullptr, &authority_));
    write_pem(directory_.path(), "server.pem", "server-key.pem", make_identity("engine", "IP:127.0.0.1", &authority_));
    write_pem(directory_.path(), "stranger.pem", "", make_identity("stranger", nullptr, nullptr));
    server_ = std::make_unique<httplib::SSLServer>(file("server.pem").c_str(), file("server-key.pem").c_str(),
                                                   file("ca.pem").c_str());
    server_->Get("/x", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("hello", "text/plain");
    });
    port_ = server_->bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) std::this_thread::sleep_for(1ms);
  }
  ~EngineTls() override {
    server_->stop();
    thread_.join();
  }
  std::string file(const std::string& name) const { return directory_.path() + '/' + name; }
  Endpoint endpoint() const {
    Endpoint endpoint;
    endpoint.host = "127.0.0.1";
    endpoint.port = port_;
    endpoint.tls = true;
    endpoint.ca = file("ca.pem");
    endpoint.cert = file("cert.pem");
    endpoint.key = file("key.pem");
    return endpoint;
  }

  TemporaryDirectory directory_;
  Identity authority_ = make_identity("authority", nullptr, nullptr);
  std::unique_ptr<httplib::SSLServer> server_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(EngineTls, WithCertificates) {
  const EngineHttp http(endpoint());
  EXPECT_EQ(http.call({.what = "", .target = "/x"}).body, "hello");
  std::stop_source source;
  EXPECT_EQ(http.call({.what = "", .target = "/x", .stop = source.get_token()}).body, "hello");
}

TEST_F(EngineTls, AnotherAuthority) {
  Endpoint wrong = endpoint();
  wrong.ca = file("stranger.pem");
  const Failure failure = failure_of(wrong, {});
  EXPECT_THAT(failure.text, HasSubstr("is not trusted"));
  EXPECT_THAT(failure.text, HasSubstr("stranger.pem"));
  wrong.verify = false;
  EXPECT_EQ(EngineHttp(wrong).call({.what = "", .target = "/x"}).body, "hello");
}

TEST_F(EngineTls, AnotherHost) {
  Endpoint wrong = endpoint();
  wrong.host = "localhost";
  EXPECT_THAT(failure_of(wrong, {}).text, HasSubstr("it is not for the host 'localhost'"));
}

TEST_F(EngineTls, WithoutOurCertificate) {
  Endpoint wrong = endpoint();
  wrong.cert.clear();
  wrong.key.clear();
  const Failure failure = failure_of(wrong, {});
  EXPECT_EQ(failure.status, 0);
  EXPECT_THAT(failure.hint, HasSubstr("DOCKER_CERT_PATH"));
}

TEST_F(EngineTls, FilesThatAreNone) {
  Endpoint wrong = endpoint();
  wrong.cert = directory_.write("bad.pem", "nonsense");
  EXPECT_THAT(failure_of(wrong, {}).text, HasSubstr("cannot be used together"));
  wrong = endpoint();
  wrong.ca = file("bad.pem");
  EXPECT_THAT(failure_of(wrong, {}).text,
              HasSubstr("the certificate authorities in '" + wrong.ca + "' cannot be used"));
}

TEST_F(EngineTls, AnEngineThatSpeaksNoTls) {
  httplib::Server plain;
  const int port = plain.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { plain.listen_after_bind(); });
  while (!plain.is_running()) std::this_thread::sleep_for(1ms);
  Endpoint wrong = endpoint();
  wrong.port = port;
  EXPECT_THAT(failure_of(wrong, {}).text, HasSubstr("no TLS connection to tcp://127.0.0.1:"));
  plain.stop();
  thread.join();
}

}  // namespace
}  // namespace executors::docker
