"""The answers to libvirt's calls, grouped by subject: values in, values out."""
