// The flame graph of exits: a tree of frames, drawn as a custom series of rectangles, outermost frame on top.

const FRAME_HEIGHT = 19;
/** Rows of the graph at most; what is deeper is cut off. */
const DEEPEST = 128;

/** Frames of all stacks as a tree. A node: { name, kind, value, depth, start, parent, children }. */
function frameTree(stacks) {
  const root = { name: "all exits", kind: "root", value: 0, depth: 0, start: 0, parent: null, children: new Map() };
  for (const stack of stacks) {
    root.value += stack.count;
    let node = root;
    stack.frames.forEach((name, index) => {
      const kind = index === 0 ? "entry" : index === stack.frames.length - 1 ? "data" : "code";
      const key = kind + "\n" + name;
      let child = node.children.get(key);
      if (child === undefined) {
        child = { name, kind, value: 0, depth: node.depth + 1, start: 0, parent: node, children: new Map() };
        node.children.set(key, child);
      }
      child.value += stack.count;
      node = child;
    });
  }
  // No recursion: a stack may be as deep as a hostile file likes.
  const pending = [root];
  let depth = 0;
  while (pending.length > 0) {
    const node = pending.pop();
    depth = Math.max(depth, node.depth);
    node.children = [...node.children.values()].sort((a, b) => b.value - a.value || a.name.localeCompare(b.name, "en"));
    let start = node.start;
    for (const child of node.children) {
      child.start = start;
      start += child.value;
      pending.push(child);
    }
  }
  return { root, depth };
}

/** Frames to draw while the graph is zoomed to a node: its ancestors and what is below it, if wide enough to see. */
function visibleFrames(zoom, least) {
  const frames = [];
  for (let node = zoom.parent; node !== null; node = node.parent) {
    frames.push({ node, from: 0, to: 1, above: true });
  }
  frames.reverse();
  const pending = [zoom];
  while (pending.length > 0) {
    const node = pending.pop();
    const from = (node.start - zoom.start) / zoom.value;
    const to = (node.start + node.value - zoom.start) / zoom.value;
    if (to - from >= least) {
      frames.push({ node, from, to, above: false });
      pending.push(...node.children);
    }
  }
  return frames;
}

function frameColor(name, colors) {
  let hash = 0;
  for (let i = 0; i < name.length; i++) {
    hash = (hash * 31 + name.charCodeAt(i)) | 0;
  }
  return colors.frames[Math.abs(hash) % colors.frames.length];
}

function flameGraph(stacks) {
  const { root, depth } = frameTree(stacks);
  if (root.value === 0) {
    return null;
  }
  const state = { zoom: root, focus: root, search: "", keyboard: false };
  let frames = [];
  const told = el("p", { class: "status", "aria-live": "polite" });
  const search = el("input", {
    type: "search", placeholder: "part of a name", autocomplete: "off", spellcheck: "false",
    input: (event) => { state.search = event.target.value.trim().toLowerCase(); redraw(); },
  });
  const reset = el("button", { type: "button", click: () => zoomTo(root) }, "Whole graph");
  const rows = Math.min(depth + 1, DEEPEST);
  const description = "Flame graph of " + count(root.value) + " exits. Widest: "
    + root.children.slice(0, 3).map((node) => node.name + " " + percent(node.value / root.value)).join(", ") + ".";
  const item = chart(rows * FRAME_HEIGHT + 4, description, option);
  item.ready = (instance) => instance.on("click", (event) => {
    const frame = frames[event.dataIndex];
    if (frame !== undefined) {
      state.keyboard = false;
      zoomTo(frame.node);
    }
  });

  function matches(node) {
    return state.search !== "" && node.name.toLowerCase().includes(state.search);
  }

  /** Exits below any frame that matches, each counted once. */
  function found() {
    let sum = 0;
    const pending = [root];
    while (pending.length > 0) {
      const node = pending.pop();
      if (matches(node)) {
        sum += node.value;
      } else {
        pending.push(...node.children);
      }
    }
    return sum;
  }

  function option(colors, width) {
    frames = visibleFrames(state.zoom, 0.8 / width);
    return {
      grid: { left: 0, right: 0, top: 0, bottom: 0 },
      xAxis: { type: "value", min: 0, max: 1, show: false },
      yAxis: { type: "value", min: 0, max: rows, inverse: true, show: false },
      tooltip: {
        trigger: "item",
        formatter: (hit) => {
          const node = frames[hit.dataIndex].node;
          return tip(node.name, facts(node));
        },
      },
      series: [{
        type: "custom", clip: true, encode: { x: [0, 1], y: 2 }, dimensions: ["from", "to", "depth"],
        data: frames.map((frame) => [frame.from, frame.to, frame.node.depth]),
        renderItem: (params, api) => {
          const frame = frames[params.dataIndex];
          const left = api.coord([frame.from, frame.node.depth]);
          const right = api.coord([frame.to, frame.node.depth]);
          const shape = { x: left[0], y: left[1], width: Math.max(right[0] - left[0] - 0.6, 0.4), height: FRAME_HEIGHT - 1 };
          const room = shape.width - 8;
          return {
            type: "rect", shape,
            style: {
              fill: fillOf(frame.node, colors), opacity: frame.above ? 0.55 : 1,
              stroke: state.keyboard && frame.node === state.focus ? colors.ink : "none", lineWidth: 2,
            },
            emphasis: { style: { stroke: colors.ink, lineWidth: 1 } },
            textContent: room < 18 ? undefined : {
              type: "text", silent: true,
              style: { text: frame.node.name, fill: colors.frameInk, fontSize: 11, fontFamily: colors.mono, width: room, overflow: "truncate", ellipsis: "…" },
            },
            textConfig: { position: "insideLeft", distance: 4 },
          };
        },
      }],
    };
  }

  function fillOf(node, colors) {
    if (matches(node)) {
      return colors.found;
    }
    switch (node.kind) {
      case "root": return colors.line;
      case "entry": return colors.entry;
      case "data": return colors.data;
      default: return frameColor(node.name, colors);
    }
  }

  function facts(node) {
    return [
      ["exits", count(node.value)],
      ["of all", percent(node.value / root.value)],
      ...(node.parent === null ? [] : [["of the frame above", percent(node.value / node.parent.value)]]),
      ["is", { root: "all exits", entry: "reason of kernel entry", code: "kernel function", data: "data touched" }[node.kind]],
    ];
  }

  function zoomTo(node) {
    state.zoom = node;
    state.focus = node;
    redraw();
  }

  function redraw() {
    reset.disabled = state.zoom === root;
    const node = state.focus;
    told.textContent = node.name + ": " + count(node.value) + " exits, " + percent(node.value / root.value) + " of all"
      + (state.search === "" ? "" : ". Frames that match: " + percent(found() / root.value) + " of exits");
    item.draw();
  }

  function siblings(node) {
    return node.parent === null ? [node] : node.parent.children;
  }

  function key(event) {
    const node = state.focus;
    const beside = siblings(node);
    const targets = {
      ArrowDown: node.children[0], ArrowUp: node.parent,
      ArrowRight: beside[beside.indexOf(node) + 1], ArrowLeft: beside[beside.indexOf(node) - 1],
    };
    if (event.key === "Enter") {
      state.keyboard = true;
      zoomTo(node);
    } else if (event.key === "Escape") {
      zoomTo(root);
    } else if (event.key in targets) {
      state.keyboard = true;
      const next = targets[event.key];
      if (next !== undefined && next !== null) {
        state.focus = next;
        if (next.depth < state.zoom.depth) {
          state.zoom = next;
        }
        redraw();
      }
    } else {
      return;
    }
    event.preventDefault();
  }

  const keyed = el("div", { tabindex: 0, class: "keyed", role: "group", "aria-label": "Flame graph: arrow keys move, Enter zooms, Escape shows the whole", keydown: key }, item.node);
  redraw();
  return el("div", { class: "flame" },
    el("div", { class: "controls" }, el("label", { class: "search" }, el("span", {}, "Search"), search), reset,
      el("span", { class: "keys", "aria-hidden": "true" }, legendKey("frame-entry", "kernel entry"), legendKey("frame-2", "kernel function"), legendKey("frame-data", "data touched"))),
    told, keyed);
}

/** An entry of a legend whose colour is a variable of the style sheet. */
function legendKey(variable, text) {
  const node = swatch("var(--" + variable + ")");
  return el("span", { class: "key" }, node, text);
}
