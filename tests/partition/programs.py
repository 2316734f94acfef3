"""Random programs on tensors of [4, 4], with views, updates in place, lists and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn

Tensors = list[torch.Tensor]


@torch.jit.script
def branching(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    z = x - y if bool(x.sum() > y.sum()) else y * 2
    parts: list[torch.Tensor] = []
    for n in range(2):
        parts.append(z + n)
    return parts[0] * parts[1]


def first_row_set(x, y):
    z = x * 1
    z[0] = y[1]
    return z


def columns_added(x, y):
    z = x + y
    z[:, 1:3].add_(1)
    return z.t().contiguous()


def chunks(x, y):
    a, b = torch.chunk(x, 2, 1)
    return torch.cat([b, a * y[:, :2]], 1)


def reshaped(x, y):
    return (x.reshape(x.shape[0] * 2, -1) * y.reshape(y.size(0) * 2, -1)).reshape(x.size(0), -1)


def arithmetic_on_sizes(x, y):
    half = x.shape[1] // 2
    return torch.cat([x[:, :half], y[:, half:]], 1) / x.shape[0]


def number_of_data(x, y):
    return x * float(y.sum().item() > 0) + y


def picked(x, y):
    return x + y[y > 0.5].sum()


def best_of_both(x, y):
    values, places = torch.max(x, 1)
    return values.unsqueeze(1) + places.unsqueeze(0) * y


def pairs(x, y):
    both = (x.sin(), y.cos())
    return both[0] * both[1]


def constant_mask(x, y):
    mask = torch.tril(torch.ones(4, 4))
    return x * mask + y


# Each makes a tensor of [4, 4] from two.
PURE: tuple[Callable[..., torch.Tensor], ...] = (
    torch.add,
    torch.mul,
    torch.maximum,
    torch.matmul,
    lambda x, y: torch.relu(x) - y,
    lambda x, y: x.t() + y[0],
    lambda x, y: torch.where(x > y, x, y),
    first_row_set,
    columns_added,
    chunks,
    reshaped,
    arithmetic_on_sizes,
    number_of_data,
    picked,
    best_of_both,
    pairs,
    constant_mask,
    branching,
)


def add_in_place(x, y):
    return x.add_(y)


def clamp_in_place(x, y):
    torch.clamp_(x, -3, 3)
    return x + y


def row_in_place(x, y):
    x[1] = y[2]
    return x


def view_in_place(x, y):
    rows = x[::2]
    rows.mul_(0.5)
    return x - y


def list_in_place(x, y):
    for part in torch.split(x, 2):
        part.add_(1)
    return x * y


# Each may change its first tensor, and what shares its memory.
WRITING = (add_in_place, clamp_in_place, row_in_place, view_in_place, list_in_place)
# Each makes a view.
VIEWS = (lambda x, y: x.t(), lambda x, y: x.view(4, 4), lambda x, y: x.transpose(0, 1))


@dataclass(frozen=True)
class Step:
    function: Callable[..., torch.Tensor]
    first: int
    second: int


class Program(nn.Module):
    """Runs steps on a growing list of tensors, which its inputs and weights begin."""

    def __init__(self, steps: list[Step], returned: list[int], form: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.rand(4, 4, generator=generator))
        self.linear = nn.Linear(4, 4)
        self.register_buffer("scale", torch.rand(4, 4, generator=generator))
        self.steps, self.returned, self.form = steps, returned, form

    def forward(self, x, pair):
        known: Tensors = [x, *pair, self.linear(x), self.weight * x, self.scale + pair[0]]
        for step in self.steps:
            known.append(step.function(known[step.first], known[step.second]))
        found = [known[n] for n in self.returned]
        if self.form == "dict":
            return {str(n): t for n, t in enumerate(found)}
        return tuple(found) if self.form == "tuple" else sum(found[1:], found[0])


GIVEN = 6  # tensors before the first step


@st.composite
def programs(draw, functions=PURE + PURE + WRITING + VIEWS):
    steps = []
    for n in range(draw(st.integers(1, 12))):
        # Mostly what is recent, so that programs are deep.
        low = draw(st.sampled_from([0, max(0, GIVEN + n - 4)]))
        places = st.integers(low, GIVEN + n - 1)
        steps.append(Step(draw(st.sampled_from(functions)), draw(places), draw(places)))
    last = GIVEN + len(steps) - 1
    returned = [last, *draw(st.lists(st.integers(3, last), max_size=2))]
    return (
        Program(steps, returned, draw(st.sampled_from(["one", "tuple", "dict"])))
        .eval()
        .requires_grad_(False)
    )
