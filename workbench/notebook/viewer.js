// The browser's half of the viewer. It keeps few requests under way, each for the newest state, so a slider moved quickly
// skips slices instead of queueing them. More than one: a Jupyter server sends without TCP_NODELAY, so the end of a
// picture waits until this side sends something (up to 40 ms); the next request is that something.
// Pictures come as plain levels 0..255, which need no decoder, and as JPEG or PNG where the way is slow.
// Zoom, pan, colour map, inversion and mask opacity act at once on the picture that is there.

const SETTLE_MS = 160; // after the last movement the picture is asked for once more, at full quality
const SILENT_MS = 5000; // without an answer for so long there is no kernel (or it is busy)
const PLAY_MS = 80;
const MAX_ZOOM = 64; // screen px per slice px
const UNDER_WAY = 3; // requests
const SLOW_MS = 250; // where a picture takes longer than this on average they come packed
const RECENT_BYTES = 32 << 20; // pictures kept from the last movements: going back asks nobody
const HISTOGRAM_MS = 100;

const ICONS = {
  play: "M5 3.5v9l7.5-4.5z",
  pause: "M4.5 3.5h2.4v9H4.5zM9.1 3.5h2.4v9H9.1z",
  previous: "M10.5 3.5v9L4.5 8z",
  next: "M5.5 3.5v9l6-4.5z",
};

let views = 0;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const icon = (name) =>
  svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A number as short as it stays telling: four significant digits, whole numbers whole. */
function short(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  return String(Number(value.toPrecision(4)));
}

const bytesOf = (data) => new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);

/** A layer of a picture whose levels came as they are. */
function layerOf(data, [height, width]) {
  return { width, height, levels: bytesOf(data), nbytes: width * height };
}

/** A layer that came packed; its levels are read out when a table asks for them. */
async function decoded(data, kind) {
  const blob = new Blob([data], { type: `image/${kind}` });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  return {
    width,
    height,
    bitmap,
    nbytes: 4 * width * height,
    get levels() {
      const context = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
      context.drawImage(bitmap, 0, 0);
      const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
      return Uint8Array.from(pixels); // the lowest byte: red, on little-endian machines
    },
  };
}

/** A canvas of levels in the colours of a table. */
function coloured({ width, height }, levels, colours) {
  const canvas = make("canvas", { width, height });
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[levels[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Labels where a neighbour differs, 0 elsewhere. */
function outlined({ width, height, levels }) {
  const edges = new Uint8Array(levels.length);
  for (let i = 0; i < levels.length; i++) {
    const [column, here] = [i % width, levels[i]];
    const isEdge =
      (column > 0 && levels[i - 1] !== here) ||
      (column < width - 1 && levels[i + 1] !== here) ||
      (i >= width && levels[i - width] !== here) ||
      (i < width * (height - 1) && levels[i + width] !== here);
    if (isEdge) edges[i] = here;
  }
  return edges;
}

/** Pictures by what was asked for, within a budget of bytes; the least recently shown go first. */
class Recent {
  constructor(most) {
    this.most = most;
    this.nbytes = 0;
    this.kept = new Map();
  }

  get(name) {
    const found = this.kept.get(name);
    if (!found) return null;
    this.kept.delete(name);
    this.kept.set(name, found);
    return found.picture;
  }

  put(name, picture, nbytes) {
    this.nbytes += nbytes - (this.kept.get(name)?.nbytes ?? 0);
    this.kept.delete(name);
    this.kept.set(name, { picture, nbytes });
    for (const [oldest, { nbytes: freed }] of this.kept) {
      if (this.nbytes <= this.most) break;
      this.kept.delete(oldest);
      this.nbytes -= freed;
    }
  }
}

class View {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.id = `${Date.now().toString(36)}-${views++}`;
    this.seq = 0;
    this.shownSeq = 0;
    this.pictures = 0;
    this.underWay = new Map(); // number of a request -> what it asked for, and when
    this.unsaved = new Map(); // what was set here and not yet in Python
    this.delay = 0; // ms a picture takes, on average
    this.camera = { x: 0, y: 0, scale: 1 }; // slice px at the stage's corner; screen px per slice px
    this.quit = new AbortController();
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
    this.handlers = [["change:_facts", () => this.build()]];
    const heed = (names, act) => {
      for (const name of names) this.handlers.push([`change:${name}`, () => this.restored(name) || act()]);
    };
    heed(["index", "limits", "percentiles", "scope", "mask_on"], () => this.changed());
    heed(["colormap", "invert", "mask_opacity", "mask_outline"], () => this.recolour());
    for (const [name, handler] of this.handlers) model.on(name, handler);
    this.watcher = new ResizeObserver(() => this.resized());
    this.build();
  }

  dispose() {
    this.pause();
    this.quit.abort();
    this.watcher.disconnect();
    cancelAnimationFrame(this.frame);
    for (const timer of [this.silent, this.settling, this.saving, this.asking]) clearTimeout(timer);
    this.model.off("msg:custom", this.onMessage);
    for (const [name, handler] of this.handlers) this.model.off(name, handler);
  }

  // -- controls ---------------------------------------------------------------------------------------------------

  /** Set a trait here at once, and in Python when the hand rests. */
  set(name, value) {
    this.unsaved.set(name, value);
    this.model.set(name, value);
    clearTimeout(this.saving);
    this.saving = setTimeout(() => {
      this.unsaved.clear();
      this.model.save_changes();
    }, SETTLE_MS);
  }

  /** Python repeats what it was told; a repetition that comes after the hand went on must not undo that. */
  restored(name) {
    if (!this.unsaved.has(name) || this.model.get(name) === this.unsaved.get(name)) return false;
    this.model.set(name, this.unsaved.get(name));
    return true;
  }

  build() {
    const facts = (this.facts = this.model.get("_facts"));
    this.pause();
    this.underWay.clear();
    this.recent = new Recent(RECENT_BYTES);
    this.shownSeq = this.seq; // pictures of another array or axis may still come
    this.wanted = this.picture = this.overview = null;
    this.el.replaceChildren();
    if (facts.message) {
      this.el.append(make("div", { className: "wb-viewer wb-viewer-message" }, facts.message));
      return;
    }
    const name = facts.title || "image";
    this.root = make("div", {
      className: "wb-viewer",
      role: "group",
      ariaLabel: `Viewer of ${name}`,
      onkeydown: (event) => this.pressed(event),
    });
    this.canvas = make("canvas", { className: "wb-viewer-canvas", role: "img" });
    this.note = make("div", { className: "wb-viewer-note", hidden: true });
    this.stage = make(
      "div",
      {
        className: "wb-viewer-stage",
        tabIndex: 0,
        title: "",
        ariaLabel: "Picture. Arrow keys change the slice, plus and minus zoom, 0 shows all.",
      },
      this.canvas,
      this.note,
    );
    this.stage.style.setProperty("--wb-aspect", clamp(facts.width / facts.height, 0.8, 2.6));
    this.root.append(this.header(), make("div", { className: "wb-viewer-body" }, this.stage, this.panel()), this.footer());
    // Lab's shortcuts would take the arrow keys and the digits
    this.root.setAttribute("data-lm-suppress-shortcuts", "true");
    this.el.append(this.root);
    this.listen();
    this.tables = Object.fromEntries(
      Object.entries(this.model.get("_tables")).map(([key, data]) => [
        key,
        new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, 768),
      ]),
    );
    this.watcher.disconnect();
    this.watcher.observe(this.stage);
    this.sync();
  }

  header() {
    const { facts, model } = this;
    const shape = `${facts.shape.join(" × ")}  ${facts.dtype}${facts.mode === "labels" ? "  labels" : ""}`;
    const keys =
      facts.keys.length > 1
        ? make(
            "select",
            {
              ariaLabel: "Array of the dataset",
              onchange: (event) => {
                model.set("key", event.target.value);
                model.save_changes();
              },
            },
            ...facts.keys.map((key) => make("option", { value: key, selected: key === model.get("key") }, key)),
          )
        : null;
    const axes = facts.axes.length
      ? make(
          "div",
          { className: "wb-viewer-segments", role: "radiogroup", ariaLabel: "Axis of the slider" },
          make("span", {}, "axis"),
          ...facts.axes.map((axis, number) =>
            make(
              "button",
              {
                type: "button",
                role: "radio",
                ariaChecked: String(model.get("axis") === number),
                disabled: !axis.cheap,
                title: axis.cheap ? `Slices along axis ${number}` : `${axis.note}: too much to be smooth`,
                onclick: () => {
                  model.set("axis", number);
                  model.save_changes();
                },
              },
              String(number),
            ),
          ),
        )
      : null;
    const title = facts.title ? make("strong", {}, facts.title) : null;
    return make("div", { className: "wb-viewer-header" }, title, keys, make("span", { className: "wb-viewer-shape" }, shape), axes);
  }

  panel() {
    const { facts, model } = this;
    const panel = make("div", { className: "wb-viewer-panel" });
    if (facts.mode !== "labels") panel.append(this.contrast());
    if (facts.mode === "gray") {
      const map = make(
        "select",
        { ariaLabel: "Colour map", onchange: (event) => this.set("colormap", event.target.value) },
        ...Object.keys(model.get("_tables"))
          .filter((key) => key !== "labels")
          .map((key) => make("option", { value: key }, key)),
      );
      const invert = make("input", { type: "checkbox", onchange: () => this.set("invert", invert.checked) });
      this.ramp = make("canvas", { className: "wb-viewer-ramp", width: 256, height: 1, ariaHidden: "true" });
      this.controls = { ...this.controls, map, invert };
      panel.append(
        make(
          "section",
          {},
          make("h4", {}, "Colours"),
          make("div", { className: "wb-viewer-row" }, map, make("label", {}, invert, "invert")),
          this.ramp,
        ),
      );
    }
    if (facts.mask) {
      const on = make("input", { type: "checkbox", onchange: () => this.set("mask_on", on.checked) });
      const outline = make("input", { type: "checkbox", onchange: () => this.set("mask_outline", outline.checked) });
      const opacity = make("input", {
        type: "range",
        min: 0,
        max: 1,
        step: 0.05,
        ariaLabel: "Opacity of the mask",
        oninput: () => this.set("mask_opacity", Number(opacity.value)),
      });
      this.controls = { ...this.controls, on, outline, opacity };
      panel.append(
        make(
          "section",
          {},
          make("h4", {}, "Mask"),
          make("div", { className: "wb-viewer-row" }, make("label", {}, on, "show"), make("label", {}, outline, "outline")),
          make("div", { className: "wb-viewer-row" }, make("span", {}, "opacity"), opacity),
        ),
      );
    }
    return panel.children.length ? panel : "";
  }

  contrast() {
    const { model } = this;
    const number = (label, handler) =>
      make("input", { type: "number", step: "any", ariaLabel: label, onchange: (event) => handler(event.target) });
    const limit = (which) => (input) => {
      const limits = [...this.limits];
      limits[which] = Number(input.value);
      if (input.value !== "" && limits[0] <= limits[1]) this.set("limits", limits);
      else this.sync();
    };
    const percentile = (which) => (input) => {
      const percentiles = [...model.get("percentiles")];
      percentiles[which] = clamp(Number(input.value), 0, 100);
      if (input.value !== "" && percentiles[0] < percentiles[1]) this.automatic({ percentiles });
      else this.sync();
    };
    const low = number("Black at value", limit(0));
    const high = number("White at value", limit(1));
    const below = number("Lower percentile", percentile(0));
    const above = number("Upper percentile", percentile(1));
    const scope = make(
      "select",
      { ariaLabel: "Percentiles of", onchange: () => this.automatic({ scope: scope.value }) },
      make("option", { value: "stack", title: "Nine slices are sampled: the same limits for all" }, "whole stack"),
      make("option", { value: "slice" }, "each slice"),
    );
    const auto = make("button", { type: "button", onclick: () => this.automatic({}) }, "auto");
    this.controls = { low, high, below, above, scope, auto };
    this.bars = svg("path", { class: "wb-viewer-bars" });
    this.outside = [0, 1].map(() => svg("rect", { class: "wb-viewer-outside", y: 0, height: 56 }));
    this.lines = [0, 1].map(() => svg("line", { class: "wb-viewer-line", y1: 0, y2: 56 }));
    this.histogram = svg(
      "svg",
      { class: "wb-viewer-histogram", viewBox: "0 0 180 56", preserveAspectRatio: "none", role: "img", "aria-label": "Histogram of the slice; drag the lines to set black and white" },
      this.bars,
      ...this.outside,
      ...this.lines,
    );
    return make(
      "section",
      {},
      make("h4", {}, "Contrast", auto),
      this.histogram,
      make("div", { className: "wb-viewer-row" }, low, high),
      make("div", { className: "wb-viewer-row wb-viewer-percentiles" }, make("span", {}, "percentiles"), below, "–", above),
      this.facts.count > 1 ? make("div", { className: "wb-viewer-row" }, make("span", {}, "taken of"), scope) : "",
    );
  }

  /** Back to limits by percentiles, with changes to them. */
  automatic(changes) {
    for (const [name, value] of Object.entries(changes)) this.set(name, value);
    this.set("limits", null);
  }

  footer() {
    const { facts } = this;
    const footer = make("div", { className: "wb-viewer-footer" });
    this.slider = null;
    if (facts.count > 1) {
      const button = (name, label, handler) =>
        make("button", { type: "button", className: "wb-viewer-icon", title: label, ariaLabel: label, onclick: handler }, icon(name));
      this.slider = make("input", {
        type: "range",
        min: 0,
        max: facts.count - 1,
        step: 1,
        ariaLabel: "Slice",
        oninput: () => {
          this.pause();
          this.go(Number(this.slider.value));
        },
      });
      this.playButton = button("play", "Play", () => (this.playing ? this.pause() : this.play()));
      this.position = make("input", {
        type: "number",
        min: 0,
        max: facts.count - 1,
        ariaLabel: "Slice number",
        onchange: () => this.go(Number(this.position.value)),
      });
      footer.append(
        make(
          "div",
          { className: "wb-viewer-transport" },
          button("previous", "Previous slice", () => this.step(-1)),
          this.playButton,
          button("next", "Next slice", () => this.step(1)),
          this.slider,
          this.position,
          make("span", { className: "wb-viewer-count" }, `/ ${facts.count - 1}`),
        ),
      );
    }
    this.readout = make("span", { className: "wb-viewer-readout", ariaLive: "off" });
    this.zoomText = make("button", { type: "button", className: "wb-viewer-zoom", title: "Show all of it", onclick: () => this.fit(true) });
    footer.append(make("div", { className: "wb-viewer-status" }, this.readout, this.zoomText));
    return footer;
  }

  /** Show the state of the model in the controls. */
  sync() {
    const { model, controls, facts } = this;
    const index = model.get("index");
    const put = (input, value) => {
      if (document.activeElement !== input && input.value !== String(value)) input.value = value;
    };
    if (this.slider) {
      if (Number(this.slider.value) !== index) this.slider.value = index;
      put(this.position, index);
    }
    if (controls?.low) {
      const [below, above] = model.get("percentiles");
      const manual = model.get("limits") !== null;
      put(controls.below, short(below));
      put(controls.above, short(above));
      put(controls.low, this.limits ? short(this.limits[0]) : "");
      put(controls.high, this.limits ? short(this.limits[1]) : "");
      controls.scope.value = model.get("scope");
      controls.auto.disabled = !manual;
    }
    if (controls?.map) {
      controls.map.value = model.get("colormap");
      controls.invert.checked = model.get("invert");
    }
    if (controls?.on) {
      controls.on.checked = model.get("mask_on");
      controls.outline.checked = model.get("mask_outline");
      controls.opacity.value = model.get("mask_opacity");
    }
    this.canvas.setAttribute("aria-label", facts.count > 1 ? `Slice ${index} of ${facts.count}` : "Image");
  }

  // -- moving through the stack -----------------------------------------------------------------------------------

  go(index) {
    if (!Number.isFinite(index)) return this.sync();
    index = clamp(Math.round(index), 0, this.facts.count - 1);
    if (index !== this.model.get("index")) this.set("index", index);
    else this.sync();
  }

  step(by) {
    this.pause();
    this.go(this.model.get("index") + by);
  }

  play() {
    this.playing = true;
    this.playButton.replaceChildren(icon("pause"));
    this.playButton.ariaLabel = this.playButton.title = "Pause";
    this.advance();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    clearTimeout(this.advancing);
    this.playButton.replaceChildren(icon("play"));
    this.playButton.ariaLabel = this.playButton.title = "Play";
  }

  /** The next slice, when the last one is on the screen and has had its time. */
  advance() {
    this.advancing = setTimeout(() => {
      if (this.playing && !this.underWay.size) this.go((this.model.get("index") + 1) % this.facts.count);
      if (this.playing) this.advance();
    }, PLAY_MS);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onStage = event.target === this.stage;
    if (!onStage && event.target !== this.slider) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
    const middle = [this.stage.clientWidth / 2, this.stage.clientHeight / 2];
    if (this.slider && event.key in steps) this.step(steps[event.key]);
    else if (this.slider && event.key === "Home") this.go(0);
    else if (this.slider && event.key === "End") this.go(this.facts.count - 1);
    else if (this.slider && event.key === " ") this.playing ? this.pause() : this.play();
    else if (event.key === "+" || event.key === "=") this.zoom(1.5, ...middle);
    else if (event.key === "-") this.zoom(1 / 1.5, ...middle);
    else if (event.key === "0") this.fit(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // -- zoom and pan -----------------------------------------------------------------------------------------------

  fitScale() {
    return Math.min(this.stage.clientWidth / this.facts.width, this.stage.clientHeight / this.facts.height);
  }

  fit(ask) {
    this.camera.scale = this.fitScale();
    this.isFitted = true;
    this.keepInside();
    this.draw();
    if (ask) this.changed();
  }

  zoom(factor, px, py) {
    const { camera } = this;
    const scale = clamp(camera.scale * factor, this.fitScale(), Math.max(MAX_ZOOM, this.fitScale()));
    camera.x += px / camera.scale - px / scale;
    camera.y += py / camera.scale - py / scale;
    camera.scale = scale;
    this.isFitted = scale <= this.fitScale() * 1.001;
    this.keepInside();
    this.draw();
    this.changed();
  }

  /** The picture never leaves the stage; what is smaller than the stage stays in its middle. */
  keepInside() {
    const { camera, stage, facts } = this;
    for (const [axis, extent, total] of [["x", stage.clientWidth, facts.width], ["y", stage.clientHeight, facts.height]]) {
      const seen = extent / camera.scale;
      camera[axis] = seen >= total ? (total - seen) / 2 : clamp(camera[axis], 0, total - seen);
    }
    this.zoomText.textContent = this.isFitted ? "fit" : `${short(Math.round(camera.scale * 1000) / 10)} %`;
  }

  resized() {
    if (!this.stage.clientWidth || !this.stage.clientHeight) return;
    const density = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.stage.clientWidth * density);
    this.canvas.height = Math.round(this.stage.clientHeight * density);
    if (this.isFitted !== false) this.fit(false);
    this.keepInside();
    this.draw();
    this.changed();
  }

  /** Where the pointer is on the slice. */
  under(event) {
    const box = this.stage.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const { x, y, scale } = this.camera;
    return { px, py, x: Math.floor(x + px / scale), y: Math.floor(y + py / scale) };
  }

  listen() {
    const { stage, histogram } = this;
    const signal = this.quit.signal;
    const on = (node, kind, handler, options = {}) => node.addEventListener(kind, handler, { signal, ...options });
    on(stage, "wheel", (event) => {
      // a wheel over a notebook scrolls it; the picture takes the wheel once it was clicked, or with Ctrl
      if (document.activeElement !== stage && !event.ctrlKey) return;
      event.preventDefault();
      const { px, py } = this.under(event);
      this.zoom(Math.exp(-clamp(event.deltaY, -120, 120) * 0.003), px, py);
    }, { passive: false });
    let drag = null;
    on(stage, "pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.focus({ preventScroll: true });
      stage.setPointerCapture(event.pointerId);
      drag = { ...this.under(event), from: { ...this.camera } };
      event.preventDefault();
    });
    on(stage, "pointermove", (event) => {
      const here = this.under(event);
      if (drag && !this.isFitted) {
        this.camera.x = drag.from.x - (here.px - drag.px) / this.camera.scale;
        this.camera.y = drag.from.y - (here.py - drag.py) / this.camera.scale;
        this.keepInside();
        this.draw();
        this.changed();
      } else this.ask(here);
    });
    const drop = () => (drag = null);
    on(stage, "pointerup", drop);
    on(stage, "pointercancel", drop);
    on(stage, "pointerleave", () => {
      this.pointer = null;
      this.hint();
    });
    on(stage, "dblclick", (event) => {
      const { px, py } = this.under(event);
      this.isFitted ? this.zoom(Math.max(4, 1 / this.camera.scale), px, py) : this.fit(true);
    });
    on(stage, "focus", () => this.hint());
    on(stage, "blur", () => this.hint());
    this.hint();
    if (!histogram) return;
    let moved = null;
    const valueAt = (event) => {
      const box = histogram.getBoundingClientRect();
      const [left, right] = this.edges;
      return left + clamp((event.clientX - box.left) / box.width, 0, 1) * (right - left);
    };
    on(histogram, "pointerdown", (event) => {
      if (!this.limits) return;
      const value = valueAt(event);
      moved = Math.abs(value - this.limits[0]) <= Math.abs(value - this.limits[1]) ? 0 : 1;
      histogram.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    on(histogram, "pointermove", (event) => {
      if (moved === null) return;
      const limits = [...this.limits];
      const value = valueAt(event);
      limits[moved] = moved ? Math.max(value, limits[0]) : Math.min(value, limits[1]);
      if (!this.facts.dtype.includes("float")) limits[moved] = Math.round(limits[moved]);
      this.limits = limits;
      this.drawLimits();
      this.set("limits", limits);
    });
    const release = () => (moved = null);
    on(histogram, "pointerup", release);
    on(histogram, "pointercancel", release);
  }

  // -- the value under the pointer --------------------------------------------------------------------------------

  hint() {
    if (this.pointer) return;
    const focused = document.activeElement === this.stage;
    this.readout.textContent = focused ? "wheel zooms · drag pans · arrow keys change the slice" : "click the picture to zoom with the wheel";
    if (focused && !this.slider) this.readout.textContent = "wheel zooms · drag pans · double click shows all";
    this.readout.classList.add("wb-viewer-hint");
  }

  /** Ask for the value under the pointer, one question at a time. */
  ask({ x, y }) {
    if (x < 0 || y < 0 || x >= this.facts.width || y >= this.facts.height) {
      this.pointer = null;
      return this.hint();
    }
    this.pointer = { x, y, index: this.model.get("index") };
    if (this.asking) return;
    this.asking = setTimeout(() => (this.asking = null), 400);
    this.model.send({ kind: "value", view: this.id, seq: ++this.seq, mask: this.model.get("mask_on"), ...this.pointer });
  }

  told(message) {
    clearTimeout(this.asking);
    this.asking = null;
    if (!this.pointer || message.error) return;
    const { x, y, index } = this.pointer;
    if (x === message.x && y === message.y && index === message.index) {
      const where = this.facts.count > 1 ? `[${index}, ${y}, ${x}]` : `[${y}, ${x}]`;
      const label = message.label === undefined ? [] : [make("span", {}, "label ", make("b", {}, message.label))];
      this.readout.classList.remove("wb-viewer-hint");
      this.readout.replaceChildren(make("span", {}, where), make("b", {}, message.text), ...label);
    } else this.ask(this.pointer);
  }

  // -- pictures ---------------------------------------------------------------------------------------------------

  changed() {
    this.sync();
    this.request(true);
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.request(false), SETTLE_MS);
  }

  /** Want a picture of the newest state; asked for with the next frame, as a hand may move more often. */
  request(moving) {
    this.wanted = { moving };
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.pump();
    });
  }

  pump() {
    const { model, stage, camera, facts } = this;
    if (!this.wanted || this.underWay.size >= UNDER_WAY || !stage?.clientWidth) return;
    const { moving } = this.wanted;
    this.wanted = null;
    const density = moving ? 1 : window.devicePixelRatio || 1;
    const region = [
      clamp(Math.floor(camera.y), 0, facts.height - 1),
      clamp(Math.floor(camera.x), 0, facts.width - 1),
      clamp(Math.ceil(camera.y + stage.clientHeight / camera.scale), 1, facts.height),
      clamp(Math.ceil(camera.x + stage.clientWidth / camera.scale), 1, facts.width),
    ];
    const size = [(region[3] - region[1]) * camera.scale * density, (region[2] - region[0]) * camera.scale * density];
    const asked = {
      index: model.get("index"),
      region,
      size,
      limits: model.get("limits"),
      percentiles: model.get("percentiles"),
      scope: facts.count > 1 ? model.get("scope") : "slice",
      mask: model.get("mask_on"),
    };
    const seq = ++this.seq;
    const name = moving ? JSON.stringify(asked) : null;
    const known = this.recent.get(name);
    if (known) return this.show({ ...known, seq });
    const raw = this.delay < SLOW_MS;
    model.send({ kind: "picture", view: this.id, seq, ...asked, moving, raw });
    this.underWay.set(seq, { name, at: performance.now(), inTurn: this.underWay.size + 1 });
    clearTimeout(this.silent);
    this.silent = setTimeout(() => this.unanswered(), SILENT_MS);
  }

  /** No kernel answers: show the picture that was saved with the notebook. */
  unanswered() {
    this.underWay.clear();
    const still = this.model.get("_still");
    if (!this.picture && still?.byteLength) {
      this.offline ??= URL.createObjectURL(new Blob([still], { type: "image/png" }));
      const saved = make("img", { className: "wb-viewer-still", alt: "Saved picture", src: this.offline });
      if (!this.stage.querySelector("img")) this.stage.prepend(saved);
    }
    this.tell(this.picture ? "The kernel is busy or gone." : "Saved picture: no kernel answers.");
  }

  tell(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }

  async receive(message, buffers) {
    if (message.view !== this.id) return;
    if (message.kind === "value") return this.told(message);
    const asked = this.underWay.get(message.seq);
    // the kernel answers in turn and leaves out what a newer request replaced
    for (const seq of this.underWay.keys()) if (seq <= message.seq) this.underWay.delete(seq);
    if (!this.underWay.size) clearTimeout(this.silent);
    if (asked) this.delay += ((performance.now() - asked.at) / asked.inTurn - this.delay) / 8;
    this.pump();
    if (message.error) return this.tell(message.error);
    const open = (data, kind) => (kind === "raw" ? layerOf(data, message.pixels) : decoded(data, kind));
    const layers = [open(buffers[0], message.format)];
    if (buffers.length > 2) layers.push(open(buffers[2], message.format === "raw" ? "raw" : "png"));
    const [base, labels] = message.format === "raw" ? layers : await Promise.all(layers);
    if (this.quit.signal.aborted) return;
    const counts = buffers[1].byteLength ? new Uint32Array(bytesOf(buffers[1]).slice().buffer) : null;
    const picture = { ...message, base, labels, counts };
    if (asked?.name) this.recent.put(asked.name, picture, base.nbytes + (labels?.nbytes ?? 0));
    this.show({ ...picture }); // a copy: what is painted for it is not kept
  }

  /** Bring a picture on the screen, unless a newer one is there. */
  show(picture) {
    if (picture.seq < this.shownSeq) return;
    this.shownSeq = picture.seq;
    this.picture = picture;
    const [y0, x0, y1, x1] = picture.region;
    const { step, moving } = picture;
    const isWhole = y0 === 0 && x0 === 0 && y1 > this.facts.height - step && x1 > this.facts.width - step;
    if (isWhole) this.overview = picture;
    else if (this.overview?.index !== picture.index) this.overview = null;
    this.stage.querySelector("img")?.remove();
    this.tell(picture.not_finite > 0.001 ? `${(picture.not_finite * 100).toFixed(1)} % not finite` : "");
    this.paint(picture);
    this.draw();
    const now = performance.now();
    if (picture.limits && (!moving || now - (this.histogramAt ?? 0) > HISTOGRAM_MS)) {
      this.histogramAt = now;
      this.limits = picture.limits;
      this.edges = picture.edges;
      this.drawHistogram(picture.counts);
      this.drawLimits();
      this.sync();
    }
    this.pictures += 1;
    Object.assign(this.root.dataset, { pictures: this.pictures, index: picture.index, step, format: picture.format, took: picture.took_ms });
  }

  recolour() {
    this.sync();
    for (const picture of new Set([this.overview, this.picture])) if (picture) this.paint(picture);
    this.draw();
  }

  /** Colour the gray picture by its table; make the labels a picture of their own. */
  paint(picture) {
    const { model, tables } = this;
    const [map, invert] = [model.get("colormap"), model.get("invert")];
    const { base, labels, mode } = picture;
    if (mode === "gray") this.drawRamp(tables[map], invert);
    if (base.bitmap && (mode === "colour" || (mode === "gray" && map === "gray" && !invert))) picture.shown = base.bitmap;
    else {
      const colours = this.packed(tables[mode === "labels" ? "labels" : map], mode === "gray" && invert, 255);
      picture.shown = coloured(base, base.levels, colours);
    }
    picture.overlay = null;
    if (labels) {
      const colours = this.packed(tables.labels, false, 255);
      colours[0] = 0;
      picture.overlay = coloured(labels, model.get("mask_outline") ? outlined(labels) : labels.levels, colours);
    }
  }

  /** A table as 32-bit pixels, as canvases on little-endian machines hold them. */
  packed(table, invert, alpha) {
    return Uint32Array.from({ length: 256 }, (_, i) => {
      const at = 3 * (invert ? 255 - i : i);
      return ((alpha << 24) | (table[at + 2] << 16) | (table[at + 1] << 8) | table[at]) >>> 0;
    });
  }

  draw() {
    if (!this.picture) return;
    const { canvas, camera, model } = this;
    const context = canvas.getContext("2d");
    const density = canvas.width / this.stage.clientWidth;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const scale = camera.scale * density;
    const layers = this.overview && this.overview !== this.picture ? [this.overview, this.picture] : [this.picture];
    for (const picture of layers) {
      const [y0, x0, y1, x1] = picture.region;
      const box = [(x0 - camera.x) * scale, (y0 - camera.y) * scale, (x1 - x0) * scale, (y1 - y0) * scale];
      const magnified = box[2] / picture.base.width;
      context.imageSmoothingEnabled = magnified < 2.5 && picture.mode !== "labels";
      context.imageSmoothingQuality = picture.moving ? "low" : "high"; // high takes a tenth of all the browser does
      context.globalAlpha = 1;
      context.drawImage(picture.shown, ...box);
      if (!picture.overlay || !model.get("mask_on")) continue;
      context.imageSmoothingEnabled = magnified < 1;
      context.globalAlpha = model.get("mask_opacity");
      context.drawImage(picture.overlay, ...box);
    }
  }

  drawRamp(table, invert) {
    const context = this.ramp.getContext("2d");
    const image = context.createImageData(256, 1);
    new Uint32Array(image.data.buffer).set(this.packed(table, invert, 255));
    context.putImageData(image, 0, 0);
  }

  drawHistogram(counts) {
    const most = Math.sqrt(Math.max(1, ...counts)); // square root: rare values stay visible
    const width = 180 / counts.length;
    let path = "M0 56";
    counts.forEach((count, i) => {
      const top = (56 - (54 * Math.sqrt(count)) / most).toFixed(1);
      path += `V${top}H${((i + 1) * width).toFixed(2)}`;
    });
    this.bars.setAttribute("d", `${path}V56Z`);
  }

  drawLimits() {
    const [left, right] = this.edges;
    const at = this.limits.map((value) => clamp(((value - left) / (right - left)) * 180, 0, 180));
    at.forEach((x, i) => {
      this.lines[i].setAttribute("x1", x);
      this.lines[i].setAttribute("x2", x);
    });
    this.outside[0].setAttribute("x", 0);
    this.outside[0].setAttribute("width", at[0]);
    this.outside[1].setAttribute("x", at[1]);
    this.outside[1].setAttribute("width", 180 - at[1]);
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.dispose();
  },
};
