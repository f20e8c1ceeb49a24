#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signature_info
short_description: Verify the signature of an artifact, and report its signer
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Verifies a detached signature that was made with C(ssh-keygen -Y sign) or C(gpg --detach-sign).
  - Fails when the signature does not match the artifact, and when its key is not in O(keys), has expired or was revoked.
  - A checksum proves that an artifact is the intended one. A signature proves who released it.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
requirements:
  - ssh-keygen of OpenSSH 8.2 or newer for SSH signatures, gpgv for OpenPGP signatures
options:
  artifact:
    description: Absolute path on this host of the signed file.
    type: path
    required: true
  signature:
    description: Absolute path on this host of the detached signature. The module recognises from its content whether it is an OpenSSH or OpenPGP signature.
    type: path
    required: true
  keys:
    description:
      - Absolute path on this host of the trusted keys.
      - For SSH, a list of signers, see C(allowed_signers) in ssh-keygen(1). For OpenPGP, a keyring that C(gpg --export) wrote.
    type: path
    required: true
  namespace:
    description: The namespace of an SSH signature, as given to C(ssh-keygen -Y sign -n).
    type: str
    default: file
  sha256:
    description:
      - The SHA-256 that the signed artifact must have. Give the checksum with which the hosts stage the artifact, to make sure that they stage
        the verified file.
    type: str
    version_added: 0.3.0
seealso:
  - module: alwayson.upgrade.release
"""

EXAMPLES = r"""
# Made with: ssh-keygen -Y sign -n file -f ~/.ssh/release_key shop-2.0.0.tar.gz
- name: Refuse an artifact that the release engineers did not sign
  alwayson.upgrade.signature_info:
    artifact: /srv/releases/shop-2.0.0.tar.gz
    signature: /srv/releases/shop-2.0.0.tar.gz.sig
    keys: /etc/alwayson/allowed_signers
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
kind:
  description: V(ssh) or V(openpgp).
  returned: success
  type: str
  sample: ssh
signer:
  description: The principal in O(keys) that signed. For OpenPGP, the user of the key and its fingerprint.
  returned: success
  type: str
  sample: releases@example.com
sha256:
  description: The SHA-256 of the signed artifact. The artifact is read once, so this is the checksum of the verified bytes.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  version_added: 0.3.0
"""

from dataclasses import asdict

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._release.signature import SignatureError, require


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "artifact": {"type": "path", "required": True},
            "signature": {"type": "path", "required": True},
            # Public ones: nothing to keep secret.
            "keys": {"type": "path", "required": True, "no_log": False},
            "namespace": {"type": "str", "default": "file"},
            "sha256": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        signed = require(**module.params)
    except (SignatureError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **asdict(signed))


if __name__ == "__main__":
    main()
