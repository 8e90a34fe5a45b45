"""The worker process of :mod:`vit.data.scenes.pool`: reads ranges of scenes and writes their images."""

import json
import signal
import sys

import numpy as np

from vit.data.scenes import draw


def main(settings: str) -> None:
    """Answer each line ``start stop`` with the raw bytes of the images (n c h w) and then of the masks (n h w)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted parent closes the pipe, which ends the loop
    options = json.loads(settings)
    for line in sys.stdin:
        start, stop = map(int, line.split())
        scenes = [draw(index, **options) for index in range(start, stop)]
        images = np.stack([image.transpose(2, 0, 1) for image, _, _ in scenes])
        masks = np.stack([mask for _, mask, _ in scenes])
        try:
            sys.stdout.buffer.write(images.tobytes() + masks.tobytes())
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            break


if __name__ == "__main__":
    main(sys.argv[1])
