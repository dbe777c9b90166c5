"""Guests with an operating system of their own: of cloud images, by cloud-init or by uvt-kvm."""
