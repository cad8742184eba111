// Puts the page together, once for the run and again for each policy that is selected.

const data = JSON.parse(byId("data").textContent);
const run = data.run;
const subjects = [run.workload.name, ...run.policies.map((policy) => policy.name)];
let selected = null;

function metric(name) {
  return run.metrics.find((candidate) => candidate.name === name);
}

/** What a policy's metric counts, in the words of the run. */
function meaning(name) {
  return run.policies.flatMap((policy) => policy.metrics).find((candidate) => candidate.name === name)?.meaning;
}

function facts() {
  const entries = run.entries.reduce((sum, entry) => sum + entry.count, 0);
  const instructions = metric("guest.instructions");
  const hash = (name) => {
    const found = metric(name);
    return found ? el("code", { class: "hash", title: found.meaning }, String(found.value)) : "–";
  };
  const mitigations = run.kernel.mitigations;
  const mitigationList = mitigations.length === 0 ? "all off" : el("ul", {}, mitigations.map((line) => el("li", {}, line)));
  const rows = [
    ["Kernel", "Linux " + run.kernel.release, run.kernel.banner],
    ["Processor model", run.cpuModel, "Of the machine."],
    ["Cost model", run.costModel, "Where the costs of events come from."],
    ["Instructions", instructions ? count(instructions.value) : "–", instructions?.meaning],
    ["Kernel entries", count(entries), "System calls, exceptions and interrupts in the region of interest."],
    ["Workload's own cycles", between(run.cycles, compact), "Instructions times a stated range of cycles for each: " + between(run.cyclesPerInstruction, significant) + "."],
    ["Console, SHA-256", hash("guest.console.sha256")],
    ["Memory, SHA-256", hash("guest.memory.sha256")],
    ["Kernel's own mitigations", mitigationList, "Which the kernel had on while it ran."],
  ];
  fill("facts", rows.map(([name, value, help]) => el("div", { title: help, class: value === mitigationList ? "row" : null }, el("dt", {}, name), el("dd", {}, value))));
}

function head() {
  document.title = run.workload.name + " on Linux " + run.kernel.release + ": address space isolation";
  fill("title", run.workload.name);
  fill("lead", run.workload.description, run.workload.command === "" ? null : el("details", {}, el("summary", {}, "What the guest ran"), el("pre", { class: "command" }, run.workload.command)));
  if (data.partial) {
    byId("partial").hidden = false;
    fill("partial", el("strong", {}, "Partial: "), run.reason || "the run did not reach its end", ". All figures are those up to that point.");
  }
  facts();
  sentences("summary", data.sentences, subjects);
  fill("notes", run.notes.length === 0 ? null : [el("h3", {}, "To read the figures right"), el("ul", {}, run.notes.map((note) => el("li", {}, note)))]);
  byId("machines-section").hidden = run.machines.length === 0;
  if (run.machines.length > 0) {
    const chartOfMachines = machinesChart(run.machines);
    fill("machines-chart", chartOfMachines === null ? nothing("Nothing of this run adds to a VM exit.") : chartOfMachines.node);
  }
  fill("leaks", leakMatrix(run.leaks));
  fill("entries", entriesTable(run.entries));
  fill("guest", metricsTable(run.metrics, "Counts and checksums of the guest"));
  fill("cycles-meaning", "Instructions times " + between(run.cyclesPerInstruction, significant) + " cycles for each instruction. " + run.cyclesSource);
  fill("manifest", JSON.stringify(run.manifest, null, 2));
  const comparison = comparisonChart(data.figures);
  fill("comparison-chart", comparison === null ? nothing("No policy of this run costs anything.") : comparison.node);
}

function choices() {
  fill("choices", run.policies.map((policy, index) => {
    const id = "choice-" + index;
    return [
      el("input", { type: "radio", name: "policy", id, value: policy.name, change: () => select(policy.name) }),
      el("label", { for: id }, policy.name),
    ];
  }).flat());
}

/** Shows a policy, and remembers it in the address so that a link can point at it. */
function select(name) {
  const index = Math.max(0, run.policies.findIndex((candidate) => candidate.name === name));
  const policy = run.policies[index];
  if (policy === undefined || policy.name === selected) {
    return;
  }
  selected = policy.name;
  byId("choice-" + index).checked = true;
  history.replaceState(null, "", "#policy=" + encodeURIComponent(policy.name));
  fill("comparison-table", comparisonTable(data.figures, policy.name, (wanted) => {
    select(wanted);
    byId("policy").scrollIntoView();
  }, meaning));
  fill("machines", machinesTable(run.machines, policy.name));
  policyCharts.splice(0).forEach((item) => item.drop());
  show(policy, data.figures[index], data.policies[policy.name]);
}

const policyCharts = [];

function put(id, ...parts) {
  fill(id, parts.filter((part) => part !== null).map((part) => part.node ?? part));
}

/** Charts of the policy go when another is selected. */
function kept(build) {
  const before = new Set(charts);
  const built = build();
  for (const item of charts) {
    if (!before.has(item)) {
      policyCharts.push(item);
    }
  }
  return built;
}

function show(policy, figures, derived) {
  fill("policy-name", policy.name);
  fill("policy-title", policy.title);
  fill("tiles", tiles(policy, figures));
  fill("summary-policy", "Under " + policy.name);
  sentences("policy-summary", derived.sentences, subjects);
  put("policy-about", pairs([["What it does", policy.description], ["How it was obtained", policy.obtained]], "pairs loose"));
  const noExits = "No exits were recorded under this policy.";
  const noChange = policy.causes.length === 0 ? noExits : "No single kind of data made nonsensitive would save an exit.";
  put("changes", derived.changes.length === 0 ? nothing(noChange) : changesTable(derived.changes, filterCauses));
  put("causes", policy.causes.length === 0 ? nothing(noExits) : causesTable(policy));
  const reasons = machineReasonsTable(run.machines, policy.name);
  byId("machine-exits-section").hidden = reasons === null;
  put("machine-exits", reasons);
  put("flame", kept(() => flameGraph(policy.stacks)) ?? nothing("No stacks were recorded under this policy."));
  put("timeline", policy.timeline.length === 0 ? nothing("No counts over time were recorded under this policy.") : kept(() => timelineChart(policy.timeline)));
  const classOf = (kind) => {
    const classes = policy.exposure.filter((row) => row.kind === kind && row.maximum > 0).map(exposureClass);
    return ["foreign", "own"].find((name) => classes.includes(name)) ?? "plain";
  };
  put("exposure", ...(policy.exposure.length === 0 ? [nothing("What can be reached was not measured.")] : [kept(() => exposureChart(policy.exposure)), exposureTable(policy.exposure)]));
  put("map", ...(policy.map.length === 0
    ? [nothing("This policy has no restricted address space, or it held nothing at the end.")]
    : [kept(() => mapChart(policy.map, classOf)), closed("The same as a table", mapTable(policy.map))]));
  put("phases", policy.phases.length === 0 ? nothing("The workload marks no parts.") : phasesTable(policy.phases));
  put("cost", policy.costItems.length === 0 ? nothing("This policy adds no cost.") : costTable(policy));
  put("metrics", metricsTable(policy.metrics, "Counts of " + policy.name));
}

function filterCauses(kind) {
  const select = byId("causes").querySelector("select");
  select.value = kind;
  select.dispatchEvent(new Event("change"));
  byId("causes-head").scrollIntoView();
}

/** On paper: light colours, the width of the sheet, small details open. */
function paper(isPaper) {
  document.documentElement.classList.toggle("paper", isPaper);
  for (const details of document.querySelectorAll("details[data-paper]")) {
    details.open = isPaper;
  }
  redrawCharts();
}

/** The policy that the address names, or the one to begin with. */
function wantedPolicy() {
  const named = location.hash.match(/^#policy=(.*)$/);
  return run.policies.find((policy) => named !== null && encodeURIComponent(policy.name) === named[1])?.name ?? data.selected;
}

head();
choices();
select(wantedPolicy());
window.addEventListener("hashchange", () => select(wantedPolicy()));
window.addEventListener("beforeprint", () => paper(true));
window.addEventListener("afterprint", () => paper(false));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
