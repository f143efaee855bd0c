"""How long `import afina` takes in a fresh interpreter; the aim is less than 0.2 s."""

import statistics
import subprocess
import sys

CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
RUNS = 5


def seconds(module: str) -> float:
    """Median over fresh interpreters."""
    command = [sys.executable, "-c", CODE.format(module)]
    outputs = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(RUNS)]
    return statistics.median(map(float, outputs))


if __name__ == "__main__":
    for module in ("afina", "afina.cli", "afina.space", "afina.search"):
        print(f"import {module:<14} {seconds(module):.3f} s")
