import subprocess
import sys

import psutil
import pytest
import torch

from vit.errors import SettingsError
from vit.support import hardware


def test_the_cpu_is_always_offered_last_with_memory_it_really_has():
    cpu = hardware.devices()[-1]
    assert cpu.name == "cpu"
    assert 0 < cpu.free_bytes <= cpu.memory_bytes <= psutil.virtual_memory().total
    assert cpu.title.startswith(f"CPU, {hardware.cpu_cores()} core")


def test_devices_are_those_that_torch_can_use():
    found = {device.name for device in hardware.devices()}
    expected = {"cpu"} | ({"cuda"} if torch.cuda.is_available() else set())
    expected |= {"mps"} if torch.backends.mps.is_available() else set()
    assert found == expected


def test_auto_is_the_fastest_device_and_an_absent_one_is_refused():
    names = [device.name for device in hardware.devices()]
    assert hardware.resolve("auto") == names[0]
    assert hardware.resolve("cpu") == "cpu"
    for absent in {"cuda", "mps"} - set(names):
        with pytest.raises(SettingsError, match="choose auto or one of"):
            hardware.resolve(absent)


def test_a_container_s_memory_limit_is_the_memory(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 200000\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(hardware, "_control_groups", lambda: (tmp_path,))
    cpu = hardware.devices()[-1]
    assert (cpu.memory_bytes, cpu.free_bytes) == (1_000_000, 500_000)  # file caches can be given back
    assert hardware.cpu_cores() == 1
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.devices()[-1].memory_bytes == psutil.virtual_memory().total


def test_what_a_waiting_job_imports_is_free_of_torch_and_streamlit():
    imports = "import sys, vit, vit.cli, vit.jobs, vit.data, vit.pictures.overlays"
    code = f"{imports}; print({{'torch', 'streamlit'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
