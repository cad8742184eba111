// Charts by Apache ECharts. They take their colours from the style sheet, so that light, dark and paper are said once.

const charts = new Set();

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  return {
    ink: color("ink"), muted: color("muted"), line: color("line"), surface: color("surface"), accent: color("accent"),
    series: Array.from({ length: COLORS }, (_, i) => color("series-" + (i + 1))),
    frames: Array.from({ length: 5 }, (_, i) => color("frame-" + (i + 1))),
    entry: color("frame-entry"), data: color("frame-data"), found: color("frame-found"), frameInk: color("frame-ink"),
    foreign: color("foreign"), own: color("own"), plain: color("plain"),
    font: style.getPropertyValue("--sans").trim(), mono: style.getPropertyValue("--mono").trim(),
  };
}

/** Width of the longest text on an axis, at most a limit; the library's own measure comes out short for some fonts. */
function labelWidth(texts, colors, limit) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = "12px " + colors.font;
  return Math.min(limit, Math.ceil(texts.reduce((most, text) => Math.max(most, context.measureText(text).width), 0) * 1.04) + 2);
}

/** A colour nearer to the background, without being transparent. */
function pale(color, colors, part) {
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const background = channels(colors.surface);
  return "#" + channels(color).map((value, i) => Math.round(value * part + background[i] * (1 - part)).toString(16).padStart(2, "0")).join("");
}

/** What all charts have in common. */
function base(colors) {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: colors.font, color: colors.ink, fontSize: 12 },
    tooltip: {
      backgroundColor: colors.surface, borderColor: colors.line, textStyle: { color: colors.ink, fontSize: 12 },
      confine: true, transitionDuration: 0, extraCssText: "box-shadow:0 2px 10px rgb(0 0 0 / .18);white-space:normal;max-width:32rem",
    },
  };
}

function valueAxis(colors, extra) {
  return {
    type: "value",
    axisLabel: { color: colors.muted, fontSize: 11, hideOverlap: true },
    splitLine: { lineStyle: { color: colors.line } },
    nameTextStyle: { color: colors.muted, fontSize: 11 },
    ...extra,
  };
}

/**
 * A chart.
 *
 * describe: what it shows, for those who do not see it. option(colors, width): as ECharts has it.
 */
function chart(height, describe, option) {
  const node = el("div", { class: "chart", role: "img", "aria-label": describe });
  node.style.height = height + "px";
  const item = { node, instance: null, option, draw };
  const watcher = new ResizeObserver(() => {
    if (node.isConnected && node.clientWidth > 0) {
      draw();
    }
  });

  function draw() {
    if (node.clientWidth === 0) {
      return;
    }
    if (item.instance === null) {
      item.instance = echarts.init(node, null, { renderer: "svg" });
      item.ready?.(item.instance);
    }
    item.instance.resize({ width: node.clientWidth, height: node.clientHeight });
    const colors = theme();
    // Without this the library keeps texts of shapes that no longer have one.
    item.instance.clear();
    item.instance.setOption({ ...base(colors), ...merge(base(colors), option(colors, node.clientWidth)) });
  }

  function merge(common, own) {
    return own.tooltip ? { ...own, tooltip: { ...common.tooltip, ...own.tooltip } } : own;
  }

  watcher.observe(node);
  item.drop = () => {
    watcher.disconnect();
    item.instance?.dispose();
    charts.delete(item);
  };
  charts.add(item);
  return item;
}

function redrawCharts() {
  for (const item of charts) {
    item.draw();
  }
}

/** Lines of a tooltip, as nodes. */
function tip(title, rows) {
  return el("div", { class: "tip" }, el("strong", {}, title),
    el("table", {}, el("tbody", {}, rows.map(([name, value, color]) => el("tr", {},
      el("th", {}, color ? swatch(color) : null, name), el("td", {}, value))))));
}

function swatch(color) {
  const node = el("span", { class: "swatch" });
  node.style.background = color;
  return node;
}

/** Colours of the style sheet for kinds of things. */
const COLORS = 10;

/** Kinds of events that are too small for a colour of their own. */
const SMALL = "all others";

/** Cost of each policy, by kind of event, at its low and at its high. */
function comparisonChart(figures) {
  const shown = figures.filter((policy) => policy.share.high > 0);
  if (shown.length === 0) {
    return null;
  }
  const weights = new Map();
  for (const policy of shown) {
    for (const part of policy.parts) {
      weights.set(part.event, (weights.get(part.event) ?? 0) + part.share.high);
    }
  }
  const all = [...weights.keys()].sort((a, b) => weights.get(b) - weights.get(a));
  const partOf = (policy, event) => policy.parts.find((candidate) => candidate.event === event)?.share ?? { low: 0, high: 0 };
  // No colour stands for two kinds of events: the last is for all that are small.
  const alone = all.length > COLORS ? all.slice(0, COLORS - 1) : all;
  const small = all.slice(alone.length);
  const events = small.length > 0 ? [...alone, SMALL] : alone;
  const part = (policy, event) => (event !== SMALL ? partOf(policy, event)
    : small.map((one) => partOf(policy, one)).reduce((sum, one) => ({ low: sum.low + one.low, high: sum.high + one.high })));
  const colorOf = (colors, event) => colors.series[event === SMALL || small.includes(event) ? COLORS - 1 : events.indexOf(event)];
  const description = "Bars of the cost of each policy, low to high: "
    + shown.map((policy) => policy.name + " " + percents(policy.share)).join("; ") + ".";
  const names = shown.map((policy) => policy.name);
  return chart(84 + shown.length * 56, description, (colors, width) => {
    const left = labelWidth(names, colors, width < 560 ? 110 : 220);
    const series = [];
    for (const bound of ["low", "high"]) {
      events.forEach((event) => series.push({
        name: event, type: "bar", stack: bound, barWidth: 15, barGap: "12%", cursor: "default",
        itemStyle: { color: pale(colorOf(colors, event), colors, bound === "low" ? 0.6 : 1) },
        data: shown.map((policy) => part(policy, event)[bound] * 100),
      }));
      series.push({
        name: bound, type: "bar", stack: bound, cursor: "default", silent: true,
        itemStyle: { color: "transparent" },
        label: {
          show: true, position: "right", color: colors.muted, fontSize: 11,
          formatter: (item) => bound + " " + percent(shown[item.dataIndex].share[bound]),
        },
        data: shown.map(() => 0),
      });
    }
    return {
      grid: { left: left + 12, right: 92, top: width < 560 ? 56 : 34, bottom: 50 },
      legend: {
        data: events.map((event) => ({ name: event, itemStyle: { color: colorOf(colors, event) } })),
        top: 0, left: 0, itemWidth: 11, itemHeight: 11, itemGap: 14, icon: "rect", selectedMode: false, textStyle: { color: colors.ink, fontSize: 12 },
      },
      xAxis: valueAxis(colors, {
        name: "of the workload's own cycles", nameLocation: "middle", nameGap: 24,
        axisLabel: { color: colors.muted, fontSize: 11, hideOverlap: true, formatter: (value) => value.toLocaleString("en-US") + NBSP + "%" },
      }),
      yAxis: {
        type: "category", inverse: true, data: names, axisTick: { show: false },
        axisLine: { lineStyle: { color: colors.line } }, axisLabel: { color: colors.ink, fontSize: 12, width: left, overflow: "truncate" },
      },
      tooltip: {
        trigger: "axis", axisPointer: { type: "shadow" },
        formatter: (items) => {
          const policy = shown[items[0].dataIndex];
          return tip(policy.name + ": " + percents(policy.share), all
            .filter((event) => partOf(policy, event).high > 0)
            .map((event) => [event, percents(partOf(policy, event)), colorOf(colors, event)]));
        },
      },
      series,
    };
  });
}

/** Exits and kernel entries over virtual time. */
function timelineChart(buckets) {
  const rate = (value, bucket) => (bucket.length > 0 ? value / (bucket.length / 1e6) : 0);
  const end = buckets.reduce((last, bucket) => Math.max(last, bucket.nanoseconds + bucket.length), 0);
  const [unit, scale] = end >= 1e9 ? ["s", 1e9] : end >= 1e6 ? ["ms", 1e6] : ["µs", 1e3];
  const points = (value) => [
    ...buckets.map((bucket) => [bucket.nanoseconds / scale, rate(value(bucket), bucket)]),
    [end / scale, buckets.length > 0 ? rate(value(buckets.at(-1)), buckets.at(-1)) : 0],
  ];
  const peak = buckets.reduce((most, bucket) => Math.max(most, rate(bucket.exits, bucket)), 0);
  const description = "Exits and kernel entries for each millisecond over " + significant(end / scale) + " " + unit
    + " of virtual time; at most " + significant(peak) + " exits each millisecond.";
  return chart(288, description, (colors) => {
    const grid = (top, height) => ({ left: 56, right: 16, top, height });
    const xAxis = (index, shown) => ({
      type: "value", gridIndex: index, min: 0, max: end / scale, name: shown ? "virtual time (" + unit + ")" : "", nameLocation: "middle", nameGap: 26,
      nameTextStyle: { color: colors.muted, fontSize: 11 }, splitLine: { show: false }, axisTick: { show: shown },
      axisLine: { show: true, onZero: false, lineStyle: { color: colors.line } },
      axisLabel: { show: shown, color: colors.muted, fontSize: 11, showMaxLabel: false, formatter: (value) => significant(value) },
    });
    const yAxis = (index, name) => valueAxis(colors, {
      gridIndex: index, name, nameLocation: "end", nameGap: 8, splitNumber: 3, nameTextStyle: { color: colors.muted, fontSize: 11, align: "left", padding: [0, 0, 0, -44] },
    });
    const line = (index, value, color) => ({
      type: "line", step: "end", symbol: "none", xAxisIndex: index, yAxisIndex: index, data: points(value), cursor: "default",
      lineStyle: { color, width: 1.2 }, areaStyle: { color, opacity: 0.22 }, itemStyle: { color },
    });
    return {
      axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: colors.muted } },
      grid: [grid(26, 100), grid(162, 86)],
      xAxis: [xAxis(0, false), xAxis(1, true)],
      yAxis: [yAxis(0, "exits each millisecond"), yAxis(1, "kernel entries each millisecond")],
      tooltip: {
        trigger: "axis",
        formatter: (items) => {
          const bucket = buckets[Math.min(items[0].dataIndex, buckets.length - 1)];
          return tip("from " + significant(bucket.nanoseconds / scale) + " " + unit, [
            ["exits", count(bucket.exits)], ["kernel entries", count(bucket.entries)],
            ["exits for each entry", bucket.entries > 0 ? significant(bucket.exits / bucket.entries) : "–"]]);
        },
      },
      series: [line(0, (bucket) => bucket.exits, colors.series[0]), line(1, (bucket) => bucket.entries, colors.plain)],
    };
  });
}

function exposureClass(row) {
  return !row.sensitive ? "plain" : row.owner === "own process" ? "own" : "foreign";
}

const EXPOSURE_WORDS = {
  foreign: "sensitive, of the kernel or of others", own: "sensitive, the process's own", plain: "not sensitive",
};

/** Reachable bytes of each kind and owner: average as a bar, maximum as a mark. */
function exposureChart(rows) {
  const shown = [...rows].filter((row) => row.maximum > 0).sort((a, b) => b.maximum - a.maximum).slice(0, 16);
  if (shown.length === 0) {
    return null;
  }
  const description = "Bars of reachable memory: " + shown.slice(0, 5)
    .map((row) => row.kind + " of " + row.owner + " at most " + bytes(row.maximum)).join("; ") + ".";
  const names = shown.map((row) => row.kind + " · " + row.owner);
  // Eight steps at most, each a power of two.
  const step = 2 ** Math.ceil(Math.log2(shown[0].maximum / 8));
  return chart(82 + shown.length * 26, description, (colors, width) => ({
    grid: { left: labelWidth(names, colors, width < 560 ? 130 : 300) + 12, right: 76, top: 30, bottom: 50 },
    legend: {
      top: 0, left: 0, itemWidth: 11, itemHeight: 11, icon: "rect", selectedMode: false, textStyle: { color: colors.ink, fontSize: 12 },
      data: ["foreign", "own", "plain"].filter((kind) => shown.some((row) => exposureClass(row) === kind))
        .map((kind) => ({ name: EXPOSURE_WORDS[kind], itemStyle: { color: colors[kind] } })),
    },
    xAxis: valueAxis(colors, {
      max: Math.ceil(shown[0].maximum / step) * step, interval: width < 560 ? step * 4 : step, name: "full colour: on average, pale: at most", nameLocation: "middle", nameGap: 24,
      axisLabel: { color: colors.muted, fontSize: 11, hideOverlap: true, formatter: (value) => bytes(value) },
    }),
    yAxis: {
      type: "category", inverse: true, data: names, axisTick: { show: false },
      axisLine: { lineStyle: { color: colors.line } }, axisLabel: { color: colors.ink, fontSize: 12, width: labelWidth(names, colors, width < 560 ? 130 : 300), overflow: "truncate" },
    },
    tooltip: {
      trigger: "item",
      formatter: (item) => {
        const row = shown[item.dataIndex];
        return tip(row.kind + " · " + row.owner, [["at most", bytes(row.maximum)], ["on average", bytes(row.average)], ["class", EXPOSURE_WORDS[exposureClass(row)]]]);
      },
    },
    series: ["foreign", "own", "plain"].flatMap((kind) => {
      const values = (value) => shown.map((row) => (exposureClass(row) === kind ? value(row) : null));
      return [
        { name: EXPOSURE_WORDS[kind], type: "bar", barWidth: 14, barGap: "-100%", cursor: "default", itemStyle: { color: pale(colors[kind], colors, 0.4) }, data: values((row) => row.maximum),
          label: { show: true, position: "right", color: colors.muted, fontSize: 11, formatter: (item) => bytes(shown[item.dataIndex].maximum) } },
        { name: EXPOSURE_WORDS[kind], type: "bar", barWidth: 14, barGap: "-100%", cursor: "default", itemStyle: { color: colors[kind] }, data: values((row) => row.average) },
      ];
    }),
  }));
}

/** The restricted address space: regions, in them kinds of pages, in them names. classOf(kind): how bad it is if reachable. */
function mapChart(regions, classOf) {
  const tree = new Map();
  for (const part of regions.filter((candidate) => candidate.mapped > 0)) {
    const kinds = tree.get(part.region) ?? tree.set(part.region, new Map()).get(part.region);
    (kinds.get(part.kind) ?? kinds.set(part.kind, []).get(part.kind)).push(part);
  }
  if (tree.size === 0) {
    return null;
  }
  const allKinds = [...new Set(regions.map((part) => part.kind))];
  const total = regions.reduce((sum, part) => sum + part.mapped, 0);
  const description = "Areas of the restricted address space, " + bytes(total) + " in all: " + [...tree.keys()].join(", ") + ".";
  return chart(420, description, (colors) => {
    const color = (kind) => {
      const plain = colors.series[allKinds.indexOf(kind) % colors.series.length];
      return pale(classOf(kind) === "plain" ? plain : colors[classOf(kind)], colors, 0.5);
    };
    const data = [...tree].map(([region, kinds]) => ({
      name: region,
      children: [...kinds].map(([kind, parts]) => (parts.length === 1
        ? { name: parts[0].name === "" ? kind : kind + " " + parts[0].name, value: parts[0].mapped, itemStyle: { color: color(kind) } }
        : {
          name: kind, itemStyle: { color: color(kind) },
          children: parts.map((part) => ({ name: part.name || "other", value: part.mapped, itemStyle: { color: color(kind) } })),
        })),
    }));
    const path = (item) => item.treePathInfo.slice(1).map((step) => step.name).join(" › ");
    return {
      tooltip: { formatter: (item) => tip(path(item), [["mapped", bytes(item.value)], ["of the whole", percent(item.value / total)]]) },
      series: [{
        type: "treemap", name: "whole", data, left: 0, right: 0, top: 0, bottom: 30, roam: false, nodeClick: "zoomToNode", animation: false, visibleMin: 30,
        // All levels there are; said, the path above the chart begins at the whole and not at what happens to be in the middle.
        leafDepth: 3, drillDownIcon: "",
        breadcrumb: {
          bottom: 0, height: 22, emptyItemWidth: 40,
          itemStyle: { color: colors.surface, borderColor: colors.line, borderWidth: 1, textStyle: { color: colors.ink }, shadowBlur: 0 },
          emphasis: { itemStyle: { color: colors.line, textStyle: { color: colors.ink } } },
        },
        label: { show: true, color: colors.ink, fontSize: 11, lineHeight: 15, overflow: "truncate", position: "insideTopLeft", padding: 2, formatter: (item) => item.name + "\n" + bytes(item.value) },
        upperLabel: { show: true, height: 20, color: colors.ink, fontSize: 11, formatter: (item) => item.name + "  " + bytes(item.value) },
        levels: [
          { itemStyle: { borderColor: colors.surface, borderWidth: 0, gapWidth: 3 }, upperLabel: { show: false } },
          { itemStyle: { borderColor: colors.line, borderWidth: 2, gapWidth: 1 }, upperLabel: { fontWeight: "bold" } },
          { itemStyle: { borderColor: colors.surface, borderWidth: 1, gapWidth: 1 }, upperLabel: { show: true, height: 17 } },
          { itemStyle: { borderWidth: 0, gapWidth: 1 } },
        ],
      }],
    };
  });
}
