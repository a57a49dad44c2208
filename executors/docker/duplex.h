// A connection of the engine that both sides write to, as `docker exec -it` has one: POST with `Upgrade: tcp`, and raw
// bytes behind the answer (docs.docker.com/engine/api/v1.41, "Exec": "hijacking"). cpp-httplib sends all of a request
// before it reads, so this speaks HTTP itself.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "executors/docker/engine.h"

namespace executors::docker {

class Duplex {
 public:
  // `what` is for messages: "open a shell in the container 1234". `target` with the API's version. Throws EngineError.
  Duplex(const Endpoint&, const std::string& what, const std::string& target, const std::string& json_body);
  ~Duplex();
  Duplex(const Duplex&) = delete;
  Duplex& operator=(const Duplex&) = delete;

  int descriptor() const;  // readable when read() will not wait
  bool pending() const;    // there is more to read that the descriptor does not tell of
  // Some bytes; 0 at the end or when the connection broke.
  std::size_t read(char* to, std::size_t size);
  bool write(std::string_view bytes);  // all of it; false when the connection broke

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace executors::docker
