"""Which way the role `host` goes: seen in check mode, with stand-ins for what it asks.

What systemd does with it is not tried: no machine of the tests has systemd running.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from virtlab.hosts.real.playbooks import PlayResult, run_playbook

# Knows libvirtd's units, none of which runs, unless told so; and notes what it is asked to do.
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >>"$STAND_IN_LOG"
case $1 in
    is-active) shift; for unit; do echo inactive; done; exit 3 ;;
    show) printf 'Id=%s\\nLoadState=loaded\\nActiveState=%s\\n' "$2" "$STAND_IN_STATE" ;;
esac
"""
NO_VIRSH = "#!/bin/sh\nexit 1\n"
UNITS = ["libvirtd.socket", "libvirtd.service"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `systemctl`, and a `virsh` that reaches no libvirtd, before the machine's own."""
    for name, text in (("systemctl", SYSTEMCTL), ("virsh", NO_VIRSH)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("STAND_IN_STATE", "inactive")
    return tmp_path / "log"


def checked(folder: Path, *, systemd: bool, **more: object) -> tuple[PlayResult, list[str]]:
    """Return what the role would do, and the tasks that it went through."""
    begun: list[str] = []
    variables = {
        "host_systemd": systemd, "host_accelerator": "qemu", "host_packages": [],
        "host_record": str(folder / "host.json"), "lab_become": False, **more,
    }  # fmt: skip
    result = run_playbook("provision.yml", variables, check=True, progress=begun.append)
    assert result.good, result.reason
    return result, begun


def test_where_systemd_runs_it_starts_libvirtd_and_hides_kvm_by_the_unit(
    log: Path, tmp_path: Path
) -> None:
    result, begun = checked(tmp_path, systemd=True)

    assert "Start libvirtd" in result.changed
    assert ("Add it to the unit" in result.changed) == Path("/dev/kvm").exists()
    assert "Start virtlogd" not in begun
    asked = log.read_text().splitlines()
    assert [line for line in asked if line.startswith("is-active") and "libvirtd.service" in line]
    assert not [line for line in asked if line.startswith(("start", "daemon-reload"))]
    assert not (tmp_path / "host.json").exists()


def test_elsewhere_it_starts_the_daemons_itself(log: Path, tmp_path: Path) -> None:
    _, begun = checked(tmp_path, systemd=False)

    assert "Start virtlogd" in begun
    assert "Add it to the unit" not in begun
    assert not log.exists()  # systemctl was not asked


def test_what_systemd_started_it_stops(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_STATE", "active")
    (tmp_path / "host.json").write_text(json.dumps({"started": UNITS, "hidden_kvm": True}))

    result, begun = checked(tmp_path, systemd=True, host_state="down")

    assert "Stop the units that were started here" in result.changed
    assert "Have systemd forget the addition, too" in begun
    assert not [line for line in log.read_text().splitlines() if line.startswith("stop")]
