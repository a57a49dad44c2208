#include "runner/hosts/api_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>

namespace runner {
namespace {

constexpr std::size_t most_bytes = 64 * 1024 * 1024;  // of one answer

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(space) + 1 - begin));
}

// What another attempt may cure.
bool is_passing(CURLcode code) {
  constexpr CURLcode codes[] = {CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT, CURLE_GOT_NOTHING, CURLE_RECV_ERROR,
                                CURLE_SEND_ERROR,      CURLE_PARTIAL_FILE,       CURLE_HTTP2_STREAM};
  return std::ranges::find(codes, code) != std::end(codes);
}

extern "C" {
static std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& body = static_cast<ApiResponse*>(target)->body;
  if (body.size() + size * count > most_bytes) return 0;
  body.append(bytes, size * count);
  return size * count;
}

static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* target) {
  const std::string_view line(bytes, size * count);
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    static_cast<ApiResponse*>(target)->headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
  }
  return size * count;
}

static int look_up(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}
}

// False when the token was asked to stop meanwhile.
bool sleep_for(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock lock(mutex);
  woken.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

bool is_busy(long status) { return status == 429 || (status >= 500 && status != 501); }

std::chrono::milliseconds asked_for(const ApiResponse& response) {
  const std::string text = response.header("retry-after");
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size()) return std::chrono::milliseconds(0);
  return std::chrono::seconds(std::min(seconds, 3600U));
}

}  // namespace

struct ApiClient::Handle {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{curl_easy_init(), &curl_easy_cleanup};
};

ApiClient::ApiClient(ApiSettings settings) : settings_(std::move(settings)), handle_(std::make_unique<Handle>()) {
  if (!handle_->curl) throw ApiError("libcurl cannot be started");
}
ApiClient::~ApiClient() = default;

std::string ApiResponse::header(std::string_view name) const {
  std::string value;
  for (const auto& [known, text] : headers) {
    if (known == name) value = text;
  }
  return value;
}

ApiResponse ApiClient::send(const ApiRequest& request) {
  ApiResponse response;
  char words[CURL_ERROR_SIZE] = "";
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const std::string& header : request.headers) {
    headers.reset(curl_slist_append(headers.release(), header.c_str()));
  }
  CURL* curl = handle_->curl.get();
  curl_easy_reset(curl);  // connections stay
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(settings_.patience.count()));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &response);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &response);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_up);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &settings_.stop);
  if (!settings_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, settings_.ca_file.c_str());
  if (!settings_.ca_path.empty()) curl_easy_setopt(curl, CURLOPT_CAPATH, settings_.ca_path.c_str());
  if (request.method != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  if (code == CURLE_ABORTED_BY_CALLBACK) throw ApiError(server_of(request.url) + ": stopped");
  if (code != CURLE_OK) {
    throw ApiError(fmt::format("{}: {}", server_of(request.url), words[0] != '\0' ? words : curl_easy_strerror(code)),
                   is_passing(code));
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  return response;
}

ApiResponse send_patiently(ApiClient& client, const ApiRequest& request, const Persistence& how) {
  using std::chrono::steady_clock;
  const std::chrono::milliseconds patience = client.settings().patience;
  std::chrono::milliseconds wait = how.first_wait;
  for (unsigned attempt = 1;; ++attempt) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(how.until - steady_clock::now());
    if (left.count() <= 0) throw ApiError(server_of(request.url) + ": there was no time left to ask it");
    client.set_patience(std::min(patience, left));
    std::chrono::milliseconds asked{0};
    try {
      ApiResponse response = client.send(request);
      if (!is_busy(response.status) || attempt >= how.tries) return response;
      asked = std::min(asked_for(response), how.longest_asked);
    } catch (const ApiError& error) {
      if (!error.passing || attempt >= how.tries) throw;
    }
    client.set_patience(patience);
    if (!sleep_for(std::max(asked, wait), client.settings().stop)) {
      throw ApiError(server_of(request.url) + ": stopped");
    }
    wait = std::min(wait * 2, how.longest_wait);
  }
}

namespace {

std::string escaped(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || kept.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

std::string url_escaped(std::string_view text) { return escaped(text, "-._~"); }
std::string url_escaped_path(std::string_view segments) { return escaped(segments, "-._~/"); }

std::string server_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const std::string_view authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  const std::size_t user = authority.rfind('@');  // never shown: a password may stand there
  return std::string(url.substr(0, begin)) +
         std::string(user == std::string_view::npos ? authority : authority.substr(user + 1));
}

}  // namespace runner
