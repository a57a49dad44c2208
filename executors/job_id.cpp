#include <string>

#include "executors/executor.h"

namespace executors {

std::string JobId::resource_name() const {
  return "r-" + owner.substr(0, 8) + "-" + std::to_string(run) + "-" + std::to_string(job) + "-" +
         std::to_string(attempt);
}

}  // namespace executors
