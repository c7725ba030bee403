"""Four minutes in the life of a deployment, for docs/how-to/dashboard.svg.

python -m tests.deploy.picture docs/how-to/dashboard.svg
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from bench.draw_dashboard import FILE, Source, draw
from tests.deploy.watched import Watched, alive, watched

NOTE = (
    "Four minutes of two pods and a verifier on one machine: from 80 s a thief and a guesser, at "
    "150 s Redis is away for 20 s. Drawn by bench/draw_dashboard.py from a real Prometheus' data."
)


def live_through(world: Watched) -> None:
    """Quiet, an attack, an outage of Redis, quiet again."""
    with alive(world, world.live, rate=24, failing=False):
        time.sleep(80)
    with alive(world, world.live, world.steal, world.steal, rate=32):
        time.sleep(50)
    with alive(world, world.live, rate=24, failing=False):
        time.sleep(20)
        world.site.redis_server.stop()
        time.sleep(20)
        world.site.redis_server.start()
        time.sleep(70)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder)) as world:
        began = time.time()
        live_through(world)
        source = Source(http=world.prometheus.http, start=began, end=time.time(), window="10s")
        Path(sys.argv[1]).write_text(draw(json.loads(FILE.read_text()), source, NOTE))


if __name__ == "__main__":
    main()
