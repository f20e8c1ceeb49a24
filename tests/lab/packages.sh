#!/usr/bin/env bash
# On a new machine of CI: the Debian packages that the lab needs. Elsewhere nothing is installed unasked; the lab's tests say what is missing.
set -euo pipefail
packages=(podman runc netavark iptables nftables iproute2 util-linux openssh-client debootstrap curl)
if [[ ${CI:-} != true || $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
    exit 0
fi
# PgBouncer is only downloaded, and not installed: for that the lists of what there is have to be there.
apt-cache show pgbouncer > /dev/null 2>&1 || apt-get update -qq
installed() { dpkg-query --show --showformat '${Status}' "$1" 2> /dev/null | grep -q ' installed$'; }
for package in "${packages[@]}"; do
    if ! installed "$package"; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "${packages[@]}" > build/lab-packages.log 2>&1 \
            || echo "the lab's packages could not be installed: see build/lab-packages.log"
        break
    fi
done
