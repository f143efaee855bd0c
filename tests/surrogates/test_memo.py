import numpy as np
import pytest

from afina.surrogates.memo import remembered


def counting():
    calls = []

    @remembered(maxsize=4)
    def total(numbers, factor):
        calls.append(numbers)
        return factor * numbers.sum()

    return total, calls


def test_arrays_of_equal_content_are_computed_once():
    total, calls = counting()
    rows = np.arange(12.0).reshape(3, 4)
    assert total(rows, 2.0) == total(np.asfortranarray(rows), 2.0) == 132.0
    assert len(calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6.0).reshape(3, 2),
        np.arange(6.0).view(np.int64).reshape(2, 3),
        np.arange(6.0).reshape(2, 3) + 1,
    ],
    ids=["shape", "type", "values"],
)
def test_arrays_that_differ_in_shape_or_type_or_values_are_different(other):
    total, calls = counting()
    total(np.arange(6.0).reshape(2, 3), 1.0)
    total(other, 1.0)
    assert len(calls) == 2
    assert np.array_equal(calls[1], other)
    assert calls[1].dtype == other.dtype


def test_what_the_caller_does_to_an_array_later_changes_no_answer():
    total, _ = counting()
    rows = np.ones(3)
    assert total(rows, 1.0) == 3.0
    rows[:] = 5.0
    assert total(rows, 1.0) == 15.0
    assert total(np.ones(3), 1.0) == 3.0


def test_the_function_cannot_change_what_it_is_given():
    @remembered(maxsize=1)
    def careless(rows):
        rows += 1

    with pytest.raises(ValueError, match="read-only"):
        careless(np.ones(2))


def test_an_array_without_elements_keeps_its_shape():
    total, calls = counting()
    total(np.zeros((3, 0)), 1.0)
    assert calls[0].shape == (3, 0)
