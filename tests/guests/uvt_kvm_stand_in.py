#!/usr/bin/env python3
"""A stand-in for `uvt-kvm create|destroy`: its arguments, lines and exit codes, traps included.

After its author's source of December 2014. The host is the one at STAND_IN_URI; what is to go wrong
is named in STAND_IN_TROUBLE.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

UVT = "https://launchpad.net/uvtool/libvirt/1"
TROUBLE = os.environ.get("STAND_IN_TROUBLE", "")


def virsh(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["virsh", "--connect", os.environ["STAND_IN_URI"], "--quiet", *words]
    return subprocess.run(command, input=text, capture_output=True, text=True)


def create(options: argparse.Namespace) -> int:
    if TROUBLE == "no-kvm":
        print("KVM not available. kvm-ok returned:")
        for line in (
            "INFO: /dev/kvm does not exist",
            "HINT:   sudo modprobe kvm_intel",
            "INFO: Your CPU supports KVM extensions",
            "INFO: KVM (vmx) is disabled",
            "HINT: Enter your BIOS setup",
            "KVM acceleration can NOT be used",
        ):
            print(line)
        return 0
    if TROUBLE == "no-image":
        print("uvt-kvm: error: no images found that match filters ['release=noble'].",
              file=sys.stderr)  # fmt: skip
        return 1
    public = Path(options.ssh_public_key_file)
    if TROUBLE == "no-key" or not public.exists():
        print(f"Warning: {str(public)!r} not found; instance will be started with no ssh access by "
              "default.", file=sys.stderr)  # fmt: skip
    tree = ElementTree.parse(options.template).getroot()
    for tag, value in (
        ("name", options.name), ("vcpu", options.cpu),
        ("memory", options.memory * 1024), ("currentMemory", options.memory * 1024),
    ):  # fmt: skip
        element = tree.find(tag)
        assert element is not None
        element.text = str(value)
    metadata = ElementTree.SubElement(tree, "metadata")
    known = ElementTree.SubElement(metadata, f"{{{UVT}}}ssh_known_hosts")
    known.text = f"{options.name} ssh-rsa {'A' * 60}\n"
    path = Path(os.environ["STAND_IN_URI"].split("socket=")[1]).with_name("stand-in.xml")
    path.write_text(ElementTree.tostring(tree, encoding="unicode"))
    for words in (("define", str(path)), ("start", options.name)):
        done = virsh(*words)
        if done.returncode != 0:
            print(f"uvt-kvm: error: libvirt: {done.stderr.strip()}", file=sys.stderr)
            return 1
    return 0


def destroy(options: argparse.Namespace) -> int:
    if TROUBLE != "stays":
        virsh("destroy", options.name)
        virsh("undefine", options.name)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="uvt-kvm")
    verbs = parser.add_subparsers(required=True)
    making = verbs.add_parser("create")
    making.add_argument("name")
    making.add_argument("filters", nargs="*", metavar="filter")
    for name, default in (("memory", 512), ("cpu", 1), ("disk", 8)):
        making.add_argument(f"--{name}", type=int, default=default)
    making.add_argument("--template")
    making.add_argument("--ssh-public-key-file")
    making.set_defaults(does=create)
    removing = verbs.add_parser("destroy")
    removing.add_argument("name")
    removing.set_defaults(does=destroy)
    options = parser.parse_args()
    return int(options.does(options))


if __name__ == "__main__":
    sys.exit(main())
