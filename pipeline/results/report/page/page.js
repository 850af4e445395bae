"use strict";
// Draws the report page from its data. Values of the dataset are shown as text
// (textContent), never as HTML. The other scripts use what this one returns.
const report = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const MAX_FOUND = 30, PAGE_ROWS = 100, NUM_COLOURED = 10, NONE = 65535;
  const COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99", "#9b7bd4", "#b07d4f"];

  function unpack(text, Kind) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Kind(bytes.buffer);
  }
  function element(name, text, attributes = {}) {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }
  // Plotly interprets some HTML (<b>, <br>, <a>) and $formulas$ in texts. An invisible
  // character after <, & and $ keeps names from being interpreted.
  const plain = (text) => String(text).replace(/[<&$]/g, (c) => c + "\u2060");
  const number = (value) => value.toLocaleString("en");
  const score = (value) => value.toFixed(2);
  const shorten = (text, size) => (text.length > size ? text.slice(0, size - 1) + "…" : text);
  // Screen readers read this text aloud.
  const say = (text) => { $("status").textContent = text; };
  // How a user must write a text in a shell command.
  const quote = (text) => (/^[\w.\/-]+$/.test(text) ? text : "'" + text.replace(/'/g, "'\\''") + "'");
  const modelOption = () => (data.models.length > 1 ? ` --model=${quote(model.name)}` : "");
  function seconds(value) {
    if (!Number.isFinite(value)) return "unknown duration";
    const whole = Math.floor(value);
    if (value < 60) return value.toFixed(1) + " s";
    const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
    const end = String(whole % 60).padStart(2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
  }

  const clock = (value) => {
    const tenths = Math.round(value * 10), two = (n) => String(n).padStart(2, "0");
    const rest = `${two(Math.floor(tenths / 10) % 60)}.${tenths % 10}`, minutes = Math.floor(tenths / 600) % 60;
    return tenths >= 36000 ? `${Math.floor(tenths / 36000)}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
  };
  // A time on the clock of the recorder, in seconds since 1970.
  const dateText = (local) => new Date(Math.floor(local) * 1000).toISOString().slice(0, 19).replace("T", " ");

  const ids = data.clips.id, files = data.clips.file;
  const folderOf = unpack(data.clips.folder, Uint32Array);
  const durations = unpack(data.clips.duration_s, Float32Array);
  const joined = (folderIndex, name) => {
    const folder = data.folders[folderIndex][0];
    return folder && !folder.endsWith("/") ? folder + "/" + name : folder + name;
  };
  const path = (row) => joined(folderOf[row], files[row]);
  const rowOf = new Map(ids.map((id, row) => [id, row])), sections = [];

  for (const model of data.models) {
    model.has_results = unpack(model.has_results, Uint8Array);
    if (model.labels) {
      model.top = unpack(model.top, Uint16Array);
      model.top_scores = unpack(model.top_scores, Uint16Array);
      model.by_count = model.labels.map((_, i) => i).sort((a, b) => model.num_top[b] - model.num_top[a] || (model.labels[a] < model.labels[b] ? -1 : 1));
    }
    if (model.map) model.map = unpack(model.map, Uint16Array);
    if (model.nearest) {
      model.nearest.of = unpack(model.nearest.of, Uint32Array);
      model.nearest.cosines = unpack(model.nearest.cosines, Uint16Array);
      model.nearest.place = new Map(model.nearest.rows.map((row, i) => [row, i]));
    }
    const values = unpack(model.heat.values, Uint8Array);
    let start = 0;
    model.heats = new Map();
    for (const [row, [labels, step, patches]] of Object.entries(model.heat.clips)) {
      const columns = Math.ceil(patches / step);
      model.heats.set(Number(row), { labels, step, patches, columns, values, start });
      start += labels.length * columns;
    }
  }
  const numTop = 5;
  let model = data.models[0], label = -1, open = -1, matches = [];

  // ---- themes and charts
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  function layout(more = {}) {
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
    const { xaxis = {}, yaxis = {}, ...rest } = more;
    for (const one of [xaxis, yaxis]) if (one.title) one.title.font = { size: 13 };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("text"), family: getComputedStyle(document.body).fontFamily, size: 13 },
      margin: { l: 10, r: 10, t: 10, b: 40 }, showlegend: false,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("accent") },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text") }, align: "left" },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
    };
  }
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d", "autoScale2d"] };
  const withoutToolbar = { ...config, displayModeBar: false };
  function draw(id, traces, look, options) {
    return Plotly.react($(id), traces, look, options);
  }
  const hasWebGL = (() => {
    try { return !!document.createElement("canvas").getContext("webgl"); } catch { return false; }
  })();
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  function setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    $("theme").setAttribute("aria-pressed", String(dark));
    $("theme").textContent = dark ? "Light theme" : "Dark theme";
  }
  setTheme(prefersDark.matches);
  prefersDark.addEventListener("change", () => { setTheme(prefersDark.matches); drawAll(); });
  $("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme !== "dark");
    drawAll();
  });

  // ---- run
  function showRun() {
    const [kind, word, sentence] = data.state;
    $("badge").textContent = word;
    $("badge").classList.add(kind);
    $("state").textContent = word[0].toUpperCase() + word.slice(1) + ": " + sentence + ".";
    $("state").classList.add(kind);
    for (const [name, value, note] of data.tiles) {
      const tile = element("div");
      tile.append(element("dt", name), element("dd", value, { class: "value" }), element("dd", note, { class: "quiet" }));
      $("tiles").append(tile);
    }
    for (const [name, value] of data.facts) $("facts").append(element("dt", name), element("dd", value));
  }
  function showSampled() {
    const some = ids.length;
    const which = some < data.num_with_results
      ? `This page contains ${number(some)} of the ${number(data.num_with_results)} clips with results: the clips with the highest scores for each label, and others drawn at random (the same each time).`
      : `This page contains all ${number(some)} clips with results.`;
    const heats = model ? ` It contains activations over time for ${number(model.heats.size)} of them.` : "";
    $("sampled").textContent = some ? which + heats : "No clip has results yet. This page shows the settings and the failed clips.";
  }

  // ---- labels
  function showLabels() {
    const has = model && model.labels && model.num_clips > 0;
    $("labels-body").hidden = !has;
    $("labels-missing").hidden = !!has;
    if (!has) {
      $("labels-missing").textContent = !model || !ids.length ? "No clip has activations yet." : "The dataset has no activations, because it was extracted with --outputs embeddings. Without activations there are no labels.";
      return;
    }
    const select = $("label");
    const options = model.by_count.map((i) => element("option", `${model.labels[i]} (${number(model.num_top[i])})`, { value: i }));
    select.replaceChildren(...options);
    const used = model.num_top.filter((n) => n > 0).length;
    $("top-note").textContent = `The top label of a clip has the highest mean activation. ${number(used)} of ${number(model.labels.length)} labels are the top label of at least one of the ${number(model.num_clips)} clips. Click a bar to choose a label.`;
    chooseLabel(model.by_count[0], true);
    drawTop();
  }
  function drawTop() {
    const shown = model.by_count.slice(0, 20).filter((i) => model.num_top[i] > 0).reverse();
    const trace = {
      type: "bar", orientation: "h", x: shown.map((i) => model.num_top[i]), y: shown.map((_, k) => k), customdata: shown,
      marker: { color: shown.map((i) => (i === label ? colour("warning") : colour("accent"))) },
      text: shown.map((i) => number(model.num_top[i])), textposition: "outside", cliponaxis: false,
      hovertext: shown.map((i) => plain(model.labels[i])), hovertemplate: "%{hovertext}: %{x:,} clips<extra></extra>",
    };
    const ticks = { tickvals: shown.map((_, k) => k), ticktext: shown.map((i) => plain(shorten(model.labels[i], 34))), showgrid: false, zeroline: false };
    const look = layout({ xaxis: { title: { text: "clips" }, rangemode: "tozero" }, yaxis: ticks, margin: { l: 10, r: 45, t: 5, b: 40 }, bargap: 0.25, dragmode: false });
    draw("top-chart", [trace], look, withoutToolbar).then((chart) => {
      chart.removeAllListeners("plotly_click");
      chart.on("plotly_click", (event) => chooseLabel(event.points[0].customdata));
    });
  }
  function chooseLabel(index, quietly = false) {
    label = index;
    const name = model.labels[label];
    $("label").value = String(label);
    $("label-title").textContent = name;
    $("label-note").textContent = `Top label of ${number(model.num_top[label])} clips (${(100 * model.num_top[label] / model.num_clips).toFixed(1)} %). The score of a clip is its mean activation.`;
    const rows = model.best[label].map(([row, value], rank) => {
      const line = element("tr");
      const name = element("td");
      name.append(clipButton(row));
      line.append(element("td", rank + 1, { class: "number" }), name, element("td", value.toFixed(3), { class: "number" }), element("td", files[row]));
      return line;
    });
    $("best").replaceChildren(...rows);
    drawHistogram();
    if (!quietly) { drawTop(); drawMap(); say(`${name}: ${rows.length} clips listed`); }
  }
  function drawHistogram() {
    const bins = model.bins[label], tops = model.top_bins[label], width = 1 / bins.length;
    const x = bins.map((_, i) => (i + 0.5) * width);
    const range = bins.map((_, i) => `${(i * width).toFixed(3)} to ${((i + 1) * width).toFixed(3)}`);
    const bar = (name, y, fill) => ({ type: "bar", name, x, y, width, customdata: range, marker: { color: fill }, hovertemplate: "%{customdata}: %{y:,} clips<extra>" + name + "</extra>" });
    const look = layout({
      barmode: "overlay", showlegend: true, legend: { orientation: "h", y: 1.18, x: 0 }, dragmode: false,
      xaxis: { title: { text: "score" }, range: [0, 1] }, margin: { l: 10, r: 10, t: 25, b: 40 },
      yaxis: { title: { text: "clips (log scale)" }, type: "log", dtick: 1, range: [-0.3, Math.log10(Math.max(10, ...bins)) + 0.1] },
    });
    draw("histogram", [bar("all clips", bins, colour("quiet")), bar("clips with this top label", tops, colour("accent"))], look, withoutToolbar);
  }

  // ---- map
  function mapGroups() {
    const groups = [], groupOf = new Map();
    if (model.labels) {
      model.by_count.slice(0, NUM_COLOURED).filter((i) => model.num_top[i] > 0).forEach((i, k) => {
        groupOf.set(i, k);
        groups.push({ name: model.labels[i], fill: COLOURS[k], rows: [] });
      });
    }
    const others = { name: model.labels ? "other labels" : "clips", fill: "#8b93a3", rows: [] };
    for (let row = 0; row < ids.length; row++) {
      if (!model.has_results[row]) continue;
      const group = model.labels ? groupOf.get(model.top[row * numTop]) : undefined;
      (group === undefined ? others : groups[group]).rows.push(row);
    }
    return [others, ...groups];
  }
  function place(rows) {
    const x = new Float32Array(rows.length), y = new Float32Array(rows.length);
    rows.forEach((row, i) => { x[i] = model.map[2 * row] / 32767.5 - 1; y[i] = model.map[2 * row + 1] / 32767.5 - 1; });
    return { x, y };
  }
  function ring(name, rows, fill, size, line) {
    return { type: hasWebGL ? "scattergl" : "scatter", mode: "markers", name, ...place(rows), customdata: rows, marker: { symbol: "circle-open", size, color: fill, line: { width: line, color: fill } }, hovertemplate: "%{text}<extra></extra>", text: rows.map(hint), showlegend: rows.length > 0 };
  }
  function hint(row) {
    const top = model.labels && model.top[row * numTop] !== NONE ? model.labels[model.top[row * numTop]] : "";
    return plain(shorten(ids[row], 60)) + (top ? "<br>" + plain(top) + " " + score(model.top_scores[row * numTop] / 65535) : "");
  }
  function drawMap() {
    const has = model && model.map && ids.length > 0;
    $("map").hidden = !has;
    $("map-missing").hidden = !!has;
    if (!has) {
      $("map-note").textContent = "";
      $("map-missing").textContent = !model || !ids.length ? "No clip has embeddings yet." : "The dataset has no embeddings, because it was extracted with --outputs activations. Without embeddings there are no map and no nearest clips.";
      return;
    }
    const groups = mapGroups(), count = groups.reduce((sum, g) => sum + g.rows.length, 0);
    const between = count > model.map_placed ? ` t-SNE placed ${number(model.map_placed)} clips; each other clip is between the placed clips that are most similar to it.` : "";
    $("map-note").textContent = `${number(count)} clips, placed by their mean embeddings (t-SNE). Clips near each other are similar; a large distance means little.${between} Scroll to zoom, drag to move, click a clip to open it, click a label in the legend to hide it.`;
    const size = count > 20000 ? 3 : count > 3000 ? 4.5 : count > 300 ? 7 : 10;
    const traces = groups.map((g) => ({
      type: hasWebGL ? "scattergl" : "scatter", mode: "markers", name: plain(shorten(g.name, 30)), ...place(g.rows), customdata: g.rows, text: g.rows.map(hint),
      marker: { color: g.fill, size, opacity: g === groups[0] ? 0.5 : 0.85 }, hovertemplate: "%{text}<extra></extra>",
    }));
    const marked = matches.filter((row) => model.has_results[row]).slice(0, 2000);
    const labelled = label >= 0 && model.labels ? model.best[label].filter(([, value]) => value >= 0.5).map(([row]) => row) : [];
    if (labelled.length) traces.push(ring("highest scores: " + plain(shorten(model.labels[label], 24)), labelled, colour("text"), size + 5, 1));
    if (marked.length) traces.push(ring("found clips", marked, colour("bad"), size + 7, 2));
    if (open >= 0 && model.has_results[open]) traces.push(ring("open clip", [open], colour("accent"), size + 14, 3));
    const blank = { showgrid: false, zeroline: false, showticklabels: false, ticks: "", showline: false };
    const look = layout({
      xaxis: blank, yaxis: { ...blank, scaleanchor: "x" }, showlegend: true, dragmode: "pan", hovermode: "closest", uirevision: model.name,
      legend: { orientation: "h", y: -0.02, font: { size: 12 }, itemsizing: "constant" }, margin: { l: 5, r: 5, t: 30, b: 5 },
    });
    draw("map", traces, look, { ...config, scrollZoom: true }).then((chart) => {
      chart.removeAllListeners("plotly_click");
      chart.on("plotly_click", (event) => openClip(event.points[0].customdata, false));
    });
  }

  // ---- clip
  function clipButton(row) {
    const button = element("button", shorten(ids[row], 70), { type: "button", class: "link" });
    button.addEventListener("click", () => openClip(row));
    return button;
  }
  function openClip(row, goThere = true) {
    open = row;
    showClip();
    drawMap();
    say(`clip ${ids[row]} is open`);
    if (goThere) {
      $("clip").scrollIntoView({ block: "nearest" });
      $("clip-title").focus({ preventScroll: true });
    }
  }
  function showClip() {
    const has = open >= 0;
    $("clip-body").hidden = !has;
    $("clip-hint").hidden = has;
    if (!has) return;
    $("clip-title").textContent = ids[open];
    $("clip-path").textContent = path(open);
    const flags = data.clips.flags[open] || [];
    const [start, end] = data.clips.times[open] || [];
    const part = start === undefined ? "" : `, from ${start} s to ${end ? end + " s" : "the end"} of the file`;
    $("clip-facts").textContent = seconds(durations[open]) + part + (flags.length ? ", flags: " + flags.join(", ") : "");
    showPlayer();
    showClipLabels();
    drawHeat();
    showNearest();
  }
  // Returns a player of a file, or null; the note then says why there is none.
  function player(folderIndex, name, fragment, note, label) {
    const [folder, address, why] = data.folders[folderIndex];
    if (address === null) {
      note.textContent = `No player: ${why}.`;
      return null;
    }
    let source;
    try {
      // In a uri the name is escaped already, perhaps with bytes that are not UTF-8.
      source = address + "/" + (/^(https?|file):/i.test(folder) ? name : encodeURIComponent(name));
    } catch {
      note.textContent = "No player: the file's name is not valid Unicode.";
      return null;
    }
    // A local name may have a colon; ./ keeps it from being read as a scheme.
    if (!/^https?:\/\//i.test(source)) source = "./" + source;
    const audio = element("audio", undefined, { controls: "", preload: "none", "aria-label": label });
    audio.addEventListener("error", () => {
      audio.remove();
      note.textContent = "No player: the file is not at the address that this page expects, or this browser cannot play its format.";
    });
    audio.src = source + fragment;
    // Reads the header of a local file at once, to find out whether it plays. Loads
    // nothing from a network before the user presses play.
    if (location.protocol === "file:" && source.startsWith("./")) audio.preload = "metadata";
    return audio;
  }
  function showPlayer() {
    const note = element("p", undefined, { class: "quiet" });
    // A media fragment: the browser plays this part of the file only.
    const times = data.clips.times[open];
    const fragment = times ? "#t=" + times.filter(Boolean).join(",") : "";
    const audio = player(folderOf[open], files[open], fragment, note, "Audio of the clip");
    $("player").replaceChildren(...(audio ? [audio, note] : [note]));
  }
  function showClipLabels() {
    const rows = [];
    for (let k = 0; model.labels && k < numTop; k++) {
      const index = model.top[open * numTop + k];
      if (index === NONE || !model.has_results[open]) continue;
      const value = model.top_scores[open * numTop + k] / 65535;
      const line = element("tr"), cell = element("td"), last = element("td", undefined, { class: "number" });
      const button = element("button", model.labels[index], { type: "button", class: "link" });
      button.addEventListener("click", () => { chooseLabel(index); $("label").focus(); });
      cell.append(button);
      last.append(element("meter", undefined, { min: 0, max: 1, value, "aria-hidden": "true" }), score(value));
      line.append(cell, last);
      rows.push(line);
    }
    $("clip-labels").replaceChildren(...rows);
  }
  function drawHeat() {
    const heat = model.heats.get(open);
    $("heat").hidden = !heat;
    if (!heat) {
      $("heat-note").textContent = !model.labels ? "The dataset has no activations."
        : !model.has_results[open] ? "This model has no results for this clip."
        : !model.has_patches ? "The dataset has no activations over time: they were not stored."
        : `This page does not contain the activations over time of this clip. To draw them, run: fsdsinet plot ${quote(data.dataset)} --clip=${quote(ids[open])}${modelOption()} --output clip.png`;
      return;
    }
    const { labels, step, patches, columns, values, start } = heat;
    const z = labels.map((_, r) => Array.from(values.subarray(start + r * columns, start + (r + 1) * columns), (v) => v / 255));
    const hop = data.hop_s * step, edges = Array.from({ length: columns + 1 }, (_, i) => Math.min(i * hop, patches * data.hop_s));
    const times = Array.from({ length: columns }, (_, i) => seconds(edges[i]));
    const long = edges[columns] >= 60;
    const trace = {
      type: "heatmap", z, x: edges, y: labels.map((_, i) => i), customdata: labels.map(() => times), zmin: 0, zmax: 1, colorscale: "Viridis",
      text: labels.map((i) => times.map(() => plain(model.labels[i]))),
      hovertemplate: "%{text}<br>%{customdata}: %{z:.2f}<extra></extra>", colorbar: { thickness: 10, outlinewidth: 0, tickvals: [0, 0.5, 1] },
    };
    const xaxis = { title: { text: long ? "time (min:s)" : "time (s)" }, showgrid: false, zeroline: false };
    if (long) {
      const every = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((s) => edges[columns] / s <= 8) || 7200;
      xaxis.tickvals = Array.from({ length: Math.floor(edges[columns] / every) + 1 }, (_, i) => i * every);
      xaxis.ticktext = xaxis.tickvals.map((s) => (s ? seconds(Math.max(60, s)) : "0:00"));
      if (every < 60) xaxis.ticktext = xaxis.tickvals.map((s) => `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`);
    }
    const yaxis = { tickvals: labels.map((_, i) => i), ticktext: labels.map((i) => plain(shorten(model.labels[i], 24))), autorange: "reversed", showgrid: false, tickfont: { size: 11 } };
    draw("heat", [trace], layout({ xaxis, yaxis, margin: { l: 10, r: 5, t: 5, b: 40 } }), withoutToolbar);
    $("heat-note").textContent = `The 8 labels with the highest means, then the 4 others with the highest peaks. ${number(patches)} patches` + (step > 1 ? `; each column shows the highest of ${step} patches` : "") + ". Drag to zoom, double-click to reset.";
  }
  function showNearest() {
    const near = model.nearest, at = near ? near.place.get(open) : undefined, rows = [];
    for (let k = 0; at !== undefined && k < near.count; k++) {
      const row = near.of[at * near.count + k], line = element("tr"), cell = element("td");
      const top = model.labels && model.top[row * numTop] !== NONE ? model.labels[model.top[row * numTop]] : "";
      cell.append(clipButton(row));
      if (top) cell.append(element("div", top, { class: "quiet" }));
      line.append(cell, element("td", score(near.cosines[at * near.count + k] / 65535), { class: "number" }));
      rows.push(line);
    }
    $("nearest").replaceChildren(...rows);
    $("nearest-note").textContent = rows.length ? (ids.length < data.num_with_results ? "Only clips on this page were compared." : "")
      : !near ? "The dataset has no embeddings." : at === undefined ? `This page does not contain the nearest clips of this clip. To list them, run: fsdsinet search ${quote(data.dataset)} --clip=${quote(ids[open])}${modelOption()}` : "There is no other clip.";
  }

  // ---- search
  function find() {
    const text = $("search").value.trim().toLowerCase();
    matches = [];
    if (text) {
      const labels = model && model.labels ? new Set(model.labels.flatMap((name, i) => (name.toLowerCase().includes(text) ? [i] : []))) : new Set();
      for (let row = 0; row < ids.length; row++) {
        const byLabel = labels.size && labels.has(model.top[row * numTop]);
        if (byLabel || lowered[row].includes(text)) matches.push(row);
      }
    }
    matches.sort((a, b) => (ids[b].toLowerCase() === text) - (ids[a].toLowerCase() === text) || (ids[a] < ids[b] ? -1 : 1));
    const more = matches.length > MAX_FOUND ? `; the first ${MAX_FOUND} are listed` : "";
    $("found-note").textContent = text ? `${number(matches.length)} clips found; rings mark them on the map${more}` : "";
    $("found").replaceChildren(...matches.slice(0, MAX_FOUND).map((row) => {
      const item = element("li"), button = element("button", shorten(ids[row], 50), { type: "button" });
      button.addEventListener("click", () => openClip(row));
      item.append(button);
      return item;
    }));
    if (model) drawMap();
  }
  const lowered = ids.map((id, row) => (id + "\n" + files[row]).toLowerCase());
  let waiting = 0;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, 150); });
  $("find").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    find();
    if (matches.length) openClip(matches[0]);
  });

  // ---- failed and flagged
  let shownRows = PAGE_ROWS;
  function showTroubled() {
    const reasons = { ...data.failed_by_reason };
    $("reason").append(element("option", "all reasons", { value: "" }));
    for (const [name, count] of Object.entries(reasons)) $("reason").append(element("option", `failed: ${name} (${number(count)})`, { value: "f:" + name }));
    for (const [name, count] of Object.entries(data.flags)) $("reason").append(element("option", `flag: ${name} (${number(count)})`, { value: "g:" + name }));
    const filter = () => { shownRows = PAGE_ROWS; listTroubled(); };
    $("reason").addEventListener("change", filter);
    $("reason-text").addEventListener("input", filter);
    $("more").addEventListener("click", () => { shownRows += 5 * PAGE_ROWS; listTroubled(); });
    listTroubled();
  }
  function listTroubled() {
    $("troubled-body").hidden = !data.num_troubled;
    if (!data.num_troubled) {
      $("troubled-note").textContent = "No clip failed, and none has a flag.";
      return;
    }
    const [kind, name] = [$("reason").value.slice(0, 1), $("reason").value.slice(2)];
    const text = $("reason-text").value.trim().toLowerCase();
    const rows = data.troubled.filter((clip) =>
      (!kind || ((kind === "f") === clip.failed && clip.reasons.includes(name)))
      && (!text || [clip.id, clip.uri, clip.text, ...clip.reasons].join("\n").toLowerCase().includes(text)));
    const limited = data.troubled.length < data.num_troubled ? ` This page contains the first ${number(data.troubled.length)} of ${number(data.num_troubled)} such clips; the ledger has all.` : "";
    $("troubled-note").textContent = `${number(rows.length)} clips match.${limited}`;
    $("troubled-rows").replaceChildren(...rows.slice(0, shownRows).map((clip) => {
      const line = element("tr"), first = element("td");
      if (clip.row >= 0) first.append(clipButton(clip.row));
      else first.textContent = clip.id;
      const state = element("td");
      state.append(element("span", clip.failed ? "failed" : "flagged", { class: "badge " + (clip.failed ? "bad" : "warning") }));
      line.append(first, state, element("td", clip.reasons.join(", ")), element("td", clip.text), element("td", clip.uri));
      return line;
    }));
    $("more").hidden = rows.length <= shownRows;
  }

  // ---- start
  function drawAll() {
    if (!model) return;
    if (label >= 0 && model.labels) { drawTop(); drawHistogram(); }
    drawMap();
    if (open >= 0) drawHeat();
    for (const one of sections) one.draw();
  }
  function showModel() {
    label = -1;
    showSampled();
    showLabels();
    if ($("search").value) find(); else drawMap();
    showClip();
    for (const one of sections) one.show(model);
  }
  $("model-field").hidden = data.models.length < 2;
  $("model").append(...data.models.map((one, i) => element("option", one.name, { value: i })));
  $("model").addEventListener("change", () => { model = data.models[Number($("model").value)]; showModel(); say(`model ${model.name}`); });
  $("label").addEventListener("change", () => chooseLabel(Number($("label").value)));
  showRun();
  showTroubled();
  showModel();
  // A section of another script: show(model) when a model is chosen, draw() when the
  // theme changes.
  function addSection(show, draw = () => {}) {
    sections.push({ show, draw });
    if (model) show(model);
  }
  const openId = (id) => { if (rowOf.has(id)) openClip(rowOf.get(id)); };
  return {
    data, $, element, unpack, plain, number, score, seconds, shorten, say, clock, dateText, colour, layout, withoutToolbar,
    draw, player, path: joined, addSection, openId, hasClip: (id) => rowOf.has(id),
  };
})();
