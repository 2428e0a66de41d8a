"""Small folders of synthetic measurements, and fixtures that run the benchmark."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Last, so that an installed wheel of the package wins over the sources beside the benchmarks.
sys.path.append(str(Path(__file__).parents[2]))

_LAYER_OPS = [
    "emb", "input_layernorm", "attn_pre_proj", "attn_rope", "attn_post_proj", "post_attention_layernorm", "mlp_up_proj",
    "mlp_act", "mlp_down_proj", "add",
]  # fmt: skip
_TPU_LAYERS = [
    "input_layernorm", "rope", "embedding", "q_proj", "o_proj", "post_layernorm", "gate_proj", "up_proj", "act_fn",
    "down_proj", "final_layernorm", "lm_head",
]  # fmt: skip
_APPLE_OPS = [
    ("Argmax", "dim=64x1024x128 axi=0"), ("BCE", "dim=128x1000 dim=128x1000"),
    ("Concat", "dim=1000x64 dim=1000x128 axi=1"), ("Conv1d", "dim=100x256x3 dim=8x3x3"),
    ("Conv2d", "dim=100x28x28x3 dim=8x3x3x3"), ("Gather", "dim=64x256 dim=1000"),
    ("LayerNorm", "dim=64x128x1024"), ("LeakyReLU", "dim=64x128x1024"),
    ("Linear", "dim=100x1024x32 dim=32x1024 dim=1024"), ("MatMul", "dim=100x64x256 dim=256x32"),
    ("PReLU", "dim=64x128x1024 dim=1"), ("ReLU", "dim=64x128x1024"),
    ("ScaledDotProductAttention", "dim=64x8x16x1024 dim=64x8x64x1024 dim=64x8x64x1024"),
    ("Scatter", "dim=64x16 dim=1000"), ("SeLU", "dim=64x128x1024"), ("Sigmoid", "dim=64x128x1024"),
    ("Softmax", "dim=64x16x32x1024 axi=-1"), ("Softplus", "dim=64x128x1024"), ("Sort", "dim=64x128x1024 axi=1"),
    ("Sum", "dim=64x128x128 axi=2"), ("SumAll", "dim=64x128x128"),
]  # fmt: skip
_ELEMENTWISE = ["add", "mul", "pow", "div", "addu", "mulu", "powu", "divu", "relu", "gelu", "tanh"]

TABLES = {
    "gemm": """\
device,software,dtype,m,n,k,latency_us
a100-sxm-80gb,engine 1,bfloat16,64,4096,4096,30
a100-sxm-80gb,engine 1,bfloat16,1,4096,4096,20
a100-sxm-80gb,engine 1,int8_wo,64,4096,4096,20
a100-sxm-80gb,engine 1,int4_wo,64,4096,4096,15
a100-sxm-80gb,engine 1,sq,64,4096,4096,20
mi300x,engine 2,fp8,64,4096,4096,25
mi300x,engine 2,fp8_static,64,4096,4096,20
""",
    "gemm_power": """\
device,software,dtype,m,n,k,latency_us,power_w
b200-sxm-180gb,engine 1,bfloat16,64,4096,4096,15,500
""",
    "attention": """\
device,software,phase,batch,query_tokens,context_tokens,heads,kv_heads,head_dim,dtype,kv_dtype,latency_us
l4,engine 1,context,1,512,512,32,8,128,bfloat16,bfloat16,120
l4,engine 1,generation,16,1,2048,32,8,128,bfloat16,fp8,300
""",
    "moe": """\
device,software,dtype,tokens,hidden,intermediate,top_k,experts,tensor_parallel,expert_parallel,routing,latency_us
h100-sxm-80gb,engine 1,bfloat16,64,2048,768,8,128,1,1,balanced,400
h100-sxm-80gb,engine 1,bfloat16,64,2048,768,8,128,1,8,power_law_1.2,90
h100-sxm-80gb,engine 1,fp8,64,2048,768,8,128,2,1,balanced,300
""",
    "llm_layers": """\
device,model,num_tokens,num_tensor_parallel_workers,n_embd,n_expanded_embd,n_head,n_kv_head,vocab_size,use_gated_mlp,op,latency_us
"""
    + "".join(f"a100-sxm-80gb,some/model,64,2,4096,11008,32,32,32768,True,{op},20\n" for op in _LAYER_OPS),
    "fp32_linear": "device,op,batch,m,n,k,latency_us\nt4,linear,1,512,1024,1024,300\n",
    "fp32_bmm": "device,op,batch,m,n,k,latency_us\nxeon-8380,bmm,16,196,196,64,400\n",
    "fp32_conv2d": """\
device,op,batch,in_channels,out_channels,kernel,image_size,stride,padding,latency_us
t4,conv,8,64,64,3,56,1,1,900
""",
    "fp32_elementwise": "device,op,rows,columns,latency_us\n"
    + "".join(f"t4,{op},16384,1024,600\n" for op in _ELEMENTWISE),
    "fp32_layernorm": "device,op,rows,columns,latency_us\nt4,ln,16384,1024,600\n",
    "fp32_softmax": "device,op,rows,columns,latency_us\nt4,softmax,16384,1024,600\n",
    "tpu_layers": "device,model,layer,tokens,latency_us\n"
    + "".join(f"tpu-v6e,meta-llama/Llama-3.1-8B,{layer},512,100\n" for layer in _TPU_LAYERS),
    "apple_ops": "device,gpu_cores,mlx,backend,op,shapes,latency_ms\n"
    + "".join(
        f"apple-m1,8,,{backend},{op},{shapes},5\n" for backend in ("mlx_gpu", "mps") for op, shapes in _APPLE_OPS
    ),
    "collectives": """\
device,software,op,dtype,gpus,elements,latency_us
h100-sxm-80gb,nccl 2,all_reduce,half,8,1048576,40
""",
    "all_reduce_engines": """\
device,software,execution,dtype,gpus,size_bytes,latency_us
a100-sxm-80gb,engine 1,graph,bfloat16,4,1048576,30
a100-sxm-80gb,engine 1,eager,bfloat16,4,1048576,60
""",
    "expert_all_to_all": """\
device,software,mode,op,nodes,gpus,hidden,tokens_per_gpu,top_k,experts,element_bytes,sms,notify_us,latency_us
h100-sxm-80gb,deepep,low_latency,dispatch,1,8,7168,128,8,256,1,,,100
h100-sxm-80gb,deepep,normal,combine,1,8,7168,4096,8,256,2,24,10,900
""",
}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A folder with a few rows of every table that needs no model."""
    folder = tmp_path / "measured"
    folder.mkdir()
    for name, text in TABLES.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def judge(measured: Path, tmp_path: Path) -> Callable[..., int]:
    """The command line on that folder: `judge("--table", "gemm")` returns the exit code."""
    from benchmarks.accuracy.__main__ import main

    def run(*arguments: str) -> int:
        return main(["--measured", str(measured), "--cache", str(tmp_path / "cache"), "--workers", "1", *arguments])

    return run
