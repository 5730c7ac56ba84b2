"""Training: schedule, averaged weights, validation, checkpoints that a killed run resumes from.

The averages and the schedule are by hand on purpose: timm's need timm and torchvision where torch alone
trains, and torch's `AveragedModel` waits for the device at every step.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from baselines.checkpoint import read_checkpoint, write_checkpoint
from baselines.data import Rows
from baselines.losses import autocast, residual_rms_dex
from baselines.model import MassModel
from baselines.networks import import_timm
from baselines.settings import FREE, Settings
from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import note, progress

CHECK_EVERY = 25
"""Steps between looks at whether the loss is finite: each look waits for the device."""


class Batches(Protocol):
    """Where batches come from."""

    def from_step(self, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(inputs, target) from ``step`` on."""
        ...


@dataclass
class Progress:
    """Where a run stands; all of it goes into the checkpoint."""

    step: int = 0
    best_step: int = 0
    best_rms_dex: float = math.inf
    stopped_early: bool = False
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Trainer:
    """One run: model, data, optimiser and the place where its checkpoints lie.

    Parameters
    ----------
    model
        On its device. With several processes, the same in each.
    batches, validation
        The training batches, and the rows of the split validation (none: the last averaged weights stay).
    rank, ranks
        This process and how many there are.
    score
        (model, validation, loss, settings) -> the error of which the weights with the least are kept.
    """

    model: Any
    batches: Batches
    validation: Rows
    loss: Any
    settings: Settings
    checkpoint: Path
    samples_per_epoch: int
    rank: int = 0
    ranks: int = 1
    score: Callable[[Any, Rows, Any, Settings], float] = residual_rms_dex

    def __post_init__(self) -> None:
        self.device = self.model.climatology.device
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.best: dict[str, torch.Tensor] | None = None
        self.optimiser = make_optimiser(self.model, self.settings, self.device)
        self.state = Progress()
        self.forward: nn.Module = self.model
        if self.settings.compile:
            self.forward = torch.compile(self.model)  # type: ignore[assignment]
        if self.ranks > 1:
            self.forward = nn.parallel.DistributedDataParallel(self.forward)

    # -- one run ------------------------------------------------------------------------------------

    def run(self, *, stop_at: int | None = None, on_validation: Any = None) -> Progress:
        """Train to the end (or to step ``stop_at``), from the checkpoint where there is one.

        Raises
        ------
        InputError
            When the loss is no longer finite: the step is named and the last good checkpoint kept.
        """
        settings, state = self.settings, self.state
        if self.checkpoint.exists():
            self.restore(read_checkpoint(self.checkpoint))
            if self.rank == 0:
                note(f"resumed at step {state.step} of {settings.steps}, from {self.checkpoint}")
        end = min(settings.steps, stop_at or settings.steps)
        if state.stopped_early or state.step >= end:
            return state
        # Random numbers of the layers (dropped channels) follow from the seed and the step.
        torch.manual_seed(settings.seed + 1_000_003 * state.step)
        began, before = time.monotonic(), state.seconds
        losses: list[torch.Tensor] = []
        bar = progress(total=settings.steps, desc="training", unit="step") if self.rank == 0 else None
        if bar is not None:
            bar.update(state.step)
        self.model.train()
        for inputs, target in self.batches.from_step(state.step):
            losses.append(self._step(inputs, target))
            state.step += 1
            if bar is not None:
                bar.update(1)
            if state.step % CHECK_EVERY == 0 or state.step == end:
                self._check(losses)
            if state.step % settings.validate_every == 0 or state.step == end:
                self._check(losses)
                train_loss = self._mean(losses)
                losses.clear()
                state.seconds = before + time.monotonic() - began
                self._validate(train_loss)
                if bar is not None:
                    bar.set_postfix(
                        loss=f"{train_loss:.4g}", rms_dex=f"{state.rows[-1]['validation_rms_dex']:.4f}"
                    )
                if self.rank == 0:
                    write_checkpoint(self.checkpoint, self.content())
                    if on_validation is not None:
                        on_validation(state)
                torch.manual_seed(settings.seed + 1_000_003 * state.step)
                self.model.train()
            if state.step >= end or state.stopped_early:
                break
        if bar is not None:
            bar.close()
        return state

    def _step(self, inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        settings = self.settings
        rate = learning_rate(self.state.step, settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if settings.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, settings.precision):
            output = self.forward(inputs)
        loss = self.loss(output, target)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimiser.step()
        update_average(self.average, self.model, settings.ema, self.state.step)
        return loss.detach()

    def _mean(self, losses: list[torch.Tensor]) -> float:
        """The mean loss over steps and processes."""
        mean = torch.stack(losses).mean()
        if self.ranks > 1:
            torch.distributed.all_reduce(mean)
        return float(mean) / self.ranks

    def _check(self, losses: list[torch.Tensor]) -> None:
        if not losses:
            return
        values = torch.stack(losses)
        if self.ranks > 1:
            # Every process must stop, not only the one whose share was bad.
            torch.distributed.all_reduce(values)
        bad = torch.nonzero(~torch.isfinite(values))
        if len(bad):
            step = self.state.step - len(values) + int(bad[0]) + 1
            kept = (
                f"the checkpoint of an earlier step is kept in {self.checkpoint}"
                if self.checkpoint.exists()
                else "there was no checkpoint yet"
            )
            rate = learning_rate(step - 1, self.settings)
            raise InputError(
                f"the loss is not finite at step {step} (learning rate {rate:.3g}): "
                f"training stopped, {kept}; try a lower --lr, a --clip above 0, or --precision fp32"
            )

    # -- validation ---------------------------------------------------------------------------------

    def _validate(self, train_loss: float) -> None:
        state, settings = self.state, self.settings
        rms = self.score(self.average, self.validation, self.loss, settings) if self.rank == 0 else 0.0
        if self.ranks > 1:
            # One process decides which weights are best and when to stop, so that none goes on alone.
            shared = torch.tensor([rms], device=self.device)
            torch.distributed.broadcast(shared, 0)
            rms = float(shared)
        if len(self.validation) == 0 or rms < state.best_rms_dex:
            state.best_rms_dex, state.best_step = rms, state.step
            self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        state.rows.append(
            {
                "step": state.step,
                "epoch": state.step * settings.batch / self.samples_per_epoch,
                "samples": state.step * settings.batch,
                "learning_rate": learning_rate(state.step - 1, settings),
                "train_loss": train_loss,
                "validation_rms_dex": rms,
                "seconds": round(state.seconds, 2),
            }
        )
        waited = (state.step - state.best_step) // settings.validate_every
        state.stopped_early = 0 < settings.patience <= waited

    # -- the checkpoint -----------------------------------------------------------------------------

    def content(self) -> dict[str, Any]:
        """All that the run needs to resume: weights, averages, best weights, optimiser, where it stands."""
        return {
            "settings": {k: v for k, v in asdict(self.settings).items() if k not in FREE},
            "statistics_digest": self.model.transforms.statistics_digest,
            "progress": asdict(self.state),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Go to where a checkpoint was written; InputError where that is of another run."""
        there, here = content["settings"], self.content()["settings"]
        other = [f"{k} {there.get(k)!r} there, {here[k]!r} here" for k in here if there.get(k) != here[k]]
        if other:
            raise InputError(
                f"{self.checkpoint} is of a run with other settings ({'; '.join(other)}); give another --out"
            )
        if content["statistics_digest"] != self.model.transforms.statistics_digest:
            raise InputError(
                f"{self.checkpoint} was trained with other statistics than this store has; give another --out"
            )
        self.model.load_state_dict(content["model"])
        self.average.load_state_dict(content["average"])
        best = content["best"]
        self.best = None if best is None else {k: v.to(self.device) for k, v in best.items()}
        self.optimiser.load_state_dict(content["optimiser"])
        self.state.__dict__.update(content["progress"])

    def best_model(self) -> MassModel:
        """The averaged weights with the lowest error on the split validation."""
        if self.best is None:
            raise InputError("no validation of this run is finite, so there is no model: try a lower --lr")
        model = copy.deepcopy(self.average)
        model.load_state_dict(self.best)
        return model


def compile_failed(error: RuntimeError) -> bool:
    """Whether torch.compile raised it: as on a machine without a compiler for C."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def learning_rate(step: int, settings: Settings) -> float:
    """Rising linearly over the warm-up, then half a cosine down to a hundredth of the highest."""
    warm = max(int(settings.warmup * settings.steps), 1)
    if step < warm:
        return settings.lr * (step + 1) / warm
    share = (step - warm) / max(settings.steps - warm, 1)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0))))


def make_optimiser(model: nn.Module, settings: Settings, device: torch.device) -> torch.optim.Optimizer:
    """AdamW, or any of timm's; weight decay acts on convolutions, not on norms and biases."""
    if settings.optimiser != "adamw":
        import_timm()
        from timm.optim import create_optimizer_v2

        try:
            return create_optimizer_v2(
                model, opt=settings.optimiser, lr=settings.lr, weight_decay=settings.weight_decay
            )
        except (ValueError, AssertionError) as error:
            raise InputError(
                f"--optimiser {settings.optimiser}: timm has no such optimiser ({error})"
            ) from None
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.99), fused=True)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the model's; the decay rises from 0 over the first steps."""
    weight = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    ours, theirs = average.state_dict(), model.state_dict()
    floats = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[n] for n in floats], [theirs[n] for n in floats], weight)
    for name, value in ours.items():
        if not value.is_floating_point():
            value.copy_(theirs[name])
