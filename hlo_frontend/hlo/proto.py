"""HLO modules read from and written to serialized `HloModuleProto` messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from hlo_frontend.hlo.canonical import canonical_attributes
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import (
    NO_METADATA,
    Alias,
    HloComputation,
    HloInstruction,
    HloModule,
    Metadata,
    callees_first,
)
from hlo_frontend.hlo.ops import OPS, Op
from hlo_frontend.hlo.proto_attributes import (
    CODECS,
    OVERRIDES,
    read_frontend_attributes,
    write_frontend_attributes,
)
from hlo_frontend.hlo.proto_codec import Codec
from hlo_frontend.hlo.proto_shape import read_shape, write_shape
from hlo_frontend.hlo.schema import MESSAGES

# Newer XLA packs the computation's id above the 32 bits that number an instruction within it.
_LOCAL_ID = 0xFFFFFFFF
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Fields of an instruction that are not in the schema and may be there: parameter replication, the
# thread it runs on, statistics, value tracking and accuracy hints.
_IGNORED_FIELDS = frozenset({61, 79, 82, 88, 91})
_ALIAS_KINDS = {1: False, 2: True}  # may alias, must alias


def _codecs(op: Op) -> tuple[tuple[str, bool, Codec], ...]:
    return tuple(
        (name, required, OVERRIDES.get((op.name, name), CODECS[name]))
        for name, required in sorted(op.attrs.items())
    )


_CODECS = {name: _codecs(op) for name, op in OPS.items()}


def read_module(data: bytes) -> HloModule:
    """The module in the bytes of an HloModuleProto, or of an HloProto around one.

    Not kept, for they do not change what the module computes: schedules, buffer donors, control
    dependencies (the order of instructions respects them), value-tracking and accuracy hints.
    Raises HloError if the bytes are another format, incomplete, or use what is not supported.
    """
    proto = _parse(bytes(data))
    names = {c.id: _sanitized(c.name) for c in proto.computations}
    if len(set(names.values())) != len(proto.computations):
        raise HloError("hlo proto: computations must have distinct ids and names")
    entry = names.get(proto.entry_computation_id)
    if entry is None:
        raise HloError(
            "hlo proto: the entry computation must be one of the module's, "
            f"got id {proto.entry_computation_id}"
        )
    reader = _ComputationReader(names, _frame_reader(proto.stack_frame_index))
    return HloModule(
        _sanitized(proto.name),
        callees_first(tuple(map(reader.read, proto.computations)), entry),
        entry,
        tuple(map(_read_alias, proto.input_output_alias.entries)),
        read_frontend_attributes(proto),
    )


def _parse(data: bytes) -> Any:
    for message, unwrap in (
        ("HloModuleProto", lambda m: m),
        ("HloProto", lambda m: m.hlo_module),
    ):
        try:
            module = unwrap(MESSAGES[message].FromString(data))
        except DecodeError:
            continue
        if module.computations and module.HasField("host_program_shape"):
            return module
    raise HloError(
        "hlo proto: the data must be a complete serialized HloModuleProto or HloProto, "
        f"got {len(data)} bytes that are truncated or of another format"
    )


def _sanitized(name: str) -> str:
    """A name the text form can spell, as XLA itself makes it when it reads a module."""
    if _NAME.fullmatch(name):
        return name
    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return cleaned if _NAME.fullmatch(cleaned) else f"_{cleaned}"


def _read_alias(entry: Any) -> Alias:
    if entry.kind not in _ALIAS_KINDS:
        raise HloError(f"hlo proto: alias kind must be 1 (may) or 2 (must), got {entry.kind}")
    return Alias(
        tuple(entry.output_shape_index),
        entry.parameter_number,
        tuple(entry.parameter_shape_index),
        _ALIAS_KINDS[entry.kind],
    )


def _frame_reader(index: Any) -> Callable[[int], tuple[str, int]]:
    """File and line of a stack frame, by its 1-based id."""
    files, locations = tuple(index.file_names), tuple(index.file_locations)
    frames = tuple(f.file_location_id for f in index.stack_frames)

    def read(frame: int) -> tuple[str, int]:
        try:
            location = locations[frames[frame - 1] - 1]
            return files[location.file_name_id - 1], location.line
        except IndexError:
            raise HloError(
                f"hlo proto: a stack frame must be in the module's index, got {frame}"
            ) from None

    return read


def _check_fields(proto: Any) -> None:
    """A field we do not know may change what the instruction means, unless it is empty."""
    fields = UnknownFieldSet(proto)
    for n in range(len(fields)):
        if fields[n].field_number not in _IGNORED_FIELDS and fields[n].data != b"":
            raise HloError(
                "hlo proto: an instruction must not have fields that are not supported, "
                f"got field {fields[n].field_number}"
            )


@dataclass(frozen=True, slots=True)
class _ComputationReader:
    names: dict[int, str]
    frame: Callable[[int], tuple[str, int]]

    def read(self, proto: Any) -> HloComputation:
        """The computation, its operands turned from ids into positions."""
        positions: dict[int, int] = {}
        instructions: list[HloInstruction] = []
        for position, i in enumerate(proto.instructions):
            instructions.append(self._instruction(i, positions, instructions))
            if positions.setdefault(i.id & _LOCAL_ID, position) != position:
                raise HloError(
                    f"hlo proto: instruction ids of {proto.name} must differ, got {i.id} twice"
                )
        root = positions.get(proto.root_id & _LOCAL_ID)
        if root is None:
            raise HloError(
                f"hlo proto: the root of {proto.name} must be one of its instructions, "
                f"got id {proto.root_id}"
            )
        return HloComputation(self.names[proto.id], tuple(instructions), root)

    def _instruction(
        self, proto: Any, positions: dict[int, int], earlier: list[HloInstruction]
    ) -> HloInstruction:
        opcode = proto.opcode
        if opcode not in OPS:
            raise HloError(
                f"hlo proto: opcode of %{proto.name} must be one of the {len(OPS)} supported, "
                f"got {opcode!r}"
            )
        try:
            _check_fields(proto)
            shape = read_shape(proto.shape)
            operands = tuple([positions[i & _LOCAL_ID] for i in proto.operand_ids])
            calls = tuple([self.names[i] for i in proto.called_computation_ids])
            attrs = {}
            for name, required, codec in _CODECS[opcode]:
                value = codec.read(proto)
                if value is not None or required:
                    attrs[name] = value
        except KeyError as error:
            raise HloError(
                f"hlo proto: operands of %{proto.name} must be earlier instructions and what it "
                f"calls computations of the module, got id {error.args[0]}"
            ) from None
        except HloError as error:
            raise type(error)(f"{error}\n  in  %{proto.name} = {opcode}(...)") from None
        if opcode == "constant":  # literals are kept row-major, whatever the layout was
            shape = attrs["literal"].shape
        first = earlier[operands[0]].shape if operands else None
        return HloInstruction(
            _sanitized(proto.name),
            opcode,
            shape,
            operands,
            canonical_attributes(opcode, attrs, first),
            calls,
            self._metadata(proto.metadata) if proto.HasField("metadata") else NO_METADATA,
        )

    def _metadata(self, proto: Any) -> Metadata:
        file, line = proto.source_file, proto.source_line
        if not file and proto.stack_frame_id:
            file, line = self.frame(proto.stack_frame_id)
        metadata = Metadata(proto.op_type, proto.op_name, file, line)
        return NO_METADATA if metadata == NO_METADATA else metadata


def write_module(module: HloModule) -> bytes:
    """The module as a serialized HloModuleProto; equal modules give equal bytes."""
    proto = MESSAGES["HloModuleProto"](name=module.name, entry_computation_name=module.entry_name)
    ids = {c.name: number for number, c in enumerate(module.computations, 1)}
    instruction_ids = iter(range(1, 1 + sum(len(c.instructions) for c in module.computations)))
    fused = {
        name
        for c in module.computations
        for i in c.instructions
        if i.opcode == "fusion"
        for name in i.calls
    }
    for computation in module.computations:
        message = proto.computations.add(
            name=computation.name,
            id=ids[computation.name],
            is_fusion_computation=computation.name in fused,
        )
        _write_computation(computation, message, ids, instruction_ids)
    proto.entry_computation_id = ids[module.entry_name]
    proto.host_program_shape.CopyFrom(proto.computations[ids[module.entry_name] - 1].program_shape)
    for alias in module.aliases:
        proto.input_output_alias.entries.add(
            output_shape_index=alias.output_index,
            parameter_number=alias.parameter,
            parameter_shape_index=alias.parameter_index,
            kind=2 if alias.must_alias else 1,
        )
    write_frontend_attributes(proto, module.frontend_attributes)
    return proto.SerializeToString(deterministic=True)


def _write_computation(
    computation: HloComputation, proto: Any, ids: dict[str, int], numbers: Iterator[int]
) -> None:
    own = [next(numbers) for _ in computation.instructions]
    for number, i in zip(own, computation.instructions, strict=True):
        message = proto.instructions.add(
            name=i.name,
            opcode=i.opcode,
            id=number,
            operand_ids=[own[o] for o in i.operands],
            called_computation_ids=[ids[c] for c in i.calls],
        )
        write_shape(i.shape, message.shape)
        for name, value in i.attrs:
            OVERRIDES.get((i.opcode, name), CODECS[name]).write(message, value)
        if i.metadata != NO_METADATA:
            _write_metadata(i.metadata, message.metadata)
    proto.root_id = own[computation.root]
    for position in computation.parameters:
        parameter = computation.instructions[position]
        write_shape(parameter.shape, proto.program_shape.parameters.add())
        proto.program_shape.parameter_names.append(parameter.name)
    write_shape(computation.instructions[computation.root].shape, proto.program_shape.result)


def _write_metadata(metadata: Metadata, proto: Any) -> None:
    proto.op_type, proto.op_name = metadata.op_type, metadata.op_name
    proto.source_file, proto.source_line = metadata.source_file, metadata.source_line
