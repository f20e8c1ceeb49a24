# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's image, built once for each content of tests/lab/image and kept in the lab's own storage."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from lab.podman import LabError, Podman

IMAGE = Path(__file__).with_name("image")
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
BUILD_SECONDS = 900


def ensure(podman: Podman) -> str:
    """The image's name; built when it is not there yet. LAB_BASE names a base image to use instead of a bootstrapped one."""
    name = f"localhost/alwayson-lab:{_mark()}"
    if podman.run("image", "exists", name, check=False, network=False).returncode:
        base = os.environ.get("LAB_BASE") or _base(podman)
        print(f"building {name}, once", flush=True)
        podman.run("build", "--network", "host", "--build-arg", f"BASE={base}", "--tag", name, "--file", str(IMAGE / "Containerfile"), str(IMAGE),
                   seconds=BUILD_SECONDS, network=False)
    return name


def _mark() -> str:
    """What the image is made of, as a short word."""
    digest = hashlib.sha256(os.environ.get("LAB_BASE", "").encode())
    for path in sorted(IMAGE.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(IMAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _base(podman: Podman) -> str:
    """A small Debian made from its own packages, where no registry of images is within reach."""
    name = f"localhost/alwayson-lab-base:{SUITE}"
    if not podman.run("image", "exists", name, check=False, network=False).returncode:
        return name
    if not shutil.which("debootstrap"):
        raise LabError("the lab's base image is made by debootstrap: apt-get install debootstrap, or name an image: LAB_BASE=docker.io/library/debian:bookworm")
    print(f"making {name}, once", flush=True)
    root, log = podman.directory / "bootstrap", podman.directory / "bootstrap.log"
    shutil.rmtree(root, ignore_errors=True)
    try:
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(["debootstrap", "--variant=minbase", SUITE, str(root), os.environ.get("LAB_MIRROR", MIRROR)],
                                  stdout=output, stderr=subprocess.STDOUT, check=False, timeout=BUILD_SECONDS)
        if done.returncode:
            raise LabError(f"debootstrap failed; {log} ends with:\n{log.read_text(encoding='utf-8')[-1000:]}")
        _import(podman, root, name)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return name


def _import(podman: Podman, root: Path, name: str) -> None:
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packing:
        done = subprocess.run(["podman", "import", "-", name], stdin=packing.stdout, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS,
                              env=podman.environment())
    if done.returncode or packing.returncode:
        raise LabError(f"the base image could not be imported: {done.stderr.strip()[-1000:]}")
