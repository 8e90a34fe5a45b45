"""The devices of this machine, found without torch: a waiting job and the first page of the app stay light."""

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
    """Something to train on.

    Attributes:
        name: ``cpu``, ``cuda`` or ``mps``, as torch says it.
        title: what a person calls it, such as "CPU, 2 cores".
        memory_bytes: all of its memory that this process may use.
        free_bytes: what is free of it now.
        count: how many of them there are; the other numbers are the first one's.
    """

    name: str
    title: str
    memory_bytes: int
    free_bytes: int
    count: int = 1


def devices() -> list[Device]:
    """The devices that a run can be trained on, fastest first; the CPU is always the last."""
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
    """The device behind a setting: ``auto`` is the fastest one that is here.

    Args:
        processes: so many are to train on it together.

    Raises:
        SettingsError: this machine has no such device, or no room on it for so many.
    """
    found = devices()
    names = [device.name for device in found]
    if name != "auto" and name not in names:
        raise SettingsError(f"device = {name!r} is not on this machine: choose auto or one of {', '.join(names)}.")
    device = found[0 if name == "auto" else names.index(name)]
    if processes > (most := _room(device)):
        there = f"{device.count} GPU{'s' if device.count > 1 else ''}" if device.name != "cpu" else device.title
        raise SettingsError(f"processes = {processes} is too many for this machine ({there}): choose {most} at most.")
    return device.name


def processes(wanted: int, name: str) -> int:
    """So many processes as are wanted to train on a device together, or as there is room for."""
    return min(wanted, next((_room(device) for device in devices() if device.name == name), 1))


def _room(device: Device) -> int:
    """How many processes can train on it together: one a GPU, or one a core of the processor, but always two."""
    return {"cuda": device.count, "cpu": max(2, cpu_cores())}.get(device.name, 1)


def processor() -> str:
    """The processor's name, as exactly as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read_words("cpu.max")
    if len(quota) == 2 and quota[0].isdigit():
        return max(1, min(affinity, round(int(quota[0]) / int(quota[1]))))
    return affinity


def _memory() -> tuple[int, int]:
    """Total and free bytes of main memory, no more than the control group (a container) allows."""
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
    """The words of one file of this process's control group (version 2, or version 1's memory controller)."""
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
            folders += [base / path.lstrip("/"), base]  # inside a container the group's own path may not be mounted
    return tuple(folders)


@cache
def _torch_built_for_cuda() -> bool:
    """Whether the installed torch can use CUDA at all; its version file says so without the import."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version_file = Path(spec.origin).with_name("version.py")
    lines = version_file.read_text().splitlines() if version_file.exists() else []
    return any(line.startswith("cuda") and not line.rstrip().endswith("None") for line in lines)


@cache
def _cuda_card() -> tuple[str, int, bytes, int] | None:
    """Name, bytes of memory and bus address of the first CUDA device, and how many there are, from the driver."""
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
    """Free bytes of a card by NVML: the driver's own question would need a context, which costs memory and time."""
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
