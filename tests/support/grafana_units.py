"""Identifiers of units in Grafana, of the kinds that a dashboard of costs may use.

From the categories Misc, Computation, Currency, Data (metric), Data rate, Energy, Throughput and Time of
`packages/grafana-data/src/valueFormats/categories.ts` (Apache-2.0), read in November 2026. Grafana shows an unknown one
as a suffix of the number.
"""

UNITS = frozenset(
    (
        *("none", "string", "short", "percent", "percentunit", "sci", "locale"),
        *("flops", "mflops", "gflops", "tflops", "pflops", "eflops"),
        *("currencyUSD", "currencyGBP", "currencyEUR", "currencyJPY"),
        *("decbits", "decbytes", "deckbytes", "decmbytes", "decgbytes", "dectbytes"),
        *("pps", "bps", "Bps", "KBs", "MBs", "GBs", "TBs"),
        *("watt", "kwatt", "mwatt", "watth", "kwatth", "joule"),
        *("cps", "ops", "reqps", "rps", "wps", "iops", "cpm", "opm", "reqpm"),
        *("hertz", "ns", "µs", "ms", "s", "m", "h", "d", "dtdurationms", "dtdurations"),
    )
)
