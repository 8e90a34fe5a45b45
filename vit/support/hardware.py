"""Find the devices of this machine without torch, so that a waiting job and the first page of the app stay light."""

import ctypes
import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from vit.errors import SettingsError


@dataclass(frozen=True)
class Device:
    """A device to train on.

    Attributes:
        name: torch's name: ``cpu``, ``cuda`` or ``mps``.
        title: name for the user, such as "CPU, 2 cores".
        memory_bytes: memory that this process may use.
        free_bytes: memory that is free now.
        count: number of such devices; the other fields describe the first one.
    """

    name: str
    title: str
    memory_bytes: int
    free_bytes: int
    count: int = 1


def devices() -> list[Device]:
    """Return the devices that a run can be trained on, fastest first; the CPU is always last."""
    total, free = _memory()
    cores = cpu_cores()
    found = [Device("cpu", f"CPU, {cores} core{'s' if cores > 1 else ''}", total, free)]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.insert(0, Device("mps", "Apple GPU", total, free))  # it shares the memory of the machine
    if _torch_built_for_cuda() and (card := _cuda_card()):
        title, memory_bytes, bus_id, count = card
        found.insert(0, Device("cuda", title, memory_bytes, _cuda_free(bus_id, memory_bytes), count))
    return found


def resolve(name: str, processes: int = 1) -> str:
    """Return the name of the device for a setting; ``auto`` is the fastest device of this machine.

    Args:
        name: ``auto`` or the name of a device.
        processes: number of processes that train on it together.

    Raises:
        SettingsError: this machine has no such device, or not enough of it for the processes.
    """
    found = devices()
    names = [device.name for device in found]
    if name != "auto" and name not in names:
        raise SettingsError(f"This machine has no device {name!r}: choose auto or one of {', '.join(names)}.")
    device = found[0 if name == "auto" else names.index(name)]
    if processes > (most := _room(device)):
        there = f"{device.count} GPU{'s' if device.count > 1 else ''}" if device.name != "cpu" else device.title
        raise SettingsError(f"processes = {processes} is too many for this machine ({there}): choose at most {most}.")
    return device.name


def processes(wanted: int, name: str) -> int:
    """Return the number of processes that can train on a device together, at most ``wanted``."""
    return min(wanted, next((_room(device) for device in devices() if device.name == name), 1))


def _room(device: Device) -> int:
    """Return how many processes can train on a device: one for each GPU, or one for each CPU core but at least two."""
    return {"cuda": device.count, "cpu": max(2, cpu_cores())}.get(device.name, 1)


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Return whether the processor has instructions for products in bfloat16 (AVX512-BF16 or AMX)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def cpu_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and the quota of its control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read_words("cpu.max")
    if len(quota) == 2 and quota[0].isdigit():
        return max(1, min(affinity, round(int(quota[0]) / int(quota[1]))))
    return affinity


def _memory() -> tuple[int, int]:
    """Return total and free bytes of main memory, limited by the control group (a container)."""
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    for limit_file, used_file, stat_key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _read_words(limit_file), _read_words(used_file)
        if limit and limit[0].isdigit() and used and int(limit[0]) < total:
            words = _read_words("memory.stat")
            reclaimable = int(words[words.index(stat_key) + 1]) if stat_key in words else 0
            total = int(limit[0])
            free = min(free, max(0, total - int(used[0]) + reclaimable))
    return total, free


def _read_words(file: str) -> list[str]:
    """Return the words of a file of this process's control group (version 2, or the memory controller of version 1)."""
    for folder in _control_groups():
        try:
            return (folder / file).read_text().split()
        except OSError:
            continue
    return []


@cache
def _control_groups() -> tuple[Path, ...]:
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ()
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            base = root / controllers
            folders += [base / path.lstrip("/"), base]  # in a container the group's own path may not be mounted
    return tuple(folders)


@cache
def _torch_built_for_cuda() -> bool:
    """Return whether the installed torch supports CUDA, from its version file and without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version_file = Path(spec.origin).with_name("version.py")
    lines = version_file.read_text().splitlines() if version_file.exists() else []
    return any(line.startswith("cuda") and not line.rstrip().endswith("None") for line in lines)


@cache
def _cuda_card() -> tuple[str, int, bytes, int] | None:
    """Return name, bytes of memory and bus address of the first CUDA device, and the number of devices."""
    driver = _library("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    count, device = ctypes.c_int(), ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or count.value < 1:
        return None
    name, bus_id, memory_bytes = ctypes.create_string_buffer(256), ctypes.create_string_buffer(64), ctypes.c_size_t()
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(memory_bytes), device)
        or driver.cuDeviceGetPCIBusId(bus_id, len(bus_id), device)
    )
    return None if failed else (name.value.decode(errors="replace"), memory_bytes.value, bus_id.value, count.value)


class _NvmlMemory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _cuda_free(bus_id: bytes, total: int) -> int:
    """Return the free bytes of a card from NVML; the driver's own call needs a context, which costs memory and time."""
    nvml = _library("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    if nvml is None or nvml.nvmlInit_v2():
        return total
    handle, memory = ctypes.c_void_p(), _NvmlMemory()
    failed = nvml.nvmlDeviceGetHandleByPciBusId_v2(bus_id, ctypes.byref(handle)) or nvml.nvmlDeviceGetMemoryInfo(
        handle, ctypes.byref(memory)
    )
    return total if failed else min(total, memory.free)


def _library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
