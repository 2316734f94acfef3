"""Models, as nrt.h has them: loaded on cores, asked about, executed."""

from __future__ import annotations

from runtime import placement
from runtime.core import machine
from runtime.kernels.kind import UnsupportedInstructionError
from runtime.model import Model, load_file, read
from runtime.nrt.state import core_of, cores_of
from runtime.nrt.tensor import Bytes, Tensor, TensorSet, flat
from runtime.nrt.types import DATA_TYPES, DataType, TensorInfo
from runtime.status import NeuronRuntimeError, Status


def nrt_load(neff: Bytes, vnc: int = -1, vnc_count: int = -1) -> Model:
    """Load a NEFF's bytes on `vnc_count` cores from `vnc` on; -1 is the least used, -1 is one.

    The bytes are used as they lie and must not change while the model is loaded.
    """
    cores_of("nrt_load")
    if vnc != -1:
        core_of("nrt_load", vnc)
    file = read(flat("nrt_load", neff).data)
    try:
        cores = placement.cores(vnc, vnc_count, file.header.num_tpb)
    except ValueError as error:
        raise NeuronRuntimeError("nrt_load", Status.NRT_LOAD_NOT_ENOUGH_NC, str(error)) from error
    try:
        return load_file(file, cores)
    except UnsupportedInstructionError as error:
        raise NeuronRuntimeError("nrt_load", Status.NRT_INVALID, str(error)) from error


def nrt_unload(model: Model) -> None:
    """Give the cores' memory back, once what runs has ended."""
    _known("nrt_unload", model).unload()


def _known(call: str, model: Model) -> Model:
    cores_of(call)
    if not model.cores:
        raise NeuronRuntimeError(call, Status.NRT_INVALID_HANDLE, f"model {model.name} is unloaded")
    return model


def nrt_execute(model: Model, inputs: TensorSet, outputs: TensorSet) -> None:
    """Run once. Raises with NRT_INVALID for a tensor that is missing or of the wrong size."""
    _run("nrt_execute", model, inputs, outputs)


def nrt_execute_repeat(model: Model, inputs: TensorSet, outputs: TensorSet, count: int) -> None:
    """Run `count` times; each output is the input of the same place in the next run."""
    call = "nrt_execute_repeat"
    _known(call, model)
    if count < 1:
        raise NeuronRuntimeError(call, Status.NRT_INVALID, f"count must be at least 1, got {count}")
    if [spec[1:] for spec in model.inputs] != [spec[1:] for spec in model.outputs]:
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, "the model must have an output like each input, in order"
        )
    pairs = list(zip(model.inputs, model.outputs, strict=True))
    _run(call, model, inputs, outputs)
    for _ in range(count - 1):
        for given, made in pairs:
            inputs[given[0]].write(call, 0, outputs[made[0]].data(call))
        _run(call, model, inputs, outputs)


def _run(call: str, model: Model, inputs: TensorSet, outputs: TensorSet) -> None:
    _known(call, model)
    info = nrt_get_model_tensor_info(model)
    given = [_matching(call, model, i, inputs).data(call) for i in info if not i.usage]
    targets = [_matching(call, model, i, outputs) for i in info if i.usage]
    for target, made in zip(targets, model.execute([g.data for g in given]), strict=True):
        target.write(call, 0, made)


def _matching(call: str, model: Model, info: TensorInfo, tensors: TensorSet) -> Tensor:
    """The tensor of a set for an input or output, of just its size."""
    what = f"model {model.name}: {'output' if info.usage else 'input'} {info.name!r}"
    if info.name not in tensors:
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, f"{what} must be in the tensor set, got {sorted(tensors)}"
        )
    tensor = tensors[info.name]
    size = tensor.data(call).size
    if size != info.size:
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, f"{what} must have {info.size} bytes, got {size}"
        )
    return tensor


def nrt_get_model_tensor_info(model: Model) -> tuple[TensorInfo, ...]:
    """The inputs of a model, then its outputs. A scalar has the shape [1]."""
    _known("nrt_get_model_tensor_info", model)
    found = []
    for usage, specs, shapes in (
        (0, model.inputs, model.input_shapes),
        (1, model.outputs, model.output_shapes),
    ):
        for (name, dtype, dims), shape in zip(specs, shapes, strict=True):
            kind = DATA_TYPES.get(dtype, DataType.UNKNOWN)
            found.append(TensorInfo(name, usage, shape.bytes, kind, dims or (1,)))
    return tuple(found)


def nrt_get_model_instance_count(model: Model) -> int:
    """How often a model is on the cores: as many executions can run at once."""
    return len(_known("nrt_get_model_instance_count", model).cores) // model.size


def nrt_get_model_vnc_count(model: Model) -> int:
    """How many logical cores one execution takes: one, but for a pipeline."""
    return _known("nrt_get_model_vnc_count", model).size


def nrt_get_model_nc_count(model: Model) -> int:
    """How many physical cores one execution takes."""
    return nrt_get_model_vnc_count(model) * machine().layout.logical


def nrt_get_model_info(model: Model) -> int:
    """The first core of a model."""
    return _known("nrt_get_model_info", model).cores[0]
