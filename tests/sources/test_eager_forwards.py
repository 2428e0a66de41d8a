"""Forwards and training steps that eager torch runs in ways of their own: products compared with a real run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import pyinfercost as ic
from pyinfercost.sources import torch_state
from pyinfercost.sources.symbols import CaptureError

pytestmark = pytest.mark.torch

Forward = Callable[..., Any]


class Case(NamedTuple):
    """A module, its inputs, and the FLOPs of its products by hand.

    Attributes:
        module: Creates the module.
        inputs: Creates its inputs.
        flops: FLOPs of a forward or of a training step.
        training: Whether it is a training step.
        counter: FLOPs that torch's counter finds in a real run, if it has no formula for a product, else None.
    """

    module: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    flops: int
    training: bool = False
    counter: int | None = None


class _Everywhere:
    """In the place of the counter's modules, whose hooks fail if a forward differentiates by an input."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def counted(case: Case) -> int:
    """Return the FLOPs of a real run by torch's counter."""
    counter: Any = FlopCounterMode(display=False)
    counter.mod_tracker = _Everywhere()
    inputs = case.inputs()
    with counter:
        result = case.module().train(case.training)(*inputs)
        if case.training:
            result.sum().backward()
    return int(counter.get_total_flops())


def captured(case: Case) -> ic.Graph:
    return ic.capture(case.module().train(case.training), case.inputs(), training=case.training)


def randn(*shape: int) -> Callable[[], tuple[torch.Tensor, ...]]:
    return lambda: (torch.randn(shape),)


def with_parts(function: Forward, **parts: Callable[[], Any]) -> Callable[[], nn.Module]:
    return lambda: Wrapped(function, **{name: make() for name, make in parts.items()})


# ---- plain tensors beside activations --------------------------------------------------------------------------------

HEAD = 2 * 4 * 5 * 6  # of a linear layer from 5 to 6 for 4 rows
TABLE = 2 * 4 * 6 * 7  # of its result times a table of 6 x 7
DISTANCES = 2 * 32 * 40 * 6  # of 32 rows of 6 and 40 entries of a codebook


def beside(operation: Forward, **parts: Callable[[], Any]) -> Callable[[], nn.Module]:
    """A linear layer before an operation on its result and on tensors that are plain attributes."""
    parts = {"head": lambda: nn.Linear(5, 6), "table": lambda: torch.randn(6, 7), **parts}
    return with_parts(lambda self, x: operation(self, self.head(x)), **parts)


def spectrum(x: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """5 frequencies of 13 frames."""
    return torch.stft(x.flatten()[None], 8, window=window, return_complex=True)


def nearest(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Distances from the nearest entry of a codebook."""
    rows = x.repeat(8, 1)
    distances = torch.cdist(rows[None], self.codes[None])[0]
    return (self.codes[distances.argmin(-1)] - rows).pow(2).mean() + distances.mean()


PRODUCTS: dict[str, tuple[Forward, int]] = {
    "bmm": (lambda m, x: torch.bmm(x[None], m.table[None]), TABLE),
    "baddbmm": (lambda m, x: torch.baddbmm(x[None, :, :1], x[None], m.table[None]), TABLE),
    "matmul": (lambda m, x: x.expand(2, 4, 6) @ m.table.expand(2, 6, 7), 2 * TABLE),
    "einsum": (lambda m, x: torch.einsum("bij,bjk->bik", x[None], m.table[None]), TABLE),
    "graph": (lambda m, x: torch.einsum("nkct,kv->nctv", x[None, :, :, None], m.table[:4]), TABLE),
    "of the forward": (lambda _, x: torch.bmm(x[None], torch.eye(6, 7)[None]), TABLE),
    "relative": (lambda m, x: torch.einsum("bhc,hkc->bhk", x.view(4, 2, 3), m.table.view(2, 7, 3)), TABLE),
}
PLAIN = {
    **{
        f"plain {name}": Case(beside(f), randn(4, 5), 2 * (HEAD + flops), True) for name, (f, flops) in PRODUCTS.items()
    },
    # Weights that no module registers have gradients too.
    "plain layers": Case(
        beside(lambda m, x: torch.bmm(m.layers[0](x)[None], m.table[None]), layers=lambda: [nn.Linear(6, 6)]),
        randn(4, 5),
        2 * (HEAD + TABLE) + 3 * 2 * 4 * 6 * 6,
        True,
    ),
    "plain rows": Case(
        beside(lambda m, x: m.sparse @ x, sparse=lambda: torch.eye(3, 4).to_sparse_csr()),
        randn(4, 5),
        HEAD + 2 * 3 * 6,
        False,
        HEAD + 2 * 3 * 4 * 6,  # as if the rows were dense
    ),
    # A checkpoint runs the product of the forward once more.
    "plain checkpoint": Case(
        beside(lambda m, x: checkpoint(lambda y: torch.bmm(y[None], m.table[None]).sin(), x, use_reentrant=False)),
        randn(4, 5),
        2 * (HEAD + TABLE) + TABLE,
        True,
    ),
    "plain filters": Case(
        beside(
            lambda m, x: torch.einsum("bft,fm->bmt", spectrum(x, m.window).abs() ** 2, m.filters),
            window=lambda: torch.hann_window(8),
            filters=lambda: torch.randn(5, 3),
        ),
        randn(4, 5),
        2 * (HEAD + 2 * 13 * 5 * 3),
        True,
    ),
    # Distances are a product with two more columns, for squares. Their backward computes the gradients of both sides.
    "plain codebook": Case(
        beside(nearest, codes=lambda: torch.randn(40, 6)),
        randn(4, 5),
        2 * HEAD + DISTANCES // 6 * 8 + 2 * DISTANCES,
        True,
        2 * HEAD + 2 * DISTANCES,
    ),
    **{
        f"plain window, training {training}": Case(
            beside(
                lambda m, x: torch.istft(spectrum(x, m.window), 8, window=m.window), window=lambda: torch.hann_window(8)
            ),
            randn(4, 5),
            HEAD * (1 + training),
            training,
        )
        for training in (False, True)
    },
}


# ---- forwards that differentiate -------------------------------------------------------------------------------------

ENERGY = 2 * 4 * (8 * 16 + 16)  # of two layers for 4 rows


def energy() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 1))


def forces(self: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.energy(x).sum(), x)
    return -gradient


def forces_of_inputs(self: Any, x: torch.Tensor) -> torch.Tensor:
    return -torch.autograd.grad(self.energy(x.requires_grad_()).sum(), x)[0]


def by_backward(self: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        self.energy(x).sum().backward()
    assert x.grad is not None
    return x.grad


def curvature(self: Any, x: torch.Tensor) -> Any:
    """The second derivative along the first axis, as in a network for an equation of heat."""
    value = self.energy(x.requires_grad_())
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return torch.autograd.grad(first[:, 0].sum(), x)[0]


def descended(self: Any, x: torch.Tensor) -> torch.Tensor:
    for _ in range(3):
        x = x - 0.1 * forces(self, x)
    return x


def adapted(self: Any, x: torch.Tensor) -> torch.Tensor:
    """A weight that takes two steps before it is used."""
    with torch.enable_grad():
        weight = self.layer.weight.detach().requires_grad_()
        for _ in range(2):
            weight = weight - torch.autograd.grad(F.linear(x, weight).pow(2).mean(), weight)[0]
    return F.linear(x, weight)


def jacobian(self: Any, x: torch.Tensor) -> Any:
    return torch.autograd.functional.jacobian(lambda rows: self.energy(rows).sum(0), x)


DIFFERENTIATED: dict[str, tuple[Forward, int]] = {
    "forces": (forces, 2 * ENERGY),
    "forces of inputs": (forces_of_inputs, 2 * ENERGY),
    "backward in a forward": (by_backward, 3 * ENERGY),  # by the weights too
    # The derivative of the last layer is its weight, and its own derivative is none.
    "second derivatives": (curvature, 4 * ENERGY - 2 * 2 * 4 * 16),
    "descent": (descended, 3 * 2 * ENERGY),
    "func.grad": (lambda m, x: torch.func.grad(lambda rows: m.energy(rows).sum())(x), 2 * ENERGY),
    "func.vjp": (lambda m, x: torch.func.vjp(m.energy, x)[1](torch.ones(4, 1))[0], 2 * ENERGY),
    "func.vmap": (lambda m, x: torch.func.vmap(torch.func.grad(lambda row: m.energy(row).sum()))(x), 2 * ENERGY),
    "functional.jacobian": (jacobian, 2 * ENERGY),
}
DIFFERENTIATING = {
    **{name: Case(with_parts(f, energy=energy), randn(4, 8), flops) for name, (f, flops) in DIFFERENTIATED.items()},
    "adapted weights": Case(with_parts(adapted, layer=lambda: nn.Linear(8, 8)), randn(4, 8), 5 * 2 * 4 * 8 * 8),
}


# ---- packed sequences and lazy modules -------------------------------------------------------------------------------

LENGTHS = (3, 7, 5)
OUT = 2 * 3 * 7 * 32 * 4  # of a layer after the padded sequences


def packed(self: Any, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    sequences = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return self.out(pad_packed_sequence(self.rnn(sequences)[0], batch_first=True)[0])  # type: ignore[no-any-return]


def packed_of_mask(self: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return packed(self, x, mask.sum(1))


def sequences(*, mask: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor(LENGTHS)
    return torch.randn(3, 7, 16), torch.arange(7)[None] < lengths[:, None] if mask else lengths


def recurrent(kind: type[nn.RNNBase], forward: Forward = packed) -> Callable[[], nn.Module]:
    return with_parts(forward, rnn=lambda: kind(16, 32, batch_first=True), out=lambda: nn.Linear(32, 4))


def steps(gates: int, *, training: bool = False) -> int:
    """Products of the inputs and of the states. In a step, the inputs need no gradient, nor the first states."""
    once = 2 * gates * 32
    own = sum(LENGTHS) * once * (16 + 32)
    backward = sum(LENGTHS) * once * (16 + 2 * 32) - len(LENGTHS) * once * 32
    return own + OUT + (backward + 2 * OUT if training else 0)


PACKED = {
    **{
        f"packed {kind.__name__}, training {training}": Case(
            recurrent(kind), sequences, steps(gates, training=training), training
        )
        for kind, gates in ((nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1))
        for training in (False, True)
    },
    "packed by a mask": Case(recurrent(nn.LSTM, packed_of_mask), lambda: sequences(mask=True), steps(4)),
}

MLP = 2 * 4 * (16 * 32 + 32 * 8)
CNN = (2 * 2 * 7 * 7 * 8 * 3 * 9, 2 * 2 * 8 * 7 * 7 * 5)


def lazy_layers() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(8))


def lazy_network() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


LAZY = {
    "lazy layers": Case(lazy_layers, randn(4, 16), MLP),
    "lazy layers, training True": Case(lazy_layers, randn(4, 16), 3 * MLP - 2 * 4 * 16 * 32, True),
    "lazy network": Case(lazy_network, randn(2, 3, 9, 9), sum(CNN)),
    "lazy network, training True": Case(lazy_network, randn(2, 3, 9, 9), 2 * CNN[0] + 3 * CNN[1], True),
    "lazy transposed": Case(lambda: nn.LazyConvTranspose2d(8, 3), randn(2, 3, 9, 9), 2 * 2 * 9 * 9 * 3 * 8 * 9),
}


# ---- masks of blocks and nested tensors ------------------------------------------------------------------------------

ATTENTION = 4 * 2 * 256 * 256 * 16


def causal(_: Any, __: Any, row: Any, column: Any) -> Any:
    return row >= column


def block_mask() -> BlockMask:
    return create_block_mask(causal, None, None, 256, 256, device="cpu")


def attended(mask: Callable[[Any], Any]) -> Forward:
    return lambda self, q, *given: flex_attention(q, q, q, block_mask=mask((self, *given)))


BLOCKS = {
    "mask as an attribute": Case(
        with_parts(attended(lambda held: held[0].mask), mask=block_mask), randn(1, 2, 256, 16), ATTENTION
    ),
    "mask as an input": Case(
        with_parts(attended(lambda held: held[1])), lambda: (torch.randn(1, 2, 256, 16), block_mask()), ATTENTION
    ),
    "mask of the forward": Case(with_parts(attended(lambda _: block_mask())), randn(1, 2, 256, 16), ATTENTION),
}

NESTED_LENGTHS = (3, 5, 8)
NESTED_PRODUCTS = 4 * 2 * 16 * 32 * 32  # of four layers, for 16 rows
NESTED_SCORES = sum(4 * 4 * length**2 * 8 for length in NESTED_LENGTHS)


def nested_attention(self: Any, x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    rows = torch.nested.nested_tensor_from_jagged(x, offsets)
    q, k, v = (layer(rows).unflatten(-1, [4, 8]).transpose(1, 2) for layer in self.layers[:3])
    joined = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
    return self.layers[3](joined).values()  # type: ignore[no-any-return]


def nested_input(self: Any, rows: torch.Tensor) -> torch.Tensor:
    q = rows.unflatten(-1, [4, 8]).transpose(1, 2)
    return F.scaled_dot_product_attention(q, q, q).values()


def jagged() -> tuple[torch.Tensor, ...]:
    return (torch.nested.nested_tensor([torch.randn(n, 32) for n in NESTED_LENGTHS], layout=torch.jagged),)


def jagged_parts() -> tuple[torch.Tensor, ...]:
    return torch.randn(16, 32), torch.tensor([0, 3, 8, 16])


def four_layers() -> Callable[[], nn.Module]:
    return with_parts(nested_attention, layers=lambda: nn.ModuleList(nn.Linear(32, 32) for _ in range(4)))


# The counter fails on a nested tensor.
NESTED = {
    "nested attention": Case(four_layers(), jagged_parts, NESTED_PRODUCTS + NESTED_SCORES),
    # The input needs no gradient; fused attention computes its scores again.
    "nested attention, training True": Case(
        four_layers(), jagged_parts, 3 * NESTED_PRODUCTS - 3 * NESTED_PRODUCTS // 4 + 7 * NESTED_SCORES // 2, True
    ),
    "nested input": Case(with_parts(nested_input), jagged, NESTED_SCORES),
}


# ---- losses and gradients of their own kind --------------------------------------------------------------------------

CHOICE = 2 * 4 * 8 * 5  # of a layer from 8 to 5 for 4 rows
EMISSIONS = 2 * 12 * 3 * 8 * 20


def loss(function: Forward, *targets: Any) -> Case:
    module = with_parts(lambda self, x: function(self.head(x), *targets), head=lambda: nn.Linear(8, 5))
    return Case(module, randn(4, 8), 2 * CHOICE, True)


def ctc(*targets: Any, **options: Any) -> Case:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return F.ctc_loss(self.head(x).log_softmax(-1), *targets, **options)

    return Case(with_parts(forward, head=lambda: nn.Linear(8, 20)), randn(12, 3, 8), 2 * EMISSIONS, True)


def embedded(table: Callable[[], nn.Module], rows: int) -> Case:
    def tokens() -> tuple[torch.Tensor, ...]:
        return (torch.arange(15).view(3, 5),)

    return Case(lambda: nn.Sequential(table(), nn.Linear(8, 4)), tokens, 3 * 2 * rows * 8 * 4, True)


def twice(self: Any, tokens: torch.Tensor) -> torch.Tensor:
    return self.table(tokens) + self.table(tokens + 1)  # type: ignore[no-any-return]


STEPS = {
    "ctc": ctc(torch.ones(3, 4, dtype=torch.long), torch.full((3,), 12), torch.tensor([4, 2, 3])),
    "ctc of joined targets": ctc(torch.ones(9, dtype=torch.long), torch.full((3,), 12), torch.tensor([4, 2, 3])),
    "ctc of lists": ctc(torch.ones(9, dtype=torch.long), (12, 12, 12), (4, 2, 3), reduction="none"),
    "multi margin": loss(F.multi_margin_loss, torch.tensor([1, 2, 3, 0])),
    "multilabel margin": loss(F.multilabel_margin_loss, torch.tensor([[1, 2, -1, 0, 0]] * 4)),
    "gamma": loss(lambda x: torch.distributions.Gamma(x.exp(), x.exp()).rsample()),
    "dirichlet": loss(lambda x: torch.distributions.Dirichlet(x.exp()).rsample()),
    "sparse embedding": embedded(lambda: nn.Embedding(20, 8, sparse=True), 15),
    "sparse embedding, padded": embedded(lambda: nn.Embedding(20, 8, sparse=True, padding_idx=1), 15),
    "sparse embedding, twice": embedded(lambda: Wrapped(twice, table=nn.Embedding(20, 8, sparse=True)), 15),
    "sparse bag": embedded(lambda: nn.EmbeddingBag(20, 8, sparse=True), 3),
}

BETA = "ignore:Sparse CSR tensor support is in beta"
CASES = PLAIN | DIFFERENTIATING | PACKED | LAZY | BLOCKS | NESTED | STEPS


@pytest.mark.filterwarnings("ignore:attention on a nested tensor", "ignore:The PyTorch API of nested", BETA)
@pytest.mark.parametrize("name", CASES)
def test_products_are_those_by_hand(name: str) -> None:
    assert ic.count(captured(CASES[name])).total.contraction_flops == CASES[name].flops


@pytest.mark.parametrize("name", [name for name in CASES if name not in NESTED | BLOCKS])
@pytest.mark.filterwarnings(BETA)
@pytest.mark.sample(12)
def test_products_are_those_of_a_real_run(name: str) -> None:
    case = CASES[name]
    assert counted(case) == (case.flops if case.counter is None else case.counter)


# ---- what is told, refused and left as it was ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_step_of_a_speech_model_with_labels() -> None:
    transformers = pytest.importorskip("transformers")
    layers = {"conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    sizes = {"vocab_size": 32, "hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 1, "apply_spec_augment": False}
    config = transformers.Wav2Vec2Config(intermediate_size=64, **layers, **sizes, **positions)
    for name, value in vars(config).items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    model = transformers.Wav2Vec2ForCTC(config).train()
    given = {"input_values": torch.randn(2, 1600), "labels": torch.ones(2, 5, dtype=torch.long)}
    counter: Any = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        model(**given).loss.backward()
    with sdpa_kernel(SDPBackend.MATH):
        graph = ic.capture(model, ic.Inputs((), given), training=True)
    assert ic.count(graph).total.contraction_flops == counter.get_total_flops()


def test_lengths_of_targets_that_depend_on_data_are_a_size() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        scores = self.head(x)
        lengths = (scores.argmax(-1) > 3).sum(0)
        return F.ctc_loss(scores.log_softmax(-1), torch.ones(3, 4, dtype=torch.long), torch.full((3,), 12), lengths)

    graph = captured(Case(with_parts(forward, head=lambda: nn.Linear(8, 20)), randn(12, 3, 8), 0, True))
    assert graph.sizes["forward.ctc_loss"]["default"] == 4


def test_packed_sequences_of_an_open_number_of_steps() -> None:
    module = recurrent(nn.LSTM)()
    graph = ic.capture(module, sequences(), dynamic={0: {1: "steps"}})
    assert ic.count(graph, steps=9).total.contraction_flops == steps(4)  # those that are packed


def test_packed_sequences_of_unknown_lengths_are_refused_with_what_to_do() -> None:
    lengths = torch.empty(3, dtype=torch.int64, device="meta")
    with pytest.raises(CaptureError, match=r"reads the value of a tensor, its lengths: .* pass real tensors"):
        ic.capture(recurrent(nn.LSTM)(), (torch.randn(3, 7, 16), lengths))


def test_attention_on_nested_tensors_tells_of_its_kernels() -> None:
    with pytest.warns(UserWarning, match="nested tensor of 3 sequences is counted as one kernel per sequence"):
        graph = captured(NESTED["nested attention"])
    assert [graph.node(i).op for i in range(len(graph))].count("aten.scaled_dot_product_attention") == 3


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
def test_nested_tensors_without_meta_kernels_are_refused_with_what_to_do() -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        return torch.nested.nested_tensor([x[:3], x[3:]]).sin()

    with pytest.raises(CaptureError, match=r"no meta kernels: create them with layout=torch\.jagged"):
        ic.capture(Wrapped(forward), (torch.randn(8, 4),))


def test_functions_of_modules_that_a_forward_imports_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch imports its kernels of nested tensors when a model first makes one."""
    imported, key = ModuleType("imported"), ("imported", "product")
    imported.product = torch.linalg.eig  # type: ignore[attr-defined]  # fails for a vector
    monkeypatch.setitem(torch_state._UNCOMPILED, key, torch_state._replacing(key, lambda x: x @ x))

    def forward(_: Any, x: torch.Tensor) -> Any:
        monkeypatch.setitem(sys.modules, "imported", imported)
        return imported.product(x)

    assert ic.count(ic.capture(Wrapped(forward), (torch.randn(3),))).total.macs == 3
    assert imported.product is torch.linalg.eig


def test_blocks_of_a_mask_of_the_module_are_known() -> None:
    """Of four blocks of 128 x 128 the last of the first row is left out."""
    total = ic.count(captured(BLOCKS["mask as an attribute"])).total
    assert total.causal_flops == ATTENTION * 3 // 4


def test_lazy_modules_are_left_as_they_were() -> None:
    module: Any = lazy_network().eval()
    kinds, hooks = [type(part) for part in module], [dict(part._load_state_dict_pre_hooks) for part in module]
    graph = ic.capture(module, (torch.randn(2, 3, 9, 9),))
    assert ic.count(graph).total.parameters == 8 * 27 + 8 + 2 * 8 + 8 * 49 * 5 + 5
    assert [graph.node(i).op for i in range(len(graph))] == [
        *("aten.conv2d", "aten.batch_norm", "aten.relu", "aten.flatten", "aten.linear"),
    ]
    assert [type(part) for part in module] == kinds
    assert [dict(part._load_state_dict_pre_hooks) for part in module] == hooks
    assert "initialize_parameters" not in vars(module[0])
    module(torch.randn(2, 4, 9, 9))  # other channels: no shape was kept
    assert module[0].weight.shape == (8, 4, 3, 3)


def test_a_lazy_module_that_does_not_run_is_refused() -> None:
    module = Wrapped(lambda self, x: self.used(x), used=nn.LazyLinear(4), unused=nn.LazyLinear(3))
    with pytest.raises(CaptureError, match=r"weight 'unused\.weight' belongs to a lazy module .* does not run"):
        ic.capture(module, (torch.randn(2, 3),))


def test_tensors_are_equal_if_their_values_are() -> None:
    def forward(self: Any, x: torch.Tensor) -> Any:
        known = torch.equal(self.table, self.table.clone()) and not torch.equal(self.table, self.table + 1)
        return x @ self.table if known and not torch.equal(x, x * 2) else x

    graph = ic.capture(Wrapped(forward, table=torch.randn(3, 5)), (torch.empty(2, 3, device="meta"),))
    assert ic.count(graph).total.macs == 2 * 3 * 5
    assert graph.sizes["forward.equal"]["default"] == 0


def test_plain_tensors_keep_their_values_beside_activations() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.bmm(self.head(x)[None], self.table[None])
        columns = self.table.sum(0) > 10
        return y[..., columns] @ torch.ones(columns.sum().item(), 2) if self.table.max() > 3 else y

    def wide() -> torch.Tensor:
        return torch.arange(42.0).view(7, 6).t() % 5

    case = Case(with_parts(forward, head=lambda: nn.Linear(5, 6), table=wide), randn(4, 5), 0, True)
    columns = int((wide().sum(0) > 10).sum())
    assert 0 < columns < 7
    assert ic.count(captured(case)).by_phase()["forward"].contraction_flops == HEAD + TABLE + 2 * 4 * columns * 2
    assert not captured(case).sizes


def test_what_is_written_to_a_plain_tensor_has_its_gradient() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros(8, 6)
        y = torch.bmm(self.head(x)[None], self.table[None])
        kept[:4] = self.other(x)
        return kept.sum() + y.sum()

    parts = {"head": lambda: nn.Linear(5, 6), "other": lambda: nn.Linear(5, 6), "table": lambda: torch.randn(6, 7)}
    case = Case(with_parts(forward, **parts), randn(4, 5), 0, True)
    assert ic.count(captured(case)).total.contraction_flops == 2 * (2 * HEAD + TABLE)


def test_an_input_outlives_its_detached_form() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x.detach() * 2)
        return y + x

    graph = captured(Case(with_parts(forward, layer=lambda: nn.Linear(8, 8)), randn(4, 8), 0, True))
    assert ic.count(graph).total.macs == 2 * 4 * 8 * 8


def test_gradients_of_a_forward_belong_to_the_forward_and_to_their_modules() -> None:
    graph = captured(DIFFERENTIATING["forces"])
    nodes = [graph.node(i) for i in range(len(graph))]
    products = [node.module for node in nodes if node.op in {"aten.addmm", "aten.mm"}]
    assert products == ["energy.0", "energy.2", "energy.2", "energy.0"]
    assert (nodes[-1].op, nodes[-1].module) == ("aten.neg", "")
    assert list(ic.count(graph).by_phase()) == ["forward"]
