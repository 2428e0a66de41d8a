"""The compiled core: what a graph asks for (Work), and what a machine makes of it (Estimate)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

class Error(Exception):
    """Base of all errors that pyinfercost raises."""

class InputError(Error, ValueError):
    """A value, file or entry that is not valid."""

class InputTypeError(Error, TypeError):
    """A value of the wrong type."""

class InputIndexError(Error, IndexError):
    """An index beyond the last entry."""

class CountOverflowError(Error, OverflowError):
    """A total that does not fit 64 bits."""

class StateError(Error, RuntimeError):
    """A call that the state of an object, a process or a device does not allow."""

class LayoutError(InputError):
    """A layout whose numbers do not fit each other, or the model."""

@final
class StopFlag:
    """Ends calculations in other threads: those that watch it raise KeyboardInterrupt."""

    def __init__(self) -> None: ...
    def set(self) -> None:
        """End the calculations of all threads that watch this flag."""

    def watch(self) -> None:
        """Let this flag end the calculations of the current thread, from now on."""

def raise_if_stopped() -> None:
    """Raise KeyboardInterrupt if the flag that the current thread watches is set."""

@final
class Expr:
    """An immutable integer expression over named sizes.

    Built from an int, from text such as "2*batch*sequence", or from Expr.size(name), with
    + - * // % and maximum, minimum, ceil_div. Named sizes are at least 1. Arithmetic is exact and
    raises OverflowError where 64 bits do not suffice.
    """

    def __init__(self, value: int | str) -> None: ...
    @staticmethod
    def size(name: str) -> Expr:
        """The size of that name."""
    @staticmethod
    def maximum(left: Expr | int, right: Expr | int) -> Expr:
        """The larger of two."""
    @staticmethod
    def minimum(left: Expr | int, right: Expr | int) -> Expr:
        """The smaller of two."""
    @staticmethod
    def ceil_div(left: Expr | int, right: Expr | int) -> Expr:
        """The quotient, rounded up."""
    @property
    def is_constant(self) -> bool:
        """Whether it depends on no size."""
    @property
    def names(self) -> list[str]:
        """The sizes that it depends on."""
    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The value for these sizes; ValueError if one is missing."""
    def evaluate_columns(self, sizes: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """The values for whole columns of sizes: int64 arrays of one length."""
    def substitute(self, sizes: Mapping[str, int]) -> Expr:
        """Replaces the sizes that are given and keeps the others."""
    def __add__(self, other: Expr | int) -> Expr: ...
    def __radd__(self, other: Expr | int) -> Expr: ...
    def __sub__(self, other: Expr | int) -> Expr: ...
    def __rsub__(self, other: Expr | int) -> Expr: ...
    def __mul__(self, other: Expr | int) -> Expr: ...
    def __rmul__(self, other: Expr | int) -> Expr: ...
    def __floordiv__(self, other: Expr | int) -> Expr: ...
    def __rfloordiv__(self, other: Expr | int) -> Expr: ...
    def __mod__(self, other: Expr | int) -> Expr: ...
    def __rmod__(self, other: Expr | int) -> Expr: ...
    def __neg__(self) -> Expr: ...
    def __int__(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

Quantity = int | Expr
"""A plain int once every named size in it is bound, an Expr before."""

@final
class TensorId:
    """A tensor as an argument or a result of a node, by its number."""

    def __init__(self, index: int) -> None: ...
    @property
    def index(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@final
class TensorInfo:
    """A tensor of a graph."""

    @property
    def index(self) -> int:
        """Its number in the graph."""
    @property
    def dtype(self) -> str:
        """As torch spells it."""
    @property
    def shape(self) -> tuple[Quantity, ...]:
        """Lengths, ints or expressions in named sizes."""
    @property
    def strides(self) -> tuple[Quantity, ...]:
        """In elements."""
    @property
    def role(self) -> str:
        """`input`, `parameter`, `buffer`, `constant`, `activation` or `kv_cache`."""
    @property
    def name(self) -> str:
        """Of a parameter, a buffer or an input."""
    @property
    def logical_numel(self) -> int | None:
        """Elements of the weight that are stored in it: of a packed weight more than it has, of a scale 0.

        None for its own number.
        """
    @property
    def storage_elements(self) -> int | None:
        """Elements of the larger storage that a view alone keeps alive."""
    @property
    def nbytes(self) -> Quantity:
        """Bytes of its elements."""

@final
class NodeInfo:
    """A call of an operator: what a rule is given."""

    @property
    def index(self) -> int:
        """Its number in the graph."""
    @property
    def op(self) -> str:
        """Namespace and name, such as `aten.conv2d`."""
    @property
    def overload(self) -> str:
        """Such as `default`."""
    @property
    def module(self) -> str:
        """Path of the module that calls it."""
    @property
    def source(self) -> str:
        """The line of the model that calls it, where that is known."""
    @property
    def phase(self) -> str:
        """`forward` or `backward`."""
    @property
    def args(self) -> dict[str, Any]:
        """Arguments by their names in the schema."""
    def argument(self, name: str, otherwise: Any = None) -> Any:
        """Return one argument, tensors as their numbers; `otherwise` if it is not given or None."""
    def operand(self, *names: str) -> int | None:
        """Return the number of the tensor that is given by the first of these names."""
    @property
    def operands(self) -> list[int]:
        """Numbers of the tensors that it reads, in argument order."""
    @property
    def results(self) -> list[int]:
        """Numbers of the tensors that it returns."""
    @property
    def inputs(self) -> list[TensorInfo]:
        """Tensors that it is given."""
    @property
    def outputs(self) -> list[TensorInfo]:
        """Tensors that it returns."""

@final
class GraphBuilder:
    """Builds one Graph: declare sizes and tensors, add nodes in execution order, build."""

    def __init__(self, model: str = "") -> None: ...
    def size(
        self,
        name: str,
        *,
        default: Quantity,
        minimum: int = 1,
        maximum: Quantity | None = None,
        origin: str = "",
        role: str | None = None,
    ) -> Expr:
        """Declare a named size and return it as an Expr.

        Roles are `batch` (one size at most), `sequence`, `context`, `channel`, `data` and `other`. By default the name
        gives it: `batch`, `sequence` or `seq`, `context`, `data` for a name with a dot, else `other`. A size of role
        `data` has an origin, and its default and bound may be in sizes declared before. A size with a dot in its name
        may be 0.
        """
    def guard(self, left: Quantity, relation: str, right: Quantity) -> None:
        """Adds a condition on sizes that the forward took for granted, such as `(batch, '>=', 2)`."""
    def tensor(
        self,
        dtype: str,
        shape: Sequence[Quantity],
        *,
        strides: Sequence[Quantity] | None = None,
        role: str = "activation",
        name: str = "",
        logical_numel: int | None = None,
        storage_elements: int | None = None,
    ) -> TensorId:
        """Declare a tensor.

        Roles: input, parameter, buffer, constant, activation, kv_cache. `logical_numel` is the number of the weight's
        elements that a part of a packed weight stores; `storage_elements` is the size of a larger storage that this
        view alone keeps alive.
        """
    def node(
        self,
        op: str,
        args: Mapping[str, Any],
        outputs: Sequence[TensorId],
        *,
        module: str = "",
        source: str = "",
        phase: str = "forward",
    ) -> int:
        """Adds one op call, `namespace.name.overload`, with its arguments by schema name; returns its index."""
    def build(
        self,
        inputs: Sequence[TensorId],
        outputs: Sequence[TensorId],
        *,
        held_until: Sequence[int | None] | None = None,
    ) -> Graph:
        """Validates and returns the Graph; ValueError says what is wrong with it.

        `held_until` has for each tensor the last node that runs while something holds it, or None where that is not
        known.
        """

@final
class GraphRewriter:
    """Makes another graph of a graph. Nodes and tensors keep the numbers of the first graph until `build`.

    A tensor is given by its number, a `TensorId` or a `TensorInfo`; among the arguments of a node, where a number is an
    integer argument, by one of the latter two.
    """

    def __init__(self, graph: Graph) -> None: ...
    def size(
        self,
        name: str,
        *,
        default: Quantity,
        minimum: int = 1,
        maximum: Quantity | None = None,
        origin: str = "",
        role: str | None = None,
    ) -> Expr:
        """Declare a named size, as `GraphBuilder.size` does."""
    def set_role(self, size: str, role: str) -> None:
        """Give a named size another role."""
    def set_default(self, size: str, value: int) -> None:
        """Give a named size another default."""
    def guard(self, left: Quantity, relation: str, right: Quantity) -> None:
        """Add a condition on sizes, as `GraphBuilder.guard` does."""
    def bind(self, sizes: Mapping[str, int]) -> None:
        """Replace named sizes by numbers everywhere and remove them."""
    def tensor(
        self,
        dtype: str,
        shape: Sequence[Quantity],
        *,
        strides: Sequence[Quantity] | None = None,
        role: str = "activation",
        name: str = "",
        logical_numel: int | None = None,
        storage_elements: int | None = None,
    ) -> TensorId:
        """Declare a tensor, as `GraphBuilder.tensor` does."""
    def dtype(self, tensor: int | TensorId | TensorInfo) -> str:
        """Return the dtype of a tensor as it is now."""
    def shape(self, tensor: int | TensorId | TensorInfo) -> tuple[Quantity, ...]:
        """Return the lengths of a tensor as they are now."""
    def strides(self, tensor: int | TensorId | TensorInfo) -> tuple[Quantity, ...]:
        """Return the strides of a tensor as they are now, in elements."""
    def set_dtype(self, tensor: int | TensorId | TensorInfo, dtype: str) -> None:
        """Give a tensor another dtype."""
    def set_shape(
        self,
        tensor: int | TensorId | TensorInfo,
        shape: Sequence[Quantity],
        *,
        strides: Sequence[Quantity] | None = None,
    ) -> None:
        """Give a tensor other lengths and strides; without strides it is row-major."""
    def drop_if_unread(self, tensor: int | TensorId | TensorInfo) -> None:
        """Remove a tensor at `build` if nothing reads it, and its node if that is so for all results of it."""
    def insert_before(
        self, node: int, op: str, args: Mapping[str, Any], outputs: Sequence[TensorId | TensorInfo]
    ) -> None:
        """Insert a node right before a node of the first graph, whose module, source and phase it gets."""
    def insert_after(
        self, node: int, op: str, args: Mapping[str, Any], outputs: Sequence[TensorId | TensorInfo]
    ) -> None:
        """Insert a node right after a node of the first graph, whose module, source and phase it gets."""
    def replace(self, node: int, op: str, args: Mapping[str, Any]) -> None:
        """Run another op with the same results."""
    def set_argument(self, node: int, name: str, value: Any) -> None:
        """Set one argument of a node."""
    def replace_operands(self, node: int, replaced: Mapping[int, int | TensorId | TensorInfo]) -> None:
        """Read other tensors in one node: old -> new."""
    def redirect(self, old: int | TensorId | TensorInfo, now: int | TensorId | TensorInfo) -> None:
        """Read another tensor in all nodes of the first graph, and among the results of the graph.

        A tensor that is no result anymore lives until its last use.
        """
    def return_instead(self, old: int | TensorId | TensorInfo, now: int | TensorId | TensorInfo) -> None:
        """Return another tensor among the results of the graph; nodes read what they have read."""
    def remove(self, node: int) -> None:
        """Remove a node. Inserted nodes may make its results; results without maker and reader go too."""
    def build(self) -> Graph:
        """Validate and return the graph; ValueError says what is wrong with it.

        A lifetime ends where it did in the first graph, or at the last node that uses the tensor now.
        """

@final
class Graph:
    """One forward pass: op calls, tensors, named sizes. Immutable."""

    @property
    def model(self) -> str:
        """What was captured."""
    @property
    def sizes(self) -> dict[str, dict[str, Any]]:
        """Named sizes: each with its `default`, `minimum`, `maximum`, `role` and, for role `data`, `origin`."""
    def size_of_role(self, role: str) -> str | None:
        """Return the name of the first size of a role; a graph has at most one of role `batch`."""
    def depends_on_data(self, size: str) -> bool:
        """Return whether a size has role `data`: its value follows from values in a forward."""
    def size_values(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """A value for every named size: those given, and defaults for the others."""
    @property
    def guards(self) -> list[str]:
        """Conditions on sizes that the captured forward took for granted."""
    @property
    def trains(self) -> bool:
        """Whether the graph is of a training step."""
    @property
    def first_backward(self) -> int:
        """The first node of the backward pass, which follows the forward; the number of nodes without one."""
    @property
    def node_count(self) -> int:
        """How many calls of operators."""
    @property
    def tensor_count(self) -> int:
        """How many tensors."""
    @property
    def nodes(self) -> list[NodeInfo]:
        """All calls, in execution order."""
    @property
    def tensors(self) -> list[TensorInfo]:
        """All tensors, by number."""
    @property
    def inputs(self) -> list[TensorInfo]:
        """Tensors that the forward is given."""
    @property
    def outputs(self) -> list[TensorInfo]:
        """Tensors that it returns."""
    def node(self, index: int) -> NodeInfo:
        """One call, by its number."""
    def tensor(self, index: int) -> TensorInfo:
        """One tensor, by its number."""
    @property
    def held_until(self) -> list[int | None] | None:
        """For each tensor the last node that runs while something holds it, or None.

        None as a whole where lifetimes were not observed.
        """
    def without_lifetimes(self) -> Graph:
        """The same graph without `held_until`: memory is then counted to the last use of each storage."""
    def structure(self) -> str:
        """Return a digest of 32 hexadecimal digits: graphs with equal ones differ only in names.

        Numbers in the paths of modules and names of weights do not count, nor do source lines: equal layers at other
        places of a model have equal digests.
        """
    def op_counts(self) -> dict[str, int]:
        """How often each operator is called."""
    def to_dict(self) -> dict[str, Any]:
        """Return the document of `to_json` as dicts and lists."""
    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Graph:
        """Return the graph of a document of `to_dict`."""
    def to_json(self) -> str:
        """Return the graph as JSON text, which `capture`, the command line and C++ programs read."""
    @staticmethod
    def from_json(text: str) -> Graph:
        """Return the graph of a text of `to_json`.

        Raises:
            ValueError: the text is not JSON, has a missing or an unknown key, or is no valid graph; the message names
                the entry, its value and what was expected.
            OverflowError: an integer does not fit 64 bits.
        """
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __len__(self) -> int: ...

@final
class Work:
    """What one node asks of any machine. FLOPs count a multiply-accumulate as 2."""

    def __init__(
        self,
        *,
        contraction_flops: Quantity = 0,
        pointwise_flops: Quantity = 0,
        bytes_read: Quantity = 0,
        bytes_written: Quantity = 0,
        kind: str = "pointwise",
        dtype: str = "float32",
    ) -> None: ...
    @property
    def kind(self) -> str:
        """What kind of kernel it is: `gemm`, `convolution`, `attention`, `pointwise`, ..."""
    @property
    def dtype(self) -> str:
        """Of the operands of the arithmetic."""
    @property
    def contraction_flops(self) -> Quantity:
        """Twice the multiply-accumulates of products, convolutions and attention, dense."""
    @property
    def pointwise_flops(self) -> Quantity:
        """Everything else."""
    @property
    def causal_flops(self) -> Quantity:
        """Contractions without what a causal mask hides."""
    @property
    def bytes_read(self) -> Quantity:
        """Bytes that it reads."""
    @property
    def bytes_written(self) -> Quantity:
        """Bytes that it writes."""
    @property
    def bytes_by_role(self) -> dict[str, Quantity]:
        """The same by role, such as `weight` or `kv_cache`, and direction."""
    @property
    def bytes_sent(self) -> Quantity:
        """Bytes that leave the device over its links, of a collective."""
    @property
    def dimensions(self) -> dict[str, Quantity]:
        """Lengths of a product, a convolution, an attention or of rows, as far as it has them."""
    def __getstate__(self) -> tuple[Any, ...]: ...

@final
class CountRow:
    """One line of Counts: the whole model, a module, an op, or a single node."""

    @property
    def nodes(self) -> int:
        """Calls of operators."""
    @property
    def contraction_flops(self) -> Quantity:
        """FLOPs of products, convolutions and attention, dense."""
    @property
    def pointwise_flops(self) -> Quantity:
        """FLOPs of everything else."""
    @property
    def causal_flops(self) -> Quantity:
        """Contractions without what causal masks hide."""
    @property
    def flops(self) -> Quantity:
        """Contraction and pointwise together."""
    @property
    def macs(self) -> Quantity:
        """Half of `contraction_flops`."""
    @property
    def parameters(self) -> Quantity:
        """Weights, each once."""
    @property
    def parameter_bytes(self) -> Quantity:
        """Bytes of them."""
    @property
    def buffer_bytes(self) -> Quantity:
        """Bytes of buffers."""
    @property
    def bytes_read(self) -> Quantity:
        """Bytes that operators read."""
    @property
    def bytes_written(self) -> Quantity:
        """Bytes that they write."""
    @property
    def bytes_by_role(self) -> dict[str, Quantity]:
        """The same by role and direction."""
    @property
    def bytes_sent(self) -> Quantity:
        """Bytes that collectives send to other devices."""
    @property
    def peak_activation_bytes(self) -> Quantity:
        """Activations and workspaces at the worst moment."""
    @property
    def peak_memory_bytes(self) -> Quantity:
        """The same with weights, buffers and inputs."""
    def to_dict(self) -> dict[str, Quantity]:
        """All of it by name."""

@final
class LayerRow:
    """One node of the graph with what it asks for."""

    @property
    def index(self) -> int:
        """Number of the node in the graph."""
    @property
    def module(self) -> str:
        """Path of the module that calls it."""
    @property
    def op(self) -> str:
        """The operator."""
    @property
    def source(self) -> str:
        """The line of the model that calls it, where that is known."""
    @property
    def phase(self) -> str:
        """`forward` or `backward`."""
    @property
    def modelled(self) -> bool:
        """Whether the operator has a rule."""
    @property
    def work(self) -> Work:
        """What it asks of any machine."""
    @property
    def row(self) -> CountRow:
        """The same as a row of counts."""

@final
class HeldStorage:
    @property
    def bytes(self) -> Quantity: ...
    @property
    def tensor(self) -> int: ...
    @property
    def made_by(self) -> int: ...
    @property
    def held_until(self) -> int: ...

@final
class Memory:
    """What is held while a forward runs."""

    @property
    def peak_activation_bytes(self) -> Quantity:
        """Activations and workspaces at the worst moment."""
    @property
    def peak_memory_bytes(self) -> Quantity:
        """The same with weights, buffers and inputs."""
    @property
    def input_bytes(self) -> Quantity:
        """Bytes of inputs."""
    @property
    def saved_for_backward_bytes(self) -> Quantity:
        """Activations that autograd keeps from the forward for the backward."""
    @property
    def peak_node(self) -> int:
        """Number of the node at the peak."""
    @property
    def peak_op(self) -> str:
        """Its operator."""
    @property
    def peak_module(self) -> str:
        """Its module."""
    @property
    def timeline(self) -> list[Quantity]:
        """Bytes of activations held while each node runs."""
    @property
    def workspace(self) -> list[Quantity]:
        """Of these, the workspace of each node's own kernel."""
    @property
    def lifetimes(self) -> Literal["observed", "last_use"]:
        """Whether lifetimes were observed in a trace, or end with the last use."""
    def live(self, node: int) -> list[HeldStorage]:
        """The storages that are held while a node runs."""

@final
class Counts:
    """What a graph asks for, in total and by layer, module and op."""

    @property
    def total(self) -> CountRow:
        """The whole model."""
    @property
    def layers(self) -> list[LayerRow]:
        """One row for each call of an operator, in order."""
    def by_module(self, depth: int | None = None) -> dict[str, CountRow]:
        """Every module path down to depth (None: all) with all that lies below it; `''` is the model."""
    def by_op(self) -> dict[str, CountRow]:
        """A row for each operator."""
    def by_phase(self) -> dict[str, CountRow]:
        """`forward`, and of a training step `backward`: a row for each, which add up to the total."""
    @property
    def unmodelled(self) -> dict[str, int]:
        """Operators without a rule, and how often they are called."""
    @property
    def memory(self) -> Memory:
        """What is held, and when."""
    @property
    def nodes(self) -> int:
        """Calls of operators."""
    @property
    def modelled_nodes(self) -> int:
        """Calls of operators that have a rule."""

@final
class Rule:
    @property
    def op(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def convention(self) -> str: ...
    @property
    def relation(self) -> str: ...

def rules() -> list[Rule]: ...
def find_rule(op: str) -> Rule | None: ...
def count(
    graph: Graph,
    sizes: Mapping[str, int],
    *,
    precision: str = "native",
    overrides: Mapping[int, Work] | None = None,
    on_cpu: bool = True,
) -> Counts: ...

@final
class DType:
    """An element type: torch's name, the short name of data sheets, its width."""

    @property
    def name(self) -> str:
        """In graphs and machines: torch's, where torch has one."""
    @property
    def short_name(self) -> str:
        """Of data sheets and command lines, such as `fp16`; empty where there is none."""
    @property
    def bits(self) -> int:
        """Of an element."""
    @property
    def value_bits(self) -> int:
        """Of a value: an element may pack two."""
    @property
    def floating(self) -> bool:
        """Whether it is a real float."""

def dtypes() -> list[DType]:
    """Return the element types that graphs and machines know, widest floats first."""

@final
class CalibrationConstant:
    """A constant that calibration files may set."""

    @property
    def tables(self) -> list[str]:
        """The tables of a file that have it: `tiles_matrix`, `kernel.softmax`."""
    @property
    def key(self) -> str:
        """Its key in each of them; `{engine}` and `{dtype}` stand for one of each."""
    @property
    def keys(self) -> list[str]:
        """All keys that `key` stands for."""
    @property
    def names(self) -> list[str]:
        """What they are called in base units, in the same order."""
    @property
    def unit(self) -> str:
        """Of a file; empty for a ratio."""
    @property
    def base_unit(self) -> str:
        """Of a machine; empty for a ratio."""
    @property
    def default(self) -> float | None:
        """In base units, where no file sets it; None where `meaning` says what holds."""
    @property
    def low(self) -> float:
        """Least value of a file."""
    @property
    def above(self) -> bool:
        """Whether the least value itself is refused."""
    @property
    def high(self) -> float | None:
        """Greatest value of a file."""
    @property
    def whole(self) -> bool:
        """Whether it is an integer."""
    @property
    def scope(self) -> str:
        """What there is one of it for: `machine`, `kernel class`, `engine and dtype` and so on."""
    @property
    def fallback(self) -> str:
        """Which tables set it where one of `tables` does not, in words; empty where none does."""
    @property
    def required(self) -> bool:
        """Whether the file of a kind of machine must set it."""
    @property
    def held(self) -> bool:
        """Whether a machine holds it as it is; otherwise the loader makes other figures of it."""
    @property
    def meaning(self) -> str:
        """What it is, and which mechanism of the model it sets."""

def calibration_constants() -> list[CalibrationConstant]:
    """Return the constants that calibration files may set."""

def base_constants(calibration: Mapping[str, float], *, clock_hz: float) -> dict[str, float]:
    """Return values of a calibration file by `table.key`, in base units by `table.name`."""

def calibration_value(key: str, base: float, *, clock_hz: float) -> float:
    """Return a value in base units as a calibration file writes it under `table.key`."""

HARDWARE_FILE_VERSION: int

def band_classes() -> list[str]:
    """Classes of kernels that may have a band of their own; the first is for all others."""

def check_hardware_file(text: str, *, kind: str, name: str) -> None:
    """Check the JSON of a hardware file against the schema of its kind.

    Args:
        text: The content as JSON.
        kind: `device`, `calibration` or `bands`.
        name: The file, for messages.

    Raises:
        InputError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """

@final
class DeviceFile:
    """The checked facts of a device file, in the units of the file."""

    def __init__(self, text: str, *, name: str) -> None:
        """Read the content as JSON; `name` is the file, for messages.

        Raises:
            InputError: The content does not follow the schema, or its values contradict each other.
        """
    @property
    def missing(self) -> list[str]:
        """Facts that an estimate of time needs and the file lacks; empty for a usable device."""
    def check_family(self, kind: str) -> None:
        """Raise InputError where the kind of the file's family is another kind than that of the file."""
    def machine(
        self,
        values: Mapping[str, float],
        *,
        lineage: Sequence[str],
        bands: Mapping[str, tuple[float, str]],
        measured: bool = False,
        library_int8: tuple[float, str] | None = None,
        threads: int | None = None,
        instances: int = 1,
        sustained: bool = False,
        host_s: float | None = None,
    ) -> Hardware:
        """Return the machine with the calibration constants of its family.

        Args:
            values: Constants by `table.key`, in the units of calibration files.
            lineage: The family, the families that it extends, and the kind.
            bands: Spread and evidence by class of kernels; `other` is for classes without an entry.
            measured: Whether the device's own file has constants.
            library_int8: Spread and evidence of int8 products of compilers of whole models, on a measured CPU.
            threads: Threads of a CPU, one per core; all cores by default.
            instances: Copies of a model on a CPU; the machine is the share of one.
            sustained: Whether it works without pause, at most at its power limit.
            host_s: Seconds in which the host of a GPU issues an operator; by default that of the family.

        Raises:
            InputError: A fact that estimates need is unknown, or an argument does not suit the device.
        """

@final
class Hardware:
    """A machine as data, in base units: FLOP/s (dense, multiply-accumulate = 2), bytes, seconds.

    memory lists (level, capacity in bytes over all cores, bandwidth in byte/s over all cores)
    from the innermost to 'dram'; overheads_s has dispatch, launch_gap, replay_gap and
    kernel_minimum; achieved has fractions of peaks: matrix, vector, dram, cache, and matrix_fp8
    and its like where a dtype differs; spread is the error band, as a
    fraction of latency, where constants have none of a kernel's class.
    """

    def __init__(
        self,
        *,
        id: str,
        name: str,
        kind: str,
        family: str,
        cores: float,
        clock_hz: float,
        matrix_flop_per_s: Mapping[str, float],
        vector_flop_per_s: Mapping[str, float],
        memory: Sequence[tuple[str, float, float]],
        array: tuple[float, float, float] | None = None,
        sparsity_2_4: float = 1.0,
        overheads_s: Mapping[str, float],
        achieved: Mapping[str, float],
        power_w: Mapping[str, float],
        links_byte_per_s: Mapping[str, float],
        spread: float = 0.0,
        constants: Mapping[str, float] = {},
        evidence: Mapping[str, str] = {},
        provenance: Mapping[str, str] = {},
    ) -> None: ...
    @property
    def id(self) -> str:
        """Id in the catalog, or of the file."""
    @property
    def name(self) -> str:
        """In words."""
    @property
    def kind(self) -> str:
        """`gpu`, `cpu` or `systolic`."""
    @property
    def family(self) -> str:
        """Whose constants it takes."""
    @property
    def cores(self) -> float:
        """Cores, SMs, compute units."""
    @property
    def clock_hz(self) -> float:
        """Cycles a second."""
    @property
    def matrix_flop_per_s(self) -> dict[str, float]:
        """Dense rates of the matrix unit, by dtype."""
    @property
    def vector_flop_per_s(self) -> dict[str, float]:
        """Dense rates of vector units, by dtype."""
    @property
    def memory(self) -> list[tuple[str, float, float]]:
        """Levels from the innermost to `dram`: name, bytes, bytes a second, of all cores together."""
    @property
    def memory_bytes(self) -> float:
        """Bytes of dram that programs get."""
    @property
    def bandwidth_byte_per_s(self) -> float:
        """Of dram."""
    @property
    def array(self) -> tuple[float, float, float] | None:
        """Rows, columns and number of the arrays of a systolic machine."""
    @property
    def overheads_s(self) -> dict[str, float]:
        """Seconds of dispatch, launches and the smallest kernel."""
    @property
    def achieved(self) -> dict[str, float]:
        """Which fractions of peaks are reached."""
    @property
    def constants(self) -> dict[str, float]:
        """All constants of the family that are set, as `table.name`, in base units."""
    def constant(self, name: str) -> float:
        """Return a constant in base units, with its default where the family sets none; nan where it has none.

        Raises:
            ValueError: No constant has that name; the message has the nearest one.
        """
    @property
    def power_w(self) -> dict[str, float]:
        """Watts of the sheet."""
    @property
    def links_byte_per_s(self) -> dict[str, float]:
        """Of the link to the host and between devices."""
    @property
    def sparsity_2_4(self) -> float:
        """What the matrix unit makes of 2:4 at its peak."""
    @property
    def sustained(self) -> bool:
        """Whether it is taken to be at work all the time, so that its power is a limit."""
    @property
    def spread(self) -> float:
        """Four of five measurements lie within a factor 1 + spread, where no class of kernels has its own."""
    @property
    def evidence(self) -> dict[str, str]:
        """What the band of a class of kernels rests on, in words; `other` for classes without an entry."""
    @property
    def provenance(self) -> dict[str, str]:
        """Where the figures are from, in words."""
    def __getstate__(self) -> str: ...
    def to_json(self) -> str:
        """Return the machine as JSON text that a C++ program reads with `hardware_from_json`.

        Every field is there, with its unit in the key; an infinite capacity is null.
        """
    @staticmethod
    def from_json(text: str) -> Hardware:
        """Return the machine of a text of `to_json`, with the same numbers to the last bit.

        Raises:
            ValueError: the text is not JSON, has a missing or an unknown key, or describes no possible machine.
        """
    def scaled(self, *, cores: float = 1.0, compute: float = 1.0, bandwidth: float = 1.0) -> Hardware:
        """A hypothetical machine: cores, arithmetic or bandwidths times a factor."""

def collectives() -> list[str]:
    """Return the operations that `collective_times` knows."""

def collective_kernels() -> list[str]:
    """Return the kernels that `collective_times` knows."""

def collective_words() -> dict[str, list[str]]:
    """Return the words that the columns of `collective_times` hold places of."""

def collective_times(
    op: str,
    size_bytes: NDArray[Any],
    hardware: Hardware,
    *,
    devices: int,
    nodes: int,
    dtype: str,
    kernel: str,
    execution: str,
    share: int,
    top_k: int,
    experts: int,
    token_bytes: int,
    cores: int,
) -> dict[str, Any]:
    """Estimate a collective operation for each size: `link`, and columns of seconds, byte/s and words."""

@final
class KernelHints:
    """How a library, a framework or a compiler runs a kernel; machine models need it beside Work."""

    @property
    def strided_bytes(self) -> Quantity:
        """Bytes read across the order in which the result is written."""
    @property
    def channels_first(self) -> bool:
        """Convolution or pooling: an operand or the result is NCHW."""
    @property
    def needs_layout_change(self) -> bool:
        """Group norm on NHWC input; the kernel needs NCHW."""
    @property
    def broadcast(self) -> bool:
        """Elementwise: an operand is smaller than the result."""
    @property
    def mixed_dtypes(self) -> bool:
        """Elementwise: an operand is cast to the dtype of the result."""
    @property
    def winograd_tiles_2(self) -> Quantity:
        """Tiles of 2 x 2 that cover the result of a convolution; 0 where Winograd's algorithms do not apply."""
    @property
    def winograd_tiles_4(self) -> Quantity:
        """The same with tiles of 4 x 4."""
    @property
    def row_count(self) -> Quantity:
        """Rows that the kernel goes along; 0: those of the work."""
    @property
    def row_length(self) -> Quantity:
        """Accesses to memory along each row; 0: the length of the work's rows."""
    @property
    def threads_per_row(self) -> int:
        """Threads of the block that goes along a row in a serving engine's kernel; 0 for other kernels."""
    @property
    def slow_loops(self) -> dict[str, Quantity]:
        """Loops on a CPU that cost more than their FLOPs, by name, in hundredths of an element."""
    @property
    def copied_bytes(self) -> Quantity:
        """Bytes that a CPU library copies into its own layout before a convolution."""
    @property
    def copies_input(self) -> bool:
        """Whether the kernel copies an input into the memory of a recorded graph, as on GPUs."""

@final
class Plan:
    """A Graph lowered for one way of running it; identical kernels are kept once."""

    @property
    def precision(self) -> str:
        """The dtype that it runs in."""
    @property
    def execution(self) -> str:
        """`eager`, `compiled`, `cuda_graph` or `reduce-overhead`."""
    @property
    def graph(self) -> Graph:
        """What is run: the captured graph with the nodes that the precision adds to it."""
    @property
    def names(self) -> list[str]:
        """The sizes that are open."""
    @property
    def kernel_count(self) -> int:
        """Distinct kernels."""
    @property
    def launch_count(self) -> int:
        """Launches of all of them."""
    def kernel_of_node(self, node: int) -> int:
        """The kernel that runs a node, -1 where none does (a view, or not modelled)."""
    def kernels(self) -> list[dict[str, Any]]:
        """Each distinct kernel: name, work, hints, and the nodes of each of its launches."""

@final
class PlanFamily:
    """The plans of a graph for one way of running it: sizes of 1 and sizes that depend on data are bound."""

    def __init__(
        self,
        graph: Graph,
        *,
        precision: str = "native",
        execution: str = "eager",
        overrides: Mapping[int, Work] | None = None,
        step: Mapping[str, Any] = {},
    ) -> None: ...
    def plan_for(self, sizes: Mapping[str, int]) -> Plan: ...

def plan(
    graph: Graph,
    sizes: Mapping[str, int],
    *,
    precision: str = "native",
    execution: str = "eager",
    overrides: Mapping[int, Work] | None = None,
) -> Plan: ...
def precisions() -> list[str]: ...
def executions() -> list[str]: ...
def engines() -> list[str]: ...
def compilers() -> list[str]: ...
def engine_version(engine: str) -> str: ...
def recorded_sizes(engine: str) -> list[int]: ...
def cache_pool_bytes(
    engine: str,
    on_gpu: bool,
    memory_bytes: float,
    is_a100: float,
    weight_bytes: float,
    sequence_bytes: float,
    step_bytes: float,
    prompt_bytes: float,
    chunk_bytes: float,
    vocabulary: float,
    limits: tuple[float, int, int],
) -> float: ...
def divides_memory(engine: str, on_gpu: bool) -> bool: ...
def most_step_tokens(engine: str, memory_bytes: float, is_a100: bool, limits: tuple[float, int, int]) -> int: ...
def cache_block_tokens(engine: str, on_gpu: bool) -> int: ...
def engine_sequences(engine: str, memory_bytes: float, is_a100: bool) -> int: ...
def scheduler_rules(engine: str, step_tokens: int | None = None) -> dict[str, Any] | None: ...

@final
class Layout:
    """A layout, as graphs of ranks are made for it."""

    def __init__(
        self,
        *,
        tensor: int = 1,
        pipeline: int = 1,
        expert: int = 1,
        data: int = 1,
        sequence: bool = False,
        context: int = 1,
        ulysses: bool = False,
        attention_data: int = 1,
        nodes: int = 1,
        routing: str = "unstated",
        exponent: float = 1.0,
        loads: Sequence[float] = [],
    ) -> None: ...
    def of_rank(self) -> Layout:
        """Return what the graph of one rank depends on, with the layers of all stages of a pipeline."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def kept_share(before: Graph, now: Graph) -> float:
    """Return the contraction FLOPs of a rewritten graph over those of the graph before it, at the default sizes."""

def kept_by_ranks(before: Graph, rank: Graph, ranks: int) -> float:
    """Return 1 if each product has its equal part in the graph of one of several ranks, and at most the whole.

    Otherwise the share of the first product that has not, in its equal parts if it has less; infinite if the number of
    products differs.
    """

def kept_by_stages(before: Graph, stages: Sequence[Graph]) -> float:
    """Return the contraction FLOPs of all stages of a pipeline over those of the graph that was cut."""

def expert_counts(graph: Graph) -> list[int]: ...
def evaluate(
    plan: Plan,
    sizes: Mapping[str, NDArray[np.int64]],
    hardware: Hardware,
    *,
    points: int,
    threads: int = 1,
    simd: str | None = None,
) -> dict[str, NDArray[np.float64]]: ...
def evaluate_grid(
    family: PlanFamily,
    axes: Sequence[tuple[str, NDArray[np.int64], int]],
    hardware: Hardware,
    *,
    first: int,
    points: int,
    out: Mapping[str, NDArray[np.float64]],
    threads: int = 1,
    simd: str | None = None,
) -> None: ...

@final
class DeployedGraph:
    """A graph, captured or launched, as a deployment runs it.

    Args:
        graph: The graph.
        precision: Dtype to run in.
        engine: What runs it.
        execution: How it runs.
        layout: The layout.
        micro_batches: Micro-batches of a batch that has as many items; 0 for one of each stage.
        step: Settings of an engine's steps.
        overrides: Work by node of what a machine launches, of a pipeline all stages.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        precision: str,
        engine: str,
        execution: str,
        layout: Layout,
        micro_batches: int = 0,
        step: Mapping[str, Any] = {},
        overrides: Mapping[int, Work] | None = None,
    ) -> None: ...
    def at(
        self, sizes: Mapping[str, int], machine: Hardware
    ) -> tuple[
        Plan,
        dict[str, int],
        dict[str, int],
        dict[str, int],
        dict[str, int],
        dict[str, float],
        list[dict[str, Any]],
    ]:
        """Return one point, for given sizes of the whole batch.

        Returns:
            The plan, values of all sizes, the same on the device with the largest share of the batch, those
            of the share without open sizes that depend on data, what passes the kernels at once, the columns (zeros for
            a training step in stages), and of a pipeline the fields of each `StageEstimate` without its modules.
        """

    def memory(
        self,
        sizes: Mapping[str, int],
        machine: Hardware,
        peak_bytes: float,
        *,
        limits: tuple[float, int, int],
        prompt: tuple[float, float] | None = None,
    ) -> dict[str, Any] | None:
        """Return the fields of a `MemoryUse` of the fullest stage; None without a cache.

        Args:
            sizes: Values of all sizes, for the largest share of the batch on one device.
            machine: The machine.
            peak_bytes: Peak memory of the forward.
            limits: Settings by which the engine divides the memory, as in `cache_pool_bytes`.
            prompt: Bytes of activations of the prefill before a decode step, and its sequences.
        """

@final
class DeployedPipeline:
    """The stages of a pipeline, with their plans.

    Args:
        graph: The graph of all stages.
        precision: Dtype to run in.
        execution: How it runs.
        micro_batches: Micro-batches of a batch that has as many items.
        step: Settings of an engine's steps.
        overrides: Work by node of the graph.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        precision: str,
        execution: str,
        micro_batches: int,
        step: Mapping[str, Any] = {},
        overrides: Mapping[int, Work] | None = None,
    ) -> None: ...
    @property
    def kind_of(self) -> list[int]:
        """For each stage the first one with equal costs."""
    def plans_of_stage(self, stage: int) -> PlanFamily:
        """Return the plans of a stage."""
    def prepare(self) -> None:
        """Make the plans at the default sizes; at most other sizes they are the same."""
    def evaluate(
        self,
        axes: Sequence[tuple[str, NDArray[np.int64], int]],
        hardware: Hardware,
        *,
        first: int,
        points: int,
        out: Mapping[str, NDArray[np.float64]],
        threads: int = 1,
    ) -> None:
        """Evaluate points of a grid as `evaluate_grid` does; axes are sizes of the largest share of the batch."""
    def micro_batch(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return the sizes of a micro-batch."""

@overload
def micro_batch(share: int, most: int) -> int: ...
@overload
def micro_batch(share: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the items of a micro-batch for shares of a batch, of which at most `most` pass the stages."""

def training_ends(
    forward_s: NDArray[np.float64],
    backward_s: NDArray[np.float64],
    micro_batches: NDArray[np.int64],
    *,
    schedule: str,
) -> NDArray[np.float64]: ...
def training_in_flight(schedule: str, *, stage: int, stages: int, micro_batches: int) -> int: ...
def evaluate_step_parts(
    family: PlanFamily, sizes: Mapping[str, NDArray[np.int64]], hardware: Hardware, *, points: int
) -> dict[str, Any]: ...
def simd_levels() -> list[str]: ...
def evaluate_point(plan: Plan, sizes: Mapping[str, int], hardware: Hardware) -> dict[str, float]: ...
def bounds() -> list[str]: ...
def evaluator_columns() -> list[str]: ...

@final
class Tiling:
    """How the tiles of a product fall on the cores."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
    @property
    def tiles(self) -> int:
        """Tiles of the result."""
    @property
    def parts(self) -> int:
        """Parts into which each reduction is split."""
    @property
    def rounds(self) -> int:
        """Tiles on the busiest core."""
    @property
    def filled(self) -> float:
        """Share of cores x rounds that has a tile."""

@final
class KernelEstimate:
    """One kernel on one machine at one point; times are of one launch."""

    @property
    def name(self) -> str:
        """Name of the op that leads it."""
    @property
    def kind(self) -> str:
        """Kind of its work: `gemm`, `convolution`, `attention`, `pointwise`, ..."""
    @property
    def launches(self) -> list[list[int]]:
        """Nodes of each launch."""
    @property
    def latency_s(self) -> float:
        """Seconds of one launch: `launch_s` and the longest of the other terms."""
    @property
    def compute_s(self) -> float:
        """Seconds of arithmetic."""
    @property
    def dram_s(self) -> float:
        """Seconds of traffic with dram."""
    @property
    def cache_s(self) -> float:
        """Seconds of traffic with the last cache."""
    @property
    def link_s(self) -> float:
        """Seconds of bytes between devices, of a collective."""
    @property
    def launch_s(self) -> float:
        """Seconds of starting the kernel."""
    @property
    def energy_j(self) -> float:
        """Joules of one launch; NaN where the machine's power is not known."""
    @property
    def bound(self) -> str:
        """The term that binds it, one of `bounds()`."""
    @property
    def flops(self) -> float:
        """FLOPs of one launch, dense."""
    @property
    def traffic_bytes(self) -> float:
        """Bytes that one launch reads and writes."""
    @property
    def sent_bytes(self) -> float:
        """Bytes of one launch that leave the device over its links."""
    @property
    def ideal_compute_s(self) -> float:
        """Seconds of the arithmetic alone, on all cores at the rate that they reach."""
    @property
    def stream_s(self) -> float:
        """Seconds of all bytes once, from dram as a stream."""
    @property
    def unit(self) -> Literal["matrix", "vector"]:
        """The unit that does its arithmetic."""
    @property
    def unit_dtype(self) -> str:
        """The dtype that the unit computes in."""
    @property
    def algorithm(self) -> str:
        """`tiles`, `winograd` or `direct` for products and convolutions on a GPU, else empty."""
    @property
    def tiling(self) -> Tiling | None:
        """Tiles of a product in tiles."""
    @property
    def parts_s(self) -> dict[str, float]:
        """Seconds of the parts of its terms beyond what is ideal, such as `waves` or `split`."""
    @property
    def copies_input(self) -> bool:
        """Whether it copies an input into the memory of a recorded graph."""
    @property
    def band(self) -> str:
        """The class of kernels whose error band it has, such as `tiles_fp8`; `other` for that of the machine."""
    @property
    def effect(self) -> str:
        """The main reason for its time, one of `effects()`."""
    @property
    def effect_share(self) -> float:
        """Share of its latency that the effect takes."""
    @property
    def note(self) -> str:
        """A remark for the reader, such as an engine that the machine lacks."""

def evaluate_kernels(plan: Plan, sizes: Mapping[str, int], hardware: Hardware) -> list[KernelEstimate]: ...

_Layer = TypeVar("_Layer")

class ForwardKernels:
    """The kernels of a plan on a machine at one point."""

    def __init__(self, plan: Plan, sizes: Mapping[str, int], hardware: Hardware) -> None: ...
    def layers(self, cls: Callable[..., _Layer]) -> LayerSequence[_Layer]:
        """Return the layers in the order of the graph as objects of a class, made when one of them is asked for.

        Args:
            cls: The class, which takes the fields of a `LayerEstimate` by position.
        """

    def figures(
        self, hardware: Hardware, totals: Mapping[str, float], *, devices: int, items: int, fits: bool | None
    ) -> dict[str, Any]:
        """Return the figures of the forward, by the names of `csrc/deploy/point_figures.hpp`.

        Args:
            hardware: The machine.
            totals: Columns of the evaluator at the point; energy is that of one device.
            devices: Devices of the deployment.
            items: Items of the batch, on all devices.
            fits: Whether weights and caches fit the memory; None for a model without caches, whose peak decides.
        """
    def exchanges(self, hardware: Hardware) -> list[dict[str, Any]]:
        """Return the fields of an `Exchange` of each kind of collective operation, in the order of their first call."""

class LayerSequence(Sequence[_Layer]):
    """The layers of a forward; equal to a tuple of the same ones, as which it is pickled."""

    @overload
    def __getitem__(self, place: int) -> _Layer: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Layer, ...]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_Layer]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

def evidence_words() -> list[str]:
    """Return what the band of a kernel may rest on, strongest first."""

def evidence_shares(kernels: Sequence[KernelEstimate], hardware: Hardware) -> dict[str, float]:
    """Return what the bands of kernels rest on: evidence -> share of the latency, strongest first."""

@overload
def band_low(value: float, spread: float) -> float: ...
@overload
def band_low(value: NDArray[np.float64], spread: ArrayLike) -> NDArray[np.float64]:
    """Return the low end of an error band, in which four of five measurements are expected.

    With the relative spread `s = spread / value`, the band is `value / (1 + s)` to `value * (1 + s)`.

    Args:
        value: Predicted values.
        spread: Absolute spreads: of a latency, the sum over kernels of their latency times the spread of their class.
    """

@overload
def band_high(value: float, spread: float) -> float: ...
@overload
def band_high(value: NDArray[np.float64], spread: ArrayLike) -> NDArray[np.float64]:
    """Return the high end of an error band, with the arguments of `band_low`."""

def effects() -> list[str]: ...
def cost_figures() -> list[str]:
    """Return the figures that are derived from the latency and the energy of forwards."""

def cost_inputs() -> list[str]:
    """Return the numbers that these figures are derived from."""

def derive_cost(figure: str, number: Callable[[str], float | NDArray[np.float64]]) -> Any:
    """Return a figure: of one point if all its inputs are numbers, else an array with one value for each row.

    Args:
        figure: One of `cost_figures`.
        number: Returns an input by name: a number, or an array; it is called for those that are needed.
    """

class RentedDevices:
    """Devices of a layout that are rented in whole instances."""

    def __init__(self, devices: int, together: int, nodes: int = 1) -> None:
        """Make the devices of a layout.

        Args:
            devices: Their number.
            together: How many of them exchange data.
            nodes: Nodes that they are in.
        """
    @property
    def devices(self) -> int:
        """Their number."""
    @property
    def together(self) -> int:
        """How many of them must be in one instance: those that exchange data, as far as a node holds them."""
    def instances(self, each: float) -> int:
        """Return the number of instances of so many devices that hold them.

        Groups that exchange data are not cut, unless they are larger than an instance.
        """

class Rent:
    """What replicas of a deployment pay: as many instances as hold them all, each of them as a whole."""

    def __init__(self, replica: RentedDevices, usd_per_device_h: float, instance_devices: int) -> None:
        """Make the rent of a deployment.

        Args:
            replica: The devices of one replica.
            usd_per_device_h: USD per hour of an instance over its devices.
            instance_devices: Devices of an instance, which is paid as a whole.
        """
    @property
    def usd_per_device_h(self) -> float:
        """USD per hour of an instance over its devices."""
    @property
    def instance_devices(self) -> int:
        """Devices of an instance."""
    def instances(self, replicas: int = 1) -> int:
        """Return the instances that hold some replicas, as full as they get."""
    def paid_devices(self, replicas: int = 1) -> int:
        """Return the devices of these instances."""
    def usd_per_h(self, replicas: int = 1) -> float:
        """Return the price of an hour of these instances in USD."""
    def times(self, replicas: int) -> Rent:
        """Return the rent of so many replicas as that of one."""

def cheapest_offer(offers: Sequence[tuple[float, float, bool]], together: int) -> int:
    """Return the place of the cheapest offer, the first of equal ones.

    It depends on no number of copies, which are packed into its instances. One that holds what must be together comes
    before smaller ones, and one with a host before those without.

    Args:
        offers: Of each the USD per hour of the whole instance, its devices, and whether the price has the host.
        together: Devices that must be together.
    """

def devices_of_node(hardware: Hardware) -> float:
    """Return the number of devices that links connect without a network: of a machine, or of a domain of several."""

def nodes_of(hardware: Hardware, devices: int, least: int) -> int:
    """Return the nodes that some devices are in: `least`, or as many as they need."""

def pareto_front(columns: Sequence[NDArray[np.float64]], maximize: Sequence[bool]) -> NDArray[np.int64]: ...
def sequences_with_room(
    engine: str,
    gpu: float | NDArray[np.float64],
    memory_bytes: float | NDArray[np.float64],
    on_a100: float | NDArray[np.float64],
    weights: float | NDArray[np.float64],
    caches: float | NDArray[np.float64],
    sequence: float | NDArray[np.float64],
    gpu_sequence: float | NDArray[np.float64],
    cpu_sequence: float | NDArray[np.float64],
    step_bytes: float | NDArray[np.float64],
    vocabulary: float | NDArray[np.float64],
    reads_cache: bool,
    peak_bytes: float | NDArray[np.float64],
    memory_share: float,
    step_tokens: int,
) -> NDArray[np.float64]: ...
def is_a100(machine: Hardware) -> bool: ...
def cached_shares() -> list[int]: ...

SERVED_EXPERTS: float

def version_number(major: int, minor: int) -> int: ...
def tokens_of_step(drafts: int, acceptance: float) -> float: ...
def draft_acceptance(drafts: int, tokens_per_step: float) -> float: ...
def pool_blocks(pool_bytes: int, kv_bytes_per_token: float, block_tokens: int) -> int: ...
def ample_blocks(sequences: int, longest: int, block_tokens: int) -> int: ...
def chosen_knots(at: NDArray[np.float64], values: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]: ...
def served_steps(
    decode: DeployedGraph,
    prefill: DeployedGraph,
    machine: Hardware,
    *,
    context: int,
    most_sequences: int,
    most_tokens: int,
    most_context: int,
    tolerance: float,
    memory_limits: tuple[float, int, int],
) -> dict[str, Any]: ...

@final
class GgmlType:
    """A type of tensors in GGUF files."""

    @property
    def number(self) -> int:
        """Number in files."""
    @property
    def name(self) -> str:
        """Name in ggml."""
    @property
    def weights(self) -> int:
        """Weights of a block."""
    @property
    def nbytes(self) -> int:
        """Bytes of a block."""
    @property
    def dtype(self) -> str:
        """Dtype of an element."""
    @property
    def format(self) -> str:
        """Format of weights in blocks; empty for plain elements."""
    @property
    def values(self) -> int:
        """Weights in an element."""
    @property
    def group(self) -> int:
        """Weights that share metadata."""
    @property
    def block_bytes(self) -> int:
        """Bytes of metadata of a group, where it has no scale of a dtype."""
    @property
    def bits(self) -> int:
        """Bits of a weight, with those in the metadata; 0 for those of an element."""

def ggml_types() -> list[GgmlType]:
    """The types of tensors in GGUF files."""

@final
class GgufSkipped:
    """A setting that is not kept: its length in elements or characters."""

    def __init__(self, length: int) -> None: ...
    @property
    def length(self) -> int:
        """Elements or characters."""
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@final
class GgufTensor:
    """A tensor of a GGUF file."""

    @property
    def name(self) -> str:
        """Its name."""
    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions, the outermost first, as in torch."""
    @property
    def type(self) -> GgmlType:
        """The type of its elements."""
    @property
    def offset(self) -> int:
        """Its first byte after the start of the data."""
    @property
    def elements(self) -> int:
        """Number of its elements."""
    @property
    def nbytes(self) -> int:
        """Bytes of its data."""

@final
class GgufHeader:
    """The header of a GGUF file."""

    def __init__(self, content: Any, *, name: str) -> None:
        """Read the bytes of a file; `name` is the file, for messages.

        Raises:
            InputError: The file is damaged or of another format.
        """
    @property
    def version(self) -> int:
        """Version of the format."""
    @property
    def settings(self) -> dict[str, Any]:
        """Values by key; long texts and arrays are `GgufSkipped`."""
    @property
    def tensors(self) -> list[GgufTensor]:
        """The tensors in the order of the file."""

@final
class GgufModel:
    """A model of GGUF files."""

    def __init__(self, spec: str) -> None:
        """`spec` is the name of the model in messages."""
    def add(self, header: GgufHeader, *, file: str) -> None:
        """Add a file: settings are those of the first.

        Raises:
            InputError: It has a tensor of an earlier file.
        """
    @property
    def spec(self) -> str:
        """The name in messages."""
    @property
    def architecture(self) -> str:
        """Name of the architecture; empty if there is none."""
    @property
    def parts(self) -> int:
        """Files that the model is split into, as the first states."""
    @property
    def tensors(self) -> list[GgufTensor]:
        """The tensors of all files."""
    def graph(self, phase: str) -> Graph:
        """The graph of its decoder in a phase, `prefill` or `decode`.

        Raises:
            InputError: As `config_json`, or the core does not build this family.
        """
    def config_json(self) -> str:
        """The config of `transformers`, with `model_type`, as JSON.

        Raises:
            InputError: The architecture is unknown, or a config cannot express its sizes.
        """
    def stored(self, parameter: str) -> tuple[list[GgufTensor], int, bool] | None:
        """The tensors of a parameter, the number of its type, and whether its blocks have several types.

        None if the file lacks one of the tensors.
        """

@final
class Session:
    """Requests and answers of the core as JSON: what the WebAssembly module has, in this process."""

    def __init__(self) -> None: ...
    def answer(self, request: str, document: str | bytes = "") -> str:
        """The answer to one request; `document` is the text, or of a GGUF file the bytes, that it reads."""

def decoder_graph(document: str) -> Graph:
    """The graph of a decoder of language, from the document of a request to load one."""

SAMPLE_SIZE: int

@final
class FileBytes:
    """An open file, by its descriptor, for a scan; without `mapped`, all of it is read."""

    def __init__(self, descriptor: int, name: str, *, mapped: bool = True) -> None: ...

@final
class SparsityScan:
    def __init__(
        self,
        dtype: str,
        rows: int,
        columns: int,
        *,
        channel_columns: int = 1,
        flat: bool = False,
        zero: int = 0,
        magnitudes: bool = True,
    ) -> None: ...
    def add(
        self,
        data: int | memoryview | bytes | NDArray[Any] | FileBytes,
        *,
        offset: int = 0,
        first_row: int = 0,
        rows: int | None = None,
        first_column: int = 0,
        columns: int | None = None,
        row_stride: int | None = None,
        inner: Sequence[tuple[int, int]] = [],
        threads: int = 1,
        simd: str | None = None,
    ) -> None: ...
    def result(self) -> dict[str, Any]: ...

def element_bits(dtype: str) -> int: ...
def sum_words(data: memoryview | bytes | NDArray[Any]) -> int: ...

@final
class StepCosts:
    """Seconds and joules of one step of a serving engine, from tables.

    A step has n decoding sequences of C tokens of context in total, w = `tokens_each` tokens of each (1 + drafts), and
    chunks of prompts. With T = n * w + tokens of the chunks and O = n * w + completed prompts:

        device = tokens(T) + outputs(O) + decode(n, C / n) + sum over chunks of prefill(tokens, context before)
                 + drafts(n + completed prompts), if w > 1
        host = host_step_s + host_sequence_s * (n + chunks) + host_prefill_s, if there are chunks
        seconds = max(device, host) if overlaps_host else device + host
        joules = those of the parts of device + idle_w * (seconds - device)

    The context of a decoding sequence counts the token that the step processes. Tables are linear between knots, those
    of two axes bilinear in (n, C); beyond the last knot the last interval goes on, and an axis of one knot is constant.
    A table that is left out costs nothing.

    Args:
        tokens: Ascending knots over tokens of a step, shape (t,), from at most 1: products, norms, collectives, ...;
            for steps that run eagerly or with chunks.
        tokens_s: Seconds at the knots, shape (t,); `tokens_j` are joules. Likewise for the tables below.
        graphs: Sizes of recorded graphs in tokens, shape (g,), ascending. A step of decoding alone with at most the
            last of them costs what the smallest size >= T does, instead of `tokens`.
        outputs: Knots over sampled tokens, shape (o,): head and sampler.
        decode_sequences: Rows of `decode_s`, shape (n,), from at most 1: decoding sequences.
        decode_contexts: Its columns, shape (c,), from at most 1: mean context of a sequence, in tokens.
        decode_s: Seconds of attention of all decoding sequences, shape (n, c).
        prefill_chunks: Rows of `prefill_s`, shape (p,), from at most 1: tokens of a chunk.
        prefill_contexts: Its columns, shape (b,), from 0: tokens of the sequence before the chunk.
        prefill_s: Seconds of attention of one chunk, shape (p, b).
        drafts: Knots over sequences, shape (d,): all passes that draft for one step.
        host_step_s: Seconds of the host a step.
        host_sequence_s: More for each sequence in the step.
        host_prefill_s: More in a step with chunks.
        overlaps_host: Whether the host prepares a step while the device works on the one before.
        idle_w: Power of the device while it waits for the host within a step, in watts.

    Raises:
        InputError: Lengths differ, a number is negative or not finite, knots do not ascend or begin too high, or values
            fall in the last interval.
    """

    def __init__(
        self,
        *,
        tokens: ArrayLike,
        tokens_s: ArrayLike,
        tokens_j: ArrayLike,
        graphs: ArrayLike = [],
        graphs_s: ArrayLike = [],
        graphs_j: ArrayLike = [],
        outputs: ArrayLike = [],
        outputs_s: ArrayLike = [],
        outputs_j: ArrayLike = [],
        decode_sequences: ArrayLike = [],
        decode_contexts: ArrayLike = [],
        decode_s: ArrayLike = [],
        decode_j: ArrayLike = [],
        prefill_chunks: ArrayLike = [],
        prefill_contexts: ArrayLike = [],
        prefill_s: ArrayLike = [],
        prefill_j: ArrayLike = [],
        drafts: ArrayLike = [],
        drafts_s: ArrayLike = [],
        drafts_j: ArrayLike = [],
        host_step_s: float = 0.0,
        host_sequence_s: float = 0.0,
        host_prefill_s: float = 0.0,
        overlaps_host: bool = False,
        idle_w: float = 0.0,
    ) -> None: ...
    def step(
        self,
        sequences: int,
        context: int,
        chunks: Sequence[tuple[int, int]] = [],
        completed: int = 0,
        tokens_each: int = 1,
    ) -> tuple[float, float]:
        """Return seconds and joules of one step.

        Args:
            sequences: Decoding sequences.
            context: Their context in tokens, in total.
            chunks: Tokens of each chunk of a prompt, and of its sequence before it.
            completed: How many of the chunks end their prompt, and so sample a token.
            tokens_each: Tokens that a decoding sequence processes: 1 + drafts.
        """

    def mean_step_s(
        self,
        sequences: ArrayLike,
        tokens_each: ArrayLike,
        mean_context: ArrayLike,
        chunk: ArrayLike,
        before: ArrayLike,
        completed: ArrayLike,
    ) -> Any:
        """Return seconds of steps with mean numbers, also between whole ones: a float, or an array of them.

        Args:
            sequences: Decoding sequences.
            tokens_each: Tokens that a decoding sequence processes.
            mean_context: Their mean context in tokens.
            chunk: Tokens of the chunk of a prompt; 0 without one, for steps that pay for recorded sizes.
            before: Context of its sequence before it.
            completed: Prompts that end in the step.
        """

    def mean_step_j(
        self,
        sequences: ArrayLike,
        tokens_each: ArrayLike,
        mean_context: ArrayLike,
        chunk: ArrayLike,
        before: ArrayLike,
        completed: ArrayLike,
    ) -> Any:
        """Return joules likewise."""

    def products(self, tokens: int) -> tuple[float, float]:
        """Return seconds and joules of the products of a step that decodes so many tokens alone."""

    def tokens(self, count: float) -> tuple[float, float]:
        """Return those of the products of a step with chunks."""

    def outputs(self, count: float) -> tuple[float, float]:
        """Return those of so many sampled tokens."""

    def drafts(self, sequences: float) -> tuple[float, float]:
        """Return those of drafting for so many sequences."""

    def decode_attention(self, sequences: float, mean_context: float) -> tuple[float, float]:
        """Return those of the attention of decoding sequences."""

    def prefill_attention(self, chunk: float, before: float) -> tuple[float, float]:
        """Return those of the attention of a chunk of a prompt."""

@final
class SimulatedServer:
    """Settings of one simulated server. Names in brackets are those of vLLM, SGLang and TensorRT-LLM.

    Args:
        costs: Costs of its steps.
        engine: `vllm` (V1, as of 0.32), `sglang` (as of 0.5.23) or `trtllm`: whose scheduler it has.
        blocks: KV blocks of the pool; vLLM uses one less, its null block. SGLang: pages.
        block_tokens: Tokens of a block. SGLang: the page size, 1 by default there.
        max_sequences: [max_num_seqs, max_running_requests, max_batch_size]
        max_tokens: Tokens of a step. [max_num_batched_tokens, max_prefill_tokens, max_num_tokens]
        chunk_tokens: vLLM: long_prefill_token_threshold. SGLang: chunked_prefill_size. TensorRT-LLM: unit of chunks.
            0 for none.
        chunked_prefill: Whether a prompt may be computed in parts. [enable_chunked_prefill, -, enable_chunked_context]
        max_model_tokens: Longest prompt with its output; longer outputs are cut. 0 for no limit.
        watermark: vLLM: share of the blocks that stay free when a request is admitted beside others.
        reserve_prompt: vLLM: whether blocks for a whole prompt must be free when it is admitted.
        prefix_cache: Whether blocks keep their contents for later requests with the same prefix.
        by_priority: Whether the smallest priority is served first, and the largest preempted first.
        mixed_chunks: SGLang: whether sequences decode in steps with prompts.
        evicts: TensorRT-LLM: MAX_UTILIZATION instead of GUARANTEED_NO_EVICT.
        equal_progress: TensorRT-LLM: chunks of all prompts grow in turn, instead of first come, first served.
        recv_interval: SGLang: steps of decoding between looks at arrivals.
        fixed_lengths: SGLang: requests ignore the end of text, so that the whole of their outputs is reserved.
        reserve_share: SGLang: share of the tokens to come that is reserved, which falls by `reserve_decay_steps` equal
            steps of decoding to `least_reserve_share` of it.
        least_reserve_share: See there.
        reserve_decay_steps: See there.
        most_reserved: SGLang: most tokens to come that count for one request.
        retract_steps: SGLang: steps that the share is estimated for after memory ran out.
        drafts: Tokens that are drafted for a sequence and verified in one step.
        acceptance: Probability that draft i is accepted if those before it were, shape (drafts,).
        stream_interval: Tokens that are sent together; it counts if `first_token_buffered`.
        first_token_buffered: Whether the first token waits for `stream_interval - 1` others.
        prefill_fill: Time of a chunk through all stages of a pipeline, over that of a step: first tokens are late by
            the difference, and so are the others.
        jumps: Whether steps without events are taken at once. Results are the same but for rounding.

    Raises:
        InputError: A number is out of range, or settings contradict each other.
    """

    def __init__(
        self,
        *,
        costs: StepCosts,
        engine: str,
        blocks: int,
        block_tokens: int = 16,
        max_sequences: int = 256,
        max_tokens: int = 8192,
        chunk_tokens: int = 0,
        chunked_prefill: bool = True,
        max_model_tokens: int = 0,
        watermark: float = 0.0,
        reserve_prompt: bool = True,
        prefix_cache: bool = False,
        by_priority: bool = False,
        mixed_chunks: bool = False,
        evicts: bool = False,
        equal_progress: bool = False,
        recv_interval: int = 1,
        fixed_lengths: bool = False,
        reserve_share: float = 0.7,
        least_reserve_share: float = 0.14,
        reserve_decay_steps: int = 600,
        most_reserved: int = 4096,
        retract_steps: int = 20,
        drafts: int = 0,
        acceptance: Sequence[float] = [],
        stream_interval: int = 1,
        first_token_buffered: bool = False,
        prefill_fill: float = 1.0,
        jumps: bool = True,
    ) -> None: ...

@final
class SimulatedCluster:
    """Servers behind a router, and the client.

    Args:
        servers: The servers, 1 to 4096.
        routing: `round_robin`; `least_loaded`, by requests that wait or run; or `prefix_aware`: the longest match in a
            prefix cache if it covers `match_share` of the prompt, else the least loaded, also if loads differ by more
            than `most_difference` and by more than the factor `most_ratio`.
        match_share: See there.
        most_difference: See there.
        most_ratio: See there.
        prefill_servers: How many of the servers, the first ones, compute prompts alone; the others only decode. 0 for
            no such division.
        bytes_per_token: KV cache that is sent from the former to the latter, bytes a token.
        byte_per_s: Rate at which a server for prompts sends; its transfers queue.
        handshake_s: More for each transfer.
        layerwise: Whether a transfer runs beside the last step of its prefill.
        max_concurrency: Requests that the client has under way at most; others wait until one is seen to end. 0 for no
            limit, which is an open loop; all arrivals at 0 make it a closed one.
        think_s: Pause before a place among `max_concurrency` is used again.
        poll_s: The client sees tokens at multiples of this after it sent a request. 0 for at once.
        timeout_s: After this the client gives up. 0 for never.
        queue_timeout_s: After this it gives up if the request has not begun to run. 0 for never.
        lockstep: Servers that begin and end their steps together, in groups of so many.
        seed: Of accepted drafts.
        samples: Of the timeline; there are at most twice as many.

    Raises:
        InputError: A number is out of range.
    """

    def __init__(
        self,
        servers: Sequence[SimulatedServer],
        *,
        routing: str = "round_robin",
        match_share: float = 0.5,
        most_difference: int = 64,
        most_ratio: float = 1.5,
        prefill_servers: int = 0,
        bytes_per_token: float = 0.0,
        byte_per_s: float = 0.0,
        handshake_s: float = 0.0,
        layerwise: bool = False,
        max_concurrency: int = 0,
        think_s: float = 0.0,
        poll_s: float = 0.0,
        timeout_s: float = 0.0,
        queue_timeout_s: float = 0.0,
        lockstep: int = 1,
        seed: int = 0,
        samples: int = 2048,
    ) -> None: ...

@final
class SimulatedRequests:
    """Requests as columns of one length n, in the order of their arrival. The arrays are copied.

    Args:
        arrival_s: Times from 0 on that do not fall, shape (n,).
        prompt: Tokens, at least 1.
        output: Tokens, at least 1.
        priority: Smaller is served first; for servers with `by_priority`.
        prefix_from: Request i has prefix_ids[prefix_from[i]:prefix_from[i + 1]]; shape (n + 1,).
        prefix_ids: An id for each `prefix_tokens` tokens of a prompt from its start, which stands for these tokens and
            all before them; further ids are those of its output.
        prefix_tokens: A multiple of `block_tokens`.
        service_s: Of a fleet, seconds in service, above 0, for requests whose time does not follow from their tokens.

    Raises:
        InputError: An array has more than one dimension.
        InputTypeError: Tokens are not whole numbers.
    """

    def __init__(
        self,
        arrival_s: ArrayLike,
        prompt: ArrayLike,
        output: ArrayLike,
        *,
        priority: ArrayLike = (),
        prefix_from: ArrayLike = (),
        prefix_ids: ArrayLike = (),
        prefix_tokens: int = 0,
        service_s: ArrayLike = (),
    ) -> None: ...

@final
class RequestStream:
    """Requests that are made piece by piece while the simulation runs.

    Args:
        most: Most requests that come; memory for their results is taken at once.
        next: Returns the next requests, or None at the end.
    """

    def __init__(self, most: int, next: Callable[[], SimulatedRequests | None]) -> None: ...

class Simulation:
    """Requests of a simulation in the order in which they were sent, and its servers.

    Attributes:
        queued_s: Seconds at which requests were sent, shape (n,), as the next ones; NaN where it did not come so far.
        scheduled_s: Their first step begins.
        first_token_s: A client sees their first token.
        finish_s: A client sees their last token.
        tokens: Tokens of the answer; 0 if it was not finished.
        cached_tokens: Tokens of the prompt in the cache at the first step.
        preemptions: Times that they lost their memory.
        server: The server that served them last.
        outcome: Places in SIMULATED_OUTCOMES.
        servers: For each server `busy_s`, `energy_j` (of steps), `steps`, `runs` (of steps taken at once),
            `prefill_steps`, `preemptions`, `prompt_tokens` (computed), `cached_tokens`, `generated_tokens`,
            `most_blocks`.
        timeline: `interval_s`, and `running`, `waiting`, `blocks` at its multiples, shape (samples, servers).
        end_s: Seconds until the last event.
        request_seconds: Integral of the requests in the system over time.
        interrupted: Whether Ctrl-C ended the simulation before all were served.
    """

    @property
    def queued_s(self) -> NDArray[np.float64]: ...
    @property
    def scheduled_s(self) -> NDArray[np.float64]: ...
    @property
    def first_token_s(self) -> NDArray[np.float64]: ...
    @property
    def finish_s(self) -> NDArray[np.float64]: ...
    @property
    def tokens(self) -> NDArray[np.int32]: ...
    @property
    def cached_tokens(self) -> NDArray[np.int32]: ...
    @property
    def preemptions(self) -> NDArray[np.uint16]: ...
    @property
    def server(self) -> NDArray[np.uint16]: ...
    @property
    def outcome(self) -> NDArray[np.uint8]: ...
    @property
    def servers(self) -> dict[str, NDArray[Any]]: ...
    @property
    def timeline(self) -> dict[str, Any]: ...
    @property
    def end_s(self) -> float: ...
    @property
    def request_seconds(self) -> float: ...
    @property
    def interrupted(self) -> bool: ...
    def times(self, name: str, client_s: float = 0.0) -> NDArray[np.float64]:
        """Return a time of each request in seconds, shape (n,); NaN where there is none.

        Args:
            name: `"ttft_s"`, `"tpot_s"`, `"e2e_s"` or `"queue_s"`.
            client_s: Seconds from a client to the queue and back.
        """

    def figures(
        self,
        *,
        client_s: float = 0.0,
        usd_per_h: float | None = None,
        idle_w: float | None = None,
        blocks: int = 1,
        limits: Sequence[tuple[str, float]] = [],
    ) -> dict[str, Any]:
        """Return the figures of all servers, by the names of `csrc/deploy/server_figures.hpp`.

        Args:
            client_s: Seconds from a client to the queue and back.
            usd_per_h: Price of an hour of all servers; without one, no money.
            idle_w: Power of a server that waits, in watts; without one, no energy of a token.
            blocks: Blocks of the cache of a server.
            limits: Times of requests, and the seconds below which requests are within the objective.

        Raises:
            InputError: The name of a time is unknown.
        """

def simulate(
    jobs: Sequence[tuple[SimulatedCluster, SimulatedRequests | RequestStream]], threads: int = 1
) -> list[Simulation]:
    """Simulate servers under load, one job after the other on each thread. Results do not depend on `threads`.

    Raises:
        InputError: Times fall or are not finite, lengths differ, or a request has no tokens.
        InputTypeError: A stream gave something else than requests.
    """

_FleetReplica: TypeAlias = SlotReplica | BatchReplica | TokenReplica | EngineReplica

class ReplicaLoad:
    """What targets of autoscalers are derived from.

    Args:
        concurrency: Requests that a replica serves at once.
        rate_per_s: Requests that it finishes per second then.
        mean_in_flight: Mean requests in service, if none waited.
        peak_in_flight: Most of them at a time.
        cold_start_s: Seconds until a new replica is ready.
    """

    def __init__(
        self,
        *,
        concurrency: float,
        rate_per_s: float,
        mean_in_flight: float,
        peak_in_flight: float,
        cold_start_s: float,
    ) -> None: ...

class LoadedAutoscaler:
    """An autoscaler of replicas with a load."""

class Autoscaler:
    """Settings of an autoscaler; those that are not given have the defaults of `autoscaler_kinds`.

    Raises:
        InputError: The kind or a setting is unknown, or a value is out of range or contradicts another.
    """

    def __init__(self, kind: str, settings: dict[str, Any]) -> None: ...
    def starts_with(self, load: ReplicaLoad) -> int:
        """Return the replicas at the start."""

    def limit_of(self, load: ReplicaLoad, limit: int) -> int:
        """Return the requests that a replica is handed at most, where its own limit is given; 0 for any number."""

    def level_of(self, load: ReplicaLoad) -> float:
        """Return the target in its own unit."""

    def loaded(self, load: ReplicaLoad) -> LoadedAutoscaler:
        """Return the autoscaler of replicas with a load."""

def autoscaler_kinds() -> list[dict[str, Any]]:
    """Return the autoscalers: names, sentences and settings, each with type, range, default and sentence."""

class SlotReplica:
    """Slots that serve a request each; `joules` of a second in which a slot is used."""

    def __init__(self, *, slots: int, service_s: float, joules: float) -> None: ...

class BatchReplica:
    """Dynamic batches: seconds and joules of batches of 1, 2 ..., on some instances at once."""

    def __init__(
        self,
        *,
        latency_s: Sequence[float],
        joules: Sequence[float],
        instances: int,
        delay_s: float,
    ) -> None: ...

class TokenReplica:
    """Sequences that share the steps of an engine; its memory counts in tokens, and drafts by their mean."""

    def __init__(
        self,
        *,
        costs: StepCosts,
        max_sequences: int,
        max_tokens: int,
        pool_tokens: float,
        block_tokens: int,
        tokens_each: float,
        yield_tokens: float,
        mixes: bool,
        chunked_prefill: bool,
        reserves: float,
        least_reserves: float,
        reserve_steps: int,
        prefill_fill: float,
    ) -> None: ...

class EngineReplica:
    """Each step of an engine, by its scheduler."""

    def __init__(self, server: SimulatedServer) -> None: ...

class FleetPool:
    """Replicas of one kind with an autoscaler."""

    def __init__(
        self,
        *,
        replica: _FleetReplica,
        autoscaler: LoadedAutoscaler,
        copies: int,
        concurrency: int,
        min_replicas: int,
        max_replicas: int,
        start_replicas: int,
        cold_start_s: float,
        cold_start_spread: float,
        max_drain_s: float,
        interruptions_per_h: float,
        notice_s: float,
        failures_per_h: float,
    ) -> None: ...

class FleetLimits:
    """Seconds of waiting, to the first token, per further token and of a request beyond which it is late."""

    def __init__(self, *, wait_s: float, ttft_s: float, tpot_s: float, e2e_s: float) -> None: ...

class Fleet:
    """Pools behind a router. `routing` is `first` (replicas are filled one after the other) or `least_loaded`."""

    def __init__(
        self,
        *,
        pools: Sequence[FleetPool],
        routing: str,
        limits: FleetLimits,
        timeout_s: float,
        bin_s: float,
        horizon_s: float,
        seed: int,
        keeps_requests: bool,
    ) -> None: ...

def simulate_fleets(
    jobs: Sequence[tuple[Fleet, SimulatedRequests | RequestStream]], threads: int = 1
) -> list[dict[str, Any]]:
    """Simulate fleets under requests, one job after the other on each thread. Results do not depend on `threads`.

    Returns:
        For each job a dict: `end_s`, `events`, `arrived`, `finished`, `late` (over a limit), `failed`, `unfinished`,
        `restarted`, `request_seconds` and `waiting_seconds` (integrals of the requests in the system, and of those not
        in service), `interrupted`. `wait_s`, `ttft_s`, `tpot_s` and `e2e_s` are histograms: `counts` between
        `histogram_edges`, `count`, `sum`, `most`. `demand`: of each bin of time `arrived`, `finished`, `late`,
        `failed`, `wait_s`, `most_wait_s`, `prompt_tokens`, `output_tokens` of requests that arrived in it, and
        `waiting_s`. `pools`: for each pool, of each bin, replica-seconds `starting_s`, `ready_s`, `draining_s`,
        `busy_s` (with requests), request-seconds `running_s`, `most` replicas; and `starts`, `cancelled`, `removed`,
        `interrupted`, `failed`, `peak`, `requests`, `energy_j` of the work, `seconds_with` (place k: time with k
        replicas). `decisions`: the first million changes of replicas, `time_s`, `pool`, `before`, `after`. `requests`:
        columns `arrival_s`, `started_s`, `first_token_s`, `finish_s`, `pool`, `outcome` if they are kept.

    Raises:
        InputError: A setting or a request is out of range.
        InputTypeError: A stream gave something else than requests.
    """

def load_profile(
    requests: SimulatedRequests | RequestStream,
    *,
    places: float,
    tick_s: float,
    service_s: float,
    prompt_s: float = 0.0,
    output_s: float = 0.0,
) -> dict[str, Any]:
    """Return the load over time if no request waited. A request counts in each tick that it touches.

    Args:
        requests: The requests.
        places: Requests that a replica serves at once.
        tick_s: Seconds of a tick, at most 1.
        service_s: Seconds in service of requests without a time of their own.
        prompt_s: Instead of it, seconds of each token of a prompt ...
        output_s: ... and of an answer, if one of them is above 0.

    Returns:
        `end_s` of the last tick that a request touches. For each second: `running_s`, request-seconds; `most`, the most
        requests of a tick that begins in it; `replicas_s`, replica-seconds if each tick has those that it and the next
        one need, at least one. `most_replicas`: the most of them.

    Raises:
        InputError: A request or a number is out of range.
    """

def histogram_edges() -> NDArray[np.float64]:
    """Return the lower edges of the intervals of durations in `simulate_fleets` and `Meter`, in seconds."""

def simulate_queue(arrival_s: ArrayLike, service_s: ArrayLike, servers: int = 1) -> dict[str, Any]:
    """Serve requests first come, first served.

    Args:
        arrival_s: Times from 0 on that do not fall, shape (n,).
        service_s: Seconds of each request, shape (n,).
        servers: Equal servers, each for one request at a time.

    Returns:
        `start_s` and `finish_s` of each request, `busy_s` of all servers, and `energy_j`, which is 0.

    Raises:
        InputError: Times fall or are not finite, or a service time is negative.
    """

def simulate_batches(
    arrival_s: ArrayLike,
    *,
    batch_s: ArrayLike,
    batch_j: ArrayLike,
    max_delay_s: float = 0.0,
    preferred: Sequence[int] = [],
    instances: int = 1,
) -> dict[str, Any]:
    """Serve requests in batches, as the dynamic batcher of Triton forms them.

    An instance that is free takes the largest preferred number of the requests that wait. If none can be formed, or
    none is preferred, requests wait for a batch of the largest size, the oldest at most `max_delay_s`.

    Args:
        arrival_s: Times from 0 on that do not fall, shape (n,).
        batch_s: Seconds of a batch of 1, 2, ... requests, up to the largest size.
        batch_j: Joules likewise.
        max_delay_s: See above.
        preferred: Preferred sizes.
        instances: Batches that run side by side, each as fast as alone.

    Returns:
        `start_s`, `finish_s` and `batch`, the size of its batch, of each request, and `busy_s` and `energy_j` of all
        batches.

    Raises:
        InputError: Times fall or are not finite, or a size is out of range.
    """

SIMULATED_OUTCOMES: tuple[str, ...]

class SteadyServer:
    """A server for figures in closed form.

    Args:
        costs: What its steps cost.
        tokens_each: Tokens that a decoding sequence processes in a step: 1 + drafts.
        yield_tokens: Those of them that stay, on average.
        most_sequences: Sequences that run at most in a copy.
        pool_tokens: Tokens that the cache of a copy holds; may be infinite.
        block_tokens: Tokens of a block of the cache.
        copies: Copies of the model that share the requests.
        devices: Devices of all copies.
        usd_per_s: Price of all copies; not a number without one.
        fill: Time of a chunk through all stages of a pipeline, over the time that it adds to a step.
        mixes: Whether prompts are read in the steps that decode.
        chunks: Whether prompts are read in parts.
        budget: Tokens of prompts in a step.
        reserves: Share of an answer for which memory is kept at admission.
        lockstep: Copies that wait for each other in each step; 1 for none.
        knows_energy: Whether the tables have joules.

    Raises:
        InputError: A setting is out of range.
    """

    def __init__(
        self,
        *,
        costs: StepCosts,
        tokens_each: float = 1.0,
        yield_tokens: float = 1.0,
        most_sequences: float = 256.0,
        pool_tokens: float,
        block_tokens: float = 16.0,
        copies: float = 1.0,
        devices: float = 1.0,
        usd_per_s: float,
        fill: float = 1.0,
        mixes: bool = True,
        chunks: bool = True,
        budget: float = 8192.0,
        reserves: float = 0.0,
        lockstep: float = 1.0,
        knows_energy: bool = True,
    ) -> None: ...

def steady_states(
    servers: Sequence[SteadyServer], loads: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return figures of servers under loads.

    Args:
        servers: The servers.
        loads: Columns of shape (servers, loads), of any strides: `prompt`, `output`, `prompt_square`, `output_square`,
            `prefix_hit`, `clients`, `rate_per_s`, `ttft_s`, `tpot_s`. Of `clients` and `rate_per_s` one is not a
            number.

    Returns:
        The columns STEADY_STATE_COLUMNS, of that shape.

    Raises:
        InputError: A number of a load is out of range, or a column is missing or has another shape.
    """

STEADY_STATE_COLUMNS: tuple[str, ...]

class Meter:
    """Totals of the requests of a live model; times are monotonic nanoseconds, first tokens 0 where there are none."""

    def __init__(self, kept: int = 0) -> None:
        """Create a meter.

        Args:
            kept: Requests that wait to be taken, at most; further ones are counted as dropped.
        """

    def arrive(self) -> None:
        """Count a request that waits for its service."""

    def leave(self) -> None:
        """Count a waiting request that leaves without service."""

    def begin(self, now_ns: int, has_waited: bool, /) -> None:
        """Begin the service of a request, which was waiting if `has_waited`."""

    def end(
        self,
        arrival_ns: int,
        start_ns: int,
        first_token_ns: int,
        end_ns: int,
        items: int,
        prompt_tokens: int,
        cached_tokens: int,
        output_tokens: int,
        outcome: int,
        /,
    ) -> None:
        """End a service that began; `outcome` is the place in `OUTCOMES`."""

    def record(
        self,
        arrival_ns: int,
        start_ns: int,
        first_token_ns: int,
        end_ns: int,
        items: int,
        prompt_tokens: int,
        cached_tokens: int,
        output_tokens: int,
        outcome: int,
        /,
    ) -> None:
        """Count a service whose times are known only after it; calls are in the order of their ends."""

    def totals(self, now_ns: int) -> dict[str, Any]:
        """Return sums since the start: `requests` by outcome, `items`, tokens, `queue_ns`, `service_ns`, `busy_ns`."""

    def histograms(self) -> dict[str, tuple[list[int], list[int], float]]:
        """Return for each histogram the places of intervals with values, their counts, and the sum of values."""

    def sizes(self) -> dict[str, NDArray[np.int64]]:
        """Return sums over answered requests of like size; -1 items are of sizes that were not kept."""

    def take(self) -> dict[str, NDArray[np.int64]]:
        """Return the columns of the requests that ended since the last call, and forget them."""

    def restart(self) -> None:
        """Start from zero, in the child of a fork."""

def counted_call(
    function: Callable[..., Any],
    meter: Meter,
    *,
    counted: str,
    hooks: dict[str, Any],
    tensor_type: type | None,
    tensor_base: type | None,
    may_be_cuda: bool,
    clock: Callable[[], int] | None,
) -> Callable[..., Any]:
    """Return a callable that counts the calls of a function in a meter; it has the function's name and signature.

    Args:
        function: What is called.
        meter: Where calls are counted.
        counted: `"items"`, the first dimension of the first argument; `"tokens"`, its first two; `"custom"`.
        hooks: `other(args, kwargs)`, None to count all calls here; `count(args, kwargs, result)`, `outcome_of(type)`,
            `is_lazy(result)`, `continued(start_ns, args, kwargs, result)`, `failed(what, error)`.
        tensor_type: `torch.Tensor`.
        tensor_base: The type that knows the length of a tensor without a call of Python.
        may_be_cuda: Whether a tensor may lie on a CUDA device.
        clock: Monotonic nanoseconds; None for the clock of `time.monotonic_ns` on Linux.
    """

@final
class Cache:
    """Keys, values or a state of one layer that a forward leaves for the next one, in the sizes of the graph."""

    @property
    def name(self) -> str:
        """Name of the input or the result; empty if its source gave none."""
    @property
    def tensor(self) -> int:
        """Its index in the graph."""
    @property
    def kind(self) -> str:
        """`"full"`, `"sliding"`, `"latent"`, `"cross"` or `"state"`, as in `results.kv_cache.CacheLayers`."""
    @property
    def dtype(self) -> str:
        """Dtype of its elements, as the precision stores them."""
    @property
    def bytes(self) -> Quantity:
        """Its bytes."""
    @property
    def sequence_bytes(self) -> Quantity:
        """Bytes of one sequence."""
    @property
    def token_bytes(self) -> Quantity:
        """Bytes of one token of one sequence; 0 for a state."""
    @property
    def positions(self) -> Quantity:
        """Tokens that it holds of each sequence; 0 for a state."""
    @property
    def grows(self) -> bool:
        """Whether tokens add positions, in a window until it is full."""
    @property
    def added(self) -> Quantity:
        """Positions that the last token of the forward added: 1, or 0 in a full window."""

@final
class Boundary:
    """Data at the boundary of a forward on one device, symbolic in the sizes of the graph."""

    @property
    def input_tensors(self) -> int:
        """Number of inputs; caches stay on the device and do not count."""
    @property
    def input_bytes(self) -> Quantity:
        """Bytes of the inputs, at the width that the precision stores."""
    @property
    def output_tensors(self) -> int:
        """Number of results, without keys and values for the next forward, and without gradients."""
    @property
    def output_bytes(self) -> Quantity:
        """Bytes of the results."""
    @property
    def weight_bytes(self) -> Quantity:
        """Bytes of weights and buffers."""
    @property
    def tokens(self) -> Quantity | None:
        """Ids that are looked up in the largest embedding table; None if the forward looks up none."""
    @property
    def vocabulary(self) -> int:
        """Rows of that table; 0 without one."""
    @property
    def caches(self) -> list[Cache]:
        """Keys, values and states after the forward; of an engine's graph, those of the captured graph."""
    @property
    def kv_cache_bytes(self) -> Quantity | None:
        """Bytes of keys, values and states that are held after the forward; None if there are none."""
    @property
    def reads_cache(self) -> bool:
        """Whether caches are given to the forward, as in a decode step."""
    @property
    def step_bytes(self) -> Quantity:
        """Peak of activations, without caches, while an engine computes what all tokens of a step need.

        0 for a graph that no engine launches.
        """
    @property
    def phase(self) -> str:
        """The phase of a language model, `"prefill"` or `"decode"`; empty for other models."""

def boundary(graph: Graph, *, precision: str = "native") -> Boundary: ...

@final
class LaunchedStage:
    """A stage of a pipeline."""

    @property
    def graph(self) -> Graph:
        """What its devices launch."""
    @property
    def nodes(self) -> list[int]:
        """For each node of it the node of the graph of all stages."""
    @property
    def sent(self) -> Quantity:
        """Bytes of the activations that are sent to the next stage."""
    @property
    def slices(self) -> int:
        """Devices that send one part each."""

@final
class GraphFacts:
    """How a graph was made."""

    @property
    def is_narrowed(self) -> bool:
        """Whether float32 weights of the capture are in 16 bits."""
    @property
    def as_captured(self) -> list[int]:
        """Nodes that the engine has no kernel for."""
    @property
    def shares(self) -> list[tuple[str, int, int, str]]:
        """Of weights and buffers on a rank: name, elements of the rank and of the whole, why they are whole."""
    @property
    def stages(self) -> list[LaunchedStage]:
        """Of the graph of all stages of a pipeline: the stages."""
    @property
    def kinds(self) -> list[int]:
        """For each of these the first one with equal costs."""
    @property
    def place_of(self) -> list[int]:
        """Where each node of the graph that was cut is."""

def facts(graph: Graph) -> GraphFacts: ...
def serves_experts(graph: Graph, engine: str) -> bool: ...
def expert_layers(graph: Graph) -> int: ...
def graph_as_loaded(graph: Graph, engine: str) -> Graph: ...
def graph_of_engine(graph: Graph, engine: str) -> tuple[Graph, list[tuple[str, float]]]: ...
def graph_of_rank(graph: Graph, layout: Layout) -> tuple[Graph, list[tuple[str, float]]]: ...
def launched_graph(graph: Graph, engine: str, layout: Layout) -> tuple[Graph, list[tuple[str, float]]]: ...
def check_cuts(launched: Graph, stages: int) -> None: ...
def graph_of_stages(
    launched: Graph, layout: Layout, plans: PlanFamily, machine: Hardware | None
) -> tuple[Graph, list[tuple[str, float]]]: ...
def forward_of(step: Graph) -> Graph: ...
