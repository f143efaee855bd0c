"""Real data that every installation has, if those of the case studies cannot be loaded."""

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
"""The same number of topics as Reuters."""

MOST_PER_TOPIC = 400
"""Most texts of a topic, so that one big package does not supply half of the texts."""

SHORTEST, LONGEST = 10, 400
"""Words of a text: shorter texts are left out, longer ones are cut."""


def standard_library_functions() -> tuple[Corpus, str]:
    """The functions of Python's standard library as texts, with their modules as topics.

    These are real texts, and predicting their topic is neither trivial nor hopeless.
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
    """The 1,797 images of 8 x 8 pixels in scikit-learn; every fifth one is for testing.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            wrong(
                "Fashion-MNIST",
                "the images must be in AFINA_DATA or in Keras's cache, or Keras must download them",
                "none of these",
                "Or install scikit-learn for images of digits: pip install 'afina[sklearn]'.",
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
            # Without the functions in it: their text would occur twice, perhaps once in the
            # training data and once in the test data.
            yield node.lineno, node.end_lineno or node.lineno
        elif isinstance(node, ast.ClassDef | ast.If | ast.Try):
            yield from _spans(node)


def _words(source: str) -> list[str]:
    """The words of names and comments in lower case; `aName` and `a_name` are split."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", source)
    return re.findall(r"[a-z]{2,}", apart.lower())
