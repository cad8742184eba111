// What each section shows. All take data of the run and give nodes.

/** Columns of the comparison that stand before and after the flushes, which differ from run to run. */
function comparisonTable(figures, selected, choose, meaning) {
  const flushes = [...new Set(figures.flatMap((policy) => Object.keys(policy.flushes)))].sort();
  const number = (title, value, help, show = count) => ({
    title, help, numeric: true, value: (row) => value(row), show: (row) => show(value(row)),
  });
  const columns = [
    {
      title: "policy", value: (row) => row.name,
      show: (row) => el("button", { type: "button", class: "link", click: () => choose(row.name) }, row.name),
    },
    { title: "cost, low to high", numeric: true, value: (row) => (row.share.low + row.share.high) / 2, show: (row) => percents(row.share), help: "Cycles that the policy adds, as a share of the workload's own cycles." },
    number("exits", (row) => row.exits, meaning("exits")),
    number("exits per kernel entry", (row) => row.exitsPerEntry, meaning("exits.per.entry") ?? "Exits divided by kernel entries.", significant),
    number("maps", (row) => row.mapped, meaning("pages.mapped")),
    number("shootdowns", (row) => row.shootdowns, meaning("shootdowns")),
    ...flushes.map((kind) => number("flush " + kind, (row) => row.flushes[kind] ?? 0, meaning("flushes." + kind))),
    number("table memory", (row) => row.tableBytes, meaning("table.bytes"), bytes),
    number("exposed, average", (row) => row.exposedAverage, "Sensitive memory of the kernel or of other processes that could be reached, on average over samples.", bytes),
    number("exposed, at most", (row) => row.exposedMaximum, "The same: the sum of the most that each kind had.", bytes),
  ];
  return dataTable(columns, { name: "Policies", rows: figures, selected: (row) => row.name === selected });
}

function tiles(policy, figures) {
  const tile = (value, name, help) => el("div", { class: "tile", title: help }, el("strong", {}, value), el("span", {}, name));
  return [
    tile(percents(policy.share), "added to the workload's cycles", "Low to high, from the ranges of what one event costs."),
    tile(count(figures.exits), "exits", "Switches from the restricted to the unrestricted address space."),
    tile(significant(figures.exitsPerEntry), "exits per kernel entry", "Exits divided by kernel entries."),
    tile(bytes(figures.exposedMaximum), "foreign sensitive memory reachable, at most", "Of the kernel or of other processes."),
  ];
}

function changesTable(changes, choose) {
  const columns = [
    { title: "kind of data", value: (row) => row.kind, help: "What would be marked nonsensitive." },
    { title: "for example", wide: true, value: (row) => row.data, help: "What is touched most often." },
    { title: "sensitive by", wide: true, value: (row) => row.rule, help: "What of the policy keeps it out, with the line of the policy's file." },
    { title: "saves exits", numeric: true, value: (row) => row.saved, show: (row) => count(row.saved), help: "Exits that would go away." },
    { title: "of all exits", numeric: true, value: (row) => row.savedShare, show: (row) => percent(row.savedShare), help: "The same as a share of all exits of the policy." },
    { title: "saves cost", numeric: true, value: (row) => row.savedCost.high, show: (row) => percents(row.savedCost), help: "What these exits add to the workload's own cycles, low to high." },
    { title: "exposes", numeric: true, value: (row) => row.exposed, show: (row) => bytes(row.exposed), help: "Bytes that would become reachable: pages of the kind that are not exposed yet." },
    { title: "causes", numeric: true, value: (row) => row.causes.length, show: (row) => el("button", { type: "button", class: "link", title: "Filter the causes by this kind", click: () => choose(row.kind) }, count(row.causes.length)), help: "How many causes touch it." },
  ];
  return dataTable(columns, { name: "Changes that would save most exits", rows: changes, first: 8 });
}

/** Exits at kernel entries and context switches touch nothing. */
function access(cause) {
  return cause.rule === "" ? "none" : cause.write ? "write" : "read";
}

function typeAndField(cause) {
  return cause.type === "" ? "" : cause.field === "" ? cause.type : cause.type + "." + cause.field;
}

/** Where in its file or slab object the data lies. */
function offsets(cause) {
  const { lowest, highest, objectSize } = cause.offsets;
  if (lowest < 0) {
    return "neither a file nor a slab object";
  }
  const which = lowest === highest ? "byte " + count(lowest) : "bytes " + count(lowest) + " to " + count(highest);
  return objectSize === 0 ? which + " of the file" : which + " of objects of " + count(objectSize) + " bytes";
}

/** A part of the policy's cost as a share of the workload's cycles. */
function costShare(policy, cost) {
  const fraction = (bound) => (policy.cost[bound] > 0 ? (cost[bound] / policy.cost[bound]) * policy.share[bound] : 0);
  return { low: fraction("low"), high: fraction("high") };
}

function causesTable(policy) {
  const all = policy.causes.reduce((sum, cause) => sum + cause.count, 0);
  const columns = [
    { title: "#", numeric: true, value: (row) => row.number, help: "By cost, as ringfence explain takes it." },
    { title: "function", code: true, value: (row) => row.function, help: "The kernel function that touched the data." },
    { title: "data", wide: true, value: (row) => row.data, show: (row) => [row.data, typeAndField(row) === "" ? null : el("span", { class: "type" }, typeAndField(row))], help: "What was touched; below it type and field, where the kernel's type information tells." },
    { title: "kernel entry", whole: true, value: (row) => row.entry, help: "Why the kernel ran." },
    { title: "access", value: access, help: "Whether the data was read or written." },
    { title: "exits", numeric: true, value: (row) => row.count, show: (row) => count(row.count), help: "How often." },
    { title: "of exits", numeric: true, value: (row) => row.share, show: (row) => percent(row.share), help: "Share of all exits of the policy." },
    { title: "cost", numeric: true, value: (row) => row.cost.high, show: (row) => percents(costShare(policy, row.cost)), help: "Of these exits, re-entry included, as a share of the workload's own cycles, low to high." },
    { title: "saves", numeric: true, value: (row) => row.savedByMapping, show: (row) => count(row.savedByMapping), help: "Exits that would go away if this data were nonsensitive." },
    { title: "exposes", numeric: true, value: (row) => row.exposedByMapping, show: (row) => bytes(row.exposedByMapping), help: "Bytes that this would make reachable: pages of the kind that are not exposed yet." },
  ];
  return dataTable(columns, {
    name: "Causes of exits", rows: policy.causes, first: 25,
    label: (row) => "cause " + row.number,
    text: (row) => [row.function, row.data, row.kind, row.type, row.field, row.entry, ...row.callSite].join(" "),
    filters: [
      { title: "Kind", value: (row) => row.kind },
      { title: "Kernel entry", value: (row) => row.entry },
    ],
    tell: (rows, shown) => {
      const part = rows.reduce((sum, row) => sum + row.count, 0);
      return count(rows.length) + " of " + count(policy.causes.length) + " causes, " + (all > 0 ? percent(part / all) : "0 %") + " of exits"
        + (shown < rows.length ? "; the first " + count(shown) + " are shown" : "");
    },
    details: (row) => causeDetails(policy, row),
  });
}

function causeDetails(policy, cause) {
  const perExit = cause.count > 0 ? cause.savedByMapping / cause.count : 0;
  const saved = costShare(policy, { low: cause.cost.low * perExit, high: cause.cost.high * perExit });
  return el("div", { class: "cause" },
    el("div", {},
      el("h4", {}, "Stack of one such exit, most recent frame first"),
      el("ol", { class: "stack" }, cause.example.map((frame) => el("li", {}, frame)))),
    el("div", {},
      el("h4", {}, "What it is"),
      pairs([
        ["data", cause.data], ["kind of page", cause.kind],
        ["type and field", typeAndField(cause) || "not known"],
        ["offset", offsets(cause)],
        ["address, for example", cause.address],
        ["call site", cause.callSite.join(" ‹ ") || "not known"],
        ["sensitive by", cause.rule === "" ? "no access to data: " + cause.data : "the policy's " + cause.rule],
        ["kernel entry", cause.entry], ["access", access(cause)],
        ["how often", count(cause.count) + " exits, " + percent(cause.share) + " of all"],
        ["cost", between(cause.cost, compact) + " cycles, " + percents(costShare(policy, cause.cost)) + " of the workload's own"],
      ]),
      el("h4", {}, "If this data were nonsensitive"),
      pairs([
        ["saved", count(cause.savedByMapping) + " exits, " + percents(saved) + " of the workload's own cycles"],
        ["exposed", bytes(cause.exposedByMapping) + ", pages of " + cause.kind + " not exposed yet"],
      ])));
}

function exposureTable(rows) {
  return dataTable([
    { title: "kind", value: (row) => row.kind },
    { title: "owner", value: (row) => row.owner, help: "The kernel, the process that runs, or other processes." },
    { title: "sensitive", value: (row) => (row.sensitive ? "yes" : "no"), help: "Whether the kind holds user data or secrets by the kernel's own allocation flags." },
    { title: "on average", numeric: true, value: (row) => row.average, show: (row) => bytes(row.average), help: "Bytes, over samples." },
    { title: "at most", numeric: true, value: (row) => row.maximum, show: (row) => bytes(row.maximum), help: "Bytes, at any sample." },
    { title: "what it is", wide: true, value: (row) => row.meaning },
  ], { name: "Memory that can be reached", rows });
}

function mapTable(regions) {
  return dataTable([
    { title: "region", value: (row) => row.region, help: "Part of the address space." },
    { title: "kind", value: (row) => row.kind, help: "What the pages are." },
    { title: "name", value: (row) => row.name },
    { title: "mapped at the end", numeric: true, value: (row) => row.mapped, show: (row) => bytes(row.mapped), help: "Bytes." },
    { title: "mapped at most", numeric: true, value: (row) => row.peak, show: (row) => bytes(row.peak), help: "Bytes, at any time." },
  ], { name: "The restricted address space", rows: regions, first: 60 });
}

function phasesTable(phases) {
  return dataTable([
    { title: "part", value: (row) => row.name },
    { title: "cost, low to high", numeric: true, value: (row) => row.share.high, show: (row) => percents(row.share), help: "Cycles added, as a share of this part's own cycles." },
    { title: "instructions", numeric: true, value: (row) => row.instructions, show: (row) => count(row.instructions), help: "Executed in this part." },
    { title: "kernel entries", numeric: true, value: (row) => row.entries, show: (row) => count(row.entries), help: "System calls, exceptions and interrupts in this part." },
    { title: "exits", numeric: true, value: (row) => row.exits, show: (row) => count(row.exits), help: "Switches from the restricted to the unrestricted address space in this part." },
    { title: "exits per kernel entry", numeric: true, help: "Exits divided by kernel entries.", value: (row) => (row.entries > 0 ? row.exits / row.entries : null), show: (row) => significant(row.entries > 0 ? row.exits / row.entries : null) },
    { title: "cycles added", numeric: true, value: (row) => row.cost.high, show: (row) => between(row.cost, compact), help: "Low to high." },
  ], { name: "Parts of the workload", rows: phases });
}

function costTable(policy) {
  return dataTable([
    { title: "event", value: (row) => row.event },
    { title: "count", numeric: true, value: (row) => row.count, show: (row) => count(row.count), help: "Events in the region of interest." },
    { title: "cycles of one", numeric: true, value: (row) => row.each.high, show: (row) => between(row.each, (value) => (value >= 100 ? count(value) : significant(value))), help: "Low to high." },
    { title: "cycles of all", numeric: true, value: (row) => row.total.high, show: (row) => between(row.total, compact), help: "Count times cycles of one." },
    { title: "of the workload", numeric: true, value: (row) => row.total.high, show: (row) => percents(costShare(policy, row.total)), help: "As a share of the workload's own cycles." },
    { title: "what it is", wide: true, value: (row) => row.meaning },
    { title: "source", wide: true, value: (row) => row.source, help: "Where the cycles of one come from." },
    { title: "mark", value: (row) => row.mark, show: (row) => el("span", { class: "mark", title: MARKS[row.mark] ?? "" }, row.mark), help: "S: read in the named source. R: a figure that is still to be checked." },
  ], { name: "Items of cost", rows: policy.costItems });
}

const MARKS = { S: "read in the named source", R: "still to be checked" };

function metricsTable(metrics, name) {
  return dataTable([
    { title: "name", code: true, value: (row) => row.name },
    { title: "value", numeric: true, value: (row) => row.value, show: (row) => metricValue(row) },
    { title: "unit", value: (row) => row.unit },
    { title: "meaning", wide: true, value: (row) => row.meaning },
  ], { name, rows: metrics });
}

function metricValue(metric) {
  const text = inUnit(metric.value, metric.unit);
  return metric.unit === "hex" ? el("code", { class: "hash" }, text) : text;
}

function entriesTable(entries) {
  const all = entries.reduce((sum, entry) => sum + entry.count, 0);
  return dataTable([
    { title: "reason", value: (row) => row.reason, help: "System call, exception or interrupt." },
    { title: "count", numeric: true, value: (row) => row.count, show: (row) => count(row.count), help: "In the region of interest." },
    { title: "of all", numeric: true, value: (row) => row.count, show: (row) => percent(all > 0 ? row.count / all : 0), help: "Share of all kernel entries." },
  ], { name: "Kernel entries", rows: entries, first: 12 });
}

/** Shown where the run has nothing for a section. */
function nothing(text) {
  return el("p", { class: "empty" }, text);
}
