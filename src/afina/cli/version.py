"""`afina --version`: what is installed, for people and for reports of a bug."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import click

from afina import __version__
from afina.backend import BACKENDS, NAMES, NONE, VARIABLE

DISTRIBUTIONS = {
    "jax": ("jax",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tf-nightly"),
    "torch": ("torch",),
}
"""The distributions that a backend may come from, by the name that Keras has for it."""


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Prints the versions and ends; a callback of click's."""
    if wanted and not ctx.resilient_parsing:
        click.echo("\n".join(versions()))
        ctx.exit()


def versions() -> list[str]:
    """A line each for Afina, Python, Keras and the installed backends; nothing is imported."""
    lines = [
        f"afina, version {__version__}",
        f"Python {platform.python_version()} on {platform.system()} ({platform.machine()})",
        f"Keras {_version('keras', 'keras-nightly') or 'is not installed'}",
    ]
    chosen = os.environ.get(VARIABLE)
    found = {name: _version(*DISTRIBUTIONS[name]) for name in BACKENDS}
    for name, version in found.items():
        if version:
            mark = " (Keras runs on it)" if name == chosen else ""
            lines.append(f"{NAMES[name]} {version}{mark}")
    if chosen and not found.get(chosen):
        lines.append(f"{VARIABLE}={chosen}, which is not installed")
    if not any(found.values()):
        lines.append(NONE)
    return lines


def _version(*distributions: str) -> str:
    """The version of the first of these that is installed; empty if none is."""
    for each in distributions:
        try:
            return metadata.version(each)
        except metadata.PackageNotFoundError:
            continue
    return ""


def version_option(command: Any) -> Any:
    """Adds `--version` to a command."""
    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show_version,
        help="Show the versions of Afina, Python, Keras and the installed backends.",
    )(command)
