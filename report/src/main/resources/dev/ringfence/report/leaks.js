// The leak matrix: a picture of which secrets came out under which mitigation, whose cells open to their evidence.

/** How outcomes look. The sign tells them apart where colours do not. */
const OUTCOMES = {
  "leaked": { sign: "●", style: "leaked" },
  "not leaked": { sign: "○", style: "safe" },
  "not applicable": { sign: "–", style: "absent" },
  "failed": { sign: "?", style: "failed" },
};

function leakMatrix(matrix) {
  if (matrix.state === "left-out") {
    return nothing("No attacks were run: " + matrix.reason + ".");
  }
  const cells = new Map(matrix.cells.map((cell) => [JSON.stringify([cell.attack, cell.target, cell.column]), cell]));
  const cellAt = (row, column) => cells.get(JSON.stringify([row.attack, row.target, column.name]));
  const evidence = el("div", { class: "evidence", "aria-live": "polite" }, el("p", { class: "empty" }, "No cell is selected."));
  let chosen = null;

  function choose(button, row, column, cell) {
    chosen?.setAttribute("aria-pressed", "false");
    chosen = button;
    button.setAttribute("aria-pressed", "true");
    evidence.replaceChildren(leakEvidence(row, column, cell));
  }

  function place(row, column) {
    const cell = cellAt(row, column);
    if (cell === undefined) {
      return el("td", {}, el("span", { class: "hidden" }, "not run"));
    }
    const look = OUTCOMES[cell.outcome] ?? OUTCOMES.failed;
    const said = row.attack + ", " + row.target + ", under " + column.name + ": " + cell.outcome + (cell.agrees ? "" : ", not as published");
    const button = el("button", {
      type: "button", class: "outcome " + look.style + (cell.agrees ? "" : " unexpected"), "aria-label": said, title: said, "aria-pressed": "false",
      click: () => choose(button, row, column, cell),
    }, look.sign, cell.agrees ? null : el("sup", { "aria-hidden": "true" }, "!"));
    return el("td", {}, button);
  }

  const attacks = [...new Set(matrix.rows.map((row) => row.attack))];
  const body = attacks.flatMap((attack) => {
    const rows = matrix.rows.filter((row) => row.attack === attack);
    return rows.map((row, index) => el("tr", { class: index === 0 ? "first" : null },
      index === 0 ? el("th", { scope: "rowgroup", rowspan: rows.length, title: row.title + ". " + row.vulnerability }, row.attack) : null,
      el("th", { scope: "row", title: row.targetTitle }, row.target),
      matrix.columns.map((column) => place(row, column))));
  });
  const leaked = (column) => matrix.cells.filter((cell) => cell.column === column.name && cell.outcome === "leaked").length;
  const table = el("table", { class: "leaks" },
    el("caption", { class: "hidden" }, "Secrets that came out on " + matrix.cpuModel),
    el("thead", {}, el("tr", {},
      el("th", { scope: "col" }, "attack"), el("th", { scope: "col" }, "target"),
      matrix.columns.map((column) => el("th", { scope: "col", class: "turned", title: column.title }, el("span", {}, column.name))))),
    el("tbody", {}, body),
    el("tfoot", {}, el("tr", {},
      el("th", { scope: "row", colspan: 2 }, "leaked, of " + count(matrix.rows.length)),
      matrix.columns.map((column) => el("td", {}, count(leaked(column)))))));
  return [
    matrix.state === "partial" ? el("p", { class: "banner" }, el("strong", {}, "Partial: "), matrix.reason) : null,
    el("p", { class: "keys signs" }, Object.entries(OUTCOMES).map(([name, look]) =>
      el("span", {}, el("span", { class: "outcome " + look.style, "aria-hidden": "true" }, look.sign), " " + name)),
    el("span", {}, el("span", { class: "outcome safe unexpected", "aria-hidden": "true" }, "○", el("sup", {}, "!")), " not as published")),
    el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Leak matrix" }, table),
    evidence,
    closed("Mitigations and why cells do not apply", leakNotes(matrix)),
    closed("All cells as a table", leakTable(matrix)),
  ];
}

/** The secret beside what the attack told, byte by byte. */
function leakBytes(evidence) {
  const pairsOf = (text) => text.match(/../g) ?? [];
  const told = pairsOf(evidence.recovered);
  return el("table", { class: "bytes" },
    el("caption", { class: "hidden" }, "The secret and what the attack told"),
    el("tbody", {},
      el("tr", {}, el("th", { scope: "row" }, "secret"), pairsOf(evidence.secret).map((byte) => el("td", {}, byte))),
      el("tr", {}, el("th", { scope: "row" }, "told"), told.map((byte, index) =>
        el("td", { class: byte === pairsOf(evidence.secret)[index] ? "right" : "wrong" }, byte))),
      el("tr", {}, el("th", { scope: "row", title: "The attack's own opinion, 0 to 100." }, "confidence"),
        evidence.confidences.map((confidence) => el("td", {}, count(confidence))))));
}

function leakEvidence(row, column, cell) {
  const evidence = cell.evidence;
  const ran = evidence.of > 0;
  return el("div", {},
    el("h3", {}, row.title + ", " + row.target + ", under " + column.name + ": " + cell.outcome),
    cell.agrees ? null : el("p", { class: "banner" }, el("strong", {}, "Not as published. "), "Expected: " + (cell.expected || "an attack that runs") + "."),
    pairs([
      ["the secret", row.targetTitle],
      ["what the attack needs", row.vulnerability],
      ["what stood against it", column.title],
      cell.reason === "" ? null : ["why", cell.reason],
      cell.expected === "" ? ["expected", "nothing is published about this mitigation"] : ["expected", cell.expected + ": " + cell.expectedReason],
      cell.source === "" ? null : ["source", cell.source],
      ran ? ["how it ended", evidence.end] : null,
      ran ? ["right", count(evidence.right) + " of " + count(evidence.of) + " bytes; a guess has as many right with probability " + evidence.chance.toPrecision(2)] : null,
      ran ? ["how fast", compact(evidence.bitsPerSecond) + " right bits a second, in " + significant(evidence.nanoseconds / 1e6) + " ms of virtual time, "
        + compact(evidence.instructions) + " instructions"] : null,
      evidence.notes.length === 0 ? null : ["it also printed", evidence.notes.join("; ")],
    ].filter((pair) => pair !== null)),
    ran ? leakBytes(evidence) : null,
    ...(ran ? leakLoads(evidence.transientLoads) : []),
    ...(ran ? leakHeld(evidence.held) : []));
}

/** Loads of wrong paths that went for the secret. */
function leakLoads(loads) {
  const head = el("h4", {}, "Transient loads that went for the secret");
  return loads.length === 0 ? [head, nothing("There were none.")] : [head, dataTable([
    { title: "instruction", code: true, value: (load) => load.instruction, help: "Function and offset in the kernel, or address in user mode." },
    { title: "the bytes", value: (load) => (load.reached ? "reached it" : "were denied"), help: "Whether what followed had the bytes to work with." },
    { title: "by", value: (load) => load.way, help: "Where the bytes came from, or what refused them." },
    { title: "loads", numeric: true, value: (load) => load.count, show: (load) => count(load.count), help: "How many." },
  ], { name: "Transient loads that went for the secret", rows: loads, first: 10 })];
}

/** What was left of the secret in the processor for the attacker to find. */
function leakHeld(held) {
  const head = el("h4", {}, "Where bytes of the secret were when the attacker was about to run");
  return held.length === 0 ? [head, nothing("Nowhere in the processor.")] : [head, dataTable([
    { title: "structure", value: (row) => row.structure },
    { title: "returns to the attacker", numeric: true, value: (row) => row.instants, show: (row) => count(row.instants) + " of " + count(row.of), help: "At how many of them it held any byte." },
    { title: "bytes at most", numeric: true, value: (row) => row.mostBytes, show: (row) => count(row.mostBytes), help: "At one of them." },
  ], { name: "Structures that held the secret", rows: held })];
}

function leakNotes(matrix) {
  const reasons = new Map();
  for (const cell of matrix.cells) {
    if (cell.outcome === "not applicable") {
      reasons.set(cell.reason, new Set([...(reasons.get(cell.reason) ?? []), cell.column]));
    }
  }
  return [
    dataTable([
      { title: "mitigation", value: (column) => column.name },
      { title: "what it is", wide: true, value: (column) => column.title },
      { title: "command line of the kernel", code: true, value: (column) => column.commandLine },
    ], { name: "Mitigations", rows: matrix.columns }),
    reasons.size === 0 ? null : el("h3", {}, "Not applicable"),
    reasons.size === 0 ? null : el("ul", { class: "sentences" }, [...reasons].map(([reason, columns]) =>
      el("li", {}, reason + " (" + (columns.size === matrix.columns.length ? "all mitigations" : [...columns].join(", ")) + ")"))),
  ];
}

function leakTable(matrix) {
  return dataTable([
    { title: "attack", value: (cell) => cell.attack },
    { title: "target", value: (cell) => cell.target },
    { title: "mitigation", value: (cell) => cell.column },
    { title: "outcome", value: (cell) => cell.outcome },
    { title: "expected", value: (cell) => cell.expected },
    { title: "bytes right", numeric: true, value: (cell) => cell.evidence.right, show: (cell) => (cell.evidence.of > 0 ? count(cell.evidence.right) + " of " + count(cell.evidence.of) : "–") },
    { title: "bits a second", numeric: true, value: (cell) => cell.evidence.bitsPerSecond, show: (cell) => compact(cell.evidence.bitsPerSecond), help: "Right bits for each second of virtual time." },
  ], { name: "Cells of the leak matrix", rows: matrix.cells, first: 40 });
}
