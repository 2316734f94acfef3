"""The metaneff: names, shapes and types of a model's tensors as a framework sees them.

Message and field names are those that public client code uses (`MetaNeff.input_tensors`,
`.output_tensors`, `.output_aliases_to`; `MetaTensor.name`, `.shape`, `.data_type`); the field
numbers, which are not published, are ours.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from neff.program import Kind, Program, Variable

_FIELD = descriptor_pb2.FieldDescriptorProto
# The type a tensor has for the framework, by HLO element type.
_ELEMENT_TYPES = (
    *("pred", "u8", "s8", "s16", "u16", "s32", "u32", "s64", "u64", "f16", "bf16", "f32", "f64"),
    *("c64", "c128", "f8e4m3", "f8e4m3fn", "f8e5m2", "f8e3m4", "s4", "u4", "s2", "u2"),
)
DATA_TYPES: dict[str, int] = {name: n for n, name in enumerate(_ELEMENT_TYPES, start=1)}


def _schema() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="metaneff.proto", package="neuron_emulator", syntax="proto3"
    )
    tensor = file.message_type.add(name="MetaTensor")
    _add(tensor, "name", 1, _FIELD.TYPE_BYTES)
    _add(tensor, "shape", 2, _FIELD.TYPE_INT64, repeated=True)
    _add(tensor, "data_type", 3, _FIELD.TYPE_INT32)
    meta = file.message_type.add(name="MetaNeff")
    for number, name in ((1, "input_tensors"), (2, "output_tensors")):
        _add(meta, name, number, _FIELD.TYPE_MESSAGE, repeated=True, type_name="MetaTensor")
    entry = meta.nested_type.add(name="OutputAliasesToEntry")
    entry.options.map_entry = True
    _add(entry, "key", 1, _FIELD.TYPE_INT32)
    _add(entry, "value", 2, _FIELD.TYPE_INT32)
    aliases = "MetaNeff.OutputAliasesToEntry"
    _add(meta, "output_aliases_to", 3, _FIELD.TYPE_MESSAGE, repeated=True, type_name=aliases)
    return file


def _add(
    message: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    kind: int,
    *,
    repeated: bool = False,
    type_name: str = "",
) -> None:
    field = message.field.add(name=name, number=number, type=kind)
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if type_name:
        field.type_name = f".neuron_emulator.{type_name}"


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_schema())
MetaNeff: Any = message_factory.GetMessageClass(
    _pool.FindMessageTypeByName("neuron_emulator.MetaNeff")
)


def write_metaneff(program: Program) -> bytes:
    """The serialized MetaNeff of a program; the same program gives the same bytes."""
    meta = MetaNeff()
    for variable in program.inputs:
        if variable.kind is not Kind.WEIGHT:
            _describe(meta.input_tensors.add(), variable)
    for variable in program.outputs:
        _describe(meta.output_tensors.add(), variable)
    for output, number in program.aliases:
        meta.output_aliases_to[output] = number
    data: bytes = meta.SerializeToString(deterministic=True)
    return data


def _describe(tensor: Any, variable: Variable) -> None:
    tensor.name = variable.name.encode()
    tensor.shape.extend(variable.shape.dims)
    tensor.data_type = DATA_TYPES[variable.shape.dtype]
