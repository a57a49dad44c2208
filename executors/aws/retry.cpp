#include "executors/aws/retry.h"

#include <algorithm>
#include <array>

namespace executors::aws {
namespace {

template <std::size_t Size>
bool one_of(std::string_view code, const std::array<std::string_view, Size>& codes) {
  return std::ranges::find(codes, code) != codes.end();
}

// botocore/retries/standard.py, ThrottledRetryableChecker; and EC2's own.
constexpr std::array<std::string_view, 14> throttles = {"Throttling",
                                                        "ThrottlingException",
                                                        "ThrottledException",
                                                        "RequestThrottled",
                                                        "RequestThrottledException",
                                                        "TooManyRequestsException",
                                                        "SlowDown",
                                                        "RequestLimitExceeded",
                                                        "ProvisionedThroughputExceededException",
                                                        "PriorRequestNotComplete",
                                                        "TransactionInProgressException",
                                                        "BandwidthLimitExceeded",
                                                        "LimitExceededException",
                                                        "EC2ThrottledException"};
constexpr std::array<std::string_view, 3> busy_codes = {"RequestTimeout", "RequestTimeoutException", "InternalFailure"};
constexpr std::array<std::string_view, 4> expired_codes = {"ExpiredToken", "ExpiredTokenException",
                                                           "TokenRefreshRequired", "ExpiredTokenFault"};
constexpr std::array<std::string_view, 3> skew_codes = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"};

}  // namespace

Trouble trouble_of(int status, std::string_view code) {
  if (status >= 200 && status < 300) return Trouble::none;
  if (one_of(code, throttles) || status == 429 || status == 509) return Trouble::throttled;
  if (one_of(code, expired_codes)) return Trouble::expired;
  if (one_of(code, skew_codes)) return Trouble::skewed;
  if (one_of(code, busy_codes) || status == 500 || status == 502 || status == 503 || status == 504) {
    return Trouble::busy;
  }
  return Trouble::none;
}

bool may_repeat(Repeat repeat, Trouble trouble) {
  switch (trouble) {
    case Trouble::none:
      return false;
    case Trouble::throttled:
    case Trouble::unreachable:
    case Trouble::expired:
    case Trouble::skewed:
      return true;
    case Trouble::busy:
    case Trouble::cut:
      return repeat != Repeat::never;
  }
  return false;
}

std::chrono::milliseconds pause_before(int attempt, double random) {
  constexpr double cap = 20'000;
  const double longest =
      std::min(cap, 1000.0 * static_cast<double>(1U << static_cast<unsigned>(std::clamp(attempt - 2, 0, 20))));
  return std::chrono::milliseconds(static_cast<long>(random * longest));
}

}  // namespace executors::aws
