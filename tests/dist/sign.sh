#!/usr/bin/env bash
# Signs the collection's tarball in build/dist as ansible-galaxy reads it: a detached OpenPGP signature of its MANIFEST.json, which has every file's checksum.
#     tests/dist/sign.sh KEY          KEY: as gpg --local-user takes it
set -euo pipefail
cd "$(dirname "$0")/../.."
key=${1:?the key to sign with, as gpg --local-user takes it}
tarball=$(echo build/dist/alwayson-upgrade-*.tar.gz)
[ -f "$tarball" ] || { echo "there is no single tarball in build/dist: make dist first" >&2; exit 1; }
tar --extract --gzip --to-stdout --file "$tarball" MANIFEST.json |
  gpg --batch --yes --armor --local-user "$key" --detach-sign --output "$tarball.asc"
echo "$tarball.asc"
