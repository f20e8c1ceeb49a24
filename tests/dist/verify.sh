#!/usr/bin/env bash
# Installs the collection's tarball from build/dist into build/dist/installed for somebody who trusts the keys of a keyring only, and compares every file.
#     tests/dist/verify.sh KEYRING    KEYRING: what gpg --export has written
# ansible-galaxy itself judges signatures of collections that come from a Galaxy server; for a file this does the same: the signature is MANIFEST.json's,
# which has the checksum of FILES.json, which has every file's.
set -euo pipefail
cd "$(dirname "$0")/../.."
keyring=$(realpath "${1:?the keyring with the keys that count, as gpg --export writes it}")
tarball=$(realpath build/dist/alwayson-upgrade-*.tar.gz)
export ANSIBLE_HOME=$PWD/build/ansible ANSIBLE_COLLECTIONS_PATH=$PWD/build/dist/installed ANSIBLE_NOCOLOR=1
rm -rf build/dist/installed
mkdir -p build/dist/installed
tar --extract --gzip --file "$tarball" --directory build/dist/installed MANIFEST.json
gpgv --keyring "$keyring" "$tarball.asc" build/dist/installed/MANIFEST.json
rm build/dist/installed/MANIFEST.json
build/venv/bin/ansible-galaxy collection install "$tarball" --no-deps --offline --collections-path build/dist/installed
build/venv/bin/ansible-galaxy collection verify --offline alwayson.upgrade
