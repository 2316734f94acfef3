"""What crosses the borders of segments: every value once, from where it is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hlo_frontend.partition.roles import Role, Roles


@dataclass(frozen=True, slots=True)
class Scope:
    """What a set of WORK nodes needs to run elsewhere, by numbers of nodes and values.

    `body` is in the order in which to run: the nodes and the builders they need. `inputs` are
    values that other WORK nodes or the graph's caller give, in the order of their first use, each
    with the node that uses it first, `weights` attributes, `fixed` values that are the same for
    all inputs of these shapes.
    """

    body: tuple[int, ...]
    inputs: dict[int, int]
    weights: tuple[int, ...]
    fixed: tuple[int, ...]


def scope_of(roles: Roles, nodes: Sequence[int]) -> Scope:
    """The scope of the WORK nodes of a Neuron segment, in their order."""
    inside = set(nodes)
    body: list[int] = []
    inputs: dict[int, int] = {}
    weights: dict[int, None] = {}
    fixed: dict[int, None] = {}
    done: set[int] = set()

    def need(unique: int, user: int) -> None:
        """Find a value. Builders nest as deep as types do."""
        if unique in done:
            return
        done.add(unique)
        number = roles.producer.get(unique)
        if number is None or (roles.role[number] is Role.WORK and number not in inside):
            inputs[unique] = user
        elif roles.role[number] is Role.BUILDER:
            for element in roles.inputs[number]:
                need(element, user)
            body.append(number)
        elif roles.role[number] is Role.ATTRIBUTE:
            weights[unique] = None
        elif roles.role[number] is not Role.WORK:
            fixed[unique] = None

    for number in nodes:
        for unique in roles.inputs[number]:
            need(unique, number)
        body.append(number)
    return Scope(tuple(body), inputs, tuple(weights), tuple(fixed))


def reached(roles: Roles, nodes: Iterable[int], values: Iterable[int] = ()) -> list[int]:
    """Some WORK nodes and every constant, attribute, scalar and builder that they, and further
    values, are made of."""
    found = dict.fromkeys(nodes)
    waiting = [*values, *(unique for number in found for unique in roles.inputs[number])]
    while waiting:
        number = roles.producer.get(waiting.pop(), -1)
        if number >= 0 and number not in found and roles.role[number] is not Role.WORK:
            found[number] = None
            waiting += roles.inputs[number]
    return sorted(found)


def given(roles: Roles, values: Iterable[int]) -> list[int]:
    """The values of WORK nodes and of the graph's inputs that some values are made of on the CPU,
    through constants, scalars and builders, which are repeated."""
    found: dict[int, None] = {}
    seen: set[int] = set()
    waiting = list(values)[::-1]
    while waiting:
        unique = waiting.pop()
        if unique in seen:
            continue
        seen.add(unique)
        number = roles.producer.get(unique)
        if number is None or roles.role[number] is Role.WORK:
            found[unique] = None
        else:
            waiting += reversed(roles.inputs[number])
    return list(found)


def outputs_of(roles: Roles, nodes: Sequence[int], needed_elsewhere: set[int]) -> tuple[int, ...]:
    """The values of some nodes that others, or the caller, need."""
    made = (unique for number in nodes for unique in roles.outputs(number))
    return tuple(unique for unique in made if unique in needed_elsewhere)
