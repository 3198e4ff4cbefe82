"use strict";
// The report's page: sortable tables, the records behind a number, and the gallery of maps.
(() => {
  const { f32, extremes, localize, decodeMask, groundTruth, measure } = vsslMaps;

  // -- Pixels: a map over its image --------------------------------------------------------------

  const STOPS = [
    [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
    [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
  ]; // of matplotlib's inferno, which the figures use
  const COLOURS = Array.from({ length: 256 }, (_, k) => {
    const place = (k / 255) * (STOPS.length - 1), first = Math.min(Math.floor(place), STOPS.length - 2);
    return STOPS[first].map((c, n) => c + (place - first) * (STOPS[first + 1][n] - c));
  });

  /** Draw a map over image pixels (RGBA) in one of the renderings, in place. */
  function paint(pixels, map, { rendering, threshold, size, low, high }) {
    const level = threshold === null ? Infinity : f32(threshold);
    const bottom = rendering === "new" ? level : low, least = rendering === "heat" ? 0 : 0.25;
    for (let p = 0; p < map.length; p++) {
      const k = 4 * p;
      if (rendering === "new" && !(map[p] > level)) {
        const grey = 0.55 * (0.3 * pixels[k] + 0.59 * pixels[k + 1] + 0.11 * pixels[k + 2]);
        pixels[k] = pixels[k + 1] = pixels[k + 2] = grey;
      } else if (rendering !== "outline") {
        let relative = high > bottom ? Math.min(Math.max((map[p] - bottom) / (high - bottom), 0), 1) : 0;
        if (rendering === "new") relative = 0.4 + 0.6 * relative;
        const colour = COLOURS[Math.round(255 * relative) || 0], weight = least + (0.75 - least) * Math.sqrt(relative);
        for (let c = 0; c < 3; c++) pixels[k + c] += weight * (colour[c] - pixels[k + c]);
      }
    }
    if (rendering !== "new") outline(pixels, map, level, size);
  }

  /** How many pixels, up to `reach`, it is to the other side of an edge; 0 if it is farther. */
  function toEdge(inside, size, p, reach) {
    const x = p % size, y = Math.floor(p / size), own = inside(p);
    const other = (i, j) => (i >= 0 && j >= 0 && i < size && j < size && inside(j * size + i)) !== own;
    for (let d = 1; d <= reach; d++) {
      if (other(x + d, y) || other(x - d, y) || other(x, y + d) || other(x, y - d)) return d;
    }
    return 0;
  }

  /** A white line around what is marked, with a dark one beside it that shows on bright images. */
  function outline(pixels, map, level, size) {
    const inside = (p) => map[p] > level;
    for (let p = 0; p < map.length; p++) {
      const distance = toEdge(inside, size, p, 3);
      if (distance && inside(p)) pixels.fill(255, 4 * p, 4 * p + 3);
      else if (distance && distance < 3) pixels.fill(0, 4 * p, 4 * p + 3);
    }
  }

  function drawBoxes(context, boxes) {
    for (const [colour, width] of [["#000", 5], ["#00e5ff", 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      for (const [x0, y0, x1, y1] of boxes) context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  }

  /** Places of the pixels along the edges of masks, two pixels wide. */
  const outlineOf = (masks, size) => masks.flatMap((text) => {
    const mask = decodeMask(text, size), inside = (p) => mask[p] === 1;
    return [...mask.keys()].filter((p) => inside(p) && toEdge(inside, size, p, 2));
  });

  // -- Elements ----------------------------------------------------------------------------------

  const at = (id) => document.getElementById(id);

  /** An element with properties (`data-` and `aria-` ones as attributes) and children. */
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (/^(data|aria)-|^(role|scope|for)$/.test(name)) element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const percent = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "n/a");
  const short = (value) => (Number.isFinite(value) ? value.toFixed(Math.abs(value) < 10 ? 3 : 1) : "n/a");

  // -- Tables ------------------------------------------------------------------------------------

  function sortBy(header) {
    const table = header.closest("table"), place = [...header.parentNode.children].indexOf(header);
    const before = header.ariaSort, first = header.dataset.first || "ascending";
    const order = before !== first ? first : first === "ascending" ? "descending" : "ascending";
    for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.ariaSort = "none";
    header.ariaSort = order;
    const sign = order === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].map((row) => ({ row, key: row.cells[place]?.dataset.value ?? "" }));
      rows.sort((a, b) => {
        if (!a.key || !b.key) return !a.key - !b.key; // gaps stay last
        if (place === 0) return sign * a.key.localeCompare(b.key);
        return sign * (Number(a.key) - Number(b.key));
      });
      body.append(...rows.map(({ row }) => row));
    }
  }

  function showRecord(link) {
    const r = JSON.parse(link.dataset.record);
    const conditions = r.condition === "all" || !r.condition ? null : r.condition.split("-");
    const heard = conditions ? `audio_condition in ${JSON.stringify(conditions)} and ` : "";
    const same = `threshold_policy == "${r.policy}" and map_variant == "${r.variant}"`;
    at("record-title").textContent = `${r.name}, ${r.header}: ${link.textContent.trim()}`;
    const facts = [
      ["metric", r.metric], ["audio condition", r.condition], ["threshold policy", r.policy],
      ["map variant", r.variant], ["threshold", r.threshold === null ? "none for all maps" : r.threshold],
      ["threshold from", r.source || "–"], ["samples", r.n], ["draws", r.draws],
      ["spread over draws", r.std], ["undefined rows", r.undefined],
      ["published, difference", r.published],
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
    at("record-facts").replaceChildren(
      ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value)))),
    );
    const folder = r.folder.split("/").map(encodeURIComponent).join("/");
    at("record-files").replaceChildren(...["summary", "scores", "records"].map((name) =>
      make("li", {}, make("a", { href: `${folder}/${name}.parquet` }, `${r.folder}/${name}.parquet`))));
    at("record-query").textContent = [
      "# run in the folder of this page",
      "import pandas as pd",
      `run = ${JSON.stringify(r.folder)}`,
      'summary = pd.read_parquet(f"{run}/summary.parquet")',
      `summary.query('metric == "${r.metric}" and condition == "${r.condition}" and ${same}')`,
      'scores = pd.read_parquet(f"{run}/scores.parquet")  # the rows it is made of',
      `scores.query('${heard}${same}')`,
    ].join("\n");
    at("record").showModal();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("th[aria-sort] button");
    if (button) sortBy(button.closest("th"));
    const link = event.target.closest("a[data-record]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      showRecord(link);
    }
  });
  document.addEventListener("change", ({ target }) => {
    const { shows } = target.dataset; // of all groups' tables
    if (!shows) return;
    document.body.classList.toggle(shows, target.checked);
    for (const box of document.querySelectorAll(`[data-shows=${shows}]`)) box.checked = target.checked;
  });
  at("record-close").addEventListener("click", () => at("record").close());

  // -- Gallery: what is chosen -------------------------------------------------------------------

  let shown = null; // the data of the chosen test set
  let cards = [];
  const visible = new Set();
  const settings = { rendering: "heat", variant: "av", boxes: true, hidden: new Set(), policy: null, position: 0 };

  const variantOf = (model) => (model.variants.includes(settings.variant) ? settings.variant : "av");

  /** Lowest value, own threshold (or the middle) and highest value of a model's slider. */
  function scaleOf(model, variant) {
    const [low, , high] = model.extremes[variant];
    const own = model.thresholds[variant][shown.policy] ?? (low + high) / 2;
    return { low: Math.min(low, own), own, high: Math.max(high, own) };
  }

  /** A model's threshold: a policy's, null where it has none, or the slider's. */
  function levelOf(k) {
    const model = shown.models[k], variant = variantOf(model);
    if (settings.policy !== null) return model.thresholds[variant][settings.policy] ?? null;
    const { low, own, high } = scaleOf(model, variant), share = settings.position / 100;
    return own + share * (share < 0 ? own - low : high - own);
  }

  function fromSlider({ target }) {
    settings.position = Number(target.value);
    settings.policy = settings.position === 0 ? shown.policy : null; // exactly, not by way of a sum
    update();
  }

  /** Bring the slider to where the models' thresholds are: of a policy they differ, to their mean. */
  function placeSlider() {
    const positions = shown.models.map((model, k) => {
      const { low, own, high } = scaleOf(model, variantOf(model));
      const above = (levelOf(k) ?? own) - own, side = above < 0 ? own - low : high - own;
      return side > 0 ? Math.min(Math.max(100 * above / side, -100), 100) : 0;
    });
    at("threshold").value = positions.reduce((sum, position) => sum + position, 0) / positions.length;
  }

  let announcing = 0;

  function update() {
    const slider = at("threshold"), { policy } = settings;
    const position = `${slider.value > 0 ? "+" : ""}${slider.value} %`.replace("-", "−");
    slider.ariaValueText = at("threshold-text").textContent = policy ?? position;
    for (const button of at("presets").children) {
      button.ariaPressed = String(button.dataset.policy === policy);
    }
    const values = shown.models.flatMap(({ label }, n) => (settings.hidden.has(n) ? [] : `${label} ${levelText(n)}`));
    clearTimeout(announcing); // a screen reader hears where the slider stops, not each step
    announcing = setTimeout(() => { at("levels").textContent = `Marked is what lies above: ${values.join(" · ")}`; }, 250);
    redraw();
  }

  const levelText = (k) => (levelOf(k) === null ? "has no such threshold" : short(levelOf(k)));

  let drawing = 0;

  function redraw() {
    if (!drawing) {
      drawing = requestAnimationFrame(() => {
        drawing = 0;
        for (const card of visible) card.draw();
      });
    }
  }

  // -- Gallery: cards ----------------------------------------------------------------------------

  /** The packed maps of a model, and which of them each condition has. */
  async function unpack([places, text]) {
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const bytes = new Uint8Array(planes.length), count = planes.length / 4;
    for (let n = 0; n < planes.length; n++) bytes[4 * (n % count) + Math.floor(n / count)] = planes[n];
    return { places, values: new Float32Array(bytes.buffer) };
  }

  const whole = new Promise((done) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done);
    else done();
  });

  /** A large part of the data, read when it is needed: image and maps of a sample, or a clip. */
  async function part(data, place) {
    const id = `${data.name}-${place}`;
    if (!at(id)) await whole;
    return JSON.parse(at(id).textContent);
  }

  /** A button that plays a clip, or stops it; narrower than a browser's own controls. */
  function player(load, name) {
    const audio = make("audio", { preload: "none" });
    const button = make("button", { type: "button", className: "play", "aria-label": `Play the ${name}` }, "▶ play", audio);
    const say = (playing) => {
      button.firstChild.data = playing ? "■ stop" : "▶ play";
      button.setAttribute("aria-label", `${playing ? "Stop" : "Play"} the ${name}`);
    };
    button.addEventListener("click", async () => {
      if (!audio.paused) {
        audio.pause();
        return;
      }
      if (!audio.src) audio.src = await load();
      for (const other of document.querySelectorAll("audio")) other.pause();
      audio.currentTime = 0;
      audio.play();
    });
    audio.addEventListener("play", () => say(true));
    for (const kind of ["pause", "ended"]) audio.addEventListener(kind, () => say(false));
    return button;
  }

  /** A sample with its maps; what it holds is made when it first comes into view. */
  class Card {
    constructor(sample, number) {
      this.data = shown;
      this.sample = sample;
      this.element = make("article", { className: "card", "data-sample": sample.id,
        "aria-labelledby": `card-${number}` }, make("h4", { id: `card-${number}` }, sample.id));
      this.element.card = this;
    }

    fill() {
      const { sample, element, data: { models, conditions, size } } = this;
      this.truth = groundTruth(sample.boxes, sample.weights, size, sample.masks, sample.maskWeights);
      this.outline = null; // found when it is first drawn
      this.picture = make("canvas", { width: size, height: size, className: "picture", role: "img",
        "aria-label": `${sample.id} with its ground truth` });
      this.heads = models.map((model, k) =>
        make("th", { scope: "col", "data-model": k }, model.label, make("span", { className: "level" })));
      this.cells = [];
      const rows = conditions.map((condition) => {
        const cells = models.map((model, k) => {
          if (!model.conditions.includes(condition)) return make("td", { "data-model": k }, "not evaluated");
          const canvas = make("canvas", { width: size, height: size, role: "img" });
          const numbers = make("p", { className: "numbers" });
          this.cells.push({ model, k, condition, canvas, numbers });
          return make("td", { "data-model": k, "data-condition": condition }, canvas, numbers);
        });
        const name = sample.natural && condition === "positive" ? "natural" : condition;
        return make("tr", {}, make("th", { scope: "row" }, name, ...this.sounds(name)), ...cells);
      });
      const quarter = at("size").options[sample.quarter + 1].textContent;
      element.replaceChildren(
        make("div", { className: "about" }, this.picture, make("div", {}, element.firstChild,
          make("p", {}, sample.natural ? `own sound: ${sample.category}; nothing in the image sounds (natural negative)`
            : `${sample.category}, ${percent(sample.area)} of the image (${quarter})`),
          make("p", { className: "why" }, sample.why))),
        make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": `maps of ${sample.id}` },
          make("table", { className: "maps" },
            make("thead", {}, make("tr", {}, make("td"), ...this.heads)), make("tbody", {}, ...rows))));
      this.hide();
    }

    /** Show the models that are chosen. */
    hide() {
      for (const cell of this.element.querySelectorAll("[data-model]")) {
        cell.hidden = settings.hidden.has(Number(cell.dataset.model));
      }
    }

    /** Whose sound it is, and a player where its clip is in the page. */
    sounds(condition) {
      return this.sample.heard.filter((each) => each.condition === condition).flatMap(({ id, category, runs }) => {
        const more = runs.length > 2 ? ` and ${runs.length - 2} more` : "";
        const of = runs.length ? ` (${runs.slice(0, 2).join(", ")}${more})` : "";
        const label = make("span", { className: "heard", title: runs.join(", ") }, category + of);
        const { data } = this, place = data.clips[id];
        return place !== undefined ? [label, player(() => part(data, place), `${condition} sound of ${this.sample.id}: ${category}`)] : [label];
      });
    }

    async load() {
      const { models, size } = this.data;
      if (!this.cells) this.fill();
      const content = await part(this.data, this.sample.part);
      const wanted = content.maps.map((packed, k) => (settings.hidden.has(k) ? null : unpack(packed)));
      const [image, ...packed] = await Promise.all([this.image(content.image), ...wanted]);
      if (!visible.has(this)) return; // scrolled away meanwhile
      const canvas = new OffscreenCanvas(size, size), context = canvas.getContext("2d");
      context.fillStyle = "#808080";
      context.fillRect(0, 0, size, size);
      if (image) context.drawImage(image, 0, 0, size, size);
      else this.picture.setAttribute("aria-label", "the image is not at hand");
      this.pixels = context.getImageData(0, 0, size, size);
      this.native = packed.map((maps, k) => {
        if (!maps) return null;
        const { places, values } = maps;
        const { height, width, conditions } = models[k], length = height * width;
        const native = Object.fromEntries(conditions.map((condition, n) =>
          [condition, values.subarray(places[n] * length, (places[n] + 1) * length)]));
        return { maps: native, object: values.subarray((Math.max(...places) + 1) * length) };
      });
      this.large = new Map();
      this.draw();
    }

    async image(source) {
      if (!source) return null;
      const image = make("img", { src: source });
      await image.decode();
      return image;
    }

    /** The localization map of a cell, kept while the card is in view. */
    map({ model, k, condition }) {
      const variant = variantOf(model), key = `${k} ${condition} ${variant}`;
      if (!this.large.has(key)) {
        const { maps, object } = this.native[k];
        const map = localize(model, condition, maps[condition], object, variant, this.data.size);
        const own = variant === "av" && model.transform === "none" ? maps[condition] : map;
        this.large.set(key, { map, reach: extremes(own), drawn: extremes(map) });
      }
      return this.large.get(key);
    }

    draw() {
      if (!this.pixels) return;
      const { size } = this.data, boxes = settings.boxes ? this.sample.boxes : [];
      this.outline ??= outlineOf(this.sample.masks, size);
      const outline = settings.boxes ? this.outline : [];
      const put = (canvas, pixels) => {
        canvas.width = canvas.height = size;
        const context = canvas.getContext("2d");
        context.putImageData(new ImageData(pixels, size, size), 0, 0);
        drawBoxes(context, boxes);
        context.fillStyle = "#00e5ff";
        for (const p of outline) context.fillRect(p % size, Math.floor(p / size), 1, 1);
      };
      put(this.picture, this.pixels.data.slice());
      this.heads.forEach((head, k) => { head.lastChild.textContent = `> ${levelText(k)}`; });
      for (const cell of this.cells) {
        if (settings.hidden.has(cell.k) || !this.native[cell.k]) continue; // not, or not yet
        const { map, reach, drawn } = this.map(cell), value = levelOf(cell.k);
        const pixels = this.pixels.data.slice();
        const { rendering } = settings, [, middle] = cell.model.extremes[variantOf(cell.model)];
        const high = rendering === "new" || rendering === "heat" ? scaleOf(cell.model, variantOf(cell.model)).high : drawn[1];
        paint(pixels, map, { rendering, threshold: value, size, low: rendering === "heat" ? middle : drawn[0], high });
        put(cell.canvas, pixels);
        const { pia, ciou: overlap } = value === null ? { pia: NaN, ciou: NaN } : measure(map, this.truth, value);
        const ciou = this.sample.natural ? NaN : overlap;
        cell.numbers.replaceChildren(
          make("span", {}, "pIA ", make("data", { className: "pia", value: String(pia) }, percent(pia))), " ",
          make("span", {}, "cIoU ", make("data", { className: "ciou", value: String(ciou) }, percent(ciou))));
        cell.canvas.title = `map from ${short(reach[0])} to ${short(reach[1])}`;
        const marks = pia === 0 ? "marks nothing" : `marks ${percent(pia)} of the image`;
        cell.canvas.setAttribute("aria-label", `${cell.model.label}, ${cell.condition}: ${marks}`);
      }
    }

    /** Give back the memory of a card that is out of view. */
    free() {
      this.pixels = this.native = this.large = null;
      for (const canvas of [this.picture, ...this.cells.map((cell) => cell.canvas)]) canvas.width = canvas.height = 0;
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target: { card }, isIntersecting } of entries) {
      if (isIntersecting === visible.has(card)) continue;
      if (isIntersecting) {
        visible.add(card);
        card.load();
      } else {
        visible.delete(card);
        card.free();
      }
    }
  }, { rootMargin: "200px" });

  // -- Gallery: filters and order ----------------------------------------------------------------

  /** What is worst under an audio condition: it depends on which object of the picture sounds. */
  function worst(model, condition) {
    const what = { own: "lowest cIoU", other: "highest cIoU", none: "largest pIA" }[model.sounding[condition]];
    return condition === "positive" ? what : `${what}, ${condition}`;
  }

  /** The value that samples are sorted by, small first; what is unknown comes last. */
  function sortKey(sample) {
    const [kind, k, condition] = at("order").value.split("/");
    if (kind === "area") return sample.area;
    if (kind !== "worst") return 0; // as they were chosen
    const score = sample.scores[k][variantOf(shown.models[k])]?.[condition];
    const sounding = shown.models[k].sounding[condition];
    const value = sounding === "none" ? score?.[1] : score?.[0];
    return value === null || value === undefined ? Infinity : sounding === "own" ? value : -value;
  }

  function arrange() {
    const wanted = cards
      .filter(({ sample }) => (at("category").value === "" || sample.category === at("category").value)
        && (at("size").value === "" || sample.quarter === Number(at("size").value)))
      .map((card) => ({ card, key: sortKey(card.sample) }))
      .sort((a, b) => (a.key === b.key ? 0 : a.key - b.key));
    at("cards").replaceChildren(...wanted.map(({ card }) => card.element));
    at("count").textContent = `${wanted.length} of ${cards.length} samples`;
  }

  function fillOptions(select, options) {
    select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  }

  function showGroup() {
    shown = JSON.parse(at(`data-${at("group").value}`).textContent);
    const { models, samples, conditions } = shown;
    const baselines = models.flatMap((model, k) => (model.baseline ? [k] : []));
    settings.hidden = new Set(baselines);
    at("baselines").checked = false;
    at("baselines").parentNode.hidden = !baselines.length;
    at("baselines-text").textContent = `baselines (${baselines.length})`;
    settings.policy = shown.policy;
    at("scale").textContent = `0 is each model's own threshold (${shown.policy}); −100 % the lowest value of its`
      + " maps on this page, +100 % the highest.";
    const policies = [...new Set(models.flatMap((m) => Object.values(m.thresholds).flatMap(Object.keys)))];
    at("presets").replaceChildren(...policies.map((policy) =>
      make("button", { type: "button", "data-policy": policy, "aria-pressed": "false" }, policy)));
    fillOptions(at("category"), [["", "all classes"],
      ...[...new Set(samples.map((s) => s.category))].sort().map((name) => [name, name])]);
    at("order").replaceChildren(make("option", { value: "chosen" }, "as chosen"),
      make("option", { value: "area" }, "small objects first"),
      ...models.map((model, k) => make("optgroup", { label: `worst first: ${model.label} (${shown.policy})` },
        ...conditions.filter((c) => model.conditions.includes(c)).map((c) =>
          make("option", { value: `worst/${k}/${c}` }, `${model.label}: ${worst(model, c)}`)))));
    const guided = models.some((model) => model.variants.includes("ogl"));
    at("variant").querySelector("[value=ogl]").disabled = !guided;
    if (!guided) at("variant").value = settings.variant = "av";
    at("models").replaceChildren(...models.map((model, k) =>
      make("label", {}, make("input", { type: "checkbox", checked: !model.baseline, value: String(k) }), model.label)));
    watcher.disconnect();
    visible.clear();
    cards = samples.map((sample, number) => new Card(sample, number));
    for (const card of cards) watcher.observe(card.element);
    at("size").value = "";
    arrange();
    placeSlider();
    update();
  }

  function hideModels() {
    settings.hidden = new Set([...at("models").querySelectorAll("input:not(:checked)")].map((i) => Number(i.value)));
    for (const card of cards) if (card.cells) card.hide();
    for (const card of visible) card.load();
    update();
  }

  function showBaselines({ target }) {
    for (const box of at("models").querySelectorAll("input")) {
      if (shown.models[box.value].baseline) box.checked = target.checked;
    }
    hideModels();
  }

  if (at("gallery-tools")) {
    at("gallery-tools").hidden = false;
    const on = (id, kind, work) => at(id).addEventListener(kind, work);
    on("threshold", "input", fromSlider);
    on("presets", "click", ({ target }) => {
      if (!target.dataset.policy) return;
      settings.policy = target.dataset.policy;
      placeSlider();
      update();
    });
    on("rendering", "change", ({ target }) => { settings.rendering = target.value; redraw(); });
    on("variant", "change", ({ target }) => {
      settings.variant = target.value;
      arrange();
      placeSlider();
      update();
    });
    on("boxes", "change", ({ target }) => { settings.boxes = target.checked; redraw(); });
    on("models", "change", hideModels);
    on("baselines", "change", showBaselines);
    for (const id of ["category", "size", "order"]) on(id, "change", arrange);
    on("group", "change", showGroup);
    showGroup();
  }
})();
