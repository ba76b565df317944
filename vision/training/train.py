"""Fine-tuning of a YOLO detector: loop, schedule and checkpoints.

ultralytics gives network, loss and averaging. The loop is our own because a run is bounded by time as well as by
epochs, and goes on from the last checkpoint in the middle of an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.errors import ConfigurationError, InvalidInput
from vision.labelled import CLASSES, Labelled, photographs
from vision.training.pictures import Draw, TrainingPictures
from vision.yolo import load_ultralytics

_WARM_UP = 100  # steps
_TELL_S = 20.0
_LEAST_RATE = 0.01  # of the first
_CALM_FROM = 0.75  # of the run: from here on pictures are closer to photographs
_MANY_PER_HEAD = 0.7  # weight of the one-to-many head's loss, the head that is exported; the NMS-free one has the rest


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What is trained, on what, for how long. `hours` ends the run early, its schedule drawn to fit."""

    data: Sequence[Path]
    weights: Path
    out: Path
    epochs: int = 30
    hours: float | None = None
    size: int = 320
    batch: int = 16
    rate: float = 5e-4
    freeze: int = 0
    seed: int = 0
    device: str = "cpu"
    threads: int = 2
    workers: int = 1
    cache: bool = False
    save_minutes: float = 5.0


@dataclass(slots=True)
class _State:
    """How far a run is; goes into the checkpoint."""

    step: int = 0
    seconds: float = 0.0


Say = Callable[[str], None]


def train(plan: TrainingPlan, *, resume: bool, say: Say, monotonic: Callable[[], float] = time.monotonic) -> Path:
    """Run the plan to its end and return the finished weights, `out`/weights.pt (FP16, loads in ultralytics).

    `resume` goes on from `out`/last.pt, of which a run writes one every few minutes. Raises ConfigurationError where
    ultralytics or the weights are missing, InvalidInput where the data are not usable.
    """
    # Threads that OpenCV began before a fork are missing in the workers, which would wait for them without end.
    cv2.setNumThreads(1)
    pictures = TrainingPictures([each for folder in plan.data for each in photographs(folder)], cache=plan.cache)
    last = plan.out / "last.pt"
    if resume and not last.is_file():
        raise InvalidInput(f"there is no {last} to go on from", hint="leave --resume away to start afresh")
    plan.out.mkdir(parents=True, exist_ok=True)
    run = _Run(plan, last if resume else None)
    per_epoch = pictures.batches(plan.batch)
    total = per_epoch * plan.epochs
    say(
        f"{per_epoch} batches of {plan.batch} an epoch, {plan.epochs} epochs"
        + (f", {plan.hours} h at most" if plan.hours else "")
    )

    def progress() -> float:
        by_time = run.state.seconds / (plan.hours * 3600) if plan.hours else 0.0
        return max(by_time, run.state.step / total)

    before = told = saved = monotonic()
    seen = 0
    for batch in _loader(pictures, plan, run.state.step, calm=lambda: progress() >= _CALM_FROM):
        run.step(batch, progress())
        now = monotonic()
        run.state.seconds += now - before
        before, seen = now, seen + plan.batch
        if now - told > _TELL_S:
            say(run.line(per_epoch, progress(), seen / (now - told)))
            told, seen = now, 0
        over = progress() >= 1
        if over or now - saved > plan.save_minutes * 60 or run.state.step % per_epoch == 0:
            run.save(last)
            saved = now
        if over:
            break
    finished = plan.out / "weights.pt"
    run.export(finished)
    say(f"finished after {run.state.step} steps, {run.state.seconds / 3600:.2f} h: {finished}")
    return finished


def _loader(pictures: TrainingPictures, plan: TrainingPlan, step: int, calm: Callable[[], bool]) -> Any:
    """Batches as tensors, made by `workers` processes, without end; another order for every `step` it begins at."""
    import torch

    rng = np.random.default_rng([plan.seed, step])
    return torch.utils.data.DataLoader(
        _Tensors(pictures),
        batch_sampler=_Sampler(lambda: pictures.epoch(plan.size, plan.batch, rng, calm)),
        num_workers=plan.workers,
        collate_fn=_collate,
        prefetch_factor=3 if plan.workers else None,
        pin_memory=plan.device != "cpu",
    )


class _Sampler:
    """One epoch after the other, drawn as they are asked for: the workers never start anew."""

    def __init__(self, epoch: Callable[[], Iterator[list[Draw]]]) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        while True:
            yield from self._epoch()


class _Tensors:
    """The pictures as torch's DataLoader wants them."""

    def __init__(self, pictures: TrainingPictures) -> None:
        self._pictures = pictures

    def __getitem__(self, draw: Draw) -> Labelled:
        return self._pictures[draw]


def _collate(pictures: list[Labelled]) -> dict[str, Any]:
    """What ultralytics' loss takes: RGB bytes [n, 3, size, size], boxes as shares (centre, size), class, picture."""
    import torch

    size = pictures[0].image.shape[0]
    image = np.stack([picture.image[:, :, ::-1].transpose(2, 0, 1) for picture in pictures])
    boxes = np.concatenate([picture.boxes for picture in pictures]) / size
    shares = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    number = np.concatenate([np.full(len(picture.kind), n, np.float32) for n, picture in enumerate(pictures)])
    kind = np.concatenate([picture.kind for picture in pictures]).astype(np.float32)
    return {
        "img": torch.from_numpy(np.ascontiguousarray(image)),
        "bboxes": torch.from_numpy(shares.astype(np.float32)),
        "cls": torch.from_numpy(kind[:, None]),
        "batch_idx": torch.from_numpy(number),
    }


class _Run:
    """Network, optimizer and average of one training."""

    def __init__(self, plan: TrainingPlan, checkpoint: Path | None) -> None:
        load_ultralytics()
        import torch
        from ultralytics.utils.torch_utils import ModelEMA

        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.state = _State()
        self._plan = plan
        self._device = torch.device(plan.device)
        # On a GPU half of the time goes into normalisation where the channels are not last in memory.
        self._layout = torch.channels_last if self._device.type == "cuda" else torch.contiguous_format
        self._model = _network(plan.weights).to(self._device, memory_format=self._layout)
        self._still = list(self._model.model[: plan.freeze])
        for layer in self._still:
            for parameter in layer.parameters():
                parameter.requires_grad_(False)
        self._criterion = self._model.init_criterion()
        self._criterion.o2m, self._criterion.o2o = _MANY_PER_HEAD, 1 - _MANY_PER_HEAD
        self._model.criterion = self._criterion
        trained = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": 5e-4},
                {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=plan.rate,
        )
        self._ema = ModelEMA(self._model, decay=0.999, tau=500)
        self._loss = math.nan
        if checkpoint is not None:
            self._restore(checkpoint)

    def step(self, batch: dict[str, Any], progress: float) -> None:
        """One batch forward and back."""
        import torch

        rate = self._plan.rate * _rate_factor(progress, self.state.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._model.train()
        for layer in self._still:
            layer.eval()  # keeps the averages of its normalisation
        batch = {key: value.to(self._device, non_blocking=True) for key, value in batch.items()}
        batch["img"] = (batch["img"].float() / 255).contiguous(memory_format=self._layout)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            losses, _ = self._model(batch)
        loss = losses.sum()
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 10.0)
        self._optimizer.step()
        self._ema.update(self._model)
        self.state.step += 1
        value = float(loss.detach()) / len(batch["img"])
        self._loss = value if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * value

    def line(self, per_epoch: int, progress: float, speed: float) -> str:
        """Progress in words."""
        left = self.state.seconds / progress - self.state.seconds if progress else math.inf
        rate = self._optimizer.param_groups[0]["lr"]
        return (
            f"epoch {self.state.step / per_epoch:.2f}  {progress:6.1%}  loss {self._loss:.3f}  rate {rate:.1e}  "
            f"{speed:.1f} pictures/s  {left / 60:.0f} min left"
        )

    def save(self, path: Path) -> None:
        """Everything that `--resume` needs, in one step that a kill cannot split."""
        import torch

        partial = path.with_suffix(".partial")
        torch.save(
            {
                "plan": {key: str(value) for key, value in asdict(self._plan).items()},
                "state": asdict(self.state),
                "model": self._model.state_dict(),
                "ema": self._ema.ema.state_dict(),
                "updates": self._ema.updates,
                "optimizer": self._optimizer.state_dict(),
            },
            partial,
        )
        partial.replace(path)
        self.export(path.with_name("weights.pt"))

    def export(self, path: Path) -> None:
        """The averaged network as ultralytics loads it, in half precision."""
        import torch

        network = deepcopy(self._ema.ema).cpu().half()
        network.criterion = None
        network.pt_path = None  # ultralytics notes where it was loaded from; that is nobody's business
        partial = path.with_suffix(".partial")
        torch.save({"model": network, "train_args": {"task": "detect", "imgsz": self._plan.size}}, partial)
        partial.replace(path)

    def _restore(self, path: Path) -> None:
        import torch

        kept = torch.load(path, map_location=self._device, weights_only=True)
        self._model.load_state_dict(kept["model"])
        self._ema.ema.load_state_dict(kept["ema"])
        self._ema.updates = kept["updates"]
        self._optimizer.load_state_dict(kept["optimizer"])
        self.state = _State(**kept["state"])


def _rate_factor(progress: float, step: int) -> float:
    """Warm-up, then a cosine down to `_LEAST_RATE` at progress 1."""
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return min(1.0, (step + 1) / _WARM_UP) * (_LEAST_RATE + (1 - _LEAST_RATE) * cosine)


def _network(weights: Path) -> Any:
    """The detection network of a .pt file with our two classes; new class layers where it had others."""
    from ultralytics import YOLO
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    if not weights.is_file():
        raise ConfigurationError(f"there are no weights at {weights}", hint="name a .pt file to start from")
    start = YOLO(weights, task="detect").model
    names = dict(enumerate(CLASSES))
    if dict(start.names) == names:
        network = start
    else:
        network = DetectionModel(deepcopy(start.yaml), nc=len(CLASSES), verbose=False)
        network.load(start, verbose=False)
    network = network.float()
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.dtype.is_floating_point)
    network.names, network.nc, network.args = names, len(CLASSES), get_cfg()
    return network
