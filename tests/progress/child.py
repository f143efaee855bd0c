"""Run in a pseudo-terminal: a search with a live display that goes as the argument says."""

from __future__ import annotations

import sys
import time

from afina.progress import SearchEnded, create_display
from tests.progress.recorded import ACCURACY, SEARCH


def main(how: str) -> None:
    assert sys.stdin is not None
    with create_display("auto", ACCURACY) as display:
        for at, (_, event) in enumerate(SEARCH):
            if how == "interrupted" and at == 6:
                raise KeyboardInterrupt
            if how == "raising" and at == 6:
                raise RuntimeError("broken off")
            display.handle(event)
            time.sleep(0.8 if at == 5 else 0.01)  # long enough to be drawn
            if how == "printing" and at in (2, 6):
                print(f"own line {at} [red]")
                print("unfinished", end="")
                print("warned", file=sys.stderr)
            if how == "bars" and at == 2:
                for percent in (10, 50, 100):
                    sys.stdout.write("\b" * 9 + f"\r{percent:3d} % done")
                    sys.stdout.flush()
                sys.stdout.write("\n")
            if how == "closing" and isinstance(event, SearchEnded):
                display.close()
    print("after")


if __name__ == "__main__":
    main(sys.argv[1])
