# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of releases: what is mounted is never removed, names are bytes, and what was judged is what is staged."""

from __future__ import annotations

from guards.guard import Guard

CORE, TESTS = "plugins/module_utils", "tests/unit/module_utils"
REMOVAL = (f"{TESTS}/_host/test_removal.py",)
RELEASE = (f"{TESTS}/_release/test_releases.py",)
MODULE = ("tests/unit/modules/test_release_module.py",)
ARCHIVE = (f"{TESTS}/_release/test_archive.py",)
SIGNATURE = (f"{TESTS}/_release/test_signature.py",)

RELEASES = (
    Guard("removal, mounts", "a folder is removed with what is mounted in it", REMOVAL, (
        (f"{CORE}/_host/removal.py", "    require_nothing_mounted(path)\n    errors", "    errors"),)),
    Guard("removal, walk", "what is mounted after the look is entered", REMOVAL, (
        (f"{CORE}/_host/removal.py", "                if _mount_of(inner) != mount:\n", "                if False:\n"),)),
    Guard("removal, release", "a release in which something is mounted is set aside", MODULE, (
        (f"{CORE}/_release/releases.py", "        removal.require_nothing_mounted(folder)\n", "        pass\n"),)),
    Guard("removal, leftovers", "what cannot be removed blocks the next release", MODULE, (
        (f"{CORE}/_release/releases.py", "        if errors:\n            more", "        if errors:\n            raise errors[0]\n            more"),)),
    Guard("names, printable", "this Python's idea of printing judges names", ARCHIVE, (
        (f"{CORE}/_release/archive_names.py", "    if has_controls(raw):\n", "    if not raw.isprintable():\n"),)),
    Guard("names, bytes", "names of an archive go through the host's locale", ARCHIVE, (
        (f"{CORE}/_release/archive.py", "    return os.path.join(os.fsencode(folder), bytes_of(name))\n",
         "    return os.fsencode(os.path.join(folder, name))\n"),)),
    Guard("names, links", "a hard link to a symlink is refused", ARCHIVE, (
        (f"{CORE}/_release/archive_names.py", 'not in ("file", "hardlink", "symlink")', 'not in ("file",)'),)),
    Guard("archive, headers", "a header that tarfile takes minutes for reaches it", ARCHIVE, (
        (f"{CORE}/_release/archive.py", "            if self._headers:\n                self._headers.see(content)\n", ""),)),
    Guard("archive, time", "an archive is judged for as long as it likes", ARCHIVE, (
        (f"{CORE}/_release/archive.py", "        if not self.is_validated and self._clock()", "        if False and self._clock()"),)),
    Guard("archive, links", "links that lead to links are followed for as long as it takes", ARCHIVE, (
        (f"{CORE}/_release/archive.py", "        tree.require_links_inside(require_time)\n", "        tree.require_links_inside()\n"),)),
    Guard("archive, folders", "the folders that paths imply are not counted", ARCHIVE, (
        (f"{CORE}/_release/archive_names.py", "        if len(self._kinds) + len(self._implied) > 2 * self._most:\n", "        if False:\n"),)),
    Guard("staging, one copy", "the artifact is read once more after its checksum was taken", RELEASE, (
        (f"{CORE}/_release/releases.py", "    with private_copy.private_copy(artifact, *([folder] if folder else [])) as (stream, found):\n",
         '    with open(artifact, "rb") as stream, private_copy.private_copy(artifact) as (_copy, found):\n'),)),
    Guard("staging, pipes", "a pipe in the place of a file is waited for", RELEASE, (
        (f"{CORE}/_host/private_copy.py", "    if not stat.S_ISREG(os.fstat(handle).st_mode):\n", "    if False:\n"),)),
    Guard("foreign, shape", "an answer of another shape than an API's ends in a traceback", (f"{TESTS}/test_load_balancers.py",), (
        (f"{CORE}/_load_balancers.py", "        except SHAPES as error:\n", "        except ZeroDivisionError as error:\n"),)),
    Guard("foreign, depth", "JSON that nests without end is taken", (f"{TESTS}/_host/test_foreign_json.py",), (
        (f"{CORE}/_host/foreign_json.py", '    if content.count("[") + content.count("{") > DEEPEST and', "    if False and"),)),
    Guard("foreign, prober", "an answer that nests without end ends the prober", (f"{TESTS}/_probe/test_engine.py",), (
        (f"{CORE}/_host/foreign_json.py", "    except RecursionError:\n", "    except ZeroDivisionError:\n"),)),
    Guard("signature, one copy", "the checksum is of other bytes than those that were judged", SIGNATURE, (
        (f"{CORE}/_release/signature.py", "            done = _run(command, copy)\n", '            done = _run(command, open(artifact, "rb"))\n'),)),
    Guard("signature, two lines", "a key on two lines counts by the first one only", SIGNATURE, (
        (f"{CORE}/_release/signature.py", " for row in rows if key in row and not ", " for row in rows if False and not "),)),
    Guard("signature, checksum", "what was signed need not be what is staged", SIGNATURE, (
        (f"{CORE}/_release/signature.py", "    if sha256 and signed.sha256 != sha256.lower():\n", "    if False:\n"),)),
    Guard("signature, run", "a run judges the signature of whatever the path holds then", SIGNATURE, (
        ("playbooks/tasks/find_the_archive.yml", '    sha256: "{{ alwayson_artifact.sha256 }}"\n', ""),)),
)
