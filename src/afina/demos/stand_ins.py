"""Real data that every installation has, for where the case studies' own are out of reach."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from afina.demos.files import Album, Corpus
from afina.errors import DataError, wrong

MODULES = (
    "argparse, ast, asyncio, bdb, calendar, collections, concurrent, configparser, copy, csv, "
    "ctypes, curses, datetime, decimal, difflib, email, enum, fractions, ftplib, gettext, http, "
    "imaplib, importlib, inspect, json, locale, logging, mailbox, multiprocessing, optparse, "
    "pathlib, pdb, pickle, pickletools, random, shutil, smtplib, socket, sqlite3, ssl, statistics, "
    "subprocess, tarfile, threading, tkinter, turtle, typing, unittest, urllib, uuid, wsgiref, "
    "xml, xmlrpc, zipfile"
)
TOPIC_COUNT = 46
"""As many as Reuters has."""

MOST_PER_TOPIC = 400
"""So that one big package does not make up half of the texts."""

SHORTEST, LONGEST = 10, 400
"""Words of a text: with fewer it says nothing about where it stands, further ones are cut off."""


def standard_library_functions() -> tuple[Corpus, str]:
    """The functions of Python's standard library as texts, their modules as topics.

    Real text of known origin, on which guessing the topic is neither trivial nor hopeless.
    """
    library = Path(sysconfig.get_path("stdlib"))
    found = {name: list(_functions(library, name)) for name in MODULES.split(", ")}
    biggest = sorted(found, key=lambda name: (-len(found[name]), name))[:TOPIC_COUNT]
    topics = tuple(sorted(name for name in biggest if found[name]))
    texts = [(topic, text) for topic in topics for text in found[topic][:MOST_PER_TOPIC]]
    counts = Counter(word for _, text in texts for word in text)
    words = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
    rank_of = {word: rank for rank, word in enumerate(words, start=1)}
    corpus = Corpus(
        texts=tuple(np.array([rank_of[word] for word in text], np.int64) for _, text in texts),
        labels=np.array([topics.index(topic) for topic, _ in texts], np.int64),
        topics=topics,
        words=words,
    )
    return corpus, "functions of Python's standard library, the topic is their module"


def handwritten_digits() -> tuple[Album, str]:
    """The 1,797 pictures of 8 x 8 pixels that scikit-learn brings along, every fifth for testing.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            wrong(
                "Fashion-MNIST",
                "the pictures must be in AFINA_DATA, in Keras's cache or within reach to download",
                "none of these",
                "Or install scikit-learn, which brings pictures of digits: afina[sklearn].",
            )
        ) from error
    digits = load_digits()
    testing = np.arange(len(digits.target)) % 5 == 0
    album = Album(
        x_train=digits.images[~testing],
        y_train=digits.target[~testing],
        x_test=digits.images[testing],
        y_test=digits.target[testing],
        white=16,
        classes=tuple(str(digit) for digit in range(10)),
    )
    return album, "handwritten digits of 8 x 8 pixels, from scikit-learn"


def _functions(library: Path, module: str) -> Iterator[list[str]]:
    """The words of each function that a module or package of the standard library defines."""
    file = library / f"{module}.py"
    files = [file] if file.is_file() else sorted((library / module).rglob("*.py"))
    for path in files:
        if {"test", "tests"} & set(path.parts):
            continue
        source = path.read_text(encoding="utf-8", errors="replace")
        lines = source.splitlines()
        for first, last in _spans(ast.parse(source)):
            words = _words("\n".join(lines[first - 1 : last]))
            if len(words) >= SHORTEST:
                yield words[:LONGEST]


def _spans(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """First and last line of each function and method."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Not the functions within it: their text would stand in two places, perhaps one
            # for training and one for testing.
            yield node.lineno, node.end_lineno or node.lineno
        elif isinstance(node, ast.ClassDef | ast.If | ast.Try):
            yield from _spans(node)


def _words(source: str) -> list[str]:
    """The words of names and comments in lower case; `aName` and `a_name` are taken apart."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", source)
    return re.findall(r"[a-z]{2,}", apart.lower())
