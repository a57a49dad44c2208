# docker build -t runner .
# docker run --rm -v /var/run/docker.sock:/var/run/docker.sock -v runner:/var/lib/runner -v "$PWD:/project" runner exec
#
# The engine sees no path of this container, so sources and artifacts travel as archives. Where the state directory has
# the same path here and on the engine's host, jobs get overlays and outlive the runner, and a later container of the
# same host name can resume them: -v /var/lib/runner:/var/lib/runner -e RUNNER_WORKSPACE=auto --hostname ci
#
# Whoever may use the engine's socket is root on its host, whatever user this image had: hence none.

FROM debian:12 AS builder
WORKDIR /src
COPY tools/setup/lib.sh tools/setup/deps.sh tools/setup/
RUN tools/setup/deps.sh build
COPY . .
RUN cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DRUNNER_TESTS=OFF \
 && cmake --build build --target runner \
 && cmake --install build --prefix /usr/local --strip

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates git openssh-client \
      libarchive13 libbrotli1 libcpp-httplib0.11 libcurl4 libfmt9 libgit2-1.5 libpugixml1v5 libre2-9 libsodium23 \
      libsqlite3-0 libssl3 libtomlplusplus3 libyaml-cpp0.7 libzstd1 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=builder /usr/local/ /usr/local/
ENV RUNNER_DATABASE=/var/lib/runner/runner.db RUNNER_WORKSPACE=archive
VOLUME /var/lib/runner
WORKDIR /project
ENTRYPOINT ["runner"]
