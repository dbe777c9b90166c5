"""Procedures about vCPUs: where they may run, where they run, and how much they ran.

CPU maps are little endian bit strings: pCPU n is bit n % 8 of byte n // 8.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.typed import Params
from virtlab.libvirt_rpc.values import DOMAIN, VCPU_INFO
from virtlab.libvirt_rpc.xdr import I32, U32, Array, Opaque, String

__all__ = ["PROCEDURES"]

_CPU_MAP = Opaque(2048)  # REMOTE_CPUMAP_MAX
_CPU_MAPS = Opaque(8_388_608)  # REMOTE_CPUMAPS_MAX
_SCHEDULER_PARAMS = Params(16)
_GUEST = 8  # VIR_DOMAIN_VCPU_GUEST: the agent is asked

_VCPUS = (
    Procedure(
        20,
        "DOMAIN_GET_VCPUS",
        "virDomainGetVcpus",
        fields(dom=DOMAIN, maxinfo=I32, maplen=I32),
        fields(info=Array(VCPU_INFO, 16_384), cpumaps=_CPU_MAPS),
    ),
    Procedure(
        26,
        "DOMAIN_PIN_VCPU",
        "virDomainPinVcpu",
        fields(dom=DOMAIN, vcpu=U32, cpumap=_CPU_MAP),
        changes_state=True,
    ),
    Procedure(
        225,
        "DOMAIN_PIN_VCPU_FLAGS",
        "virDomainPinVcpuFlags",
        fields(dom=DOMAIN, vcpu=U32, cpumap=_CPU_MAP, flags=U32),
        changes_state=True,
    ),
    Procedure(
        230,
        "DOMAIN_GET_VCPU_PIN_INFO",
        "virDomainGetVcpuPinInfo",
        fields(dom=DOMAIN, ncpumaps=I32, maplen=I32, flags=U32),
        fields(cpumaps=_CPU_MAPS, num=I32),
    ),
    Procedure(
        200,
        "DOMAIN_GET_VCPUS_FLAGS",
        "virDomainGetVcpusFlags",
        fields(dom=DOMAIN, flags=U32),
        fields(num=I32),
        privileged=lambda args: bool(args.flags & _GUEST),
    ),
    Procedure(
        199,
        "DOMAIN_SET_VCPUS_FLAGS",
        "virDomainSetVcpusFlags",
        fields(dom=DOMAIN, nvcpus=U32, flags=U32),
        changes_state=True,
    ),
    Procedure(
        262,
        "DOMAIN_GET_CPU_STATS",
        "virDomainGetCPUStats",
        fields(dom=DOMAIN, nparams=U32, start_cpu=I32, ncpus=U32, flags=U32),
        fields(params=Params(2048), nparams=I32),
    ),
    Procedure(
        279,
        "DOMAIN_PIN_EMULATOR",
        "virDomainPinEmulator",
        fields(dom=DOMAIN, cpumap=_CPU_MAP, flags=U32),
        changes_state=True,
    ),
    Procedure(
        280,
        "DOMAIN_GET_EMULATOR_PIN_INFO",
        "virDomainGetEmulatorPinInfo",
        fields(dom=DOMAIN, maplen=I32, flags=U32),
        fields(cpumaps=_CPU_MAPS, ret=I32),
    ),
)

_SCHEDULER = (
    Procedure(
        56,
        "DOMAIN_GET_SCHEDULER_TYPE",
        "virDomainGetSchedulerType",
        fields(dom=DOMAIN),
        fields(type=String(), nparams=I32),
    ),
    Procedure(
        57,
        "DOMAIN_GET_SCHEDULER_PARAMETERS",
        "virDomainGetSchedulerParameters",
        fields(dom=DOMAIN, nparams=I32),
        fields(params=_SCHEDULER_PARAMS),
    ),
    Procedure(
        58,
        "DOMAIN_SET_SCHEDULER_PARAMETERS",
        "virDomainSetSchedulerParameters",
        fields(dom=DOMAIN, params=_SCHEDULER_PARAMS),
        changes_state=True,
    ),
    Procedure(
        219,
        "DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS",
        "virDomainSetSchedulerParametersFlags",
        fields(dom=DOMAIN, params=_SCHEDULER_PARAMS, flags=U32),
        changes_state=True,
    ),
    Procedure(
        223,
        "DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS",
        "virDomainGetSchedulerParametersFlags",
        fields(dom=DOMAIN, nparams=I32, flags=U32),
        fields(params=_SCHEDULER_PARAMS),
    ),
)

PROCEDURES = (*_VCPUS, *_SCHEDULER)
