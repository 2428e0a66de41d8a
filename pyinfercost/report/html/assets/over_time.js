/* Charts over time: areas on top of each other, lines, and a band, as steps from interval to interval.
     spans    [[from, to]] of the intervals
     span     [low, high] of the axis
     areas, lines  [{values, color, dash}]; a value that is unknown is null
     band     {low, high, color}
     top      end of the vertical axis
     x, y     other properties of the axes
   Other properties are those of a chart. */
function overTime({ spans, span, areas = [], lines, band, top, x, y, ...more }) {
  const steps = stepsOf(spans);
  const stacks = stackOf(areas.map(({ values }) => values));
  const filled = areas.map(({ color }, at) => ({ values: steps.of(stacks[at]), fill: color })).reverse();
  const ends = band ? [band.low, band.high].map((values) => ({ values: steps.of(values) })) : [];
  if (band) Object.assign(ends[1], { above: filled.length, fill: band.color, opacity: 0.22 });
  const drawn = lines.map((line) => ({ ...line, values: steps.of(line.values) }));
  return {
    x: { low: span[0], high: span[1], ...x },
    y: { low: 0, high: top > 0 ? top : 1, ...y },
    at: steps.at,
    lines: [...filled, ...ends, ...drawn],
    items: spans.map(([from, to]) => ({ x: Math.min(span[1], Math.max(span[0], (from + to) / 2)) })),
    nearest: true,
    ...more,
  };
}

/* The end of an axis with room above what is drawn. */
const ROOM = 1.08;
const endOf = (columns) => ROOM * Math.max(0, ...columns.flat().filter(known));
