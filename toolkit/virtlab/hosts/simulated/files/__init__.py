"""The files of /proc and /sys in which a Linux host describes itself, as the simulated host's."""

from virtlab.hosts.simulated.files.proc import proc_files
from virtlab.hosts.simulated.files.qemu import qemu_command_line
from virtlab.hosts.simulated.files.sys import node_files, sys_links, sys_texts

__all__ = ["node_files", "proc_files", "qemu_command_line", "sys_links", "sys_texts"]
