"""The simulated host: the simulator behind libvirt's protocol on a socket."""
