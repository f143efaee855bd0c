"""Linear algebra on one thread."""

import threading

from afina.surrogates.threads import one_blas_thread


def test_one_thread_may_be_asked_for_within_the_same_thread_and_is_given_back() -> None:
    done = []

    def nested() -> None:
        with one_blas_thread(), one_blas_thread():
            done.append(1)
        with one_blas_thread():
            done.append(2)

    for _ in range(2):  # another thread gets it afterwards
        thread = threading.Thread(target=nested, daemon=True)
        thread.start()
        thread.join(30.0)
    assert done == [1, 2, 1, 2]
