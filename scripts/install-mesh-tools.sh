#!/usr/bin/env bash
# Installs, on Debian, the programs by which a node gives workloads a network of their own: ip, nft,
# setpriv. May be run again: what is there stays as it is.
set -euo pipefail

packages=(iproute2 nftables util-linux procps curl python3)

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
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

echo "mesh tools:"
ip -Version
nft --version
setpriv --version
