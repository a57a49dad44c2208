// A connection to the engine's socket or port, before any TLS: for EngineHttp and Duplex.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "executors/docker/engine.h"

namespace executors::docker {

// A local engine accepts at once and a remote one within a round trip or two; SYN is repeated after 1, 3 and 7 s.
inline constexpr std::chrono::milliseconds connect_patience{10'000};

// How the connection failed.
struct ConnectFailure {
  int error = 0;         // errno; ECANCELED: told to stop
  std::string resolver;  // what the name lookup said
};

// A connected, blocking socket, or -1. Reading and writing give up after `silence`; 0: never.
int connect_to(const Endpoint&, std::chrono::milliseconds silence, const std::stop_token&, ConnectFailure&);

}  // namespace executors::docker
