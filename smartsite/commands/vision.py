"""``smartsite vision check | train | evaluate | export``: try a camera; make, measure and export a detector."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from core.settings import Settings
from smartsite.commands import vision_cases, vision_check

HELP = "try a camera; collect cases; train, evaluate and export the hard-hat detector"
DESCRIPTION = """\
A data folder holds images/ and labels/ (YOLO layout: class, centre x, centre y, width, height; 0 helmet, 1 head).
`evaluate` needs nothing more than the platform; `train` needs the extra `yolo`, `export` the extra `export`.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _train_arguments(actions.add_parser("train", help="fine-tune a detector on labelled photographs"))
    _evaluate_arguments(actions.add_parser("evaluate", help="score the run-time detector on labelled photographs"))
    vision_cases.arguments(actions.add_parser("cases", help=vision_cases.HELP))
    vision_check.arguments(actions.add_parser("check", help=vision_check.HELP))
    _export_arguments(actions.add_parser("export", help="write trained weights in a form that runs without torch"))


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="folder with images/ and labels/; give it again for more",
    )
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help=".pt to start from")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where weights.pt and last.pt go")
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the photographs (%(default)s)")
    parser.add_argument("--hours", type=float, help="end after so long, with the learning rate drawn to fit")
    parser.add_argument("--size", type=int, default=320, help="side of the pictures, 0.8 to 1.3 of it (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="pictures of a step (%(default)s)")
    parser.add_argument("--rate", type=float, default=5e-4, help="first learning rate (%(default)s)")
    parser.add_argument("--freeze", type=int, default=0, metavar="N", help="leave the first N layers as they are")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with one GPU (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the network on the CPU (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare pictures (%(default)s)")
    parser.add_argument("--cache", action="store_true", help="keep all photographs in memory (0.5 MB each)")


_MOST_MISTAKES = 50
"""Of each class and kind: what one looks through in a few minutes."""


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with images/ and labels/")
    parser.add_argument("--half", choices=["tuning", "test"], help="only this half, told by the hash of the name")
    parser.add_argument("--model", type=Path, metavar="FILE", help="instead of the one in the settings")
    parser.add_argument("--input-px", type=int, metavar="N", help="longer side of the input, instead of the best")
    parser.add_argument(
        "--score", type=float, help="working threshold of precision and recall, instead of the settings'"
    )
    parser.add_argument(
        "--mistakes", type=Path, metavar="DIR",
        help="new folder for pieces of the photographs with the strongest wrong boxes and the largest missed heads",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="trained .pt")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".xml (OpenVINO) or .onnx to write")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="fp16 for OpenVINO, fp32 for ONNX")
    parser.add_argument("--data", type=Path, metavar="DIR", help="photographs that int8 takes its ranges from")


def run(options: argparse.Namespace, settings: Settings) -> int:
    if options.action == "train":
        return _train(options)
    if options.action == "cases":
        return vision_cases.run(options, settings)
    if options.action == "check":
        return vision_check.run(options, settings)
    if options.action == "evaluate":
        return _evaluate(options, settings)
    return _export(options, settings)


def _train(options: argparse.Namespace) -> int:
    from smartsite.console import say
    from vision.training.train import TrainingPlan, train

    plan = TrainingPlan(
        data=options.data,
        weights=options.weights,
        out=options.out,
        epochs=options.epochs,
        hours=options.hours,
        size=options.size,
        batch=options.batch,
        rate=options.rate,
        freeze=options.freeze,
        seed=options.seed,
        device=options.device,
        threads=options.threads,
        workers=options.workers,
        cache=options.cache,
    )
    train(plan, resume=options.resume, say=say)
    return 0


def _evaluate(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import complain, say
    from vision.detectors import BUILT_IN, Detector, open_detector
    from vision.evaluate import FLOOR, PHOTOGRAPH_PX, AtBestShape, compare, figures
    from vision.labelled import photographs
    from vision.mistakes import mistakes, new_folder, write

    given = photographs(options.data, options.half)
    pieces = None if options.mistakes is None else new_folder(options.mistakes)
    score = settings.vision.camera.score if options.score is None else options.score

    def looking(input_px: int) -> Detector:
        model = options.model or settings.vision.model or BUILT_IN
        return open_detector(model, threads=settings.vision.threads, score=FLOOR, input_px=input_px, by_class=True)

    usual = settings.vision.input_px
    detector: Detector = (
        looking(options.input_px)
        if options.input_px
        else AtBestShape(looking(usual), looking(max(usual, PHOTOGRAPH_PX)))
    )

    def tell(count: int) -> None:
        if count % 100 == 0 or count == len(given):
            complain(f"{count} of {len(given)} photographs")

    compared, conditions = compare(detector, given, tell)
    if pieces is not None:
        write(pieces, mistakes(compared, score, _MOST_MISTAKES), given)
    report = {
        "model": detector.name,
        "data": str(options.data),
        "half": options.half,
        "photographs": len(given),
        "input": conditions["shapes"],
        "cpu_ms": conditions["cpu_ms"],
        "score": score,
        "overlap": 0.5,
        "classes": figures(compared, score),
    }
    if options.json:
        say(json.dumps(report, indent=2))
        return 0
    say(f"{detector.name} on {len(given)} photographs, inputs {', '.join(report['input'])}, {report['cpu_ms']} ms CPU")
    say(f"{'':8} {'AP50':>7} {'AP30':>7} {'AP50-95':>8} {'precision':>10} {'recall':>7}   (at score {score})")
    for name, row in report["classes"].items():
        cells = [("ap50", 7), ("ap30", 7), ("map", 8), ("precision", 10), ("recall", 7)]
        say(f"{name:8} " + " ".join(f"{_cell(row[key]):>{width}}" for key, width in cells))
        for bucket, part in row["buckets"]["picture_px"].items():
            say(
                f"  {bucket:>9} px: {part['labels']} labels, "
                f"precision {_cell(part['precision'])}, recall {_cell(part['recall'])}"
            )
    return 0


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _export(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import say
    from vision.labelled import photographs
    from vision.training.export import Precision, export

    precision: Precision = options.precision or ("fp32" if options.out.suffix == ".onnx" else "fp16")
    made = export(
        options.weights,
        options.out,
        precision=precision,
        input_px=settings.vision.input_px,
        calibration=photographs(options.data) if options.data else (),
    )
    say(f"written: {made} ({precision})")
    return 0
