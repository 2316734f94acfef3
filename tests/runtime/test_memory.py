"""The account of a core's memory: shared scratchpad, limits, peak."""

from __future__ import annotations

from runtime.memory import MICROCODE, Account, Needs, Usage

SMALL = Needs("small", code=10, constants=100, tensors=5, scratchpad=50)
LARGE = Needs("large", code=20, constants=200, tensors=6, scratchpad=80)


def test_models_share_one_scratchpad():
    account = Account(limit=MICROCODE + 1000)
    assert account.add_model("a", SMALL) and account.add_model("b", LARGE)
    assert account.used == {
        Usage.CODE: MICROCODE + 30,
        Usage.CONSTANTS: 300,
        Usage.TENSORS: 11,
        Usage.SHARED_SCRATCHPAD: 80,
    }
    account.remove_model("b")
    assert account.used[Usage.SHARED_SCRATCHPAD] == 50
    account.remove_model("a")
    account.remove_model("a")  # once gone, gone
    assert account.total == MICROCODE
    assert account.peak == MICROCODE + 30 + 300 + 11 + 80


def test_what_does_not_fit_takes_nothing():
    account = Account(limit=MICROCODE + 164)
    assert not account.add_model("a", SMALL)
    assert account.total == MICROCODE and account.models == ()
    account = Account(limit=MICROCODE + 165)
    assert account.add_model("a", SMALL)
    assert not account.add_tensor(1)
    account.remove_model("a")
    assert account.add_tensor(165)
    account.remove_tensor(165)
    assert account.total == MICROCODE
