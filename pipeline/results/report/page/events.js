"use strict";
// Lists the events: to filter and sort, to hear, and to mark as right or wrong. Marks are
// kept in the browser, and are downloaded as CSV.
(() => {
  const { data, $, element, unpack, number, score, shorten, say, player, path, clock, dateText, addSection, openId, hasClip } = report;
  const PAGE_ROWS = 100, COLUMNS = ["uri", "clip_id", "start_s", "end_s", "label", "correct"];
  const WORDS = { yes: "right", no: "wrong" };
  // shown: indexes of the events that match, in order; selected: a place in it.
  let model, events, shown = [], selected = -1, numRows = PAGE_ROWS, marks = new Map(), playing = { index: -1, audio: null };
  let sorting = { key: "score", down: true };

  const six = (value) => String(Number(value.toFixed(6)));

  function unpackEvents(packed) {
    const clips = unpack(packed.file_of_clip, Uint32Array);
    const found = {
      clip: unpack(packed.clip, Uint32Array), label: unpack(packed.label, Uint16Array),
      start: unpack(packed.start_s, Float64Array), end: unpack(packed.end_s, Float64Array), score: unpack(packed.score, Uint16Array),
      count: 0, ids: packed.clip_ids, numAll: packed.num_all, settings: packed.settings,
    };
    found.count = found.clip.length;
    const files = packed.files.map(([folder, name, given, local, offset]) => {
      const uri = given ?? path(folder, name);
      return { folder, name, uri, local, offset, lowered: uri.toLowerCase() };
    });
    found.file = (i) => files[clips[found.clip[i]]];
    found.time = (i) => { const { local } = found.file(i); return local === null ? null : local + found.start[i]; };
    found.key = (i) => keyOf(found.file(i).uri, found.ids[found.clip[i]], found.start[i], found.end[i], model.labels[found.label[i]]);
    found.hasTimes = files.some((file) => file.local !== null);
    found.hasOffsets = files.some((file) => file.offset);
    found.lacksOffsets = files.some((file) => file.local !== null && !file.offset);
    return found;
  }

  // ---- marks
  // An event is known by its place and label, so that marks survive a new report.
  const keyOf = (uri, clip, start, end, label) => JSON.stringify([uri, clip, Number(six(start)), Number(six(end)), label]);
  const storageName = () => `fsdsinet marks ${JSON.stringify([data.dataset, model.name])}`;
  const refused = (why) => { $("mark-note").hidden = false; $("mark-note").textContent = `This browser does not keep marks (${why}): download them before you close or reload the page.`; };
  function loadMarks() {
    marks = new Map();
    try {
      for (const [key, correct] of JSON.parse(localStorage.getItem(storageName()) || "[]")) {
        if (Array.isArray(JSON.parse(key)) && correct in WORDS) marks.set(key, correct);
      }
    } catch (error) { refused(error.name); }
  }
  function saveMarks() {
    try { localStorage.setItem(storageName(), JSON.stringify([...marks])); } catch (error) { refused(error.name); }
    countMarks();
  }
  function countMarks() {
    const values = [...marks.values()], right = values.filter((value) => value === "yes").length;
    let text = `${number(values.length)} ${values.length === 1 ? "mark" : "marks"}: ${number(right)} right, ${number(values.length - right)} wrong`;
    const others = [...marks.keys()].filter((key) => !events.known.has(key)).length;
    if (others) text += `; ${number(others)} of events that this page does not list`;
    $("mark-count").textContent = text;
    $("mark-save").disabled = $("mark-clear").disabled = !values.length;
  }
  function mark(place, correct) {
    const key = events.key(shown[place]);
    if (marks.get(key) === correct) marks.delete(key);
    else marks.set(key, correct);
    saveMarks();
    showMark(place);
    say(marks.has(key) ? `marked as ${WORDS[correct]}` : "mark removed");
  }
  function showMark(place) {
    const value = marks.get(events.key(shown[place])), chosen = place === selected ? "#mark-chosen button, " : "";
    for (const button of document.querySelectorAll(`${chosen}#event-${place} button[data-mark]`)) button.setAttribute("aria-pressed", String(button.dataset.mark === value));
  }
  function download() {
    const quoted = (cell) => (/[",\n\r]/.test(cell) ? '"' + cell.replace(/"/g, '""') + '"' : cell);
    const rows = [...marks].map(([key, correct]) => [...JSON.parse(key), correct].map((cell) => quoted(String(cell))));
    const link = element("a", undefined, { download: "marks.csv" });
    link.href = URL.createObjectURL(new Blob([[COLUMNS, ...rows.sort()].map((row) => row.join(",") + "\n").join("")], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // ---- table
  const HEADS = [["label", "Label"], ["file", "File"], ["start", "Start", "number"], ["end", "End", "number"], ["score", "Score", "number"], ["time", "Recorded at"], ["mark", "Mark"]];
  function showHeads() {
    $("event-heads").replaceChildren(...HEADS.filter(([key]) => key !== "time" || events.hasTimes).map(([key, name, kind]) => {
      const cell = element("th", undefined, { scope: "col", class: kind || "" }), button = element("button", name, { type: "button", "data-sort": key });
      if (sorting.key === key) cell.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      button.addEventListener("click", () => { sorting = { key, down: sorting.key === key ? !sorting.down : key === "score" }; list(); });
      cell.append(button);
      return cell;
    }));
  }
  function compare() {
    const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0), last = sorting.down ? -Infinity : Infinity;
    const byPlace = (a, b) => byText(events.file(a).uri, events.file(b).uri) || events.start[a] - events.start[b] || a - b;
    const of = {
      label: (a, b) => byText(model.labels[events.label[a]], model.labels[events.label[b]]) || events.score[b] - events.score[a],
      file: byPlace, start: (a, b) => events.start[a] - events.start[b], end: (a, b) => events.end[a] - events.end[b],
      score: (a, b) => events.score[a] - events.score[b],
      // Events whose time is not known come last in both orders.
      time: (a, b) => { const [x, y] = [events.time(a) ?? last, events.time(b) ?? last]; return x === y ? 0 : x - y; },
      mark: (a, b) => byText(marks.get(events.key(a)) || "z", marks.get(events.key(b)) || "z"),
    }[sorting.key];
    const sign = sorting.down ? -1 : 1;
    return (a, b) => sign * of(a, b) || byPlace(a, b);
  }
  function list() {
    const label = $("event-label").value, least = Math.round((Number($("event-score").value) || 0) * 65535);
    const text = $("event-text").value.trim().toLowerCase(), marked = $("event-marks").value;
    const chosen = selected >= 0 ? shown[selected] : -1;
    shown = [];
    for (let i = 0; i < events.count; i++) {
      if (label !== "" && events.label[i] !== Number(label)) continue;
      if (events.score[i] < least || (text && !events.file(i).lowered.includes(text) && !events.ids[events.clip[i]].toLowerCase().includes(text))) continue;
      if (marked && (marks.get(events.key(i)) || "none") !== marked) continue;
      shown.push(i);
    }
    shown.sort(compare());
    selected = chosen < 0 ? -1 : shown.indexOf(chosen);
    if (selected < 0) choose(-1);
    numRows = Math.max(PAGE_ROWS, selected + 1);
    showHeads();
    $("events-found").textContent = `${number(shown.length)} events match.`;
    $("event-rows").replaceChildren();
    showRows();
    if (selected >= 0) select(selected);
  }
  function showRows() {
    const begin = $("event-rows").childElementCount;
    $("event-rows").append(...shown.slice(begin, numRows).map((index, k) => row(index, begin + k)));
    $("event-more").hidden = shown.length <= numRows;
  }
  function row(index, place) {
    const line = element("tr", undefined, { id: `event-${place}`, "aria-selected": "false" }), file = events.file(index), time = events.time(index);
    const name = element("td", undefined, { title: path(file.folder, file.name) }), last = element("td");
    const id = events.ids[events.clip[index]];
    if (hasClip(id)) {
      const button = element("button", shorten(file.name, 60), { type: "button", class: "link", tabindex: "-1", title: "open the clip" });
      button.addEventListener("click", (event) => { event.stopPropagation(); openId(id); });
      name.append(button);
    } else name.textContent = shorten(file.name, 60);
    for (const [correct, sign] of [["yes", "✓ right"], ["no", "✗ wrong"]]) {
      const button = element("button", sign, { type: "button", tabindex: "-1", class: WORDS[correct], "data-mark": correct, "aria-pressed": String(marks.get(events.key(index)) === correct) });
      button.addEventListener("click", (event) => { event.stopPropagation(); select(place); mark(place, correct); });
      last.append(button, " ");
    }
    const cells = [element("td", model.labels[events.label[index]]), name, ...[events.start, events.end].map((times) => element("td", clock(times[index]), { class: "number" })), element("td", score(events.score[index] / 65535), { class: "number" })];
    if (events.hasTimes) cells.push(element("td", time === null ? "" : `${dateText(time)} ${file.offset}`.trim()));
    line.append(...cells, last);
    line.addEventListener("click", () => { select(place); $("event-table").focus({ preventScroll: true }); });
    return line;
  }

  // ---- choose and hear
  function select(place) {
    const old = $("event-rows").querySelector('[aria-selected="true"]');
    if (old) old.setAttribute("aria-selected", "false");
    selected = place;
    if (place >= numRows) { numRows += PAGE_ROWS; showRows(); }
    const line = $(`event-${place}`), index = shown[place];
    line.setAttribute("aria-selected", "true");
    $("event-table").setAttribute("aria-activedescendant", line.id);
    scrollTo(line);
    showMark(place);
    choose(index);
  }
  // Shows the player of an event; -1 for none.
  function choose(index) {
    if (playing.index === index) return;
    if (playing.audio) playing.audio.pause();
    playing = { index, audio: null };
    $("mark-chosen").hidden = index < 0;
    $("event-player").replaceChildren();
    $("event-open").textContent = "No event is chosen";
    if (index < 0) return;
    const file = events.file(index);
    $("event-open").textContent = `${model.labels[events.label[index]]}, ${file.name}, ${clock(events.start[index])} to ${clock(events.end[index])}`;
    const note = element("p", undefined, { class: "quiet" });
    const audio = player(file.folder, file.name, `#t=${six(events.start[index])}`, note, "Audio of the event");
    playing.audio = audio;
    $("event-player").replaceChildren(...(audio ? [audio, note] : [note]));
    if (audio) stopAtEnd(audio, events.end[index]);
  }
  // Scrolls the table alone: the page stays where it is.
  function scrollTo(line) {
    const box = $("event-scroll"), head = $("event-heads").offsetHeight;
    if (line.offsetTop - head < box.scrollTop) box.scrollTop = line.offsetTop - head;
    else if (line.offsetTop + line.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = line.offsetTop + line.offsetHeight - box.clientHeight;
  }
  // Stops once at the end of the event; the player can then play on.
  function stopAtEnd(audio, end) {
    let before = 0;
    audio.addEventListener("timeupdate", () => {
      const now = audio.currentTime;
      if (before < end && now >= end && now - before < 2) audio.pause();
      before = now;
    });
  }
  function playOrPause() {
    const { audio, index } = playing;
    if (!audio || !audio.isConnected) return;
    if (!audio.paused) return void audio.pause();
    if (audio.ended || audio.currentTime >= events.end[index]) audio.currentTime = events.start[index];
    // The player shows why a file does not play.
    audio.play().catch(() => {});
  }
  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !shown.length) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    const correct = { y: "yes", n: "no" }[event.key.toLowerCase()];
    if (!step && !correct && event.key !== " " && event.key !== "Enter") return;
    if (event.target.closest("button")) {
      // Buttons of the table have their own space and enter keys.
      if (event.key === " " || event.key === "Enter") return;
    }
    event.preventDefault();
    if (selected < 0) select(0);
    else if (step) select(Math.min(Math.max(selected + step, 0), shown.length - 1));
    if (correct) mark(selected, correct);
    if (event.key === " " || event.key === "Enter") playOrPause();
  }

  // ---- start
  function show(chosen) {
    model = chosen;
    const has = !!model.events && model.events.num_all > 0;
    $("events-body").hidden = !has;
    if (!has) {
      $("events-note").textContent = model.events ? `No activation reaches the threshold (${model.events.settings}). A lower one is an option of this report: --threshold.`
        : data.clips.id.length ? "The dataset has neither activations nor events, so that there are no events." : "No clip has events yet.";
      return;
    }
    events = model.eventList = model.eventList || unpackEvents(model.events);
    events.known = events.known || new Set(Array.from(events.clip, (_, i) => events.key(i)));
    const limited = events.count < events.numAll ? `${number(events.count)} of ${number(events.numAll)} events: the most certain ones of each label` : `${number(events.count)} events`;
    const zones = !events.hasTimes ? "" : events.lacksOffsets ? (events.hasOffsets ? " Times without an offset are local times, their zone is unknown." : " Times of day are local times, their zone is unknown.") : "";
    $("events-note").textContent = `${limited} (${events.settings}). An event lasts as long as the activations of its label stay above the threshold; its score is the highest of them.${zones}`;
    const counts = new Map();
    for (const one of events.label) counts.set(one, (counts.get(one) || 0) + 1);
    const names = [...counts.keys()].sort((a, b) => (model.labels[a] < model.labels[b] ? -1 : 1));
    $("event-label").replaceChildren(element("option", "all labels", { value: "" }), ...names.map((i) => element("option", `${model.labels[i]} (${number(counts.get(i))})`, { value: i })));
    selected = -1;
    choose(-1);
    loadMarks();
    countMarks();
    list();
  }
  for (const name of ["event-label", "event-marks"]) $(name).addEventListener("change", list);
  for (const name of ["event-score", "event-text"]) $(name).addEventListener("input", list);
  $("event-more").addEventListener("click", () => { numRows += 5 * PAGE_ROWS; showRows(); });
  $("event-table").addEventListener("keydown", press);
  for (const button of document.querySelectorAll("#mark-chosen button")) button.addEventListener("click", () => mark(selected, button.dataset.mark));
  $("mark-save").addEventListener("click", download);
  $("mark-clear").addEventListener("click", () => { if (confirm(`Remove ${marks.size} marks?`)) { marks.clear(); saveMarks(); list(); } });
  addSection(show);
})();
