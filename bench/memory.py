"""Memory under load: `python -m bench.memory`.

What a server holds at its start, after reviews over kept connections, and after TLS connections that were cut: reset
after the handshake, or in the middle of a request.
"""

import argparse
from pathlib import Path

from bench.contestants import NAMES, running
from bench.load import load
from bench.recorded import cases, prepared


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description="memory under load")
    parser.add_argument("--reviews", type=int, default=20_000, help="reviews to send each (default 20000)")
    parser.add_argument("--cut", type=int, default=4_000, help="connections to cut of each (default 4000)")
    parser.add_argument("--only", action="append", choices=NAMES, help="measure these contestants only")
    parser.add_argument("--beside", action="append", default=[], metavar="PATH", help="and the vmguard of a checkout")
    options = parser.parse_args()
    chosen = cases()
    files = [case.path / "review.json" for case in chosen]
    print(f"{options.reviews} reviews, {options.cut} connections cut; MiB of memory")
    print(f"{'':10}{'at start':>12}{'reviewed':>12}{'cut':>12}")
    with prepared(chosen) as ground:
        for name in (*(options.only or NAMES), *options.beside):
            with running(name, ground) as server:
                held = [server.resident()]
                load(server, ground, files, "-reviews", str(options.reviews))
                held.append(server.resident())
                load(server, ground, files, "-cut", str(options.cut))
                held.append(server.resident())
            print(f"{Path(name).name[-9:]:10}{''.join(f'{memory:12.1f}' for memory in held)}", flush=True)


if __name__ == "__main__":
    main()
