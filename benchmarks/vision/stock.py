"""`python -m benchmarks.vision.stock MODEL URL STRIDE`: ultralytics as its documentation says, one line a result.

`predict(stream=True)` with `vid_stride`, at the input that fits 16:9. Each line is the number of boxes.
"""

from __future__ import annotations

import argparse

from vision.yolo import load_ultralytics

SHAPE = (384, 640)


def main() -> None:
    """Predict until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("url")
    parser.add_argument("stride", type=int)
    options = parser.parse_args()
    model = load_ultralytics().YOLO(options.model, task="detect")
    for result in model.predict(
        options.url, stream=True, vid_stride=options.stride, imgsz=SHAPE, conf=0.25, verbose=False
    ):
        print(len(result.boxes), flush=True)


if __name__ == "__main__":
    main()
