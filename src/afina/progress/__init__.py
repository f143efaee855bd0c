"""(interim) Display of a running search."""

from dataclasses import dataclass
from typing import Any


class _Event:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


class EpochEnded(_Event): ...
class SearchEnded(_Event): ...
class SearchStarted(_Event): ...
class TrialEnded(_Event): ...
class TrialStarted(_Event): ...


class Display:
    def handle(self, event: Any) -> None: ...
    def close(self) -> None: ...


def create_display(*args: Any, **kwargs: Any) -> Display:
    return Display()
