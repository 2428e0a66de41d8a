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
    "collectives": """\
device,software,op,dtype,gpus,elements,latency_us
h100-sxm-80gb,nccl 2,all_reduce,half,8,1048576,40
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
