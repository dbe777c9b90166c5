"""C programs against the simulated host: the call shapes that course submissions use."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_HEAD = r"""
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void quiet(void *context, virErrorPtr error) { (void)context; (void)error; }
int main(int argc, char **argv) {
  virSetErrorFunc(NULL, quiet);
  virConnectPtr conn = virConnectOpen(argv[argc - 1]);
  if (!conn) { printf("cannot connect: %s\n", virGetLastErrorMessage()); return 1; }
"""
_TAIL = """
  virConnectClose(conn);
  return 0;
}
"""


@pytest.fixture
def c_program(lab: Any, tmp_path: Path) -> Callable[..., list[str]]:
    """Compile a function's body that has `conn`, run it, and return the lines it prints."""

    def run(body: str, uri: str | None = None) -> list[str]:
        compiler = shutil.which("gcc")
        assert compiler, "gcc is missing; `make setup` installs it"
        source = tmp_path / "program.c"
        source.write_text(_HEAD + body + _TAIL)
        built = subprocess.run(
            [compiler, "-g", "-Wall", "-o", str(tmp_path / "program"), str(source), "-lvirt"],
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr + "\n`make setup` installs libvirt-dev"
        done = subprocess.run(
            [str(tmp_path / "program"), uri or lab.uri], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.splitlines()

    return run


def test_node_cpu_map_takes_null_for_each_pointer(c_program: Any) -> None:
    lines = c_program(r"""
  unsigned char *map = NULL; unsigned int online = 0;
  printf("%d\n", virNodeGetCPUMap(conn, NULL, NULL, 0));
  int present = virNodeGetCPUMap(conn, NULL, &online, 0);
  printf("%d %u\n", present, online);
  present = virNodeGetCPUMap(conn, &map, NULL, 0);
  printf("%d %02x\n", present, map[0]); free(map);
  present = virNodeGetCPUMap(conn, &map, &online, 0);
  printf("%d %02x %u\n", present, map[0], online); free(map);
""")

    assert lines == ["4", "4 4", "4 0f", "4 0f 4"]


def test_cpu_stats_answer_all_three_kinds_of_question(lab: Any, c_program: Any) -> None:
    lab.move(5)

    lines = c_program(r"""
  virDomainPtr d = virDomainLookupByName(conn, "aos_vm3");
  int cpus = virDomainGetCPUStats(d, NULL, 0, 0, 0, 0);
  int fields = virDomainGetCPUStats(d, NULL, 0, 0, 1, 0);
  int total_fields = virDomainGetCPUStats(d, NULL, 0, -1, 1, 0);
  printf("%d %d %d\n", cpus, fields, total_fields);
  virTypedParameterPtr p = calloc(cpus * fields, sizeof *p);
  int got = virDomainGetCPUStats(d, p, fields, 0, cpus, 0);
  printf("%d %s %s %d\n", got, p[0].field, p[1].field, p[7].value.ul > 500000000ULL);
  got = virDomainGetCPUStats(d, p, fields, 3, 1, 0);
  printf("%d %s %d\n", got, p[1].field, p[1].value.ul > 500000000ULL);
  got = virDomainGetCPUStats(d, p, total_fields, -1, 1, 0);
  printf("%d %s %s %s\n", got, p[0].field, p[1].field, p[2].field);
  got = virDomainGetCPUStats(d, p, 1, -1, 1, 0);
  printf("%d %s\n", got, p[0].field);
  got = virDomainGetCPUStats(d, p, 2, 9, 1, 0);
  printf("%d %s\n", got, virGetLastErrorMessage());
""")

    assert lines == [
        "4 2 3",
        "2 cpu_time vcpu_time 1",
        "2 vcpu_time 1",
        "3 cpu_time user_time system_time",
        "1 cpu_time",
        "-1 invalid argument: start_cpu 9 larger than maximum of 3",
    ]


def test_get_vcpus_takes_more_room_than_there_are_vcpus(c_program: Any) -> None:
    lines = c_program(r"""
  virDomainPtr d = virDomainLookupByName(conn, "aos_vm2");
  virVcpuInfoPtr info = calloc(16, sizeof *info);
  unsigned char maps[16 * 3];
  memset(maps, 0xee, sizeof maps);
  int n = virDomainGetVcpus(d, info, 16, maps, 3);
  printf("%d %u %u %d", n, info[0].number, info[1].number, info[0].state);
  printf(" %02x%02x%02x %02x%02x%02x\n", maps[0], maps[1], maps[2], maps[3], maps[4], maps[5]);
  printf("%d\n", virDomainGetVcpus(d, info, 1, NULL, 0));
  printf("%d\n", virDomainGetVcpusFlags(d, VIR_DOMAIN_VCPU_LIVE));
  printf("%d\n", virDomainGetMaxVcpus(d));
""")

    assert lines == ["2 0 1 1 030000 0f0000", "1", "2", "2"]


def test_pin_maps_of_any_length_are_understood(c_program: Any) -> None:
    lines = c_program(r"""
  virDomainPtr d = virDomainLookupByName(conn, "aos_vm1");
  unsigned char one[1] = {0x04}, two[2] = {0x02, 0xff}, odd[VIR_CPU_MAPLEN(4) + 1] = {0x09, 0};
  unsigned char map[8 * 4];
  printf("%d ", virDomainPinVcpu(d, 0, one, 1));
  printf("%d ", virDomainGetVcpuPinInfo(d, 1, map, 1, 0)); printf("%02x\n", map[0]);
  printf("%d ", virDomainPinVcpu(d, 0, two, 2));
  printf("%d ", virDomainGetVcpuPinInfo(d, 8, map, 4, 0)); printf("%02x%02x\n", map[0], map[1]);
  printf("%d ", virDomainPinVcpuFlags(d, 0, odd, sizeof odd, VIR_DOMAIN_AFFECT_CURRENT));
  printf("%d ", virDomainGetVcpuPinInfo(d, 1, map, 1, 0)); printf("%02x\n", map[0]);
""")

    assert lines == ["0 1 04", "0 1 0200", "0 1 09"]


def test_memory_stats_fit_into_any_number_of_slots(c_program: Any) -> None:
    lines = c_program(r"""
  virDomainPtr d = virDomainLookupByName(conn, "aos_vm1");
  virDomainMemoryStatStruct stats[20];
  for (int slots = 9; slots <= 13; slots += slots == 10 ? 3 : 1) {
    int n = virDomainMemoryStats(d, stats, slots, 0), unused = 0, actual = 0;
    for (int i = 0; i < n; i++) {
      unused |= stats[i].tag == VIR_DOMAIN_MEMORY_STAT_UNUSED;
      actual |= stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON;
    }
    printf("%d %d %d\n", n <= slots && n >= 9, unused, actual);
  }
  int periods[] = {0, 1, 2};
  for (int i = 0; i < 3; i++)
    printf("%d", virDomainSetMemoryStatsPeriod(d, periods[i], VIR_DOMAIN_AFFECT_CURRENT));
  printf("%d\n", virDomainSetMemoryStatsPeriod(d, 1, VIR_DOMAIN_AFFECT_LIVE));
  printf("%d\n", virDomainSetMemory(d, 1));
""")

    assert lines == ["1 1 1", "1 1 1", "1 1 1", "0000", "0"]


def test_lists_take_the_flags_that_programs_pass(c_program: Any) -> None:
    lines = c_program(r"""
  unsigned int flags[] = {0, 1, 2, 16, 16 | 4, 1 | 2, 8, 64, 0xffff, 0x10000};
  for (int i = 0; i < 10; i++) {
    virDomainPtr *list = NULL;
    int n = virConnectListAllDomains(conn, &list, flags[i]);
    printf("%d ", n);
    for (int k = 0; k < n; k++) virDomainFree(list[k]);
    free(list);
  }
  int ids[8];
  printf("\n%d %d", virConnectNumOfDomains(conn), virConnectListDomains(conn, ids, 8));
  printf(" %d%d%d", ids[0], ids[1], ids[2]);
  printf(" %d\n", virConnectListAllDomains(conn, NULL, VIR_CONNECT_LIST_DOMAINS_ACTIVE));
""")

    assert lines == ["4 3 1 3 3 4 0 1 4 -1 ", "3 3 123 3"]


def test_node_figures_are_asked_in_two_steps(c_program: Any) -> None:
    lines = c_program(r"""
  int n = 0;
  virNodeGetCPUStats(conn, VIR_NODE_CPU_STATS_ALL_CPUS, NULL, &n, 0);
  virNodeCPUStatsPtr cpu = calloc(n, sizeof *cpu);
  printf("%d %d", n, virNodeGetCPUStats(conn, 0, cpu, &n, 0));
  for (int i = 0; i < n; i++) printf(" %s", cpu[i].field);
  n = 0;
  virNodeGetMemoryStats(conn, VIR_NODE_MEMORY_STATS_ALL_CELLS, NULL, &n, 0);
  virNodeMemoryStatsPtr memory = calloc(n, sizeof *memory);
  printf("\n%d %d", n, virNodeGetMemoryStats(conn, -1, memory, &n, 0));
  unsigned long long free_kib = 0;
  for (int i = 0; i < n; i++) {
    printf(" %s", memory[i].field);
    if (!strcmp(memory[i].field, "free")) free_kib = memory[i].value;
  }
  printf("\n%d\n", virNodeGetFreeMemory(conn) == free_kib * 1024);
""")

    assert lines == [
        "4 0 kernel user idle iowait",
        "4 0 total free buffers cached",
        "1",
    ]


def test_deprecated_calls_still_work(c_program: Any) -> None:
    lines = c_program(r"""
  char *names[8];
  int n = virConnectListDefinedDomains(conn, names, 8);
  printf("%d %d %s\n", virConnectNumOfDefinedDomains(conn), n, names[0]);
  virDomainPtr d = virDomainLookupByName(conn, "aos_vm1");
  int count = 0;
  char *type = virDomainGetSchedulerType(d, &count);
  virSchedParameter p[16];
  printf("%s %d %d\n", type, count, virDomainGetSchedulerParameters(d, p, &count));
  printf("%s %llu\n", p[0].field, p[0].value.ul);
  p[0].value.ul = 2048;
  printf("%d ", virDomainSetSchedulerParameters(d, p, 1));
  count = 1;
  virDomainGetSchedulerParameters(d, p, &count);
  printf("%llu\n", p[0].value.ul);
  virDomainPtr made = virDomainCreateLinux(conn,
      "<domain type='kvm'><name>t</name><memory>262144</memory>"
      "<os><type>hvm</type></os></domain>", 0);
  virDomainMemoryStatStruct stats[16];
  printf("%s %d %d\n", virDomainGetName(made), virDomainIsPersistent(made),
         virDomainMemoryStats(made, stats, 16, 0) > 2);
  virTypedParameter m[3];
  count = 3;
  printf("%d %s", virDomainGetMemoryParameters(made, m, &count, 0), m[0].field);
  printf(" %d\n", m[0].value.ul == VIR_DOMAIN_MEMORY_PARAM_UNLIMITED);
  printf("%d ", virDomainSetVcpus(made, 1));
  printf("%d\n", virDomainDestroy(made));
""")

    assert lines == [
        "1 1 aos_off",
        "posix 9 0",
        "cpu_shares 1024",
        "0 2048",
        "t 0 1",
        "0 hard_limit 1",
        "0 0",
    ]


def test_a_program_that_never_closes_its_connections_is_served(c_program: Any) -> None:
    lines = c_program(r"""
  int good = 0;
  for (int i = 0; i < 200; i++) good += virConnectOpen(argv[argc - 1]) != NULL;
  printf("%d %d\n", good, virConnectIsAlive(conn));
""")

    assert lines == ["200 1"]


def test_a_refused_process_is_told_why(make_lab: Any, c_program: Any) -> None:
    asked: list[int] = []

    def admit(pid: int) -> str:
        asked.append(pid)
        return "the program has escaped the virtual clock"

    lab = make_lab(admit=admit)

    with pytest.raises(AssertionError) as refused:
        c_program("", lab.uri)

    assert "operation failed: the program has escaped the virtual clock" in str(refused.value)
    assert asked
    assert asked[0] > 1
