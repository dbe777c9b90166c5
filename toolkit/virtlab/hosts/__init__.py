"""Hosts that libvirt programs connect to."""
