"""What a process does on the side is put off for as long as some block asks for it."""

from __future__ import annotations

import gc
import os
import threading

import pytest
from numpy._core.multiarray import _set_madvise_hugepage

from neff.undisturbed import undisturbed


def large_pages() -> bool:
    found = _set_madvise_hugepage(True)
    _set_madvise_hugepage(found)
    return bool(found)


def test_both_are_off_until_the_outermost_block_ends():
    before = large_pages()
    with undisturbed():
        with undisturbed():
            assert not gc.isenabled() and not large_pages()
        assert not gc.isenabled() and not large_pages()
    assert gc.isenabled() and large_pages() == before


def test_an_error_ends_it_too():
    with pytest.raises(KeyError), undisturbed():
        raise KeyError
    assert gc.isenabled()


def test_who_collects_no_garbage_still_does_not():
    gc.disable()
    try:
        with undisturbed():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_last_of_several_threads_ends_it():
    entered, leave = threading.Event(), threading.Event()

    @undisturbed()
    def other() -> None:
        entered.set()
        leave.wait(30)

    thread = threading.Thread(target=other)
    with undisturbed():
        thread.start()
        assert entered.wait(30)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_child_forked_meanwhile_is_not_held_to_it():
    usual = large_pages()
    with undisturbed():
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() and large_pages() == usual else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
