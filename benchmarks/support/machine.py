"""Measures commands, and writes results with a description of the machine."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Folder of the graphs that `python -m training.graphs.random_graphs full` writes.
MODELS = ROOT / "build" / "models"
RESULTS = ROOT / "benchmarks" / "results"
_PACKAGES = ("apache-beam", "essentia-tensorflow", "av", "numpy", "pyarrow")


def machine() -> dict[str, Any]:
    """Processor, cores and memory."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    pairs = (line.partition(":") for line in cpuinfo.splitlines())
    lines = {key.strip(): value.strip() for key, _, value in pairs}
    flags = set(lines.get("flags", "").split())
    return {
        "processor": lines.get("model name", platform.processor()),
        "cpu_family": lines.get("cpu family"),
        "cpu_model": lines.get("model"),
        "simd": [name for name in ("avx2", "fma", "avx512f") if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        ),
        "kernel": platform.release(),
    }


def peak_mb() -> float:
    """Peak memory of this process; getrusage would count the parent's memory, too."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    (peak_kb,) = (int(s.split()[1]) for s in status if s.startswith("VmHWM:"))
    return peak_kb / 1e3


def measure(*arguments: str) -> dict[str, float]:
    """Wall time, processor time and peak memory of one command of fsdsinet."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1e3,
    }


def save(name: str, results: dict[str, Any]) -> None:
    """Writes results with machine and versions, and prints the results."""
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {p: importlib.metadata.version(p) for p in _PACKAGES}
        | {"python": platform.python_version()},
        **results,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))
    print(f"written to {path}")
