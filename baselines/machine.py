"""Where a run computes: device, processes of torchrun, and what fits into which memory."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from baselines.settings import Settings
from three_hundred_maps.errors import InputError

SHARE = 0.7
"""Share of the free memory that a training set may take; the rest is for the network's activations."""

UNKNOWN_MEMORY = 4 << 30
"""Bytes taken to be free where the system does not say (Windows)."""


@dataclass(frozen=True)
class Machine:
    """This process's device and its place among the processes of the run."""

    device: torch.device
    rank: int = 0
    ranks: int = 1

    @property
    def preset(self) -> str:
        """The preset of defaults that suits the device."""
        return "gpu" if self.device.type == "cuda" else "cpu"

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.ranks > 1:
            torch.distributed.barrier()

    def leave(self) -> None:
        """Leave the group of processes."""
        if self.ranks > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def find_machine(device: str = "auto") -> Machine:
    """The device asked for; under torchrun, a member of its group (gloo on CPUs, nccl on GPUs)."""
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise InputError(f"--device is auto, cpu, cuda or cuda:N, not {device!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU on this machine; use --device cpu")
    if device == "cuda":
        # Only a device with a number equals that of the tensors on it.
        device = f"cuda:{os.environ.get('LOCAL_RANK', torch.cuda.current_device())}"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"--device is auto, cpu, cuda or cuda:N, not {device!r}") from None
    if chosen.type == "cuda":
        if chosen.index >= torch.cuda.device_count():
            raise InputError(
                f"--device {device}: torch finds {torch.cuda.device_count()} GPUs here, from cuda:0"
            )
        torch.cuda.set_device(chosen)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if ranks > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Machine(chosen, rank, ranks)


CPU_INFO, MEMORY_INFO, GROUPS_INFO = (Path(f"/proc/{name}") for name in ("cpuinfo", "meminfo", "self/cgroup"))
GROUPS = Path("/sys/fs/cgroup")
GROUP_FILES = {
    "": ("", "memory.max", "anon"),
    "memory": ("memory", "memory.limit_in_bytes", "total_rss"),
}
"""Of Linux's control groups, version 2 and version 1: folder, file of the limit, entry of what is used."""
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
"""Flags of x86 processors that multiply in bfloat16."""


def best_precision(device: torch.device) -> str:
    """``bf16`` where the device multiplies in it, else ``fp32``.

    A CPU without such instructions only mimics them, and trains several times slower than in float32.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    words = set(CPU_INFO.read_text(encoding="utf-8").split()) if CPU_INFO.is_file() else set()
    return "bf16" if words & BF16_INSTRUCTIONS else "fp32"


def free_memory(device: torch.device) -> int:
    """Bytes free on a device; of a CPU, what the system and the job's limit leave without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = UNKNOWN_MEMORY
    if MEMORY_INFO.is_file():
        words = MEMORY_INFO.read_text(encoding="utf-8").split()
        free = int(words[words.index("MemAvailable:") + 1]) * 1024
    elif hasattr(os, "sysconf"):
        free = int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES")) // 2
    return min([free, *_left_in_groups()])


def _left_in_groups() -> list[int]:
    """Bytes left below each limit of memory on this process: those of a batch job, of a container."""
    left = []
    lines = GROUPS_INFO.read_text(encoding="utf-8").splitlines() if GROUPS_INFO.is_file() else []
    for kind, place in (line.split(":", 2)[1:] for line in lines):
        if kind not in GROUP_FILES:
            continue
        tree, limit, used = GROUP_FILES[kind]
        folder = GROUPS / tree / place.lstrip("/")
        for group in (folder, *folder.parents):
            with suppress(OSError, ValueError):  # a group without a limit has no number, or no file
                size = int((group / limit).read_text("ascii"))
                words = (group / "memory.stat").read_text("ascii").split()
                left.append(size - int(words[words.index(used) + 1]))
    return left


def choose_place(
    settings: Settings, machine: Machine, rows: int, pixels: int, *, joined: bool = False
) -> str:
    """``device``, ``ram`` or ``stream``: the first that holds the training set, or the one asked for.

    Parameters
    ----------
    joined
        Whether the rows of several stores are joined, which holds them twice for a moment.

    Raises
    ------
    InputError
        Where the place asked for is too small; it says how much is needed and what would fit.
    """
    gpu = machine.device.type == "cuda"
    # Inputs as bfloat16 or float32, targets as float32.
    each = 2 if gpu and settings.precision == "bf16" else 4
    need = rows * pixels**2 * (each * len(settings.view_list()) + 4) * (2 if joined else 1)
    free = {"device": free_memory(machine.device)}
    if gpu:
        free["ram"] = free_memory(torch.device("cpu"))
    fitting = [place for place, size in free.items() if need <= SHARE * size] + ["stream"]
    # The memory of a CPU is that of the machine.
    asked = "device" if settings.place == "ram" and not gpu else settings.place
    if asked != "auto" and asked not in fitting:
        raise InputError(
            f"--place {settings.place}: the training set takes {need / 2**30:.1f} GiB and "
            f"{free[asked] / 2**30:.1f} GiB are free; --place {fitting[0]} would do"
        )
    return fitting[0] if asked == "auto" else asked


def memory_advice(settings: Settings, machine: Machine) -> str:
    """One line for a device whose memory ran out."""
    free = free_memory(machine.device) / 2**30
    return (
        f"the memory of {machine.device} ran out at --batch {settings.batch} with {settings.channels} "
        f"channels ({free:.1f} GiB are free now): try --batch {max(settings.batch // 2, 1)}, "
        "or --place ram for the data"
    )
