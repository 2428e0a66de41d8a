"""Products with weights in other formats: the kernels that would run in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .edit import TRANSPOSES, GraphEdit, Node, operand, tensor
from .formats import Format, WhatIfError

METADATA_COLUMNS = 16  # four groups of four, two bits for each of two kept: 16 bits
_CONVOLUTIONS = {"aten.conv1d": 1, "aten.conv2d": 2, "aten.conv3d": 3}


@dataclass(frozen=True)
class Product:
    """A product of activations with a weight.

    Attributes:
        node: what runs it.
        input: the activations.
        weight: the parameter.
        bias: what is added, None for nothing.
        turned: whether the weight lies as [inputs, outputs].
        axes: of a convolution's window; 0 for a matrix product.
    """

    node: Node
    input: int
    weight: int
    bias: int | None
    turned: bool = False
    axes: int = 0


def product_of(edit: GraphEdit, node: Node) -> Product | None:
    """The product with a weight that a node runs; None where it runs none."""
    op = node["op"].rpartition(".")[0]
    if op == "aten.linear" or op in _CONVOLUTIONS:
        weight = operand(node, "weight")
        found = operand(node, "input")
        if weight is None or found is None or edit.tensors[weight]["role"] != "parameter":
            return None
        return Product(node, found, weight, operand(node, "bias"), axes=_CONVOLUTIONS.get(op, 0))
    names = {"aten.addmm": ("mat1", "mat2"), "aten.mm": ("self", "mat2"), "aten.matmul": ("self", "other")}.get(op)
    if names is None:
        return None
    found, second = operand(node, names[0]), operand(node, names[1])
    if found is None or second is None or len(edit.tensors[second]["shape"]) != 2:  # noqa: PLR2004 - a matrix
        return None
    made = edit.made_by.get(second)
    turned = made is None or not made["op"].startswith(TRANSPOSES)
    weight = second if made is None else operand(made, "self")
    if weight is None or edit.tensors[weight]["role"] != "parameter":
        return None
    bias = operand(node, "self") if op == "aten.addmm" else None
    return Product(node, found, weight, bias, turned)


class Quantiser:
    """Puts products into formats; a weight that several products share is quantised once.

    Args:
        edit: the graph.
        kernels: whose: `"engine"` or `"torchao"`.
    """

    def __init__(self, edit: GraphEdit, kernels: str = "engine") -> None:
        self._edit = edit
        self._kernels = kernels
        self._weights: dict[tuple[int, Format], dict[str, tuple[str, int]]] = {}
        self._casts: dict[tuple[int, str], int] = {}

    def quantise(self, product: Product, form: Format) -> None:
        """What runs in the place of a product, before and after it included."""
        if form.semi_structured:
            args = {"input": tensor(product.input), **self._weight(product, form)}
            self._edit.replace(product.node, "pyinfercost.linear_semi_structured.default", args)
        elif form.is_cast:
            self._cast(product, form)
        elif self._kernels == "torchao":
            from .torchao import CHAINS, Chain

            if product.axes or product.turned or form.name not in CHAINS:
                raise WhatIfError(f"kernels='torchao' has {', '.join(CHAINS)} of linear layers, not {form.name} of all")
            CHAINS[form.name](Chain(self._edit, product, self._weight(product, form)))
        elif product.axes:
            self._convolution(product, form)
        elif form.activation is None:
            args = {"input": tensor(product.input), **self._weight(product, form)}
            if form.group is not None:
                args["group_size"] = ("int", form.group)
            self._edit.replace(product.node, "pyinfercost.linear_weight_only.default", args)
        else:
            args = {"input": tensor(self._activation(product, form)), **self._weight(product, form)}
            self._edit.replace(product.node, "pyinfercost.linear_quantised.default", args)

    def _activation(self, product: Product, form: Format) -> int:
        """The activations in the narrow dtype, by a kernel that runs before the product."""
        edit, given = self._edit, edit_shape(self._edit, product.input)
        shape = [*given[:-1], narrow_length(given[-1], form.values)]
        narrow = edit.add_tensor(form.dtype, shape)
        if form.activation == "static":
            edit.insert("aten.quantize_per_tensor.default", product.node, {"self": tensor(product.input)}, [narrow])
            return narrow
        scales = [*given[:-1], 1 if form.group is None else groups_of(given[-1], form.group)]
        scale = edit.add_tensor(form.scale or "float32", scales)
        edit.insert(
            "pyinfercost.quantize_rows.default", product.node, {"input": tensor(product.input)}, [narrow, scale]
        )
        return narrow

    def _weight(self, product: Product, form: Format) -> dict[str, Any]:
        """The arguments that a product has in the place of its weight."""
        key = (product.weight, form)
        if key not in self._weights:
            self._weights[key] = self._make_weight(product, form)
        args: dict[str, Any] = dict(self._weights[key])
        if product.bias is not None:
            args["bias"] = tensor(product.bias)
        return args

    def _make_weight(self, product: Product, form: Format) -> dict[str, tuple[str, int]]:
        edit = self._edit
        old = edit.tensors[product.weight]
        shape = list(old["shape"])
        if product.turned:
            shape.reverse()
        rows, columns = shape[0], shape[1:]
        stands_for = old.get("stands_for", _count(old["shape"]))
        if form.semi_structured:
            return self._half(product, rows, columns[0], stands_for)
        if form.values > 1 and columns[-1] % form.values:
            raise WhatIfError(
                f"{old.get('name')!r} has rows of {columns[-1]}; {form.name} packs {form.values} weights into a byte"
            )
        narrow = [rows, *columns[:-1], columns[-1] // form.values]
        name = old.get("name", "weight")
        weight = edit.add_tensor(
            form.dtype, narrow, role="parameter", name=f"{name}.{form.name}", stands_for=stands_for
        )
        args = {"weight": tensor(weight)}
        scales = [rows, 1 if form.group is None else -(-_count(columns) // form.group)]
        for kind, dtype in (("scale", form.scale), ("zero_point", form.zero)):
            if dtype is not None:
                beside = edit.add_tensor(dtype, scales, role="parameter", name=f"{name}.{kind}", stands_for=0)
                args[f"weight_{kind}"] = tensor(beside)
        return args

    def _half(self, product: Product, rows: int, columns: int, stands_for: int) -> dict[str, tuple[str, int]]:
        """The weights that are kept, and two bits for each that say where in its four it was."""
        edit = self._edit
        old = edit.tensors[product.weight]
        name = old.get("name", "weight")
        if columns % METADATA_COLUMNS:
            raise WhatIfError(f"{name!r} has rows of {columns}; kernels of 2:4 take multiples of {METADATA_COLUMNS}")
        kept = edit.add_tensor(
            old["dtype"], [rows, columns // 2], role="parameter", name=f"{name}.kept", stands_for=stands_for
        )
        places = edit.add_tensor(
            "int16", [rows, columns // METADATA_COLUMNS], role="parameter", name=f"{name}.places", stands_for=0
        )
        return {"weight": tensor(kept), "places": tensor(places)}

    def _convolution(self, product: Product, form: Format) -> None:
        if form.dtype != "int8" or form.activation is None:
            raise WhatIfError(
                f"{form.name} is a format of matrix products; convolutions have int8_dynamic, int8_static"
            )
        args = {name: value for name, value in product.node["args"].items() if name not in ("input", "weight", "bias")}
        op = f"quantized.conv{product.axes}d"
        if form.activation == "static":
            shape = edit_shape(self._edit, product.input)
            narrow = self._edit.add_tensor(form.dtype, shape)
            self._edit.tensors[narrow]["strides"] = list(self._edit.tensors[product.input]["strides"])
            given = {"self": tensor(product.input)}
            self._edit.insert("aten.quantize_per_tensor.default", product.node, given, [narrow])
            args["qx"] = tensor(narrow)
        else:
            op += "_dynamic"
            args["qx"] = tensor(product.input)
        self._edit.replace(product.node, f"{op}.default", {**args, **self._weight(product, form)})

    def _cast(self, product: Product, form: Format) -> None:
        """The product in a narrower float: weights are stored in it, activations are cast before and after."""
        edit, node = self._edit, product.node
        old = edit.tensors[product.weight]
        key = (product.weight, form.dtype)
        if key not in self._casts:
            self._casts[key] = edit.add_tensor(
                form.dtype,
                list(old["shape"]),
                role="parameter",
                name=f"{old.get('name', 'weight')}.{form.name}",
                stands_for=old.get("stands_for"),
            )
        narrow = edit.add_tensor(form.dtype, edit_shape(edit, product.input))
        edit.insert("aten._to_copy.default", node, {"self": tensor(product.input)}, [narrow])
        result = edit.add_tensor(form.dtype, edit_shape(edit, node["outputs"][0]))
        args = {"input": tensor(narrow), "weight": tensor(self._casts[key])}
        if product.bias is not None:
            args["bias"] = tensor(product.bias)
        op = "aten.linear.default"
        if product.axes:
            op, args = node["op"], {**node["args"], **args}
        elif product.turned:
            op, args = "aten.matmul.default", {"self": args["input"], "other": args["weight"]}
        edit.insert(op, node, args, [result])
        edit.replace(node, "aten._to_copy.default", {"self": tensor(result)})


def edit_shape(edit: GraphEdit, t: int) -> list[Any]:
    """The lengths of a tensor."""
    return list(edit.tensors[t]["shape"])


def narrow_length(length: Any, values: int) -> Any:
    """Elements that hold so many values."""
    if values == 1:
        return length
    return length // values if isinstance(length, int) else f"({length})//{values}"


def groups_of(length: Any, group: int) -> Any:
    """Groups of a row of so many values."""
    return -(-length // group) if isinstance(length, int) else f"({length}+{group - 1})//{group}"


def _count(shape: list[Any]) -> int:
    total = 1
    for length in shape:
        total *= int(length)
    return total
