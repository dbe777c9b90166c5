"""The initial RAM file system: the documented form, and the same bytes for the same content."""

from virtlab.hosts.real.initramfs import device, file, initramfs, link


def record(ino: int, mode: str, nlink: int, size: int, name: bytes, dev: str = "0" * 16) -> bytes:
    """Return a header by the kernel's buffer-format.rst, spelled out field by field."""
    head = (
        f"070701{ino:08X}{mode}{0:08X}{0:08X}{nlink:08X}{0:08X}{size:08X}{0:08X}{0:08X}{dev}"
        f"{len(name) + 1:08X}{0:08X}"
    ).encode() + name + b"\0"  # fmt: skip
    return head + b"\0" * (-len(head) % 4)


def test_it_has_the_form_that_the_kernel_documents() -> None:
    made = initramfs({"bin/sh": link("box"), "dev/null": device(1, 3, 0o666)}, ["proc"])
    assert made == b"".join(
        [
            record(1, "000041ED", 2, 0, b"bin"),
            record(2, "0000A1FF", 1, 3, b"bin/sh") + b"box\0",
            record(3, "000041ED", 2, 0, b"dev"),
            record(4, "000021B6", 1, 0, b"dev/null", "0000000100000003"),
            record(5, "000041ED", 2, 0, b"proc"),
            record(0, "00000000", 1, 0, b"TRAILER!!!"),
        ]
    )


def test_the_order_in_which_entries_are_given_does_not_matter() -> None:
    one, other = file(b"1", 0o755), file(b"22")
    assert initramfs({"a": one, "b/c": other}) == initramfs({"b/c": other, "a": one})


def test_folders_come_before_what_lies_in_them() -> None:
    made = initramfs({"usr/sbin/agent": file(b"x")})
    places = [made.index(name + b"\0") for name in (b"usr", b"usr/sbin", b"usr/sbin/agent")]
    assert places == sorted(places)
