"""The real host: libvirtd, QEMU and guests that boot anywhere."""
