# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of one application on one host, side by side in a folder, one of them current.

    <root>/releases/<version>/               a release, with its marker .release.json
    <root>/releases/.staging-<random>/       a release on its way in or out; swept away by the next one
    <root>/current -> releases/<version>     what runs; switched by renaming a symlink, so it is never missing
    <root>/previous -> releases/<version>    what ran before
    <root>/.lock                             locked while a task changes something
    <root>/.fence                            the newest token of a fleet lock that was used here

A version folder appears by one rename after all of it is on the disk, so a folder with its marker is always whole.
Callers hold the lock around everything here that changes something.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .._host import private_copy, removal, small_files

if TYPE_CHECKING:
    from . import archive as release_archive

RELEASES = "releases"
MARKER = ".release.json"
STAGING = ".staging-"
AFTER_UMOUNT = "after the umount, the next run of the release module removes it"
BY_ANOTHER_ACCOUNT = "the next run of the release module as an account that may, with become, removes it"

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ReleaseError(Exception):
    """The state of the releases does not allow the request; the message says what, where and what to do."""


class Marker(NamedTuple):
    """What is known about a staged release: `staged` in epoch seconds, `size` in bytes, `files` counted."""

    sha256: str | None = None
    staged: float | None = None
    files: int | None = None
    size: int | None = None


class State(NamedTuple):
    """The releases as they are: the versions that `current` and `previous` point to, and {version: Marker} of all."""

    current: str | None
    previous: str | None
    available: dict[str, Marker]

    def as_dict(self) -> dict[str, Any]:
        """The state in plain types, for results and diffs."""
        return {
            "current": self.current,
            "previous": self.previous,
            "available": {version: marker._asdict() for version, marker in sorted(self.available.items())},
        }


def observe(root: str) -> State:
    """Read the state below `root`; nothing there is the empty state. Raise ReleaseError for links that point elsewhere."""
    releases = os.path.join(root, RELEASES)
    names = sorted(os.listdir(releases)) if os.path.isdir(releases) else []
    folders = {name: os.path.join(releases, name) for name in names if not name.startswith(".")}
    return State(
        current=_read_link(root, "current"),
        previous=_read_link(root, "previous"),
        available={
            name: _read_marker(folder, name) for name, folder in folders.items() if os.path.isdir(folder) and not os.path.islink(folder)
        },
    )


def require_root(path: str) -> str:
    """Return the normalised path; raise ReleaseError unless it is absolute and below /."""
    root = "/" + os.path.normpath(path).strip("/")
    if not os.path.isabs(path) or root == "/":
        raise ReleaseError(f"root {path!r} is not the absolute path of a folder below /: name the application's own folder")
    return root


def require_sha256(text: str) -> str:
    """Return the checksum in lower case; raise ReleaseError when `text` is none."""
    if not _SHA256.fullmatch(text.lower()):
        raise ReleaseError(f"sha256 {text!r} is no SHA-256 checksum: it takes 64 hexadecimal digits, as sha256sum prints them")
    return text.lower()


def needs_staging(state: State, version: str, sha256: str) -> bool:
    """True when `version` with that checksum is not there yet; raise ReleaseError when what is there differs and is in use."""
    if version not in state.available:
        return True
    staged = state.available[version].sha256
    if staged == sha256:
        return False
    if version == state.current:
        raise ReleaseError(
            f"release {version} is current with sha256 {staged or '(no marker)'}, but sha256 {sha256} is wanted: "
            "a release in use is never replaced; give the new build a version of its own"
        )
    return True


@contextlib.contextmanager
def checked_artifact(
    artifact: str | None, version: str, sha256: str, limits: release_archive.Limits, folder: str | None = None
) -> Iterator[release_archive.Archive]:
    """Yield the archive at `artifact` once its checksum is right and all of it is harmless; raise ReleaseError otherwise.

    It is read once, into a private copy on the disk of `folder`: what is unpacked is what was checked, even when another account changes the artifact.
    """
    if not artifact:
        raise ReleaseError(f"release {version} is not staged on this host, and no artifact is given to stage it from")
    if not os.path.isfile(artifact):
        raise ReleaseError(f"artifact {artifact} of release {version} is no file on this host")
    # Imported where an archive is read: a call that activates a release, or looks at one, reads none.
    from . import archive as release_archive

    with private_copy.private_copy(artifact, *([folder] if folder else [])) as (stream, found):
        _require_checksum(found, artifact, version, sha256)
        try:
            with release_archive.validated(stream, limits, reserved=frozenset([MARKER])) as archive:
                yield archive
        except release_archive.ArchiveError as error:
            raise ReleaseError(f"artifact {artifact} of release {version} is refused, nothing of it was kept: {error}") from error


def stage(root: str, version: str, artifact: str | None, sha256: str, limits: release_archive.Limits, now: float) -> Marker:
    """Put the release in `artifact` at its place, all of it or nothing; one of the same version that is not in use gives way.

    Return its marker; `now` is the time in it, unless a release that is there was staged later by the clock: then the clock was set
    back, and this one is the newest.
    """
    from .archive import unpack

    releases = os.path.join(root, RELEASES)
    now = max([now, *((marker.staged or 0) + 1 for name, marker in observe(root).available.items() if name != version and (marker.staged or 0) >= now)])
    require_unmounted(root, version)
    sweep(root)
    try:
        with checked_artifact(artifact, version, sha256, limits, releases) as archive:
            _require_space(releases, version, archive.size)
            staging = tempfile.mkdtemp(prefix=STAGING, dir=releases)
            unpack(archive, staging)
            marker = marker_of(archive, sha256, now)
            _write_marker(staging, version, marker)
        _set_aside(root, version)
        os.rename(staging, os.path.join(releases, version))
        small_files.flush(releases)
    finally:
        sweep(root)
    return marker


def marker_of(archive: release_archive.Archive, sha256: str, now: float) -> Marker:
    """The marker that a release unpacked from `archive` gets."""
    return Marker(sha256=sha256, staged=now, files=sum(entry.kind == "file" for entry in archive.entries), size=archive.size)


def switch(root: str, version: str, before: str | None) -> None:
    """Make `version` current and `before` previous. At every instant both links point to a release."""
    if before is not None:
        _point(root, "previous", before)
    _point(root, "current", version)


def withdraw(root: str) -> None:
    """Have no release current."""
    os.unlink(os.path.join(root, "current"))
    small_files.flush(root)


def require_removable(state: State, version: str) -> None:
    """Raise ReleaseError when `version` is the current release."""
    if version == state.current:
        raise ReleaseError(f"release {version} is current: it is not removed; make another release current first")


def require_unmounted(root: str, version: str) -> None:
    """Raise ReleaseError when something is mounted in the folder of `version`: the application's uploads go with no release."""
    folder = os.path.join(root, RELEASES, version)
    try:
        removal.require_nothing_mounted(folder)
    except removal.MountedError as error:
        raise ReleaseError(f"release {version} stays in {folder}: {error.strerror}") from error


def remove(root: str, version: str) -> list[str]:
    """Remove a release, and `previous` when it points there. The release disappears by one rename; return what of it cannot be removed, in sentences.

    Raise ReleaseError, having changed nothing, when something is mounted in it.
    """
    require_unmounted(root, version)
    if _read_link(root, "previous") == version:
        os.unlink(os.path.join(root, "previous"))
    _set_aside(root, version)
    return sweep(root)


def superfluous(state: State, keep: int) -> list[str]:
    """The releases beyond the `keep` newest, oldest first; never the current or previous one, nor one without a marker.

    `keep` counts the current and the previous release; 0 keeps all.
    """
    in_use = {state.current, state.previous} & set(state.available)
    candidates = sorted(
        (marker.staged, version) for version, marker in state.available.items() if marker.staged is not None and version not in in_use
    )
    excess = len(candidates) + len(in_use) - keep
    return [version for _staged, version in candidates[: max(0, excess)]] if keep else []


def sweep(root: str) -> list[str]:
    """Remove what a killed staging or removal left behind; the lock makes sure that no other process is still at work there.

    What cannot be removed affects no other release, and is returned in sentences: an application may write files under another account into its release.
    """
    releases = os.path.join(root, RELEASES)
    sentences = []
    for folder in (os.path.join(releases, name) for name in sorted(os.listdir(releases)) if name.startswith(STAGING)):
        try:
            errors = removal.remove_tree(folder)
        except OSError as error:
            errors = [error]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            # No command that removes: what is mounted from the same disk is on one file system with the rest, and would go with it.
            sentences.append(
                f"{errors[0].filename or folder} cannot be removed: {errors[0].strerror}{more}. It belongs to a release that is gone, and affects no other; "
                f"{AFTER_UMOUNT if any(isinstance(error, removal.MountedError) for error in errors) else BY_ANOTHER_ACCOUNT}")
    return sentences


def prepare(root: str) -> None:
    """Create the folders of `root` that are missing, readable for the service whatever the umask is."""
    small_files.make_folder(os.path.join(root, RELEASES), for_others=True)


def _read_link(root: str, name: str) -> str | None:
    path = os.path.join(root, name)
    if not os.path.lexists(path):
        return None
    if not os.path.islink(path):
        raise ReleaseError(f"{path} is no symlink: move it to {root}/{RELEASES}/<version> and link it from there")
    # By their real paths: folders above may be links.
    target = os.path.normpath(os.path.join(os.path.realpath(root), os.readlink(path)))
    if os.path.realpath(os.path.dirname(target)) != os.path.realpath(os.path.join(root, RELEASES)):
        raise ReleaseError(f"{path} points to {target}, which is no release in {root}/{RELEASES}: move it there and link it again")
    return os.path.basename(target)


def _point(root: str, name: str, version: str) -> None:
    new = os.path.join(root, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(os.path.join(RELEASES, version), new)
    os.replace(new, os.path.join(root, name))
    small_files.flush(root)


def _set_aside(root: str, version: str) -> None:
    """Rename the folder of `version`, if there is one, to a name that the next sweep removes."""
    releases = os.path.join(root, RELEASES)
    aside = tempfile.mkdtemp(prefix=STAGING, dir=releases)
    with contextlib.suppress(FileNotFoundError):
        os.rename(os.path.join(releases, version), os.path.join(aside, version))
    small_files.flush(releases)


def _require_checksum(found: str, artifact: str, version: str, sha256: str) -> None:
    if found != sha256:
        raise ReleaseError(
            f"artifact {artifact} of release {version} has sha256 {found}, but {sha256} is wanted: nothing was unpacked; "
            "build or fetch the artifact again, or correct the checksum"
        )


def _require_space(folder: str, version: str, size: int) -> None:
    free = private_copy.free_bytes(folder)
    if free < size:
        raise ReleaseError(f"release {version} takes {size} bytes, but {folder} has {free} bytes free beside a reserve: nothing was unpacked; make room first")


def _write_marker(folder: str, version: str, marker: Marker) -> None:
    content = json.dumps({"version": version, **marker._asdict()}, indent=2, sort_keys=True) + "\n"
    os.chmod(folder, 0o755)
    small_files.replace(os.path.join(folder, MARKER), content.encode("utf-8"), small_files.READABLE)


def _read_marker(folder: str, version: str) -> Marker:
    """The marker of a release; an empty one when it is missing, torn or of another version."""
    content = None
    # A link, a pipe or a device in its place is no marker.
    with contextlib.suppress(OSError, small_files.SmallFileError):
        content = small_files.read_json(os.path.join(folder, MARKER))
    if not isinstance(content, dict) or content.get("version") != version or not _SHA256.fullmatch(str(content.get("sha256"))):
        return Marker()
    known = Marker(**{field: content.get(field) for field in Marker._fields})
    numbers = (known.staged, known.files, known.size)
    return known if all(isinstance(number, (int, float)) for number in numbers) else Marker(sha256=known.sha256)
