"""What clients have the host keep is bounded; what it has no room for changes nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from virtlab.hosts.simulated.driver.definition import read_definition
from virtlab.hosts.simulated.driver.quantities import cpu_list
from virtlab.hosts.simulated.driver.storage import Storage
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.typed import Param, ParamType

Ask = Callable[..., Any]

_DOMAIN = (
    "<domain type='kvm'><name>{0}</name><memory>65536</memory>"
    "<description>{1}</description><os><type>hvm</type></os></domain>"
)


@pytest.fixture
def ask(lab: Any) -> Ask:
    """Call the driver of a host with room for 200,000 bytes."""
    lab.driver._state.storage = Storage(200_000)

    def call(name: str, *args: Any) -> Any:
        return lab.within(lambda: lab.driver.handlers[name](*args))

    return call


def used(lab: Any) -> int:
    return lab.driver._state.storage.used_bytes  # type: ignore[no-any-return]


def no_room(name: str, where: str = "etc") -> tuple[int, int, str, int]:
    path = f"/{where}/libvirt/qemu/{name}.xml.new"
    return (38, 5, f"cannot write data to file '{path}': No space left on device", 28)


def refusal(ask: Ask, name: str, *args: Any) -> tuple[int, int, str, int]:
    with pytest.raises(LibvirtError) as caught:
        ask(name, *args)
    error = caught.value
    return (error.code, error.domain, error.message, error.int1)


def test_who_defines_domains_for_ever_is_refused_as_by_a_full_disk(lab: Any, ask: Ask) -> None:
    made = []
    with pytest.raises(LibvirtError) as caught:
        for number in range(1000):
            made += ask("DOMAIN_DEFINE_XML", _DOMAIN.format(f"d{number}", "x" * 5000))

    error = caught.value
    assert (error.code, error.domain, error.message, error.int1) == no_room(f"d{len(made)}")
    assert 5 < len(made) < 12
    assert used(lab) <= 200_000
    ask("DOMAIN_UNDEFINE", made[0])
    ask("DOMAIN_DEFINE_XML", _DOMAIN.format("again", "x" * 5000))


def test_a_description_without_room_leaves_the_old_one(lab: Any, ask: Ask) -> None:
    (dom,) = ask("DOMAIN_DEFINE_XML", _DOMAIN.format("web", "short"))
    before = used(lab)

    refused = refusal(ask, "DOMAIN_DEFINE_XML", _same("web", dom.uuid, "x" * 300_000))

    assert refused == no_room("web")
    assert "short" in ask("DOMAIN_GET_XML_DESC", dom, 0)[0]
    assert used(lab) == before


def test_a_note_without_room_changes_neither_the_run_nor_what_is_stored(lab: Any, ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    ask("DOMAIN_SET_METADATA", dom, 0, "short", None, None, 3)

    # There would be room for one of the two.
    both = refusal(ask, "DOMAIN_SET_METADATA", dom, 0, "x" * 120_000, None, None, 3)
    run = refusal(ask, "DOMAIN_SET_METADATA", dom, 0, "x" * 300_000, None, None, 1)

    assert (both, run) == (no_room("aos_vm1"), no_room("aos_vm1", "run"))
    assert ask("DOMAIN_GET_METADATA", dom, 0, None, 1) == ("short",)
    assert ask("DOMAIN_GET_METADATA", dom, 0, None, 2) == ("short",)


def test_notes_under_ever_new_names_fill_the_room_and_free_it_again(lab: Any, ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    with pytest.raises(LibvirtError, match="No space left on device"):
        for number in range(1000):
            ask("DOMAIN_SET_METADATA", dom, 2, "<x/>", "k", f"urn:{number}", 2)

    for gone in range(number):
        ask("DOMAIN_SET_METADATA", dom, 2, None, "k", f"urn:{gone}", 2)

    assert number > 100
    assert used(lab) == 0


def test_notes_that_bring_namespaces_of_their_own_fill_it_too(lab: Any, ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    with pytest.raises(LibvirtError, match="No space left on device"):
        for number in range(1000):
            own = f"<x xmlns='urn:{number}'/>" if number % 2 else f"<p:x xmlns:p='urn:{number}'/>"
            ask("DOMAIN_SET_METADATA", dom, 2, own, "k", "urn:x", 2)

    for gone in range(number):
        ask("DOMAIN_SET_METADATA", dom, 2, None, "k", f"urn:{gone}", 2)

    assert used(lab) == 0
    assert "urn:" not in ask("DOMAIN_GET_XML_DESC", dom, 2)[0]


def test_all_that_a_domain_took_is_free_once_it_is_gone(lab: Any, ask: Ask) -> None:
    (dom,) = ask("DOMAIN_DEFINE_XML", _DOMAIN.format("web", "first"))
    ask("DOMAIN_CREATE", dom)
    ask("DOMAIN_SET_METADATA", dom, 0, "of the run", None, None, 1)
    ask("DOMAIN_SET_METADATA", dom, 1, "of the next start", None, None, 2)
    ask("DOMAIN_DEFINE_XML", _same("web", dom.uuid, "second"))
    ask("DOMAIN_DEFINE_XML", _same("web", dom.uuid, "third"))
    ask("DOMAIN_UNDEFINE", dom)
    running = used(lab)

    ask("DOMAIN_DESTROY", dom)

    assert running > 0
    assert used(lab) == 0


def test_many_vcpus_with_long_cpu_lists_are_counted_as_what_they_take(ask: Ask) -> None:
    pins = "".join(f"<vcpupin vcpu='{n}' cpuset='{n}-16383'/>" for n in range(255))
    wide = (
        "<domain type='kvm'><name>wide</name><memory>65536</memory><vcpu>255</vcpu>"
        f"<cputune>{pins}</cputune><os><type>hvm</type></os></domain>"
    )

    assert refusal(ask, "DOMAIN_DEFINE_XML", wide) == no_room("wide")


@pytest.mark.parametrize(
    ("call", "where"), [("DOMAIN_DEFINE_XML", "etc"), ("DOMAIN_CREATE_XML", "run")]
)
def test_a_name_is_as_long_as_a_files_name_may_be(ask: Ask, call: str, where: str) -> None:
    flags = (0,) if call == "DOMAIN_CREATE_XML" else ()
    name = "é" * 123 + "n"  # 247 bytes

    refused = refusal(ask, call, _DOMAIN.format(name + "n", ""), *flags)
    ask(call, _DOMAIN.format(name, ""), *flags)

    path = f"/{where}/libvirt/qemu/{name}n.xml.new"
    assert refused == (38, 0, f"Failed to create file '{path}': File name too long", 36)


def test_a_description_of_very_many_names_is_read_in_time_that_grows_with_it(ask: Ask) -> None:
    # Once each name cost time for all before it: this took minutes.
    many = " ".join(f"xmlns:a{n}='u{n}' a{n}:x=''" for n in range(40_000))
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")

    refused = refusal(ask, "DOMAIN_SET_METADATA", dom, 2, f"<x {many}/>", "k", "urn:x", 2)

    assert refused == no_room("aos_vm1")


@pytest.mark.parametrize("text", ["<{0}><b", "<{0}", "<a>{0}<b", "<{0}>&c;"])
def test_a_description_with_a_name_without_end_is_refused_in_time_that_grows_with_it(
    text: str, ask: Ask
) -> None:
    # Once a name of n characters cost n * n steps: this took ten minutes.
    code, domain, said, _ = refusal(ask, "DOMAIN_DEFINE_XML", text.format("a" * 200_000))

    assert (code, domain) == (35, 20)
    assert said.startswith("(domain_definition):1: ")


def test_cpu_lists_take_no_more_memory_than_a_domain_can_keep() -> None:
    # A list of each CPU takes a megabyte as a set, and a text of 4 MiB names 20,000 of them.
    pins = "".join(f"<vcpupin vcpu='{300 + n}' cpuset='{n}-16383'/>" for n in range(200))
    described = _DOMAIN.format("web", "").replace("<os>", f"<cputune>{pins}</cputune><os>")

    tracemalloc.start()
    definition = read_definition(described, bytes(16))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert definition.masks == (None,)
    assert peak_bytes < 4 << 20


def test_a_cpu_list_of_very_many_parts_is_refused_before_it_is_read(ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    endless = Param("numa_nodeset", ParamType.STRING, "0-16383," * 500_000 + "0")

    code, _, said, _ = refusal(ask, "DOMAIN_SET_NUMA_PARAMETERS", dom, [endless], 2)

    assert code == 8
    assert said.startswith("invalid argument: Failed to parse bitmap '0-16383,0")


def test_a_cpu_list_may_name_each_cpu_of_the_largest_host_by_itself() -> None:
    each = ",".join(str(cpu) for cpu in range(16_384))

    assert cpu_list(each) == frozenset(range(16_384))
    assert cpu_list("0-9,^3, 12 ,^5") == {0, 1, 2, 4, 6, 7, 8, 9, 12}


def test_statistics_of_ever_other_domains_leave_nothing_behind(lab: Any, ask: Ask) -> None:
    # Each number of interfaces has a record of another form.
    described = _DOMAIN.format("web", "").replace("</domain>", "<devices>{0}</devices></domain>")
    kept = lab.driver.handlers["CONNECT_GET_ALL_DOMAIN_STATS"].__self__
    fields = []

    for number in range(240, 290):
        many = described.format("<interface type='user'/>" * number)
        lab.driver._state.storage = Storage(10_000_000)
        (dom,) = ask("DOMAIN_CREATE_XML", many, 0)
        (record,) = ask("CONNECT_GET_ALL_DOMAIN_STATS", [dom], 0, 0)[0]
        ask("DOMAIN_DESTROY", dom)
        fields.append(sum(len(layout.fields) for layout in kept._layouts.values()))
        assert record.data.count(b"net.") == 9 * number + 1

    assert max(fields) < 70_000
    assert fields[-1] > 50_000


def test_long_names_of_namespaces_do_not_multiply_by_the_elements_in_them(ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    parts = "".join(f"<b{n}/>" for n in range(10_000))
    within = f"<x xmlns='{'u' * 1001}'>{parts}</x>"

    refused = refusal(ask, "DOMAIN_SET_METADATA", dom, 2, within, "k", "urn:x", 2)
    by_key = refusal(ask, "DOMAIN_SET_METADATA", dom, 2, f"<x>{parts}</x>", "k" * 100_000, "u", 2)

    assert refused[0] == 35
    assert "a namespace of more than 1000 characters" in refused[2]
    assert by_key == no_room("aos_vm1")


def _same(name: str, uuid: bytes, text: str) -> str:
    described = _DOMAIN.format(name, text)
    return described.replace("<memory>", f"<uuid>{uuid.hex()}</uuid><memory>", 1)
