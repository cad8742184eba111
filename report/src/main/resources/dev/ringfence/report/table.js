// Tables that can be sorted, filtered, cut to a first page, and whose rows can open.

/**
 * A table.
 *
 * columns: [{ title, help, value(row), show(row), numeric, wide, whole, code }]. A column is sorted by its value.
 * options: { name, rows, first, selected(row) }; with text(row) a filter, and filters: [{ title, value(row) }], tell(rows, shown);
 * with details(row) and label(row) rows that open.
 */
function dataTable(columns, options) {
  const state = { column: -1, descending: false, text: "", choices: new Map(), all: false };
  const open = new Set();
  const body = el("tbody");
  const status = el("p", { class: "status", "aria-live": "polite" });
  const more = el("button", { type: "button", class: "more", click: () => { state.all = true; draw(); } });
  const heads = columns.map((column, index) => head(column, index));
  const table = el("table", {},
    el("caption", { class: "hidden" }, options.name),
    el("thead", {}, el("tr", {}, options.details ? el("th", { class: "opener" }, el("span", { class: "hidden" }, "Details")) : null, heads)),
    body);
  const scroller = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": options.name }, table);

  function head(column, index) {
    const button = el("button", {
      type: "button", title: column.help,
      click: () => {
        state.descending = state.column === index ? !state.descending : column.numeric === true;
        state.column = index;
        draw();
      },
    }, column.title, el("span", { class: "arrow", "aria-hidden": "true" }));
    return el("th", { scope: "col", class: column.numeric ? "number" : null }, button);
  }

  function visible() {
    const wanted = state.text.toLowerCase().split(/\s+/).filter((word) => word !== "");
    let rows = options.rows.filter((row) => {
      for (const [filter, choice] of state.choices) {
        if (choice !== "" && filter.value(row) !== choice) {
          return false;
        }
      }
      const text = wanted.length === 0 ? "" : options.text(row).toLowerCase();
      return wanted.every((word) => text.includes(word));
    });
    if (state.column >= 0) {
      const value = columns[state.column].value;
      const sign = state.descending ? -1 : 1;
      rows = rows.map((row, index) => ({ row, index, key: value(row) }))
        .sort((a, b) => sign * order(a.key, b.key) || a.index - b.index)
        .map((item) => item.row);
    }
    return rows;
  }

  function order(a, b) {
    if (typeof a === "string" && typeof b === "string") {
      return a.localeCompare(b, "en", { numeric: true });
    }
    return (isNumber(a) ? a : -Infinity) - (isNumber(b) ? b : -Infinity) || 0;
  }

  function draw() {
    const rows = visible();
    const first = options.first ?? Infinity;
    const shown = state.all ? rows : rows.slice(0, first);
    body.replaceChildren(...shown.flatMap((row) => lines(row)));
    if (rows.length === 0) {
      body.append(el("tr", {}, el("td", { colspan: columns.length + 1, class: "empty" }, "None matches. Clear a filter to see more.")));
    }
    heads.forEach((th, index) => {
      const sorted = index === state.column;
      th.setAttribute("aria-sort", sorted ? (state.descending ? "descending" : "ascending") : "none");
      th.querySelector(".arrow").textContent = sorted ? (state.descending ? "▼" : "▲") : "";
    });
    more.hidden = shown.length === rows.length;
    more.textContent = "Show all " + count(rows.length);
    status.textContent = options.tell ? options.tell(rows, shown.length) : "";
  }

  function lines(row) {
    const cells = columns.map((column, index) => {
      const content = column.show ? column.show(row) : column.value(row);
      return el(index === 0 ? "th" : "td", {
        scope: index === 0 ? "row" : null,
        class: [column.numeric ? "number" : "", column.wide ? "wrap" : "", column.whole ? "whole" : "", column.code ? "code" : ""].join(" ").trim() || null,
      }, content);
    });
    const selected = options.selected !== undefined && options.selected(row);
    if (!options.details) {
      return [el("tr", { class: selected ? "selected" : null }, cells)];
    }
    const isOpen = open.has(row);
    const opener = el("button", {
      type: "button", class: "open", "aria-expanded": String(isOpen), "aria-label": "Details of " + options.label(row),
    }, isOpen ? "−" : "+");
    const main = el("tr", { class: "opens" }, el("td", { class: "opener" }, opener), cells);
    main.addEventListener("click", (event) => {
      // A click that ends a selection of text, or that is meant for a link, opens nothing.
      if (event.target.closest("a") !== null || String(window.getSelection()) !== "") {
        return;
      }
      toggle(row, main, opener);
    });
    return isOpen ? [main, detail(row)] : [main];
  }

  function detail(row) {
    return el("tr", { class: "detail" }, el("td", { colspan: columns.length + 1 }, options.details(row)));
  }

  function toggle(row, main, opener) {
    if (open.delete(row)) {
      main.nextElementSibling.remove();
    } else {
      open.add(row);
      main.after(detail(row));
    }
    opener.setAttribute("aria-expanded", String(open.has(row)));
    opener.textContent = open.has(row) ? "−" : "+";
  }

  function controls() {
    if (!options.text) {
      return null;
    }
    const search = el("input", {
      type: "search", placeholder: "function, data, entry …", autocomplete: "off", spellcheck: "false",
      input: (event) => { state.text = event.target.value; draw(); },
    });
    const choices = (options.filters ?? []).map((filter) => {
      const values = [...new Set(options.rows.map(filter.value))].sort((a, b) => order(a, b));
      const select = el("select", { change: (event) => { state.choices.set(filter, event.target.value); draw(); } },
        el("option", { value: "" }, "all"), values.map((value) => el("option", { value }, value)));
      return el("label", {}, el("span", {}, filter.title), select);
    });
    return el("div", { class: "controls" }, el("label", { class: "search" }, el("span", {}, "Filter"), search), choices);
  }

  function meanings() {
    const explained = columns.filter((column) => column.help);
    return explained.length === 0 ? null : closed("What the columns mean",
      el("dl", { class: "words" }, explained.flatMap((column) => [el("dt", {}, column.title), el("dd", {}, column.help)])));
  }

  more.hidden = true;
  const parts = [controls(), options.tell ? status : null, scroller, more, meanings()];
  draw();
  return el("div", { class: "table" }, parts);
}
