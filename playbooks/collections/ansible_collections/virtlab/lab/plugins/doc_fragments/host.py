# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""What the documentation of all modules says alike."""

from __future__ import annotations


class ModuleDocFragment:
    """The options and attributes that the modules share."""

    DOCUMENTATION = r"""
options:
  uri:
    description: URI of the libvirt connection.
    type: str
    default: qemu:///system
requirements:
  - libvirt's Python module (python3-libvirt) where the module runs
author:
  - virtlab maintainers (@virtlab)
"""

    # For modules that change something.
    CHANGES = r"""
attributes:
  check_mode:
    description: Says what would be done, and does nothing.
    support: full
  diff_mode:
    description: Shows the state before and after.
    support: full
"""

    # For modules that only look.
    LOOKS = r"""
attributes:
  check_mode:
    description: It changes nothing in either case.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""
