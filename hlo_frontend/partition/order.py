"""What must stay in order, or together, because nodes write to memory that others see."""

from __future__ import annotations

from hlo_frontend.partition.levels import Group
from hlo_frontend.partition.roles import LOOKS_AT_MEMORY, Role, Roles


def effect_edges(roles: Roles) -> dict[int, list[int]]:
    """By node, others that must run before it, though it takes nothing of theirs.

    A write comes after every use of what was there, a use after the write before it; what draws
    random numbers, prints or may raise keeps its order.
    """
    edges: dict[int, list[int]] = {}
    written = roles.aliases.written()
    writer: dict[int, int] = {}  # the last of each class
    users: dict[int, list[int]] = {}  # since then
    last_effect = -1
    for number, role in enumerate(roles.role):
        if role is not Role.WORK:
            continue
        before: list[int] = []
        if _has_effect(roles, number):
            before += [last_effect] if last_effect >= 0 else []
            last_effect = number
        writes = roles.aliases.writes(number)
        for kind in sorted(_touched(roles, number) & written):
            before += [writer[kind]] if kind in writer else []
            if kind in writes:
                before += users.pop(kind, [])
                writer[kind] = number
            else:
                users.setdefault(kind, []).append(number)
        if before:
            edges[number] = before
    return edges


def _touched(roles: Roles, number: int) -> set[int]:
    return {roles.aliases.of(u) for u in (*roles.inputs[number], *roles.outputs(number))}


def _has_effect(roles: Roles, number: int) -> bool:
    node = roles.nodes[number]
    return node.isNondeterministic() or not node.outputsSize() or bool(list(node.blocks()))


def groups_of(roles: Roles) -> list[Group]:
    """The nodes that must be in one Neuron segment."""
    return [*_containers(roles), *_memory(roles), *_layouts(roles)]


def _containers(roles: Roles) -> list[Group]:
    """What makes a list of tensors, with all that takes it: a list crosses no border."""
    users: dict[int, list[int]] = {}
    for number, needed in enumerate(roles.inputs):
        for unique in needed:
            users.setdefault(unique, []).append(number)
    groups = []
    for number, node in enumerate(roles.nodes):
        if not roles.capable[number]:
            continue
        held = [v.unique() for v in node.outputs() if v.type().kind() != "TensorType"]
        members = (number, *(user for unique in held for user in users.get(unique, ())))
        if len(members) > 1:
            # A user that builds something of the list is on no side: the group cannot hold.
            work = tuple(n for n in members if roles.role[n] is Role.WORK)
            groups.append(Group(members, work))
    return groups


def _memory(roles: Roles) -> list[Group]:
    """What writes to tensors and what makes views of them, with what makes the tensors.

    Where they are not all on Neuron, only the tensors themselves may still come from there.
    """
    written = roles.aliases.written()
    bound: dict[int, list[int]] = {kind: [] for kind in written}
    makers: dict[int, list[int]] = {kind: [] for kind in written}
    for number, role in enumerate(roles.role):
        if role is Role.WORK:
            changed = roles.aliases.writes(number) | roles.aliases.views(number)
            for kind in changed & written:
                bound[kind].append(number)
            made = {roles.aliases.of(unique) for unique in roles.outputs(number)}
            for kind in (made & written) - changed:
                makers[kind].append(number)
    return [Group((*bound[kind], *makers[kind]), tuple(bound[kind])) for kind in sorted(written)]


def _layouts(roles: Roles) -> list[Group]:
    """What looks at memory as it is, with what made the memory."""
    groups = []
    for number, node in enumerate(roles.nodes):
        if node.kind() in LOOKS_AT_MEMORY:
            maker = roles.producer.get(roles.inputs[number][0], number)
            if maker != number and roles.role[maker] is Role.WORK:
                groups.append(Group((number, maker), (number, maker)))
    return groups
