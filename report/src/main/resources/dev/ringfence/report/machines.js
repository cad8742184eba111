// Exits of virtual machines: what one costs under each policy, by machine and by reason.

const OWN_FLUSHES = "kernel itself";

function machineName(machine) {
  return machine.process === "" ? "a process" : machine.process + " (" + machine.number + ")";
}

function isSameMachine(one, other) {
  return one.process === other.process && one.number === other.number;
}

/** Cycles of one of several VM exits. */
function ofOne(range, exits) {
  return exits > 0 ? { low: range.low / exits, high: range.high / exits } : { low: 0, high: 0 };
}

function together(under) {
  return { low: under.cost.low + under.costInUserMode.low, high: under.cost.high + under.costInUserMode.high };
}

/** Cycles that a policy, or the kernel itself, adds to one VM exit of a stretch of the run; null if it is not there. */
function cyclesOfOne(stretch, policy) {
  if (stretch === undefined) {
    return null;
  }
  if (policy === OWN_FLUSHES) {
    return ofOne(stretch.all.own, stretch.all.count);
  }
  const under = stretch.all.policies.find((candidate) => candidate.policy === policy);
  return under === undefined ? null : ofOne(together(under), stretch.all.count);
}

/** One row for each machine and policy, with the kernel's own flushes as the first; null if no machine ran. */
function machineRows(machines) {
  const whole = machines.filter((machine) => machine.phase === "");
  const phases = [...new Set(machines.map((machine) => machine.phase).filter((phase) => phase !== ""))];
  const rows = whole.flatMap((machine) => [OWN_FLUSHES, ...machine.all.policies.map((under) => under.policy)].map((policy) => {
    const under = machine.all.policies.find((candidate) => candidate.policy === policy);
    return {
      machine: machineName(machine), policy, exits: machine.all.count,
      restricted: under !== undefined && under.restricted > 0 ? under.restricted / machine.all.count : null,
      cycles: cyclesOfOne(machine, policy),
      parts: phases.map((phase) => cyclesOfOne(machines.find((other) => other.phase === phase && isSameMachine(machine, other)), policy)),
    };
  }));
  return { phases, rows };
}

function cyclesColumn(title, value, help) {
  return {
    title, numeric: true, help, value: (row) => value(row)?.high ?? null,
    show: (row) => (value(row) === null ? "–" : between(value(row), compact)),
  };
}

function machinesTable(machines, selected) {
  const { phases, rows } = machineRows(machines);
  const columns = [
    { title: "machine of", value: (row) => row.machine, help: "The process that runs the machine, with its number." },
    { title: "policy", value: (row) => row.policy, help: OWN_FLUSHES + ": the L1 data cache, buffers and predictors that the kernel flushed of its own accord." },
    { title: "VM exits", numeric: true, value: (row) => row.exits, show: (row) => count(row.exits), help: "In the region of interest." },
    { title: "restricted", numeric: true, value: (row) => row.restricted, show: (row) => percent(row.restricted), help: "VM exits that the kernel handled in the restricted address space to the end: to the next entry of the machine or to user mode." },
    cyclesColumn("cycles of one", (row) => row.cycles, "Cycles added to one VM exit, up to the next entry of the machine, low to high."),
    ...phases.map((phase, index) => cyclesColumn("in " + phase, (row) => row.parts[index], "The same in this part of the workload.")),
  ];
  return dataTable(columns, { name: "VM exits by machine and policy", rows, selected: (row) => row.policy === selected });
}

/** What one VM exit costs: a bar from low to high for each policy, and for the kernel itself in each part of the workload. */
function machinesChart(machines) {
  const whole = machines.filter((machine) => machine.phase === "").slice(0, COLORS);
  const { phases } = machineRows(machines);
  const policies = [...new Set(whole.flatMap((machine) => machine.all.policies.map((under) => under.policy)))];
  const own = phases.length === 0 ? [[OWN_FLUSHES, ""]] : phases.map((phase) => [OWN_FLUSHES + ", " + phase, phase]);
  const bars = [
    ...own.map(([name, phase]) => [name, (machine) => cyclesOfOne(machines.find((other) => other.phase === phase && isSameMachine(machine, other)), OWN_FLUSHES)]),
    ...policies.map((policy) => [policy, (machine) => cyclesOfOne(machine, policy)]),
  ].map(([name, value]) => ({ name, ranges: whole.map(value) }))
    .filter((bar) => bar.ranges.some((range) => range !== null && range.high > 0));
  if (bars.length === 0) {
    return null;
  }
  const names = bars.map((bar) => bar.name);
  const description = "Bars of cycles added to one VM exit: "
    + bars.map((bar) => bar.name + " " + bar.ranges.map((range) => (range === null ? "–" : between(range, compact))).join(" and ")).join("; ") + ".";
  return chart(82 + bars.length * (14 + 12 * whole.length), description, (colors, width) => ({
    grid: { left: labelWidth(names, colors, width < 560 ? 130 : 300) + 12, right: 96, top: 30, bottom: 50 },
    legend: {
      top: 0, left: 0, itemWidth: 11, itemHeight: 11, icon: "rect", selectedMode: false, textStyle: { color: colors.ink, fontSize: 12 },
      data: whole.map((machine, index) => ({ name: machineName(machine), itemStyle: { color: colors.series[index] } })),
    },
    xAxis: valueAxis(colors, {
      name: "cycles added to one VM exit, low to high", nameLocation: "middle", nameGap: 24,
      axisLabel: { color: colors.muted, fontSize: 11, hideOverlap: true, formatter: (value) => compact(value) },
    }),
    yAxis: {
      type: "category", inverse: true, data: names, axisTick: { show: false },
      axisLine: { lineStyle: { color: colors.line } }, axisLabel: { color: colors.ink, fontSize: 12, width: labelWidth(names, colors, width < 560 ? 130 : 300), overflow: "truncate" },
    },
    tooltip: {
      trigger: "axis", axisPointer: { type: "shadow" },
      formatter: (items) => {
        const bar = bars[items[0].dataIndex];
        return tip(bar.name, whole.map((machine, index) => [machineName(machine), bar.ranges[index] === null ? "–" : between(bar.ranges[index], compact), colors.series[index]]));
      },
    },
    series: whole.flatMap((machine, index) => [
      {
        name: "up to the low figure", type: "bar", stack: "machine " + index, barWidth: 10, cursor: "default", silent: true, itemStyle: { color: "transparent" },
        data: bars.map((bar) => bar.ranges[index]?.low ?? 0),
      },
      {
        name: machineName(machine), type: "bar", stack: "machine " + index, cursor: "default", itemStyle: { color: colors.series[index] },
        label: {
          show: true, position: "right", color: colors.muted, fontSize: 11,
          formatter: (item) => (bars[item.dataIndex].ranges[index] === null ? "" : between(bars[item.dataIndex].ranges[index], compact)),
        },
        data: bars.map((bar) => (bar.ranges[index] === null ? 0 : bar.ranges[index].high - bar.ranges[index].low)),
      },
    ]),
  }));
}

/** VM exits under one policy by machine and reason; null if no machine ran or the policy does not isolate. */
function machineReasonsTable(machines, policy) {
  const rows = machines.filter((machine) => machine.phase === "").flatMap((machine) => machine.reasons.flatMap((exits) => {
    const under = exits.policies.find((candidate) => candidate.policy === policy);
    return under === undefined ? [] : [{ machine: machineName(machine), exits, under }];
  }));
  if (rows.length === 0) {
    return null;
  }
  const number = (title, value, help) => ({ title, help, numeric: true, value, show: (row) => count(value(row)) });
  return dataTable([
    { title: "machine of", value: (row) => row.machine, help: "The process that runs the machine, with its number." },
    { title: "VM exit", value: (row) => row.exits.reason, help: "The basic exit reason." },
    number("count", (row) => row.exits.count, "How many."),
    number("handed over", (row) => row.exits.handedOver, "VM exits after which the process ran in user mode before the machine was entered again."),
    { title: "restricted", numeric: true, value: (row) => row.under.restricted / row.exits.count, show: (row) => percent(row.under.restricted / row.exits.count), help: "VM exits that the kernel handled in the restricted address space to the end." },
    number("exits", (row) => row.under.exits, "Exits from the restricted address space, up to the next entry of the machine or to user mode."),
    cyclesColumn("cycles of one", (row) => ofOne(row.under.cost, row.exits.count), "Cycles that the policy adds to one VM exit up to there, low to high."),
    number("exits after", (row) => row.under.exitsInUserMode, "Exits from then on to the next entry of the machine: in the process's system calls."),
    cyclesColumn("cycles after", (row) => ofOne(row.under.costInUserMode, row.exits.count), "Cycles that the policy adds to one VM exit from then on."),
  ], { name: "VM exits under " + policy + " by reason", rows, first: 20 });
}
