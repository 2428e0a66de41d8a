"""The doors, one file each."""

TABLE = {
    "graph-json": "fuzz.doors.graph_json:GraphJson",
    "engines": "fuzz.doors.engines:Engines",
    "captured-graphs": "fuzz.doors.captured_graphs:CapturedGraphs",
    "transforms": "fuzz.doors.transforms:Transforms",
    "reports": "fuzz.doors.reports:Reports",
    "operators": "fuzz.doors.operators:Operators",
    "expressions": "fuzz.doors.expressions:Expressions",
    "archives": "fuzz.doors.archives:Archives",
    "safetensors": "fuzz.doors.safetensors:Safetensors",
    "arrays": "fuzz.doors.arrays:Arrays",
    "tensors": "fuzz.doors.tensors:Tensors",
    "hardware-toml": "fuzz.doors.hardware_toml:HardwareToml",
    "hardware-json": "fuzz.doors.hardware_json:HardwareJson",
    "deployments": "fuzz.doors.deployments:Deployments",
    "collectives": "fuzz.doors.collectives:Collectives",
    "conditions": "fuzz.doors.conditions:Conditions",
    "sweeps": "fuzz.doors.sweeps:Sweeps",
    "stored-sweeps": "fuzz.doors.stored_sweeps:StoredSweeps",
    "profiles": "fuzz.doors.profiles:Profiles",
    "limits": "fuzz.doors.limits:Limits",
    "arguments": "fuzz.doors.arguments:Arguments",
    "command-line": "fuzz.doors.command_line:CommandLine",
    "model-configs": "fuzz.doors.model_configs:ModelConfigs",
    "diffusion-configs": "fuzz.doors.diffusion_configs:DiffusionConfigs",
}
"""Name of a door -> its module and class."""
