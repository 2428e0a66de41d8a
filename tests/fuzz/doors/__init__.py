"""The doors, one file each."""

TABLE = {
    "graph-json": "fuzz.doors.graph_json:GraphJson",
    "operators": "fuzz.doors.operators:Operators",
    "expressions": "fuzz.doors.expressions:Expressions",
    "hardware": "fuzz.doors.hardware_toml:HardwareToml",
}
"""Name of a door -> its module and class."""
